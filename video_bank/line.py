"""The waiting line at work: who is at which desk, what rings where, and for how long.

The rows in the database say who waits; the desks live in this process.  :meth:`Line.sync` makes
reality match the wish and is called after every change, so no event needs its own special case.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from video_bank.bus import Bus
from video_bank.errors import Conflict
from video_bank.routing import Ready, choose, estimate_s, order
from video_bank.sessions import Sessions
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

ABSENCE_S = 10.0
"A ready teller whose page is gone this long is away; a reload takes less."
DEFAULT_TALK_S = 360.0
"Expected length of a call before the day has shown its own average."


@dataclass
class Desk:
    """One teller's place and what happens there now."""

    teller: str
    skills: frozenset[str] = frozenset()
    state: str = "away"
    "away, ready, ringing, talking or wrap_up."
    since: int = 0
    session: str | None = None
    rings_until: int | None = None
    pages: int = 0
    "Open pages of this teller."
    gone_since: int | None = None

    def turn(self, state: str, session: str | None = None, rings_until: int | None = None) -> None:
        self.state, self.session, self.rings_until = state, session, rings_until
        self.since = now_us()


class Line:
    """All desks and the customers in front of them."""

    def __init__(
        self, db: Database, bus: Bus, sessions: Sessions, *, ring_s: float
    ) -> None:
        self._db, self._bus, self._sessions = db, bus, sessions
        self._ring_s = ring_s
        self._desks: dict[str, Desk] = {}
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._told: dict[str, dict[str, Any]] = {}
        "What each topic was last told."
        sessions.on_line_change = self._wake.set

    def desk(self, teller: str) -> Desk:
        """The teller's desk, away until said otherwise."""
        return self._desks.setdefault(teller, Desk(teller, since=now_us()))

    @property
    def working(self) -> int:
        """Tellers who serve now or would: at a desk that is not away, with a page open."""
        desks = self._desks.values()
        return sum(desk.state != "away" and desk.pages > 0 for desk in desks)

    # -- what tellers do ------------------------------------------------------------------

    def page_opened(self, teller: str) -> None:
        """A page of this teller has connected."""
        desk = self.desk(teller)
        desk.pages += 1
        desk.gone_since = None

    def page_closed(self, teller: str) -> None:
        """A page of this teller is gone; after :data:`ABSENCE_S` without any the desk is away."""
        desk = self.desk(teller)
        desk.pages -= 1
        if not desk.pages:
            desk.gone_since = now_us()

    async def set_state(self, teller: str, state: str, skills: frozenset[str]) -> None:
        """The teller says `ready` or `away`.

        Raises:
            Conflict: a customer is at the desk.
        """
        desk = self.desk(teller)
        if desk.state in ("talking", "wrap_up"):
            raise Conflict("customer_at_desk")
        if desk.state == "ringing" and desk.session:
            await self._withdraw(desk, desk.session)
        desk.skills = skills
        self._turn(desk, state)

    async def accept(self, session: str, teller: str) -> None:
        """The teller takes the customer who rings."""
        await self._sessions.accept(session, teller)
        self._turn(self.desk(teller), "talking", session)

    async def decline(self, session: str, teller: str) -> None:
        """The teller lets somebody else take the customer and is away."""
        await self._sessions.back_to_line(session, "decline", teller)
        self._turn(self.desk(teller), "away")

    def ended(self, session: str) -> None:
        """The customer has gone; the teller wraps up."""
        for desk in self._desks.values():
            if desk.session == session and desk.state == "talking":
                self._turn(desk, "wrap_up", session)

    def closed(self, session: str) -> None:
        """Wrap-up is done; the teller is ready for the next."""
        for desk in self._desks.values():
            if desk.session == session:
                self._turn(desk, "ready")

    def left(self, session: str) -> None:
        """A customer who was ringing has left the line."""
        for desk in self._desks.values():
            if desk.session == session and desk.state == "ringing":
                self._tell(desk, "offer_withdrawn", {"session": session, "reason": "customer_left"})
                self._turn(desk, "ready")

    # -- the loop -------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the line in step until cancelled: at every change, and each second."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout=1.0)
                # Changes come in bursts (a leave frees a desk): one pass for all of them.
                await asyncio.sleep(0.02)
            self._wake.clear()
            try:
                await self.sync()
            except Exception:
                # The line must outlive a database that is away for a while; the next pass retries.
                log.exception("- the line could not be brought up to date")
                await asyncio.sleep(1.0)

    async def sync(self) -> None:
        """Ring where somebody waits and somebody is ready; tell everybody where they stand."""
        async with self._lock:
            await self._clocks()
            waiting = await self._sessions.waiting()
            while match := choose(waiting, self._ready(), now_us()):
                waiting = [each for each in waiting if each.session != match.session]
                with contextlib.suppress(Conflict):  # the customer has just left
                    await self._ring(match.session, match.teller)
            await self._tell_places()

    async def _clocks(self) -> None:
        now = now_us()
        for desk in self._desks.values():
            if desk.state == "ringing" and desk.session and now >= (desk.rings_until or 0):
                await self._missed(desk, desk.session)
            absent = desk.gone_since and now - desk.gone_since > ABSENCE_S * 1e6
            if absent and desk.state == "ready":
                self._turn(desk, "away")
            elif absent and desk.state == "ringing" and desk.session:
                await self._withdraw(desk, desk.session)
                self._turn(desk, "away")

    async def _missed(self, desk: Desk, session: str) -> None:
        with contextlib.suppress(Conflict):
            await self._sessions.back_to_line(session, "ring_out", desk.teller)
        self._tell(desk, "offer_withdrawn", {"session": session, "reason": "ring_out"})
        # Set away: a desk that does not answer must not swallow the next customer too.
        self._turn(desk, "away")

    async def _withdraw(self, desk: Desk, session: str) -> None:
        with contextlib.suppress(Conflict):
            await self._sessions.back_to_line(session, "withdraw", desk.teller)
        self._tell(desk, "offer_withdrawn", {"session": session, "reason": "away"})

    async def _ring(self, session: str, teller: str) -> None:
        row = await self._sessions.offer(session, teller)
        now = now_us()
        desk = self.desk(teller)
        self._turn(desk, "ringing", session, now + int(self._ring_s * 1e6))
        self._tell(desk, "offered", self.offer_of(desk, row))

    def offer_of(self, desk: Desk, row: Any) -> dict[str, Any]:
        """What the teller is told of the customer who rings."""
        now = now_us()
        return {
            "session": row["id"],
            "business": row["business"],
            "language": row["language"],
            "waited_s": (now - row["queued_at"]) // 1_000_000,
            "ring_s": max(0, -((now - (desk.rings_until or now)) // 1_000_000)),
            "face_consent": bool(row["consent_face"]),
        }

    def _ready(self) -> list[Ready]:
        return [
            Ready(desk.teller, desk.since, desk.skills)
            for desk in self._desks.values()
            if desk.state == "ready" and desk.pages
        ]

    def _turn(
        self, desk: Desk, state: str, session: str | None = None, rings_until: int | None = None
    ) -> None:
        desk.turn(state, session, rings_until)
        self._tell(desk, "teller", {"state": state, "session": session})
        self._wake.set()

    def _tell(self, desk: Desk, topic: str, data: dict[str, Any]) -> None:
        self._bus.publish(f"staff:{desk.teller}", {"topic": topic, "data": data})

    # -- where everybody stands -----------------------------------------------------------

    async def _tell_places(self) -> None:
        """Tell customers their places and tellers the line, where it differs from the last time."""
        now = now_us()
        waiting = order(await self._sessions.waiting(), now)
        average = await self.average_talk_s() if waiting else DEFAULT_TALK_S
        customers = await self._sessions.waiting_customers() if waiting else {}
        told: dict[str, dict[str, Any]] = {}
        for place, each in enumerate(waiting, start=1):
            if customer := customers.get(each.session):
                estimate = estimate_s(place, self.working, average)
                place_now = {"place": place, "estimate_s": estimate, "open": self.working > 0}
                told[f"customer:{customer}"] = place_now
        # When the one who waits longest joined stands for the age, which grows by itself.
        since = min((each.queued_at for each in waiting), default=now)
        told["queue"] = {"waiting": len(waiting), "since": since if waiting else None}
        for topic, data in told.items():
            if self._told.get(topic) != data:
                if topic == "queue":
                    data = {"waiting": len(waiting), "longest_s": (now - since) // 1_000_000}
                self._bus.publish(topic, {"topic": "queue", "data": data})
        self._told = told

    async def place_of(self, session: str) -> tuple[int | None, int | None]:
        """(place, estimate in seconds) of a waiting session; (None, None) when it does not wait."""
        line = order(await self._sessions.waiting(), now_us())
        for place, each in enumerate(line, start=1):
            if each.session == session:
                return place, estimate_s(place, self.working, await self.average_talk_s())
        return None, None

    async def estimate_for_next(self) -> int | None:
        """Seconds somebody who joined now would wait."""
        place = len(await self._sessions.waiting()) + 1
        if any(desk.state == "ready" for desk in self._desks.values()) and place == 1:
            return 0
        return estimate_s(place, self.working, await self.average_talk_s())

    async def average_talk_s(self) -> float:
        """Mean length of the last day's calls, in seconds."""
        query = select(func.avg(t.sessions.c.ended_at - t.sessions.c.accepted_at)).where(
            t.sessions.c.ended_at > now_us() - 86_400_000_000, t.sessions.c.accepted_at.is_not(None)
        )
        async with self._db.read() as c:
            average = (await c.execute(query)).scalar()
        return float(average) / 1e6 if average else DEFAULT_TALK_S

    async def summary(self) -> dict[str, Any]:
        """The line by business, for the teller's status bar."""
        now = now_us()
        waiting = await self._sessions.waiting()
        groups: dict[str, list[int]] = {}
        for each in waiting:
            groups.setdefault(each.business, []).append((now - each.queued_at) // 1_000_000)
        return {
            "waiting": len(waiting),
            "longest_s": max((max(ages) for ages in groups.values()), default=0),
            "by_business": [
                {"business": business, "waiting": len(ages), "longest_s": max(ages)}
                for business, ages in sorted(groups.items())
            ],
        }
