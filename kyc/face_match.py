"""Is the person before the camera the person on the document?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from kyc.check import Finding, Guidance, Picture, Verdict
from kyc.face import Embedding, Face, FaceEncoder, FaceFinder, fuse, likeness, principal
from kyc.fused import FusedEncoder
from kyc.image import Bgr, Frame, corners, crop, jpeg, relative
from kyc.quality import quality

LOOKS = 5  # good looks fused for the first answer
MORE_LOOKS = 12  # before a difference is called one
APART_US = 150_000  # looks closer in time than this are the same look
SAME = 0.28  # quick likeness below which two looks of one sitting are two people
_REASONS = {"no_face": "no_face", "one_face_only": "several_faces"}
_COVERED = ("show_eyes", "show_mouth")


@dataclass(frozen=True)
class Look:
    """One good view of the live face."""

    quick: Embedding
    weight: float
    picture: Picture
    part: Bgr
    "The face with its surroundings, to be described fully when it is among the best."
    face: Face
    "In ``part``."


class FaceMatch:
    """Compares the best live frames, fused, with a portrait."""

    name = "face_match"

    def __init__(
        self, finder: FaceFinder, quick: FaceEncoder, full: FusedEncoder, portrait: Bgr
    ) -> None:
        self._finder, self._quick, self._full = finder, quick, full
        self._portrait = portrait
        self._reference = describe(finder, full, portrait)
        self._looks: list[Look] = []
        self._described: dict[int, Embedding] = {}
        self._others = self._covered = 0
        self._last_us = -APART_US
        self._hint = "no_face"
        self._finding: Finding | None = None

    def see(self, frame: Frame) -> Guidance | Finding:
        if self._finding is None and self._reference is None:
            self._finding = self._answer(Verdict.NOT_CHECKED, "portrait_unusable", frame)
        if self._finding is not None:
            return self._finding
        faces = self._finder.find(frame.bgr)
        face, hint = principal(faces)
        self._others += hint == "one_face_only"
        if face is None:
            return self._guidance(hint or "no_face", frame, None)
        judged = quality(frame.bgr, face)
        if judged.hint:
            self._covered += judged.hint in _COVERED
            return self._guidance(judged.hint, frame, face)
        if frame.media_time_us - self._last_us >= APART_US:
            self._last_us = frame.media_time_us
            self._take(frame, face, judged.weight)
            self._finding = self._decide(frame)
        return self._finding or self._guidance("hold_still", frame, face)

    def expire(self, media_time_us: int) -> Finding:
        if self._finding is None:
            at = Frame(self._portrait, media_time_us)
            reason = _REASONS.get(self._hint, "low_quality")
            if self._reference is None:
                reason = "portrait_unusable"
            self._finding = self._answer(Verdict.NOT_CHECKED, reason, at)
        return self._finding

    def _take(self, frame: Frame, face: Face, weight: float) -> None:
        seen, corner = crop(frame.bgr, face.box, 0.5)
        picture = Picture("face", jpeg(seen), frame.media_time_us)
        quick = self._quick.encode(frame.bgr, face)
        moved = face.moved((-corner[0], -corner[1]))
        self._looks.append(Look(quick, weight, picture, seen.copy(), moved))

    def _decide(self, frame: Frame) -> Finding | None:
        if len(self._looks) < LOOKS:
            return None
        first = self._looks[0].quick
        if sum(likeness(first, look.quick) < SAME for look in self._looks) >= 2:
            return self._answer(Verdict.FAILED, "face_changed", frame)
        if self._score() >= self._full.threshold:
            return self._answer(Verdict.PASSED, "matched", frame)
        if len(self._looks) >= MORE_LOOKS:
            return self._answer(Verdict.FAILED, "different_person", frame)
        return None

    def _best(self) -> list[int]:
        """The best looks' numbers, the best first."""
        numbers = range(len(self._looks))
        return sorted(numbers, key=lambda number: -self._looks[number].weight)[:LOOKS]

    def _live(self) -> Embedding:
        best = self._best()
        for number in best:
            if number not in self._described:
                look = self._looks[number]
                self._described[number] = self._full.encode(look.part, look.face)
        weights = [self._looks[number].weight for number in best]
        return fuse([self._described[number] for number in best], weights)

    def _score(self) -> float:
        assert self._reference is not None
        return likeness(self._live(), self._reference)

    def _answer(self, verdict: Verdict, reason: str, frame: Frame) -> Finding:
        pictures = [Picture("portrait", jpeg(self._portrait), frame.media_time_us)]
        if self._looks:
            pictures.insert(0, self._looks[self._best()[0]].picture)
        scored = len(self._looks) >= LOOKS and self._reference is not None
        matched = verdict is Verdict.PASSED
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(self._score(), 4) if scored else None,
            threshold=self._full.threshold,
            values={
                "looks": len(self._looks),
                "others": self._others,
                "covered": self._covered,
            },
            pictures=pictures,
            models=self._full.models,
            media_time_us=pictures[0].media_time_us,
            template=self._live().astype("<f4").tobytes() if matched else None,
        )

    def _guidance(self, hint: str, frame: Frame, face: Face | None) -> Guidance:
        self._hint = hint
        quad = relative(corners(face.box), frame.size) if face else None
        progress = len(self._looks) / LOOKS if len(self._looks) < LOOKS else 0.95
        return Guidance(hint, progress=round(progress, 3), quad=quad)


def describe(
    finder: FaceFinder, encoder: FaceEncoder | FusedEncoder, portrait: Bgr
) -> Embedding | None:
    """The face a still is of, described; None when there is none to be found."""
    found = subject(finder, portrait)
    return None if found is None else encoder.encode_still(*found)


def subject(finder: FaceFinder, still: Bgr) -> tuple[Bgr, Face] | None:
    """The face a still is of, its points settled, and the picture it was found in."""
    # A portrait cut close leaves the finder no surroundings to tell a face by.
    for part in (6, 3):
        edge = max(still.shape[:2]) // part
        padded = cv2.copyMakeBorder(still, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        picture = np.asarray(padded, np.uint8)
        faces = finder.find(picture, thorough=True)
        if faces:
            face = max(faces, key=partial(_subject, picture))
            return picture, finder.settle(picture, face)
    return None


def describe_frames(
    finder: FaceFinder, full: FusedEncoder, frames: Iterable[Frame]
) -> Embedding | None:
    """The person of a clip: the best looks of its frames, fused; None without a good one."""
    looks: list[tuple[float, Bgr, Face]] = []
    for frame in frames:
        face, _ = principal(finder.find(frame.bgr))
        judged = quality(frame.bgr, face) if face else None
        if face is None or judged is None or judged.hint:
            continue
        part, corner = crop(frame.bgr, face.box, 0.5)
        looks.append((judged.weight, part.copy(), face.moved((-corner[0], -corner[1]))))
        looks = sorted(looks, key=lambda look: -look[0])[:LOOKS]
    if not looks:
        return None
    return fuse([full.encode(part, face) for _, part, face in looks], [w for w, _, _ in looks])


def _subject(picture: Bgr, face: Face) -> float:
    """How much a face is what the picture is of: large, and in the middle."""
    x, y, w, h = face.box
    off = np.hypot(x + (w - picture.shape[1]) / 2, y + (h - picture.shape[0]) / 2)
    return 0.5 * w - float(off)
