"""Rate limits, in this process."""

import math
import time
from collections.abc import Callable

from video_bank.errors import TooMany

KEYS_LIMIT = 20_000


class Rate:
    """So many a period for each key, evenly refilled (a token bucket kept as one time a key)."""

    def __init__(
        self, limit: int, period_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``limit`` at once, and as many again over each ``period_s`` seconds."""
        self._step = period_s / limit
        self._burst = period_s - self._step
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def take(self, key: str) -> None:
        """Count one for ``key``.  Raises :class:`TooMany` when its bucket is empty."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        if full_at - now > self._burst:
            raise TooMany(math.ceil(full_at - now - self._burst))
        if len(self._full_at) >= KEYS_LIMIT:
            self._forget(now)
        self._full_at[key] = full_at + self._step

    def _forget(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        # Still too many: a flood from everywhere; the oldest buckets are dropped, full or not.
        for key in list(self._full_at)[: max(0, len(self._full_at) - KEYS_LIMIT // 2)]:
            del self._full_at[key]
