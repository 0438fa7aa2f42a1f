"""Who is in a session now, and who should see whom.

`Room.sync()` compares the wish with reality and changes what differs; it may be called at any
time and twice. Everything that can change the wish ends in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from signaling import messages
from signaling.frames import Frame
from signaling.ice import LOOPBACK
from signaling.peer import Kind, OfferRefused, Peer
from signaling.rate import signal_level
from signaling.stream import Uplink

log = logging.getLogger(__name__)

KINDS: tuple[Kind, Kind] = ("audio", "video")

SILENCE_S = 4.0
"Without a packet for this long a connected participant counts as silent."
TICK_S = 0.5
QUALITY_EVERY = 4
"Ticks between quality messages."


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One encoded frame of a participant, in order, as the browser's encoder made it."""

    participant: str
    kind: Kind
    codec: str
    "vp8 or opus"
    data: bytes
    "A whole VP8 frame or one Opus packet."
    time_us: int
    "Media time of the room in microseconds; grows strictly within a participant and kind."
    keyframe: bool
    "Decodable on its own (always true for Opus)."


Subscriber = Callable[[EncodedFrame], None]


class Listener(Protocol):
    """What a room needs of a participant's signalling."""

    def send(self, message: messages.ServerMessage) -> None:
        """Queue a message; must not block or raise."""

    def close(self, reason: str) -> None:
        """End the signalling connection."""


@dataclass
class Participant:
    """One person in a room; stays the same over reconnects."""

    id: str
    role: str
    name: str
    microphone: bool = True
    "Own switch, as the page reported it."
    camera: bool = True
    connection: Listener | None = None
    peer: Peer | None = None
    muted: set[Kind] = field(default_factory=set)
    "Muted by the server."
    stats: messages.Stats = field(default_factory=messages.Stats)
    "What the participant's browser last said of what it receives."
    silent: bool = False
    shown: dict[str, int] = field(default_factory=dict)
    "Whom this participant sees: id -> index of the media pair."
    last_view: object = None
    last_time_us: dict[Kind, int] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        """Whether media can flow."""
        return self.peer is not None and self.peer.connected


class Room:
    """The participants of one session and the media between them.

    Callbacks (all optional, called on the event loop, must not block):
    `on_media(participant, kind)` once per connection, when the first sound or the first key
    frame arrives; `on_connection(participant, connected)`; `on_silence(participant, seconds)`;
    `on_resumed(participant)`; `on_left(participant)` after `leave`; `on_switch(participant,
    microphone, camera)` when the participant's page switched one; `on_stats(participant,
    stats)` for what a browser reports; `on_quality(participant, quality)` each two seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        addresses: Sequence[str] = LOOPBACK,
        on_media: Callable[[str, Kind], None] | None = None,
        on_connection: Callable[[str, bool], None] | None = None,
        on_silence: Callable[[str, float], None] | None = None,
        on_resumed: Callable[[str], None] | None = None,
        on_left: Callable[[str], None] | None = None,
        on_switch: Callable[[str, bool, bool], None] | None = None,
        on_stats: Callable[[str, messages.Stats], None] | None = None,
        on_quality: Callable[[str, messages.Quality], None] | None = None,
    ) -> None:
        self.name = name
        self.participants: dict[str, Participant] = {}
        self.on_hold = False
        self._addresses = tuple(addresses)
        self._on_media = on_media or _ignore
        self._on_connection = on_connection or _ignore
        self._on_silence = on_silence or _ignore
        self._on_resumed = on_resumed or _ignore
        self._on_left = on_left or _ignore
        self._on_switch = on_switch or _ignore
        self._on_stats = on_stats or _ignore
        self._on_quality = on_quality or _ignore
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._start = time.monotonic()
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

    def join(self, participant: str, role: str, name: str, connection: Listener | None) -> None:
        """Let somebody in, or back in. A second page of the same person ends the first.

        The newcomer is told of later changes; what there is now tells `view`.
        """
        person = self.participants.get(participant)
        if person is None:
            person = self.participants[participant] = Participant(participant, role, name)
        previous, person.connection = person.connection, None
        person.role, person.name = role, name
        if previous is not None and previous is not connection:
            previous.close("elsewhere")
        if self._ticker is None and not self._closed:
            self._ticker = asyncio.create_task(self._tick(), name=f"room {self.name}")
        self.sync()
        person.connection, person.last_view = connection, self.view(participant)

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
        self.sync()
        self._on_left(participant)

    async def offer(self, participant: str, sdp: str) -> str:
        """Answer an offer with a new connection that replaces the participant's former one.

        Call `sync` when the answer is on its way. Raises OfferRefused; then the former
        connection stays as it was.
        """
        if participant not in self.participants:
            raise OfferRefused("not_in_a_room", "Join a room first.")
        peer = Peer(
            addresses=self._addresses,
            media_time=self._media_time,
            on_change=lambda: self._peer_changed(participant, peer),
            on_media=lambda kind: self._on_media(participant, kind),
        )
        try:
            answer = await peer.answer(sdp)
        except BaseException:
            self._retire(peer)
            raise
        person = self.participants.get(participant)
        if person is None or self._closed:
            self._retire(peer)
            raise OfferRefused("not_in_a_room", "You have left the room.")
        former, person.peer = person.peer, peer
        person.shown = {}
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

    def hold(self, on: bool) -> None:
        """Stop forwarding everybody's media to the others, or go on. Subscribers still get it."""
        self.on_hold = on
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
        """Ask the participant's browser for a key frame (at most one each half second)."""
        person = self.participants.get(participant)
        uplink = person.peer.uplinks.get("video") if person and person.peer else None
        if uplink is not None:
            uplink.request_keyframe(time.monotonic())

    def sees(self, viewer: Participant, source: Participant, kind: Kind) -> bool:
        """Whether `viewer` should get this of `source` now."""
        return viewer is not source and not self.on_hold and kind not in source.muted

    # --- making it so ---------------------------------------------------------------------

    def sync(self) -> None:
        """Make reality match the wish: links, subscriptions, and what everybody was told."""
        if self._closed:
            return
        for person in self.participants.values():
            self._assign(person)
            self._link(person)
            self._tap(person)
        self._announce()

    def _assign(self, viewer: Participant) -> None:
        """Give each other participant a media pair of the viewer's connection, and keep it."""
        pairs = len(viewer.peer.pairs) if viewer.peer else 0
        others = [person for person in self.participants if person != viewer.id]
        viewer.shown = {
            person: index
            for person, index in viewer.shown.items()
            if person in others and index < pairs
        }
        free = [index for index in range(pairs) if index not in viewer.shown.values()]
        for person in others:
            if person not in viewer.shown and free:
                viewer.shown[person] = free.pop(0)

    def _link(self, viewer: Participant) -> None:
        """Connect the viewer's outgoing streams to their sources."""
        if viewer.peer is None:
            return
        now = time.monotonic()
        sources = {index: person for person, index in viewer.shown.items()}
        for index, pair in enumerate(viewer.peer.pairs):
            source = self.participants.get(sources.get(index, ""))
            for kind in KINDS:
                downlink = pair.get(kind)
                if downlink is not None:
                    downlink.attach(self._source(viewer, source, kind), now)

    def _source(self, viewer: Participant, source: Participant | None, kind: Kind) -> Uplink | None:
        if source is None or source.peer is None or not self.sees(viewer, source, kind):
            return None
        return source.peer.uplinks.get(kind)

    def _tap(self, person: Participant) -> None:
        """Let frames be put together while somebody subscribes, and only then."""
        if person.peer is None:
            return
        wanted = bool(self._subscribers.get(person.id))
        for kind, uplink in person.peer.uplinks.items():
            if wanted != uplink.tapped:
                tap = self._frame_handler(person, kind, uplink) if wanted else None
                uplink.tap(tap, time.monotonic())

    def _frame_handler(
        self, person: Participant, kind: Kind, uplink: Uplink
    ) -> Callable[[Frame, int], None]:
        subscribers = self._subscribers[person.id]

        def handle(frame: Frame, time_us: int) -> None:
            time_us = max(time_us, person.last_time_us.get(kind, -1) + 1)
            person.last_time_us[kind] = time_us
            encoded = EncodedFrame(
                person.id, kind, uplink.codec, frame.data, time_us, frame.keyframe
            )
            for subscriber in tuple(subscribers):
                try:
                    subscriber(encoded)
                except Exception:
                    log.exception("x subscriber of %s", self.name)

        return handle

    # --- telling --------------------------------------------------------------------------

    def view(self, viewer: str) -> list[dict[str, object]]:
        """The participants as `viewer` is told of them."""
        looking = self.participants.get(viewer)
        return [self._described(looking, person) for person in self.participants.values()]

    def _described(self, viewer: Participant | None, person: Participant) -> dict[str, object]:
        mids: dict[str, str | None] = {"audio_mid": None, "video_mid": None}
        if viewer is not None and viewer.peer is not None and person.id in viewer.shown:
            pair = viewer.peer.pairs[viewer.shown[person.id]]
            for kind in KINDS:
                downlink = pair.get(kind)
                mids[f"{kind}_mid"] = downlink.mid if downlink is not None else None
        return {
            "id": person.id,
            "role": person.role,
            "name": person.name,
            "camera": person.camera and "video" not in person.muted,
            "microphone": person.microphone and "audio" not in person.muted,
            "connected": person.connected,
            **mids,
        }

    def _announce(self) -> None:
        """Send the participants to those whose view has changed."""
        for person in self.participants.values():
            view = self.view(person.id)
            if person.connection is not None and view != person.last_view:
                person.last_view = view
                person.connection.send(messages.Participants(view))

    def _tell(self, message: messages.ServerMessage) -> None:
        for person in self.participants.values():
            if person.connection is not None:
                person.connection.send(message)

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
        """Twice a second: reports, watchdog, and now and then the quality."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            now = time.monotonic()
            for person in list(self.participants.values()):
                try:
                    if person.peer is not None:
                        person.peer.report(now)
                    self._watch(person, now)
                    if ticks % QUALITY_EVERY == 0:
                        self._measure(person)
                except Exception:
                    log.exception("x room %s", self.name)

    def _watch(self, person: Participant, now: float) -> None:
        """The silence watchdog: consent loss alone would take half a minute to notice."""
        heard = person.peer.heard_at if person.peer is not None else None
        if heard is None:
            return
        silence = now - heard
        if silence >= SILENCE_S and not person.silent:
            person.silent = True
            self._tell(messages.Silence(person.id, round(silence, 1)))
            self._on_silence(person.id, silence)
        elif silence < SILENCE_S and person.silent:
            person.silent = False
            self._tell(messages.Resumed(person.id))
            self._on_resumed(person.id)

    def _measure(self, person: Participant) -> None:
        """Tell everybody how well this participant's media arrives."""
        if person.peer is None or not person.peer.connected or not person.peer.uplinks:
            return
        kbps, loss, rtt_ms = person.peer.quality()
        video = person.camera
        level = 0 if person.silent else signal_level(kbps, loss, rtt_ms, video=video)
        quality = messages.Quality(person.id, level, round(kbps, 1), round(loss, 4), rtt_ms)
        self._tell(quality)
        self._on_quality(person.id, quality)


def _ignore(*_: object) -> None:
    """The callback nobody set."""
