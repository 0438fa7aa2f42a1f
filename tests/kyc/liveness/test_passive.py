"""What the pictures of a face tell without asking for anything."""

from typing import Any

import numpy as np

from kyc.check import Verdict
from kyc.image import Frame
from kyc.liveness import depth
from kyc.liveness.passive import Passive
from kyc.liveness.tracks import Window, judge


def corners(seed: int = 1) -> Any:
    """Places in a face, in face widths."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (80, 2)).astype(np.float32)


def seen(first: Any, depths: Any, turn: float) -> Any:
    """Where points of such depths are after a turn about the upright axis, three widths away."""
    x = first[:, 0] * np.cos(turn) + depths * np.sin(turn)
    z = 3 + depths * np.cos(turn) - first[:, 0] * np.sin(turn)
    noise = np.random.default_rng(int(turn * 100)).normal(0, 0.0003, first.shape)
    return (np.stack([x, first[:, 1]], axis=1) * 3 / z[:, None] + noise).astype(np.float32)


def window(depths: Any, turn: float = 0.25) -> Window:
    """One second in which the surface is turned so far."""
    measured = judge(seen(corners(), depths, 0.0), seen(corners(), depths, turn))
    assert measured is not None
    return Window(0, 1_000_000, 80, *measured)


def relief(first: Any) -> Any:
    """What no sheet has: a nose stands out, cheeks fall away, brows, glasses and hair are rough."""
    x, y = first.T
    nose = 0.25 * np.exp(-((x / 0.15) ** 2) - (y / 0.25) ** 2)
    rough = np.random.default_rng(3).normal(0, 0.07, len(x))
    return 0.5 * x**2 - nose + rough


def test_a_plane_and_a_bent_sheet_leave_nothing_and_a_head_does() -> None:
    flat = window(np.zeros(80))
    bent = window(-0.3 * corners()[:, 0] ** 2)
    head = window(relief(corners()))
    assert depth.judge([flat] * 3).verdict is Verdict.FAILED
    assert depth.judge([bent] * 3).verdict is Verdict.FAILED
    assert depth.judge([head] * 3).verdict is Verdict.PASSED


def test_a_face_that_hardly_moves_is_not_checked_for_depth() -> None:
    still = window(relief(corners()), turn=0.0)
    signal = depth.judge([still] * 9)
    assert (signal.verdict, signal.reason) == (Verdict.NOT_CHECKED, "little_motion")
    assert depth.judge([]).verdict is Verdict.NOT_CHECKED


def test_without_a_face_nothing_is_checked() -> None:
    passive = Passive()
    for number in range(30):
        passive.see(Frame(np.full((240, 320, 3), number, np.uint8), number * 100_000), [])
    finding = passive.finding(3_000_000)
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "no_face")
    assert set(finding.values["signals"]) >= {"depth", "motion"}
