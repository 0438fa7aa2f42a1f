"""Did a head come closer, or did a picture of one grow?

Who comes closer is seen in stronger perspective: the nose grows more than the ears. A picture held
closer, or zoomed, grows as a whole. Corners of the face at rest are found again in the near
picture, both laid over each other; what each corner has moved beside the common shift, turn and
scale is compared with what its depth foretells (depths: the mesh's). Turning the head a little
also moves near points past far ones, in one direction for all, and a flat picture held askew
narrows to one side: both are fitted along and left out.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kyc.image import Bgr

SIDE = 192  # both faces are looked at this large
_SHARE = 0.62  # of it is taken by the face, from cheek to cheek
_CORNERS, _FEWEST = 150, 40
_STRAY = 0.7  # pixels by which a corner followed there and back may miss its start
_RIGHT, _LEFT = 234, 454  # the cheeks in the mesh
_LIPS = np.array([61, 291, 0, 17, 13, 14])  # what talks is left out
_FOLLOW: dict[str, Any] = {"winSize": (17, 17), "maxLevel": 2}

Mesh = NDArray[np.float32]


class Rest:
    """The face at rest, as the near one is compared with it."""

    def __init__(self, bgr: Bgr, mesh: Mesh) -> None:
        self._mesh = mesh
        self._place = _placed(mesh)
        self._gray = _laid(bgr, self._place)
        points = _map(self._place, mesh[:, :2])
        hull = cv2.convexHull(points.astype(np.int32))
        inside = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillConvexPoly(inside, hull, (255,))
        mouth = points[_LIPS]
        cv2.ellipse(
            inside,
            tuple(int(v) for v in mouth.mean(axis=0)),
            tuple(int(v) for v in 1.3 * np.ptp(mouth, axis=0) / 2 + 2),
            0,
            0,
            360,
            (0,),
            -1,
        )
        found = cv2.goodFeaturesToTrack(self._gray, _CORNERS, 0.003, 4, mask=inside)
        self._corners = np.empty((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        # The depth of a corner is that of the mesh's nearest points, in face widths.
        apart = np.linalg.norm(self._corners[:, None] - points[None], axis=2)
        near = np.argsort(apart, axis=1)[:, :4]
        self._depth = mesh[near, 2].mean(axis=1) / _width(mesh) if len(near) else np.empty(0)

    def perspective(self, bgr: Bgr, mesh: Mesh) -> float | None:
        """How much stronger the perspective has become: 0 for a picture that grew; for a head,
        the growth of its nearness (1 / distance, in face widths). None when too little of the
        face is found again.
        """
        if len(self._corners) < _FEWEST:
            return None
        near = _laid(bgr, _placed(mesh))
        there, kept = _flow(self._gray, near, self._corners)
        if int(kept.sum()) < _FEWEST:
            return None
        scale = SIDE * _SHARE
        return _fit(self._corners[kept] / scale, there[kept] / scale, self._depth[kept])


def _fit(before: Any, after: Any, depth: Any) -> float | None:
    """The perspective's share of a movement: least squares, outliers left out twice."""
    before = before - before.mean(axis=0)
    after = after - after.mean(axis=0)
    depth = depth - depth.mean()
    x, y = before.T
    one, none = np.ones(len(x)), np.zeros(len(x))
    rows = np.stack(
        [
            np.c_[x, -y, one, none, depth, none, x * x, x * y, -x * depth],
            np.c_[y, x, none, one, none, depth, x * y, y * y, -y * depth],
        ],
        axis=1,
    )  # (n, 2, 9)
    kept = np.ones(len(x), bool)
    found = np.zeros(9)
    for _ in range(3):
        if int(kept.sum()) < _FEWEST // 2:
            return None
        found = np.linalg.lstsq(rows[kept].reshape(-1, 9), after[kept].ravel(), rcond=None)[0]
        off = np.linalg.norm(rows @ found - after, axis=1)
        kept = off <= 2.5 * np.median(off[kept]) + 1e-9
    size = float(np.hypot(found[0], found[1]))
    return float(found[8]) / size if size > 1e-6 else None


def _width(mesh: Mesh) -> float:
    return max(1e-6, float(np.linalg.norm(mesh[_RIGHT] - mesh[_LEFT])))


def _placed(mesh: Mesh) -> Any:
    """The similarity that lays a face upright, at one size, into a square."""
    across = mesh[_LEFT, :2] - mesh[_RIGHT, :2]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    middle = mesh[:, :2].mean(axis=0)
    centre = (float(middle[0]), float(middle[1]))
    place: Any = cv2.getRotationMatrix2D(centre, angle, SIDE * _SHARE / _width(mesh))
    place[:, 2] += SIDE / 2 - middle
    return place


def _laid(bgr: Bgr, place: Any) -> Any:
    scale = float(np.hypot(place[0, 0], place[0, 1]))
    if scale < 0.5:  # or fine detail would turn into noise
        bgr = np.asarray(cv2.GaussianBlur(bgr, (0, 0), 0.4 / scale), np.uint8)
    part = cv2.warpAffine(bgr, place, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    gray = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    return cv2.createCLAHE(2.0, (4, 4)).apply(gray)


def _map(place: Any, points: Any) -> Any:
    return points @ place[:, :2].T + place[:, 2]


def _flow(start: Any, end: Any, corners: Any) -> tuple[Any, Any]:
    follow: Any = cv2.calcOpticalFlowPyrLK
    there, found, _ = follow(start, end, corners, None, **_FOLLOW)
    back, again, _ = follow(end, start, there, None, **_FOLLOW)
    stray = np.linalg.norm(back - corners, axis=1)
    kept = (found.ravel() == 1) & (again.ravel() == 1) & (stray < _STRAY)
    return there, kept
