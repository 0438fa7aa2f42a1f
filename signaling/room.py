"""Who is in a session now, and who should see whom.

`Room.sync()` compares the wish with reality and changes what differs; it may be called at any
time and twice. Everything that can change the wish ends in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from signaling import messages
from signaling.beat import Beat
from signaling.codecs import VideoCodec
from signaling.messages import Malformed
from signaling.participant import EncodedFrame, Listener, Participant, Subscriber
from signaling.peer import OfferRefused, Peer
from signaling.port import Port
from signaling.presence import Kind, Presence, Standing, Track, flows
from signaling.stream import Uplink

__all__ = ["EncodedFrame", "Listener", "Participant", "Room", "Subscriber"]

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
SILENCE_S = 4.0
"Without a packet for this long a connected participant counts as silent."
SCREEN_GONE_S = 10.0
"A share ends when its sharer has had no connection for this long."
TICK_S = 0.5
QUALITY_EVERY = 4
"Ticks between quality messages."


class Room:
    """The participants of one session and the media between them.

    `ports` are where browsers send media; without them it has one of its own on loopback. Rooms
    with the same `beat` put frames together at the same times, which costs less.

    Callbacks (all optional, called on the event loop, must not block):
    `on_media(participant, track)` once per connection, when the first sound or the first key
    frame arrives; `on_connection(participant, connected)`; `on_silence(participant, seconds)`;
    `on_resumed(participant)`; `on_left(participant)` after `leave`; `on_switch(participant,
    microphone, camera)` when the participant's page switched one; `on_screen(participant, on)`
    when a screen share begins or ends; `on_stats(participant, stats)` for what a browser
    reports; `on_quality(participant, quality)` each two seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        ports: Sequence[Port] = (),
        beat: Beat | None = None,
        on_media: Callable[[str, Track], None] | None = None,
        on_connection: Callable[[str, bool], None] | None = None,
        on_silence: Callable[[str, float], None] | None = None,
        on_resumed: Callable[[str], None] | None = None,
        on_left: Callable[[str], None] | None = None,
        on_switch: Callable[[str, bool, bool], None] | None = None,
        on_screen: Callable[[str, bool], None] | None = None,
        on_stats: Callable[[str, messages.Stats], None] | None = None,
        on_quality: Callable[[str, messages.Quality], None] | None = None,
    ) -> None:
        self.name = name
        self.participants: dict[str, Participant] = {}
        self.held: frozenset[str] = frozenset()
        self.video_codec: VideoCodec = "vp8"
        "What pages are asked to send: VP8 until somebody comes who cannot."
        self.sharer: str | None = None
        "Who shares the screen now."
        self.ports = tuple(ports) or (Port(LOOPBACK),)
        self._beat = beat or Beat()
        self._on_media = on_media or _ignore
        self._on_connection = on_connection or _ignore
        self._on_silence = on_silence or _ignore
        self._on_resumed = on_resumed or _ignore
        self._on_left = on_left or _ignore
        self._on_switch = on_switch or _ignore
        self._on_screen = on_screen or _ignore
        self._on_stats = on_stats or _ignore
        self._on_quality = on_quality or _ignore
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._start = time.monotonic()
        self._sharer_there_at = 0.0
        self._closed = False
        self._ticker: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def time_us(self) -> int:
        """Microseconds since the room was made: the session's media time."""
        return self._media_time(time.monotonic())

    def _media_time(self, monotonic_s: float) -> int:
        return int((monotonic_s - self._start) * 1_000_000)

    # --- coming and going -----------------------------------------------------------------

    def join(
        self,
        participant: str,
        role: str,
        name: str,
        connection: Listener | None,
        *,
        presence: Presence = "joined",
        confidants: frozenset[str] = frozenset(),
        announced: bool = False,
    ) -> None:
        """Let somebody in, or back in. A second page of the same person ends the first.

        Of one who is not `joined` only the `confidants` know, unless `announced`. The newcomer
        is told of later changes; what there is now tells `view`.
        """
        person = self.participants.get(participant)
        if person is None:
            person = self.participants[participant] = Participant(participant, role, name)
        previous, person.connection = person.connection, None
        person.role, person.name = role, name
        person.standing = Standing(presence, confidants, announced)
        if previous is not None and previous is not connection:
            previous.close("elsewhere")
        if self.sharer == participant and previous is not connection:
            self._end_share()  # a new page has nothing to share yet
        if self._ticker is None and not self._closed:
            self._ticker = asyncio.create_task(self._tick(), name=f"room {self.name}")
        self.sync()
        person.connection, person.last_view = connection, self.view(participant)

    def appear(
        self,
        participant: str,
        presence: Presence,
        *,
        confidants: frozenset[str] | None = None,
        announced: bool | None = None,
    ) -> None:
        """Somebody begins to listen, to whisper or to take part; None leaves that as it is."""
        person = self.participants.get(participant)
        if person is None:
            return
        person.standing = replace(
            person.standing,
            presence=presence,
            confidants=person.standing.confidants if confidants is None else confidants,
            announced=person.standing.announced if announced is None else announced,
        )
        if self.sharer == participant and presence != "joined":
            self._end_share()
        self.sync()

    def detach(self, participant: str, connection: Listener) -> None:
        """A signalling connection is gone; the participant and the media stay."""
        person = self.participants.get(participant)
        if person is not None and person.connection is connection:
            person.connection = None

    def leave(self, participant: str) -> None:
        """Take somebody out of the room and close their media."""
        person = self.participants.pop(participant, None)
        if person is None:
            return
        self._retire(person.peer)
        person.peer = None
        if self.sharer == participant:
            self._end_share()
        self.sync()
        self._on_left(participant)

    async def offer(self, participant: str, sdp: str, screen_mid: str | None = None) -> str:
        """Answer an offer with a new connection that replaces the participant's former one.

        `screen_mid` names the video section for screens. Call `sync` when the answer is on its
        way. Raises OfferRefused; then the former connection stays as it was.
        """
        if participant not in self.participants:
            raise OfferRefused("not_in_a_room", "Join a room first.")
        peer = Peer(
            ports=self.ports,
            beat=self._beat,
            media_time=self._media_time,
            on_change=lambda: self._peer_changed(participant, peer),
            on_media=lambda track: self._on_media(participant, track),
            video_codec=self.video_codec,
        )
        try:
            answer = await peer.answer(sdp, screen_mid)
        except BaseException:
            self._retire(peer)
            raise
        person = self.participants.get(participant)
        if person is None or self._closed:
            self._retire(peer)
            raise OfferRefused("not_in_a_room", "You have left the room.")
        former, person.peer = person.peer, peer
        person.shown, person.low_layer, person.renewing = {}, False, False
        self._agree_codec(peer)
        self._retire(former)
        return answer

    async def close(self) -> None:
        """Close all media. The room cannot be used again; the signalling connections stay."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        for person in list(self.participants.values()):
            self._retire(person.peer)
            person.peer = None
        self.participants.clear()
        self._subscribers.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _retire(self, peer: Peer | None) -> None:
        """Close a connection in the background, keeping hold of it until it is closed."""
        if peer is not None:
            task = asyncio.create_task(peer.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    # --- what is wished -------------------------------------------------------------------

    def hold(self, held: frozenset[str]) -> None:
        """Let nothing flow between these people and anybody else; the others may confer.

        Subscribers still get everything. The empty set ends it.
        """
        self.held = held
        self.sync()

    def mute(self, participant: str, kind: Kind, on: bool) -> None:
        """Server-side mute: the others no longer get this. Subscribers still do."""
        person = self.participants.get(participant)
        if person is not None:
            (person.muted.add if on else person.muted.discard)(kind)
            self.sync()

    def media(self, participant: str, *, microphone: bool, camera: bool) -> None:
        """The participant switched microphone or camera."""
        person = self.participants.get(participant)
        if person is None or (person.microphone, person.camera) == (microphone, camera):
            return
        person.microphone, person.camera = microphone, camera
        self.sync()
        self._on_switch(participant, microphone, camera)

    def share(self, participant: str, on: bool) -> None:
        """The participant starts or stops sharing the screen.

        Raises Malformed: `screen_taken` while somebody else does, `not_joined` for one who only
        listens or whispers.
        """
        person = self.participants.get(participant)
        if person is None or on == (self.sharer == participant):
            return
        if not on:
            self._end_share()
            return
        if person.standing.presence != "joined":
            raise Malformed("not_joined", "Who only listens cannot share.")
        if self.sharer is not None:
            raise Malformed("screen_taken", "Somebody else shares a screen just now.")
        self.sharer = participant
        self._sharer_there_at = time.monotonic()
        self.sync()
        self._on_screen(participant, True)

    def _end_share(self) -> None:
        sharer, self.sharer = self.sharer, None
        self.sync()
        if sharer is not None:
            self._on_screen(sharer, False)

    def stats(self, participant: str, stats: messages.Stats) -> None:
        """What the participant's browser says of the media it receives."""
        person = self.participants.get(participant)
        if person is not None:
            person.stats = stats
            self._on_stats(participant, stats)

    def subscribe(self, participant: str, subscriber: Subscriber) -> Callable[[], None]:
        """Get the participant's encoded frames, from now and over reconnects.

        The participant need not be there yet. Video starts with a key frame, which is asked
        for. The subscriber is called on the event loop and must not block. Returns the
        function that ends the subscription.
        """
        subscribers = self._subscribers.setdefault(participant, [])
        subscribers.append(subscriber)
        self.sync()
        self.request_keyframe(participant)

        def unsubscribe() -> None:
            if subscriber in subscribers:
                subscribers.remove(subscriber)
            self.sync()

        return unsubscribe

    def request_keyframe(self, participant: str) -> None:
        """Ask the participant's browser for key frames (at most one each half second)."""
        person = self.participants.get(participant)
        if person is not None and person.peer is not None:
            for uplink in person.peer.uplinks.values():
                uplink.request_keyframe(time.monotonic())

    # --- making it so ---------------------------------------------------------------------

    def sync(self) -> None:
        """Make reality match the wish: links, subscriptions, and what everybody was told."""
        if self._closed:
            return
        people = self.participants.values()
        for person in people:
            person.place(people)
            self._link(person)
            person.tap(self._subscribers.get(person.id, []), time.monotonic())
            person.ask_renewal(self.video_codec)
        for person in people:
            person.tell_view(people, self.sharer)

    def _link(self, viewer: Participant) -> None:
        """Connect the viewer's outgoing streams to their sources."""
        if viewer.peer is None:
            return
        now = time.monotonic()
        sources = {index: person for person, index in viewer.shown.items()}
        for index, pair in enumerate(viewer.peer.pairs):
            for track, downlink in pair.items():
                downlink.attach(self._source(viewer, sources.get(index), track), now)
        if viewer.peer.screen is not None:
            viewer.peer.screen.attach(self._source(viewer, self.sharer, "screen"), now)

    def _source(self, viewer: Participant, name: str | None, track: Track) -> Uplink | None:
        """What the viewer should get of somebody's track just now."""
        source = self.participants.get(name) if name is not None else None
        if source is None or source.peer is None:
            return None
        goes = flows(
            viewer.id, source.id, source.standing, track, held=self.held, muted=source.muted
        )
        return source.peer.uplinks.get(track) if goes else None

    def _agree_codec(self, newcomer: Peer) -> None:
        """Go over to a video codec the newcomer can speak, if all others can."""
        if not newcomer.codecs or self.video_codec in newcomer.codecs:
            return
        peers = [person.peer for person in self.participants.values() if person.peer is not None]
        common = newcomer.codecs.intersection(*(peer.codecs for peer in peers if peer.codecs))
        if common:
            self.video_codec = "h264" if "h264" in common else "vp8"

    # --- telling --------------------------------------------------------------------------

    def view(self, viewer: str) -> list[dict[str, object]]:
        """The participants as `viewer` is told of them."""
        looking = self.participants.get(viewer)
        return looking.view(self.participants.values(), self.sharer) if looking else []

    def _tell_of(self, person: Participant, message: messages.ServerMessage) -> None:
        """Tell everybody who may know of the person."""
        for other in self.participants.values():
            if person.known_to(other.id):
                other.send(message)

    # --- watching -------------------------------------------------------------------------

    def _peer_changed(self, participant: str, peer: Peer) -> None:
        """A connection came up or went down."""
        person = self.participants.get(participant)
        if person is None or person.peer is not peer:
            return
        if peer.closed:
            person.peer = None
            person.shown = {}
            self._retire(peer)
        self._on_connection(participant, peer.connected)
        self.sync()

    async def _tick(self) -> None:
        """Twice a second: reports, watchdogs, and now and then the quality."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            now = time.monotonic()
            duties = [partial(self._watch_share, now)]
            for person in self.participants.values():
                duties.append(partial(self._attend, person, now, ticks % QUALITY_EVERY == 0))
            for duty in duties:
                try:
                    duty()
                except Exception:
                    log.exception("x room %s", self.name)

    def _attend(self, person: Participant, now: float, measure: bool) -> None:
        if person.peer is not None:
            person.peer.report(now)
        person.ask_layers()
        if person.standing.presence == "listening":
            return  # nothing is expected of this one
        self._watch(person, now)
        if measure:
            self._measure(person)

    def _watch_share(self, now: float) -> None:
        sharer = self.participants.get(self.sharer) if self.sharer is not None else None
        if sharer is None or sharer.connected:
            self._sharer_there_at = now
        elif now - self._sharer_there_at > SCREEN_GONE_S:
            self._end_share()

    def _watch(self, person: Participant, now: float) -> None:
        """The silence watchdog: consent loss alone would take half a minute to notice."""
        heard = person.peer.heard_at if person.peer is not None else None
        if heard is None:
            return
        silence = now - heard
        if silence >= SILENCE_S and not person.silent:
            person.silent = True
            self._tell_of(person, messages.Silence(person.id, round(silence, 1)))
            self._on_silence(person.id, silence)
        elif silence < SILENCE_S and person.silent:
            person.silent = False
            self._tell_of(person, messages.Resumed(person.id))
            self._on_resumed(person.id)

    def _measure(self, person: Participant) -> None:
        """Tell how well this participant's media arrives."""
        if person.peer is None or not person.peer.connected or not person.peer.uplinks:
            return
        quality = person.quality(person.peer)
        self._tell_of(person, quality)
        self._on_quality(person.id, quality)


def _ignore(*_: object) -> None:
    """The callback nobody set."""
