"""Is the person before the camera the person on the document?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from kyc.check import Finding, Guidance, Picture, Verdict
from kyc.face import Embedding, Face, FaceEncoder, FaceFinder, fuse, likeness, principal, quality
from kyc.image import Bgr, Frame, corners, crop, jpeg, relative

LOOKS = 5  # good looks fused for the first answer
MORE_LOOKS = 12  # before a difference is called one
APART_US = 150_000  # looks closer in time than this are the same look
SAME = 0.28  # likeness below which two looks of one sitting are two people
_REASONS = {"no_face": "no_face", "one_face_only": "several_faces"}


@dataclass(frozen=True)
class Look:
    """One good view of the live face."""

    embedding: Embedding
    weight: float
    picture: Picture


class FaceMatch:
    """Compares the best live frames, fused, with a portrait."""

    name = "face_match"

    def __init__(self, finder: FaceFinder, encoder: FaceEncoder, portrait: Bgr) -> None:
        self._finder = finder
        self._encoder = encoder
        self._portrait = portrait
        self._reference = describe(finder, encoder, portrait)
        self._looks: list[Look] = []
        self._last_us = -APART_US
        self._hint = "no_face"
        self._finding: Finding | None = None

    def see(self, frame: Frame) -> Guidance | Finding:
        if self._finding is None and self._reference is None:
            self._finding = self._answer(Verdict.NOT_CHECKED, "portrait_unusable", frame)
        if self._finding is not None:
            return self._finding
        face, hint = principal(self._finder.find(frame.bgr))
        if face is None:
            return self._guidance(hint or "no_face", frame, None)
        judged = quality(frame.bgr, face)
        if judged.hint:
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
        seen, _ = crop(frame.bgr, face.box, 0.5)
        picture = Picture("face", jpeg(seen), frame.media_time_us)
        self._looks.append(Look(self._encoder.encode(frame.bgr, face), weight, picture))

    def _decide(self, frame: Frame) -> Finding | None:
        if len(self._looks) < LOOKS:
            return None
        first = self._looks[0].embedding
        if sum(likeness(first, look.embedding) < SAME for look in self._looks) >= 2:
            return self._answer(Verdict.FAILED, "face_changed", frame)
        if self._score() >= self._encoder.threshold:
            return self._answer(Verdict.PASSED, "matched", frame)
        if len(self._looks) >= MORE_LOOKS:
            return self._answer(Verdict.FAILED, "different_person", frame)
        return None

    def _best(self) -> list[Look]:
        return sorted(self._looks, key=lambda look: -look.weight)[:LOOKS]

    def _score(self) -> float:
        assert self._reference is not None
        best = self._best()
        live = fuse([look.embedding for look in best], [look.weight for look in best])
        return likeness(live, self._reference)

    def _answer(self, verdict: Verdict, reason: str, frame: Frame) -> Finding:
        pictures = [Picture("portrait", jpeg(self._portrait), frame.media_time_us)]
        if self._looks:
            pictures.insert(0, self._best()[0].picture)
        scored = len(self._looks) >= LOOKS and self._reference is not None
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(self._score(), 4) if scored else None,
            threshold=self._encoder.threshold,
            values={"looks": len(self._looks)},
            pictures=pictures,
            models=self._encoder.models,
            media_time_us=pictures[0].media_time_us,
        )

    def _guidance(self, hint: str, frame: Frame, face: Face | None) -> Guidance:
        self._hint = hint
        quad = relative(corners(face.box), frame.size) if face else None
        progress = len(self._looks) / LOOKS if len(self._looks) < LOOKS else 0.95
        return Guidance(hint, progress=round(progress, 3), quad=quad)


def describe(finder: FaceFinder, encoder: FaceEncoder, portrait: Bgr) -> Embedding | None:
    """The face a still is of, described; None when there is none to be found."""
    # A portrait cut close leaves the finder no surroundings to tell a face by.
    margin = max(portrait.shape[:2]) // 4
    padded = cv2.copyMakeBorder(portrait, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    for picture in (portrait, np.asarray(padded, np.uint8)):
        faces = finder.find(picture)
        if faces:
            return encoder.encode(picture, max(faces, key=partial(_subject, picture)))
    return None


def _subject(picture: Bgr, face: Face) -> float:
    """How much a face is what the picture is of: large, and in the middle."""
    x, y, w, h = face.box
    off = np.hypot(x + (w - picture.shape[1]) / 2, y + (h - picture.shape[0]) / 2)
    return 0.5 * w - float(off)
