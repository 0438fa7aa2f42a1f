"""Faces: found, judged for quality, aligned, described, compared.

Detection is YuNet, description SFace (128 numbers) through insightface's loader, or whatever
the operator's manifest names. How the threshold was chosen stands in ``README.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kyc.image import Bgr, Points, brightness, crop, sharpness, shrink
from kyc.models import Prepared

Embedding = NDArray[np.float32]
MODELS = ("face_detection", "face_embedding")
_FIND_LONGEST = 480


@dataclass(frozen=True)
class Face:
    """A face in a picture."""

    box: tuple[float, float, float, float]
    "x, y, width, height in pixels."
    points: Points
    "Eye, eye, nose, corner, corner of the mouth: the picture's left ones first."
    score: float

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]

    @property
    def yaw(self) -> float:
        """How far the nose is off the middle of the eyes, in eye distances; + is picture right."""
        left, right, nose = self.points[:3]
        across = right - left
        return float((nose - (left + right) / 2) @ across / max(1e-6, float(across @ across)))

    @property
    def pitch(self) -> float:
        """Where the nose is between eyes (0) and mouth (1)."""
        eyes, mouth = self.points[:2].mean(axis=0), self.points[3:].mean(axis=0)
        down = mouth - eyes
        return float((self.points[2] - eyes) @ down / max(1e-6, float(down @ down)))


class FaceFinder:
    """YuNet on a picture shrunk to at most 480 pixels (about 17 CPU-ms)."""

    def __init__(self, prepared: Prepared) -> None:
        self._net = cv2.FaceDetectorYN.create(
            str(prepared.paths["face_detection"]), "", (320, 320), 0.7, 0.3, 50
        )

    def find(self, bgr: Bgr) -> list[Face]:
        """Faces, the largest first."""
        small, scale = shrink(bgr, _FIND_LONGEST)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(small)
        faces = [_face(row, scale) for row in ([] if rows is None else rows)]
        return sorted(faces, key=lambda face: -face.area)


def _face(row: Any, scale: float) -> Face:
    x, y, w, h = (float(value / scale) for value in row[:4])
    points = np.asarray(row[4:14].reshape(5, 2) / scale, np.float32)
    return Face((x, y, w, h), points, float(row[14]))


class FaceEncoder:
    """Describes a face by numbers whose cosine tells how alike two faces are."""

    def __init__(self, prepared: Prepared, threads: int = 1) -> None:
        self._net = _arc_face(prepared.paths["face_embedding"], threads)
        self.models = prepared.sha256(*MODELS)
        threshold = prepared.models["face_embedding"].threshold
        if threshold is None:
            raise ValueError("models.toml: face_embedding needs the threshold measured with it")
        self.threshold = threshold

    def encode(self, bgr: Bgr, face: Face) -> Embedding:
        """The face's description, of length 1."""
        aligned = align(bgr, face.points, self._net.input_size[0])
        return _unit(np.asarray(self._net.get_feat(aligned), np.float32).ravel())


# Where ArcFace and its kin expect the five points in a picture of 112 × 112 pixels.
_TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)


def align(bgr: Bgr, points: Points, side: int = 112) -> Bgr:
    """Turn, scale and shift a face so that its points lie where the encoder expects them.

    The similarity with the least squared error, in closed form (Umeyama 1991).
    """
    target = _TEMPLATE * (side / 112)
    seen, wanted = points - points.mean(axis=0), target - target.mean(axis=0)
    spread = float((seen**2).sum())
    cos = float((seen * wanted).sum()) / spread
    sin = float((seen[:, 0] * wanted[:, 1] - seen[:, 1] * wanted[:, 0]).sum()) / spread
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = target.mean(axis=0) - turn @ points.mean(axis=0)
    return np.asarray(cv2.warpAffine(bgr, np.c_[turn, shift], (side, side)), np.uint8)


def _arc_face(path: Path, threads: int) -> Any:
    import onnxruntime
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return ArcFaceONNX(model_file=str(path), session=session)


def likeness(a: Embedding, b: Embedding) -> float:
    """Cosine, -1..1."""
    return float(a @ b)


def fuse(embeddings: Sequence[Embedding], weights: Sequence[float]) -> Embedding:
    """Several looks at one face as one description."""
    return _unit(np.average(np.stack(embeddings), axis=0, weights=weights).astype(np.float32))


def _unit(vector: Any) -> Embedding:
    return np.asarray(vector / max(1e-9, float(np.linalg.norm(vector))), np.float32)


@dataclass(frozen=True)
class Quality:
    """How good a face is to compare."""

    hint: str | None
    "What the person can do better; None when nothing need be."
    weight: float
    "0..1, for choosing and fusing the best looks."


MIN_SHARE = 0.11  # face width of the picture's shorter side: about 80 pixels of 720
MIN_PIXELS = 64
MAX_SHARE = 0.85
MAX_YAW = 0.22
PITCHES = (0.33, 0.78)
MIN_SHARPNESS = 0.012
BRIGHTNESS = (45.0, 235.0)


def quality(bgr: Bgr, face: Face) -> Quality:
    """Judge one face of a picture, the plainest remedy first."""
    height, width = bgr.shape[:2]
    x, y, w, h = face.box
    if w < MIN_PIXELS or w < MIN_SHARE * min(width, height):
        return Quality("closer", 0.0)
    if w > MAX_SHARE * width or h > 1.15 * height:
        return Quality("farther", 0.0)
    centre_x, centre_y = x + w / 2, y + h / 2
    if not (0.04 * width < centre_x < 0.96 * width and 0.04 * height < centre_y < 0.96 * height):
        return Quality("centre", 0.0)
    part, _ = crop(bgr, face.box)
    light = brightness(part)
    if light < BRIGHTNESS[0]:
        return Quality("more_light", 0.0)
    if light > BRIGHTNESS[1]:
        return Quality("less_glare", 0.0)
    if abs(face.yaw) > MAX_YAW or not PITCHES[0] < face.pitch < PITCHES[1]:
        return Quality("look_straight", 0.0)
    sharp = sharpness(part, 112)
    if sharp < MIN_SHARPNESS:
        return Quality("hold_still", 0.0)
    frontal = 1 - abs(face.yaw) / (2 * MAX_YAW)
    return Quality(None, float(frontal * min(1.0, 0.3 + sharp / 0.1)))


def principal(faces: Sequence[Face]) -> tuple[Face | None, str | None]:
    """The one person in front of the camera, or the hint why there is none.

    A face of under a quarter of the largest one's size is somebody far off, or a card's portrait.
    """
    if not faces:
        return None, "no_face"
    if len(faces) > 1 and faces[1].area > 0.25 * faces[0].area:
        return None, "one_face_only"
    return faces[0], None
