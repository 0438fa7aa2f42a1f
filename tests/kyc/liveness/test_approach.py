"""A head that comes closer is told from a picture that grows."""

from typing import Any

import cv2
import numpy as np
import pytest

from kyc.image import Bgr
from kyc.instruments import Instruments
from kyc.liveness.approach import Rest, _fit
from kyc.liveness.challenge import PERSPECTIVE
from tests.kyc.conftest import Clip


def head(seed: int) -> tuple[Any, Any]:
    """Corners of a face, flat, in face widths, and their depths: round like a head."""
    source = np.random.default_rng(seed)
    flat = source.uniform(-0.5, 0.5, (90, 2))
    return flat, 1.1 * (flat**2).sum(axis=1) + source.normal(0, 0.02, 90)


def projected(flat: Any, depth: Any, distance: float, noise: float, source: Any) -> Any:
    return flat / (distance + depth)[:, None] * distance + source.normal(0, noise, flat.shape)


@pytest.mark.parametrize("seed", range(5))
def test_perspective_grows_with_a_head_only(seed: int) -> None:
    source = np.random.default_rng(seed)
    flat, depth = head(seed)
    far = projected(flat, depth, 3.5, 0.002, source)
    near = 1.4 * projected(flat, depth, 2.5, 0.002, source)
    grown = 1.4 * projected(flat, depth, 3.5, 0.002, source)
    turn = cv2.getRotationMatrix2D((0, 0), 7, 1.0)[:, :2]
    came, zoomed = _fit(far, near @ turn.T, depth), _fit(far, grown @ turn.T, depth)
    assert came is not None and came > PERSPECTIVE
    assert zoomed is not None and abs(zoomed) < 0.6 * PERSPECTIVE


@pytest.mark.parametrize("seed", range(5))
def test_a_plane_held_askew_is_no_head(seed: int) -> None:
    source = np.random.default_rng(seed)
    flat, depth = head(seed)
    far = projected(flat, depth, 3.5, 0.002, source)
    askew = 1 / (1 + far @ source.uniform(-0.08, 0.08, 2))[:, None]
    found = _fit(far, 1.5 * far * askew + source.normal(0, 0.002, far.shape), depth)
    assert found is not None and abs(found) < PERSPECTIVE


def test_too_few_corners_say_nothing() -> None:
    flat, depth = head(1)
    assert _fit(flat[:9], flat[:9], depth[:9]) is None


def mesh(instruments: Instruments, bgr: Bgr) -> Any:
    return instruments.landmarks.mesh(bgr, instruments.faces.find(bgr)[0])


def test_a_zoomed_picture_of_somebody_is_no_head(instruments: Instruments, clip: Clip) -> None:
    far = next(clip("s18", 1)).bgr
    there = mesh(instruments, far)
    middle = tuple(float(v) for v in there[:, :2].mean(axis=0))
    turn = cv2.getRotationMatrix2D((middle[0], middle[1]), 5, 1.6)
    near = np.asarray(cv2.warpAffine(far, turn, (far.shape[1], far.shape[0])), np.uint8)
    found = Rest(far, there).perspective(near, mesh(instruments, near))
    assert found is not None and abs(found) < 0.5 * PERSPECTIVE
    blank = np.full_like(far, 90)
    assert Rest(blank, there).perspective(near, there) is None
