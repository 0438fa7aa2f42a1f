"""One part as FORMAT.md describes it: written from front to back, read at any record."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, compress
from typing import Any, NamedTuple

from .keys import Signer
from .store import Sink, Source
from .suites import PartKeys
from .verify_recording import (
    BODY_LIMIT,
    CHECKPOINT,
    ENTRY,
    FINAL,
    FINAL_BODY,
    HASH,
    HEADER_LIMIT,
    INDEX,
    MAGIC,
    PREFIX,
    RECORD_HEADER,
    SIGNATURE,
    SUITES,
    TAG,
    Checkpoint,
    Damaged,
    Ending,
    Final,
    Flag,
    Record,
    Type,
    canonical,
    check_header,
    index_body,
    preamble_text,
    read_preamble,
    record_text,
)

__all__ = [
    "BODY_LIMIT",
    "RECORD_HEADER",
    "TAG",
    "Checkpoint",
    "Ending",
    "Flag",
    "PartReader",
    "PartWriter",
    "Record",
    "Type",
    "read_preamble",
    "wall_clock",
]

LEAVES_LIMIT = 1024
"""Records after which a CHECKPOINT is made, however short the time."""
INDEX_LIMIT = 32_768
"""Records after which an INDEX is made."""
_RESERVED = {"format", "suite", "signer", "created"}


def wall_clock() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class PartWriter:
    """Writes one part. Synchronous, for one thread at a time; `sync` alone may run beside it.

    After an `OSError` from any of its methods nothing but `rescue` may be called.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        header: Mapping[str, Any],
        dek: bytes,
        signer: Signer,
        wall: Callable[[], int] = wall_clock,
    ) -> None:
        """Write the preamble. `header` holds part_id, session, part, previous, key_id and more."""
        if taken := _RESERVED & header.keys():
            raise ValueError(f"the writer sets these itself: {sorted(taken)}")
        whole = {
            **header,
            "format": "VBR1",
            "suite": signer.suite,
            "signer": signer.key_id,
            "created": wall(),
        }
        check_header(whole)
        text = canonical(whole)
        if len(text) > HEADER_LIMIT:
            raise ValueError(f"header of {len(text)} bytes, {HEADER_LIMIT} are allowed")
        prefix = PREFIX.pack(MAGIC, len(text)) + text
        self._suite = SUITES[signer.suite]
        self._keys = PartKeys.derive(self._suite, dek, prefix)
        self._hash = self._suite.digest(prefix + self._keys.commitment)
        self._sink, self._signer, self._wall = sink, signer, wall
        self.part_id: str = whole["part_id"]
        self.records = 0
        """Records written, which is also the number of the next one."""
        self.chain = self._hash
        self.signed = 0
        """How many of them a CHECKPOINT covers, itself included."""
        self.time_us = 0
        """Greatest media time so far."""
        self.finished = False
        self._leaves: list[bytes] = []
        self._entries = bytearray()
        self._first_entry, self._last_index, self._last_leaf = 0, 0, bytes(HASH)
        self._pending: tuple[Record, bytes] | None = None
        preamble = prefix + self._keys.commitment
        preamble += signer.sign(preamble_text(self._hash))
        self.bytes = len(preamble)
        sink.append(preamble)

    @property
    def signed_outside(self) -> bool:
        """Has its signer to be waited for?"""
        return self._signer.outside

    def data(self, stream: int, time_us: int, fragment: bytes, flags: Flag = Flag.NONE) -> None:
        """Seal one fragment of a stream (numbered from 1), at most 1 MiB."""
        self._seal(Type.DATA, flags, stream, time_us, fragment)

    def event(self, time_us: int, body: bytes) -> None:
        """Seal what happened: a JSON object, at most 1 MiB."""
        self._seal(Type.EVENT, Flag.NONE, 0, time_us, body)

    def checkpoint(self) -> None:
        """Sign the chain and return when all of it is on the medium."""
        self.sign()
        self.sync()

    def sign(self) -> None:
        """Write a CHECKPOINT."""
        body = CHECKPOINT.pack(self.chain, self._wall()) + b"".join(self._leaves)
        self._put_signed(Type.CHECKPOINT, body)

    def sync(self) -> None:
        """Return when all that was written is on the medium; another thread may write meanwhile."""
        self._sink.sync()

    def finish(self, ending: Ending = Ending.FINISHED) -> None:
        """Write INDEX, CHECKPOINT, FINAL and close the file."""
        self._index()
        self.sign()
        self._sink.sync()  # before anybody may read that the part is whole
        body = FINAL.pack(self.chain, self._wall(), self._last_index, self._last_leaf, int(ending))
        self._put_signed(Type.FINAL, body)
        self.finished = True
        self._sink.sync()
        self._sink.close()

    def rescue(self) -> None:
        """After an `OSError`: end the part with what the reserve gives; may raise one again."""
        self._sink.complete()
        if self._pending is not None:
            record, leaf = self._pending
            self._account(record, leaf)
            self.finished = record.type == Type.FINAL
        if self.finished:
            self._sink.sync()
            self._sink.close()
        else:
            self.finish(Ending.WRITING_FAILED)

    def abandon(self) -> None:
        """Close the file as it is, without FINAL."""
        self._sink.close()

    def _seal(self, type: Type, flags: Flag, stream: int, time_us: int, plain: bytes) -> None:
        length = len(plain) + TAG
        if length > BODY_LIMIT:
            raise ValueError(f"{len(plain)} bytes in one record")
        record = Record(length, type, flags, stream, self.records, time_us, self.bytes)
        header = record.pack()
        # The number of the record is the nonce. It grows in _account, and a record that could not
        # be written is completed with the same bytes or not at all, so it is never used again.
        self._put(record, header, self._keys.seal(self.records, plain, self._hash + header))
        # Somebody who signs outside is waited for by the recorder, not here.
        if len(self._leaves) >= LEAVES_LIMIT and not self.signed_outside:
            self.checkpoint()
        if len(self._entries) >= INDEX_LIMIT * ENTRY.size:
            self._index()

    def _index(self) -> None:
        offset = self.bytes
        body = index_body(self._first_entry, self._last_index, self._last_leaf, self._entries)
        self._put_clear(Type.INDEX, body)
        self._last_index, self._last_leaf = offset, self._leaves[-1]

    def _put_signed(self, type: Type, body: bytes) -> None:
        length = len(body) + SIGNATURE
        record = Record(length, type, 0, 0, self.records, self.time_us, self.bytes)
        header = record.pack()
        signature = self._signer.sign(record_text(self._hash, header, body))
        self._put(record, header, body + signature)

    def _put_clear(self, type: Type, body: bytes) -> None:
        record = Record(len(body), type, 0, 0, self.records, self.time_us, self.bytes)
        self._put(record, record.pack(), body)

    def _put(self, record: Record, header: bytes, body: bytes) -> None:
        leaf = self._suite.leaf(header, body)
        self._pending = record, leaf
        self._sink.append(header + body)
        self._account(record, leaf)

    def _account(self, record: Record, leaf: bytes) -> None:
        self._pending = None
        self.chain = self._suite.link(self.chain, leaf)
        self.bytes = record.end
        self.records += 1
        if record.type in (Type.DATA, Type.EVENT):
            self.time_us = max(self.time_us, record.time_us)
        if record.type in (Type.CHECKPOINT, Type.FINAL):
            self._leaves.clear()
            self.signed = self.records
        if record.type == Type.INDEX:
            self._entries.clear()
            self._first_entry = record.sequence
        self._leaves.append(leaf)
        self._entries += record.entry()


class Columns(NamedTuple):
    """What the headers of all records say, by sequence number: an hour has tens of thousands."""

    times_us: array[int]
    lengths: array[int]
    """Bytes of the bodies."""
    streams: array[int]
    flags: bytes


class PartReader:
    """Opens the records of one part with its key. Safe for several threads.

    It does not check signatures: that is `verify_part`. What it gives out was sealed under this
    part's key at this place, or it raises `Damaged`.
    """

    def __init__(self, source: Source, dek: bytes) -> None:
        self._source = source
        self.preamble = read_preamble(source)
        self._keys = PartKeys.of(self.preamble, dek)
        self._hash = self.preamble.hash
        self._entries = bytearray()
        self._bodies = array("Q", [self.preamble.size])
        """Where each record would begin if headers took no room, and the next one would."""
        self.finished = False
        """Does the part have a FINAL?"""
        try:
            self._load_index()
        except Damaged:
            self._entries.clear()
            del self._bodies[1:]
        self._scan()

    def __len__(self) -> int:
        """Number of whole records."""
        return len(self._entries) // ENTRY.size

    def __getitem__(self, sequence: int) -> Record:
        if not 0 <= sequence < len(self):
            raise IndexError(f"record {sequence} of {len(self)}")
        time_us, length, type, flags, stream = ENTRY.unpack_from(
            self._entries, sequence * ENTRY.size
        )
        at = self._bodies[sequence] + RECORD_HEADER * sequence
        return Record(length, type, flags, stream, sequence, time_us, at)

    def __iter__(self) -> Iterator[Record]:
        return (self[sequence] for sequence in range(len(self)))

    def select(self, type: Type, stream: int | None = None) -> Iterator[Record]:
        """The records of one type, of one stream if it is named."""
        return (self[sequence] for sequence in self.numbers(type, stream))

    def numbers(self, type: Type, stream: int | None = None) -> list[int]:
        """The sequence numbers of what `select` gives, ascending."""
        kinds = map(int(type).__eq__, self._entries[12 :: ENTRY.size])
        numbers = compress(range(len(self)), kinds)
        if stream is None:
            return list(numbers)
        streams = self.columns().streams
        return [number for number in numbers if streams[number] == stream]

    def columns(self) -> Columns:
        """Facts of all records as they are now; cheaper than a `Record` of each."""
        return Columns(
            _column("Q", self._entries, 0),
            _column("I", self._entries, 8),
            _column("H", self._entries, 14),
            bytes(self._entries[13 :: ENTRY.size]),
        )

    def expect(self, records: Iterable[Record]) -> None:
        """These are opened next: from a store far away they come together."""
        self._source.expect((each.offset, RECORD_HEADER + each.length) for each in records)

    def open(self, record: Record) -> bytes:
        """Plaintext of a DATA or EVENT record."""
        raw = self._source.read(record.offset, RECORD_HEADER + record.length)
        header, body = raw[:RECORD_HEADER], raw[RECORD_HEADER:]
        # The sequence number is in the nonce and the header in the associated data: a record that
        # was moved, or came from another part, does not open.
        if header != record.pack() or len(body) != record.length:
            raise Damaged("record_altered", record=record.sequence)
        plain = self._keys.open(record.sequence, body, self._hash + header)
        if plain is None:
            raise Damaged("record_not_openable", record=record.sequence)
        return plain

    def _load_index(self) -> None:
        """Find all records through FINAL and INDEX; `Damaged` if that can't be."""
        end = self._source.size()
        raw = self._source.read(end - RECORD_HEADER - FINAL_BODY, RECORD_HEADER + FINAL_BODY)
        if len(raw) < RECORD_HEADER + FINAL_BODY:
            raise Damaged("no_final")
        last = Record.unpack(raw, end - RECORD_HEADER - FINAL_BODY)
        if last.type != Type.FINAL:
            raise Damaged("no_final")
        final = Final.unpack(raw[RECORD_HEADER:])
        suite, offset, leaf = self.preamble.suite, final.index_offset, final.index_leaf
        bodies: list[tuple[int, bytes]] = []
        while offset:
            header = self._source.read(offset, RECORD_HEADER)
            if len(header) < RECORD_HEADER:
                raise Damaged("index_wrong")
            record = Record.unpack(header, offset)
            body = self._source.read(offset + RECORD_HEADER, record.length)
            if record.type != Type.INDEX or suite.leaf(header, body) != leaf:
                raise Damaged("index_wrong")
            bodies.append((offset, body))
            earlier, leaf = INDEX.unpack_from(body)[1:]
            if earlier >= offset:
                raise Damaged("index_wrong")
            offset = earlier
        for offset, body in reversed(bodies):
            self._take_entries(body[INDEX.size :])
            if self._next() != offset:
                raise Damaged("index_wrong")

    def _next(self) -> int:
        """Where the next record begins."""
        return self._bodies[-1] + RECORD_HEADER * len(self)

    def _take_entries(self, entries: bytes) -> None:
        if len(entries) % ENTRY.size:
            raise Damaged("index_wrong")
        self._bodies.extend(accumulate(_column("I", entries, 8), initial=self._bodies.pop()))
        self._entries += entries

    def _scan(self) -> None:
        """Take up whole records by their headers, up to the end of the file or of its sense."""
        end = self._source.size()
        while (at := self._next()) + RECORD_HEADER <= end and not self.finished:
            try:
                record = Record.unpack(self._source.read(at, RECORD_HEADER), at)
            except Damaged:
                return
            if record.sequence != len(self) or record.end > end:
                return
            self._bodies.append(self._bodies[-1] + record.length)
            self._entries += record.entry()
            self.finished = record.type == Type.FINAL


def _column(code: str, entries: bytes | bytearray, at: int) -> array[int]:
    """The numbers at this place in each of `entries`."""
    column = array(code)
    column.frombytes(entries)
    column = column[at // column.itemsize :: ENTRY.size // column.itemsize]
    if sys.byteorder == "little":
        column.byteswap()
    return column
