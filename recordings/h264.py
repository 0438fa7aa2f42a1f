"""H264 as Matroska wants it: units with their length in front, parameter sets apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator

SPS, PPS = 7, 8
_EXTENDED = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
"""Profiles whose SPS says more of the colours (H.264, 7.3.2.1.1)."""
_DIMENSION_LIMIT = 16_384


def units(data: bytes) -> Iterator[bytes]:
    """The NAL units of an access unit in Annex B form; nothing if it is in no such form."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        start = at + 3
        at = data.find(b"\0\0\1", start)
        # Zeros in front of the next start code belong to it; no unit ends in one.
        unit = (data[start:] if at < 0 else data[start:at]).rstrip(b"\0")
        if unit:
            yield unit


def prefixed(data: bytes) -> bytes:
    """The access unit with a length of 4 bytes before each unit; empty if it has no unit."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units(data))


def parameter_sets(data: bytes) -> tuple[bytes, bytes] | None:
    """The first SPS and PPS in an access unit; None unless both are there and not too long."""
    found: dict[int, bytes] = {}
    for unit in units(data):
        found.setdefault(unit[0] & 0x1F, unit)
    sps, pps = found.get(SPS, b""), found.get(PPS, b"")
    return (sps, pps) if 4 <= len(sps) < 65_536 and 1 < len(pps) < 65_536 else None


def configuration(sps: bytes, pps: bytes) -> bytes:
    """The decoder's configuration record (ISO/IEC 14496-15, 5.3.3.1)."""
    record = bytes([1]) + sps[1:4] + b"\xff\xe1"
    record += len(sps).to_bytes(2, "big") + sps
    return record + b"\1" + len(pps).to_bytes(2, "big") + pps


def size(sps: bytes) -> tuple[int, int] | None:
    """Width and height that an SPS tells; None if it makes no sense."""
    try:
        return _size(_Bits(sps[1:].replace(b"\0\0\3", b"\0\0")))
    except IndexError:
        return None


class _Bits:
    """Reads bits from the front; `IndexError` behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise IndexError("bits end")
        return self._value >> self._left & ((1 << count) - 1)

    def unsigned(self) -> int:
        """An Exp-Golomb code (9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise IndexError("no such code")
        return (1 << zeros) - 1 + self.take(zeros)


def _size(bits: _Bits) -> tuple[int, int] | None:
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.unsigned()  # id
    colours = 1
    if profile in _EXTENDED:
        colours = bits.unsigned()
        if colours == 3:
            bits.take(1)
        bits.unsigned(), bits.unsigned(), bits.take(1)  # depths, bypass
        if bits.take(1):
            return None  # scaling lists: no browser sends them
    bits.unsigned()  # frame numbers
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.unsigned(), bits.unsigned()
        for _ in range(min(bits.unsigned(), 255)):
            bits.unsigned()
    bits.unsigned(), bits.take(1)  # reference frames, gaps
    width, height = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    progressive = bits.take(1)
    if not progressive:
        height *= 2
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        wide = 2 if colours in (1, 2) else 1
        high = (2 if colours == 1 else 1) * (1 if progressive else 2)
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width, height = width - wide * (left + right), height - high * (top + bottom)
    fits = 0 < width <= _DIMENSION_LIMIT and 0 < height <= _DIMENSION_LIMIT
    return (width, height) if fits else None
