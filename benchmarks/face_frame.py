"""What one face frame of a call costs: found, measured, described. CPU milliseconds, one thread.

The picture is the group photograph that comes with insightface, cut to one person and laid into a
frame of 1280 × 720.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from kyc.face import Face
from kyc.image import Bgr, crop
from kyc.instruments import Instruments

MAX_FRAME_MS = 40.0
_RUNS = 15


def face_frame(instruments: Instruments) -> dict[str, float]:
    """CPU milliseconds (medians): each step, a frame of the challenge, and a full description."""
    bgr = frame(instruments)
    face = instruments.faces.find(bgr)[0]
    steps: dict[str, Callable[[], object]] = {
        "face_find_ms": lambda: instruments.faces.find(bgr),
        "face_landmarks_ms": lambda: instruments.landmarks.measure(bgr, face),
        "face_describe_ms": lambda: instruments.encoder.encode(bgr, face),
        "face_describe_fully_ms": lambda: instruments.full.encode(bgr, face),
    }
    row = {name: _cost(step) for name, step in steps.items()}
    names = ("face_find_ms", "face_landmarks_ms", "face_describe_ms")
    row["face_frame_ms"] = round(sum(row[name] for name in names), 1)
    row["face_frame_met"] = float(row["face_frame_ms"] <= MAX_FRAME_MS)
    return row


def frame(instruments: Instruments) -> Bgr:
    """One person's face, a quarter of the frame's height, before a plain wall."""
    from insightface.data import get_image

    group: Bgr = get_image("t1")
    largest: Face = instruments.faces.find(group, thorough=True)[0]
    part, _ = crop(group, largest.box, 0.6)
    scale = 600 / part.shape[0]
    person = cv2.resize(part, None, fx=scale, fy=scale)[:600, :1000]
    wall = np.full((720, 1280, 3), 128, np.uint8)
    wall[60 : 60 + person.shape[0], 140 : 140 + person.shape[1]] = person
    return wall


def _cost(step: Callable[[], object]) -> float:
    step()
    taken = []
    for _ in range(_RUNS):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return round(1000 * float(np.median(taken)), 1)
