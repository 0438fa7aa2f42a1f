"""How much a publisher may send on good and bad lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.rate import (
    CEILING_BPS,
    FLOOR_BPS,
    QUEUE_HIGH_S,
    START_BPS,
    Allowance,
    Backlog,
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


def test_a_good_line_may_send_720p_within_a_second() -> None:
    allowance = Allowance()
    line = {"received_bps": 2e6, "loss": 0.05, "viewer_bps": INF}
    assert allowance.update(0, queue_s=0, **line) == START_BPS
    for tick in range(1, 4):  # no news yet
        assert allowance.update(tick / 10, queue_s=QUEUE_HIGH_S, **line) == START_BPS
    answers = [allowance.update(tick / 10, queue_s=0.02, **line) for tick in range(4, 10)]
    assert answers == sorted(answers) and answers[-1] == CEILING_BPS


def test_a_narrow_line_is_found_before_it_is_flooded_for_long() -> None:
    allowance = Allowance()
    line = {"received_bps": 240_000, "loss": 0.0, "viewer_bps": INF}
    allowance.update(0, queue_s=0, **line)
    first = allowance.update(0.3, queue_s=0.2, **line)
    assert FLOOR_BPS < first <= START_BPS / 2, "what queued has to leave"
    # what came since was sent before
    assert allowance.update(0.6, queue_s=0.4, **line) == first
    assert allowance.update(1.1, queue_s=0.4, **line) < first


def test_a_thin_line_is_found_within_seconds_and_left_again() -> None:
    allowance = Allowance()
    thin = run(allowance, 0, 4, received_bps=300_000, loss=0, queue_s=0.5)
    assert FLOOR_BPS <= thin <= 320_000
    half_way = run(allowance, 4, 10, received_bps=thin, loss=0, queue_s=0.01)
    assert half_way > 700_000
    assert run(allowance, 14, 25, received_bps=half_way, loss=0, queue_s=0.01) == CEILING_BPS


def test_a_hiccup_of_ours_is_nearly_no_queue() -> None:
    backlog = Backlog()
    for n in range(100):
        late = 0.4 if n == 50 else 0.0  # one is read late
        backlog.add(7.0 + late, 7.0 + n * 0.08 + late)
        assert backlog.at(7.0 + n * 0.08 + late) < 0.01
    assert backlog.at(20.0) == QUEUE_HIGH_S, "no news"


def test_backlog() -> None:
    backlog = Backlog()
    for n in range(30):
        backlog.add(3.0 + max(0, n - 10) * 0.02, n * 0.08)
    assert backlog.seconds == pytest.approx(0.36)
    for n in range(30, 40):
        backlog.add(3.0, n * 0.08)
    assert backlog.seconds == 0.0
    backlog.add(-90_000.0, 3.3)  # another clock
    assert backlog.seconds == 0.0


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
