"""RTP without sockets or clocks: headers, loss bookkeeping, retransmission ring, continuity.

Everything is plain synchronous state; the time comes in as an argument (seconds, monotonic).
Sequence numbers are 16 bit, timestamps 32 bit, both wrap (RFC 3550).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct("!BBHII")
RING_PACKETS = 512
"Packets kept for retransmission: about two seconds of 720p, inside SRTP's replay window of 1024."
MISSING_LIMIT = 256
"Gaps wider than this are not asked for: a key frame is cheaper."
NACK_DELAY_S = 0.010
"A gap younger than this is probably reordering."
NACK_TRIES = 8


def sequence_delta(newer: int, older: int) -> int:
    """Signed distance between two sequence numbers, -32768..32767."""
    return ((newer - older + 0x8000) & 0xFFFF) - 0x8000


def timestamp_delta(newer: int, older: int) -> int:
    """Signed distance between two RTP timestamps."""
    return ((newer - older + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class Packet:
    """One parsed RTP packet; `data[offset:]` is payload and padding, `data[offset:end]` payload."""

    __slots__ = (
        "arrival", "data", "end", "marker", "offset", "padded", "payload_type",
        "sequence", "ssrc", "timestamp",
    )  # fmt: skip

    def __init__(self, data: bytes, arrival: float) -> None:
        """Read the header. Raises ValueError if it is not an RTP packet."""
        size = len(data)
        if size < 12:
            raise ValueError("shorter than an RTP header")
        first, second, self.sequence, self.timestamp, self.ssrc = HEADER.unpack_from(data)
        if first >> 6 != 2:
            raise ValueError("not RTP version 2")
        offset = 12 + 4 * (first & 0x0F)
        if first & 0x10:
            if size < offset + 4:
                raise ValueError("header extension cut short")
            offset += 4 + 4 * int.from_bytes(data[offset + 2 : offset + 4], "big")
        self.padded = first & 0x20
        end = size - data[-1] if self.padded else size
        if end < offset or offset > size:
            raise ValueError("payload cut short")
        self.data = data
        self.arrival = arrival
        self.marker = second & 0x80
        self.payload_type = second & 0x7F
        self.offset = offset
        self.end = end

    @property
    def payload(self) -> bytes:
        """The payload without padding."""
        return self.data[self.offset : self.end]

    def extensions(self) -> Iterator[tuple[int, bytes]]:
        """The header extensions (RFC 8285): id and value."""
        start = 12 + 4 * (self.data[0] & 0x0F)
        if not self.data[0] & 0x10:
            return
        profile = int.from_bytes(self.data[start : start + 2], "big")
        block = self.data[start + 4 : self.offset]
        at = 0
        while at < len(block):
            if block[at] == 0:
                at += 1
                continue
            if profile == 0xBEDE:
                number, size, at = block[at] >> 4, (block[at] & 15) + 1, at + 1
            elif profile & 0xFFF0 == 0x1000 and at + 1 < len(block):
                number, size, at = block[at], block[at + 1], at + 2
            else:
                return
            yield number, block[at : at + size]
            at += size


def patched(
    packet: Packet, payload_type: int, sequence: int, timestamp: int, ssrc: int, extension: bytes
) -> bytes:
    """The packet with a new header; its own extensions and CSRCs are left out.

    `extension` is a complete extension block (profile, length, body) or empty. The result
    depends on nothing but the arguments: a retransmission is byte for byte the first sending,
    which AES-GCM needs, because SRTP derives the nonce from SSRC and sequence number.
    """
    first = 0x80 | packet.padded | (0x10 if extension else 0)
    return (
        HEADER.pack(first, packet.marker | payload_type, sequence, timestamp, ssrc)
        + extension
        + packet.data[packet.offset :]
    )


class Ring:
    """The last packets by sequence number."""

    def __init__(self, size: int = RING_PACKETS) -> None:
        self._size = size
        self._slots: list[Packet | None] = [None] * size

    def put(self, packet: Packet) -> None:
        """Keep the packet, forgetting the one `size` numbers before it."""
        self._slots[packet.sequence % self._size] = packet

    def get(self, sequence: int) -> Packet | None:
        """The packet with this number if it is still there."""
        packet = self._slots[sequence % self._size]
        return packet if packet is not None and packet.sequence == sequence else None


class LossBook:
    """What arrived and what did not, for receiver reports (RFC 3550 A.3, A.8) and for NACK."""

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._base: int | None = None
        self.highest = 0
        "Extended highest sequence number."
        self.received = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._prior = (0, 0)
        self.missing: dict[int, tuple[float, int]] = {}
        "Sequence number -> (earliest time to ask, times asked)."

    def add(self, packet: Packet) -> bool:
        """Note a packet; false if it is a duplicate or far too old."""
        if self._base is None:
            self._base = self.highest = packet.sequence
        step = sequence_delta(packet.sequence, self.highest & 0xFFFF)
        if step > 0:
            if step > 1:
                self._note_gap(step, packet.arrival)
            self.highest += step
        elif step < 0 and self.missing.pop(packet.sequence, None) is None:
            return False
        elif step == 0 and self.received:
            return False
        self.received += 1
        transit = packet.arrival * self._rate - packet.timestamp
        if self._transit is not None and step > 0:
            difference = abs(transit - self._transit)
            if difference < 10 * self._rate:
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        return True

    def _note_gap(self, step: int, now: float) -> None:
        if step > MISSING_LIMIT:
            self.missing.clear()
            return
        for ahead in range(1, step):
            self.missing[(self.highest + ahead) & 0xFFFF] = (now + NACK_DELAY_S, 0)
        while len(self.missing) > MISSING_LIMIT:
            del self.missing[next(iter(self.missing))]

    def due(self, now: float, again_s: float) -> list[int]:
        """Missing numbers to ask for now; each again after `again_s`, NACK_TRIES times."""
        asked = []
        for sequence, (when, tries) in list(self.missing.items()):
            if tries >= NACK_TRIES:
                del self.missing[sequence]
            elif now >= when:
                self.missing[sequence] = (now + again_s, tries + 1)
                asked.append(sequence)
        return asked

    def report(self) -> tuple[int, int, int, int]:
        """Fraction lost since the last report (0..255), total lost, highest, jitter (ticks)."""
        if self._base is None:
            return 0, 0, 0, 0
        expected = self.highest - self._base + 1
        interval = expected - self._prior[0]
        lost = interval - (self.received - self._prior[1])
        self._prior = (expected, self.received)
        fraction = min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
        total = max(-(1 << 23), min((1 << 23) - 1, expected - self.received))
        return fraction, total, self.highest & 0xFFFFFFFF, int(self._jitter) & 0xFFFFFFFF


class Continuity:
    """Sequence numbers and timestamps of one outgoing stream, unbroken when its source changes.

    No outgoing number is ever given to two different packets (see `patched` for why).
    """

    def __init__(self, sequence: int, timestamp: int, clock_rate: int) -> None:
        self._rate = clock_rate
        self._next = sequence
        "Extended outgoing sequence number after the highest one used."
        self._last_timestamp = timestamp
        self._last_sent: float | None = None
        self._base = 0
        self._highest = 0
        self._shift = 0
        self._timestamp_shift = 0
        self._open = False

    def end(self) -> None:
        """The source is gone or held back; the next one starts with `begin`."""
        self._open = False

    @property
    def running(self) -> bool:
        """Whether a source has begun."""
        return self._open

    def begin(self, packet: Packet, now: float) -> None:
        """Let `packet` follow directly on what was sent before."""
        self._base = self._highest = packet.sequence + 0x10000
        self._shift = self._next - self._base
        timestamp = self._last_timestamp
        if self._last_sent is not None:
            timestamp += max(1, round((now - self._last_sent) * self._rate))
        self._timestamp_shift = timestamp - packet.timestamp
        self._open = True

    def map(self, packet: Packet, now: float) -> tuple[int, int] | None:
        """Outgoing sequence number and timestamp; None for a packet from before `begin`."""
        extended = self._highest + sequence_delta(packet.sequence, self._highest & 0xFFFF)
        if extended < self._base:
            return None
        timestamp = (packet.timestamp + self._timestamp_shift) & 0xFFFFFFFF
        if extended >= self._highest:
            self._highest = extended
            self._next = extended + self._shift + 1
            self._last_timestamp = timestamp
            self._last_sent = now
        return (extended + self._shift) & 0xFFFF, timestamp

    def again(self, packet: Packet) -> tuple[int, int] | None:
        """The numbers `map` gave to this packet of the present source, for sending it again."""
        extended = self._highest + sequence_delta(packet.sequence, self._highest & 0xFFFF)
        if not self._open or not self._base <= extended <= self._highest:
            return None
        timestamp = (packet.timestamp + self._timestamp_shift) & 0xFFFFFFFF
        return (extended + self._shift) & 0xFFFF, timestamp

    def source_sequence(self, sequence: int) -> int:
        """The source's number behind an outgoing one."""
        return (sequence - self._shift) & 0xFFFF

    def outgoing_timestamp(self, timestamp: int) -> int:
        """The outgoing timestamp for one of the source's."""
        return (timestamp + self._timestamp_shift) & 0xFFFFFFFF
