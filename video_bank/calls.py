"""Calls under way: the glue between sessions and :mod:`signaling`.

A call is a room, its recording, and who of its people is there.  It begins when a teller accepts,
with the recorder running before anybody is let into the room, and ends once: by a person, by an
absence that lasts too long, or with the server.  :meth:`Calls.sync` makes the room what the rows
say, and is called after every change of who takes part.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, Literal

from sqlalchemy import RowMapping

from recordings.recorder import Head
from signaling.beat import Beat
from signaling.ice import Relays
from signaling.listen import Sound, listen
from signaling.port import Port
from signaling.room import EncodedFrame, Room
from signaling.sample import Picture, sample
from signaling.socket import Caller, Entry, Refused
from video_bank.archive import Archive
from video_bank.attendance import Attendee
from video_bank.bus import Bus
from video_bank.call import Call
from video_bank.checks import Checks
from video_bank.errors import Conflict, NotFound, UserError
from video_bank.line import Line
from video_bank.people import People
from video_bank.quality import Measure, Quality
from video_bank.sessions import Sessions
from video_bank.tape import Tape

log = logging.getLogger(__name__)

WATCH_S = 1.0
SWITCHES = 200
"Camera, microphone and screen switches of a call that the timeline takes; a page may go wild."
NOTE_AGAIN_S = 5.0
"""A failed recording is noted again after so long when the database did not take it."""


class Calls:
    """Every call of this process."""

    checks: Checks
    "Set once by the assembly: checks look through the calls, and begin and end with them."

    def __init__(
        self,
        bus: Bus,
        sessions: Sessions,
        line: Line,
        people: People,
        archive: Archive,
        quality: Quality,
        *,
        ports: Sequence[Port],
        relays: Relays,
        customer_gone_s: float,
        teller_gone_s: float,
        supervision: str,
    ) -> None:
        """``supervision``: the policy; `announced` ones are in everybody's roster."""
        self._bus = bus
        self._sessions, self._line, self._people = sessions, line, people
        self._archive, self._quality = archive, quality
        self._ports, self._relays = tuple(ports), relays
        self._beat = Beat()
        self._customer_gone_s, self._teller_gone_s = customer_gone_s, teller_gone_s
        self._announced = supervision == "announced"
        self.ended = asyncio.Event()
        "Set whenever a call is over; whoever waits for it clears it."
        self._calls: dict[str, Call] = {}
        self._opening: set[str] = set()
        "Sessions whose call is being prepared."
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- who is in ------------------------------------------------------------------------

    def enter(self, caller: Caller, room: str) -> Entry:
        """The call of a session, for those who take part in it.  Raises :class:`Refused`."""
        call = self._calls.get(room)
        person = call.people.get(caller.id) if call else None
        if call is None or person is None or call.ending:
            raise Refused("call_not_up", 404, "This call is not up.")
        return Entry(
            call.room,
            caller.id,
            person.role,
            caller.name,
            ice_servers=self._relays.servers(f"{room} {caller.id}"),
            ice_policy=self._relays.policy,
            presence=person.presence,
            confidants=frozenset({call.teller}),
            announced=self._announced,
        )

    async def sync(self, session: str) -> None:
        """Make the room what the rows say: who is in it and how, whose it is, who is held."""
        call = self._calls.get(session)
        if call is None or call.ending:
            return
        async with call.syncing:
            row = await self._sessions.get(session)
            people = await self._people.here(session)
            if row["state"] != "talking":
                return
            call.teller = row["teller_id"]
            now = {each.id: each for each in people}
            for each in [one for one in call.people.values() if one.id not in now]:
                call.let_out(each)
                if each.kind == "staff":
                    self._line.assisted(session, each.id)
            for each in people:
                if each.id not in call.people:
                    call.let_in(each)
                    if call.assists(each):
                        await self._line.assist(session, each.id)
                call.people[each.id] = each
                call.room.appear(each.id, each.presence, confidants=frozenset({call.teller}))
            call.room.hold(call.customers if row["on_hold"] else frozenset())
            self.checks.serve(session, call.teller)

    # -- beginning and ending -------------------------------------------------------------

    async def accept(self, session: str, teller: str) -> None:
        """The teller takes the customer; recording starts before the first word.  A colleague's
        session is taken over with its room and its recording.

        Raises:
            Conflict: the offer is gone, or `recording_unavailable`: without a recording there is
                no call, and the customer keeps the place in the line.
        """
        row = await self._sessions.get(session)
        if row["state"] == "talking" and row["transfer_to"] == teller:
            await self._line.accept(session, teller)
            await self.sync(session)
            return
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
            ports=self._ports,
            beat=self._beat,
            on_connection=lambda who, up: self._connection(session, who, up),
            on_silence=lambda who, _seconds: self._silence(session, who),
            on_resumed=lambda who: self._back(session, who),
            on_switch=lambda who, microphone, camera: self._switched(
                session, "switched", participant=who, microphone=microphone, camera=camera
            ),
            on_screen=lambda who, on: self._screen(session, who, on),
            on_quality=lambda who, quality: self._measured(session, who, quality),
        )
        call = Call(session, customer, teller, room, recorder, Tape(recorder))
        for person in (
            Attendee.joined(customer, "customer", "customer"),
            Attendee.joined(teller, "staff", "teller"),
        ):
            call.tape.begin(person.id, person.role)
            call.let_in(person)
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
            call.tape.finish()
            try:
                await self._quality.finish(call.session)
            except Exception:  # the seal is worth more than the series
                log.exception("x quality of session %s was not kept whole", call.session)
            sealed = await self._archive.finish(
                call.session, call.recorder, stopped=stopped, failed=call.recording_failed
            )
            await self._sessions.seal(call.session, sealed.pop("verdict"), **sealed)
        finally:
            self._calls.pop(call.session, None)
            self.ended.set()

    async def leave(self, session: str) -> None:
        """The customer goes: out of the line, or out of the call."""
        row = await self._sessions.get(session)
        if row["state"] == "talking":
            await self.end(session, f"customer:{row['customer_id']}", "customer_left")
            return
        await self._sessions.leave(session)
        self._line.left(session)

    async def stop(self) -> None:
        """The server stops: every call is ended and sealed."""
        for session in list(self._calls):
            with contextlib.suppress(UserError):
                await self.end(session, "server", "server_stopping")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def recover(self) -> None:
        """After a crash: find the sessions it cut, close their recordings, take offers back."""
        for session, teller in await self._sessions.offered():
            await self._sessions.back_to_line(session, "crash", teller)
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

    # -- during the call ------------------------------------------------------------------

    async def hold(self, session: str, teller: str, on: bool) -> None:
        """Keep the customer and the guests apart from everybody, or go on; staff may confer, and
        the recording continues."""
        await self._sessions.hold(session, teller, on)
        await self.sync(session)

    async def mute(
        self, session: str, teller: str, participant: str, kind: str, on: bool
    ) -> None:
        """Keep a participant's sound or picture from the others."""
        if kind not in ("audio", "video"):
            raise UserError("bad_request")
        call = self._call(session)
        if participant not in call.people:
            raise NotFound("unknown_participant")
        checked: Literal["audio", "video"] = "audio" if kind == "audio" else "video"
        call.room.mute(participant, checked, on)
        await self._sessions.note_event(
            session, "muted", f"staff:{teller}", participant=participant, media=kind, on=on
        )

    async def pictures(
        self, session: str, fps: float, *, key_frames: bool = False
    ) -> AsyncGenerator[Picture, None]:
        """The customer's camera, decoded while somebody looks; of key frames, those alone."""
        call = self._call(session)
        looking = sample(call.room, call.customer, fps, key_frames=key_frames)
        async with contextlib.aclosing(looking) as pictures:
            async for picture in pictures:
                yield picture

    async def sounds(self, session: str) -> AsyncGenerator[Sound, None]:
        """The customer's voice, decoded while somebody listens."""
        call = self._call(session)
        async with contextlib.aclosing(listen(call.room, call.customer)) as sounds:
            async for sound in sounds:
                yield sound

    def follow(self, session: str, take: Callable[[EncodedFrame], None]) -> Callable[[], None]:
        """Give the customer's encoded frames, sound and picture, to somebody as they come."""
        call = self._call(session)
        return call.room.subscribe(call.customer, take)

    def look_again(self, session: str) -> None:
        """Ask the customer's browser for a key frame now."""
        if call := self._calls.get(session):
            call.room.request_keyframe(call.customer)

    def media_time_us(self, session: str) -> int | None:
        """The session's media time now; None while no call is up."""
        call = self._calls.get(session)
        return call.room.time_us if call else None

    def recordings(self) -> dict[str, Head]:
        """How far the recording of each call is signed and on the medium, by the part's id."""
        recorders = [call.recorder for call in self._calls.values()]
        return {recorder.part_id: recorder.head for recorder in recorders}

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

    def levels(self, session: str) -> dict[str, int]:
        """How well each participant's media arrives, 0 nothing .. 4 good."""
        call = self._calls.get(session)
        return dict(call.levels) if call else {}

    def pulse(self) -> list[Any]:
        """What of all calls a supervisor looks at; compared to see whether it changed."""
        return [
            (call.session, call.teller, list(call.people.values()), bool(call.room.held),
             call.recording_failed, call.ending, dict(call.levels))
            for call in self._calls.values()
        ]  # fmt: skip

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
        call.failure_tried_at = time.monotonic()
        log.error("x recording of session %s failed: %s", session, error.strerror)
        alarm = {"topic": "alarm", "data": {"code": "recording_failed", "session": session}}
        for person in call.people.values():
            self._bus.publish(person.actor, alarm)
        self._spawn(self._note_failure(call))

    async def _note_failure(self, call: Call) -> None:
        await self._sessions.recording_failed(call.session)
        call.failure_noted = True

    def _switched(self, session: str, kind: str, **data: Any) -> None:
        """Camera, microphone or screen went off or came back, by hand or by failing."""
        call = self._calls.get(session)
        if call is None or call.switches >= SWITCHES:
            return
        call.switches += 1
        self._enter(session, kind, **data)

    def _screen(self, session: str, participant: str, on: bool) -> None:
        if call := self._calls.get(session):
            (call.tape.screen_began if on else call.tape.screen_ended)(participant)
        self._switched(session, "screen_shared" if on else "screen_ended", participant=participant)

    def _measured(self, session: str, participant: str, quality: Measure) -> None:
        call = self._calls.get(session)
        if call is None or call.ending or participant not in call.people:
            return
        call.levels[participant] = quality.level
        self._quality.take(session, participant, call.room.time_us, quality)

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
            for participant in call.key_frames_due(now):
                call.room.request_keyframe(participant)
            if call.failure_waits and now - call.failure_tried_at >= NOTE_AGAIN_S:
                call.failure_tried_at = now
                self._spawn(self._note_failure(call))
            for person in list(call.people.values()):
                since, limit = call.gone_since.get(person.id), self._patience(call, person)
                if since is not None and limit is not None and now - since > limit:
                    await self._lost(call, person)

    def _patience(self, call: Call, person: Attendee) -> float | None:
        """Seconds a person may be without network; None: for as long as the call goes on."""
        if person.id == call.customer:
            return self._customer_gone_s
        if person.kind == "customer":
            return None  # a guest's link is used up: there is no other way back
        if person.id == call.teller and self._line.transfer_rings(call.session):
            return None  # a colleague may take it any moment; the ring is short
        return self._teller_gone_s

    async def _lost(self, call: Call, person: Attendee) -> None:
        with contextlib.suppress(UserError):
            if person.id in (call.customer, call.teller):
                await self.end(call.session, "server", f"{person.role}_lost")
            else:
                await self._people.step_out(call.session, person.id, reason="lost")


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("x something that ran beside a call failed")
