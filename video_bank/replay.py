"""Recordings seen again: where the streams of a session lie on its clock, their bytes, what the
seal holds besides pictures and sound.

Parts lie one after another on one time line.  A part that is still being written is followed as
far as it is signed.  Everything that touches a disk runs in a thread.
"""

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy import RowMapping

from recordings.container import PartReader, Type
from recordings.errors import Damaged, KeyUnavailable
from recordings.replay import Event, SignedReader, WebmView, event, loudness, streams
from video_bank.archive import Archive
from video_bank.errors import NotFound
from video_bank.evidence import Entry, canonical

KEPT_PARTS = 16
"""Parts kept open between two requests of a player: opening an hour takes 60 ms, and keeping it
2 MB."""
KEPT_VIEWS = 4
"""Views of one stream of a running part: a player changes to a newer one while it still reads the
one before."""

CHUNK = 128 * 1024
"""Bytes decrypted and sent at a time: a seek answers at once and little plaintext is in memory."""
AHEAD_S, HASTE = 8.0, 8.0
"""A player asks for everything up to the end and throws it away with the next seek.  So many
seconds of the stream are sent at once, what follows so many times as fast as it plays: at 4x that
is enough, and the processor has time for the pictures that are waited for."""
PACE = 32 * 1024
"""Bytes a second that every stream has at least, for the reckoning above."""

NEAR_US = 30_000_000
"""Two clocks that say the same up to this much are one; setting up a call takes some of it."""

T = TypeVar("T")


@dataclass
class Opened:
    """A part with its key, ready to be read."""

    reader: PartReader
    running: bool
    offset_us: int = 0
    """What is added to its media times so that it stands behind the part before it."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while records are listed, or taken up."""
    views: OrderedDict[tuple[int, int], WebmView] = field(default_factory=OrderedDict)
    """By stream and number of records that were there."""

    @property
    def records(self) -> int:
        """How many of its records may be seen now."""
        if isinstance(self.reader, SignedReader):
            return self.reader.grow()
        return len(self.reader)

    def view(self, stream: int, records: int) -> WebmView:
        """The stream as it was with so many records; raises KeyError, Damaged."""
        key = stream, records
        if key not in self.views:
            if records > self.records:
                raise KeyError(stream)
            self.views[key] = WebmView(self.reader, stream, records)
        self.views.move_to_end(key)
        kept = [one for one in self.views if one[0] == stream]
        for old in kept[:-KEPT_VIEWS]:
            del self.views[old]
        return self.views[key]


class Replay:
    """What of the archive a viewing shows."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._opened: OrderedDict[str, Opened] = OrderedDict()

    async def streams(self, session: str, viewing: str) -> list[dict[str, Any]]:
        """Every stream of a session with the address its picture and sound are read from."""
        listed: list[dict[str, Any]] = []
        for part, opened in await self._parts(session):
            with contextlib.suppress(Damaged, OSError):
                for view, number, label, records in await _locked(opened, _views):
                    listed.append(
                        {
                            "part": part["id"],
                            "number": part["number"],
                            "stream": number,
                            "label": label,
                            "pictures": view.pictures,
                            "start_us": view.start_us + opened.offset_us,
                            "duration_us": view.duration_us,
                            "running": opened.running,
                            "url": f"/api/viewings/{viewing}/streams/{part['id']}/{number}"
                            f"?records={records}",
                        }
                    )
        return listed

    async def view(self, session: str, part: str, stream: int, records: int) -> WebmView:
        """One stream of one part as it was with so many records, readable anywhere.

        Raises:
            NotFound: there is no such stream, or its key has been erased.
        """
        rows = await self._archive.parts(session)
        row = next((each for each in rows if each["id"] == part), None)
        if row is None:
            raise NotFound("unknown_stream")
        try:
            opened = await self._open(row)
            return await _locked(opened, lambda o: o.view(stream, records))
        except (KeyError, Damaged, KeyUnavailable, OSError) as error:
            raise NotFound("unknown_stream") from error

    async def read(self, view: WebmView, offset: int, length: int) -> bytes:
        """A range of a stream, decrypted for this answer only."""
        return await asyncio.to_thread(view.read, offset, length)

    async def pieces(self, view: WebmView, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes `start` to `stop` of a stream for a player, soon at first, then at its pace."""
        began, pace = time.monotonic(), max(PACE, view.size / max(view.duration_us, 1) * 1e6)
        free, sent = pace * AHEAD_S, 0
        while start < stop:
            early = (sent - free) / (pace * HASTE) - (time.monotonic() - began)
            if early > 0:
                await asyncio.sleep(early)
            piece = await self.read(view, start, min(CHUNK, stop - start))
            yield piece
            start, sent = start + len(piece), sent + len(piece)

    async def events(self, session: str) -> list[Event]:
        """What happened, as it was sealed, in order; loudness left out."""
        return [
            replace(one, time_us=one.time_us + opened.offset_us)
            for _, opened in await self._parts(session)
            for one in await _locked(opened, _events)
            if one.body.get("kind") != "levels"
        ]

    async def levels(self, session: str) -> list[dict[str, Any]]:
        """How loud everybody spoke, by person, with the media time at which each piece begins."""
        heard: list[dict[str, Any]] = []
        for _, opened in await self._parts(session):
            labels = await _locked(opened, lambda o: {s.number: s.label for s in streams(o.reader)})
            for one in await _locked(opened, _events):
                if (piece := loudness(one)) and piece.stream in labels:
                    heard.append(
                        {
                            "label": labels[piece.stream],
                            "from_us": piece.from_us + opened.offset_us,
                            "step_ms": piece.step_ms,
                            "values": piece.values,
                        }
                    )
        return heard

    async def edge(self, session: str) -> int | None:
        """Media time up to which a running recording is signed; None when none runs."""
        for _, opened in reversed(await self._parts(session)):
            if isinstance(opened.reader, SignedReader):
                reader = opened.reader
                await _locked(opened, lambda o: o.records)
                return reader.signed_us + opened.offset_us
        return None

    def forget(self, part: str) -> None:
        """Let go of a part that was erased: its key must not outlive it here."""
        self._opened.pop(part, None)

    async def _parts(self, session: str) -> list[tuple[RowMapping, Opened]]:
        """The parts that can be opened, placed on one time line."""
        rows = await self._archive.parts(session)
        parts: list[tuple[RowMapping, Opened]] = []
        for row in rows:
            if row["erased_at"] is not None:
                continue
            with contextlib.suppress(Damaged, KeyUnavailable, OSError):
                parts.append((row, await self._open(row)))
        if len(parts) > 1:
            await asyncio.to_thread(_place, parts)
        return parts

    async def _open(self, row: RowMapping) -> Opened:
        """The part, opened now or lately."""
        running = row["sealed_at"] is None
        if row["erased_at"] is not None:
            self._opened.pop(row["id"], None)  # the key in it must not outlive the erasure
        kept = self._opened.get(row["id"])
        # Sealed since: what was not signed yet is vouched for now, by FINAL or by recovery.
        if kept is None or kept.running != running:
            reader = await asyncio.to_thread(self._archive.reader, row)
            kept = self._opened[row["id"]] = Opened(reader, running, kept.offset_us if kept else 0)
        self._opened.move_to_end(row["id"])
        while len(self._opened) > KEPT_PARTS:
            self._opened.popitem(last=False)
        return kept


async def _locked(opened: Opened, work: Callable[[Opened], T]) -> T:
    def run() -> T:
        with opened.lock:
            return work(opened)

    return await asyncio.to_thread(run)


def _views(opened: Opened) -> list[tuple[WebmView, int, str, int]]:
    records = opened.records
    return [
        (opened.view(each.number, records), each.number, each.label, records)
        for each in streams(opened.reader)
    ]


def _events(opened: Opened) -> list[Event]:
    """Those that can be opened: one that was tampered with must not hide the others."""
    found, records = [], list(opened.reader.select(Type.EVENT))
    opened.reader.expect(records)
    for record in records:
        with contextlib.suppress(Damaged):
            found.append(event(opened.reader, record))
    return found


def _place(parts: list[tuple[RowMapping, Opened]]) -> None:
    """A part's media time goes on where the part before ended.  If its clock began anew, it is
    moved to where it stood by the wall clock, but never over the part before."""
    end_us = 0
    for row, opened in parts:
        with opened.lock:
            times = [record.time_us for record in opened.reader.select(Type.DATA)]
        if not times:
            continue
        first_us, since_us = min(times), row["started_at"] - parts[0][0]["started_at"]
        began_anew = first_us < end_us or first_us + NEAR_US < since_us
        opened.offset_us = max(end_us - first_us, since_us) if began_anew else 0
        end_us = max(times) + opened.offset_us


def chapters(entries: Sequence[Entry], happened: Sequence[Event]) -> list[dict[str, Any]]:
    """The database's timeline against the events inside the recording's seal.

    An entry that is in both stands where the seal has it, and is `sealed`.  An event that the
    database does not have is there too, without a number: what was sealed cannot be made to
    disappear from a replay.
    """
    waiting: defaultdict[str, deque[Event]] = defaultdict(deque)
    for one in happened:
        waiting[_said(one.body)].append(one)
    listed = []
    for entry in entries:
        same = waiting[_said({"kind": entry.kind, "actor": entry.actor, "data": entry.body})]
        known = same.popleft() if same else None
        listed.append(
            {
                "seq": entry.seq,
                "at": entry.at,
                "media_time_us": known.time_us if known else entry.media_time_us,
                "kind": entry.kind,
                "actor": entry.actor.partition(":")[0],
                "data": entry.body,
                "sealed": known is not None,
            }
        )
    for same in waiting.values():
        for one in same:
            listed.insert(_place_of(one.time_us, listed), _unlisted(one))
    return listed


def _said(body: Mapping[str, Any]) -> str:
    return canonical({name: body.get(name) for name in ("kind", "actor", "data")})


def _place_of(time_us: int, listed: list[dict[str, Any]]) -> int:
    """Behind the last entry that is not later; what has no media time stays where it is."""
    earlier = [
        place
        for place, one in enumerate(listed)
        if one["media_time_us"] is not None and one["media_time_us"] <= time_us
    ]
    return earlier[-1] + 1 if earlier else 0


def _unlisted(one: Event) -> dict[str, Any]:
    data = one.body.get("data")
    return {
        "seq": None,
        "at": None,
        "media_time_us": one.time_us,
        "kind": str(one.body.get("kind", "")),
        "actor": str(one.body.get("actor", "server")).partition(":")[0],
        "data": data if isinstance(data, dict) else {},
        "sealed": True,
    }
