"""Covered eyes and mouths."""

import numpy as np

from kyc.image import Bgr
from kyc.instruments import Instruments
from kyc.occlusion import covered
from tests.kyc.conftest import Clip


def test_glasses_and_masks_have_their_remedies(instruments: Instruments, clip: Clip) -> None:
    bgr = next(clip("d20", 1)).bgr
    points = instruments.faces.find(bgr)[0].points
    assert covered(bgr, points) is None
    across = float(np.linalg.norm(points[1] - points[0]))
    dark = shaded(bgr, points[:2], across * 0.45, 25)
    assert covered(dark, points) == "show_eyes"
    cloth = shaded(bgr, points[2:].mean(axis=0)[None] + [[0, across * 0.2]], across * 0.75, 200)
    assert covered(cloth, points) == "show_mouth"


def shaded(bgr: Bgr, middles: np.ndarray, radius: float, shade: int) -> Bgr:
    rows, columns = np.mgrid[: bgr.shape[0], : bgr.shape[1]]
    out = bgr.copy()
    for x, y in middles:
        out[np.hypot(columns - x, rows - y) < radius] = shade
    return out
