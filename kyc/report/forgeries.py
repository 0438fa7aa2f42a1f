"""Forged and re-photographed cards, simulated: what the hints of a card are measured against.

Models of attacks, not attacks: a bank's own trials with real screens, printers and knives are
needed before anybody relies on the rates found here.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from kyc.image import Bgr, Points
from kyc.report.specimens import HEIGHT, PHOTO, WIDTH, View, held


def on_screen(card: Bgr, chance: np.random.Generator, share: tuple[float, float]) -> View:
    """The card shown on a screen and photographed: red, green and blue stripes with gaps between.

    420 to 1,000 of the screen's pixels make up the card's length, as on a laptop or a telephone.
    """
    across = int(chance.integers(420, 1000))
    size = (across, round(across * HEIGHT / WIDTH))
    shown = cv2.resize(card, size, interpolation=cv2.INTER_AREA)
    cell = 6  # fine pixels of a screen's pixel: two of each colour, one row dark
    grid = np.zeros((size[1] * cell, size[0] * cell, 3), np.uint8)
    large = np.repeat(np.repeat(shown, cell, axis=0), cell, axis=1)
    for channel, first in ((2, 0), (1, 2), (0, 4)):
        for column in (first, first + 1):
            grid[:, column::cell, channel] = large[:, column::cell, channel]
    dark = float(chance.uniform(0.1, 0.7))
    grid[cell - 1 :: cell] = (grid[cell - 1 :: cell] * dark).astype(np.uint8)
    # A third of the screen shines in each colour; the camera's exposure makes up for that.
    return held(card, chance, share, surface=grid, exposure=float(chance.uniform(2.6, 3.4)))


def grey_copy(card: Bgr, chance: np.random.Generator) -> Bgr:
    """A black-and-white photocopy: grey, harder contrast, a little dirt."""
    grey = cv2.cvtColor(card, cv2.COLOR_BGR2GRAY).astype(np.float32)
    hard = (grey - 128) * chance.uniform(1.1, 1.5) + 138 + chance.normal(0, 4, grey.shape)
    copy = np.clip(hard, 0, 255).astype(np.uint8)
    return np.repeat(copy[:, :, None], 3, axis=2)


def other_portrait(card: Bgr, chance: np.random.Generator, face: Bgr) -> Bgr:
    """Another portrait glued over the printed one: a little askew, its edge throwing a shadow."""
    x, y, w, h = PHOTO
    grown = chance.uniform(0.98, 1.1)
    wide, tall = int(w * grown), int(h * grown)
    strip = face[:, : int(face.shape[0] * w / h)] if face.shape[1] > face.shape[0] * w / h else face
    photo = cv2.resize(strip, (wide, tall), interpolation=cv2.INTER_AREA)
    middle = np.array([x + w / 2, y + h / 2]) + chance.uniform(-8, 8, 2)
    angle = np.radians(chance.uniform(0.8, 4.0) * chance.choice([-1, 1]))
    box = np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    place = np.asarray(box @ turn + middle, np.float32)
    forged = card.astype(np.float32)
    fall = chance.uniform(2, 6, 2).astype(np.float32)
    shade = _over(np.full((tall, wide), 255, np.uint8), place + fall)
    shade = cv2.GaussianBlur(shade, (0, 0), chance.uniform(1.0, 2.5)).astype(np.float32) / 255
    forged *= 1 - chance.uniform(0.2, 0.5) * shade[:, :, None]
    mask = _over(np.full((tall, wide), 255, np.uint8), place).astype(np.float32)[:, :, None] / 255
    forged = forged * (1 - mask) + _over(photo, place) * mask
    return np.asarray(np.clip(forged, 0, 255).astype(np.uint8))


def _over(picture: Any, place: Points) -> Any:
    tall, wide = picture.shape[:2]
    own = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], np.float32)
    turn = cv2.getPerspectiveTransform(own, place)
    return cv2.warpPerspective(picture, turn, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


def other_size(chance: np.random.Generator, side: str) -> dict[str, float]:
    """One field printed 18 to 35 % too large or too small."""
    fields = ("name", "birth", "address", "id") if side == "front" else ("authority", "valid")
    grown = float(chance.uniform(1.18, 1.35))
    return {str(chance.choice(fields)): grown if chance.random() < 0.5 else 1 / grown}
