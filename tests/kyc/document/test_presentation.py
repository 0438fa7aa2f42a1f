"""Hints whether it is the card itself: genuine drawings and simulated forgeries."""

import numpy as np

from kyc.check import Verdict
from kyc.document import presentation
from kyc.image import Bgr
from kyc.report import forgeries, specimens
from tests.kyc.document.drawn import drawn, needs_font, sight

pytestmark = needs_font
SHARE = (0.45, 0.5)


def test_a_genuine_drawing_raises_no_hint() -> None:
    _, front, chance = drawn(1)
    view = specimens.held(front, chance, SHARE)
    assert float(presentation.screen(sight(view.bgr), view.quad)) < presentation.SCREEN
    assert float(presentation.colourless(sight(view.bgr), view.quad)) < presentation.COPY
    assert float(presentation.pasted(sight(view.bgr), view.quad)) < presentation.EDGES


def test_a_photographed_screen_shows_its_grid() -> None:
    _, front, chance = drawn(1)
    view = forgeries.on_screen(front, chance, SHARE)
    assert float(presentation.screen(sight(view.bgr), view.quad)) > presentation.SCREEN


def test_a_grey_copy_has_no_colour_whatever_the_light() -> None:
    _, front, chance = drawn(1)
    view = specimens.held(forgeries.grey_copy(front, chance), chance, SHARE)
    tinted: Bgr = np.clip(view.bgr * np.array([1.0, 0.92, 0.8]), 0, 255).astype(np.uint8)
    assert float(presentation.colourless(sight(tinted), view.quad)) > presentation.COPY


def test_a_glued_portrait_stands_askew_or_throws_a_shadow() -> None:
    _, front, chance = drawn(2)
    face = chance.integers(60, 200, (210, 190, 3)).astype(np.uint8)
    forged = forgeries.other_portrait(front, np.random.default_rng(8), face)
    view = specimens.held(forged, chance, SHARE)
    assert float(presentation.pasted(sight(view.bgr), view.quad)) > presentation.EDGES


def test_a_small_card_is_not_judged_by_fine_patterns() -> None:
    _, front, chance = drawn(1)
    view = specimens.held(front, chance, (0.08, 0.09))
    assert presentation.screen(sight(view.bgr), view.quad) == "card_too_small"
    assert presentation.pasted(sight(view.bgr), view.quad) == "card_too_small"


def test_without_an_outline_nothing_is_judged() -> None:
    found = presentation.findings([sight(np.full((400, 600, 3), 90, np.uint8))], "front", 7, {})
    assert [hint.check for hint in found] == [hint.name for hint in presentation.HINTS]
    assert {(hint.verdict, hint.reason) for hint in found} == {(Verdict.NOT_CHECKED, "no_outline")}
