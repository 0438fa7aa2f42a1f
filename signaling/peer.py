"""One browser's WebRTC connection: an offer is answered, streams go up and down, it ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiortc import RTCRtpTransceiver, RTCSessionDescription

from signaling.beat import Beat
from signaling.codecs import VideoCodec
from signaling.forward import ForwardingConnection, name_streams
from signaling.frames import SenderClock
from signaling.port import Port
from signaling.presence import Kind, Track
from signaling.rate import OPENING_S, QUEUE_LOW_S
from signaling.sdp import OfferRefused, Section, checked_offer, tuned_answer, without_candidates
from signaling.stream import NOTHING, Downlink, Link, Uplink

__all__ = ["OfferRefused", "Peer", "close_all"]

log = logging.getLogger(__name__)

CONNECT_DEADLINE_S = 20.0
CLOSE_DEADLINE_S = 5.0
HASTE_S = 0.1
"Between two looks at the way in, while pictures begin or packets queue."

_open: weakref.WeakSet[Peer] = weakref.WeakSet()


class Arriving(NamedTuple):
    """How well a browser's media arrives: the fields of the message `quality`."""

    kbps: float
    loss: float
    "Share of packets lost, 0..1."
    rtt_ms: float | None
    width: int
    height: int
    fps: float
    sound: float | None
    frozen_s: float


class Peer:
    """One RTCPeerConnection, from its offer to its end."""

    def __init__(
        self,
        *,
        ports: Sequence[Port],
        media_time: Callable[[float], int],
        on_change: Callable[[], None],
        on_media: Callable[[Track], None],
        video_codec: VideoCodec = "vp8",
        beat: Beat | None = None,
    ) -> None:
        """`media_time` turns monotonic seconds into microseconds of the room.

        `video_codec` is preferred where the browser offers both.
        `on_change` is called when the connection comes up and when it is gone; `on_media` when
        the first sound and the first picture begin.
        """
        self.uplinks: dict[Track, Uplink] = {}
        "What the browser sends."
        self.pairs: list[dict[Track, Downlink]] = []
        "Places where another person can be shown: the n-th audio and video section each."
        self.screen: Downlink | None = None
        "Where the screen shared in the room can be shown."
        self.codecs: frozenset[str] = frozenset()
        "Video codecs the browser can speak; empty if it has no video."
        self.video_codec = video_codec
        "The one it was asked to send."
        self.connected = False
        self.closed = False
        self._media_time = media_time
        self._beat = beat or Beat()
        self._on_change = on_change
        self._on_media = on_media
        self._link = Link(media_time)
        self._own_ssrc = 0
        self._connected_at: float | None = None
        self._connection = ForwardingConnection(ports, self._link, video_codec)
        self._connection.on("connectionstatechange", self._state_changed)
        self._deadline: asyncio.TimerHandle | None = None
        self._hastening = False
        _open.add(self)

    async def answer(self, offer: str, screen_mid: str | None = None) -> str:
        """The SDP answer; media flows some round trips later. Raises OfferRefused.

        `screen_mid` names the video section for screens.
        """
        sections = checked_offer(offer)
        tracks = _tracks(sections, screen_mid)
        self.codecs = next((one.codecs for one in sections if one.kind == "video"), frozenset())
        if self.codecs and self.video_codec not in self.codecs:
            self.video_codec = "h264" if "h264" in self.codecs else "vp8"
        description = RTCSessionDescription(without_candidates(offer), "offer")
        try:
            await self._connection.setRemoteDescription(description)
            self._lay_out(sections, tracks)
            await self._connection.setLocalDescription()
        except OfferRefused:
            raise
        except Exception as error:
            log.info("x offer refused: %r", error)
            raise OfferRefused("bad_offer", "The offer cannot be answered.") from error
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(CONNECT_DEADLINE_S, self._give_up)
        return tuned_answer(self._connection.localDescription.sdp, sections)

    def _lay_out(self, sections: list[Section], tracks: list[Track]) -> None:
        """Make the streams the offer has room for."""
        clock = SenderClock()
        counts: Counter[Track] = Counter()
        transceivers = {one.mid: one for one in self._connection.getTransceivers()}
        for section, track in zip(sections, tracks, strict=True):
            index = counts[track]
            counts[track] += 1
            transceiver = transceivers[section.mid]
            sends = index == 0 and section.sends
            transceiver.direction = "sendrecv" if sends else "sendonly"
            self._add_downlink(track, index, section.mid, transceiver)
            if sends:
                self._add_uplink(track, section.mid, clock)

    def _add_downlink(
        self, track: Track, index: int, mid: str, transceiver: RTCRtpTransceiver
    ) -> None:
        ssrc = name_streams(transceiver, "screen" if track == "screen" else f"person-{index}")
        self._own_ssrc = self._own_ssrc or ssrc
        downlink = self._link.downlinks[ssrc] = Downlink(
            _kind(track),
            mid=mid,
            ssrc=ssrc,
            # the lower half, so that the first wrap comes late (RFC 3711 loses sync otherwise)
            sequence=secrets.randbelow(1 << 15),
            timestamp=secrets.randbits(32),
            wire=self._connection,
        )
        if track == "screen":
            self.screen = downlink
            return
        while len(self.pairs) <= index:
            self.pairs.append({})
        self.pairs[index][track] = downlink

    def _add_uplink(self, track: Track, mid: str, clock: SenderClock) -> None:
        uplink = Uplink(
            _kind(track),
            own_ssrc=self._own_ssrc,
            wire=self._connection,
            later=asyncio.get_running_loop().call_later,
            put_off=self._beat.put_off,
            media_time=self._media_time,
            sender_clock=clock,
            on_started=lambda: self._started(track),
        )
        self.uplinks[track] = self._link.uplinks[mid] = uplink

    # --- while it lives -------------------------------------------------------------------

    def report(self, now: float) -> None:
        """Send the RTCP reports; called twice a second."""
        if self.connected:
            data = self._link.reports(self._own_ssrc, now)
            if data:
                self._connection.send_rtcp(data)
            if not self._hastening and self._link.backlog_at(now) > QUEUE_LOW_S:
                self._hasten(now + 1.0)

    def _started(self, track: Track) -> None:
        """The first sound or picture came."""
        if track != "audio":
            self._hasten(time.monotonic() + OPENING_S)
        self._on_media(track)

    def _hasten(self, end: float) -> None:
        """Look at the way in more often: by the next report a narrow line is flooded."""
        now = time.monotonic()
        self._hastening = self.connected and now < end
        if self._hastening:
            self._connection.send_rtcp(self._link.allowance(self._own_ssrc, now))
            asyncio.get_running_loop().call_later(HASTE_S, self._hasten, end)

    @property
    def heard_at(self) -> float | None:
        """When the last media packet came, at first when it could have come (monotonic seconds).

        None while nothing is to be expected.
        """
        if not self.uplinks or self._connected_at is None:
            return None
        heard = [one.heard_at for one in self.uplinks.values() if one.heard_at is not None]
        return max(heard, default=self._connected_at)

    def quality(self) -> Arriving:
        """Of what comes in, since the last time this was asked."""
        kbps = sum(one.throughput.bps for one in self.uplinks.values()) / 1000
        loss = max((one.loss for one in self.uplinks.values()), default=0.0)
        trip = self._link.round_trip_s
        now = time.monotonic()
        measured = {track: one.measure(now) for track, one in self.uplinks.items()}
        sound, video = measured.get("audio", NOTHING), measured.get("video", NOTHING)
        return Arriving(
            kbps=round(kbps, 1),
            loss=round(loss, 4),
            rtt_ms=round(trip * 1000, 1) if trip is not None else None,
            width=video.width or 0,
            height=video.height or 0,
            fps=video.fps or 0.0,
            sound=round(sound.sound, 2) if sound.sound is not None else None,
            frozen_s=video.frozen_s or 0.0,
        )

    @property
    def receivable(self) -> frozenset[str]:
        """The video codecs the browser can be sent; empty before the connection is up."""
        return self._link.receivable

    @property
    def dropped(self) -> dict[str, int]:
        """Datagrams the guard kept out, by reason."""
        doors = self._connection.doors
        return dict(sum((door.guard.dropped for door in doors), Counter()))

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        log.debug("- connection %s", state)
        if self.closed:
            return
        if state == "connected" and not self.connected:
            self.connected = True
            self._connected_at = time.monotonic()
            self._on_change()
        elif state in ("failed", "closed"):
            self._end()
            self._on_change()

    def _give_up(self) -> None:
        if not self.connected and not self.closed:
            log.info("x no connection within %.0f s", CONNECT_DEADLINE_S)
            self._end()
            self._on_change()

    def _end(self) -> None:
        """Let go of all streams."""
        self.closed = True
        self.connected = False
        if self._deadline is not None:
            self._deadline.cancel()
        now = time.monotonic()
        for downlink in self._link.downlinks.values():
            downlink.attach(None, now)
        for uplink in self.uplinks.values():
            uplink.close()

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._end()
        _open.discard(self)
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._connection.close()
        except TimeoutError:
            log.warning("x a connection took too long to close")


def _tracks(sections: list[Section], screen_mid: str | None) -> list[Track]:
    """What each section carries up. Raises OfferRefused if no other section can be the screen's."""
    tracks: list[Track] = ["audio" if one.kind == "audio" else "video" for one in sections]
    if screen_mid is None:
        return tracks
    for index, section in enumerate(sections):
        if section.mid == screen_mid and "video" in tracks[:index]:
            tracks[index] = "screen"
            return tracks
    raise OfferRefused("bad_offer", "The screen needs a video section after the camera's.")


def _kind(track: Track) -> Kind:
    return "audio" if track == "audio" else "video"


async def close_all() -> None:
    """Close every connection of this process: call it when the server stops."""
    await asyncio.gather(*(peer.close() for peer in list(_open)))
