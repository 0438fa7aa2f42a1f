"""From RTP packets to whole encoded frames: reordering, Opus, media time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from signaling.rtp import Packet, sequence_delta, timestamp_delta

WAIT_S = 0.25
"How long a missing packet may hold up the following ones: some round trips of NACK."
RESTART_PACKETS = 3000
"A jump of this many numbers is a new stream, not loss."
FRAME_BYTES = 2_000_000
"Larger frames are no camera's: a 720p key frame has at most some hundred kilobytes."


class Frame(NamedTuple):
    """One encoded frame: a VP8 frame, an H.264 access unit (Annex B) or an Opus packet."""

    data: bytes
    timestamp: int
    "RTP timestamp."
    keyframe: bool
    "Decodable without what came before; always true for Opus."


class Reorder:
    """Gives packets back in order, waiting a little for those missing."""

    def __init__(self, wait_s: float = WAIT_S, limit: int = 1024) -> None:
        self._wait_s = wait_s
        self._limit = limit
        self.expected: int | None = None
        "The next number."
        self.held: dict[int, Packet] = {}
        "What came ahead of it."

    def push(self, packet: Packet) -> list[Packet]:
        """Packets that can go on now, in order; numbers left out are lost for good."""
        if packet.sequence == self.expected and not self.held:
            self.expected = (packet.sequence + 1) & 0xFFFF
            return [packet]
        if self.expected is None:
            self.expected = packet.sequence
        ahead = sequence_delta(packet.sequence, self.expected)
        if ahead == 0 and not self.held:
            self.expected = (packet.sequence + 1) & 0xFFFF
            return [packet]
        if abs(ahead) > RESTART_PACKETS:
            self.held.clear()
            self.expected = (packet.sequence + 1) & 0xFFFF
            return [packet]
        if ahead < 0:
            return []
        self.held[packet.sequence] = packet
        return self._release(packet.arrival, self.expected)

    def _release(self, now: float, expected: int) -> list[Packet]:
        ready = []
        while self.held:
            packet = self.held.pop(expected, None)
            if packet is None:
                waited = now - min(held.arrival for held in self.held.values())
                if waited < self._wait_s and len(self.held) < self._limit:
                    break
                base = expected
                expected = min(self.held, key=lambda number: sequence_delta(number, base))
                continue
            ready.append(packet)
            expected = (expected + 1) & 0xFFFF
        self.expected = expected
        return ready


class Depacketiser(Protocol):
    """Makes frames of packets that come in order, perhaps with gaps."""

    waiting_for_keyframe: bool

    def push(self, packet: Packet) -> Frame | None:
        """The frame this packet completes."""


class OpusFrames:
    """RFC 7587: each packet is a frame."""

    waiting_for_keyframe = False

    def push(self, packet: Packet) -> Frame | None:
        """The packet's Opus data; None for padding only."""
        return self.whole((packet,))

    def whole(self, packets: Sequence[Packet]) -> Frame | None:
        """The same for a run of one."""
        packet = packets[0]
        data = packet.data[packet.offset : packet.end]
        return Frame(data, packet.timestamp, True) if data else None


class SenderClock:
    """The sender's NTP clock against ours, shared by its audio and video so they stay together."""

    def __init__(self, samples: int = 16) -> None:
        self._samples = samples
        self._offsets: list[int] = []

    def add(self, ntp_us: int, arrival_us: int) -> None:
        """Note a sender report: its NTP time and when it came, both in microseconds."""
        if self._offsets and abs(arrival_us - ntp_us - self.offset_us) > 2_000_000:
            self._offsets.clear()  # the sender's clock was set
        self._offsets.append(arrival_us - ntp_us)
        del self._offsets[: -self._samples]

    @property
    def offset_us(self) -> int:
        """Our time minus the sender's; the report that was least delayed decides."""
        return min(self._offsets)


class MediaClock:
    """RTP timestamps of one stream to microseconds of media time.

    The first packet's arrival anchors it, and a packet that comes sooner than that foretold;
    later the sender's reports do. Corrections are gentle, so that times never run backwards.
    """

    SLEW = 0.25
    "Share of the passing time that a correction may use."

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._timestamp = 0
        self._extended = 0
        self._anchor: tuple[int, int] | None = None
        self._correction = 0.0
        self._corrected_at = 0
        self._reported = False

    def time_us(self, timestamp: int, arrival_us: int) -> int:
        """Media time of a timestamp; the first call fixes it to its arrival."""
        if self._anchor is None:
            self._anchor = (0, arrival_us)
            self._timestamp = timestamp
        ahead = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        extended = self._extended + ahead
        line = self._anchor[1] + (extended - self._anchor[0]) * 1_000_000 // self._rate
        if abs(line - arrival_us) > 10_000_000:  # the stream jumped: start anew
            self._anchor = (extended, arrival_us)
            self._correction = 0.0
            line = arrival_us
        if line > arrival_us and not self._reported:
            self._anchor = (self._anchor[0], self._anchor[1] - (line - arrival_us))
            self._correction += line - arrival_us
            line = arrival_us
        if ahead > 0:
            self._timestamp, self._extended = timestamp, extended
            if self._correction:
                self._slew(extended)
            else:
                self._corrected_at = extended
        return line + round(self._correction) if self._correction else line

    def sender_report(self, timestamp: int, at_us: int) -> None:
        """The sender says `timestamp` was at `at_us` (its clock, in our media time)."""
        if self._anchor is None:
            return
        before = self._line(self._extended) + self._correction
        extended = self._extended + timestamp_delta(timestamp, self._timestamp)
        anchor = (extended, at_us)
        correction = before - (at_us + (self._extended - extended) * 1_000_000 / self._rate)
        if abs(correction) < 2_000_000:  # more than that is no clock but a broken sender
            self._anchor = anchor
            self._correction = correction
            self._reported = True

    def timestamp_at(self, at_us: int) -> int | None:
        """The RTP timestamp that belongs to a media time."""
        if self._anchor is None:
            return None
        ahead = (at_us - self._correction - self._anchor[1]) * self._rate / 1_000_000
        extended = self._anchor[0] + round(ahead)
        return (self._timestamp + extended - self._extended) & 0xFFFFFFFF

    def _line(self, extended: int) -> int:
        assert self._anchor is not None
        return self._anchor[1] + (extended - self._anchor[0]) * 1_000_000 // self._rate

    def _slew(self, extended: int) -> None:
        passed = (extended - self._corrected_at) * 1_000_000 / self._rate
        self._corrected_at = extended
        step = min(abs(self._correction), max(0.0, passed * self.SLEW))
        self._correction += -step if self._correction > 0 else step
