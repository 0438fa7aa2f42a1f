"""Faces: found, aligned, described, compared.

Detection is YuNet. A face is described quickly by SFace (128 numbers) through insightface's
loader, or whatever the operator's manifest names; :mod:`kyc.fused` describes it fully. How the
thresholds were chosen: ``docs/reports/biometrics.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kyc.image import Bgr, Points, crop, shrink
from kyc.models import ModelRefused, Prepared

Embedding = NDArray[np.float32]
MODELS = ("face_detection", "face_embedding")
_LONGEST = (320, 480)  # pixels looked at, and looked at again when little or nothing is found
_PLENTY = 36  # pixels across a face at the first look that leave nothing to be found again
_SETTLE = (56, 80, 112, 150)  # pixels across a face at which its points are found anew


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

    def moved(self, by: tuple[int, int]) -> Face:
        """The same face in a picture whose origin lies ``by`` before this one's."""
        x, y, w, h = self.box
        return replace(
            self, box=(x + by[0], y + by[1], w, h), points=self.points + np.array(by, np.float32)
        )


class FaceFinder:
    """YuNet on a picture shrunk to at most 320 pixels, or 480 when that shows little."""

    def __init__(self, prepared: Prepared) -> None:
        self._net = cv2.FaceDetectorYN.create(
            str(prepared.paths["face_detection"]), "", (320, 320), 0.7, 0.3, 50
        )

    def find(self, bgr: Bgr, *, thorough: bool = False) -> list[Face]:
        """Faces, the largest first; ``thorough`` looks for small ones too, in a still."""
        faces: list[Face] = []
        for longest in (*_LONGEST, 960) if thorough else _LONGEST:
            small, scale = shrink(bgr, longest)
            faces = self._look(small, scale)
            if scale == 1.0 or (faces and faces[0].box[2] * scale >= _PLENTY):
                break
        return faces

    def settle(self, bgr: Bgr, face: Face) -> Face:
        """The face with its points averaged over looks at several sizes, for a still.

        One look places a point to about 2 % of the face's width, and the placing is what two
        descriptions of one picture differ by.
        """
        part, corner = crop(bgr, face.box, 0.6)
        middle = np.array(face.box[:2]) + np.array(face.box[2:]) / 2
        found = []
        for across in _SETTLE:
            scale = across / face.box[2]
            if min(part.shape[:2]) * scale < 16:
                continue
            kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=kind)
            looks = [each.moved(corner) for each in self._look(np.asarray(small), scale)]
            near = [each for each in looks if _off(each, middle) < 0.35 * face.box[2]]
            found += sorted(near, key=lambda each: _off(each, middle))[:1]
        if not found:
            return face
        return replace(face, points=np.mean([each.points for each in found], axis=0))

    def _look(self, small: Bgr, scale: float) -> list[Face]:
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(small)
        faces = [_face(row, scale) for row in ([] if rows is None else rows)]
        return sorted(faces, key=lambda face: -face.area)


def _off(face: Face, middle: Any) -> float:
    return float(np.hypot(*(np.array(face.box[:2]) + np.array(face.box[2:]) / 2 - middle)))


def _face(row: Any, scale: float) -> Face:
    x, y, w, h = (float(value / scale) for value in row[:4])
    points = np.asarray(row[4:14].reshape(5, 2) / scale, np.float32)
    return Face((x, y, w, h), points, float(row[14]))


class FaceEncoder:
    """Describes a face quickly: numbers whose cosine tells how alike two faces are."""

    def __init__(self, prepared: Prepared, threads: int = 1) -> None:
        self._net = _arc_face(prepared.paths["face_embedding"], threads)
        self.models = prepared.sha256(*MODELS)
        threshold = prepared.models["face_embedding"].threshold
        if threshold is None:
            raise ModelRefused("models.toml: face_embedding needs the threshold measured with it")
        self.threshold = threshold

    @property
    def size(self) -> int:
        """How many numbers."""
        return int(self._net.output_shape[1])

    def encode(self, bgr: Bgr, face: Face) -> Embedding:
        """The face's description, of length 1."""
        return self._describe(align(bgr, face.points, self._net.input_size[0]))

    def encode_still(self, bgr: Bgr, face: Face) -> Embedding:
        """The same from the picture and its mirror image: twice the work, a little surer."""
        aligned = align(bgr, face.points, self._net.input_size[0])
        return fuse([self._describe(each) for each in (aligned, mirrored(aligned))], [1.0, 1.0])

    def _describe(self, aligned: Bgr) -> Embedding:
        return unit(np.asarray(self._net.get_feat(aligned), np.float32).ravel())


def mirrored(bgr: Bgr) -> Bgr:
    """Left for right."""
    return np.ascontiguousarray(bgr[:, ::-1])


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
    """Turn, scale and shift a face so that its points lie where the encoder expects them."""
    return placed(bgr, points, _TEMPLATE * (side / 112), side)


def placed(bgr: Bgr, points: Points, target: Points, side: int) -> Bgr:
    """A square picture in which ``points`` lie at ``target``, as nearly as turning allows.

    The similarity with the least squared error, in closed form (Umeyama 1991).
    """
    seen, wanted = points - points.mean(axis=0), target - target.mean(axis=0)
    spread = float((seen**2).sum())
    cos = float((seen * wanted).sum()) / spread
    sin = float((seen[:, 0] * wanted[:, 1] - seen[:, 1] * wanted[:, 0]).sum()) / spread
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = target.mean(axis=0) - turn @ points.mean(axis=0)
    return np.asarray(cv2.warpAffine(bgr, np.c_[turn, shift], (side, side)), np.uint8)


def _arc_face(path: Path, threads: int) -> Any:
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    loaded = session(path, threads)
    shape = loaded.get_inputs()[0].shape
    if len(shape) != 4 or shape[2] != shape[3] or len(loaded.get_outputs()) != 1:
        raise ModelRefused(f"{path.name} is no face description network")
    return ArcFaceONNX(model_file=str(path), session=loaded)


def session(path: Path, threads: int) -> Any:
    """A network of the ONNX runtime on so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def likeness(a: Embedding, b: Embedding) -> float:
    """Cosine, -1..1."""
    return float(a @ b)


def fuse(embeddings: Sequence[Embedding], weights: Sequence[float]) -> Embedding:
    """Several looks at one face as one description."""
    return unit(np.average(np.stack(embeddings), axis=0, weights=weights).astype(np.float32))


def template(data: bytes) -> Embedding:
    """A description out of its bytes (float32, little endian); ValueError for anything else."""
    if len(data) % 4 or not 64 <= len(data) <= 16384:
        raise ValueError("a face's description is of 16 to 4096 numbers")
    return np.frombuffer(data, "<f4").astype(np.float32)


def unit(vector: Any) -> Embedding:
    """Of length 1."""
    return np.asarray(vector / max(1e-9, float(np.linalg.norm(vector))), np.float32)


def principal(faces: Sequence[Face]) -> tuple[Face | None, str | None]:
    """The one person in front of the camera, or the hint why there is none.

    A face of under a quarter of the largest one's size is somebody far off, or a card's portrait.
    """
    if not faces:
        return None, "no_face"
    if len(faces) > 1 and faces[1].area > 0.25 * faces[0].area:
        return None, "one_face_only"
    return faces[0], None
