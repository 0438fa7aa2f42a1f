"""Is the same person before the camera throughout the session?

Looks at a picture now and then, at most one a second. It never ends by itself: each picture is
answered with a hint, and :meth:`Continuity.expire` sums up. Another face is reported at the
second picture that shows it, or at the fourth when it is doubtful: one bad picture raises no alarm.
"""

from __future__ import annotations

from dataclasses import dataclass

from kyc.check import Finding, Guidance, Picture, Verdict
from kyc.face import Embedding, Face, FaceEncoder, FaceFinder, fuse, likeness, principal
from kyc.image import Bgr, Frame, brightness, corners, crop, jpeg, relative, sharpness

SAME = 0.28  # quick likeness to the reference from which it is the same person
OTHER = 0.22  # and below which a good look is somebody else; between the two it is doubtful
AGAIN = 2  # looks that must say "somebody else", since the last that was the same face
DOUBTFUL = 4  # or so many looks none of which was the same face
FIRST_LOOKS = 3  # looks that make the reference when none is given
GONE_US = 4_000_000  # nobody for so long counts as having left
YAW = 0.35  # nose off the middle, in eye distances, up to which a likeness means something
MIN_PIXELS = 40
KEPT = 20  # changes and pictures kept; a session of hours must not grow without end


@dataclass
class Change:
    """A stretch of the session in which it was not simply the same face."""

    kind: str
    "'other_face', 'away' (nobody, then the same face) or 'several_faces'."
    from_us: int
    to_us: int
    likeness: float | None = None
    "The lowest seen."


class Continuity:
    """The same face, from the first picture to the last."""

    name = "continuity"

    def __init__(
        self, finder: FaceFinder, encoder: FaceEncoder, reference: Embedding | None
    ) -> None:
        self._finder, self._encoder = finder, encoder
        self._reference = reference
        self._first: list[Embedding] = []
        self._strange: list[tuple[int, float]] = []
        "Time and likeness of the looks since the last that was the same face."
        self._empty_us: int | None = None
        self._open: Change | None = None
        self._changes: list[Change] = []
        self._pictures: list[Picture] = []
        self._seen = self._compared = 0
        self._lowest: float | None = None
        self._same = self._strangers = 0

    def see(self, frame: Frame) -> Guidance:
        """Look at one picture: `same_face`, `other_face`, `no_face`, `several_faces` or
        `low_quality`."""
        self._seen += 1
        now = frame.media_time_us
        face, trouble = principal(self._finder.find(frame.bgr))
        if face is None:
            hint = "several_faces" if trouble == "one_face_only" else "no_face"
            self._nobody(now) if hint == "no_face" else self._several(now)
            return self._guidance(hint, frame, None)
        self._returned(now)
        if not _comparable(frame.bgr, face):
            return self._guidance(self._standing("low_quality"), frame, face)
        seen = self._encoder.encode(frame.bgr, face)
        return self._guidance(self._compare(frame, face, seen), frame, face)

    def expire(self, media_time_us: int) -> Finding:
        """The session is over: what was seen."""
        verdict, reason = Verdict.PASSED, "same_face_throughout"
        if self._strangers:
            verdict = Verdict.FAILED
            reason = "face_changed" if self._same else "not_the_reference"
        elif not self._compared:
            verdict = Verdict.NOT_CHECKED
            reason = "no_face" if self._empty_us is not None or not self._seen else "low_quality"
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=None if self._lowest is None else round(self._lowest, 4),
            threshold=SAME,
            values={
                "changes": [
                    {
                        "from_us": each.from_us,
                        "to_us": each.to_us,
                        "likeness": each.likeness,
                        "kind": each.kind,
                    }
                    for each in self._changes
                ],
                "pictures": self._seen,
                "compared": self._compared,
            },
            pictures=self._pictures,
            models=self._encoder.models,
            media_time_us=media_time_us,
        )

    def _compare(self, frame: Frame, face: Face, seen: Embedding) -> str:
        if self._reference is None and not self._first:
            self._first.append(seen)
            self._same += 1
            self._keep("first", frame, face)
            return "same_face"
        alike = likeness(seen, self._known())
        self._compared += 1
        self._lowest = alike if self._lowest is None else min(self._lowest, alike)
        if alike >= SAME:
            if self._reference is None and len(self._first) < FIRST_LOOKS:
                self._first.append(seen)
            self._same += 1
            self._strange.clear()
            self._close(frame.media_time_us, "other_face")
            return "same_face"
        self._strange.append((frame.media_time_us, alike))
        return self._stranger(frame, face)

    def _stranger(self, frame: Frame, face: Face) -> str:
        clear = sum(alike < OTHER for _, alike in self._strange)
        if clear < AGAIN and len(self._strange) < DOUBTFUL:
            return self._standing("low_quality")
        lowest = round(min(alike for _, alike in self._strange), 4)
        if self._open is None or self._open.kind != "other_face":
            self._strangers += 1
            self._begin("other_face", self._strange[0][0], frame.media_time_us)
            self._keep(f"other_{self._strangers}", frame, face)
        assert self._open is not None
        self._open.to_us, self._open.likeness = frame.media_time_us, lowest
        del self._strange[:-KEPT]
        return "other_face"

    def _standing(self, otherwise: str) -> str:
        """A look that says nothing leaves what stood."""
        strange = self._open is not None and self._open.kind == "other_face"
        return "other_face" if strange else otherwise

    def _nobody(self, now: int) -> None:
        self._strange.clear()
        if self._empty_us is None:
            self._empty_us = now
        self._close(now, "several_faces")

    def _several(self, now: int) -> None:
        self._returned(now)
        if self._open is None:
            self._begin("several_faces", now, now)
        elif self._open.kind == "several_faces":
            self._open.to_us = now

    def _returned(self, now: int) -> None:
        """Somebody is there again; who it is the comparison says."""
        if self._empty_us is not None and now - self._empty_us >= GONE_US:
            self._begin("away", self._empty_us, now)
            self._open = None
        self._empty_us = None
        self._close(now, "several_faces")

    def _begin(self, kind: str, from_us: int, to_us: int) -> None:
        self._open = Change(kind, from_us, to_us)
        if len(self._changes) < KEPT:
            self._changes.append(self._open)

    def _close(self, now: int, kind: str) -> None:
        if self._open is not None and self._open.kind == kind:
            self._open.to_us = now
            self._open = None

    def _known(self) -> Embedding:
        if self._reference is not None:
            return self._reference
        return fuse(self._first, [1.0] * len(self._first))

    def _keep(self, name: str, frame: Frame, face: Face) -> None:
        if len(self._pictures) < KEPT:
            picture, _ = crop(frame.bgr, face.box, 0.5)
            self._pictures.append(Picture(name, jpeg(picture), frame.media_time_us))

    def _guidance(self, hint: str, frame: Frame, face: Face | None) -> Guidance:
        quad = relative(corners(face.box), frame.size) if face else None
        return Guidance(hint, quad=quad)


def _comparable(bgr: Bgr, face: Face) -> bool:
    """Whether a likeness of this face means anything: large, sharp, lit and turned enough."""
    if face.box[2] < MIN_PIXELS or abs(face.yaw) > YAW:
        return False
    part, _ = crop(bgr, face.box)
    return 30 < brightness(part) < 240 and sharpness(part, 112) > 0.006
