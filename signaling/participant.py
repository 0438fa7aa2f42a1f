"""One person in a room: how they are there, what they send, and where they see the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from signaling import messages
from signaling.codecs import VideoCodec
from signaling.frames import Frame
from signaling.peer import Peer
from signaling.presence import Kind, Standing, Track, concerns, knows
from signaling.rate import signal_level
from signaling.stream import Downlink, Uplink

log = logging.getLogger(__name__)

KINDS: tuple[Kind, Kind] = ("audio", "video")


class EncodedFrame(NamedTuple):
    """One encoded frame of a participant, in order, as the browser's encoder made it."""

    participant: str
    kind: Kind
    codec: str
    "vp8, h264 or opus"
    data: bytes
    "A whole VP8 frame, an H264 access unit (Annex B) or one Opus packet."
    time_us: int
    "Media time of the room in microseconds; grows strictly within a participant and track."
    keyframe: bool
    "Decodable on its own (always true for Opus)."
    screen: bool = False
    "Of the shared screen, not of the camera."
    level: int = 127
    "Loudness of a sound, 0 (loudest) to 127 (silence, or unknown) in -dBov (RFC 6464)."


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
    standing: Standing = Standing()
    microphone: bool = True
    "Own switch, as the page reported it."
    camera: bool = True
    connection: Listener | None = None
    peer: Peer | None = None
    muted: set[Track] = field(default_factory=set)
    "Muted by the server."
    stats: messages.Stats = field(default_factory=messages.Stats)
    "What the participant's browser last said of what it receives."
    silent: bool = False
    low_layer: bool = False
    "Whether the page was asked for the small layer of its camera."
    renewing: bool = False
    "Whether the page was asked for a new offer and has not made it yet."
    shown: dict[str, int] = field(default_factory=dict)
    "Whom this participant sees: id -> index of the media pair."
    last_view: object = None
    last_time_us: dict[Track, int] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        """Whether media can flow."""
        return self.peer is not None and self.peer.connected

    def known_to(self, viewer: str) -> bool:
        """Whether `viewer` is told of this person."""
        return knows(viewer, self.id, self.standing)

    def place(self, people: Iterable[Participant]) -> None:
        """Give each person with something for this one a media pair, and let them keep it."""
        pairs = len(self.peer.pairs) if self.peer else 0
        others = [
            person.id
            for person in people
            if any(concerns(self.id, person.id, person.standing, kind) for kind in KINDS)
        ]
        self.shown = {
            person: index
            for person, index in self.shown.items()
            if person in others and index < pairs
        }
        free = [index for index in range(pairs) if index not in self.shown.values()]
        for person in others:
            if person not in self.shown and free:
                self.shown[person] = free.pop(0)

    def ask_layers(self) -> None:
        """Let the page send the small layer of its camera while a viewer's line needs it."""
        camera = self.peer.uplinks.get("video") if self.peer is not None else None
        low = camera is not None and camera.low_wanted
        if low != self.low_layer:
            self.low_layer = low
            self.send(messages.Layers(low))

    def ask_renewal(self, codec: VideoCodec) -> None:
        """Ask once for a new offer if the page could send this codec and sends another."""
        peer = self.peer
        if peer is None or self.renewing or codec not in peer.codecs or codec == peer.video_codec:
            return
        self.renewing = True
        self.send(messages.Renew("codec"))

    def tap(self, subscribers: list[Subscriber], now: float) -> None:
        """Let frames be put together while somebody subscribes, and only then."""
        if self.peer is None:
            return
        wanted = bool(subscribers)
        for track, uplink in self.peer.uplinks.items():
            if wanted != uplink.tapped:
                uplink.tap(self._giver(track, uplink, subscribers) if wanted else None, now)

    def _giver(
        self, track: Track, uplink: Uplink, subscribers: list[Subscriber]
    ) -> Callable[[Frame, int], None]:
        kind: Kind = "audio" if track == "audio" else "video"
        screen, main = track == "screen", uplink.main

        def give(frame: Frame, time_us: int) -> None:
            time_us = max(time_us, self.last_time_us.get(track, -1) + 1)
            self.last_time_us[track] = time_us
            encoded = EncodedFrame(
                self.id, kind, main.codec.name, frame.data, time_us, frame.keyframe, screen,
                main.level,
            )  # fmt: skip
            for subscriber in tuple(subscribers):
                try:
                    subscriber(encoded)
                except Exception:
                    log.exception("x subscriber of a %s", track)

        return give

    def quality(self, peer: Peer) -> messages.Quality:
        """How well this person's media arrives."""
        arriving = peer.quality()
        level = 0
        if not self.silent:
            level = signal_level(arriving.kbps, arriving.loss, arriving.rtt_ms, video=self.camera)
        return messages.Quality(self.id, level, **arriving._asdict())

    def send(self, message: messages.ServerMessage) -> None:
        """Tell this person's page, if there is one."""
        if self.connection is not None:
            self.connection.send(message)

    def tell_view(self, people: Iterable[Participant], sharer: str | None) -> None:
        """Send the participants if what this person may know of them has changed."""
        view = self.view(people, sharer)
        if self.connection is not None and view != self.last_view:
            self.last_view = view
            self.connection.send(messages.Participants(view))

    def view(self, people: Iterable[Participant], sharer: str | None) -> list[dict[str, object]]:
        """The people in the room as this one is told of them."""
        return [
            person._described(sharer == person.id) | self._mids(person, sharer)
            for person in people
            if person.known_to(self.id)
        ]

    def _described(self, shares: bool) -> dict[str, object]:
        return {
            "id": self.id,
            "role": self.role,
            "name": self.name,
            "presence": self.standing.presence,
            "camera": self.camera and "video" not in self.muted,
            "microphone": self.microphone and "audio" not in self.muted,
            "muted": sorted(self.muted),
            "connected": self.connected,
            "screen": shares,
        }

    def _mids(self, person: Participant, sharer: str | None) -> dict[str, object]:
        """The sections of this one's connection that carry a person's tracks."""
        sections: dict[Track, Downlink | None] = {}
        if self.peer is not None and person.id in self.shown:
            sections |= self.peer.pairs[self.shown[person.id]]
        if self.peer is not None and person is not self and person.id == sharer:
            sections["screen"] = self.peer.screen
        tracks: tuple[Track, ...] = ("audio", "video", "screen")
        return {
            f"{track}_mid": section.mid if (section := sections.get(track)) is not None else None
            for track in tracks
        }
