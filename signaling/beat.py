"""Work that can wait a moment, done together: a program runs the same lines faster in a row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

BEAT_S = 0.03
"Less than a picture's time: whoever waits for frames does not notice."


class Beat:
    """Runs what was put off; one for all rooms of a process does most good."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def put_off(self, work: Callable[[], None]) -> None:
        """Call `work` on the running loop with the next beat."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(BEAT_S, self._run)
        self._waiting.append(work)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            try:
                work()
            except Exception:
                log.exception("x put off")
