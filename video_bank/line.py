"""The waiting line at work: who is at which desk, what rings where, and for how long.

The rows in the database say who waits; the desks live in this process.  :meth:`Line.sync` makes
reality match the wish and is called after every change, so no event needs its own special case.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, func, select

from video_bank.bus import Bus
from video_bank.errors import Conflict
from video_bank.routing import Ready, Waiting, choose, estimate_s, order
from video_bank.sessions import Sessions
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t
from video_bank.transfers import Transfers

log = logging.getLogger(__name__)

ABSENCE_S = 10.0
"A ready teller whose page is gone this long is away; a reload takes less."
LEFT_OPEN_S = 600.0
"Wrap-up at a desk nobody has come back to for this long is closed."
DEFAULT_TALK_S = 360.0
"Expected length of a call before the day has shown its own average."
FREE = ("away", "ready")
"States of a desk where nothing happens."


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
    transfer: dict[str, Any] | None = None
    "What rings is a colleague's session: the colleague's name and note."
    assists: bool = False
    "Talking as a colleague in somebody else's session."
    before: str = "away"
    "What the desk was before it rang or assisted."
    pages: int = 0
    "Open pages of this teller."
    gone_since: int | None = None

    def turn(self, state: str, session: str | None = None, rings_until: int | None = None) -> None:
        """What happens here now."""
        if self.state in FREE:
            self.before = self.state
        self.state, self.session, self.rings_until = state, session, rings_until
        self.transfer, self.assists = None, False
        self.since = now_us()


class Line:
    """All desks and the customers in front of them."""

    def __init__(
        self, db: Database, bus: Bus, sessions: Sessions, transfers: Transfers, *, ring_s: float
    ) -> None:
        self._db, self._bus = db, bus
        self._sessions, self._transfers = sessions, transfers
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
        self.require_free(teller)
        if desk.state == "ringing":
            await self._give_back(desk, "withdraw", state)
        desk.skills = skills
        self._turn(desk, state)

    def require_free(self, teller: str) -> None:
        """Raises Conflict while a customer is at the desk."""
        if self.desk(teller).state in ("talking", "wrap_up"):
            raise Conflict("customer_at_desk")

    async def accept(self, session: str, teller: str) -> None:
        """The teller takes the customer who rings, or a colleague's session."""
        if self._rings_as_transfer(session, teller):
            former = self.desk(await self._transfers.take(session, teller))
            if former.session == session:
                self._turn(former, "ready")
        else:
            await self._sessions.accept(session, teller)
        self._turn(self.desk(teller), "talking", session)

    async def decline(self, session: str, teller: str) -> None:
        """The teller lets somebody else take the customer and is away."""
        if self._rings_as_transfer(session, teller):
            await self._transfers.fail(session, teller, "declined", f"staff:{teller}")
        else:
            await self._sessions.back_to_line(session, "decline", teller)
        self._turn(self.desk(teller), "away")

    async def transfer(
        self, session: str, teller: str, to: str | None, *, name: str, note: str
    ) -> None:
        """Ring at a colleague's desk; ``to`` None: the one the line would choose.

        ``name``: what the colleague calls the teller.  Raises Conflict when the colleague is
        busy or has no page open, or nobody is ready.
        """
        async with self._lock:
            row = await self._sessions.get(session)
            desk = self._target(row, teller, to)
            await self._transfers.offer(session, teller, desk.teller, note)
            if desk.state not in FREE:  # the colleague has just gone into another session
                await self._transfers.fail(session, desk.teller, "missed", "server")
                raise Conflict("colleague_busy")
            self._begin_ring(desk, row, {"from": name, "note": note})

    async def cancel_transfer(self, session: str, teller: str) -> None:
        """The teller keeps the session after all.

        Raises:
            Conflict: nothing rings any more.
        """
        desk = self._where_it_rings(session)
        if desk is None:
            raise Conflict("offer_gone")
        await self._transfers.fail(session, desk.teller, "cancelled", f"staff:{teller}")
        self._stop_ringing(desk, session, "cancelled")

    def transfer_rings(self, session: str) -> bool:
        """Whether the session is on its way to another desk just now."""
        return self._where_it_rings(session) is not None

    async def assist(self, session: str, staff: str) -> None:
        """A colleague is in somebody else's session, and cannot be rung meanwhile."""
        desk = self.desk(staff)
        if desk.state == "ringing":
            await self._give_back(desk, "withdraw", "away")
        if desk.state in FREE:
            self._turn(desk, "talking", session)
            desk.assists = True

    def assisted(self, session: str, staff: str) -> None:
        """The colleague has left that session."""
        desk = self.desk(staff)
        if desk.assists and desk.session == session:
            self._turn(desk, desk.before)

    def ended(self, session: str) -> None:
        """The customer has gone; the teller wraps up."""
        for desk in self._desks.values():
            if desk.session != session:
                continue
            if desk.assists:
                self._turn(desk, desk.before)
            elif desk.state == "talking":
                self._turn(desk, "wrap_up", session)
            elif desk.state == "ringing":
                self._stop_ringing(desk, session, "ended")

    def closed(self, session: str) -> None:
        """Wrap-up is done; the teller is ready for the next."""
        for desk in self._desks.values():
            if desk.session == session:
                self._turn(desk, "ready")

    def left(self, session: str) -> None:
        """A customer who was ringing has left the line."""
        for desk in self._desks.values():
            if desk.session == session and desk.state == "ringing":
                self._stop_ringing(desk, session, "customer_left")

    def present(self) -> dict[str, Desk]:
        """Everybody of the staff with an open page, by id."""
        return {desk.teller: desk for desk in self._desks.values() if desk.pages}

    def at_work(self) -> dict[str, Desk]:
        """Every desk that is not away, or whose teller has a page open, by teller."""
        desks = self._desks.values()
        return {desk.teller: desk for desk in desks if desk.pages or desk.state != "away"}

    def pulse(self) -> list[Any]:
        """What of the line a supervisor looks at; compared to see whether it changed."""
        desks = [(desk.teller, desk.state, desk.session) for desk in self.at_work().values()]
        return [desks, self._told.get("queue")]

    def _rings_as_transfer(self, session: str, teller: str) -> bool:
        desk = self.desk(teller)
        return desk.transfer is not None and desk.session == session

    def _where_it_rings(self, session: str) -> Desk | None:
        for desk in self._desks.values():
            if desk.session == session and desk.transfer is not None:
                return desk
        return None

    def _target(self, row: RowMapping, teller: str, to: str | None) -> Desk:
        """The desk a session would be transferred to."""
        if to is None:
            here = Waiting(row["id"], row["business"], row["language"], row["queued_at"])
            others = [each for each in self._ready() if each.teller != teller]
            match = choose([here], others, now_us())
            if match is None:
                raise Conflict("nobody_ready")
            return self.desk(match.teller)
        desk = self._desks.get(to)
        if desk is None or to == teller or not desk.pages or desk.state not in FREE:
            raise Conflict("colleague_busy")
        return desk

    def _stop_ringing(self, desk: Desk, session: str, reason: str) -> None:
        self._tell(desk, "offer_withdrawn", {"session": session, "reason": reason})
        self._turn(desk, desk.before)

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
        for desk in list(self._desks.values()):
            if desk.state == "ringing" and now >= (desk.rings_until or 0):
                # Set away: a desk that does not answer must not swallow the next customer too.
                await self._give_back(desk, "ring_out", "away")
            absent = desk.gone_since and now - desk.gone_since > ABSENCE_S * 1e6
            if absent and desk.state == "ready":
                self._turn(desk, "away")
            elif absent and desk.state == "ringing":
                await self._give_back(desk, "withdraw", "away")
            elif desk.gone_since and now - desk.gone_since > LEFT_OPEN_S * 1e6:
                await self._close_for(desk)

    async def _close_for(self, desk: Desk) -> None:
        """A teller who was lost in the call does not come back to wrap it up."""
        if desk.state == "wrap_up" and desk.session:
            # Without a decision a call the teller ended stays open: somebody must decide.
            with contextlib.suppress(Conflict):
                await self._sessions.close(desk.session, desk.teller)
                self._turn(desk, "away")

    async def _give_back(self, desk: Desk, event: str, state: str) -> None:
        """What rings goes back to where it came from, and the desk turns to ``state``."""
        session, teller = str(desk.session), desk.teller
        try:
            if desk.transfer is not None:
                await self._transfers.fail(session, teller, "missed", f"staff:{teller}")
            else:
                await self._sessions.back_to_line(session, event, teller)
        except Conflict:
            row = await self._sessions.get(session)
            if row["state"] == "talking" and row["teller_id"] == teller:
                return  # accepted at this very moment
        if desk.state == "ringing" and desk.session == session:
            reason = "ring_out" if event == "ring_out" else "away"
            self._tell(desk, "offer_withdrawn", {"session": session, "reason": reason})
            self._turn(desk, state)

    async def _ring(self, session: str, teller: str) -> None:
        row = await self._sessions.offer(session, teller)
        self._begin_ring(self.desk(teller), row)

    def _begin_ring(
        self, desk: Desk, row: RowMapping, transfer: dict[str, Any] | None = None
    ) -> None:
        self._turn(desk, "ringing", row["id"], now_us() + int(self._ring_s * 1e6))
        desk.transfer = transfer
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
            "transfer": desk.transfer,
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
