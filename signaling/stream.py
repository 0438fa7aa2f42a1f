"""Media streams inside the server: one Uplink from a publisher to any number of Downlinks.

No sockets here: a Link is given bytes and gives bytes. Times are monotonic seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from signaling import rtcp
from signaling.frames import (
    Depacketiser,
    Frame,
    MediaClock,
    OpusFrames,
    Reorder,
    SenderClock,
    Vp8Frames,
    begins_vp8_keyframe,
)
from signaling.guard import Budget
from signaling.rate import Allowance, QueueDelay, Throughput, viewer_limit
from signaling.rtp import Continuity, LossBook, Packet, Ring, patched

KEYFRAME_INTERVAL_S = 0.5
"At most one key frame request to a publisher in this time."
WALL_CLOCK = time.time() - time.monotonic()
"Unix time of monotonic zero: NTP times in our reports never jump while the process lives."
MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

Later = Callable[[float, Callable[[], None]], object]
"Calls a function after some seconds."


class Wire(Protocol):
    """The encrypted way to a browser."""

    def send_rtp(self, data: bytes) -> None:
        """Protect and send an RTP packet; silently nothing when not connected."""

    def send_rtcp(self, data: bytes) -> None:
        """The same for RTCP."""


class Uplink:
    """Audio or video arriving from one browser."""

    def __init__(
        self,
        kind: str,
        *,
        own_ssrc: int,
        wire: Wire,
        later: Later,
        media_time: Callable[[float], int],
        sender_clock: SenderClock,
        on_started: Callable[[], None],
    ) -> None:
        self.kind = kind
        self.codec = "vp8" if kind == "video" else "opus"
        self.rate = 90_000 if kind == "video" else 48_000
        self.ssrc: int | None = None
        self.payload_type: int | None = None
        self.heard_at: float | None = None
        "When the last packet came."
        self.loss = 0.0
        "Share of packets lost on the way in lately."
        self.clock = MediaClock(self.rate)
        self.throughput = Throughput()
        self.allowance = Allowance()
        self._own_ssrc = own_ssrc
        self._wire = wire
        self._later = later
        self._media_time = media_time
        self._sender_clock = sender_clock
        self._on_started = on_started
        self._started = False
        self._viewers: list[Downlink] = []
        self._book = LossBook(self.rate)
        self._ring = Ring()
        self._queue = QueueDelay(self.rate)
        self._nack_waiting = False
        self._round_trip_s = 0.1
        self._keyframe_asked_at = float("-inf")
        self._keyframe_waiting = False
        self._last_report: tuple[int, float] | None = None
        self._tap: Callable[[Frame, int], None] | None = None
        self._reorder = Reorder()
        self._frames: Depacketiser = OpusFrames()

    # --- packets --------------------------------------------------------------------------

    def receive(self, packet: Packet) -> None:
        """A packet came: count it, forward it, take it apart if somebody wants frames."""
        if packet.payload_type != self.payload_type:
            return
        if packet.ssrc != self.ssrc:
            self.ssrc = packet.ssrc
            self._restart()
        book = self._book
        if not book.add(packet):
            return
        now = packet.arrival
        self.heard_at = now
        self.throughput.add(len(packet.data))
        if self.kind == "video":
            self._ring.put(packet)
            if packet.marker:
                self._queue.add(packet.timestamp, now)
                self.clock.time_us(packet.timestamp, self._media_time(now))
            if book.missing and not self._nack_waiting:
                self._nack_waiting = True
                self._later(0.012, self._ask_again)
        else:
            self.clock.time_us(packet.timestamp, self._media_time(now))
        if not self._started:
            self._start(packet)
        for viewer in self._viewers:
            viewer.forward(packet)
        if self._tap is not None:
            self._take_apart(packet)

    def _restart(self) -> None:
        """The browser began a new stream."""
        self._book = LossBook(self.rate)
        self._ring = Ring()
        self._queue = QueueDelay(self.rate)
        self.clock = MediaClock(self.rate)
        self._last_report = None
        self._reorder = Reorder()
        for viewer in self._viewers:
            viewer.pause()

    def _start(self, packet: Packet) -> None:
        if self.kind == "audio" or begins_vp8_keyframe(packet):
            self._started = True
            self._on_started()

    def _ask_again(self) -> None:
        """NACK what is due, and come back while anything is missing."""
        now = time.monotonic()
        lost = self._book.due(now, max(0.03, min(0.5, self._round_trip_s * 1.2)))
        if lost and self.ssrc is not None:
            self._wire.send_rtcp(rtcp.nack(self._own_ssrc, self.ssrc, lost))
        self._nack_waiting = bool(self._book.missing)
        if self._nack_waiting:
            self._later(0.02, self._ask_again)

    def again(self, sequence: int) -> Packet | None:
        """A packet from the ring."""
        return self._ring.get(sequence)

    # --- frames ---------------------------------------------------------------------------

    @property
    def tapped(self) -> bool:
        """Whether frames are being put together."""
        return self._tap is not None

    def tap(self, handler: Callable[[Frame, int], None] | None, now: float) -> None:
        """Put frames together for `handler(frame, media time)`, or stop doing so."""
        self._tap = handler
        self._reorder = Reorder()
        self._frames = Vp8Frames() if self.kind == "video" else OpusFrames()
        if handler is not None:
            self.request_keyframe(now)

    def _take_apart(self, packet: Packet) -> None:
        for ready in self._reorder.push(packet):
            was_waiting = self._frames.waiting_for_keyframe
            frame = self._frames.push(ready)
            if self._frames.waiting_for_keyframe and not was_waiting:
                self.request_keyframe(packet.arrival)
            if frame is not None and self._tap is not None:
                at = self.clock.time_us(frame.timestamp, self._media_time(ready.arrival))
                self._tap(frame, at)

    # --- feedback -------------------------------------------------------------------------

    def request_keyframe(self, now: float) -> None:
        """Ask for a key frame, at most one each half second; a request in between is kept."""
        if self.kind != "video" or self.ssrc is None or self._keyframe_waiting:
            return
        wait = self._keyframe_asked_at + KEYFRAME_INTERVAL_S - now
        if wait > 0:
            self._keyframe_waiting = True
            self._later(wait, self._ask_keyframe)
        else:
            self._ask_keyframe()

    def _ask_keyframe(self) -> None:
        self._keyframe_waiting = False
        self._keyframe_asked_at = time.monotonic()
        if self.ssrc is not None:
            self._wire.send_rtcp(rtcp.picture_loss(self._own_ssrc, self.ssrc))

    def sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        """The publisher says how its timestamps relate to its clock."""
        ntp_us = rtcp.ntp_us(report.ntp)
        self._last_report = (report.ntp >> 16 & 0xFFFFFFFF, now)
        self._sender_clock.add(ntp_us, self._media_time(now))
        self.clock.sender_report(report.timestamp, ntp_us + self._sender_clock.offset_us)

    def block(self, now: float) -> rtcp.Block | None:
        """Our report block for the publisher; None before anything came."""
        if self.ssrc is None:
            return None
        fraction, total, highest, jitter = self._book.report()
        self.loss += (fraction / 256 - self.loss) / 2
        last, delay = 0, 0
        if self._last_report is not None:
            last = self._last_report[0]
            delay = min(0xFFFFFFFF, int((now - self._last_report[1]) * 65536))
        return rtcp.Block(self.ssrc, fraction, total, highest, jitter, last, delay)

    def allowed_bps(self, now: float) -> int:
        """How much the publisher may send now."""
        limits = (viewer.limit_bps for viewer in self._viewers)
        return self.allowance.update(
            now,
            received_bps=self.throughput.bps,
            loss=self.loss,
            queue_s=self._queue.seconds,
            viewer_bps=min(limits, default=float("inf")),
        )

    def care(self, now: float, round_trip_s: float | None) -> None:
        """Twice a second: ask again for a key frame somebody still waits for."""
        self.throughput.measure(now)
        if round_trip_s is not None:
            self._round_trip_s = round_trip_s
        waiting = self._tap is not None and self._frames.waiting_for_keyframe
        if waiting or any(viewer.waiting_for_keyframe for viewer in self._viewers):
            self.request_keyframe(now)

    # --- viewers --------------------------------------------------------------------------

    def add_viewer(self, viewer: Downlink, now: float) -> None:
        """Forward to one more."""
        self._viewers.append(viewer)
        self.request_keyframe(now)

    def remove_viewer(self, viewer: Downlink) -> None:
        """Stop forwarding to it."""
        self._viewers = [one for one in self._viewers if one is not viewer]

    def close(self) -> None:
        """The connection is gone: let go of viewers and frames."""
        for viewer in self._viewers:
            viewer.attach(None, time.monotonic())
        self._tap = None
        self.ssrc = None
        self._book.missing.clear()


class Downlink:
    """Audio or video going to one browser, from whichever source it is attached to."""

    def __init__(
        self, kind: str, *, mid: str, ssrc: int, sequence: int, timestamp: int, wire: Wire
    ) -> None:
        self.kind = kind
        self.mid = mid
        "The media section of the browser's connection."
        self.ssrc = ssrc
        self.rate = 90_000 if kind == "video" else 48_000
        self.source: Uplink | None = None
        self.loss = 0.0
        self.round_trip_s: float | None = None
        self.throughput = Throughput()
        self._wire = wire
        self._continuity = Continuity(sequence, timestamp, self.rate)
        self._payload_type: int | None = None
        self._extension = b""
        self._packets = 0
        self._octets = 0
        self._remb_bps: float | None = None
        self._resends = Budget(400, 400)

    def open(self, payload_type: int, extensions: dict[str, int]) -> None:
        """The connection is up; what was negotiated: payload type, header extension URI -> id."""
        self._payload_type = payload_type
        number = extensions.get(SEND_TIME_URI, 0)
        if self.kind == "video" and 0 < number < 15:
            # one-byte header, one word: the id, three bytes of time
            self._extension = bytes((0xBE, 0xDE, 0, 1, number << 4 | 2))
        if self.source is not None:
            self.source.request_keyframe(time.monotonic())

    def attach(self, source: Uplink | None, now: float) -> None:
        """Take packets from `source` from now on; the stream goes on without a break."""
        if source is self.source:
            return
        if self.source is not None:
            self.source.remove_viewer(self)
        self.source = source
        self.pause()
        if source is not None:
            source.add_viewer(self, now)

    def pause(self) -> None:
        """Begin anew with the next packet (for video: the next key frame)."""
        self._continuity.end()

    @property
    def waiting_for_keyframe(self) -> bool:
        """Whether video cannot go on without one."""
        return (
            self.kind == "video" and self._payload_type is not None and not self._continuity.running
        )

    def forward(self, packet: Packet) -> None:
        """Send the source's packet on under our own numbers."""
        if self._payload_type is None:
            return
        if not self._continuity.running:
            if self.kind == "video" and not begins_vp8_keyframe(packet):
                return
            self._continuity.begin(packet, packet.arrival)
        numbers = self._continuity.map(packet, packet.arrival)
        if numbers is not None:
            self._send(packet, *numbers)

    def _send(self, packet: Packet, sequence: int, timestamp: int) -> None:
        assert self._payload_type is not None
        extension = self._extension
        if extension:
            # 24 bits of 1/2**18 s; the arrival here, so that a retransmission is identical
            extension += (int(packet.arrival * 262_144) & 0xFFFFFF).to_bytes(3, "big")
        data = patched(packet, self._payload_type, sequence, timestamp, self.ssrc, extension)
        self._packets += 1
        self._octets += packet.end - packet.offset
        self.throughput.add(len(data))
        self._wire.send_rtp(data)

    # --- feedback -------------------------------------------------------------------------

    def resend(self, lost: list[int] | tuple[int, ...], now: float) -> None:
        """The browser missed these; send again what the source's ring still has."""
        if self.source is None:
            return
        for sequence in lost:
            packet = self.source.again(self._continuity.source_sequence(sequence))
            numbers = self._continuity.again(packet) if packet is not None else None
            if packet is not None and numbers is not None and numbers[0] == sequence:
                if not self._resends.spend(now):
                    return
                self._send(packet, *numbers)

    def request_keyframe(self, now: float) -> None:
        """The browser cannot go on without a key frame."""
        if self.source is not None:
            self.source.request_keyframe(now)

    def reported(self, block: rtcp.Block, now: float) -> None:
        """The browser's report on this stream."""
        self.loss += (block.fraction_lost / 256 - self.loss) / 2
        if block.last_report:
            here = rtcp.ntp_time(now + WALL_CLOCK) >> 16 & 0xFFFFFFFF
            trip = ((here - block.last_report - block.delay) & 0xFFFFFFFF) / 65536
            if trip < 10:
                self.round_trip_s = trip

    def estimated(self, bps: float) -> None:
        """The browser's estimate of its way in."""
        self._remb_bps = bps

    @property
    def limit_bps(self) -> float:
        """What this viewer's way can carry; inf while nothing limits."""
        return viewer_limit(self._remb_bps, self.loss, self.throughput.bps)

    def sender_report(self, now: float, media_time_us: int) -> rtcp.SenderReport | None:
        """Our report on this stream; audio and video of one source share one clock."""
        if self.source is None or not self._packets or not self._continuity.running:
            return None
        timestamp = self.source.clock.timestamp_at(media_time_us)
        if timestamp is None:
            return None
        return rtcp.SenderReport(
            self.ssrc,
            rtcp.ntp_time(now + WALL_CLOCK),
            self._continuity.outgoing_timestamp(timestamp),
            self._packets & 0xFFFFFFFF,
            self._octets & 0xFFFFFFFF,
        )


class Link:
    """All streams of one browser connection, and the RTCP that belongs to them."""

    def __init__(self, media_time: Callable[[float], int]) -> None:
        self.name = ""
        "The canonical name (CNAME) our streams go by, the same as in the answer."
        self.uplinks: dict[str, Uplink] = {}
        "By mid."
        self.downlinks: dict[int, Downlink] = {}
        "By SSRC."
        self._media_time = media_time
        self._by_ssrc: dict[int, Uplink] = {}
        self._mid_extension: int | None = None

    def open_uplink(
        self, mid: str, payload_type: int, ssrcs: list[int], extensions: dict[str, int]
    ) -> None:
        """The connection is up; what was negotiated for this uplink."""
        uplink = self.uplinks.get(mid)
        if uplink is None:
            return
        uplink.payload_type = payload_type
        self._mid_extension = extensions.get(MID_URI, self._mid_extension)
        for ssrc in ssrcs:
            self._by_ssrc[ssrc] = uplink

    def is_stream(self, ssrc: int) -> bool:
        """Whether packets of this SSRC are expected."""
        return ssrc in self._by_ssrc

    def received_rtp(self, data: bytes, now: float) -> None:
        """An unprotected RTP packet came."""
        try:
            packet = Packet(data, now)
        except ValueError:
            return
        uplink = self._by_ssrc.get(packet.ssrc) or self._adopt(packet)
        if uplink is not None:
            uplink.receive(packet)

    def _adopt(self, packet: Packet) -> Uplink | None:
        """Find the uplink of an unknown SSRC: by its MID, else by a payload type of one only."""
        for number, value in packet.extensions():
            if number == self._mid_extension:
                uplink = self.uplinks.get(value.decode("ascii", "replace"))
                break
        else:
            fitting = [
                one for one in self.uplinks.values() if one.payload_type == packet.payload_type
            ]
            uplink = fitting[0] if len(fitting) == 1 else None
        if uplink is not None and len(self._by_ssrc) < 64:
            self._by_ssrc[packet.ssrc] = uplink
        return uplink

    def received_rtcp(self, data: bytes, now: float) -> None:
        """An unprotected RTCP packet came."""
        try:
            for report in rtcp.parse(data):
                self._heed(report, now)
        except ValueError:
            return

    def _heed(self, report: rtcp.Report, now: float) -> None:
        if isinstance(report, rtcp.SenderReport | rtcp.ReceiverReport):
            for block in report.blocks:
                if block.ssrc in self.downlinks:
                    self.downlinks[block.ssrc].reported(block, now)
        match report:
            case rtcp.SenderReport(ssrc) if ssrc in self._by_ssrc:
                self._by_ssrc[ssrc].sender_report(report, now)
            case rtcp.Nack(ssrc, lost) if ssrc in self.downlinks:
                self.downlinks[ssrc].resend(list(lost), now)
            case rtcp.KeyframeRequest(ssrc) if ssrc in self.downlinks:
                self.downlinks[ssrc].request_keyframe(now)
            case rtcp.Remb(bitrate, ssrcs):
                for ssrc in ssrcs:
                    if ssrc in self.downlinks:
                        self.downlinks[ssrc].estimated(bitrate)

    @property
    def round_trip_s(self) -> float | None:
        """Seconds to the browser and back, from the latest reports."""
        trips = [one.round_trip_s for one in self.downlinks.values() if one.round_trip_s]
        return min(trips, default=None)

    def reports(self, own_ssrc: int, now: float) -> bytes:
        """The compound RTCP packet due twice a second; empty if there is nothing to say."""
        senders = []
        for downlink in self.downlinks.values():
            downlink.throughput.measure(now)
            report = downlink.sender_report(now, self._media_time(now))
            if report is not None:
                senders.append(report)
        blocks = []
        answers = []
        for uplink in self.uplinks.values():
            uplink.care(now, self.round_trip_s)
            block = uplink.block(now)
            if block is not None:
                blocks.append(block)
                if uplink.kind == "video":
                    answers.append(rtcp.Remb(uplink.allowed_bps(now), [block.ssrc]))
        if not senders and not blocks:
            return b""
        parts = [rtcp.sender_report(report) for report in senders]
        parts.append(rtcp.receiver_report(rtcp.ReceiverReport(own_ssrc, blocks)))
        named = [report.ssrc for report in senders] or [own_ssrc]
        parts.append(rtcp.source_description(named, self.name))
        parts += [rtcp.remb(own_ssrc, answer) for answer in answers]
        return b"".join(parts)
