"""VP8 in RTP (RFC 7741): descriptors, key frames, whole frames, running picture ids."""

from __future__ import annotations

from typing import NamedTuple

from signaling.frames import FRAME_BYTES, Frame
from signaling.rtp import Packet


class Descriptor(NamedTuple):
    """The payload descriptor of one packet."""

    begins: bool
    "The packet begins a frame."
    start: int
    "Where VP8 data starts in the packet."
    picture_at: int
    "Where the picture id stands, 0 if there is none; 15 bits wide if its top bit is set."
    level_at: int
    "Where TL0PICIDX stands, 0 if there is none."


def descriptor(packet: Packet) -> Descriptor | None:
    """The packet's payload descriptor; None if malformed."""
    data, at, end = packet.data, packet.offset, packet.end
    if at >= end:
        return None
    first = data[at]
    at += 1
    picture_at = level_at = 0
    if first & 0x80:
        if at >= end:
            return None
        flags = data[at]
        at += 1
        if flags & 0x80:
            if at >= end:
                return None
            picture_at = at
            at += 2 if data[at] & 0x80 else 1
        if flags & 0x40:
            level_at = at
            at += 1
        if flags & 0x30:
            at += 1
    if at >= end:
        return None
    return Descriptor(first & 0x1F == 0x10, at, picture_at, level_at)


def data_start(packet: Packet) -> int:
    """Where VP8 data starts in the packet, 0 if malformed: `descriptor` for those in a hurry."""
    data, at, end = packet.data, packet.offset + 1, packet.end
    if at >= end:
        return 0
    if data[at - 1] & 0x80:
        flags = data[at]
        at += 1
        if at >= end:
            return 0
        if flags & 0x80:
            at += 2 if data[at] & 0x80 else 1
        if flags & 0x40:
            at += 1
        if flags & 0x30:
            at += 1
        if at >= end:
            return 0
    return at


def begins_keyframe(packet: Packet) -> bool:
    """Whether a key frame starts with this packet."""
    found = descriptor(packet)
    return found is not None and found.begins and not packet.data[found.start] & 1


def keyframe_size(packet: Packet) -> tuple[int, int] | None:
    """Width and height in pixels if a key frame starts with this packet (RFC 6386 9.1)."""
    data, start = packet.data, data_start(packet)
    if not start or data[start] & 1 or data[packet.offset] & 0x1F != 0x10:
        return None
    head = data[start : min(start + 10, packet.end)]
    if len(head) < 10 or head[3:6] != b"\x9d\x01\x2a":
        return None
    width = int.from_bytes(head[6:8], "little") & 0x3FFF
    height = int.from_bytes(head[8:10], "little") & 0x3FFF
    return width, height


class Vp8Frames:
    """A frame is the packets of one timestamp, the last with the marker.

    After a loss nothing is given out until the next key frame: what would come in between
    cannot be decoded rightly, and a recording must not show what was never sent.
    """

    def __init__(self) -> None:
        self.waiting_for_keyframe = True
        self._parts: list[bytes] = []
        self._size = 0
        self._timestamp: int | None = None
        self._next: int | None = None

    def push(self, packet: Packet) -> Frame | None:
        """The frame this packet completes."""
        sequence = packet.sequence
        if sequence != self._next and self._next is not None:
            self.waiting_for_keyframe = True
            self._parts.clear()
        self._next = (sequence + 1) & 0xFFFF
        start = data_start(packet)
        if not start:
            return None
        if packet.data[packet.offset] & 0x1F == 0x10:
            if self._parts:
                self.waiting_for_keyframe = True
            self._parts, self._size = [], 0
            self._timestamp = packet.timestamp
        elif not self._parts or packet.timestamp != self._timestamp:
            self._parts = []
            return None
        self._size += packet.end - start
        if self._size > FRAME_BYTES:
            self._parts = []
            self.waiting_for_keyframe = True
            return None
        self._parts.append(packet.data[start : packet.end])
        return self._finish(packet) if packet.marker else None

    def whole(self, packets: list[Packet]) -> Frame | None:
        """The frame these packets are, if they are exactly one; else None: then `push` each.

        The same as pushing each, for the plain case that nothing is missing.
        """
        first = packets[0]
        start, data, at = data_start(first), first.data, first.offset
        if first.sequence != self._next or self._parts or not start or data[at] & 0x1F != 0x10:
            return None
        # The descriptors of a frame are all alike but for the bit that says where it begins.
        skip, plain, rest = start - at, data[at] & ~0x10, data[at + 1 : start]
        stamp, parts = first.timestamp, [data[start : first.end]]
        packet = first
        for packet in packets[1:]:
            data, at = packet.data, packet.offset
            start = at + skip
            if (
                start >= packet.end
                or data[at] != plain
                or data[at + 1 : start] != rest
                or packet.timestamp != stamp
            ):
                return None
            parts.append(data[start : packet.end])
        if not packet.marker:
            return None
        self._parts = parts
        frame = self._finish(packet)
        if frame is not None:
            self._next = (packet.sequence + 1) & 0xFFFF
        return frame

    def _finish(self, packet: Packet) -> Frame | None:
        data = b"".join(self._parts)
        self._parts = []
        keyframe = not data[0] & 1
        if keyframe:
            self.waiting_for_keyframe = False
        if self.waiting_for_keyframe:
            return None
        return Frame(data, packet.timestamp, keyframe)


class PictureIds:
    """Picture ids and TL0PICIDX of one outgoing stream, running on when its source changes.

    While a stream has had one source only, nothing is rewritten.
    """

    def __init__(self) -> None:
        self.shifted = False
        "Whether packets need `rewrite`."
        self._picture_shift = 0
        self._level_shift = 0
        self._last_picture: int | None = None
        self._last_level: int | None = None

    def leave(self, last: Packet) -> None:
        """The source ends; `last` is its last packet that was sent on."""
        found = descriptor(last)
        if found is None:
            return
        if found.picture_at:
            self._last_picture = _picture(last.data, found.picture_at) + self._picture_shift
        if found.level_at:
            self._last_level = last.data[found.level_at] + self._level_shift

    def begin(self, first: Packet) -> None:
        """Another source begins with this packet."""
        found = descriptor(first)
        self._picture_shift = self._level_shift = 0
        if found is not None and found.picture_at and self._last_picture is not None:
            own = _picture(first.data, found.picture_at)
            self._picture_shift = self._last_picture + 1 - own
        if found is not None and found.level_at and self._last_level is not None:
            self._level_shift = self._last_level + 1 - first.data[found.level_at]
        self.shifted = bool(self._picture_shift & 0x7FFF or self._level_shift & 0xFF)

    def rewrite(self, packet: Packet) -> bytes:
        """Payload and padding of the packet with ids of ours."""
        payload = bytearray(packet.data[packet.offset :])
        found = descriptor(packet)
        if found is None:
            return bytes(payload)
        if found.picture_at:
            at = found.picture_at - packet.offset
            number = _picture(packet.data, found.picture_at) + self._picture_shift
            if payload[at] & 0x80:
                payload[at] = 0x80 | number >> 8 & 0x7F
                payload[at + 1] = number & 0xFF
            else:
                payload[at] = number & 0x7F
        if found.level_at:
            at = found.level_at - packet.offset
            payload[at] = payload[at] + self._level_shift & 0xFF
        return bytes(payload)


def _picture(data: bytes, at: int) -> int:
    first = data[at]
    return (first & 0x7F) << 8 | data[at + 1] if first & 0x80 else first
