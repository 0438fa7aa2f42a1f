"""How far running recordings are signed, noted every ten seconds where their signer has no hand.

What a thief of the signing key could write anew of a recording is what nobody else has noted yet.
So the chain value of each running part goes into a chain of the timeline of its own
(``running:<day>``, UTC), in one row for all parts of the process; no customer's timeline and no
page of the audit log grows by it.  The end of that chain is kept where the audit log's is, and is
stamped by the time-stamp authority with each head of the log of seals.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from video_bank.evidence import Head, Timeline, write_head
from video_bank.storage import Database, Reader, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

NOTE_S = 10.0
KEEP_S = 60.0
"""How often the end of the chain goes into the file for another machine."""
HOUR_US = 3_600_000_000


class Progress(Protocol):
    """How far a part is signed and on the medium."""

    @property
    def records(self) -> int: ...
    @property
    def chain(self) -> str: ...


class Running:
    """What is noted of parts while they are written."""

    parts: Callable[[], Mapping[str, Progress]] = staticmethod(dict)
    "The parts that are being written, by id; set by the assembly."

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        heads: Path | None = None,
        *,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """``heads``: the file that keeps ends of chains for another machine (:func:`write_head`);
        ``clock``: UTC microseconds."""
        self._db, self._timeline, self._heads, self._clock = db, timeline, heads, clock
        self._noted: dict[str, int] = {}
        self._kept: Head | None = None

    async def note(self) -> None:
        """Write down how far each part is, if any moved on."""
        now = {part: (head.records, head.chain) for part, head in self.parts().items()}
        moved = {part: at for part, at in now.items() if at[0] > self._noted.get(part, 0)}
        if not moved:
            return
        async with self._db.write() as tx:
            chain = chain_of(day_of(self._clock()))
            await self._timeline.append(tx, chain, "running", "server", {"parts": moved})
        self._noted = {part: records for part, (records, _) in now.items()}

    async def end(self, reader: Reader, day: str) -> Head:
        """The last row of a day's chain; number 0 if nothing ran."""
        return await self._timeline.head(reader, chain_of(day))

    async def began(self, reader: Reader, day: str) -> int:
        """When the first row of the day was written, UTC microseconds; 0 if nothing ran."""
        entries = await self._timeline.read(reader, chain_of(day), limit=1)
        return entries[0].at if entries else 0

    async def keep(self) -> None:
        """The end of today's chain, if it moved, into the file for another machine."""
        async with self._db.read() as reader:
            head = await self.end(reader, day_of(self._clock()))
        if self._heads is not None and head.seq and head != self._kept:
            await asyncio.to_thread(write_head, self._heads, head)
            self._kept = head

    async def known(self, part: str) -> dict[int, str]:
        """What the bank's own log says of a part: its chain value after so many records.

        From the notes while it ran and from its sealing.  A file that differs is not the one that
        was recorded, whoever signed it.
        """
        async with self._db.read() as reader:
            row = (
                (await reader.execute(select(t.parts).where(t.parts.c.id == part)))
                .mappings()
                .one_or_none()
            )
            if row is None:
                return {}
            # An hour around it: the wall clock may have been set meanwhile.
            first = row["started_at"] - HOUR_US
            last = (row["sealed_at"] or self._clock()) + HOUR_US
            query = select(t.timeline.c.data).where(
                t.timeline.c.chain.in_([chain_of(day) for day in _days(first, last)]),
                t.timeline.c.at.between(first, last),
                t.timeline.c.data.contains(part, autoescape=True),
            )
            noted = [json.loads(each.data)["parts"][part] for each in await reader.execute(query)]
        known = {int(records): str(chain) for records, chain in noted}
        if row["sealed_at"] and row["chain"] and row["records"] and row["verdict"] != "tampered":
            known[int(row["records"])] = str(row["chain"])
        return known

    async def run(self) -> None:
        """Until cancelled."""
        rounds = 0
        while True:
            await asyncio.sleep(NOTE_S)
            rounds += 1
            try:
                await self.note()
                if rounds % int(KEEP_S / NOTE_S) == 0:
                    await self.keep()
            except Exception:  # whatever it is, what comes later wants to be noted
                log.exception("- noting how far recordings are failed once")


def day_of(at: int) -> str:
    """The UTC day of a moment in microseconds."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d")


def chain_of(day: str) -> str:
    """Name of the chain with what was noted on this day."""
    return f"running:{day}"


def _days(first: int, last: int) -> list[str]:
    return sorted({day_of(at) for at in range(first, last, HOUR_US)} | {day_of(last)})
