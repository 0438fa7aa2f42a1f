"""Was it photographed off a screen? The two grids beat, and a screen has an edge.

Looked at about once a second, at the camera's own resolution. Both are hints: a webcam that
softens its picture shows no moiré, and doors and shelves have straight edges too.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from kyc.face import Face
from kyc.image import Bgr, crop, gray, shrink
from kyc.liveness.signal import Signal

SIDE = 96  # a face narrower than this shows no fine pattern
PATTERN = 1.45  # log height of the spectrum's sharpest peaks over their surroundings
SIDES = 3  # of a frame around the face
_LARGEST = 256
_LONGEST = 320


@dataclass(frozen=True)
class Look:
    """One picture's fine structure."""

    peaks: float
    sides: int


def look(bgr: Bgr, face: Face) -> Look | None:
    """None when the face is too small."""
    part, _ = crop(bgr, face.box)
    if min(part.shape[:2]) < SIDE:
        return None
    return Look(peaks(part), sides(bgr, face))


def peaks(part: Bgr) -> float:
    """How far the sharpest peaks of the spectrum stand out of it, as a natural logarithm.

    Mean of the eight highest bins over a median of the bins around each; the axes, where the
    blocks of a coder and the frame of the picture show, are left out.
    """
    side = min(_LARGEST, *(each - each % 2 for each in part.shape[:2]))
    top, left = (part.shape[0] - side) // 2, (part.shape[1] - side) // 2
    fine = gray(part)[top : top + side, left : left + side].astype(np.float32)
    fine -= cv2.GaussianBlur(fine, (0, 0), 3)
    ramp = np.hanning(side).astype(np.float32)
    spectrum = np.log1p(np.abs(np.fft.rfft2(fine * ramp[:, None] * ramp))).astype(np.float32)
    over = spectrum - cv2.medianBlur(spectrum, 5)
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    far = np.hypot(down, across)
    looked_at = (far > 0.12) & (far < 0.5) & (np.abs(down) > 0.02) & (across > 0.02)
    return float(np.sort(over[looked_at])[-8:].mean())


def sides(bgr: Bgr, face: Face) -> int:
    """On how many sides of the face a long straight edge runs along it, 0 to 4."""
    small, scale = shrink(gray(bgr), _LONGEST)
    x, y, w, h = (each * scale for each in face.box)
    edges = cv2.Canny(small, 60, 160)
    lines: Any = cv2.HoughLinesP(edges, 1, np.pi / 90, 40, minLineLength=0.8 * w, maxLineGap=4)
    found = set()
    for x1, y1, x2, y2 in [] if lines is None else lines.reshape(-1, 4):
        level, upright = abs(y2 - y1) < 0.12 * abs(x2 - x1), abs(x2 - x1) < 0.12 * abs(y2 - y1)
        beside, above = (x1 + x2) / 2 - (x + w / 2), (y1 + y2) / 2 - (y + h / 2)
        if upright and 0.55 * w < abs(beside) < 1.8 * w and abs(above) < h:
            found.add("right" if beside > 0 else "left")
        if level and 0.55 * h < abs(above) < 1.6 * h and abs(beside) < w:
            found.add("below" if above > 0 else "above")
    return len(found)


def judge(looks: list[Look]) -> Signal:
    """The signal ``screen``."""
    if not looks:
        return Signal.missing("screen", "too_small", hint=True)
    height = statistics.median(each.peaks for each in looks)
    around = statistics.median(each.sides for each in looks)
    values = {"looks": len(looks), "sides": around}
    if height <= PATTERN and around >= SIDES:
        return Signal.measured(
            "screen", -around, -SIDES + 1, ("no_pattern", "frame_around"), hint=True, values=values
        )
    return Signal.measured(
        "screen", height, PATTERN, ("no_pattern", "pattern"), hint=True, values=values, most=True
    )
