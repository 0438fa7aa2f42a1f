"""Drawn cards tilted before a camera, and what an attacker would move there instead."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from kyc.image import Bgr, Frame
from kyc.report.specimens import HEIGHT, WIDTH

KINDS = ("card", "matt print", "print with a lamp in it", "screen", "pushed about")
_FOCAL, _FRAMES, _APART_US = 1100.0, 24, 125_000


def frames(card: Bgr, chance: np.random.Generator, kind: str) -> list[Frame]:
    """Three seconds at 8 frames a second, 1280 × 720.

    ``card``: laminate that mirrors a lamp (Blinn-Phong), which stands where some view of the card
    mirrors it; where no lamp does, no card can show it. ``matt print``: none of it.
    ``print with a lamp in it``: a photograph of a card with its highlight, printed matt.
    ``screen``: dims with the angle, mirrors next to nothing. ``pushed about``: turned in its own
    plane, shifted and zoomed, never tilted.
    """
    poses = _poses(chance, kind == "pushed about")
    turn, at = poses[chance.integers(len(poses))]
    lamp = _mirrored_place(chance, turn, at)
    gloss = {"card": chance.uniform(50, 160), "screen": chance.uniform(0, 6)}.get(kind, 0.0)
    sharp = chance.uniform(25, 140) if kind == "card" else 6.0
    if kind == "print with a lamp in it":
        card = _lit_print(card, chance)
    ground = np.asarray(chance.uniform(30, 140, 3), np.float32)
    shown = []
    for number, (turn, at) in enumerate(poses):
        picture = _seen(card, turn, at, lamp, (gloss, sharp), kind, ground)
        picture += chance.standard_normal(picture.shape, np.float32) * 2.0
        seen = np.clip(cv2.GaussianBlur(picture, (0, 0), 0.7), 0, 255).astype(np.uint8)
        shown.append(Frame(seen, number * _APART_US))
    return shown


def _poses(chance: np.random.Generator, flat: bool) -> list[tuple[Any, Any]]:
    """Rotation and place (mm) of the card in every frame, held by a hand."""
    swing = np.radians(chance.uniform(14, 28, 2) * (1.0, chance.uniform(0.2, 0.7)))
    pace, phase = chance.uniform(0.8, 1.4), chance.uniform(0, 0.6)
    drift = chance.uniform(-8, 8, (2, 2))
    poses = []
    for number in range(_FRAMES):
        beat = 2 * np.pi * pace * number * _APART_US / 1e6 / 1.6 + phase
        yaw, pitch = swing * (np.sin(beat), np.cos(0.9 * beat) - np.cos(phase))
        roll, away = np.radians(4 * np.sin(0.7 * beat)), 125 + 6 * np.sin(0.6 * beat)
        if flat:
            roll, away, yaw, pitch = 3 * roll, away + 18 * np.sin(beat), 0.0, 0.0
        turn = np.eye(3)
        for axis in ((pitch, 0.0, 0.0), (0.0, yaw, 0.0), (0.0, 0.0, roll)):
            turn = turn @ cv2.Rodrigues(np.array(axis))[0]
        shift = drift[0] * np.sin(beat) + drift[1] * np.cos(0.5 * beat)
        poses.append((turn, np.array([*shift, away])))
    return poses


def _mirrored_place(chance: np.random.Generator, turn: Any, at: Any) -> Any:
    """Where a lamp must stand to be mirrored by some place of the card in this pose."""
    place = turn[:, :2] @ chance.uniform((-32, -18), (32, 18)) + at
    ray, normal = place / np.linalg.norm(place), turn[:, 2]
    away = ray - 2 * (ray @ normal) * normal
    return place + away * chance.uniform(300, 1500)


def _seen(
    card: Bgr, turn: Any, at: Any, lamp: Any, gloss: tuple[float, float], kind: str, ground: Any
) -> Any:
    """One picture. Millimetres; the camera stands at the origin and looks along z."""
    wide, tall, mm = 1280, 720, 85.6 / WIDTH
    camera = np.array([[_FOCAL, 0, wide / 2], [0, _FOCAL, tall / 2], [0, 0, 1]])
    to_card = np.array([[mm, 0, -WIDTH * mm / 2], [0, mm, -HEIGHT * mm / 2], [0, 0, 1]])
    project = camera @ np.column_stack([turn[:, 0], turn[:, 1], at]) @ to_card
    step = 10  # light changes slowly: worked out on every tenth pixel
    down, across = np.mgrid[0:HEIGHT:step, 0:WIDTH:step]
    flat = np.stack([across * mm - WIDTH * mm / 2, down * mm - HEIGHT * mm / 2], axis=-1)
    place = flat @ turn[:, :2].T + at
    normal = -turn[:, 2]
    to_eye = -place / np.linalg.norm(place, axis=-1, keepdims=True)
    to_lamp = lamp - place
    to_lamp /= np.linalg.norm(to_lamp, axis=-1, keepdims=True)
    half = to_eye + to_lamp
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    mirrored = gloss[0] * np.clip(half @ normal, 0, 1) ** (4 * gloss[1])
    diffuse = 0.5 + 0.35 * np.clip(to_lamp @ normal, 0, 1)
    if kind == "screen":
        diffuse = np.clip(to_eye @ normal, 0, 1) ** 1.5
    size = (WIDTH, HEIGHT)
    lit = card * cv2.resize(diffuse.astype(np.float32), size)[:, :, None]
    lit = lit + cv2.resize(mirrored.astype(np.float32), size)[:, :, None]
    over = cv2.warpPerspective(np.ones((HEIGHT, WIDTH), np.float32), project, (wide, tall))
    laid = cv2.warpPerspective(lit.astype(np.float32), project, (wide, tall))
    return ground * (1 - over[:, :, None]) + laid * over[:, :, None]


def _lit_print(card: Bgr, chance: np.random.Generator) -> Bgr:
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    x, y = chance.uniform((200, 150), (800, 480))
    away = ((across - x) / chance.uniform(60, 140)) ** 2 + (
        (down - y) / chance.uniform(60, 140)
    ) ** 2
    return np.asarray(np.clip(card + 110 * np.exp(-away / 2)[:, :, None], 0, 255).astype(np.uint8))
