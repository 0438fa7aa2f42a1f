"""The card is moved under the light: does it turn like a rigid plane, and does light wander on it?

A card's laminate mirrors lamps and windows: while it turns, bright patches wander over its print. A
print on matt paper turns without them; a picture that is only pushed about does not turn at all.
Points of the print are followed from frame to frame and must obey one homography (a plane seen
from elsewhere: Hartley and Zisserman, Multiple View Geometry, 2nd ed., §13.1); the turn follows
from it with a usual webcam's focal length. Laid back onto the first frame, whatever brightens
locally is light, not print.

Glossy paper and glossy screens mirror too, and a replayed video of a tilted card shows it all: a
hint for a person. Tried on drawn cards only, never on real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from kyc.check import Finding, Guidance, Picture, Verdict
from kyc.document.checks import Box, around, whole_card
from kyc.image import Bgr, Frame, Gray, Points, brightness, corners, crop, gray, jpeg, relative
from kyc.ocr import TextFinder

WIDE = 640  # pixels in which points are followed
NEAR = 0.28  # least share of the picture's longer side that the print must span
ENOUGH_TILT = 12.0  # degrees between the two most different views
PLANE = 0.7  # least share of points that obey the homography, in the median frame
REFLECTION = 0.10  # natural logarithm by which the light must brighten a patch
WANDER = 0.03  # how far the patch must move, in card lengths
LEAST_FRAMES = 8
POINTS, KEPT = 160, 28  # points looked for, and below which the card is lost
_FOCAL = 0.9  # of the picture's width: a horizontal field of view of 58°
_PATCH = (96, 60)  # pixels in which light is looked for


@dataclass(frozen=True)
class _View:
    """One frame, against the first one."""

    turn_deg: float
    normal: Any
    plane: float
    "Share of the points that obey the homography."
    light: Any
    "Luminance of the card laid back onto the first frame, ``_PATCH`` pixels."


class CardTilt:
    """Asks for the card to be tilted slowly, and looks at how it behaves."""

    name = "card_tilt"

    def __init__(self, finder: TextFinder) -> None:
        self._finder = finder
        self._start: Box | None = None
        "Where the print was in the first frame."
        self._points = np.empty((0, 2), np.float32)
        self._first = np.empty((0, 2), np.float32)
        self._before: Gray | None = None
        self._views: list[_View] = []
        self._longest: list[_View] = []
        "The most views of one go, when the card was lost and found again."
        self._pictures: dict[str, tuple[float, Frame]] = {}
        self._progress = 0.0
        self._finding: Finding | None = None

    def see(self, frame: Frame) -> Guidance | Finding:
        if self._finding is not None:
            return self._finding
        small = _small(frame.bgr)
        if self._start is None or not self._follow(small):
            hint = self._begin(frame, small)
            self._before = gray(small)
            return self._guidance(hint, frame)
        self._before = gray(small)
        view = self._view(small)
        if view is None:
            self._start = None  # begun anew with the next frame
            return self._guidance("slower", frame)
        self._views.append(view)
        self._keep("frame", -view.turn_deg, frame)
        self._keep("tilted", view.turn_deg, frame)
        if self._measure()["passes"]:
            self._finding = self._answer(frame.media_time_us)
            return self._finding
        half_way = self._tilt(self._views) > ENOUGH_TILT / 2
        return self._guidance("tilt_more" if half_way else "tilt_card", frame)

    def expire(self, media_time_us: int) -> Finding:
        if self._finding is None:
            self._finding = self._answer(media_time_us)
        return self._finding

    # -- following -----------------------------------------------------------------------------

    def _begin(self, frame: Frame, small: Bgr) -> str:
        """Find the card and points on it; what the person should do."""
        words = self._finder.find(small)
        box = around(words)
        if box is None:
            return "no_card" if not words else "closer"
        if max(box[2:]) < NEAR * max(small.shape[:2]):
            return "closer"
        if brightness(crop(small, box)[0]) < 40:
            return "more_light"
        mask = np.zeros(small.shape[:2], np.uint8)
        x, y, w, h = (round(v) for v in box)
        mask[max(0, y) : y + h, max(0, x) : x + w] = 255
        found = _good_points(small, mask)
        if len(found) < KEPT:
            return "closer"
        self._first = self._points = found
        self._start = box
        self._longest, self._views = max(self._longest, self._views, key=len), []
        return "tilt_card"

    def _follow(self, small: Bgr) -> bool:
        """Move the points to where they are now; False when too few are left."""
        now = gray(small)
        assert self._before is not None
        follow: Any = partial(cv2.calcOpticalFlowPyrLK, winSize=(17, 17), maxLevel=3)
        there, kept, _ = follow(self._before, now, self._points, None)
        back, again, _ = follow(now, self._before, there, None)
        off = np.linalg.norm(back - self._points, axis=1)
        good = (kept.ravel() == 1) & (again.ravel() == 1) & (off < 1.0)
        self._points, self._first = np.asarray(there[good], np.float32), self._first[good]
        return len(self._points) >= KEPT

    def _view(self, small: Bgr) -> _View | None:
        """How the card lies now, against the first frame."""
        assert self._start is not None
        turn, obey = cv2.findHomography(self._first, self._points, cv2.RANSAC, 2.0)
        if turn is None or abs(np.linalg.det(turn)) < 1e-6:
            return None
        held = obey.ravel() == 1
        normal = _normal(self._first[held], self._points[held], small.shape[1], small.shape[0])
        light = _laid_back(small, turn, self._start)
        if held.sum() < POINTS // 2:
            self._refill(small, turn, held)
        angle = float(np.degrees(np.arccos(np.clip(normal[2], -1, 1))))
        return _View(angle, normal, float(obey.mean()), light)

    def _refill(self, small: Bgr, turn: Any, held: Any) -> None:
        """New points on the card, for those that were lost or disobeyed."""
        assert self._start is not None
        place = cv2.perspectiveTransform(corners(self._start)[None], turn)[0]
        mask = np.zeros(small.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(place).astype(np.int32), (255,))
        for x, y in self._points[held]:
            cv2.circle(mask, (round(float(x)), round(float(y))), 4, (0,), -1)
        found = _good_points(small, mask)
        first = (
            cv2.perspectiveTransform(found[None], np.linalg.inv(turn))[0] if len(found) else found
        )
        self._points = np.concatenate([self._points[held], found])
        self._first = np.concatenate([self._first[held], np.asarray(first, np.float32)])

    def _keep(self, name: str, worth: float, frame: Frame) -> None:
        if name not in self._pictures or worth > self._pictures[name][0]:
            self._pictures[name] = (worth, frame)

    # -- judging -------------------------------------------------------------------------------

    def _tilt(self, views: Sequence[_View]) -> float:
        """Degrees between the first view and the most different steady one."""
        turns = sorted(view.turn_deg for view in views)
        # Odd frames are noise: the third largest counts.
        return turns[-3] if len(turns) > 2 else 0.0

    def _measure(self) -> dict[str, Any]:
        views = max(self._longest, self._views, key=len)
        tilt = self._tilt(views)
        if len(views) < LEAST_FRAMES:
            return {"passes": False, "tilt_deg": round(tilt, 1)}
        light, wander = reflection(np.stack([view.light for view in views]))
        plane = float(np.median([view.plane for view in views]))
        passes = tilt >= ENOUGH_TILT and plane >= PLANE and light >= REFLECTION and wander >= WANDER
        return {
            "passes": passes,
            "tilt_deg": round(tilt, 1),
            "plane": round(plane, 3),
            "reflection": round(light, 3),
            "wander": round(wander, 3),
        }

    def _answer(self, media_time_us: int) -> Finding:
        measured = self._measure()
        verdict, reason = self._judge(measured)
        pictures = [
            Picture(name, jpeg(frame.bgr), frame.media_time_us)
            for name, (_, frame) in self._pictures.items()
        ]
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=measured.get("reflection"),
            threshold=REFLECTION,
            values={**measured, "frames": max(len(self._longest), len(self._views))},
            pictures=pictures,
            media_time_us=media_time_us,
        )

    def _judge(self, measured: dict[str, Any]) -> tuple[Verdict, str]:
        if measured.pop("passes"):
            return Verdict.PASSED, "moves_like_a_card"
        if not self._views and not self._longest:
            return Verdict.NOT_CHECKED, "no_card"
        if "plane" not in measured:
            return Verdict.NOT_CHECKED, "timeout"
        if measured["plane"] < PLANE:
            return Verdict.FAILED, "not_a_plane"
        if measured["tilt_deg"] < ENOUGH_TILT:
            return Verdict.NOT_CHECKED, "not_tilted"
        return Verdict.FAILED, "no_reflection"

    def _guidance(self, hint: str, frame: Frame) -> Guidance:
        self._progress = max(self._progress, min(0.95, self._tilt(self._views) / ENOUGH_TILT))
        quad = None
        if len(self._points) >= KEPT and self._start is not None:
            shares = frame.size[0] / _small_size(frame.bgr)[0]
            around_points = cv2.boundingRect(self._points)
            box = tuple(float(v) * shares for v in around_points)
            quad = relative(corners(whole_card((box[0], box[1], box[2], box[3]), 0)), frame.size)
        return Guidance(hint, progress=round(self._progress, 3), quad=quad)


def reflection(light: Any) -> tuple[float, float]:
    """How strongly, and how far, bright patches wander: (logarithm, card lengths).

    ``light``: luminance of the card in every frame, laid onto one place, (frames, height, width).
    A change that is the same all over, or grows evenly from one side to the other, is shading.
    """
    logs = np.log(np.stack([cv2.GaussianBlur(each, (0, 0), 2.5) for each in light]) + 12)
    change = logs - np.median(logs, axis=0)
    height, width = change.shape[1:]
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shading = np.stack([np.ones(height * width), across.ravel(), down.ravel()], axis=1)
    flat = change.reshape(len(change), -1).T
    fitted = shading @ np.linalg.lstsq(shading, flat, rcond=None)[0]
    patches = (flat - fitted).T.reshape(change.shape)[:, 3:-3, 3:-3]
    strengths = np.percentile(patches, 98.5, axis=(1, 2))
    strong = float(np.sort(strengths)[-2])
    places = []
    for patch, strength in zip(patches, strengths, strict=True):
        if strength >= 0.6 * strong:
            rows, columns = np.nonzero(patch >= strength)
            places.append((float(np.median(columns)) / width, float(np.median(rows)) / width))
    spread = np.asarray(places)
    apart = np.linalg.norm(spread[:, None] - spread[None], axis=2)
    return strong, float(apart.max())


def _normal(first: Points, now: Points, width: int, height: int) -> Any:
    """The card's normal now, where the first frame's is taken to look at the camera."""
    focal = _FOCAL * width
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float64)
    middle = first.mean(axis=0)
    plane = np.column_stack([first - middle, np.zeros(len(first))]).astype(np.float64)
    done, turns, _, errors = cv2.solvePnPGeneric(
        plane, now.astype(np.float64), camera, np.zeros(4), flags=cv2.SOLVEPNP_IPPE
    )
    if not done:
        return np.array([0.0, 0.0, 1.0])
    normals = [cv2.Rodrigues(turn)[0][:, 2] for turn in turns]
    # Where both ways of lying explain the points alike, the one turned less is believed.
    if len(normals) > 1 and float(errors[1].item()) < 1.15 * float(errors[0].item()) + 0.01:
        return max(normals, key=lambda normal: float(normal[2]))
    return normals[0]


def _laid_back(small: Bgr, turn: Any, box: Box) -> Any:
    x, y, w, h = box
    place = np.array([[w / _PATCH[0], 0, x], [0, h / _PATCH[1], y], [0, 0, 1]])
    # The paper between the strokes: print that is laid back a little askew must not flicker.
    picture = cv2.dilate(gray(small), np.ones((7, 7), np.uint8))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpPerspective(
        picture, turn @ place, _PATCH, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(laid, np.float32)


def _good_points(small: Bgr, mask: Any) -> Points:
    found = cv2.goodFeaturesToTrack(gray(small), POINTS, 0.02, 5, None, mask)
    points = np.empty((0, 2)) if found is None else found.reshape(-1, 2)
    return np.asarray(points, np.float32)


def _small_size(bgr: Bgr) -> tuple[int, int]:
    scale = WIDE / max(bgr.shape[:2])
    return round(bgr.shape[1] * scale), round(bgr.shape[0] * scale)


def _small(bgr: Bgr) -> Bgr:
    return np.asarray(cv2.resize(bgr, _small_size(bgr), interpolation=cv2.INTER_AREA), np.uint8)
