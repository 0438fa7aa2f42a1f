"""A card tilted under a lamp, and what else may be moved before the camera."""

from typing import Any

import numpy as np
import pytest

from kyc.check import Finding, Verdict
from kyc.document import tilt
from kyc.image import Frame
from kyc.instruments import Instruments
from kyc.report import tilted
from tests.kyc.conftest import show
from tests.kyc.document.drawn import drawn, needs_font


@needs_font
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("card", "moves_like_a_card"),
        ("matt print", "no_reflection"),
        ("pushed about", "not_tilted"),
    ],
)
def test_moved_before_the_camera(instruments: Instruments, kind: str, reason: str) -> None:
    _, front, chance = drawn(9101)
    frames = tilted.frames(front, chance, kind)
    finding, hints = show(instruments.open("card_tilt", {}), frames)
    assert finding.reason == reason
    assert (finding.verdict is Verdict.PASSED) == (kind == "card")
    assert "tilt_card" in hints
    assert {picture.name for picture in finding.pictures} == {"frame", "tilted"}


def test_nothing_there(instruments: Instruments) -> None:
    check = instruments.open("card_tilt", {})
    answer = check.see(Frame(np.full((720, 1280, 3), 120, np.uint8), 0))
    assert not isinstance(answer, Finding) and answer.hint == "no_card"
    finding = check.expire(1)
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "no_card")


def light(frames: int = 12) -> Any:
    return np.full((frames, 60, 96), 150, np.float32)


def test_shading_is_no_reflection() -> None:
    shaded = light() * np.linspace(0.6, 1.1, 12)[:, None, None]
    shaded = shaded * np.linspace(0.8, 1.2, 96)[None, None, :]
    strong, _ = tilt.reflection(shaded.astype(np.float32))
    assert strong < 0.3 * tilt.REFLECTION


def test_a_wandering_patch_is_a_reflection() -> None:
    lit = light()
    for number in range(12):
        lit[number, 20:32, 6 * number : 6 * number + 14] += 60
    strong, wander = tilt.reflection(lit)
    assert strong > tilt.REFLECTION and wander > tilt.WANDER
