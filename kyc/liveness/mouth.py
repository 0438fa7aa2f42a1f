"""Whether the mouth moved while something was said: a plain signal, a hint for a person.

The opening of the lips (mesh points 13/14 over 61/291) is followed picture by picture; the sum of
its changes a second is small for a closed mouth or a photograph and large for a speaking one. It
does not show that *these* words were spoken by *this* mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kyc.check import Finding, Guidance, Verdict

if TYPE_CHECKING:
    from kyc.face import FaceFinder
    from kyc.image import Frame
    from kyc.liveness.landmarks import Landmarks

CHECK = "mouth"
THRESHOLD = 0.15
"""Changes of opening a second. Five clips at 10 pictures a second, 2 s windows: silent 0.02–0.10,
talking 0.25–0.81; the threshold was set on them."""
AROUND_US = 150_000
LEAST_PICTURES = 6
LEAST_S = 0.8
LONGEST = 4000

Opening = tuple[int, float]
"Media time in microseconds, and the opening of the lips over the width of the mouth."


class Mouth:
    """Follows the one face in the picture; its finding carries the openings, and judges nothing."""

    def __init__(self, faces: FaceFinder, landmarks: Landmarks) -> None:
        self._faces, self._landmarks = faces, landmarks
        self._openings: list[Opening] = []

    def see(self, frame: Frame) -> Guidance:
        found = self._faces.find(frame.bgr)
        pose = self._landmarks.measure(frame.bgr, found[0]) if len(found) == 1 else None
        if pose is not None and len(self._openings) < LONGEST:
            self._openings.append((frame.media_time_us, round(pose.mouth, 4)))
        return Guidance("listening")

    def expire(self, media_time_us: int) -> Finding:
        values = {"openings": [list(each) for each in self._openings]}
        return Finding(
            CHECK,
            Verdict.NOT_CHECKED,
            "followed",
            values=values,
            models=dict(self._landmarks.models),
            media_time_us=media_time_us,
        )


def moved(openings: Sequence[Opening], from_us: int, to_us: int) -> dict[str, Any]:
    """Verdict, score, threshold and reason for what was said in this time."""
    during = [each for each in openings if from_us - AROUND_US <= each[0] <= to_us + AROUND_US]
    if len(during) < LEAST_PICTURES:
        return _answer(Verdict.NOT_CHECKED, "no_face" if openings else "no_pictures")
    seconds = (during[-1][0] - during[0][0]) / 1e6
    if seconds < LEAST_S:
        return _answer(Verdict.NOT_CHECKED, "too_short")
    changes = sum(abs(b[1] - a[1]) for a, b in zip(during, during[1:], strict=False))
    score = round(changes / seconds, 3)
    if score >= THRESHOLD:
        return _answer(Verdict.PASSED, "moved", score)
    return _answer(Verdict.FAILED, "still", score)


def _answer(verdict: Verdict, reason: str, score: float | None = None) -> dict[str, Any]:
    return {"verdict": verdict, "score": score, "threshold": THRESHOLD, "reason": reason}
