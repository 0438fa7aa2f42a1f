"""Packets, ring and continuity: pure, so tried with many orders and losses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.rtp import (
    Continuity,
    Packet,
    Ring,
    patched,
    sequence_delta,
    timestamp_delta,
)


def packet(
    sequence: int, timestamp: int = 0, payload: bytes = b"x", *, at: float = 0.0, marker: int = 0
) -> Packet:
    head = struct.pack(
        "!BBHII", 0x80, marker << 7 | 96, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, 7
    )
    return Packet(head + payload, at)


def test_a_header_with_everything() -> None:
    block = bytes.fromhex("bede0002") + bytes((0x10, 0x41, 0x22, 1, 2, 3, 0, 0))
    data = struct.pack("!BBHII", 0xB2, 0xE0, 5, 6, 7) + b"\0" * 8 + block + b"load" + b"\0\0\3"
    found = Packet(data, 1.0)
    assert (found.sequence, found.timestamp, found.ssrc, found.payload_type) == (5, 6, 7, 96)
    assert found.payload == b"load" and found.marker
    assert list(found.extensions()) == [(1, b"A"), (2, b"\1\2\3")]


def test_two_byte_extensions() -> None:
    block = bytes.fromhex("10000002") + bytes((20, 3, 65, 66, 67, 0, 5, 0))
    data = struct.pack("!BBHII", 0x90, 96, 5, 6, 7) + block + b"p"
    assert list(Packet(data, 0).extensions()) == [(20, b"ABC"), (5, b"")]


@given(st.binary(max_size=64) | st.binary(max_size=60).map(lambda rest: b"\xbf\x60" + rest))
def test_any_bytes_are_a_packet_or_a_value_error(data: bytes) -> None:
    try:
        found = Packet(data, 0.0)
    except ValueError:
        return
    assert 12 <= found.offset <= found.end <= len(data)
    list(found.extensions())
    again = Packet(patched(found, 100, 1, 2, 3, b""), 0.0)
    assert again.payload == found.payload
    assert (again.payload_type, again.sequence, again.timestamp, again.ssrc) == (100, 1, 2, 3)


@given(st.integers(0, 0xFFFF), st.integers(-0x8000, 0x7FFF))
def test_sequence_delta(old: int, step: int) -> None:
    assert sequence_delta((old + step) & 0xFFFF, old) == step


@given(st.integers(0, 0xFFFFFFFF), st.integers(-0x80000000, 0x7FFFFFFF))
def test_timestamp_delta(old: int, step: int) -> None:
    assert timestamp_delta((old + step) & 0xFFFFFFFF, old) == step


def test_ring_keeps_only_the_last() -> None:
    ring = Ring(4)
    for number in range(65530, 65540):
        ring.put(packet(number))
    assert ring.get(65540 & 0xFFFF) is None and ring.get(65535) is None
    kept = ring.get(3)
    assert kept is not None and kept.sequence == 3


def test_continuity_over_changing_sources() -> None:
    line = Continuity(65_500, 0xFFFFFF00, 90_000)
    sent: list[tuple[int, int]] = []
    now = 0.0
    for start, stamp in ((10, 5), (40_000, 0x80000000), (65_530, 77)):
        line.end()
        line.begin(packet(start, stamp, at=now))
        for step in range(30):
            numbers = line.map(packet(start + step, stamp + 3000 * step, at=now))
            assert numbers is not None
            sent.append(numbers)
            now += 1 / 30
        assert line.map(packet(start - 1, stamp, at=now)) is None, "from before the change"
    for (a, s), (b, t) in zip(sent, sent[1:], strict=False):
        assert sequence_delta(b, a) == 1
        assert 1 <= timestamp_delta(t, s) <= 6100


def test_a_long_stream_keeps_its_distance() -> None:
    line = Continuity(0, 0, 90_000)
    line.begin(packet(100))
    for n in range(100, 70_100):
        numbers = line.map(packet(n & 0xFFFF))
        assert numbers is not None and numbers[0] == (n - 100) & 0xFFFF


@given(st.permutations(range(20)))
def test_resending_uses_the_first_numbers(order: list[int]) -> None:
    line = Continuity(1000, 0, 90_000)
    line.begin(packet(0))
    given_out = {n: line.map(packet(n, n * 10)) for n in [0, *(n for n in order if n)]}
    assert len(set(given_out.values())) == 20
    for n, numbers in given_out.items():
        assert numbers is not None
        assert line.source_sequence(numbers[0]) == n
        assert line.again(packet(n, n * 10)) == numbers
    line.end()
    assert line.again(packet(5, 50)) is None


def test_the_patch_is_the_same_each_time() -> None:
    source = packet(9, 9, b"payload", marker=1)
    extension = bytes.fromhex("bede000132010203")
    first = patched(source, 120, 1, 2, 3, extension)
    assert first == patched(source, 120, 1, 2, 3, extension)
    assert list(Packet(first, 0).extensions()) == [(3, b"\1\2\3")]
    assert Packet(first, 0).payload == b"payload" and first[1] == 0x80 | 120


@pytest.mark.parametrize("data", [b"", b"\x80" * 11, b"\x40" + b"\0" * 20, b"\x8f" + b"\0" * 20])
def test_not_rtp(data: bytes) -> None:
    with pytest.raises(ValueError):
        Packet(data, 0.0)
