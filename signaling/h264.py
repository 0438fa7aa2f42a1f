"""H.264 in RTP (RFC 6184, packetization modes 0 and 1): key frames and whole access units."""

from __future__ import annotations

from collections.abc import Iterator

from signaling.frames import FRAME_BYTES, Frame
from signaling.rtp import Packet

IDR, SPS, PPS, STAP_A, FU_A = 5, 7, 8, 24, 28
START_CODE = b"\0\0\0\1"


def units(packet: Packet) -> Iterator[bytes]:
    """The whole NAL units in a packet; none for a fragment. Raises ValueError if malformed."""
    data, at, end = packet.data, packet.offset, packet.end
    if at >= end:
        return
    kind = data[at] & 31
    if 0 < kind < STAP_A:
        yield data[at:end]
    elif kind == STAP_A:
        at += 1
        while at < end:
            size = int.from_bytes(data[at : at + 2], "big")
            at += 2
            if not size or at + size > end:
                raise ValueError("aggregated unit cut short")
            yield data[at : at + size]
            at += size
    elif kind != FU_A:
        raise ValueError(f"unit type {kind} is not for this packetization mode")


def _parameters(packet: Packet) -> bytes | None:
    """The sequence parameter set in a packet."""
    if packet.offset >= packet.end or packet.data[packet.offset] & 31 not in (SPS, STAP_A):
        return None
    try:
        return next((unit for unit in units(packet) if unit[0] & 31 == SPS), None)
    except ValueError:
        return None


def begins_keyframe(packet: Packet) -> bool:
    """Whether a key frame starts with this packet: it brings the parameter sets decoders need."""
    return _parameters(packet) is not None


def keyframe_size(packet: Packet) -> tuple[int, int] | None:
    """Width and height in pixels if the packet has a sequence parameter set."""
    parameters = _parameters(packet)
    try:
        return sps_size(parameters) if parameters is not None else None
    except IndexError:
        return None


class _Bits:
    """Exp-Golomb codes of a NAL unit (H.264 7.3, 9.1). Raises IndexError at the end."""

    def __init__(self, unit: bytes) -> None:
        self._data = unit.replace(b"\0\0\3", b"\0\0")  # emulation prevention
        self._at = 0

    def read(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise IndexError("no Exp-Golomb code")
        return (1 << zeros) - 1 + self.read(zeros)


EXTENDED_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 138, 139, 134, 135, 244}
"Their parameter sets carry chroma formats and scaling lists, not read here."


def sps_size(unit: bytes) -> tuple[int, int] | None:
    """Cropped width and height of a sequence parameter set (H.264 7.3.2.1.1).

    None for profiles beyond main. Raises IndexError if cut short.
    """
    if unit[1] in EXTENDED_PROFILES:
        return None
    bits = _Bits(unit[4:])
    bits.golomb()  # seq_parameter_set_id
    bits.golomb()  # log2_max_frame_num
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.read(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(256, bits.golomb())):
            bits.golomb()
    bits.golomb()  # max_num_ref_frames
    bits.read(1)
    width = 16 * (bits.golomb() + 1)
    height = 16 * (bits.golomb() + 1)
    if not bits.read(1):  # interlaced: map units are fields
        height *= 2
        bits.read(1)
    bits.read(1)
    if bits.read(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        width -= 2 * (left + right)
        height -= 2 * (top + bottom)
    return (width, height) if 0 < width <= 16384 and 0 < height <= 16384 else None


class H264Frames:
    """Annex B access units: the packets of one timestamp, the last with the marker.

    Every key frame is given out with parameter sets, its own or the last that came. After a
    loss nothing is given out until the next key frame, as with VP8.
    """

    def __init__(self) -> None:
        self.waiting_for_keyframe = True
        self._next: int | None = None
        self._timestamp: int | None = None
        self._sets: dict[int, bytes] = {}
        self._begin(None)
        self._whole = False

    def _begin(self, timestamp: int | None) -> None:
        self._timestamp = timestamp
        self._units: list[bytes] = []
        self._fragments: list[bytes] = []
        self._kinds: set[int] = set()
        self._size = 0
        self._whole = True
        "Nothing of this access unit is known to be missing."

    def push(self, packet: Packet) -> Frame | None:
        """The access unit this packet completes."""
        if packet.sequence != self._next:
            first = self._next is None
            self._lose()
            # The first packet of all may be the middle of an access unit.
            self._whole = first and begins_keyframe(packet)
            self._timestamp = packet.timestamp
        elif packet.timestamp != self._timestamp:
            if self._units or self._fragments:
                self._lose()  # the marker never came
            self._begin(packet.timestamp)
        self._next = (packet.sequence + 1) & 0xFFFF
        if not self._whole and begins_keyframe(packet):
            self._begin(packet.timestamp)  # complete from its parameter sets on
        try:
            self._take(packet)
        except ValueError:
            self._lose()
        return self._finish(packet) if packet.marker else None

    def _lose(self) -> None:
        timestamp = self._timestamp
        self._begin(timestamp)
        self._whole = False
        self.waiting_for_keyframe = True

    def _take(self, packet: Packet) -> None:
        data, at, end = packet.data, packet.offset, packet.end
        self._size += end - at
        if self._size > FRAME_BYTES:
            raise ValueError("access unit too large")
        if at < end and data[at] & 31 == FU_A:
            self._take_fragment(data[at:end])
            return
        for unit in units(packet):
            if self._fragments:
                raise ValueError("fragmented unit without an end")
            self._add(unit)

    def _take_fragment(self, payload: bytes) -> None:
        if len(payload) < 3:
            raise ValueError("fragment cut short")
        flags = payload[1]
        if bool(flags & 0x80) == bool(self._fragments):
            raise ValueError("fragment out of place")
        if flags & 0x80:
            self._fragments.append(bytes((payload[0] & 0xE0 | flags & 31,)))
        self._fragments.append(payload[2:])
        if flags & 0x40:
            whole = b"".join(self._fragments)
            self._fragments = []
            self._add(whole)

    def _add(self, unit: bytes) -> None:
        kind = unit[0] & 31
        if kind in (SPS, PPS):
            self._sets[kind] = unit
        self._kinds.add(kind)
        self._units.append(unit)

    def _finish(self, packet: Packet) -> Frame | None:
        units, kinds = self._units, self._kinds
        whole = self._whole and not self._fragments
        self._begin(None)
        if not whole:
            self.waiting_for_keyframe = True
            return None
        if not units:
            return None
        keyframe = IDR in kinds
        if keyframe:
            missing = [kind for kind in (SPS, PPS) if kind not in kinds]
            if any(kind not in self._sets for kind in missing):
                self.waiting_for_keyframe = True
                return None
            units = [self._sets[kind] for kind in missing] + units
            self.waiting_for_keyframe = False
        if self.waiting_for_keyframe:
            return None
        return Frame(b"".join(START_CODE + unit for unit in units), packet.timestamp, keyframe)
