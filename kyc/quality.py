"""How good a face is to compare: size, place, light, pose, sharpness, nothing before it."""

from __future__ import annotations

from dataclasses import dataclass

from kyc.face import Face
from kyc.image import Bgr, brightness, crop, sharpness
from kyc.occlusion import covered


@dataclass(frozen=True)
class Quality:
    """How good a face is to compare."""

    hint: str | None
    "What the person can do better; None when nothing need be."
    weight: float
    "0..1, for choosing and fusing the best looks."


MIN_SHARE = 0.11  # face width of the picture's shorter side: about 80 pixels of 720
MIN_PIXELS = 64
MAX_SHARE = 0.85
MAX_YAW = 0.22
PITCHES = (0.33, 0.78)
MIN_SHARPNESS = 0.012
BRIGHTNESS = (45.0, 235.0)


def quality(bgr: Bgr, face: Face) -> Quality:
    """Judge one face of a picture, the plainest remedy first."""
    height, width = bgr.shape[:2]
    x, y, w, h = face.box
    if w < MIN_PIXELS or w < MIN_SHARE * min(width, height):
        return Quality("closer", 0.0)
    if w > MAX_SHARE * width or h > 1.15 * height:
        return Quality("farther", 0.0)
    centre_x, centre_y = x + w / 2, y + h / 2
    if not (0.04 * width < centre_x < 0.96 * width and 0.04 * height < centre_y < 0.96 * height):
        return Quality("centre", 0.0)
    part, _ = crop(bgr, face.box)
    light = brightness(part)
    if light < BRIGHTNESS[0]:
        return Quality("more_light", 0.0)
    if light > BRIGHTNESS[1]:
        return Quality("less_glare", 0.0)
    if abs(face.yaw) > MAX_YAW or not PITCHES[0] < face.pitch < PITCHES[1]:
        return Quality("look_straight", 0.0)
    sharp = sharpness(part, 112)
    if sharp < MIN_SHARPNESS:
        return Quality("hold_still", 0.0)
    hidden = covered(bgr, face.points)
    if hidden:
        return Quality(hidden, 0.0)
    frontal = 1 - abs(face.yaw) / (2 * MAX_YAW)
    return Quality(None, float(frontal * min(1.0, 0.3 + sharp / 0.1)))
