"""The full description of a face, for the comparison that decides: two networks together.

SFace and dlib's residual network err on different pairs. Their shares were chosen on one half of
the people and measured on the other: ``docs/reports/biometrics.md``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kyc.face import Embedding, Face, FaceEncoder, mirrored, placed, session, unit
from kyc.image import Bgr
from kyc.models import ModelRefused, Prepared

# Where the points lie in the 150 × 150 pictures the residual network was made for.
_POINTS = np.array(
    [[43.36, 45.86], [100.85, 46.17], [72.42, 79.85], [46.66, 103.57], [96.04, 104.72]], np.float32
)


class FusedEncoder:
    """Describes a face fully, by two networks together, for the comparison that decides.

    The two descriptions stand one after the other, each weighted by the root of its share, so
    that the cosine of two faces is the weighted mean of both likenesses. With an operator's own
    ``face_embedding`` that one describes alone: the other was not measured beside it.
    """

    def __init__(self, prepared: Prepared, quick: FaceEncoder, threads: int = 1) -> None:
        self._quick = quick
        self._residual: Any = None
        self.models, self.threshold = quick.models, quick.threshold
        second = prepared.models["face_residual"]
        if second.companion != prepared.models["face_embedding"].sha256:
            return
        if second.threshold is None or not 0 < second.share < 1:
            raise ModelRefused("models.toml: face_residual needs the share and threshold measured")
        self._residual = session(prepared.paths["face_residual"], threads)
        self._share = second.share
        self.models = {**quick.models, **prepared.sha256("face_residual")}
        self.threshold = second.threshold

    def encode(self, bgr: Bgr, face: Face) -> Embedding:
        """The face's description, of length 1."""
        quick = self._quick.encode(bgr, face)
        if self._residual is None:
            return quick
        return self._together(quick, self._describe(_residual_part(bgr, face)))

    def encode_still(self, bgr: Bgr, face: Face) -> Embedding:
        """The same from the picture and its mirror image."""
        quick = self._quick.encode_still(bgr, face)
        if self._residual is None:
            return quick
        part = _residual_part(bgr, face)
        looks = [self._describe(each) for each in (part, mirrored(part))]
        return self._together(quick, unit(looks[0] + looks[1]))

    def quick_part(self, full: Embedding) -> Embedding:
        """What the quick encoder would have said, out of a full description; ValueError when
        the description is of other models."""
        whole = self._quick.size + (128 if self._residual is not None else 0)
        if full.shape != (whole,) or not np.isfinite(full).all():
            raise ValueError("the description is not of these models")
        return unit(full[: self._quick.size])

    def _describe(self, part: Bgr) -> Embedding:
        rgb = np.ascontiguousarray(part[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
        return np.asarray(self._residual.run(None, {"data": rgb})[0][0], np.float32)

    def _together(self, quick: Embedding, residual: Embedding) -> Embedding:
        weighted = [quick * (1 - self._share) ** 0.5, unit(residual) * self._share**0.5]
        return unit(np.concatenate(weighted))


def _residual_part(bgr: Bgr, face: Face) -> Bgr:
    return placed(bgr, face.points, _POINTS, 150)
