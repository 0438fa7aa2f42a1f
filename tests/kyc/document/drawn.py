"""Drawn cards for tests; skipped aloud where the typeface is missing."""

import numpy as np
import pytest

from kyc.document import card, resident
from kyc.image import Bgr
from kyc.report import specimens

needs_font = pytest.mark.skipif(
    not specimens.FONTS.is_dir(), reason="no Noto CJK (Debian: fonts-noto-cjk): no card drawn"
)


def drawn(seed: int) -> tuple[specimens.Person, Bgr, np.random.Generator]:
    """Somebody, a front of theirs and the chance that goes on."""
    chance = np.random.default_rng(seed)
    who = specimens.person(chance)
    return who, specimens.front(who, chance), chance


def sight(bgr: Bgr) -> card.Sight:
    """A picture without its words, for what does not look at them."""
    return card.Sight(bgr, (), resident.Reading("front"), 0, 0.0)
