"""Parts for tests: a store in memory that can fail on demand, and small sealed parts in it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recordings.container import Flag, PartWriter, Record, Type
from recordings.keys import FileSigner, Signer
from recordings.store import Lock

DEK = sha256(b"test data key").digest()
SIGNER = FileSigner(Ed25519PrivateKey.from_private_bytes(sha256(b"test signer").digest()))
STRANGER = FileSigner(Ed25519PrivateKey.from_private_bytes(sha256(b"another signer").digest()))
PART_ID = "00112233445566778899aabbccddeeff"


def header(**changes: object) -> dict[str, object]:
    """Header of part 1 of a session."""
    return {
        "part_id": PART_ID,
        "session": "S-1",
        "part": 1,
        "previous": None,
        "key_id": "bank/2026-11",
        **changes,
    }


@dataclass
class MemorySink:
    """Appends to a bytearray; `fault(bytes so far, data)` says how many bytes go through."""

    data: bytearray
    fault: Callable[[int, bytes], int | None] = lambda size, data: None
    reserve: int = 8 << 20
    syncs: int = 0
    missing: bytes = b""
    closed: bool = False
    sync_fault: Callable[[int], None] = lambda count: None
    gate: threading.Event | None = None

    def append(self, data: bytes) -> None:
        if self.gate is not None:
            self.gate.wait()
        through = self.fault(len(self.data), data)
        if through is None:
            self.data += data
            return
        self.data += data[:through]
        self.missing = data[through:]
        raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self) -> None:
        self.syncs += 1
        self.sync_fault(self.syncs)

    def complete(self) -> None:
        if self.reserve < len(self.missing):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.fault = lambda size, data: None
        self.data += self.missing
        self.missing = b""

    def close(self) -> None:
        self.closed = True


@dataclass
class MemorySource:
    data: bytes | bytearray
    reads: list[tuple[int, int]] = field(default_factory=list)

    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise ValueError((offset, length))
        self.reads.append((offset, length))
        return bytes(self.data[offset : offset + length])

    def expect(self, spans: Iterable[tuple[int, int]]) -> None:
        pass

    def close(self) -> None:
        pass


class MemoryStore:
    """Parts in a dictionary."""

    def __init__(self, **parts: bytes) -> None:
        self.parts: dict[str, bytes | bytearray] = dict(parts)
        self.sink: MemorySink | None = None
        self.options: dict[str, object] = {}
        self.live: set[str] = set()

    def create(self, name: str) -> MemorySink:
        if name in self.parts:
            raise FileExistsError(name)
        data = self.parts[name] = bytearray()
        self.sink = MemorySink(data, **self.options)  # type: ignore[arg-type]
        return self.sink

    def open(self, name: str) -> MemorySource:
        try:
            return MemorySource(self.parts[name])
        except KeyError:
            raise FileNotFoundError(name) from None

    def being_written(self, name: str) -> bool:
        return name in self.live

    def put(self, name: str, data: bytes) -> None:
        if name in self.parts:
            raise FileExistsError(name)
        self.parts[name] = data

    def discard(self, name: str) -> None:
        self.delete(name)

    def delete(self, name: str) -> None:
        self.parts.pop(name, None)

    def guard(self, name: str, lock: Lock) -> None:
        pass

    def names(self) -> list[str]:
        return sorted(self.parts)

    def where(self, name: str) -> str:
        return f"memory:{name}"


class Wall:
    """A wall clock that goes 1 ms on at each look."""

    def __init__(self) -> None:
        self.now = 1_795_000_000_000_000

    def __call__(self) -> int:
        self.now += 1000
        return self.now


def sealed(
    *,
    records: int = 12,
    every: int = 4,
    finish: bool = True,
    dek: bytes = DEK,
    signer: Signer = SIGNER,
    size: int = 60,
    **changes: object,
) -> bytes:
    """A part of `records` DATA and EVENT records with a CHECKPOINT after each `every`."""
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(**changes), dek=dek, signer=signer, wall=Wall())
    for number in range(records):
        time_us = number * 100_000
        if number % 5 == 4:
            writer.event(time_us, b'{"kind":"step","number":%d}' % number)
        else:
            flag = Flag.KEYFRAME if number % 3 == 0 else Flag.NONE
            writer.data(1 + number % 2, time_us, bytes([number % 256]) * size, flag)
        if number % every == every - 1:
            writer.checkpoint()
    if finish:
        writer.finish()
    return bytes(sink.data)


def layout(part: bytes | bytearray) -> list[Record]:
    """The records of a part that is whole."""
    offset = 12 + int.from_bytes(part[8:12], "big") + 96
    records = []
    while offset < len(part):
        records.append(Record.unpack(bytes(part[offset : offset + 24]), offset))
        offset = records[-1].end
    return records


def of_type(part: bytes, type: Type) -> list[Record]:
    return [record for record in layout(part) if record.type == type]
