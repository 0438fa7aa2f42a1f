"""Clips of real faces, lit anew as if by the screen before them: for measuring ``screen_colours``.

Light adds up in linear light: what the room gives, and what the screen adds, less with distance.
The camera then evens exposure and white balance out, slowly and in part, adds its noise, and the
call's VP8 takes fine colour away. How strong a screen is beside a room is ``share``: a phone at
30 cm gives some 30 lux of coloured light, a dim room has 50, an office 300.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from kyc.check import Finding, Guidance
from kyc.face import Face
from kyc.image import Bgr, Frame
from kyc.liveness.colours import COLOURS, ScreenColours

FPS = 10
LONGEST = 176
_PACE = 1 / 30  # of the way to even light, that white balance goes in a picture
_BALANCED = 0.4  # of a tint that it takes away in the end
_ELSEWHERE = 0.08  # of the screen's light that reaches what is behind: the square of the distance
_BODY = 0.45
_LINEAR = ((np.arange(256) / 255) ** 2.2).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """A clip's small pictures, ten a second, each with its face."""

    name: str
    pictures: Sequence[Bgr]
    faces: Sequence[Face]

    def at(self, number: int) -> int:
        """There and back again, without a jump."""
        last = len(self.pictures) - 1
        place = number % (2 * last)
        return place if place <= last else 2 * last - place


@dataclass(frozen=True)
class Light:
    """How a screen lights what the camera sees."""

    share: float = 0.15
    "Of the room's light on the face, at the screen's mean colour."
    delay_s: float = 0.5
    uniform: bool = False
    "All over the picture, as when glass mirrors it."
    noise: float = 2.5
    kbps: int = 400


class Known:
    """A finder that knows the faces already: finding them is not what is measured."""

    def __init__(self) -> None:
        self.face: Face | None = None

    def find(self, bgr: Bgr) -> list[Face]:
        return [self.face] if self.face else []


def run(scene: Scene, light: Light, source: Any, sequence: Sequence[str] | None = None) -> Finding:
    """One check on one clip; ``sequence``: the face is lit in these colours, not those asked."""
    known = Known()
    check = ScreenColours(known)  # type: ignore[arg-type]
    camera = _Camera(scene, light, source)
    asked: list[tuple[float, str]] = []
    start = int(source.integers(0, len(scene.pictures)))
    for number in range(60 * FPS):
        now = number / FPS
        colour = _arriving(asked, now - light.delay_s, sequence)
        place = scene.at(start + number)
        known.face = scene.faces[place]
        bgr = camera.see(scene.pictures[place], scene.faces[place], colour)
        answer = check.see(Frame(bgr, int(now * 1e6)))
        if isinstance(answer, Finding):
            return answer
        assert isinstance(answer, Guidance)
        if answer.prompt and (not asked or asked[-1][1] != answer.prompt):
            asked.append((now, answer.prompt))
    raise RuntimeError("the check did not end")


def _arriving(
    asked: Sequence[tuple[float, str]], then: float, sequence: Sequence[str] | None
) -> str | None:
    place = sum(at <= then for at, _ in asked) - 1
    if place < 0:
        return None
    return asked[place][1] if sequence is None else sequence[place % len(sequence)]


class _Camera:
    """Light, exposure, white balance, noise, and the call's compression, picture by picture."""

    def __init__(self, scene: Scene, light: Light, source: Any) -> None:
        self._light, self._source = light, source
        self._gains = np.ones(3, np.float32)
        height, width = scene.pictures[0].shape[:2]
        self._encoder: Any = av.CodecContext.create("libvpx", "w")
        self._encoder.width, self._encoder.height = width, height
        self._encoder.pix_fmt, self._encoder.framerate = "yuv420p", Fraction(FPS)
        self._encoder.bit_rate = light.kbps * 1000
        self._encoder.thread_count = 1
        self._encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
        self._decoder: Any = av.CodecContext.create("vp8", "r")

    def see(self, bgr: Bgr, face: Face, colour: str | None) -> Bgr:
        linear = _LINEAR[bgr]
        if colour is not None and self._light.share:
            reach = 1.0 if self._light.uniform else _reach(bgr, face)
            linear = linear * (1 + self._light.share * reach * _emitted(colour))
        linear = linear / (1 + 0.7 * self._light.share)  # exposure
        means = linear.reshape(-1, 3).mean(axis=0)
        wanted = (means.mean() / np.maximum(means, 1e-4)) ** _BALANCED
        self._gains += _PACE * (wanted - self._gains)
        shown = 255 * np.clip(linear * self._gains, 0, 1) ** np.float32(1 / 2.2)
        shown += self._light.noise * self._source.standard_normal(shown.shape, np.float32)
        return self._sent(np.clip(shown, 0, 255).astype(np.uint8))

    def _sent(self, bgr: Bgr) -> Bgr:
        frame = av.VideoFrame.from_ndarray(bgr, "bgr24")
        for packet in self._encoder.encode(frame):
            for decoded in self._decoder.decode(packet):
                bgr = decoded.to_ndarray(format="bgr24")
        return bgr


def _emitted(colour: str) -> Any:
    """Blue, green, red of the screen's light over the mean of all colours."""
    lights = {each: _linear(each) for each in COLOURS}
    mean = np.mean([light.mean() for light in lights.values()])
    return _linear(colour) / mean


def _linear(colour: str) -> Any:
    levels = [int(colour[place : place + 2], 16) for place in (5, 3, 1)]
    return _LINEAR[levels]


def _reach(bgr: Bgr, face: Face) -> Any:
    """How much of the screen's light gets where: 1 in the middle of the face."""
    height, width = bgr.shape[:2]
    x, y, w, h = face.box
    reach = np.full((height, width), _ELSEWHERE, np.float32)
    cv2.rectangle(
        reach, (int(x - 0.7 * w), int(y + 1.1 * h)), (int(x + 1.7 * w), height), (_BODY,), -1
    )
    cv2.ellipse(reach, ((x + w / 2, y + h / 2), (1.3 * w, 1.5 * h), 0.0), (0.6,), -1)
    cv2.ellipse(reach, ((x + w / 2, y + h / 2), (0.9 * w, h), 0.0), (1.0,), -1)
    return cv2.GaussianBlur(reach, (0, 0), 0.1 * w)[:, :, None]


def scenes(clips: Sequence[tuple[str, Iterator[Frame]]], finder: Any) -> list[Scene]:
    """Small pictures and faces of clips; pictures without a face are left out."""
    made = []
    for name, frames in clips:
        pictures, faces = [], []
        for frame in frames:
            scale = LONGEST / max(frame.bgr.shape[:2])
            size = tuple(int(side * scale) // 2 * 2 for side in frame.bgr.shape[1::-1])
            small = np.asarray(cv2.resize(frame.bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
            found = finder.find(small)
            if found:
                pictures.append(small)
                faces.append(found[0])
        made.append(Scene(name, pictures, faces))
    return made
