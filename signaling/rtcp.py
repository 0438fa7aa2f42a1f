"""RTCP packets as plain values, read from and written to bytes (RFC 3550, 4585, 5104, REMB)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

SENDER_REPORT, RECEIVER_REPORT, SDES, BYE, FEEDBACK, PAYLOAD_FEEDBACK = 200, 201, 202, 203, 205, 206
NTP_EPOCH_S = 2_208_988_800
"Seconds from 1900 to 1970."


class Block(NamedTuple):
    """One report block about one stream."""

    ssrc: int
    fraction_lost: int
    "Share lost since the last report, 0..255."
    total_lost: int
    highest: int
    "Extended highest sequence number received."
    jitter: int
    "In ticks of the stream's clock."
    last_report: int
    "Middle 32 bits of the last sender report's NTP time; 0 if none came."
    delay: int
    "Since that report, in 1/65536 s."


class SenderReport(NamedTuple):
    """What a sender says of its stream, and of those it receives."""

    ssrc: int
    ntp: int
    "64-bit NTP time."
    timestamp: int
    packets: int
    octets: int
    blocks: Sequence[Block] = ()


class ReceiverReport(NamedTuple):
    """What a receiver says of the streams it receives."""

    ssrc: int
    blocks: Sequence[Block]


class Nack(NamedTuple):
    """Please send these packets again."""

    ssrc: int
    "Of the stream."
    lost: Sequence[int]


class KeyframeRequest(NamedTuple):
    """PLI or FIR."""

    ssrc: int


class Remb(NamedTuple):
    """The receiver's estimate of what the way can carry."""

    bitrate: int
    ssrcs: Sequence[int]


class Bye(NamedTuple):
    """Streams that ended."""

    ssrcs: Sequence[int]


Report = SenderReport | ReceiverReport | Nack | KeyframeRequest | Remb | Bye


def parse(data: bytes) -> Iterator[Report]:
    """The reports of a compound packet; unknown ones are passed over.

    Raises ValueError where the bytes are not RTCP.
    """
    at = 0
    while at + 4 <= len(data):
        first, kind, words = struct.unpack_from("!BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise ValueError("not RTCP")
        body = data[at + 4 : end]
        try:
            yield from _one(kind, first & 31, body)
        except struct.error:
            raise ValueError("RTCP cut short") from None
        at = end


def _one(kind: int, count: int, body: bytes) -> Iterator[Report]:
    if kind == SENDER_REPORT:
        ssrc, ntp, timestamp, packets, octets = struct.unpack_from("!IQIII", body)
        yield SenderReport(ssrc, ntp, timestamp, packets, octets, _blocks(body[24:], count))
    elif kind == RECEIVER_REPORT:
        yield ReceiverReport(struct.unpack_from("!I", body)[0], _blocks(body[4:], count))
    elif kind == BYE:
        yield Bye(struct.unpack_from(f"!{count}I", body))
    elif kind == FEEDBACK and count == 1:
        yield Nack(struct.unpack_from("!II", body)[1], _lost(body[8:]))
    elif kind == PAYLOAD_FEEDBACK and count == 1:
        yield KeyframeRequest(struct.unpack_from("!II", body)[1])
    elif kind == PAYLOAD_FEEDBACK and count == 4:
        for entry in range(8, len(body) - 7, 8):
            yield KeyframeRequest(struct.unpack_from("!I", body, entry)[0])
    elif kind == PAYLOAD_FEEDBACK and count == 15 and body[8:12] == b"REMB":
        number, high, low = struct.unpack_from("!BBH", body, 12)
        bitrate = ((high & 3) << 16 | low) << (high >> 2)
        yield Remb(bitrate, struct.unpack_from(f"!{number}I", body, 16))


def _blocks(body: bytes, count: int) -> list[Block]:
    blocks = []
    for index in range(count):
        ssrc, lost, highest, jitter, last, delay = struct.unpack_from("!6I", body, 24 * index)
        total = lost & 0xFFFFFF
        total -= (total & 0x800000) << 1
        blocks.append(Block(ssrc, lost >> 24, total, highest, jitter, last, delay))
    return blocks


def _lost(body: bytes) -> list[int]:
    lost = []
    for at in range(0, len(body) - 3, 4):
        sequence, following = struct.unpack_from("!HH", body, at)
        lost.append(sequence)
        lost += [(sequence + bit + 1) & 0xFFFF for bit in range(16) if following >> bit & 1]
    return lost


def ntp_time(seconds: float) -> int:
    """64-bit NTP time of a Unix time."""
    return int((seconds + NTP_EPOCH_S) * (1 << 32))


def ntp_us(ntp: int) -> int:
    """Microseconds since 1900 of a 64-bit NTP time."""
    return (ntp * 1_000_000) >> 32


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def sender_report(report: SenderReport) -> bytes:
    """Bytes of a sender report."""
    body = struct.pack("!IQIII", *report[:5])
    return _packet(SENDER_REPORT, len(report.blocks), body + _pack_blocks(report.blocks))


def receiver_report(report: ReceiverReport) -> bytes:
    """Bytes of a receiver report."""
    body = struct.pack("!I", report.ssrc)
    return _packet(RECEIVER_REPORT, len(report.blocks), body + _pack_blocks(report.blocks))


def _pack_blocks(blocks: Iterable[Block]) -> bytes:
    return b"".join(
        struct.pack(
            "!6I", block.ssrc, block.fraction_lost << 24 | block.total_lost & 0xFFFFFF, *block[3:]
        )
        for block in blocks
    )


def source_description(ssrcs: Sequence[int], name: str) -> bytes:
    """Bytes of an SDES packet giving each stream the canonical name (at most 255 bytes)."""
    item = bytes((1, len(name.encode()))) + name.encode() + b"\0"
    item += b"\0" * (-len(item) % 4)
    return _packet(SDES, len(ssrcs), b"".join(struct.pack("!I", ssrc) + item for ssrc in ssrcs))


def nack(own: int, ssrc: int, lost: Iterable[int]) -> bytes:
    """Bytes asking `ssrc` for lost packets again; `own` is the asking side's SSRC."""
    pairs: list[list[int]] = []
    for sequence in sorted(set(lost)):
        ahead = sequence - pairs[-1][0] if pairs else 17
        if ahead <= 16:
            pairs[-1][1] |= 1 << (ahead - 1)
        else:
            pairs.append([sequence, 0])
    body = struct.pack("!II", own, ssrc) + b"".join(struct.pack("!HH", *pair) for pair in pairs)
    return _packet(FEEDBACK, 1, body)


def picture_loss(own: int, ssrc: int) -> bytes:
    """Bytes of a PLI: `ssrc` should send a key frame."""
    return _packet(PAYLOAD_FEEDBACK, 1, struct.pack("!II", own, ssrc))


def remb(own: int, report: Remb) -> bytes:
    """Bytes of a REMB."""
    mantissa, exponent = report.bitrate, 0
    while mantissa > 0x3FFFF:
        mantissa >>= 1
        exponent += 1
    head = struct.pack("!BBH", len(report.ssrcs), exponent << 2 | mantissa >> 16, mantissa & 0xFFFF)
    streams = struct.pack(f"!{len(report.ssrcs)}I", *report.ssrcs)
    return _packet(PAYLOAD_FEEDBACK, 15, struct.pack("!II", own, 0) + b"REMB" + head + streams)


def bye(ssrcs: Sequence[int]) -> bytes:
    """Bytes of a BYE."""
    return _packet(BYE, len(ssrcs), struct.pack(f"!{len(ssrcs)}I", *ssrcs))
