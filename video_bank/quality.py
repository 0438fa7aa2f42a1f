"""How well each person's media arrived, kept as a small series: one point each ten seconds.

What the room measures every two seconds is put together here and written in batches, away from
the media; it stays when the call is over.
"""

import asyncio
import logging
from collections import defaultdict
from statistics import fmean
from typing import Any, Protocol

from sqlalchemy import RowMapping, insert, select

from video_bank.storage import Database
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

POINT_S = 10
WRITE_S = 10.0
MOST_POINTS = 6000
"Of one session; six people fill them in 2 h 45 min, and nothing is kept after that."
MOST_WAITING = 20_000
"Points kept for a database that is away."


class Measure(Protocol):
    """What is known of one person's media at one moment."""

    @property
    def level(self) -> int: ...
    @property
    def kbps(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def rtt_ms(self) -> float | None: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def frozen_s(self) -> float: ...
    @property
    def sound(self) -> float | None: ...


class Quality:
    """The series of every session."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._open: dict[tuple[str, str], tuple[int, list[Measure]]] = {}
        "(Session, person) → the point that is being made: its media second and the measures."
        self._made: list[dict[str, Any]] = []
        self._count: defaultdict[str, int] = defaultdict(int)
        "Points by session under way."

    def take(self, session: str, person: str, time_us: int, measure: Measure) -> None:
        """Note a measure; called in the room's loop, so it only remembers."""
        key, second = (session, person), time_us // (POINT_S * 1_000_000) * POINT_S
        begun, measures = self._open.setdefault(key, (second, []))
        if begun == second:
            measures.append(measure)
            return
        self._make(key)
        self._open[key] = (second, [measure])

    async def finish(self, session: str) -> None:
        """The call is over: what there is of its last points is kept too."""
        for key in [key for key in self._open if key[0] == session]:
            self._make(key)
        self._count.pop(session, None)
        await self.write()

    async def run(self) -> None:
        """Write what was made, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_S)
            try:
                await self.write()
            except Exception:
                # The points wait for a database that comes back.
                log.exception("- the quality of calls could not be written")

    async def write(self) -> None:
        """Write every point made so far, in one transaction."""
        waiting, self._made = self._made, []
        if not waiting:
            return
        try:
            async with self._db.write() as tx:
                await tx.execute(insert(t.quality), waiting)
        except BaseException:
            self._made = (waiting + self._made)[-MOST_WAITING:]
            raise

    async def of(self, session: str) -> list[dict[str, Any]]:
        """The series of a session, by person; ``points`` as the contract of the API has them."""
        q, p = t.quality.c, t.participants.c
        same = (p.session_id == q.session_id) & (p.person_id == q.person_id)
        query = (
            select(t.quality, p.role)
            .join(t.participants, same)
            .where(q.session_id == session)
            .order_by(q.person_id, q.t_s)
        )
        series: dict[str, dict[str, Any]] = {}
        async with self._db.read() as c:
            for row in (await c.execute(query)).mappings():
                person = {"participant": row["person_id"], "role": row["role"], "points": []}
                series.setdefault(row["person_id"], person)["points"].append(_point(row))
        return list(series.values())

    def _make(self, key: tuple[str, str]) -> None:
        (session, person), (second, measures) = key, self._open.pop(key)
        if self._count[session] >= MOST_POINTS:
            return
        self._count[session] += 1
        self._made.append({"session_id": session, "person_id": person, "t_s": second}
                          | _together(measures))  # fmt: skip


def _together(measures: list[Measure]) -> dict[str, Any]:
    """Several measures as one: means, the last size, all of the time frozen."""
    trips = [each.rtt_ms for each in measures if each.rtt_ms is not None]
    sounds = [each.sound for each in measures if each.sound is not None]
    return {
        "level": round(fmean(each.level for each in measures)),
        "kbps": round(fmean(each.kbps for each in measures), 1),
        "loss": round(fmean(each.loss for each in measures), 4),
        "rtt_ms": round(fmean(trips), 1) if trips else None,
        "width": measures[-1].width,
        "height": measures[-1].height,
        "fps": round(fmean(each.fps for each in measures), 1),
        "frozen_s": round(sum(each.frozen_s for each in measures), 2),
        "sound": round(fmean(sounds), 3) if sounds else None,
    }


COLUMNS = "t_s level kbps loss rtt_ms width height fps frozen_s sound".split()


def _point(row: RowMapping) -> list[Any]:
    return [row[column] for column in COLUMNS]
