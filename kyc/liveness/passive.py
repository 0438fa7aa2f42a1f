"""The passive signals, always on: what the pictures of a face tell without asking for anything.

Each says for itself passed, failed or not checked, and stands in ``values.signals``. ``depth`` and
``motion`` may fail a person; the others are hints for one who decides (README, "Passive").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from kyc.check import Finding, Picture, Verdict
from kyc.face import Face, principal
from kyc.image import Bgr, Frame, crop, jpeg
from kyc.liveness import colour, depth, motion, pulse, screen
from kyc.liveness.signal import Signal
from kyc.liveness.tracks import Tracks

LOOK_US = 1_000_000  # fine structure is looked at this often
KEPT = 600  # looks and windows: ten minutes
SPARSE = 16  # every so many pixels of a picture tell whether it is the one before


class Passive:
    """Watches the one face of the picture for as long as frames come."""

    name = "passive"

    def __init__(self, models: dict[str, str] | None = None) -> None:
        self._models = models or {}
        self._tracks = Tracks()
        self._before: Any = None
        self.pictures = self._repeated = self._faces = 0
        self._shown: Picture | None = None
        self._screens: list[screen.Look] = []
        self._colours: list[colour.Look] = []
        self._skin: deque[pulse.Sample] = deque(maxlen=KEPT)
        self._looked_us = -LOOK_US

    def see(self, frame: Frame, faces: Sequence[Face], points: Any = None) -> None:
        """One more frame with the faces found on it; ``points`` (468, 3) where there is a mesh."""
        face, _ = principal(faces)
        self.pictures += 1
        self._repeated += self._same(frame.bgr)
        self._tracks.see(frame.bgr, face, frame.media_time_us)
        if face is None:
            return
        self._faces += 1
        skin = colour.look(frame.bgr, face)
        if skin is not None:
            middle = (face.box[0] + face.box[2] / 2) / max(1.0, face.box[2])
            self._skin.append((frame.media_time_us, skin.mean, middle))
        if frame.media_time_us - self._looked_us >= LOOK_US and len(self._screens) < KEPT:
            self._looked_us = frame.media_time_us
            self._look(frame, face, skin)

    def _look(self, frame: Frame, face: Face, skin: colour.Look | None) -> None:
        fine = screen.look(frame.bgr, face)
        if fine is not None:
            self._screens.append(fine)
        if skin is not None:
            self._colours.append(skin)
        if self._shown is None:
            seen, _ = crop(frame.bgr, face.box, 0.5)
            self._shown = Picture("face", jpeg(seen), frame.media_time_us)

    def signals(self) -> list[Signal]:
        """What each signal says now."""
        windows = self._tracks.windows
        return [
            depth.judge(windows),
            motion.judge(windows, self._repeated, self.pictures),
            screen.judge(self._screens),
            colour.judge(self._colours),
            pulse.judge(self._skin),
        ]

    def finding(self, media_time_us: int) -> Finding:
        """All of it as one answer. ``score``: the smallest of the deciding signals' scores over
        their thresholds, so 1 is the threshold.
        """
        signals = self.signals()
        verdict, reason = decide(signals) if self._faces else (Verdict.NOT_CHECKED, "no_face")
        margins = [
            each.score / each.threshold
            for each in signals
            if not each.hint and each.score is not None and each.threshold
        ]
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(min(margins), 4) if margins else None,
            threshold=1.0 if margins else None,
            values={
                "signals": {each.name: each.view() for each in signals},
                "pictures": self.pictures,
                "faces": self._faces,
            },
            pictures=[self._shown] if self._shown else [],
            models=self._models,
            media_time_us=media_time_us,
        )

    def _same(self, bgr: Bgr) -> bool:
        """Whether the picture is exactly the one before; no camera's noise repeats itself."""
        sparse = bgr[::SPARSE, ::SPARSE].copy()
        before, self._before = self._before, sparse
        return before is not None and bool(np.array_equal(before, sparse))


def decide(signals: Sequence[Signal]) -> tuple[Verdict, str]:
    """One failure outweighs all else. Only depth passes: that something moves is not enough."""
    failed = [each for each in signals if each.verdict is Verdict.FAILED and not each.hint]
    if failed:
        return Verdict.FAILED, failed[0].reason
    depth_seen = next(each for each in signals if each.name == "depth")
    return depth_seen.verdict, depth_seen.reason
