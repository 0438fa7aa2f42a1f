"""One part as FORMAT.md describes it: written from front to back, read at any record."""

from __future__ import annotations

import struct
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from itertools import accumulate
from typing import Any, NamedTuple

from . import chain as chains
from .errors import Damaged
from .keys import SUITE, TAG, PartKeys, Signer
from .store import Sink, Source

MAGIC = b"VBR1\r\n\x1a\n"
HEADER_LIMIT = 65_536
BODY_LIMIT = 1_048_576 + TAG
LEAVES_LIMIT = 1024
"""Records after which a CHECKPOINT is made, however short the time."""
INDEX_LIMIT = 32_768
"""Records after which an INDEX is made."""

_PREFIX = struct.Struct(">8sI")
_RECORD = struct.Struct(">IBBHQQ")
_ENTRY = struct.Struct(">QIBBH")
_CHECKPOINT = struct.Struct(f">{chains.HASH}sQ")
_INDEX = struct.Struct(f">QQ{chains.HASH}s")
_FINAL = struct.Struct(f">{chains.HASH}sQQ{chains.HASH}sH")
RECORD_HEADER = _RECORD.size
FINAL_BODY = _FINAL.size + chains.SIGNATURE
_RESERVED = {"format", "suite", "signer", "created"}


class Type(IntEnum):
    DATA = 1
    EVENT = 2
    CHECKPOINT = 3
    INDEX = 4
    FINAL = 5


class Flag(IntFlag):
    NONE = 0
    KEYFRAME = 1
    INIT = 2


class Ending(IntEnum):
    """Why a part ends; stands in its FINAL."""

    FINISHED = 0
    WRITING_FAILED = 1
    STOPPED = 2


class Record(NamedTuple):
    """A record's clear header and where it stands in the file."""

    length: int
    """Bytes of the body."""
    type: int
    flags: int
    stream: int
    sequence: int
    time_us: int
    offset: int
    """Of the header in the file."""

    @classmethod
    def unpack(cls, header: bytes | memoryview, offset: int) -> Record:
        """From the first 24 bytes of a record; `Damaged` if no writer makes such a header."""
        length, type, flags, stream, sequence, time_us = _RECORD.unpack_from(header)
        record = cls(length, type, flags, stream, sequence, time_us, offset)
        record._check()
        return record

    def pack(self) -> bytes:
        """The header as it stands in the file."""
        return _RECORD.pack(*self[:6])

    def entry(self) -> bytes:
        """The header as it stands in an INDEX."""
        return _ENTRY.pack(self.time_us, self.length, self.type, self.flags, self.stream)

    @property
    def end(self) -> int:
        """Offset of the record behind this one."""
        return self.offset + RECORD_HEADER + self.length

    def _check(self) -> None:
        fine = self.length <= BODY_LIMIT
        if self.type == Type.DATA:
            fine = fine and self.flags < 4 and self.stream > 0 and self.length >= TAG
        else:
            fine = fine and not self.flags and not self.stream
        match self.type:
            case Type.DATA:
                pass
            case Type.EVENT:
                fine = fine and self.length >= TAG
            case Type.CHECKPOINT:
                leaves = self.length - _CHECKPOINT.size - chains.SIGNATURE
                fine = fine and leaves >= 0 and leaves % chains.HASH == 0
            case Type.INDEX:
                entries = self.length - _INDEX.size
                fine = fine and entries >= 0 and entries % _ENTRY.size == 0
            case Type.FINAL:
                fine = fine and self.length == FINAL_BODY
            case _:
                fine = False
        if not fine:
            raise Damaged("record_malformed")


@dataclass(frozen=True)
class Preamble:
    """What stands in front of the first record."""

    header: dict[str, Any]
    text: bytes
    """Magic, length and header: what the keys depend on."""
    commitment: bytes
    signature: bytes

    @property
    def hash(self) -> bytes:
        """hh: where the chain begins and what binds each record to this part."""
        return chains.digest(self.text + self.commitment)

    @property
    def size(self) -> int:
        """Offset of record 0."""
        return len(self.text) + chains.HASH + chains.SIGNATURE


@dataclass(frozen=True)
class Checkpoint:
    """Body of a CHECKPOINT, taken apart."""

    chain: bytes
    wall_us: int
    leaves: list[bytes]
    signed: bytes
    signature: bytes

    @classmethod
    def unpack(cls, body: bytes | memoryview) -> Checkpoint:
        signed, signature = bytes(body[: -chains.SIGNATURE]), bytes(body[-chains.SIGNATURE :])
        chain, wall_us = _CHECKPOINT.unpack_from(signed)
        starts = range(_CHECKPOINT.size, len(signed), chains.HASH)
        leaves = [signed[at : at + chains.HASH] for at in starts]
        return cls(chain, wall_us, leaves, signed, signature)


@dataclass(frozen=True)
class Final:
    """Body of a FINAL, taken apart."""

    chain: bytes
    wall_us: int
    index_offset: int
    index_leaf: bytes
    ending: int
    signed: bytes
    signature: bytes

    @classmethod
    def unpack(cls, body: bytes | memoryview) -> Final:
        signed, signature = bytes(body[: -chains.SIGNATURE]), bytes(body[-chains.SIGNATURE :])
        chain, wall_us, offset, leaf, ending = _FINAL.unpack(signed)
        return cls(chain, wall_us, offset, leaf, ending, signed, signature)


def index_body(first: int, offset: int, leaf: bytes, entries: bytes | bytearray) -> bytes:
    """Body of an INDEX: its first record, offset and leaf of the INDEX before it, its entries."""
    return _INDEX.pack(first, offset, leaf) + entries


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
            "suite": SUITE,
            "signer": signer.key_id,
            "created": wall(),
        }
        check_header(whole)
        text = chains.canonical(whole)
        if len(text) > HEADER_LIMIT:
            raise ValueError(f"header of {len(text)} bytes, {HEADER_LIMIT} are allowed")
        prefix = _PREFIX.pack(MAGIC, len(text)) + text
        self._keys = PartKeys.derive(dek, prefix)
        self._hash = chains.digest(prefix + self._keys.commitment)
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
        self._first_entry, self._last_index, self._last_leaf = 0, 0, bytes(chains.HASH)
        self._pending: tuple[Record, bytes] | None = None
        preamble = prefix + self._keys.commitment
        preamble += signer.sign(chains.preamble_text(self._hash))
        self.bytes = len(preamble)
        sink.append(preamble)

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
        body = _CHECKPOINT.pack(self.chain, self._wall()) + b"".join(self._leaves)
        self._put_signed(Type.CHECKPOINT, body)

    def sync(self) -> None:
        """Return when all that was written is on the medium; another thread may write meanwhile."""
        self._sink.sync()

    def finish(self, ending: Ending = Ending.FINISHED) -> None:
        """Write INDEX, CHECKPOINT, FINAL and close the file."""
        self._index()
        self.sign()
        body = _FINAL.pack(self.chain, self._wall(), self._last_index, self._last_leaf, int(ending))
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
        if len(self._leaves) >= LEAVES_LIMIT:
            self.checkpoint()
        if len(self._entries) >= INDEX_LIMIT * _ENTRY.size:
            self._index()

    def _index(self) -> None:
        offset = self.bytes
        body = index_body(self._first_entry, self._last_index, self._last_leaf, self._entries)
        self._put_clear(Type.INDEX, body)
        self._last_index, self._last_leaf = offset, self._leaves[-1]

    def _put_signed(self, type: Type, body: bytes) -> None:
        length = len(body) + chains.SIGNATURE
        record = Record(length, type, 0, 0, self.records, self.time_us, self.bytes)
        header = record.pack()
        signature = self._signer.sign(chains.record_text(self._hash, header, body))
        self._put(record, header, body + signature)

    def _put_clear(self, type: Type, body: bytes) -> None:
        record = Record(len(body), type, 0, 0, self.records, self.time_us, self.bytes)
        self._put(record, record.pack(), body)

    def _put(self, record: Record, header: bytes, body: bytes) -> None:
        leaf = chains.leaf(header, body)
        self._pending = record, leaf
        self._sink.append(header + body)
        self._account(record, leaf)

    def _account(self, record: Record, leaf: bytes) -> None:
        self._pending = None
        self.chain = chains.link(self.chain, leaf)
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


def read_preamble(source: Source) -> Preamble:
    """The preamble of a part, not yet believed; `Damaged` if it is none."""
    start = source.read(0, _PREFIX.size)
    if not MAGIC.startswith(start[: len(MAGIC)]):
        raise Damaged("not_a_recording")
    if len(start) < _PREFIX.size:
        raise Damaged("preamble_cut")
    length = _PREFIX.unpack(start)[1]
    if length > HEADER_LIMIT:
        raise Damaged("header_wrong", f"header of {length} bytes")
    rest = source.read(len(start), length + chains.HASH + chains.SIGNATURE)
    if len(rest) < length + chains.HASH + chains.SIGNATURE:
        raise Damaged("preamble_cut")
    try:
        header = chains.parse_canonical(rest[:length])
        if header.get("format") == "VBR1" and header.get("suite") != SUITE:
            raise Damaged("suite_unknown", f"suite {header.get('suite')}")
        check_header(header)
    except ValueError as error:
        raise Damaged("header_wrong", str(error)) from None
    commitment = rest[length : length + chains.HASH]
    return Preamble(header, start + rest[:length], commitment, rest[length + chains.HASH :])


def check_header(header: Mapping[str, Any]) -> None:
    """`ValueError` unless all keys that FORMAT.md asks for are there and of their kind."""
    if header.get("format") != "VBR1":
        raise ValueError("format is not VBR1")
    for key in ("part_id", "session", "key_id", "signer"):
        if not isinstance(header.get(key), str):
            raise ValueError(f"{key} is missing or not text")
    for key in ("part", "created"):
        if type(header.get(key)) is not int or header[key] < 0:
            raise ValueError(f"{key} is missing or not a number")
    if not _is_hex(header["part_id"], 16):
        raise ValueError("part_id is not 32 hexadecimal digits")
    previous = header.get("previous", "")
    if previous is None:
        return
    if not isinstance(previous, Mapping) or previous.keys() != {"chain", "part_id"}:
        raise ValueError("previous is neither null nor a chain and a part_id")
    if not _is_hex(previous["part_id"], 16) or not _is_hex(previous["chain"], chains.HASH):
        raise ValueError("previous is not hexadecimal")


class PartReader:
    """Opens the records of one part with its key. Safe for several threads.

    It does not check signatures: that is `verify_part`. What it gives out was sealed under this
    part's key at this place, or it raises `Damaged`.
    """

    def __init__(self, source: Source, dek: bytes) -> None:
        self._source = source
        self.preamble = read_preamble(source)
        self._keys = PartKeys.derive(dek, self.preamble.text)
        if not self._keys.commits_to(self.preamble.commitment):
            raise Damaged("key_wrong")
        self._hash = self.preamble.hash
        self._entries = bytearray()
        self._offsets = array("Q")
        self.finished = False
        """Does the part have a FINAL?"""
        self._next = self.preamble.size
        try:
            self._load_index()
        except Damaged:
            self._entries.clear()
            self._offsets = array("Q")
            self._next = self.preamble.size
        self._scan()

    def __len__(self) -> int:
        """Number of whole records."""
        return len(self._offsets)

    def __getitem__(self, sequence: int) -> Record:
        at = self._offsets[sequence]
        time_us, length, type, flags, stream = _ENTRY.unpack_from(
            self._entries, sequence * _ENTRY.size
        )
        return Record(length, type, flags, stream, sequence, time_us, at)

    def __iter__(self) -> Iterator[Record]:
        return (self[sequence] for sequence in range(len(self)))

    def select(self, type: Type, stream: int | None = None) -> Iterator[Record]:
        """The records of one type, of one stream if it is named."""
        entries = _ENTRY.iter_unpack(self._entries)
        for sequence, (time_us, length, kind, flags, number) in enumerate(entries):
            if kind == type and (stream is None or number == stream):
                at = self._offsets[sequence]
                yield Record(length, kind, flags, number, sequence, time_us, at)

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
        offset, leaf = final.index_offset, final.index_leaf
        bodies: list[tuple[int, bytes]] = []
        while offset:
            header = self._source.read(offset, RECORD_HEADER)
            if len(header) < RECORD_HEADER:
                raise Damaged("index_wrong")
            record = Record.unpack(header, offset)
            body = self._source.read(offset + RECORD_HEADER, record.length)
            if record.type != Type.INDEX or chains.leaf(header, body) != leaf:
                raise Damaged("index_wrong")
            bodies.append((offset, body))
            earlier, leaf = _INDEX.unpack_from(body)[1:]
            if earlier >= offset:
                raise Damaged("index_wrong")
            offset = earlier
        for offset, body in reversed(bodies):
            self._take_entries(body[_INDEX.size :])
            if self._next != offset:
                raise Damaged("index_wrong")

    def _take_entries(self, entries: bytes) -> None:
        lengths = (RECORD_HEADER + entry[1] for entry in _ENTRY.iter_unpack(entries))
        offsets = array("Q", accumulate(lengths, initial=self._next))
        self._next = offsets.pop()
        self._offsets += offsets
        self._entries += entries

    def _scan(self) -> None:
        """Take up whole records by their headers, up to the end of the file or of its sense."""
        end = self._source.size()
        while self._next + RECORD_HEADER <= end and not self.finished:
            try:
                record = Record.unpack(self._source.read(self._next, RECORD_HEADER), self._next)
            except Damaged:
                return
            if record.sequence != len(self) or record.end > end:
                return
            self._offsets.append(record.offset)
            self._entries += record.entry()
            self._next = record.end
            self.finished = record.type == Type.FINAL


def _is_hex(value: object, size: int) -> bool:
    digits = set("0123456789abcdef")
    return isinstance(value, str) and len(value) == 2 * size and set(value) <= digits
