"""Verifies sealed parts with public keys alone (FORMAT.md, Verifying)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any

from . import chain as chains
from .closing import Closing
from .container import (
    MAGIC,
    RECORD_HEADER,
    Checkpoint,
    Ending,
    Final,
    Preamble,
    Record,
    Type,
    index_body,
    read_preamble,
)
from .errors import Damaged
from .keys import PartKeys, Trust
from .store import Source, Store, read_all

WINDOW = 4 * 1024 * 1024
SIGNATURE_TRIES = 4096
"""Places that look like a signed record and are tried after a break: an upper bound on work."""
LEAVES_PATIENCE, ENTRIES_PATIENCE = 4096, 1_000_000
"""Records without a CHECKPOINT, bytes of entries without an INDEX: no writer goes so far."""
_SIGNED_HEADER = re.compile(
    rb"\x00[\x00-\x10][\x00-\xff]{2}\x03\x00{3}|\x00{3}\x92\x05\x00{3}", re.DOTALL
)


class Status(StrEnum):
    OK = "ok"
    RECOVERED = "closed by recovery"
    INCOMPLETE = "incomplete"
    TAMPERED = "tampered"


@dataclass(frozen=True)
class Verdict:
    """What can be said about one part."""

    name: str
    status: Status
    reason: str
    """A code from FORMAT.md."""
    record: int | None = None
    """Where it stops being right."""
    time_us: int | None = None
    """Media time there."""
    detail: str = ""
    """A sentence for people."""
    session: str | None = None
    part: int | None = None
    part_id: str | None = None
    previous: Mapping[str, str] | None = None
    signer: str | None = None
    created: int | None = None
    records: int = 0
    """Whole records up to the place."""
    signed_records: int = 0
    """How many of them the writer's signature covers."""
    signed_time_us: int = 0
    last_time_us: int = 0
    bytes: int = 0
    """Of the file."""
    chain: str | None = None
    """Chain value of the part."""
    closing: Mapping[str, Any] | None = None
    """The statement of recovery, if the verdict rests on it."""

    @property
    def ok(self) -> bool:
        return self.status is Status.OK

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ChainReport:
    """Whether the given parts of one session belong together, one behind the other."""

    session: str
    ok: bool
    problems: list[str]
    verdicts: list[Verdict]


def verify_part(
    store: Store,
    name: str,
    trust: Trust,
    *,
    dek: bytes | None = None,
    known: Mapping[int, str] | None = None,
) -> Verdict:
    """The verdict on one part. Never raises for what is in the file; `OSError` if unreadable.

    With `dek` each record is opened, too. `known` holds chain values from the application's own
    log (number of records -> hexadecimal chain): a part that contradicts them is tampered with,
    even if its signatures hold.
    """
    with contextlib.closing(store.open(name)) as source:
        examination = Examination(source, trust, dek=dek, marks=set(known or ()))
        verdict = examination.verdict(name, read_all(store, name + ".close"))
    for records, chain in sorted((known or {}).items()):
        if verdict.status is not Status.TAMPERED and examination.chains.get(records) != chain:
            verdict = replace(
                verdict,
                status=Status.TAMPERED,
                reason="differs_from_log",
                record=records,
                detail=f"the log knows another chain value after {records} records",
            )
    return verdict


def verify_session(verdicts: Iterable[Verdict]) -> ChainReport:
    """Do these parts of one session follow one another without a gap?"""
    parts = sorted(verdicts, key=lambda verdict: verdict.part or 0)
    problems = []
    if len({verdict.session for verdict in parts}) != 1:
        problems.append("parts of several sessions")
    before: Verdict | None = None
    for place, verdict in enumerate(parts, 1):
        if verdict.part != place:
            problems.append(f"part {place} is missing or given twice")
            break
        expected = before and {"chain": before.chain, "part_id": before.part_id}
        if verdict.previous != expected:
            problems.append(f"part {place} does not follow the part before it")
        if not verdict.ok:
            problems.append(f"part {place} is {verdict.status}")
        before = verdict
    session = (parts[0].session if parts else None) or "unknown"
    return ChainReport(session, not problems, problems, parts)


class _Break(Exception):
    """The walk through the records ends here."""

    def __init__(self, reason: str, record: int, *, structural: bool, detail: str = "") -> None:
        self.reason, self.record, self.detail = reason, record, detail
        self.structural = structural
        """Could a crash have left it, if nothing signed follows?"""


class Examination:
    """One walk through a part, in bounded memory."""

    def __init__(
        self,
        source: Source,
        trust: Trust,
        *,
        dek: bytes | None = None,
        marks: Iterable[int] = (),
        stop: int | None = None,
    ) -> None:
        """With `stop` only as many records are looked at."""
        self._source, self._trust, self._dek = source, trust, dek
        self._stop = stop
        self._marks = set(marks)
        self.chains: dict[int, str] = {}
        """Chain after as many records, for each mark that was reached."""
        self.preamble: Preamble | None = None
        self.size = source.size()
        self.records = 0
        self.end = 0
        """Where the last whole record ends."""
        self.chain = b""
        self.last_us = 0
        self.signed, self.signed_us = 0, 0
        self.final: Final | None = None
        self._signed_chain = b""
        """Chain value in the last CHECKPOINT: the leaves in the next one fold from it."""
        self._leaves: list[tuple[bytes, int]] = []
        self._entries = bytearray()
        self._index = (0, 0, bytes(chains.HASH))
        """First record of the next INDEX; offset and leaf of the last one."""
        self._types: tuple[int, int] = (0, 0)
        self._doubt: _Break | None = None
        self._keys: PartKeys | None = None

    def verdict(self, name: str, closing: bytes | None) -> Verdict:
        """Walk, then say what was found. `closing` is the content of the .close file."""
        statement = None
        if closing is not None:
            with contextlib.suppress(Damaged):
                statement = Closing.parse(closing)
        if statement:
            self._marks.add(statement.records)
        status, broken = self._outcome()
        if closing is not None and status is Status.INCOMPLETE:
            broken = self._agrees(statement)
            status = Status.RECOVERED if broken.reason == "recovered" else Status.TAMPERED
        return self._verdict(name, status, broken, statement)

    def _verdict(
        self, name: str, status: Status, broken: _Break, closing: Closing | None
    ) -> Verdict:
        header = self.preamble.header if self.preamble else {}
        recovered = closing if status is Status.RECOVERED else None
        fine = status in (Status.OK, Status.RECOVERED)
        return Verdict(
            name=name,
            status=status,
            reason=broken.reason,
            record=None if fine else broken.record,
            time_us=None if fine else self._time_of(broken.record),
            detail=broken.detail,
            session=header.get("session"),
            part=header.get("part"),
            part_id=header.get("part_id"),
            previous=header.get("previous"),
            signer=header.get("signer"),
            created=header.get("created"),
            records=recovered.records if recovered else self.records,
            signed_records=self.signed,
            signed_time_us=self.signed_us,
            last_time_us=self.last_us,
            bytes=self.size,
            chain=recovered.chain if recovered else self.chain.hex() or None,
            closing=recovered.statement() if recovered else None,
        )

    def _time_of(self, record: int) -> int:
        """Media time of a record since the last CHECKPOINT, or the last one known before it."""
        place = record - (self.records - len(self._leaves))
        return self._leaves[place][1] if 0 <= place < len(self._leaves) else self.last_us

    def _outcome(self) -> tuple[Status, _Break]:
        try:
            self._begin()
            self._walk()
        except Damaged as error:
            cut = error.reason == "preamble_cut"
            broken = _Break(error.reason, 0, structural=cut, detail=error.detail)
            return (Status.INCOMPLETE if cut else Status.TAMPERED), broken
        except _Break as broken:
            return self._judge(broken)
        ending = self.final.ending if self.final else None
        reasons = {Ending.WRITING_FAILED: "writing_failed", Ending.STOPPED: "stopped"}
        reason = reasons.get(Ending(ending or 0), "finished")
        return Status.OK, _Break(reason, self.records, structural=False)

    def _begin(self) -> None:
        """1. The preamble."""
        preamble = self.preamble = read_preamble(self._source)
        signer = preamble.header["signer"]
        if signer not in self._trust:
            raise Damaged("signer_unknown", f"signed by {signer}")
        text = chains.preamble_text(preamble.hash)
        if not self._trust.signed(signer, text, preamble.signature):
            raise Damaged("preamble_signature_wrong")
        if self._dek is not None:
            self._keys = PartKeys.derive(self._dek, preamble.text)
            if not self._keys.commits_to(preamble.commitment):
                raise Damaged("key_wrong")
        self._hash, self._signer = preamble.hash, signer
        self.chain = self._signed_chain = preamble.hash
        self.end = self._signed_end = preamble.size
        self._mark()

    def _walk(self) -> None:
        """2. Each record in order, up to FINAL or the end."""
        window = _Window(self._source, self.end)
        while self.final is None:
            if self.records == self._stop:
                raise _Break("no_final", self.records, structural=True)
            if len(self._leaves) > LEAVES_PATIENCE or len(self._entries) > ENTRIES_PATIENCE:
                raise _Break("record_malformed", self.records, structural=True)
            header = window.take(RECORD_HEADER)
            if not header:
                raise _Break("no_final", self.records, structural=True)
            if len(header) < RECORD_HEADER:
                raise _Break("record_cut", self.records, structural=True)
            record = self._plausible(header, window)
            body = window.take(record.length)
            if len(body) < record.length:
                raise _Break("record_cut", self.records, structural=True)
            self._count(record, header, body)
        if self.end != self.size:
            raise _Break("data_after_final", self.records, structural=False)

    def _plausible(self, header: memoryview, window: _Window) -> Record:
        try:
            record = Record.unpack(header, self.end)
        except Damaged:
            raise _Break("record_malformed", self.records, structural=True) from None
        if record.sequence == self.records:
            return record
        # Is this record's number alone wrong, or does the file go on from another place?
        reason = "records_missing" if record.sequence > self.records else "record_repeated"
        after = window.peek(record.length, RECORD_HEADER)
        with contextlib.suppress(Damaged):
            following = Record.unpack(after, record.end) if len(after) == RECORD_HEADER else None
            if following and following.sequence == self.records + 1:
                reason = "record_altered"
        detail = f"number {record.sequence} where {self.records} belongs"
        raise _Break(reason, self.records, structural=True, detail=detail)

    def _count(self, record: Record, header: memoryview, body: memoryview) -> None:
        """3 to 5. What the type asks for, then leaf and chain."""
        leaf = chains.leaf(bytes(header), body)
        match record.type:
            case Type.CHECKPOINT:
                self._checkpoint(record, header, Checkpoint.unpack(body))
            case Type.INDEX:
                self._check_index(record, body, leaf)
            case Type.FINAL:
                self._finish(header, Final.unpack(body))
            case _ if self._keys is not None:
                associated = self._hash + bytes(header)
                if self._keys.open(record.sequence, body, associated) is None:
                    raise _Break("record_not_openable", record.sequence, structural=False)
        self.chain = chains.link(self.chain, leaf)
        self.records += 1
        self.end = record.end
        if record.type in (Type.DATA, Type.EVENT):
            self.last_us = max(self.last_us, record.time_us)
        if record.type in (Type.CHECKPOINT, Type.FINAL):
            self._leaves.clear()
            self.signed, self.signed_us = self.records, record.time_us
            self._signed_end = record.end
        self._leaves.append((leaf, record.time_us))
        self._entries += record.entry()
        self._types = self._types[1], record.type
        self._mark()

    def _mark(self) -> None:
        if self.records in self._marks:
            self.chains[self.records] = self.chain.hex()

    def _checkpoint(self, record: Record, header: memoryview, body: Checkpoint) -> None:
        if not self._signed(header, body.signed, body.signature):
            raise _Break("signature_wrong", record.sequence, structural=_is_blank(body.signature))
        if body.chain != self.chain:
            altered = self._first_altered(body)
            raise _Break("record_altered", altered, structural=False)
        if self._doubt:
            raise self._doubt
        self._signed_chain = self.chain

    def _check_index(self, record: Record, body: memoryview, leaf: bytes) -> None:
        first, offset, earlier = self._index
        if index_body(first, offset, earlier, self._entries) != body:
            # Either the INDEX lies or something before it was altered: the next CHECKPOINT tells.
            self._doubt = _Break("index_wrong", record.sequence, structural=False)
        self._index = record.sequence, record.offset, leaf
        self._entries.clear()

    def _finish(self, header: memoryview, body: Final) -> None:
        if not self._signed(header, body.signed, body.signature):
            raise _Break("signature_wrong", self.records, structural=_is_blank(body.signature))
        if body.chain != self.chain:
            raise _Break("record_altered", self.records - 1, structural=False)
        index = self._index[1:] == (body.index_offset, body.index_leaf)
        if not index or self._types != (Type.INDEX, Type.CHECKPOINT):
            raise _Break("index_wrong", self.records, structural=False)
        if body.ending not in list(Ending):
            raise _Break("record_malformed", self.records, structural=False)
        self._signed_chain = self.chain
        self.final = body

    def _signed(self, header: memoryview, body: bytes, signature: bytes) -> bool:
        text = chains.record_text(self._hash, bytes(header), body)
        return self._trust.signed(self._signer, text, signature)

    def _first_altered(self, later: Checkpoint) -> int:
        """The first record whose leaf is not the one that `later`, which is signed, lists."""
        base = self.records - len(self._leaves)
        if chains.fold(self._signed_chain, later.leaves) == later.chain:
            for place, (leaf, _) in enumerate(self._leaves):
                if place >= len(later.leaves) or leaf != later.leaves[place]:
                    return base + place
        return self.records

    def _judge(self, broken: _Break) -> tuple[Status, _Break]:
        """6 and 7. Is it an end that a crash leaves, or was something signed altered?"""
        if not broken.structural:
            return Status.TAMPERED, broken
        later = self._next_signed()
        if later is None:
            if broken.reason not in ("no_final", "record_cut"):
                detail = f"from record {broken.record} on nothing makes sense and nothing is signed"
                broken = _Break("end_damaged", broken.record, structural=True, detail=detail)
            return Status.INCOMPLETE, broken
        record, body = later
        place, reason = broken.record, broken.reason
        if reason in ("record_cut", "no_final"):
            reason = "record_malformed"
        if body is not None and (altered := self._first_altered(body)) < place:
            place, reason = altered, "record_altered"
        detail = f"what was signed goes on at record {record.sequence}"
        return Status.TAMPERED, _Break(reason, place, structural=False, detail=detail)

    def _next_signed(self) -> tuple[Record, Checkpoint | None] | None:
        """The first CHECKPOINT or FINAL of this part behind the break whose signature holds."""
        tries = 0
        # Not from the break on: if the length of the record before it was altered, what is signed
        # may begin earlier.
        start = self._signed_end
        while start < self.size and tries < SIGNATURE_TRIES:
            piece = self._source.read(start, WINDOW)
            for match in _SIGNED_HEADER.finditer(piece):
                tries += 1
                if found := self._signed_at(start + match.start()):
                    return found
                if tries >= SIGNATURE_TRIES:
                    return None
            start += max(1, len(piece) - 7)
        return None

    def _signed_at(self, offset: int) -> tuple[Record, Checkpoint | None] | None:
        header = self._source.read(offset, RECORD_HEADER)
        try:
            record = Record.unpack(header.ljust(RECORD_HEADER, b"\xff"), offset)
        except Damaged:
            return None
        body = self._source.read(offset + RECORD_HEADER, record.length)
        if len(body) < record.length or record.type not in (Type.CHECKPOINT, Type.FINAL):
            return None
        signed, signature = body[: -chains.SIGNATURE], body[-chains.SIGNATURE :]
        if not self._signed(memoryview(header), signed, signature):
            return None
        return record, Checkpoint.unpack(body) if record.type == Type.CHECKPOINT else None

    def _agrees(self, closing: Closing | None) -> _Break:
        """Does the closing say what is here?"""
        wrong = _Break("closing_wrong", self.records, structural=False)
        if closing is None or self.preamble is None or not closing.holds(self._trust):
            return wrong
        header = self.preamble.header
        same = (
            (closing.part_id, closing.session) == (header["part_id"], header["session"])
            and self.signed <= closing.records <= self.records
            and closing.signed_records == self.signed
            and self.chains.get(closing.records) == closing.chain
            and closing.file_length == self.size
            and closing.length <= closing.file_length
            and tail_hash(self._source, closing.length) == closing.tail
        )
        detail = f"{closing.cause}; closed by {closing.by}"
        return _Break("recovered", self.records, structural=False, detail=detail) if same else wrong


def tail_hash(source: Source, offset: int) -> str:
    """Hexadecimal hash of what stands behind `offset`."""
    state = sha256()
    while piece := source.read(offset, WINDOW):
        state.update(piece)
        offset += len(piece)
    return state.hexdigest()


class _Window:
    """Reads a source from front to back in large pieces."""

    def __init__(self, source: Source, offset: int) -> None:
        self._source, self._offset = source, offset
        self._piece = memoryview(b"")

    def take(self, length: int) -> memoryview:
        """The next bytes; fewer only at the end."""
        taken = self._ahead(length)[:length]
        self._piece = self._piece[len(taken) :]
        self._offset += len(taken)
        return taken

    def peek(self, skip: int, length: int) -> memoryview:
        """Bytes further on, without moving."""
        return self._ahead(skip + length)[skip : skip + length]

    def _ahead(self, length: int) -> memoryview:
        if len(self._piece) < length:
            self._piece = memoryview(self._source.read(self._offset, max(length, WINDOW)))
        return self._piece


def _is_blank(signature: bytes) -> bool:
    """A power loss leaves zeros where data was on its way; nobody signs with zeros."""
    return not any(signature[-16:])


def is_part(source: Source) -> bool:
    """Does it begin like a part?"""
    return source.read(0, len(MAGIC)) == MAGIC
