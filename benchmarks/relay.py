"""A bad line of our own: a UDP relay between a client and the server, the same each time it runs.

It stands in the place of the server's address in the answer, so everything goes through it: ICE,
DTLS, media and reports, each way by a `Lane`.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]
KNOT_S = 0.02
"The delay wanders from one random value to the next in this time; order holds all the same."
_CANDIDATE = re.compile(r"(a=candidate:\S+ \d+ udp \d+ )(\S+) (\d+)( typ host)", re.IGNORECASE)


@dataclass(frozen=True)
class Trouble:
    """What a lane does to packets."""

    loss: float = 0.0
    "Share of packets that vanish."
    delay_s: float = 0.0
    jitter_s: float = 0.0
    "The delay varies by so much to both sides."
    reorder: float = 0.0
    "Share of packets that come up to `jitter_s` later than their neighbours."
    bps: float = float("inf")
    "Bits a second the lane carries, headers of IP and UDP included."
    queue_s: float = 0.3
    "What waits longer than this for the lane is dropped."


class Lane:
    """One direction."""

    def __init__(self, trouble: Trouble, seed: int) -> None:
        self._trouble = trouble
        self._chance = random.Random(seed)
        self._knots = (self._chance.random(), self._chance.random())
        self._knot = 0
        self._free_at = self._last_at = 0.0
        self.carried = self.lost = self.overflowed = 0

    def leaves(self, size: int, now: float) -> float | None:
        """When a packet of `size` bytes that comes now goes on; None if it is lost."""
        trouble, chance = self._trouble, self._chance
        if chance.random() < trouble.loss:
            self.lost += 1
            return None
        out = max(now, self._free_at) + (size + 28) * 8 / trouble.bps
        if out - now > trouble.queue_s:
            self.overflowed += 1
            return None
        self._free_at = out
        self.carried += 1
        delay = trouble.delay_s + 2 * trouble.jitter_s * self._wander(now)
        self._last_at = max(self._last_at, out + delay)
        if chance.random() < trouble.reorder:
            return self._last_at + trouble.jitter_s * chance.random()
        return self._last_at

    def _wander(self, now: float) -> float:
        knot, part = divmod(now / KNOT_S, 1)
        if knot != self._knot:
            self._knot, self._knots = int(knot), (self._knots[1], self._chance.random())
        return self._knots[0] + (self._knots[1] - self._knots[0]) * part


class _Door(asyncio.DatagramProtocol):
    """One socket of the relay."""

    transport: Any

    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._received(data, (addr[0], addr[1]))


class Relay:
    """Between one client and the server."""

    def __init__(self, to_server: Trouble, to_client: Trouble, seed: int) -> None:
        self.to_server, self.to_client = Lane(to_server, seed), Lane(to_client, seed + 1)
        self._client: Address | None = None
        self._server: Address | None = None
        self._outer = _Door(self._from_client)
        self._inner = _Door(self._from_server)

    async def detour(self, answer: str) -> str:
        """Open the relay; the answer with it in the server's place."""
        loop = asyncio.get_running_loop()
        for door in (self._outer, self._inner):
            await loop.create_datagram_endpoint(lambda door=door: door, ("127.0.0.1", 0))  # type: ignore[misc]
        found = _CANDIDATE.search(answer)
        if found is None:
            raise ValueError("the answer names no candidate")
        self._server = found[2], int(found[3])
        port = self._outer.transport.get_extra_info("sockname")[1]
        # each section names it again; aiortc would try the true one among them
        return _CANDIDATE.sub(rf"\g<1>127.0.0.1 {port}\4", answer)

    def close(self) -> None:
        """End it."""
        self._outer.transport.close()
        self._inner.transport.close()

    def _from_client(self, data: bytes, source: Address) -> None:
        self._client = source
        if self._server is not None:
            self._pass(self.to_server, data, self._inner, self._server)

    def _from_server(self, data: bytes, source: Address) -> None:
        if self._client is not None:
            self._pass(self.to_client, data, self._outer, self._client)

    def _pass(self, lane: Lane, data: bytes, door: _Door, target: Address) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        at = lane.leaves(len(data), now)
        if at is None:
            return
        if at - now < 0.001:
            door.transport.sendto(data, target)
        else:
            loop.call_at(at, self._send, door, data, target)

    def _send(self, door: _Door, data: bytes, target: Address) -> None:
        if not door.transport.is_closing():
            door.transport.sendto(data, target)
