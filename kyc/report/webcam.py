"""A flat page as a webcam sees it: 1280 × 720, in perspective, soft, noisy, lit unevenly, as JPEG.

For measuring on documents of our own drawing. Every number is drawn from the given generator, so a
seed is a set of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from kyc.image import Bgr, Points

SIZE = (1280, 720)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Conditions:
    """How hard it is made; each a range to draw from."""

    share: tuple[float, float] = (0.5, 0.85)
    "Width of the page over the width of the picture."
    tilt: float = 0.09
    "How far a corner may be off, as a share of the page's width: perspective."
    turn: float = 8.0
    "Degrees either way."
    blur: tuple[float, float] = (0.3, 1.1)
    "Sigma in pixels of the picture."
    smear: int = 3
    "Longest streak of a moving hand, pixels."
    noise: tuple[float, float] = (2.0, 7.0)
    glare: float = 0.35
    "Share of pictures with a lamp mirrored in the page."
    quality: tuple[int, int] = (60, 88)
    "Of the JPEG."


def photograph(page: Bgr, chance: Generator, conditions: Conditions | None = None) -> Bgr:
    """One picture of ``page``; draws from ``chance``."""
    conditions = conditions or Conditions()
    turn = cv2.getPerspectiveTransform(_corners_of(page), _placed(page, chance, conditions))
    desk = _desk(chance)
    cv2.warpPerspective(
        page, turn, SIZE, dst=desk, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT
    )
    lit: Floats = desk.astype(np.float32) * _light(chance)[:, :, None]
    if chance.random() < conditions.glare:
        lit = lit + _lamp(chance)[:, :, None]
    soft = np.asarray(cv2.GaussianBlur(lit, (0, 0), chance.uniform(*conditions.blur)), np.float32)
    length = int(chance.integers(1, conditions.smear + 1))
    if length > 1:
        streak = _streak(length, chance.uniform(0, 180))
        soft = np.asarray(cv2.filter2D(soft, -1, streak), np.float32)
    soft = soft + chance.normal(0, chance.uniform(*conditions.noise), soft.shape).astype(np.float32)
    quality = int(chance.integers(*conditions.quality))
    bgr = np.clip(soft, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _corners_of(page: Bgr) -> Points:
    height, width = page.shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def _placed(page: Bgr, chance: Generator, conditions: Conditions) -> Points:
    """Where the page's corners come to lie, all of them inside the picture."""
    height, width = page.shape[:2]
    across = SIZE[0] * chance.uniform(*conditions.share)
    quad = np.asarray(_corners_of(page), np.float64) - np.array([width, height]) / 2
    quad *= across / width
    quad += chance.uniform(-1, 1, (4, 2)) * conditions.tilt * across / 2
    angle = np.deg2rad(chance.uniform(-conditions.turn, conditions.turn))
    quad = quad @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    reach = np.ptp(quad, axis=0)
    quad *= min(1.0, 0.97 * SIZE[0] / reach[0], 0.97 * SIZE[1] / reach[1])
    room = np.array(SIZE) - np.ptp(quad, axis=0)
    quad += room * chance.uniform(0, 1, 2) - quad.min(axis=0)
    return np.asarray(quad, np.float32)


def _desk(chance: Generator) -> Bgr:
    """What lies behind the page: blotches of one colour."""
    colour = chance.uniform(30, 200, 3)
    blotches = cv2.resize(chance.normal(0, 18, (9, 16, 3)), SIZE, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(colour + blotches, 0, 255), np.uint8)


def _light(chance: Generator) -> Floats:
    """Brighter on one side than on the other."""
    corners = chance.uniform(0.6, 1.1, (2, 2)).astype(np.float32)
    return np.asarray(cv2.resize(corners, SIZE, interpolation=cv2.INTER_LINEAR), np.float32)


def _lamp(chance: Generator) -> Floats:
    """A lamp's soft reflection, somewhere."""
    x, y = chance.uniform(0, SIZE[0]), chance.uniform(0, SIZE[1])
    spread = chance.uniform(40, 110)
    down, across = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    distance = ((across - x) ** 2 + (1.6 * (down - y)) ** 2) / spread**2
    return np.asarray(chance.uniform(40, 130) * np.exp(-distance / 2), np.float32)


def _streak(length: int, angle: float) -> Floats:
    kernel: Floats = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1.0
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), angle, 1.0)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    return kernel / max(1e-6, float(kernel.sum()))
