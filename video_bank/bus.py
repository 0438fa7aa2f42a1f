"""Events from those who change things to those who watch.

Topics in use: ``login:<id>``, ``customer:<id>``, ``staff:<id>``, ``session:<id>``, ``queue``.
Delivery is at most once and in order per publisher; the truth is always the database, so a
watcher that was told it ``lagged`` reads again.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Protocol, Self

Event = dict[str, Any]

LAGGED = "lagged"
"""Topic of the mark put where events were dropped; its event is ``{"dropped": n}``."""


class Subscription(Protocol):
    """An open subscription: iterate for ``(topic, event)``; topics may come and go meanwhile."""

    def add(self, *topics: str) -> None: ...
    def remove(self, *topics: str) -> None: ...
    def __aiter__(self) -> AsyncIterator[tuple[str, Event]]: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Bus(Protocol):
    """Publish and subscribe; ``publish`` never waits and never fails for a slow watcher."""

    def publish(self, topic: str, event: Event) -> None: ...
    def subscribe(self, *topics: str) -> Subscription: ...
    async def close(self) -> None: ...


class LocalBus:
    """The bus inside one process."""

    def __init__(self, *, limit: int = 256) -> None:
        """``limit``: how many events may wait for one watcher before the oldest are dropped."""
        self._limit = limit
        self._watchers: dict[str, set[LocalSubscription]] = {}
        self._open: set[LocalSubscription] = set()

    def publish(self, topic: str, event: Event) -> None:
        """Hand ``event`` (JSON-able) to everyone subscribed to ``topic`` now."""
        # Serialised once, parsed for each: no watcher can change what another sees, and an event
        # that would not survive a wire is refused here already.
        body = json.dumps(event, allow_nan=False)
        for watcher in self._watchers.get(topic, ()):
            watcher.put(topic, body)

    def subscribe(self, *topics: str) -> "LocalSubscription":
        """A subscription that listens from ``async with`` on."""
        return LocalSubscription(self, self._limit, topics)

    async def close(self) -> None:
        """End every subscription's iteration after what already waits."""
        for subscription in tuple(self._open):
            subscription.end()

    def attach(self, subscription: "LocalSubscription", topic: str) -> None:
        self._watchers.setdefault(topic, set()).add(subscription)
        self._open.add(subscription)

    def detach(self, subscription: "LocalSubscription", topic: str) -> None:
        watchers = self._watchers.get(topic, set())
        watchers.discard(subscription)
        if not watchers:
            self._watchers.pop(topic, None)

    def forget(self, subscription: "LocalSubscription") -> None:
        self._open.discard(subscription)


class LocalSubscription:
    """One watcher's bounded waiting line."""

    def __init__(self, bus: LocalBus, limit: int, topics: tuple[str, ...]) -> None:
        self._bus = bus
        self._limit = limit
        self._topics = set(topics)
        self._waiting: deque[tuple[str, str]] = deque()
        self._dropped = 0
        self._listening = False
        self._ended = False
        self._wake = asyncio.Event()

    def add(self, *topics: str) -> None:
        """Listen to these as well."""
        self._topics.update(topics)
        if self._listening:
            for topic in topics:
                self._bus.attach(self, topic)

    def remove(self, *topics: str) -> None:
        """Listen to these no longer; what already waits still comes."""
        self._topics.difference_update(topics)
        for topic in topics:
            self._bus.detach(self, topic)

    def put(self, topic: str, body: str) -> None:
        """Called by the bus; drops the oldest when the line is full."""
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append((topic, body))
        self._wake.set()

    def end(self) -> None:
        """Called by the bus when it closes."""
        self._ended = True
        self._wake.set()

    async def __aenter__(self) -> Self:
        self._listening = True
        for topic in self._topics:
            self._bus.attach(self, topic)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening = False
        for topic in self._topics:
            self._bus.detach(self, topic)
        self._bus.forget(self)
        self.end()

    async def __aiter__(self) -> AsyncIterator[tuple[str, Event]]:
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                yield LAGGED, {"dropped": dropped}
            elif self._waiting:
                topic, body = self._waiting.popleft()
                yield topic, json.loads(body)
            elif self._ended:
                return
            else:
                self._wake.clear()
                await self._wake.wait()
