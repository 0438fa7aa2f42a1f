"""The screen's colours on a face: made-up series for the judgement, one clip lit anew for all."""

import random

import numpy as np
import pytest

from kyc.check import BadInput, Finding, Guidance, Verdict
from kyc.face import FaceFinder
from kyc.image import Frame
from kyc.instruments import Instruments
from kyc.liveness import colours
from kyc.liveness.colours import COLOURS, STEP_US, Sample, ScreenColours, draw, judge, match
from kyc.report import lit
from tests.kyc.conftest import Clip


def series(
    shown: list[str],
    lighting: list[str],
    *,
    delay: float = 0.5,
    share: float = 0.05,
    around: float = 0.0,
    noise: float = 0.004,
    light: float = 120.0,
    seed: int = 1,
) -> tuple[Verdict, str]:
    """What is said of a face lit by one sequence while another was asked for."""
    source = np.random.default_rng(seed)
    samples = []
    for number in range(int((len(shown) * STEP_US / 1e6 + 1.5) * 10)):
        now = number / 10
        place = int(max(0.0, now - delay) * 1e6 // STEP_US)
        screen = np.array(colours.of_screen(lighting[min(place, len(lighting) - 1)]))
        cast = screen * (now >= delay)
        drift = 0.02 * np.sin(now / 6)
        skin, behind = (
            cast * part + drift + source.normal(0, noise, 2) for part in (share, around)
        )
        samples.append(Sample(int(now * 1e6), tuple(skin), tuple(behind), light))
    found = match(samples, [(colour, step * STEP_US) for step, colour in enumerate(shown)])
    assert found is not None
    return judge(found, light)


@pytest.mark.parametrize("delay", [0.1, 0.4, 0.9, 1.4])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_face_that_follows_passes_at_any_delay(delay: float, seed: int) -> None:
    shown = draw(10, random.Random(seed))
    assert series(shown, shown, delay=delay, seed=seed)[1] == "colours_reflected"


def test_what_does_not_follow_never_passes() -> None:
    shown = draw(10, random.Random(7))
    other = shown[5:] + shown[:5]
    assert series(shown, other) == (Verdict.FAILED, "other_colours")
    assert series(shown, shown, share=0.0) == (Verdict.NOT_CHECKED, "too_bright")
    assert series(shown, shown, share=0.0, light=40) == (Verdict.FAILED, "colours_absent")
    assert series(shown, shown, share=0.05, around=0.05) == (Verdict.FAILED, "colours_everywhere")
    assert series(shown, shown, delay=2.7)[0] is not Verdict.PASSED


def test_other_sequences_rarely_fit() -> None:
    chance = random.Random(5)
    passed = sum(
        series(draw(10, chance), draw(10, chance), seed=seed)[0] is Verdict.PASSED
        for seed in range(80)
    )
    assert passed <= 2


def test_a_draw_uses_every_colour_and_repeats_none_at_once() -> None:
    for seed in range(50):
        drawn = draw(10, random.Random(seed))
        assert set(drawn) == set(COLOURS)
        assert all(a != b for a, b in zip(drawn, drawn[1:], strict=False))
    assert len({tuple(draw()) for _ in range(20)}) > 15


def test_colours_are_soft_and_of_one_brightness() -> None:
    """A step in luminance under 20 % and no saturated red: no flash in the sense of WCAG 2.3.1."""
    lights = []
    for colour in COLOURS:
        red, green, blue = (
            (int(colour[place : place + 2], 16) / 255) ** 2.2 for place in (1, 3, 5)
        )
        lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
        assert red / (red + green + blue) < 0.8
    assert max(lights) - min(lights) < 0.1
    assert STEP_US >= 1_000_000


class NoFace(FaceFinder):
    def __init__(self) -> None:
        pass

    def find(self, bgr: object) -> list[object]:  # type: ignore[override]
        return []


def test_without_a_face_nothing_is_shown_and_time_runs_out() -> None:
    check = ScreenColours(NoFace())
    plain = np.zeros((240, 320, 3), np.uint8)
    answers = [check.see(Frame(plain, n * 100_000)) for n in range(50)]
    assert all(isinstance(each, Guidance) and each.hint == "no_face" for each in answers)
    finding = check.expire(5_000_000)
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "timeout")
    assert finding.values["colours"] == []


@pytest.mark.parametrize(
    "params", [{"count": 2}, {"count": 99}, {"colours": ["#ff0000"] * 8}, {"colours": []}]
)
def test_unusable_parameters(params: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        ScreenColours(NoFace(), **params)  # type: ignore[arg-type]


def test_a_clip_lit_by_the_screen_passes_and_unlit_does_not(
    instruments: Instruments, clip: Clip
) -> None:
    frames = [frame for frame in clip("d18", 10) if frame.media_time_us < 1_500_000]
    (scene,) = lit.scenes([("d18", iter(frames))], instruments.faces)
    source = np.random.default_rng(2)
    finding = lit.run(scene, lit.Light(share=0.15), source)
    assert isinstance(finding, Finding)
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "colours_reflected")
    assert len(finding.values["colours"]) == colours.COUNT
    assert lit.run(scene, lit.Light(share=0.0), source).verdict is not Verdict.PASSED
