"""RTP without sockets or clocks: headers, retransmission ring, continuity.

Everything is plain synchronous state; the time comes in as an argument (seconds, monotonic).
Sequence numbers are 16 bit, timestamps 32 bit, both wrap (RFC 3550).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct("!BBHII")
UNPACK = HEADER.unpack_from
"Looked up once: this runs for each packet."
RING_PACKETS = 128
"Packets kept for retransmission: 0.7 s of 720p; later a key frame serves better. A power of two."


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

    def __init__(
        self, data: bytes, arrival: float, header: tuple[int, int, int, int, int] | None = None
    ) -> None:
        """Read the header, if it was not yet. Raises ValueError if it is not an RTP packet."""
        size = len(data)
        if size < 12:
            raise ValueError("shorter than an RTP header")
        first, second, self.sequence, self.timestamp, self.ssrc = header or UNPACK(data)
        offset = 12
        if first != 0x80:  # the rest is rarer, or at least not of all packets
            if first & 0xC0 != 0x80:
                raise ValueError("not RTP version 2")
            offset += 4 * (first & 0x0F)
            if first & 0x10:
                if size < offset + 4:
                    raise ValueError("header extension cut short")
                offset += 4 + 4 * (data[offset + 2] << 8 | data[offset + 3])
        self.padded = first & 0x20
        self.end = end = size - data[-1] if self.padded else size
        if end < offset or offset > size:
            raise ValueError("payload cut short")
        self.data = data
        self.arrival = arrival
        self.marker = second & 0x80
        self.payload_type = second & 0x7F
        self.offset = offset

    @property
    def payload(self) -> bytes:
        """The payload without padding."""
        return self.data[self.offset : self.end]

    def extensions(self) -> Iterator[tuple[int, bytes]]:
        """The header extensions (RFC 8285): id and value."""
        for number, start, size in self.extension_places():
            yield number, self.data[start : start + size]

    def extension_places(self) -> Iterator[tuple[int, int, int]]:
        """The header extensions: id, where in the packet the value stands, and its size."""
        data, end = self.data, self.offset
        if not data[0] & 0x10:
            return
        at = 12 + 4 * (data[0] & 0x0F)
        profile = int.from_bytes(data[at : at + 2], "big")
        at += 4
        while at < end:
            if data[at] == 0:
                at += 1
                continue
            if profile == 0xBEDE:
                number, size, at = data[at] >> 4, (data[at] & 15) + 1, at + 1
            elif profile & 0xFFF0 == 0x1000 and at + 1 < end:
                number, size, at = data[at], data[at + 1], at + 2
            else:
                return
            if at + size > end:
                return
            yield number, at, size
            at += size


def patched(
    packet: Packet,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    extension: bytes,
    payload: bytes | None = None,
) -> bytes:
    """The packet with a new header; its own extensions and CSRCs are left out.

    `extension` is a complete extension block (profile, length, body) or empty; `payload`, with
    its padding, takes the place of the packet's own. The result
    depends on nothing but the arguments: a retransmission is byte for byte the first sending,
    which AES-GCM needs, because SRTP derives the nonce from SSRC and sequence number.
    """
    first = 0x80 | packet.padded | (0x10 if extension else 0)
    return (
        HEADER.pack(first, packet.marker | payload_type, sequence, timestamp, ssrc)
        + extension
        + (packet.data[packet.offset :] if payload is None else payload)
    )


class Ring:
    """The last packets by sequence number."""

    def __init__(self, size: int = RING_PACKETS) -> None:
        """`size` is a power of two."""
        self.mask = size - 1
        self.slots: list[Packet | None] = [None] * size
        "A packet stands at its number's lower bits."

    def put(self, packet: Packet) -> None:
        """Keep the packet, forgetting the one `size` numbers before it."""
        self.slots[packet.sequence & self.mask] = packet

    def get(self, sequence: int) -> Packet | None:
        """The packet with this number if it is still there."""
        packet = self.slots[sequence & self.mask]
        return packet if packet is not None and packet.sequence == sequence else None


class Continuity:
    """Sequence numbers and timestamps of one outgoing stream, unbroken when its source changes.

    No outgoing number is ever given to two different packets (see `patched` for why): within
    a source numbers are shifted by a constant, and the next source begins above all of them.
    """

    __slots__ = (
        "_rate", "_sent_at", "_timestamp", "expected", "last", "reach", "running", "shift",
        "timestamp_shift",
    )  # fmt: skip

    def __init__(self, sequence: int, timestamp: int, clock_rate: int) -> None:
        self._rate = clock_rate
        self.running = False
        "Whether a source has begun."
        self.last: Packet | None = None
        "The present source's packet with the highest number so far."
        self.expected = 0
        "The source's number after the highest one so far."
        self.reach = 0
        "How many numbers of the source there are from its first to its highest."
        self.shift = sequence
        self.timestamp_shift = 0
        self._timestamp = timestamp
        "The last outgoing timestamp when no source is running, and when it was used."
        self._sent_at: float | None = None

    def end(self) -> None:
        """The source is gone or held back; the next one starts with `begin`."""
        if self.last is not None:
            self._timestamp = self.outgoing_timestamp(self.last.timestamp)
            self._sent_at = self.last.arrival
            self.last = None
        self.running = False

    def begin(self, packet: Packet) -> None:
        """Let `packet` follow directly on what was sent before."""
        self.end()
        self.shift += self.expected - packet.sequence
        self.expected = packet.sequence
        self.reach = 0
        timestamp = self._timestamp
        if self._sent_at is not None:
            timestamp += max(1, round((packet.arrival - self._sent_at) * self._rate))
        self.timestamp_shift = timestamp - packet.timestamp
        self.running = True

    def map(self, packet: Packet) -> tuple[int, int] | None:
        """Outgoing sequence number and timestamp; None for a packet from before `begin`."""
        sequence = packet.sequence
        if sequence == self.expected:
            self.expected = (sequence + 1) & 0xFFFF
            self.reach += 1
            self.last = packet
        else:
            ahead = sequence_delta(sequence, self.expected)
            if ahead > 0:
                self.expected = (sequence + 1) & 0xFFFF
                self.reach += ahead + 1
                self.last = packet
            elif self.reach + ahead < 0:
                return None
        return (
            (sequence + self.shift) & 0xFFFF,
            (packet.timestamp + self.timestamp_shift) & 0xFFFFFFFF,
        )

    def again(self, packet: Packet) -> tuple[int, int] | None:
        """The numbers `map` gave to this packet of the present source, for sending it again."""
        behind = sequence_delta(self.expected, packet.sequence)
        if not self.running or not 0 < behind <= self.reach:
            return None
        return (
            (packet.sequence + self.shift) & 0xFFFF,
            (packet.timestamp + self.timestamp_shift) & 0xFFFFFFFF,
        )

    def covers(self, sequence: int) -> bool:
        """Whether an outgoing number is of the present source."""
        return 0 < (self.expected + self.shift - sequence) & 0xFFFF <= self.reach

    def source_sequence(self, sequence: int) -> int:
        """The source's number behind an outgoing one."""
        return (sequence - self.shift) & 0xFFFF

    def outgoing_timestamp(self, timestamp: int) -> int:
        """The outgoing timestamp for one of the source's."""
        return (timestamp + self.timestamp_shift) & 0xFFFFFFFF
