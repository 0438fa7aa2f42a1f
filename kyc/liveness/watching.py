"""What each picture of a recording shows, for :mod:`kyc.liveness.recorded`."""

from __future__ import annotations

from collections.abc import Iterable

from kyc.face import Embedding, FaceEncoder, FaceFinder, fuse, likeness, principal
from kyc.image import Bgr, Frame
from kyc.liveness.approach import Rest
from kyc.liveness.challenge import GREW, Observation
from kyc.liveness.check import COMPARE_US, FIRST_LOOKS, FRONTAL, SAME
from kyc.liveness.landmarks import Landmarks, Mesh, Pose


class Watching:
    """Looks at a clip from its start, picture by picture."""

    def __init__(self, finder: FaceFinder, encoder: FaceEncoder, landmarks: Landmarks) -> None:
        self._finder = finder
        self._encoder = encoder
        self._landmarks = landmarks
        self._first: list[Embedding] = []
        self._compared_us = -COMPARE_US
        self._rest: Rest | None = None
        self._size = 0.0

    def trace(self, frames: Iterable[Frame]) -> list[Observation]:
        """One observation a frame."""
        return [self.see(frame) for frame in frames]

    def see(self, frame: Frame) -> Observation:
        """One more picture."""
        face, trouble = principal(self._finder.find(frame.bgr))
        if face is None:
            return Observation(frame.media_time_us, 2 if trouble == "one_face_only" else 0)
        mesh = self._landmarks.mesh(frame.bgr, face)
        if mesh is None:
            return Observation(frame.media_time_us, 0)
        same = None
        if frame.media_time_us - self._compared_us >= COMPARE_US and abs(face.yaw) <= FRONTAL:
            self._compared_us = frame.media_time_us
            same = self._same(self._encoder.encode(frame.bgr, face))
        pose = self._landmarks.pose(frame.bgr, face, mesh)
        approach = self._approach(frame.bgr, mesh, pose)
        return Observation(frame.media_time_us, 1, pose, same, approach)

    def _same(self, seen: Embedding) -> bool:
        if len(self._first) < FIRST_LOOKS:
            self._first.append(seen)
            return likeness(self._first[0], seen) >= SAME
        return likeness(fuse(self._first, [1.0] * FIRST_LOOKS), seen) >= SAME

    def _approach(self, bgr: Bgr, mesh: Mesh, pose: Pose) -> float | None:
        """Compared with the first picture: a clip that means to come closer begins far off."""
        if self._rest is None:
            self._rest, self._size = Rest(bgr, mesh), pose.size
            return None
        return self._rest.perspective(bgr, mesh) if pose.size > GREW * self._size else None
