"""Calls under way: the glue between sessions and :mod:`signaling`.

A call is a room, its recording, and who of the two sides is there.  It begins when a teller
accepts, with the recorder running before anybody is let into the room, and ends once: by a
person, by an absence that lasts too long, or with the server.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from sqlalchemy import RowMapping

from recordings.recorder import Recorder
from signaling import peer
from signaling.ice import Relays
from signaling.room import EncodedFrame, Room
from signaling.sample import Picture, sample
from signaling.socket import Caller, Connection, Entry, Refused
from video_bank.accounts import LOGIN, Login
from video_bank.archive import Archive
from video_bank.bus import LAGGED, Bus
from video_bank.checks import Checks
from video_bank.errors import Conflict, NotFound, UserError
from video_bank.line import Line
from video_bank.sessions import Sessions

log = logging.getLogger(__name__)

WATCH_S = 1.0
SWITCHES = 200
"""Camera and microphone switches of a call that the timeline takes; a page gone wild sends more."""
KEY_FRAME_S = 5.0
"""Browsers send key frames only when asked; a replay can seek to one of these."""


@dataclass(frozen=True)
class PageCaller(Caller):
    """A caller with the login of its page."""

    login: Login


@dataclass
class Call:
    """One session's call."""

    session: str
    customer: str
    teller: str
    room: Room
    recorder: Recorder
    streams: dict[str, int]
    "Participant → stream number in the recording."
    gone_since: dict[str, float] = field(default_factory=dict)
    "Participants whose media is not there, with the monotonic second since when."
    been_here: set[str] = field(default_factory=set)
    recording_failed: bool = False
    switches: int = 0
    failure_noted: bool = False
    "Whether the database knows; it may be on the same full disk."
    key_frames_at: float = 0.0
    ending: bool = False


class Calls:
    """Every call of this process; the gate of its WebSockets."""

    checks: Checks
    "Set once by the assembly: checks look through the calls, and begin and end with them."

    def __init__(
        self,
        bus: Bus,
        sessions: Sessions,
        line: Line,
        archive: Archive,
        *,
        addresses: Sequence[str],
        relays: Relays,
        customer_gone_s: float,
        teller_gone_s: float,
        place_kept_s: float,
    ) -> None:
        self._bus = bus
        self._sessions, self._line, self._archive = sessions, line, archive
        self._addresses, self._relays = tuple(addresses), relays
        self._customer_gone_s, self._teller_gone_s = customer_gone_s, teller_gone_s
        self._place_kept_s = place_kept_s
        self._calls: dict[str, Call] = {}
        self._opening: set[str] = set()
        "Sessions whose call is being prepared."
        self._pumps: dict[Connection, asyncio.Task[None]] = {}
        self._pages: dict[str, int] = {}
        "Open pages by customer."
        self._absent: dict[str, float] = {}
        "Customers without a page, with the monotonic second since when."
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- the gate -------------------------------------------------------------------------

    async def admit(self, request: web.Request) -> PageCaller:
        """Who opened this socket."""
        login = request.get(LOGIN)
        if login is None:
            raise Refused("not_signed_in", 401)
        return PageCaller(login.subject_id, login.role, login.name, login)

    async def connected(self, connection: Connection) -> None:
        """A page is there: it gets its events from now on."""
        caller = connection.caller
        assert isinstance(caller, PageCaller)
        kind = caller.login.kind
        topics = [f"login:{caller.login.id}", f"{kind}:{caller.id}"]
        if kind == "customer":
            self._pages[caller.id] = self._pages.get(caller.id, 0) + 1
            self._absent.pop(caller.id, None)
        else:
            topics.append("queue")
            self._line.page_opened(caller.id)
        ready = asyncio.Event()
        self._pumps[connection] = asyncio.create_task(self._pump(connection, topics, ready))
        # Events between here and the subscription would be lost, and with them a ring.
        await ready.wait()

    async def disconnected(self, connection: Connection) -> None:
        """The page is gone, or will come back in a moment."""
        pump = self._pumps.pop(connection, None)
        if pump is not None:
            pump.cancel()
        caller = connection.caller
        assert isinstance(caller, PageCaller)
        if caller.login.kind == "staff":
            self._line.page_closed(caller.id)
            return
        self._pages[caller.id] -= 1
        if not self._pages[caller.id]:
            del self._pages[caller.id]
            self._absent[caller.id] = time.monotonic()

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

    async def enter(self, caller: Caller, room: str) -> Entry:
        """The call of a session, for the two who take part in it."""
        call = self._calls.get(room)
        if call is None or caller.id not in (call.customer, call.teller) or call.ending:
            raise Refused("call_not_up", 404, "This call is not up.")
        return Entry(
            call.room,
            caller.id,
            caller.role,
            caller.name,
            ice_servers=self._relays.servers(f"{room} {caller.id}"),
            ice_policy=self._relays.policy,
        )

    # -- beginning and ending -------------------------------------------------------------

    async def accept(self, session: str, teller: str) -> None:
        """The teller takes the customer; recording starts before the first word.

        Raises:
            Conflict: the offer is gone, or `recording_unavailable`: without a recording there is
                no call, and the customer keeps the place in the line.
        """
        row = await self._sessions.get(session)
        offered = row["state"] == "offered" and row["teller_id"] == teller
        # Of two requests at once the second one ends here: a session has one room, one recorder.
        if not offered or session in self._calls or session in self._opening:
            raise Conflict("offer_gone")
        self._opening.add(session)
        try:
            call = await self._open(row, teller)
            try:
                await self._line.accept(session, teller)
            except BaseException:
                del self._calls[session]
                await call.room.close()
                await self._archive.discard(call.recorder)
                raise
        finally:
            self._opening.discard(session)
        await self.checks.begin(session)

    async def _open(self, row: RowMapping, teller: str) -> Call:
        session, customer = row["id"], row["customer_id"]
        try:
            recorder = await self._archive.open(
                session, lambda error: self._recording_failed(session, error)
            )
        except OSError as error:
            log.error("x recording of session %s cannot begin: %s", session, error.strerror)
            raise Conflict("recording_unavailable") from error
        room = Room(
            session,
            addresses=self._addresses,
            on_connection=lambda who, up: self._connection(session, who, up),
            on_silence=lambda who, _seconds: self._silence(session, who),
            on_resumed=lambda who: self._back(session, who),
            on_switch=lambda who, microphone, camera: self._switched(
                session, who, microphone=microphone, camera=camera
            ),
        )
        streams = {customer: recorder.stream("customer"), teller: recorder.stream("teller")}
        call = Call(session, customer, teller, room, recorder, streams)
        for participant in streams:
            call.gone_since[participant] = time.monotonic()
            room.subscribe(participant, lambda frame: self._record(call, frame))
        self._calls[session] = call
        return call

    async def end(self, session: str, actor: str, reason: str) -> None:
        """End the conversation, seal the recording.

        Raises:
            Conflict: it is over already.
        """
        await self._sessions.end(session, actor, reason)
        self._line.ended(session)
        call = self._calls.get(session)
        if call is not None:
            # Sealing takes up to a second or two; whoever clicked need not wait for it.
            self._spawn(self._wind_up(call, stopped=reason == "server_stopping"))

    async def _wind_up(self, call: Call, *, stopped: bool) -> None:
        call.ending = True
        try:
            await self.checks.finish(call.session)
            await call.room.close()
            sealed = await self._archive.finish(
                call.session, call.recorder, stopped=stopped, failed=call.recording_failed
            )
            await self._sessions.seal(call.session, sealed.pop("verdict"), **sealed)
        finally:
            self._calls.pop(call.session, None)

    async def leave(self, session: str) -> None:
        """The customer goes: out of the line, or out of the call."""
        row = await self._sessions.get(session)
        if row["state"] == "talking":
            await self.end(session, f"customer:{row['customer_id']}", "customer_left")
            return
        await self._sessions.leave(session)
        self._line.left(session)

    async def stop(self) -> None:
        """The server stops: every call is ended and sealed, every page's socket closed."""
        for session in list(self._calls):
            with contextlib.suppress(UserError):
                await self.end(session, "server", "server_stopping")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._pumps):
            connection.close("server_stopping")
        # A connection left open would keep the process alive by its threads.
        await peer.close_all()

    async def recover(self) -> None:
        """After a crash: find the sessions it cut, close their recordings, take offers back."""
        for session, teller in await self._sessions.offered():
            await self._sessions.back_to_line(session, "withdraw", teller)
        # Of calls that did not come about any more there is a part, but nothing in it.
        for session in await self._sessions.never_accepted(await self._archive.unsealed()):
            await self._archive.drop(session)
        cut = await self._sessions.unfinished()
        for session in cut:
            await self._sessions.interrupt(session)
        # A closed session, too, may have been cut while its recording was being sealed.
        for session in await self._archive.unsealed():
            verdict = await self._archive.recover(session)
            await self._sessions.seal(session, verdict)
            log.warning("- session %s was cut, its recording: %s", session, verdict)
        # Whoever waited has lost the socket too: the page has as long to come back as any other.
        for customer in (await self._sessions.waiting_customers()).values():
            self._absent[customer] = time.monotonic()

    # -- during the call ------------------------------------------------------------------

    async def hold(self, session: str, teller: str, on: bool) -> None:
        """Stop both sides seeing and hearing each other, or go on; the recording continues."""
        await self._sessions.hold(session, teller, on)
        self._call(session).room.hold(on)

    async def mute(
        self, session: str, teller: str, participant: str, kind: str, on: bool
    ) -> None:
        """Keep a participant's sound or picture from the others."""
        if kind not in ("audio", "video"):
            raise UserError("bad_request")
        call = self._call(session)
        if participant not in call.streams:
            raise NotFound("unknown_participant")
        checked: Literal["audio", "video"] = "audio" if kind == "audio" else "video"
        call.room.mute(participant, checked, on)
        await self._sessions.note_event(
            session, "muted", f"staff:{teller}", participant=participant, media=kind, on=on
        )

    async def pictures(self, session: str, fps: float) -> AsyncGenerator[Picture, None]:
        """The customer's camera, decoded while somebody looks."""
        call = self._call(session)
        async with contextlib.aclosing(sample(call.room, call.customer, fps)) as pictures:
            async for picture in pictures:
                yield picture

    def media_time_us(self, session: str) -> int | None:
        """The session's media time now; None while no call is up."""
        call = self._calls.get(session)
        return call.room.time_us if call else None

    def recording(self, session: str) -> bool:
        """Whether the session is being recorded at this moment."""
        call = self._calls.get(session)
        return call is not None and not call.recording_failed and not call.ending

    def saw(self, session: str, kind: str, actor: str, data: dict[str, Any]) -> None:
        """Seal a timeline entry into the recording as it happens."""
        call = self._calls.get(session)
        if call is not None:
            event = {"kind": kind, "actor": actor, "data": data}
            call.recorder.event(call.room.time_us, event)

    def _record(self, call: Call, frame: EncodedFrame) -> None:
        stream = call.streams[frame.participant]
        call.recorder.frame(stream, frame.kind, frame.time_us, frame.data, frame.keyframe)

    def _call(self, session: str) -> Call:
        try:
            return self._calls[session]
        except KeyError:
            raise Conflict("call_not_up") from None

    # -- what happens to a call -----------------------------------------------------------

    def _connection(self, session: str, participant: str, up: bool) -> None:
        (self._back if up else self._silence)(session, participant)

    def _silence(self, session: str, participant: str) -> None:
        call = self._calls.get(session)
        if call is None or call.ending or participant in call.gone_since:
            return
        call.gone_since[participant] = time.monotonic()
        self._enter(session, "disconnected", participant=participant)

    def _back(self, session: str, participant: str) -> None:
        call = self._calls.get(session)
        if call is None or call.gone_since.pop(participant, None) is None:
            return
        kind = "reconnected" if participant in call.been_here else "connected"
        call.been_here.add(participant)
        self._enter(session, kind, participant=participant)

    def _recording_failed(self, session: str, error: OSError) -> None:
        """The disk is full or gone: the call goes on, but nothing can be approved any more."""
        call = self._calls.get(session)
        if call is None or call.recording_failed:
            return
        call.recording_failed = True
        log.error("x recording of session %s failed: %s", session, error.strerror)
        alarm = {"topic": "alarm", "data": {"code": "recording_failed", "session": session}}
        self._bus.publish(f"staff:{call.teller}", alarm)
        self._bus.publish(f"customer:{call.customer}", alarm)
        self._spawn(self._note_failure(call))

    async def _note_failure(self, call: Call) -> None:
        await self._sessions.recording_failed(call.session)
        call.failure_noted = True

    def _switched(self, session: str, participant: str, *, microphone: bool, camera: bool) -> None:
        """Somebody's camera or microphone went off or came back, by hand or by failing."""
        call = self._calls.get(session)
        if call is None or call.switches >= SWITCHES:
            return
        call.switches += 1
        self._enter(
            session, "switched", participant=participant, microphone=microphone, camera=camera
        )

    def _enter(self, session: str, kind: str, **data: Any) -> None:
        self._spawn(self._sessions.note_event(session, kind, "server", **data))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- watching -------------------------------------------------------------------------

    async def run(self) -> None:
        """End what nobody comes back to, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await self._watch(time.monotonic())
            except Exception:
                log.exception("- watching the calls failed once")

    async def _watch(self, now: float) -> None:
        for call in list(self._calls.values()):
            if call.ending:
                continue
            if now - call.key_frames_at >= KEY_FRAME_S:
                call.key_frames_at = now
                for participant in call.streams:
                    call.room.request_keyframe(participant)
                if call.recording_failed and not call.failure_noted:
                    self._spawn(self._note_failure(call))
            limits = {call.customer: self._customer_gone_s, call.teller: self._teller_gone_s}
            for participant, limit in limits.items():
                since = call.gone_since.get(participant)
                if since is not None and now - since > limit:
                    who = "customer" if participant == call.customer else "teller"
                    with contextlib.suppress(Conflict):
                        await self.end(call.session, "server", f"{who}_lost")
                    break
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


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("x something that ran beside a call failed")
