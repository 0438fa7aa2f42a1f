"""Audio or video arriving from one browser, whatever streams it comes in."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from signaling import rtcp
from signaling.codecs import CODECS, Codec
from signaling.frames import Frame, MediaClock, SenderClock
from signaling.layer import Later, Layer, Publisher, Tap, Wire
from signaling.rate import Allowance, Throughput

if TYPE_CHECKING:
    from signaling.downlink import Downlink

LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
RID_URI = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
MAIN, LOW = "h", "l"
"The names (rid) of the simulcast layers."
LOW_BPS = 150_000
"What the low layer takes."
BOTH_BPS = 450_000
"Publishers who may send less than this send one layer only."
LOW_PATIENCE_S = 3.0
"A low layer that does not come within this time is not counted on."


class Arrival(NamedTuple):
    """How a track arrived lately; None where unknown or not of its kind."""

    width: int | None
    height: int | None
    fps: float | None
    sound: float | None
    "Loudness, 0..1."
    frozen_s: float | None


NOTHING = Arrival(None, None, None, None, None)


class Uplink:
    """One track of a browser: a main stream, and a low one while simulcast is on."""

    def __init__(
        self,
        kind: str,
        *,
        own_ssrc: int,
        wire: Wire,
        later: Later,
        put_off: Callable[[Callable[[], None]], None],
        media_time: Callable[[float], int],
        sender_clock: SenderClock,
        on_started: Callable[[], None],
    ) -> None:
        self.kind = kind
        self.rate = 90_000 if kind == "video" else 48_000
        self.layered = False
        "Simulcast was negotiated."
        self.throughput = Throughput()
        self.allowance = Allowance()
        self.later = later
        self._publisher = Publisher(own_ssrc, wire, later, put_off, media_time, sender_clock)
        self._codecs: dict[int, Codec] = {}
        self.main = self._layer()
        self.main.on_started = on_started
        self.low: Layer | None = None
        self._viewers: list[Downlink] = []
        self._handler: Callable[[Frame, int], None] | None = None
        self._low_wanted_at: float | None = None

    def _layer(self) -> Layer:
        codec = next(iter(self._codecs.values()), CODECS["vp8" if self.kind == "video" else "opus"])
        return Layer(self._publisher, codec, self._codecs)

    def open(self, codecs: dict[int, str], extensions: dict[str, int]) -> None:
        """The connection is up; what was negotiated: payload type -> codec, extension ids."""
        self._codecs.update((number, CODECS[name]) for number, name in codecs.items())
        first = next(iter(self._codecs.values()), None)
        if first is not None:
            self.main.expect(first)
        self.layered = self.kind == "video" and RID_URI in extensions
        if self.kind == "audio":
            self.main.level_extension = extensions.get(LEVEL_URI, 0)

    def stream(self, ssrc: int, rid: str = "") -> Layer | None:
        """The layer that the packets of a new SSRC belong to; None for an unknown name."""
        if not self.layered or rid in ("", MAIN):
            layer = self.main
        elif rid != LOW:
            return None
        elif self.low is None:
            layer = self.low = self._layer()
        else:
            layer = self.low
        if layer.ssrc != ssrc:
            layer.restart(ssrc)
        return layer

    # --- its streams as one -----------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its streams, the best first."""
        return (self.main,) if self.low is None else (self.main, self.low)

    def best(self, now: float) -> Layer:
        """The best stream that is alive."""
        if self.low is not None and not self.main.alive(now) and self.low.alive(now):
            return self.low
        return self.main

    @property
    def codec(self) -> str:
        """vp8, h264 or opus: what arrives, or what was agreed to arrive."""
        return self.main.codec.name

    @property
    def ssrc(self) -> int | None:
        """Of the main stream, once known."""
        return self.main.ssrc

    @property
    def clock(self) -> MediaClock:
        """Of the main stream."""
        return self.main.clock

    @property
    def loss(self) -> float:
        """Share of packets lost on the way in lately."""
        return max(layer.loss for layer in self.layers)

    @property
    def heard_at(self) -> float | None:
        """When the last packet came."""
        times = [layer.heard_at for layer in self.layers if layer.heard_at is not None]
        return max(times, default=None)

    @property
    def low_wanted(self) -> bool:
        """Some viewer's line carries no more than the low layer, and it can be had.

        A publisher whose own line is narrow sends one stream that fits everybody.
        """
        if not self.layered or self.allowance.bps < BOTH_BPS:
            return False
        return any(viewer.wants_low for viewer in self._viewers)

    def measure(self, now: float) -> Arrival:
        """How the track arrived since the last call."""
        if self.kind == "audio":
            return Arrival(None, None, None, self.main.loudness(), None)
        best = self.best(now)
        measured = [(layer, layer.motion.measure(now)) for layer in self.layers]
        fps, frozen = next(found for layer, found in measured if layer is best)
        width, height = best.motion.size or (None, None)
        return Arrival(width, height, round(fps, 1), None, round(frozen, 2))

    # --- frames -----------------------------------------------------------------------------

    @property
    def tapped(self) -> bool:
        """Whether frames are being put together."""
        return self._handler is not None

    def tap(self, handler: Callable[[Frame, int], None] | None, now: float) -> None:
        """Put frames of the best stream together for `handler(frame, media time)`, or stop."""
        self._handler = handler
        for layer in self.layers:
            layer.untap()
        if handler is not None:
            best = self.best(now)
            best.tap = Tap(best, handler)
            best.request_keyframe(now)

    # --- feedback ---------------------------------------------------------------------------

    def request_keyframe(self, now: float) -> None:
        """Ask for a key frame of the best stream, at most one each half second."""
        self.best(now).request_keyframe(now)

    def blocks(self, now: float) -> list[rtcp.Block]:
        """Our report blocks for the publisher."""
        found = (layer.block(now) for layer in self.layers)
        return [block for block in found if block is not None]

    def backlog_at(self, now: float) -> float:
        """How long its packets queue on the way in just now."""
        return self.main.backlog_at(now)

    def allowed_bps(self, now: float, backlog_s: float | None = None) -> int:
        """How much the publisher may send now, in all its streams.

        `backlog_s`: how long the sound beside it queues, if there is any. Only what both come late
        by is a queue: browsers hold large pictures back themselves, and a microphone that stops
        for a moment is late ever after.
        """
        low = self._low_alive(now)
        limits = (viewer.share_bps for viewer in self._viewers if not (low and viewer.wants_low))
        allowed = self.allowance.update(
            now,
            received_bps=self.throughput.bps,
            loss=self.loss,
            queue_s=self.main.queue_s
            if backlog_s is None
            else min(backlog_s, self.backlog_at(now)),
            viewer_bps=min(limits, default=inf),
        )
        return allowed + (LOW_BPS if low else 0)

    def _low_alive(self, now: float) -> bool:
        """Whether the low layer is there, or is given time to come."""
        if not self.low_wanted:
            self._low_wanted_at = None
            return False
        if self._low_wanted_at is None:
            self._low_wanted_at = now
        there = self.low is not None and self.low.alive(now)
        return there or now - self._low_wanted_at < LOW_PATIENCE_S

    def measure_rate(self, now: float) -> None:
        """Take in how much came since the last time."""
        self.throughput.measure(now, sum(layer.octets for layer in self.layers))

    def care(self, now: float, round_trip_s: float | None) -> None:
        """Twice a second: measure, choose streams, ask for key frames still waited for."""
        self.measure_rate(now)
        if self.layered:
            for viewer in self._viewers:
                viewer.aim(self._choice(viewer, now), now)
            if self._handler is not None and self.best(now).tap is None:
                self.tap(self._handler, now)
        for layer in self.layers:
            layer.care(now, round_trip_s)

    # --- viewers ----------------------------------------------------------------------------

    def _choice(self, viewer: Downlink, now: float) -> Layer:
        if viewer.wants_low and self.low is not None and self.low.alive(now):
            return self.low
        return self.best(now)

    def add_viewer(self, viewer: Downlink, now: float) -> None:
        """Forward to one more."""
        self._viewers.append(viewer)
        viewer.aim(self._choice(viewer, now), now)

    def remove_viewer(self, viewer: Downlink) -> None:
        """Stop forwarding to it."""
        self._viewers = [one for one in self._viewers if one is not viewer]

    def close(self) -> None:
        """The connection is gone: let go of viewers and frames."""
        for viewer in self._viewers:
            viewer.attach(None, time.monotonic())
        self._handler = None
        for layer in self.layers:
            layer.close()
