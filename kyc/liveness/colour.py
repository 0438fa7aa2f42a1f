"""Is the face coloured and lit like skin?

Skin of every shade is redder than it is blue; a screen's picture under a warm lamp is often
bluer, a photocopy has no colour at all. The specular share (small, bright, colourless spots on
forehead and nose) is told beside it. A hint: white balance alone can turn it, and it was chosen
on few people (README).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import cv2
import numpy as np

from kyc.face import Face
from kyc.image import Bgr, crop, shrink
from kyc.liveness.signal import Signal

SIDE = 48
REDDER = 6.0  # mean Cr over mean Cb, of 255


@dataclass(frozen=True)
class Look:
    """One picture's skin."""

    redder: float
    specular: float
    mean: tuple[float, float, float]
    "Blue, green, red."


def look(bgr: Bgr, face: Face) -> Look | None:
    """The middle of the face; None when it is too small."""
    x, y, w, h = face.box
    part, _ = crop(bgr, (x + 0.2 * w, y + 0.2 * h, 0.6 * w, 0.65 * h))
    if min(part.shape[:2]) < SIDE / 2:
        return None
    small, _ = shrink(part, SIDE)
    luma, red, blue = cv2.split(cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb))
    spread = small.max(axis=2) - small.min(axis=2)
    specular = float(((luma > 215) & (spread < 40)).mean())
    means = small.reshape(-1, 3).mean(axis=0)
    return Look(
        float(red.mean()) - float(blue.mean()),
        specular,
        (float(means[0]), float(means[1]), float(means[2])),
    )


def judge(looks: list[Look]) -> Signal:
    """The signal ``colour``."""
    if not looks:
        return Signal.missing("colour", "too_small", hint=True)
    score = statistics.median(each.redder for each in looks)
    values = {
        "looks": len(looks),
        "specular": round(float(np.mean([each.specular for each in looks])), 4),
    }
    return Signal.measured("colour", score, REDDER, ("usual", "unusual"), hint=True, values=values)
