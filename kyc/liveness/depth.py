"""Is it a head that moves, or a picture of one?

The share of the movement left over when everything a flat or gently bent sheet can do has been
taken away: a head turns its nose before its cheeks, and moves its face. Only windows in which
there was something to see count: perspective or depth moved the corners by more than a plain
shift, turn and scale explain.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from kyc.liveness.signal import Signal
from kyc.liveness.tracks import Window

ENOUGH = 0.006  # residual after the similarity, in face widths, below which nothing can be told
ROUND = 0.34  # the share above which it is a head
WINDOWS = 2


def judge(windows: Iterable[Window]) -> Signal:
    """The signal ``depth``, from all windows of a session."""
    shares = [each.sheet / each.similarity for each in windows if each.similarity >= ENOUGH]
    values = {"moving": len(shares)}
    if len(shares) < WINDOWS:
        return Signal.missing("depth", "little_motion", hint=False, **values)
    score = statistics.median(shares)
    return Signal.measured("depth", score, ROUND, ("round", "flat"), hint=False, values=values)
