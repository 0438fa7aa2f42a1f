"""Audio or video going to one browser, from whichever source it is attached to."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Collection, Sequence
from math import inf

from signaling import rtcp
from signaling.guard import Budget
from signaling.layer import Layer, Wire
from signaling.line import Pacer
from signaling.rate import Throughput
from signaling.rtp import Continuity, Packet, patched
from signaling.uplink import LEVEL_URI, Uplink
from signaling.vp8 import PictureIds

WALL_CLOCK = time.time() - time.monotonic()
"Unix time of monotonic zero: NTP times in our reports never jump while the process lives."
HEADER_AND_WORD = struct.Struct("!BBHIIII").pack
ONE_WORD = struct.Struct("!II").pack
"A block of one-byte header extensions (RFC 8285), one word long."
SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
LOW_BELOW_BPS = 400_000
"Below this share of the line a viewer takes the low layer, if there is one."
HIGH_ABOVE_BPS = 600_000
CALM_S = 10.0
"A line must carry enough for so long before a viewer goes back to the high layer."
CALM_MAX_S = 160.0
PACE_BELOW_BPS = 500_000
"A larger share needs no pacing: the publisher is held to it."
PACE_S = 0.015
KEYFRAME_PATIENCE_S = 1.5
"A viewer on a narrow line asks for key frames no more often: they cost all others."


class Downlink:
    """One outgoing stream; it goes on without a break when its source changes."""

    __slots__ = (
        "_awaited", "_calm_s", "_continuity", "_enough_since", "_level_tag", "_octets", "_pacer",
        "_pacing", "_packets", "_payload_type", "_payload_types", "_pictures", "_plain",
        "_raised_at", "_resends", "_restarting", "_send_rtp", "_sent_at", "_time_tag", "kind",
        "layer", "loss", "mid", "rate", "resent_octets", "round_trip_s", "share_bps", "source",
        "ssrc", "throughput", "wants_low",
    )  # fmt: skip

    def __init__(
        self, kind: str, *, mid: str, ssrc: int, sequence: int, timestamp: int, wire: Wire
    ) -> None:
        self.kind = kind
        self.mid = mid
        "The media section of the browser's connection."
        self.ssrc = ssrc
        self.rate = 90_000 if kind == "video" else 48_000
        self.source: Uplink | None = None
        self.layer: Layer | None = None
        "Where packets come from now."
        self.loss = 0.0
        self.round_trip_s: float | None = None
        self.throughput = Throughput()
        self.share_bps = inf
        "What the viewer's line has for this stream."
        self.wants_low = False
        "The share is too small for anything but the low layer."
        self._send_rtp: Callable[[Sequence[bytes]], None] = wire.send_rtp
        self._awaited: Layer | None = None
        self._continuity = Continuity(sequence, timestamp, self.rate)
        self._pictures = PictureIds()
        self._payload_types: dict[str, int] = {}
        self._payload_type = 0
        self._time_tag = 0
        self._level_tag = 0
        self._packets = 0
        self._octets = 0
        self.resent_octets = 0
        self._resends = Budget(150, 100)
        self._pacer: Pacer | None = None
        self._plain = True
        "Neither paced nor with picture ids rewritten."
        self._pacing = False
        self._restarting = False
        self._sent_at: dict[tuple[int, int], float] = {}
        "Paced packets -> when they went: a retransmission must be identical."
        self._enough_since: float | None = None
        self._calm_s = CALM_S
        self._raised_at = -inf

    def open(
        self,
        payload_types: dict[str, int],
        extensions: dict[str, int],
        send_rtp: Callable[[Sequence[bytes]], None] | None = None,
    ) -> None:
        """The connection is up; what was negotiated: codec -> payload type, extension ids.

        `send_rtp` is a shorter way than the wire's own.
        """
        self._send_rtp = send_rtp or self._send_rtp
        self._payload_types = payload_types
        number = extensions.get(SEND_TIME_URI, 0)
        if self.kind == "video" and 0 < number < 15:
            self._time_tag = number << 28 | 2 << 24  # three bytes
        number = extensions.get(LEVEL_URI, 0)
        if self.kind == "audio" and 0 < number < 15:
            self._level_tag = number << 28  # one byte
        if self.source is not None:
            self.source.request_keyframe(time.monotonic())

    @property
    def receivable(self) -> Collection[str]:
        """The codecs its browser can decode; empty before the connection is up."""
        return self._payload_types.keys()

    def takes(self, codec: str) -> bool:
        """Whether the browser can decode it."""
        return codec in self._payload_types

    # --- the source -------------------------------------------------------------------------

    def attach(self, source: Uplink | None, now: float) -> None:
        """Take packets from `source` from now on; the stream goes on without a break."""
        if source is self.source:
            return
        if self.source is not None:
            self.source.remove_viewer(self)
        self.source = source
        self._leave()
        self._expect(None)
        if source is not None:
            source.add_viewer(self, now)

    def aim(self, layer: Layer, now: float) -> None:
        """Go over to this stream of the source with its next key frame."""
        if layer is (self._awaited or self.layer):
            return
        self._expect(layer if layer is not self.layer else None)
        if self._awaited is not None:
            layer.request_keyframe(now)

    def _expect(self, layer: Layer | None) -> None:
        if self._awaited is not None:
            self._awaited.waiting.remove(self)
        self._awaited = layer
        if layer is not None:
            layer.waiting.append(self)

    def _leave(self) -> None:
        """Take nothing more from the present stream."""
        if self.layer is None:
            return
        # a new list: the layer may be going through the old one
        self.layer.viewers = [one for one in self.layer.viewers if one is not self]
        if self._continuity.last is not None and self.layer.codec.name == "vp8":
            self._pictures.leave(self._continuity.last)
        self._continuity.end()
        self.layer = None

    def pause(self) -> None:
        """Begin anew with the next packet (for video: the next key frame)."""
        layer = self._awaited or self.layer
        self._leave()
        self._expect(layer)

    def begin(self, layer: Layer, packet: Packet) -> None:
        """The key frame waited for starts with `packet`, which comes next to `forward`."""
        self._leave()
        self._expect(None)
        self.layer = layer
        self._payload_type = self._payload_types[layer.codec.name]
        if self._pacer is not None:
            self._pacer.clear()
        self._join(layer, packet)
        layer.viewers = [*layer.viewers, self]

    def _join(self, layer: Layer, packet: Packet) -> None:
        """Let `packet` follow on what was sent before."""
        if layer.codec.name == "vp8":
            if self._continuity.last is not None:
                self._pictures.leave(self._continuity.last)
            self._pictures.begin(packet)
        else:
            self._pictures.shifted = False
        self._continuity.begin(packet)
        self._plain = self._pacer is None and not self._pictures.shifted

    # --- packets ----------------------------------------------------------------------------

    def forward(self, packets: Sequence[Packet]) -> None:
        """Send the source's packets on under our own numbers.

        What is written out for the plain case: `Continuity.map`, for packets in order, and
        `_send`, for such as are not paced and keep their picture ids.
        """
        numbers = self._continuity
        if packets[0].sequence != numbers.expected or not self._plain:
            for packet in packets:
                self._forward_otherwise(packet)
            return
        last = packets[-1]
        numbers.expected = (last.sequence + 1) & 0xFFFF
        numbers.reach += len(packets)
        numbers.last = last
        shift, timestamp_shift = numbers.shift, numbers.timestamp_shift
        payload_type, ssrc = self._payload_type, self.ssrc
        word = 0
        if self._time_tag:
            word = self._time_tag | int(last.arrival * 262_144) & 0xFFFFFF
        elif self._level_tag and self.layer is not None:
            word = self._level_tag | self.layer.level << 16
        octets, out = 0, []
        for packet in packets:
            payload = packet.data[packet.offset :]
            octets += packet.end - packet.offset
            header = HEADER_AND_WORD(
                packet.padded | 0x90,
                packet.marker | payload_type,
                (packet.sequence + shift) & 0xFFFF,
                (packet.timestamp + timestamp_shift) & 0xFFFFFFFF,
                ssrc,
                0xBEDE0001,
                word,
            )
            out.append(header + payload)
        self._packets += len(packets)
        self._octets += octets
        self._send_rtp(out)

    def _forward_otherwise(self, packet: Packet) -> None:
        if self._pacer is not None:
            self._pace(packet)
            return
        numbers = self._continuity.map(packet)
        if numbers is not None:
            self._send(packet, numbers, packet.arrival)

    def _send(self, packet: Packet, numbers: tuple[int, int], at: float) -> None:
        """Send the packet; the bytes depend on the arguments alone (see `patched`)."""
        if self._time_tag:
            # 24 bits of 1/2**18 s; the arrival here, so that a retransmission is identical
            extension = ONE_WORD(0xBEDE0001, self._time_tag | int(at * 262_144) & 0xFFFFFF)
        elif self._level_tag and self.layer is not None:
            extension = ONE_WORD(0xBEDE0001, self._level_tag | self.layer.level << 16)
        else:
            extension = ONE_WORD(0xBEDE0001, 0)  # padding: all packets have the same form
        payload = self._pictures.rewrite(packet) if self._pictures.shifted else None
        self._packets += 1
        self._octets += packet.end - packet.offset
        data = patched(
            packet, self._payload_type, numbers[0], numbers[1], self.ssrc, extension, payload
        )
        self._send_rtp((data,))

    @property
    def sent_octets(self) -> int:
        """All bytes sent, with headers."""
        return self._octets + 28 * self._packets

    # --- the viewer's line ------------------------------------------------------------------

    def limit(self, share_bps: float, now: float) -> None:
        """The viewer's line has so much for this stream (inf: nothing limits)."""
        self.share_bps = share_bps
        self._choose(now)
        if share_bps >= PACE_BELOW_BPS:
            self._unpace(now)
        elif self._pacer is None:
            self._pacer = Pacer(share_bps, now)
            self._plain = False
        else:
            self._pacer.bps = share_bps

    def _choose(self, now: float) -> None:
        """Low or high layer: down at once, up after a calm time that doubles if it was wrong."""
        if self.share_bps < LOW_BELOW_BPS:
            self._enough_since = None
            if not self.wants_low:
                hasty = now - self._raised_at < CALM_S
                self._calm_s = min(CALM_MAX_S, self._calm_s * 2) if hasty else CALM_S
            self.wants_low = True
        elif self.wants_low and self.share_bps > HIGH_ABOVE_BPS:
            self._enough_since = self._enough_since or now
            if now - self._enough_since >= self._calm_s:
                self.wants_low = False
                self._raised_at = now

    def choke(self) -> None:
        """The line was found much too narrow: stop, and go on with a key frame of its size."""
        if self._pacer is not None and self.layer is not None:
            self._pacer.clear()
            self._pacer.skipping = True
            self._restart_later()

    def _pace(self, packet: Packet) -> None:
        pacer, layer = self._pacer, self.layer
        assert pacer is not None and layer is not None
        if pacer.skipping:
            if len(pacer) or not layer.codec.begins_keyframe(packet):
                return
            pacer.skipping = False
            self._join(layer, packet)  # what was skipped leaves no gap in the numbers
        pacer.push(packet)
        self._drain()

    def _drain(self) -> None:
        if self._pacer is not None and not self._pacing:
            self._pacer.drain(time.monotonic(), self._send_paced)
            if len(self._pacer) and self.source is not None:
                self._pacing = True
                self.source.later(PACE_S, self._drain_more)
            elif self._pacer.skipping:
                self._restart_later()

    def _drain_more(self) -> None:
        self._pacing = False
        self._drain()

    def _restart_later(self) -> None:
        if self.source is not None and not self._restarting:
            self._restarting = True
            self.source.later(KEYFRAME_PATIENCE_S, self._restart)

    def _restart(self) -> None:
        self._restarting = False
        if self._pacer is not None and self._pacer.skipping and self.layer is not None:
            self.layer.request_keyframe(time.monotonic())
            self._restart_later()

    def _send_paced(self, packet: Packet) -> None:
        numbers = self._continuity.map(packet)
        if numbers is None:
            return
        now = time.monotonic()
        self._sent_at[numbers] = now
        if len(self._sent_at) > 1024:
            del self._sent_at[next(iter(self._sent_at))]
        self._send(packet, numbers, now)

    def _unpace(self, now: float) -> None:
        """The line is wide again: send what waits, and go on without pacing."""
        pacer, self._pacer = self._pacer, None
        if pacer is None:
            return
        pacer.bps = inf
        pacer.drain(now, self._send_paced)
        self._plain = not self._pictures.shifted
        if pacer.skipping:
            self.pause()

    # --- feedback ---------------------------------------------------------------------------

    def resend(self, lost: list[int], now: float) -> None:
        """The browser missed these; send again what the source's ring still has."""
        if self.layer is None:
            return
        for sequence in lost:
            packet = self.layer.again(self._continuity.source_sequence(sequence))
            numbers = self._continuity.again(packet) if packet is not None else None
            if packet is not None and numbers is not None and numbers[0] == sequence:
                if not self._resends.spend(now):
                    return
                if self._pacer is not None and not self._pacer.spend(len(packet.data), now):
                    return
                self.resent_octets += len(packet.data)
                self._send(packet, numbers, self._sent_at.get(numbers, packet.arrival))

    def sent_lately(self, sequence: int) -> bool:
        """Whether the number is one of those since the stream last began anew."""
        return self._continuity.covers(sequence)

    def source_packet(self, sequence: int) -> Packet | None:
        """The source's packet behind one of our numbers, if it is still kept."""
        if self.layer is None:
            return None
        return self.layer.again(self._continuity.source_sequence(sequence))

    def request_keyframe(self, now: float) -> None:
        """The browser cannot go on without a key frame."""
        layer = self.layer or self._awaited
        if layer is None or (self._pacer is not None and self._pacer.skipping):
            return
        layer.request_keyframe(now)

    def reported(self, block: rtcp.Block, now: float) -> None:
        """The browser's report on this stream."""
        self.loss += (block.fraction_lost / 256 - self.loss) / 2
        if block.last_report:
            here = rtcp.ntp_time(now + WALL_CLOCK) >> 16 & 0xFFFFFFFF
            trip = ((here - block.last_report - block.delay) & 0xFFFFFFFF) / 65536
            if trip < 10:
                self.round_trip_s = trip

    def sender_report(self, now: float, media_time_us: int) -> rtcp.SenderReport | None:
        """Our report on this stream; audio and video of one source share one clock."""
        if self.layer is None or not self._packets:
            return None
        timestamp = self.layer.clock.timestamp_at(media_time_us)
        if timestamp is None:
            return None
        return rtcp.SenderReport(
            self.ssrc,
            rtcp.ntp_time(now + WALL_CLOCK),
            self._continuity.outgoing_timestamp(timestamp),
            self._packets & 0xFFFFFFFF,
            self._octets & 0xFFFFFFFF,
        )
