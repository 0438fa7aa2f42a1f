"""Are the eyes or the mouth covered: dark glasses, a mask, a hand?

Two measures on the aligned face, both of brightness alone, so they work in any light and on grey
pictures. What surrounds an uncovered eye is skin about as bright as the cheek below; glasses make
all of it dark. Lips draw a dark line across; a mask or a hand over them draws none.
"""

from __future__ import annotations

import numpy as np

from kyc.face import align
from kyc.image import Bgr, Points, gray

DARK_EYES = 0.38  # bright part of the brighter eye's surroundings, of the cheeks' brightness
FLAT_MOUTH = 0.045  # depth of the darkest line across the mouth, of its surroundings' brightness
_EYES = (np.s_[46:58, 27:49], np.s_[46:58, 63:85])  # in the aligned face of 112 × 112
_CHEEKS = (np.s_[66:78, 28:42], np.s_[66:78, 70:84])
_MOUTH = np.s_[84:102, 44:68]


def eyes(aligned: Bgr) -> float:
    """How bright the surroundings of the better seen eye are; about 0.8 uncovered, 0.2 dark."""
    light = gray(aligned)
    cheek = float(np.median([np.median(light[part]) for part in _CHEEKS])) + 5
    return max(float(np.percentile(light[part], 75)) for part in _EYES) / cheek


def mouth(aligned: Bgr) -> float:
    """How much darker the darkest line across the mouth is; about 0.28 uncovered, 0.03 covered."""
    part = gray(aligned)[_MOUTH].astype(np.float32)
    # Three rows together: lips are thicker than a fold of cloth.
    lines = np.convolve(part.mean(axis=1), np.full(3, 1 / 3), "valid")
    return float(np.median(lines) - lines.min()) / (float(np.median(part)) + 5)


def covered(bgr: Bgr, points: Points) -> str | None:
    """`show_eyes`, `show_mouth`, or None when both are seen."""
    aligned = align(bgr, points)
    if eyes(aligned) < DARK_EYES:
        return "show_eyes"
    if mouth(aligned) < FLAT_MOUTH:
        return "show_mouth"
    return None
