"""Micro-motion: no living face keeps quite still.

The corners of a picture that is held still, or moved as one piece, stay where their common map
takes them but for the camera's noise; a face breathes, blinks and speaks. Measured in calm windows
only, where following errs least.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from kyc.liveness.signal import Signal
from kyc.liveness.tracks import Window

CALM = 0.006  # residual after the similarity, in face widths: more is a turning head's, or a hand's
ALIVE = 0.0015  # face widths
WINDOWS = 3


def judge(windows: Iterable[Window], repeated: int, pictures: int) -> Signal:
    """The signal ``motion``; ``repeated`` of ``pictures`` were exactly the one before."""
    values = {"repeated": repeated, "pictures": pictures}
    if pictures >= 20 and repeated > 0.8 * pictures:
        return Signal.measured("motion", 0.0, ALIVE, ("alive", "frozen"), hint=False, values=values)
    calm = [each.live for each in windows if each.similarity < CALM]
    if len(calm) < WINDOWS:
        return Signal.missing("motion", "too_short", hint=False, **values)
    score = statistics.median(calm)
    return Signal.measured("motion", score, ALIVE, ("alive", "still"), hint=False, values=values)
