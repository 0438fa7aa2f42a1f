"""The anatomy of a part for people, line by line, without its key. Nothing in it is verified."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .verify_recording import (
    CLOSING_LIMIT,
    INDEX,
    RECORD_HEADER,
    Checkpoint,
    Closing,
    Damaged,
    Ending,
    File,
    Final,
    Flag,
    Record,
    Source,
    Type,
    read_preamble,
    seconds,
    utc,
)

SUITES = {1: "AES-256-GCM, SHA-256, Ed25519", 2: "SM4-GCM, SM3, SM2 (not certified)"}
ENDINGS = {
    Ending.FINISHED: "finished",
    Ending.WRITING_FAILED: "writing failed",
    Ending.STOPPED: "the writer was stopped",
}


@dataclass
class _Sum:
    """Records of one kind."""

    records: int = 0
    bytes: int = 0
    times_us: list[int] = field(default_factory=list)
    """First and last."""

    def add(self, record: Record) -> None:
        self.records += 1
        self.bytes += RECORD_HEADER + record.length
        self.times_us = [self.times_us[0] if self.times_us else record.time_us, record.time_us]


def anatomy(path: Path, *, each: bool = False) -> Iterator[str]:
    """What the file shows to anybody; with `each`, every record too. `Damaged` for no part."""
    with contextlib.closing(File(path)) as source:
        preamble = read_preamble(source)
        yield from _header(preamble.header)
        yield f"{'preamble':14}{preamble.size} bytes, hash {preamble.hash.hex()}"
        yield f"{'commitment':14}{preamble.commitment.hex()}"
        sums: dict[str, _Sum] = {}
        bodies = _Clear()
        last: Record | None = None
        size, end = source.size(), preamble.size
        if each:
            yield ""
            yield f"{'record':>8} {'time':>14} {'offset':>12} {'bytes':>9}  kind"
        for record in _records(source, end, size):
            kind = _kind(record)
            sums.setdefault(kind, _Sum()).add(record)
            told = bodies.look(source, record)
            last, end = record, record.end
            if each:
                place = f"{seconds(record.time_us):>14} {record.offset:12} {record.length:9}"
                yield f"{record.sequence:8} {place}  {kind}{told}"
        yield ""
        yield f"{'kind':22} {'records':>8} {'bytes':>13}  media time"
        for kind, one in sorted(sums.items()):
            span = " to ".join(seconds(time_us) for time_us in one.times_us)
            yield f"{kind:22} {one.records:8} {one.bytes:13}  {span}"
        yield ""
        yield from bodies.lines()
        if last is None or last.type != Type.FINAL:
            yield f"{'end':14}has no FINAL"
        yield f"{'behind':14}{size - end} bytes behind the last whole record"
    yield from _closing(path.with_name(path.name + ".close"))
    yield f"{'not verified':14}this is what the file says of itself; `verify` says if it is true"


def _header(header: dict[str, Any]) -> Iterator[str]:
    told = dict(header)
    told["created"] = utc(header["created"])
    told["suite"] = f"{header['suite']}: {SUITES[header['suite']]}"
    previous = header["previous"]
    told["previous"] = (
        f"part {previous['part_id']}, chain {previous['chain']}" if previous else "none"
    )
    for key, value in sorted(told.items()):
        yield f"{key:14}{value}"


class _Clear:
    """What the bodies that are not encrypted say."""

    def __init__(self) -> None:
        self._checkpoints = 0
        self._longest_us = self._before_us = 0
        self._most = 0
        self._wall: list[int] = []
        self._final: Final | None = None

    def look(self, source: Source, record: Record) -> str:
        """Take one record in; what to say on its line."""
        if record.type in (Type.DATA, Type.EVENT):
            return ""
        body = source.read(record.offset + RECORD_HEADER, record.length)
        if record.type == Type.INDEX:
            first, before, _ = INDEX.unpack_from(body)
            return f" of records from {first} on, the one before at {before}"
        if record.type == Type.FINAL:
            self._final = Final.unpack(body)
            return f" {utc(self._final.wall_us)}"
        point = Checkpoint.unpack(body)
        self._checkpoints += 1
        self._longest_us = max(self._longest_us, record.time_us - self._before_us)
        self._before_us = record.time_us
        self._most = max(self._most, len(point.leaves))
        self._wall = [self._wall[0] if self._wall else point.wall_us, point.wall_us]
        return f" over {len(point.leaves)} records, {utc(point.wall_us)}"

    def lines(self) -> Iterator[str]:
        if self._wall:
            told = f"{self._checkpoints}, at most {seconds(self._longest_us)} of media and"
            yield f"{'signatures':14}{told} {self._most} records apart"
            yield f"{'signed':14}{utc(self._wall[0])} to {utc(self._wall[1])} by the writer's clock"
        if self._final:
            ending = self._final.ending
            known = ENDINGS[Ending(ending)] if ending in list(Ending) else "unknown"
            yield f"{'end':14}ends with FINAL: {known} ({ending}), {utc(self._final.wall_us)}"
            yield f"{'chain':14}{self._final.chain.hex()} in front of FINAL"


def _closing(path: Path) -> Iterator[str]:
    """What lies beside the part."""
    if not path.exists():
        return
    with path.open("rb") as file:
        data = file.read(2 * CLOSING_LIMIT)
    try:
        closing = Closing.parse(data)
    except Damaged as error:
        yield f"{'closing':14}is none: {error.detail}"
        return
    told = f"{closing.cause}; by {closing.by}, {utc(closing.closed)}"
    yield f"{'closing':14}{told}"
    yield f"{'':14}{closing.records} records, {closing.signed_records} of them signed by the writer"
    opened = "were opened" if closing.opened else "were not opened"
    yield f"{'':14}the records that the writer had not signed {opened} when it was closed"
    yield f"{'':14}signed by {closing.signer}, suite {closing.suite}"


def _records(source: Source, offset: int, size: int) -> Iterator[Record]:
    """Whole records from `offset` on, as far as their headers make sense."""
    with contextlib.suppress(Damaged):
        while offset + RECORD_HEADER <= size:
            record = Record.unpack(source.read(offset, RECORD_HEADER), offset)
            if record.end > size:
                return
            yield record
            offset = record.end
            if record.type == Type.FINAL:
                return


def _kind(record: Record) -> str:
    name = Type(record.type).name
    if record.type != Type.DATA:
        return name
    flags = "".join(f" {flag.name}" for flag in Flag if record.flags & flag)
    return f"{name} {record.stream}{flags}"
