"""Corners inside the face, followed for a second at a time: how they moved beside each other.

A picture on paper or glass, however it is moved, stays one plane: its points go where one
homography takes them. A head is no plane and no statue. What is left of the movement of the
corners after a similarity, after a homography and after a bent sheet is what the signals
``depth`` and ``motion`` judge. Tracking: Shi and Tomasi 1994 (corners), Lucas-Kanade in a pyramid
(Bouguet 2000), checked forwards and backwards (Kalal et al. 2010).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kyc.face import Face
from kyc.image import Bgr, Gray

Spots = NDArray[np.float32]
"Points in pixels, shape (n, 2)."

WINDOW_US = 1_000_000
GAP_US = 400_000  # pictures further apart cannot be followed from one to the next
ACROSS = 128  # the face is looked at this many pixels wide
KEPT = 600  # windows: ten minutes of the last
_LARGEST = 1.5  # a smaller face is enlarged by no more than this
_MARGIN = 0.6  # how far, in face widths, the face may wander within one window
_CORNERS, _FEWEST = 100, 25
_STRAY = 1.0  # pixels by which a corner followed there and back may miss its start
_FOLLOW: dict[str, Any] = {"winSize": (13, 13), "maxLevel": 3}


_LOG = (140.0 * np.log(np.arange(256) + 16.0)).astype(np.float32)


@dataclass(frozen=True)
class Window:
    """What one second of following showed; lengths in face widths."""

    from_us: int
    to_us: int
    corners: int
    moved: float
    "Median way of the corners."
    similarity: float
    "Median residual after shift, turn and scale: what perspective and depth have left."
    homography: float
    "Median residual after the best plane seen in perspective."
    sheet: float
    "Median residual after a quadratic map, which a gently bent sheet follows too."
    live: float
    "Their 80th percentile: the parts of the face that went their own way."


class Tracks:
    """Follows the corners of the one face, window after window."""

    def __init__(self) -> None:
        self.windows: deque[Window] = deque(maxlen=KEPT)
        self._place: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._scale = self._width = 1.0
        self._last: Gray | None = None
        self._start: Gray = np.empty((0, 0), np.uint8)
        self._first: Spots = np.empty((0, 2), np.float32)
        self._now = self._first
        self._from_us = self._last_us = 0

    def see(self, bgr: Bgr, face: Face | None, time_us: int) -> None:
        """One more picture; without a face what was begun is dropped."""
        if face is None or time_us - self._last_us > GAP_US:
            self._last = None
        self._last_us = time_us
        if face is None:
            return
        if self._last is not None:
            self._follow(bgr)
        if self._last is not None and time_us - self._from_us >= WINDOW_US:
            self._close(time_us)
        if self._last is None:
            self._begin(bgr, face, time_us)

    def _begin(self, bgr: Bgr, face: Face, time_us: int) -> None:
        x, y, w, h = face.box
        self._scale = min(_LARGEST, ACROSS / max(1.0, w))
        self._width = w * self._scale
        margin = _MARGIN * w
        left, top = max(0, int(x - margin)), max(0, int(y - margin))
        right = min(bgr.shape[1], int(x + w + margin))
        bottom = min(bgr.shape[0], int(y + h + margin))
        if right - left < ACROSS / 4 or bottom - top < ACROSS / 4:
            return
        self._place = (left, top, right, bottom)
        picture = self._cut(bgr)
        middle = ((x + w / 2 - left) * self._scale, (y + h / 2 - top) * self._scale)
        axes = (0.48 * w * self._scale, 0.5 * h * self._scale)
        inside = np.zeros(picture.shape, np.uint8)
        cv2.ellipse(inside, (middle, (2 * axes[0], 2 * axes[1]), 0.0), (255,), -1)
        found = cv2.goodFeaturesToTrack(picture, _CORNERS, 0.005, 4, mask=inside)
        if found is None or len(found) < _FEWEST:
            return
        self._first = self._now = np.asarray(found, np.float32).reshape(-1, 2)
        self._start = self._last = picture
        self._from_us = time_us

    def _cut(self, bgr: Bgr) -> Gray:
        left, top, right, bottom = self._place
        part = cv2.cvtColor(bgr[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
        size = (round((right - left) * self._scale), round((bottom - top) * self._scale))
        how = cv2.INTER_AREA if self._scale < 1 else cv2.INTER_LINEAR
        return _even(cv2.resize(part, size, interpolation=how))

    def _follow(self, bgr: Bgr) -> None:
        assert self._last is not None
        picture = self._cut(bgr)
        there, kept = _flow(self._last, picture, self._now)
        self._first, self._now = self._first[kept], there[kept]
        self._last = picture if len(self._now) >= _FEWEST else None

    def _close(self, time_us: int) -> None:
        assert self._last is not None
        matched = _match(self._start, self._last, self._first, self._now)
        if matched is not None:
            first, now = matched
            seen = judge(first / self._width, now / self._width)
            if seen is not None:
                self.windows.append(Window(self._from_us, time_us, len(now), *seen))
        self._last = None


def _match(start: Gray, end: Gray, first: Spots, now: Spots) -> tuple[Spots, Spots] | None:
    """The corners found anew in the last picture, laid over the first by their homography.

    Following from picture to picture drifts by up to a pixel a second, which is as much as a nose
    stands out. Laid over the first, the last picture of a plane is the same picture.
    """
    plane, _ = cv2.findHomography(first, now, cv2.LMEDS)
    if plane is None or abs(float(np.linalg.det(plane))) < 1e-9:
        return None
    size = (start.shape[1], start.shape[0])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = np.asarray(cv2.warpPerspective(end, plane, size, flags=how), np.uint8)
    there, kept = _flow(start, laid, first)
    if int(kept.sum()) < _FEWEST:
        return None
    back = cv2.perspectiveTransform(there[kept][None], plane)[0]
    return first[kept], np.asarray(back, np.float32)


def _even(picture: Any) -> Gray:
    """Contrast against the surroundings: exposure that changes would else look like movement."""
    logs = cv2.LUT(picture, _LOG)
    around = cv2.blur(logs, (17, 17))
    return np.asarray(cv2.addWeighted(logs, 1.0, around, -1.0, 128.0).clip(0, 255), np.uint8)


def _flow(a: Gray, b: Gray, spots: Spots) -> tuple[Spots, NDArray[np.bool_]]:
    """Where the spots of ``a`` are in ``b``, and which of them find their way back."""
    nowhere: Any = None
    there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, spots, nowhere, **_FOLLOW)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(b, a, there, nowhere, **_FOLLOW)
    near = np.linalg.norm(back - spots, axis=1) < _STRAY
    return np.asarray(there, np.float32), (found.ravel() == 1) & (returned.ravel() == 1) & near


def judge(first: Any, now: Any) -> tuple[float, float, float, float, float] | None:
    """``moved``, ``similarity``, ``homography``, ``sheet``, ``live`` of corners in face widths.

    None when no map can be fitted.
    """
    turn, _ = cv2.estimateAffinePartial2D(first, now, method=cv2.LMEDS)
    plane, _ = cv2.findHomography(first, now, cv2.LMEDS)
    if turn is None or plane is None:
        return None
    turned = _off(first @ turn[:, :2].T + turn[:, 2], now)
    laid = cv2.perspectiveTransform(first[None], plane)[0]
    flat = _off(laid, now)
    bent = _off(_sheet(laid, now), now)
    return (
        float(np.median(_off(first, now))),
        float(np.median(turned)),
        float(np.median(flat)),
        float(np.median(bent)),
        float(np.percentile(bent, 80)),
    )


def _off(a: Any, b: Any) -> Any:
    return np.linalg.norm(a - b, axis=1)


def _sheet(first: Any, now: Any) -> Any:
    """Where the best quadratic map takes ``first``; corners that go their own way count less.

    A cylinder of paper seen from two places is a homography and a shift along one direction that
    grows with the square of the way across its axis.
    """
    middle = first.mean(axis=0)
    x, y = (first - middle).astype(np.float64).T
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    weight = np.ones(len(x))
    for _ in range(4):
        fitted, *_ = np.linalg.lstsq(terms * weight[:, None], now * weight[:, None], rcond=None)
        off = _off(terms @ fitted, now)
        weight = 1 / np.sqrt(np.maximum(off, max(1e-6, float(np.median(off)))))
    return terms @ fitted
