"""The gate of the WebSockets: who is let in, what each page is told, and whose page is gone."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiohttp import web

from signaling.socket import Caller, Connection, Entry, Refused
from video_bank.accounts import LOGIN, Login
from video_bank.bus import LAGGED, Bus
from video_bank.calls import Calls
from video_bank.errors import Conflict
from video_bank.line import Line
from video_bank.permissions import ALLOWED, Permission
from video_bank.sessions import Sessions

log = logging.getLogger(__name__)

WATCH_S = 1.0


@dataclass(frozen=True)
class PageCaller(Caller):
    """A caller with the login of its page."""

    login: Login


class Gate:
    """Every open page of this process."""

    def __init__(
        self, bus: Bus, sessions: Sessions, line: Line, calls: Calls, *, place_kept_s: float
    ) -> None:
        self._bus, self._sessions, self._line, self._calls = bus, sessions, line, calls
        self._place_kept_s = place_kept_s
        self._pumps: dict[Connection, asyncio.Task[None]] = {}
        self._pages: dict[str, int] = {}
        "Open pages by customer."
        self._absent: dict[str, float] = {}
        "Customers without a page, with the monotonic second since when."

    async def admit(self, request: web.Request) -> PageCaller:
        """Who opened this socket."""
        login = request.get(LOGIN)
        if login is None:
            raise Refused("not_signed_in", 401)
        return PageCaller(login.subject_id, login.role, login.name, login)

    async def enter(self, caller: Caller, room: str) -> Entry:
        """The call of a session, for those who take part in it."""
        return self._calls.enter(caller, room)

    async def connected(self, connection: Connection) -> None:
        """A page is there: it gets its events from now on."""
        login = _login(connection)
        topics = [f"login:{login.id}", login.actor]
        if login.kind == "customer":
            self._pages[login.subject_id] = self._pages.get(login.subject_id, 0) + 1
            self._absent.pop(login.subject_id, None)
        else:
            topics.append("queue")
            self._line.page_opened(login.subject_id)
        if login.role in ALLOWED[Permission.SUPERVISE]:
            topics.append("supervision")
        ready = asyncio.Event()
        self._pumps[connection] = asyncio.create_task(self._pump(connection, topics, ready))
        # Events between here and the subscription would be lost, and with them a ring.
        await ready.wait()

    async def disconnected(self, connection: Connection) -> None:
        """The page is gone, or will come back in a moment."""
        pump = self._pumps.pop(connection, None)
        if pump is not None:
            pump.cancel()
        login = _login(connection)
        if login.kind == "staff":
            self._line.page_closed(login.subject_id)
            return
        self._pages[login.subject_id] -= 1
        if not self._pages[login.subject_id]:
            del self._pages[login.subject_id]
            self.expect([login.subject_id])

    def expect(self, customers: Iterable[str]) -> None:
        """Customers without a page: their places are kept for as long as any other's."""
        for customer in customers:
            self._absent[customer] = time.monotonic()

    async def _pump(
        self, connection: Connection, topics: Sequence[str], ready: asyncio.Event
    ) -> None:
        """Hand the bus's events to the page."""
        async with self._bus.subscribe(*topics) as events:
            ready.set()
            async for topic, event in events:
                if topic == LAGGED:
                    # The page reads everything anew after a reconnect: nothing stays missed.
                    connection.close("lagged")
                    return
                connection.notify(event["topic"], event.get("data", {}))
                if event["topic"] in ("signed_out", "elsewhere"):
                    connection.close(event["topic"])
                    return

    async def run(self) -> None:
        """Give up the places nobody comes back to, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await self._give_up_places(time.monotonic())
            except Exception:
                log.exception("- watching the places failed once")

    async def _give_up_places(self, now: float) -> None:
        for customer, since in list(self._absent.items()):
            if now - since > self._place_kept_s:
                del self._absent[customer]
                await self._give_up_place(customer)

    async def _give_up_place(self, customer: str) -> None:
        row = await self._sessions.newest_of(customer)
        if row is not None and row["state"] in ("waiting", "offered"):
            with contextlib.suppress(Conflict):
                await self._sessions.leave(row["id"], "customer_lost")
                self._line.left(row["id"])

    def close(self) -> None:
        """The server stops: every page is told, and its socket closed."""
        for connection in list(self._pumps):
            connection.close("server_stopping")


def _login(connection: Connection) -> Login:
    caller = connection.caller
    assert isinstance(caller, PageCaller)
    return caller.login
