"""What a face does, from its landmarks: eyes, mouth, turn, nod.

MediaPipe's 468-point mesh for mouth and pose, its iris model for the eyelids (the mesh's own
eyelids hardly move). Left and right are the person's own, the camera's picture unmirrored: the
person's left is the picture's right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kyc.face import Face
from kyc.image import Bgr
from kyc.models import Prepared

MODELS = ("face_landmarks", "eye_landmarks")
Mesh = NDArray[np.float32]

_MESH_SIDE, _EYE_SIDE = 192, 64
_MESH_MARGIN = 1.5  # the crop the mesh was trained on: 1.5 × the face's box
_EYE_MARGIN = 2.3  # and the eye model: 2.3 × the width of the eye
# Points of the mesh.
_NOSE, _CHEEK_RIGHT, _CHEEK_LEFT = 1, 234, 454  # the person's
_FOREHEAD, _UNDER_NOSE = 10, 2
_LIP_UPPER, _LIP_LOWER, _MOUTH_RIGHT, _MOUTH_LEFT = 13, 14, 61, 291
_EYE_RIGHT, _EYE_LEFT = (33, 133), (362, 263)


@dataclass(frozen=True)
class Pose:
    """Measures of one face in one picture, none of them in pixels."""

    eyes: float
    "Mean opening of both eyes over their width: about 0.25 open, under 0.1 closed."
    mouth: float
    "Opening of the lips over the width of the mouth: 0 closed."
    yaw: float
    "Turn of the head, -1..1; + towards the person's own left. Full profile about 1."
    pitch: float
    "Tilt of the head, degrees; grows as the chin goes down."
    size: float
    "Width of the face, from cheek to cheek through the head, over the picture's shorter side."


class Landmarks:
    """The two models, run by LiteRT."""

    def __init__(self, prepared: Prepared, threads: int = 1) -> None:
        self._mesh = _Net(prepared.paths["face_landmarks"], threads, ("conv2d_20", "conv2d_30"))
        self._eye = _Net(
            prepared.paths["eye_landmarks"], threads, ("output_eyes_contours_and_brows",)
        )
        self.models = prepared.sha256(*MODELS)

    def measure(self, bgr: Bgr, face: Face) -> Pose | None:
        """None when the mesh sees no face there."""
        mesh = self.mesh(bgr, face)
        return None if mesh is None else self.pose(bgr, face, mesh)

    def mesh(self, bgr: Bgr, face: Face) -> Mesh | None:
        """The 468 points, shape (468, 3), in pixels of the picture; z grows away from it."""
        return self._points(bgr, face, _tilt(face))

    def pose(self, bgr: Bgr, face: Face, mesh: Mesh) -> Pose:
        """The measures of a face whose mesh is known."""
        angle = _tilt(face)
        eyes = [
            self._eye_opening(bgr, mesh, _EYE_RIGHT, angle, mirrored=False),
            self._eye_opening(bgr, mesh, _EYE_LEFT, angle, mirrored=True),
        ]
        return Pose(
            eyes=sum(eyes) / 2,
            mouth=_distance(mesh, _LIP_UPPER, _LIP_LOWER)
            / max(1e-6, _distance(mesh, _MOUTH_RIGHT, _MOUTH_LEFT)),
            yaw=_yaw(mesh),
            pitch=_pitch(mesh),
            size=_distance(mesh, _CHEEK_RIGHT, _CHEEK_LEFT) / min(bgr.shape[:2]),
        )

    def _points(self, bgr: Bgr, face: Face, angle: float) -> Mesh | None:
        x, y, w, h = face.box
        side = max(w, h) * _MESH_MARGIN
        turn = _window((x + w / 2, y + h / 2), angle, side, _MESH_SIDE)
        raw, flag = self._mesh(_tensor(bgr, turn, _MESH_SIDE))
        if flag.ravel()[0] < 0:  # a logit: less likely a face than not
            return None
        mesh = raw.reshape(468, 3)
        back = cv2.invertAffineTransform(turn)
        flat = mesh[:, :2] @ back[:, :2].T + back[:, 2]
        depth = mesh[:, 2:] * (side / _MESH_SIDE)
        return np.asarray(np.hstack([flat, depth]), np.float32)

    def _eye_opening(
        self, bgr: Bgr, mesh: Mesh, ends: tuple[int, int], angle: float, *, mirrored: bool
    ) -> float:
        """Mean distance of the lids over the distance of the eye's corners."""
        a, b = mesh[ends[0], :2], mesh[ends[1], :2]
        side = max(4.0, float(np.linalg.norm(a - b)) * _EYE_MARGIN)
        middle = (a + b) / 2
        turn = _window((float(middle[0]), float(middle[1])), angle, side, _EYE_SIDE)
        tensor = _tensor(bgr, turn, _EYE_SIDE)
        if mirrored:
            tensor = np.ascontiguousarray(tensor[:, :, ::-1])
        (raw,) = self._eye(tensor)
        points = raw.reshape(71, 3)[:, :2]
        lower, upper = points[1:8], points[9:16]  # 0 and 8 are the corners
        width = max(1e-6, float(np.linalg.norm(points[0] - points[8])))
        return float(np.linalg.norm(upper - lower, axis=1).mean()) / width


class _Net:
    def __init__(self, path: Path, threads: int, outputs: tuple[str, ...]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._net = Interpreter(str(path), num_threads=threads)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        named = {each["name"]: each["index"] for each in self._net.get_output_details()}
        self._outputs = [named[name] for name in outputs]

    def __call__(self, tensor: NDArray[np.float32]) -> list[Any]:
        self._net.set_tensor(self._input, tensor)
        self._net.invoke()
        return [self._net.get_tensor(index) for index in self._outputs]


def _tilt(face: Face) -> float:
    """Degrees by which the line of the eyes is off level."""
    x, y = face.points[1] - face.points[0]
    return float(np.degrees(np.arctan2(y, x)))


def _window(middle: tuple[float, float], angle: float, side: float, target: int) -> Any:
    """The affine map of an upright square of ``side`` pixels onto ``target`` pixels."""
    turn: Any = cv2.getRotationMatrix2D(middle, angle, target / side)
    turn[:, 2] += target / 2 - np.array(middle)
    return turn


def _tensor(bgr: Bgr, turn: Any, side: int) -> NDArray[np.float32]:
    part = cv2.warpAffine(bgr, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(part[None, :, :, ::-1].astype(np.float32) / 255)


def _distance(mesh: Mesh, a: int, b: int) -> float:
    return float(np.linalg.norm(mesh[a] - mesh[b]))


def _yaw(mesh: Mesh) -> float:
    """How much nearer, in the picture, the nose is to one cheek than to the other."""
    right, left, nose = mesh[_CHEEK_RIGHT, :2], mesh[_CHEEK_LEFT, :2], mesh[_NOSE, :2]
    to_right, to_left = np.linalg.norm(nose - right), np.linalg.norm(nose - left)
    return float((to_right - to_left) / max(1e-6, float(to_right + to_left)))


def _pitch(mesh: Mesh) -> float:
    """Angle of the line from the top of the forehead to under the nose, which no mouth moves."""
    down = mesh[_UNDER_NOSE] - mesh[_FOREHEAD]
    return float(np.degrees(np.arctan2(down[2], np.linalg.norm(down[:2]))))
