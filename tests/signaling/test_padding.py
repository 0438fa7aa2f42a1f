"""Padding is taken out of a stream: no holes, and no number given twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signaling.padding import KEPT, Padding
from tests.signaling.test_rtp import packet
from tests.signaling.test_stream import Clockwork, Wire, frames, give, uplink, viewer

kinds = st.lists(st.sampled_from("mmmp"), min_size=1, max_size=60)
"Media or padding."


@given(kinds, st.integers(0, 0xFFFF))
def test_media_in_order_has_no_holes(stream: list[str], start: int) -> None:
    padding = Padding(start)
    numbers = []
    for at, kind in enumerate(stream, start + 1):
        if kind == "p":
            padding.take(at & 0xFFFF)
        else:
            numbers.append(padding.number(at & 0xFFFF))
    assert numbers == [(start + n) & 0xFFFF for n in range(len(numbers))]


@given(kinds, st.integers(0, 0xFFFF), st.randoms(use_true_random=False))
def test_late_packets_have_numbers_of_their_own(
    stream: list[str], start: int, chance: object
) -> None:
    padding = Padding(start)
    late: list[int] = []
    numbers: dict[int, int | None] = {}
    for at, kind in enumerate(stream, start + 1):
        sequence = at & 0xFFFF
        if chance.random() < 0.3:  # type: ignore[attr-defined]
            late.append(sequence)  # whatever it is: when it comes late it is passed on
        elif kind == "p":
            padding.take(sequence)
        else:
            numbers[sequence] = padding.number(sequence)
        if late and chance.random() < 0.3:  # type: ignore[attr-defined]
            sequence = late.pop(chance.randrange(len(late)))  # type: ignore[attr-defined]
            numbers[sequence] = padding.number(sequence)
    assert len(set(numbers.values())) == len(numbers)
    again = {sequence: padding.number(sequence) for sequence in numbers}
    assert again == numbers, "the same packet always has the same number"


def test_long_after_the_padding_numbers_still_run_on() -> None:
    padding = Padding(10)
    numbers = [padding.number(at & 0xFFFF) for at in range(11, 200_000)]
    assert numbers == [at & 0xFFFF for at in range(10, 199_999)]


def test_what_comes_too_late_is_told_from_what_does_not() -> None:
    padding = Padding(100)
    for sequence in range(102, 102 + KEPT):
        padding.take(sequence)
    assert padding.number(99) is None
    assert padding.number(102 + KEPT) == 101


def test_viewers_get_pictures_without_the_padding_between_them() -> None:
    wire, later = Wire(), Clockwork()
    source = uplink(wire, later)
    screen = viewer(wire)
    screen.attach(source, 0.0)
    pictures = frames(100, 3) + frames(105, 3, key=-1)
    padding = [packet(103, 6000, b"", at=0.1), packet(104, 6000, b"", at=0.1)]
    for one in pictures[:3] + padding + pictures[3:]:
        give(source, one)
    assert [one.sequence for one in wire.rtp] == list(range(1000, 1006))
    assert [one.payload for one in wire.rtp] == [one.payload for one in pictures]
    first = wire.rtp[4]
    screen.resend([1004], 1.0)
    assert wire.rtp[-1].data == first.data, "sent again byte for byte"
    assert not later.waiting, "nothing is missing"
