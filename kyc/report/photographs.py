"""Photographs held before a camera: moved, bent and zoomed, in pictures made for measuring.

Geometry: a pinhole camera; the paper is a plane or part of a cylinder, turned and shifted by a
hand that sways and trembles. Each pixel's ray is met with the paper (exactly, on every eighth
pixel, in between linearly). Then what a camera does: blur, exposure, noise. Lengths are in widths
of the photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from kyc.face import Face
from kyc.image import Bgr, Frame

WIDTH, HEIGHT = 480, 360
FPS = 10
KINDS = ("print", "bent", "zoomed")
_STEP = 8
_FOCAL = 1.3 * WIDTH  # about 42 degrees across, a webcam's
_CENTRE = np.array([WIDTH / 2, HEIGHT / 2])


@dataclass(frozen=True)
class Photograph:
    """A picture and the face in it."""

    bgr: Bgr
    face: Face


@dataclass(frozen=True)
class Held:
    """How the photograph is held at one moment."""

    turn: Any
    "3 × 3."
    shift: Any
    "Of the paper's middle, from the camera."
    curve: float
    "One over the radius of the bend; 0 is flat."
    axis: float
    "Direction across the bend, radians."


def show(
    photograph: Photograph, kind: str, chance: np.random.Generator, seconds: float
) -> Iterator[tuple[Frame, Face]]:
    """An attack's pictures with the face in each, carried along with the paper.

    The face is not looked for: the attacker's luck is that it is always found.
    """
    count = int(seconds * FPS) + 1
    moments = _hold(photograph, kind, chance, np.arange(count) / FPS)
    gain = 1 + _sway(chance, np.arange(count) / FPS, 0.08)
    blur, noise = chance.uniform(0, 1.1), chance.uniform(1, 4)
    wall = cv2.GaussianBlur(cv2.resize(photograph.bgr[::-1], (WIDTH, HEIGHT)), (0, 0), 12)
    for number, held in enumerate(moments):
        picture = _picture(photograph.bgr, held, wall)
        if blur > 0.4:
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        x, y = chance.integers(0, _SPARE, 2)
        grain = _NOISE[y : y + HEIGHT, x : x + WIDTH]
        exposed = cv2.convertScaleAbs(picture, alpha=float(gain[number]))
        grained = cv2.addWeighted(exposed, 1.0, grain, noise / 4, 0, dtype=cv2.CV_16S)
        shown = np.clip(grained, 0, 255).astype(np.uint8)
        yield Frame(shown, number * 1_000_000 // FPS), _carried(photograph, held)


_SPARE = 128
_NOISE = np.clip(
    np.random.default_rng(0).normal(0, 4, (HEIGHT + _SPARE, WIDTH + _SPARE, 3)), -30, 30
).astype(np.int16)


def _sway(chance: np.random.Generator, times: Any, reach: float) -> Any:
    """A slow wandering of about this reach: two swings of random pace."""
    swings = [
        reach * chance.uniform(0.3, 1) * np.sin(2 * np.pi * pace * times + start)
        for pace, start in zip(chance.uniform(0.1, 0.6, 2), chance.uniform(0, 6.3, 2), strict=True)
    ]
    return np.sum(swings, axis=0)


def _hold(photograph: Photograph, kind: str, chance: np.random.Generator, times: Any) -> list[Held]:
    """The hand's way: anything from hardly moving to turning the paper by 60 degrees."""
    height, width = photograph.bgr.shape[:2]
    x, y, w, h = photograph.face.box
    middle = np.array([(x + w / 2 - width / 2) / width, (y + h / 2 - height / 2) / width, 0.0])
    away = _FOCAL * (w / width) / chance.uniform(80, 165)  # the face so many pixels wide
    reach = chance.uniform(0.2, 1.4)
    turns = [_sway(chance, times, reach * each) for each in (0.25, 0.5, 0.12)]
    shifts = [_sway(chance, times, reach * 0.05 * away) for _ in range(3)]
    trembling = chance.normal(0, 0.0015, (len(times), 3))
    zoom = 1 + (_sway(chance, times, 0.25) if kind == "zoomed" else np.zeros(len(times)))
    curve = np.zeros(len(times))
    if kind == "bent":
        bend = chance.uniform(0.3, 2.0) * chance.choice([-1, 1])
        curve = bend * (1 + (_sway(chance, times, 0.4) if chance.random() < 0.5 else 0 * times))
    axis = float(chance.choice([0, np.pi / 2, chance.uniform(0, np.pi)]))
    held = []
    for number in range(len(times)):
        angles = np.array([each[number] for each in turns]) + trembling[number]
        turn = cv2.Rodrigues(angles)[0]
        shift = np.array([each[number] for each in shifts]) + [0, 0, away]
        held.append(Held(turn, shift / zoom[number] - turn @ middle, float(curve[number]), axis))
    return held


_GRID = np.stack(
    np.meshgrid(np.arange(0, WIDTH + 1, _STEP), np.arange(0, HEIGHT + 1, _STEP)), axis=-1
).astype(np.float64)
_RAYS = np.concatenate([(_GRID - _CENTRE) / _FOCAL, np.ones((*_GRID.shape[:2], 1))], axis=-1)


def _picture(bgr: Bgr, held: Held, wall: Any) -> Any:
    height, width = bgr.shape[:2]
    on_paper = _met(held)
    across = _between(on_paper[..., 0] * width + width / 2)
    down = _between(on_paper[..., 1] * width + height / 2)
    picture = wall.copy()
    cv2.remap(bgr, across, down, cv2.INTER_LINEAR, dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    return picture


def _between(nodes: Any) -> Any:
    """A value for each pixel from those at every eighth one."""
    rows, columns = nodes.shape
    wide = cv2.resize(
        nodes.astype(np.float32), ((columns - 1) * _STEP + _STEP, (rows - 1) * _STEP + _STEP)
    )
    # Pixels of a resized picture lie half a cell off its corners.
    half = _STEP // 2
    return wide[half : half + HEIGHT, half : half + WIDTH]


def _met(held: Held) -> Any:
    """Where each ray meets the paper, shape (rows, columns, 2); far off where it does not."""
    origin = -held.turn.T @ held.shift
    rays = _RAYS @ held.turn
    cos, sin, bend = np.cos(held.axis), np.sin(held.axis), held.curve or 1e-9
    o = np.array([origin[0] * cos + origin[1] * sin, origin[1] * cos - origin[0] * sin, origin[2]])
    d0 = rays[..., 0] * cos + rays[..., 1] * sin
    d1 = rays[..., 1] * cos - rays[..., 0] * sin
    d2 = rays[..., 2]
    # The bent paper in section is the circle bend (x² + z²) = 2 z.
    a = bend * (d0**2 + d2**2)
    b = bend * (o[0] * d0 + o[2] * d2) - d2
    c = bend * (o[0] ** 2 + o[2] ** 2) - 2 * o[2]
    under = b * b - a * c
    # Of the two sides of the circle the one a flat sheet would become.
    way = c / (np.sqrt(np.maximum(under, 0)) - b)
    x, y, z = o[0] + way * d0, o[1] + way * d1, o[2] + way * d2
    along = np.arctan2(bend * x, 1 - bend * z) / bend
    along[(under < 0) | (way <= 0) | (np.abs(bend * along) > 1.5)] = 99.0
    return np.stack([along * cos - y * sin, along * sin + y * cos], axis=-1)


def _carried(photograph: Photograph, held: Held) -> Face:
    """The face's box and points where the camera sees them now."""
    height, width = photograph.bgr.shape[:2]
    x, y, w, h = photograph.face.box
    outline = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
    spots = (np.array([*outline, *photograph.face.points]) - [width / 2, height / 2]) / width
    cos, sin, bend = np.cos(held.axis), np.sin(held.axis), held.curve or 1e-9
    along, beside = spots @ [cos, sin], spots @ [-sin, cos]
    x3 = np.sin(bend * along) / bend
    z3 = (1 - np.cos(bend * along)) / bend
    solid = np.stack([x3 * cos - beside * sin, x3 * sin + beside * cos, z3], axis=-1)
    seen = solid @ held.turn.T + held.shift
    flat = seen[:, :2] / seen[:, 2:] * _FOCAL + _CENTRE
    low, high = flat[:4].min(axis=0), flat[:4].max(axis=0)
    box = (float(low[0]), float(low[1]), *(float(each) for each in high - low))
    return Face((box[0], box[1], box[2], box[3]), flat[4:].astype(np.float32), 1.0)
