"""One RTP stream from a browser: all of an uplink, or one of its simulcast layers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from signaling import rtcp
from signaling.codecs import Codec
from signaling.frames import Frame, MediaClock, OpusFrames, Reorder, SenderClock
from signaling.loss import LossBook
from signaling.motion import Motion
from signaling.padding import Padding
from signaling.rate import QueueDelay, Throughput
from signaling.rtp import RING_PACKETS, Packet, Ring, timestamp_delta
from signaling.vp8 import Vp8Frames

KEYFRAME_INTERVAL_S = 0.5
"At most one key frame request to a publisher in this time."
RUN_PACKETS = 100
RING_MASK = RING_PACKETS - 1
ALIVE_S = 1.0
"A video stream that sent nothing for this long is no choice for a viewer."

Later = Callable[[float, Callable[[], None]], object]
"Calls a function after some seconds."


class Wire(Protocol):
    """The encrypted way to a browser."""

    def send_rtp(self, packets: Sequence[bytes]) -> None:
        """Protect and send RTP packets; silently nothing when not connected."""

    def send_rtcp(self, data: bytes) -> None:
        """The same for an RTCP packet."""


class Viewer(Protocol):
    """Where a stream is forwarded to."""

    def takes(self, codec: str) -> bool:
        """Whether the viewer's browser can decode it."""

    def begin(self, layer: Layer, packet: Packet) -> None:
        """The key frame waited for starts with `packet`."""

    def forward(self, packets: Sequence[Packet]) -> None:
        """The next packets of the stream."""

    def pause(self) -> None:
        """Begin anew with the next key frame."""


@dataclass(frozen=True)
class Publisher:
    """The browser a stream comes from."""

    own_ssrc: int
    "Ours, in RTCP to it."
    wire: Wire
    later: Later
    put_off: Callable[[Callable[[], None]], None]
    "Calls a function a little later, together with others."
    media_time: Callable[[float], int]
    "Monotonic seconds to microseconds of the room."
    sender_clock: SenderClock


class Layer:
    """Counts, keeps, and passes on the packets of one stream."""

    __slots__ = (
        "_book", "_codecs", "_keyframe_asked_at", "_keyframe_waiting", "_last_report",
        "_level_place", "_loudest", "_nack_waiting", "_padding", "_payload_type", "_publisher",
        "_queue", "_ring", "_round_trip_s", "_slots", "_timestamp", "_video", "clock", "codec",
        "heard_at", "level", "level_extension", "loss", "motion", "octets", "on_started", "ssrc",
        "tap", "throughput", "viewers", "waiting",
    )  # fmt: skip

    def __init__(self, publisher: Publisher, codec: Codec, codecs: dict[int, Codec]) -> None:
        """`codecs` is by payload type; it may be filled later."""
        self.codec = codec
        self.ssrc: int | None = None
        self.heard_at: float | None = None
        "When the last packet came."
        self.octets = 0
        self.throughput = Throughput()
        self.loss = 0.0
        "Share of packets lost on the way in lately."
        self.on_started: Callable[[], None] | None = None
        "Called once, with the first sound or key frame."
        self.level_extension = 0
        "Id of the audio level's header extension, 0 if not negotiated."
        self.level = 127
        "Loudness of the last audio packet, 0 (loudest) to 127 (-dBov, RFC 6464)."
        self.viewers: list[Viewer] = []
        self.waiting: list[Viewer] = []
        "They begin with the next key frame."
        self.tap: Tap | None = None
        self._publisher = publisher
        self._codecs = codecs
        self._payload_type = -1
        self._video = codec.rate == 90_000
        self._loudest = 127
        self._level_place = (0, 0, 0)
        self._nack_waiting = False
        self._round_trip_s = 0.1
        self._keyframe_asked_at = float("-inf")
        self._keyframe_waiting = False
        self._begin_stream()

    def _begin_stream(self) -> None:
        self.clock = MediaClock(self.codec.rate)
        self.motion = Motion()
        self._book = LossBook(self.codec.rate)
        self._ring = Ring()
        self._slots = self._ring.slots
        self._padding: Padding | None = None
        self._queue = QueueDelay(self.codec.rate)
        self._timestamp = -1
        self._last_report: tuple[int, float] | None = None

    def restart(self, ssrc: int) -> None:
        """The browser begins a new stream here."""
        began_before = self.ssrc is not None
        self.ssrc = ssrc
        if began_before:
            self._begin_stream()
            self._interrupt()

    def _interrupt(self) -> None:
        for viewer in tuple(self.viewers):
            viewer.pause()
        if self.tap is not None:
            self.tap.drain()
            self.tap = Tap(self, self.tap.handler)

    # --- packets --------------------------------------------------------------------------

    def receive(self, packets: Sequence[Packet]) -> None:
        """Packets came, one right after another: count, forward, take apart for who wants frames.

        This, `Downlink.forward` and what sends run for all media: packets that go on where the
        last left off are dealt with in one go, and what others would be called for in that
        case (`LossBook.add`, `Ring.put`) is written out.
        """
        if self._goes_on(packets):
            book = self._book
            book.run += len(packets)
            book.expected = (packets[-1].sequence + 1) & 0xFFFF
            self._pass_on(packets)
        else:
            for packet in packets:
                self._receive_one(packet)

    def _goes_on(self, packets: Sequence[Packet]) -> bool:
        if self.waiting or self.on_started is not None or self._padding is not None:
            return False
        expected, payload_type = self._book.expected, self._payload_type
        for packet in packets:
            if (
                packet.sequence != expected
                or packet.payload_type != payload_type
                or packet.end == packet.offset
            ):
                return False
            expected = (expected + 1) & 0xFFFF
        return True

    def _receive_one(self, packet: Packet) -> None:
        if packet.payload_type != self._payload_type and not self._change_codec(packet):
            return
        if not self._book.add(packet):
            return
        if self._video:
            if self._book.missing and not self._nack_waiting:
                self._nack_waiting = True
                self._publisher.later(0.012, self._ask_again)
            if packet.end == packet.offset or self._padding is not None:
                self.heard_at = packet.arrival
                if not self._without_padding(packet):
                    self.octets += len(packet.data)
                    return
        if self.waiting or self.on_started is not None:
            self._admit(packet)
        self._pass_on((packet,))

    def _pass_on(self, packets: Sequence[Packet]) -> None:
        self.heard_at = packets[-1].arrival
        octets = 0
        if self._video:
            slots = self._slots
            for packet in packets:
                octets += len(packet.data)
                slots[packet.sequence & RING_MASK] = packet
                if packet.timestamp != self._timestamp:
                    self._begin_frame(packet)
                if packet.marker:
                    self._queue.add(packet.timestamp, packet.arrival)
        else:
            for packet in packets:
                octets += len(packet.data)
                self._begin_sound(packet)
        self.octets += octets
        for viewer in self.viewers:
            viewer.forward(packets)
        if self.tap is not None:
            self.tap.push(packets)

    def _without_padding(self, packet: Packet) -> bool:
        """Number the packet as if there were no padding; false if it is to go no further."""
        newest = self._book.expected == (packet.sequence + 1) & 0xFFFF
        if packet.end == packet.offset and newest:
            if self._padding is None:
                self._padding = Padding(packet.sequence)
            else:
                self._padding.take(packet.sequence)
            return False
        if self._padding is not None:
            number = self._padding.number(packet.sequence)
            if number is None:
                return False
            packet.sequence = number
        return True

    def _change_codec(self, packet: Packet) -> bool:
        """The browser sends another payload type from here on; false if it is none of ours."""
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return False
        self._payload_type = packet.payload_type
        self.expect(codec)
        return True

    def expect(self, codec: Codec) -> None:
        """From here on it is this codec."""
        if codec is not self.codec:
            self.codec = codec
            self._interrupt()

    def _begin_frame(self, packet: Packet) -> None:
        if self._timestamp >= 0 and timestamp_delta(packet.timestamp, self._timestamp) < 0:
            return  # late
        self._timestamp = packet.timestamp
        self._book.begin_frame(packet)
        self.motion.frame(packet.arrival)
        size = self.codec.keyframe_size(packet)
        if size is not None:
            self.motion.size = size
        self._anchor(packet)

    def _begin_sound(self, packet: Packet) -> None:
        if self.level_extension:
            self._hear(packet)
        if not packet.sequence & 3:
            self._book.begin_frame(packet)
            self._anchor(packet)

    def _anchor(self, packet: Packet) -> None:
        """Tie timestamps to media time; who takes frames apart does it anyway."""
        if self.tap is None:
            self.clock.time_us(packet.timestamp, self._publisher.media_time(packet.arrival))

    def _admit(self, packet: Packet) -> None:
        """Let begin who waits, if decoding can begin here."""
        if not self.codec.begins_keyframe(packet):
            return
        if self.on_started is not None:
            self.on_started()
            self.on_started = None
        for viewer in tuple(self.waiting):
            if viewer.takes(self.codec.name):
                viewer.begin(self, packet)

    def _hear(self, packet: Packet) -> None:
        """Note the audio level (RFC 6464); it stands where it stood in the packet before."""
        data = packet.data
        offset, at, tag = self._level_place
        if offset != packet.offset or data[at - 1] != tag or not data[0] & 0x10:
            for number, start, size in packet.extension_places():
                if number == self.level_extension and size:
                    offset, at = packet.offset, start
                    self._level_place = (offset, at, data[at - 1])
                    break
            else:
                return
        self.level = data[at] & 127
        if self.level < self._loudest:
            self._loudest = self.level

    def loudness(self) -> float | None:
        """The loudest moment since the last call: 0 (-60 dBov and below) to 1; None unknown."""
        if not self.level_extension:
            return None
        loudest, self._loudest = self._loudest, 127
        return max(0.0, 1 - loudest / 60)

    def again(self, sequence: int) -> Packet | None:
        """A packet from the ring."""
        return self._ring.get(sequence)

    def _ask_again(self) -> None:
        """NACK what is due, and come back while anything is missing."""
        now = time.monotonic()
        lost = self._book.due(now, max(0.03, min(0.5, self._round_trip_s * 1.2)))
        if lost and self.ssrc is not None:
            self._publisher.wire.send_rtcp(rtcp.nack(self._publisher.own_ssrc, self.ssrc, lost))
        self._nack_waiting = bool(self._book.missing)
        if self._nack_waiting:
            self._publisher.later(0.02, self._ask_again)

    # --- feedback -------------------------------------------------------------------------

    def request_keyframe(self, now: float) -> None:
        """Ask for a key frame, at most one each half second; a request in between is kept."""
        if not self._video or self.ssrc is None or self._keyframe_waiting:
            return
        wait = self._keyframe_asked_at + KEYFRAME_INTERVAL_S - now
        if wait > 0:
            self._keyframe_waiting = True
            self._publisher.later(wait, self._ask_keyframe)
        else:
            self._ask_keyframe()

    def _ask_keyframe(self) -> None:
        self._keyframe_waiting = False
        self._keyframe_asked_at = time.monotonic()
        if self.ssrc is not None:
            self._publisher.wire.send_rtcp(rtcp.picture_loss(self._publisher.own_ssrc, self.ssrc))

    def sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        """The publisher says how its timestamps relate to its clock."""
        ntp_us = rtcp.ntp_us(report.ntp)
        self._last_report = (report.ntp >> 16 & 0xFFFFFFFF, now)
        clock = self._publisher.sender_clock
        clock.add(ntp_us, self._publisher.media_time(now))
        self.clock.sender_report(report.timestamp, ntp_us + clock.offset_us)

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

    def alive(self, now: float) -> bool:
        """Whether something came lately."""
        return self.heard_at is not None and now - self.heard_at < ALIVE_S

    @property
    def sender_clock(self) -> SenderClock:
        """The publisher's clock against ours."""
        return self._publisher.sender_clock

    def backlog_at(self, now: float) -> float:
        """How long its packets stand in a queue on the way in just now, in seconds."""
        return self._book.backlog.at(now)

    @property
    def queue_s(self) -> float:
        """How long packets queue on the way in."""
        return self._queue.seconds

    def care(self, now: float, round_trip_s: float | None) -> None:
        """Twice a second: ask again for a key frame somebody still waits for."""
        self.throughput.measure(now, self.octets)
        if round_trip_s is not None:
            self._round_trip_s = round_trip_s
        name = self.codec.name
        if (self.tap is not None and self.tap.waiting_for_keyframe) or any(
            viewer.takes(name) for viewer in self.waiting
        ):
            self.request_keyframe(now)

    def untap(self) -> None:
        """Give out what has come, and take no more frames apart."""
        if self.tap is not None:
            self.tap.drain()
        self.tap = None

    def close(self) -> None:
        """The connection is gone."""
        self.untap()
        self.on_started = None
        self.ssrc = None
        self._book.missing.clear()

    @property
    def put_off(self) -> Callable[[Callable[[], None]], None]:
        """Calls a function a little later, together with others."""
        return self._publisher.put_off

    def media_time_us(self, timestamp: int, arrival: float) -> int:
        """Media time of a timestamp of this stream that came at `arrival`."""
        return self.clock.time_us(timestamp, self._publisher.media_time(arrival))


class Tap:
    """Puts the frames of one stream together."""

    __slots__ = (
        "_frames", "_layer", "_put_off", "_reorder", "_run", "_sound", "_waiting", "_whole",
        "handler",
    )  # fmt: skip

    def __init__(self, layer: Layer, handler: Callable[[Frame, int], None]) -> None:
        """`handler` gets each frame and its media time."""
        self.handler = handler
        self._layer = layer
        self._reorder = Reorder()
        self._frames = layer.codec.frames()
        self._sound = isinstance(self._frames, OpusFrames)
        frames = self._frames
        self._whole = frames.whole if isinstance(frames, OpusFrames | Vp8Frames) else None
        self._run: list[Packet] = []
        "Packets in order since the last frame ended."
        self._waiting: list[Packet] = []
        self._put_off = layer.put_off

    @property
    def waiting_for_keyframe(self) -> bool:
        """Whether nothing can be given out before one comes."""
        return self._frames.waiting_for_keyframe

    def push(self, packets: Sequence[Packet]) -> None:
        """The next packets, perhaps out of order; their frames come with the next beat."""
        waited = bool(self._waiting)
        self._waiting += packets
        if not waited:
            self._put_off(self.drain)

    def drain(self) -> None:
        """Give out the frames of what has come."""
        packets, self._waiting = self._waiting, []
        reorder, run = self._reorder, self._run
        for packet in packets:
            if packet.sequence != reorder.expected or reorder.held:
                self._take(run)
                self._take(reorder.push(packet))
                continue
            reorder.expected = (packet.sequence + 1) & 0xFFFF
            run.append(packet)
            if packet.marker or self._sound or self._whole is None or len(run) > RUN_PACKETS:
                frame = self._whole(run) if self._whole is not None else None
                if frame is None:
                    self._take(run)
                    continue
                run.clear()
                self.handler(frame, self._layer.media_time_us(frame.timestamp, packet.arrival))

    def _take(self, packets: list[Packet]) -> None:
        for packet in packets:
            was_waiting = self._frames.waiting_for_keyframe
            frame = self._frames.push(packet)
            if self._frames.waiting_for_keyframe and not was_waiting:
                self._layer.request_keyframe(packet.arrival)
            if frame is not None:
                self.handler(frame, self._layer.media_time_us(frame.timestamp, packet.arrival))
        packets.clear()
