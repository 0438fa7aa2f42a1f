"""How much a publisher may send on good and bad lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.rate import (
    CEILING_BPS,
    FLOOR_BPS,
    Allowance,
    QueueDelay,
    Throughput,
    signal_level,
)

INF = float("inf")


def run(allowance: Allowance, start: float, seconds: float, **line: float) -> int:
    answer = 0
    for tick in range(int(seconds * 2)):
        answer = allowance.update(start + tick / 2, **{"viewer_bps": INF, **line})
    return answer


def test_a_good_line_may_send_720p_from_the_start() -> None:
    answer = Allowance().update(0, received_bps=0, loss=0, queue_s=0, viewer_bps=INF)
    assert answer == CEILING_BPS


def test_a_thin_line_is_found_within_seconds_and_left_again() -> None:
    allowance = Allowance()
    thin = run(allowance, 0, 4, received_bps=300_000, loss=0, queue_s=0.5)
    assert FLOOR_BPS <= thin <= 320_000
    half_way = run(allowance, 4, 8, received_bps=thin, loss=0, queue_s=0.01)
    assert half_way > 900_000
    assert run(allowance, 12, 25, received_bps=half_way, loss=0, queue_s=0.01) == CEILING_BPS


def test_a_hiccup_costs_at_most_half() -> None:
    allowance = Allowance()
    run(allowance, 0, 2, received_bps=1e6, loss=0, queue_s=0)
    assert allowance.update(2, received_bps=0, loss=0, queue_s=1, viewer_bps=INF) == CEILING_BPS / 2


def test_heavy_loss_lowers_it_and_some_does_not() -> None:
    assert run(Allowance(), 0, 5, received_bps=2e6, loss=0.05, queue_s=0) == CEILING_BPS
    assert run(Allowance(), 0, 5, received_bps=2e6, loss=0.2, queue_s=0) < 1_600_000


def test_a_viewer_lowers_it_to_the_floor() -> None:
    line = {"received_bps": 2e6, "loss": 0.0, "queue_s": 0.0}
    assert run(Allowance(), 0, 2, **line, viewer_bps=900_000) == 900_000
    assert run(Allowance(), 0, 2, **line, viewer_bps=100_000) == FLOOR_BPS


@given(st.lists(st.tuples(*(st.floats(0, top) for top in (5, 1e7, 1, 3, 1e7))), max_size=40))
def test_always_within_bounds(line: list[tuple[float, ...]]) -> None:
    allowance, now = Allowance(), 0.0
    for step, received, loss, queue, viewer in line:
        now += step
        answer = allowance.update(
            now, received_bps=received, loss=loss, queue_s=queue, viewer_bps=viewer
        )
        assert FLOOR_BPS <= answer <= CEILING_BPS


def test_throughput() -> None:
    rate = Throughput()
    rate.measure(0, 1000)
    assert rate.measure(0.1, 9000) == 0.0
    assert rate.measure(0.5, 13_500) == 200_000


@pytest.mark.parametrize(("start", "grows"), [(0, 0.0), (0xFFFFF000, 0.02)])
def test_queue_delay(start: int, grows: float) -> None:
    delay = QueueDelay(90_000)
    for n in range(60):
        delay.add((start + n * 3000) & 0xFFFFFFFF, 5 + n / 30 + n * grows)
    assert delay.seconds == pytest.approx(0, abs=1e-6) if not grows else delay.seconds > 0.8


def test_signal_level() -> None:
    assert signal_level(0, 0, None, video=True) == 0
    assert signal_level(1500, 0, 40, video=True) == 4
    assert signal_level(40, 0, 40, video=False) == 4
    assert signal_level(300, 0.05, 300, video=True) == 1
    assert signal_level(1500, 0.03, 40, video=True) == 3
