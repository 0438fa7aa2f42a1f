"""One thread for all recordings of the process, and a few that wait for the medium.

A thread for each recording would wake hundreds of times a second on a busy server and quarrel
with the event loop over the interpreter.  The clerk goes round the desks instead; what may take
long (fdatasync, ending a part) is done by hands of its own, so that no desk waits for another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

ROUND_S = 0.05
"""How often a desk is looked at."""
EARLY_S = 0.01
"""Desks due so soon are done with those that are due: fewer wakings."""
HANDS = 4
WAITING_HANDS = 16
"""They wait for a signer outside; one that hangs must not keep those from the medium's work."""


class Desk(Protocol):
    """What has work for the clerk now and then."""

    def work(self, now: float) -> bool:
        """Do what there is; false when there will be none any more. Never raises."""


class Clerk:
    """Goes round the desks while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._desks: deque[tuple[float, Desk]] = deque()
        """(when it is due, desk), the next one first."""
        self._running = False
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="recorder-sync")
        self._waiting = ThreadPoolExecutor(WAITING_HANDS, thread_name_prefix="recorder-sign")

    def take(self, desk: Desk) -> None:
        """Look after one more desk."""
        with self._lock:
            self._desks.append((time.monotonic() + ROUND_S, desk))
            if not self._running:
                self._running = True
                # A daemon: an interpreter that ends without `finish` leaves what a crash leaves.
                threading.Thread(target=self._run, name="recorder", daemon=True).start()

    def hand(self, task: Callable[[], None]) -> None:
        """Have something done that may take long; `task` must not raise."""
        self._hands.submit(task)

    def wait(self, task: Callable[[], None]) -> None:
        """The same for what waits for a signer outside."""
        self._waiting.submit(task)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._desks:
                    self._running = False
                    return
                due = self._desks[0][0]
            time.sleep(max(0.0, due - time.monotonic()))
            self._go_round(time.monotonic() + EARLY_S)

    def _go_round(self, until: float) -> None:
        """Every desk that is due until then."""
        while self._desks and self._desks[0][0] <= until:
            _, desk = self._desks.popleft()
            if desk.work(time.monotonic()):
                # Others may add desks meanwhile, due as late as this one: the order holds.
                self._desks.append((time.monotonic() + ROUND_S, desk))


clerk = Clerk()
