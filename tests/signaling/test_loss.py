"""What is missing of a stream, and when to ask for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signaling.loss import NACK_DELAY_S, NACK_TRIES, LossBook
from tests.signaling.test_rtp import packet


@given(st.integers(0, 0xFFFF), st.sets(st.integers(1, 199)), st.randoms(use_true_random=False))
def test_loss_book_counts_what_is_missing(start, lost, random) -> None:  # type: ignore[no-untyped-def]
    book = LossBook(90_000)
    order = [n for n in range(200) if n not in lost]
    for n in order:
        assert book.add(packet(start + n, at=n / 100))
    below = {n for n in lost if n < max(order)}
    assert set(book.missing) == {(start + n) & 0xFFFF for n in below}
    fraction, total, highest, _ = book.report()
    assert total == len(below)
    assert fraction == (len(below) << 8) // (max(order) + 1)
    assert highest & 0xFFFF == (start + max(order)) & 0xFFFF
    late = sorted(below)
    random.shuffle(late)
    for n in late:
        assert book.add(packet(start + n, at=3.0))
        assert not book.add(packet(start + n, at=3.0)), "a duplicate"
    assert not book.missing and book.report()[1] == 0


def test_nack_waits_a_moment_and_gives_up() -> None:
    book = LossBook(90_000)
    book.add(packet(1))
    book.add(packet(4, at=1.0))
    assert book.due(1.0, 0.1) == []
    now = 1.0 + NACK_DELAY_S
    for _ in range(NACK_TRIES):
        assert book.due(now, 0.1) == [2, 3]
        assert book.due(now + 0.05, 0.1) == []
        now += 0.1
    assert book.due(now, 0.1) == [] and not book.missing


def test_a_huge_gap_is_not_asked_for() -> None:
    book = LossBook(90_000)
    book.add(packet(1))
    book.add(packet(20_000))
    assert not book.missing
