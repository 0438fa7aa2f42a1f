"""How long from accepting a call to the first picture?  Both people join afresh, over loopback.

The time runs from a page's offer to the last packet of the first key frame it gets of the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time

import uvloop

from benchmarks.client import HEADER, Client, use_address
from benchmarks.clip import clip
from benchmarks.load import Load
from benchmarks.ours import Ours, Page
from benchmarks.process import settle_on

LIMIT_MS = 300
WAIT_S = 15.0


class FirstPicture:
    """Waits for a whole key frame among the packets of one client."""

    def __init__(self, client: Client) -> None:
        self.at: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._client = client
        self._next: int | None = None
        client.on_packet = self._look

    def _look(self, packet: bytes, now: float) -> None:
        first, second, sequence, _, _ = HEADER.unpack_from(packet)
        if second & 0x7F != self._client.video.payload_type or self.at.done():
            return
        at = 12
        if first & 0x10:
            at += 4 + 4 * int.from_bytes(packet[14:16], "big")
        begins = packet[at] & 0x1F == 0x10 and not packet[at + 4] & 1  # our clip's descriptor
        if begins or sequence == self._next:
            self._next = (sequence + 1) & 0xFFFF
            if second & 0x80:
                self.at.set_result(now)
                self._client.on_packet = None


async def call(server: Ours, number: int) -> tuple[list[float], list[float]]:
    """Of one call, for each of the two: seconds to the connection, seconds to the picture."""
    load = Load(clip())
    running = asyncio.create_task(load.run())
    room = f"call-{number}"
    pages = [await server.page(room, person) for person in ("customer", "teller")]
    clients = [Client() for _ in pages]
    pictures = [FirstPicture(client) for client in clients]

    async def connect(page: Page, client: Client) -> float:
        await page.call(client)
        load.add(client)
        return time.monotonic() - client.offered_at

    pairs = zip(pages, clients, strict=True)
    connected = await asyncio.gather(*(connect(page, client) for page, client in pairs))
    seen = await asyncio.gather(*(asyncio.wait_for(one.at, WAIT_S) for one in pictures))
    running.cancel()
    for page, client in zip(pages, clients, strict=True):
        await client.close()
        await server.leave(page)
    await server.end(room)
    first = [at - client.offered_at for at, client in zip(seen, clients, strict=True)]
    return list(connected), first


async def run(calls: int, *, realtime: bool) -> dict[str, object]:
    """Make the calls one after the other."""
    use_address("127.0.0.1")
    connected: list[float] = []
    first: list[float] = []
    async with Ours(core=0, realtime=realtime) as server:
        for number in range(calls):
            up, seen = await call(server, number)
            connected += up
            first += seen
    median = 1000 * statistics.median(first)
    return {
        "benchmark": "setup",
        "calls": calls,
        "first_picture_ms": {"median": round(median), "p95": round(_p95_ms(first))},
        "connected_ms": {
            "median": round(1000 * statistics.median(connected)),
            "p95": round(_p95_ms(connected)),
        },
        "limit_ms": LIMIT_MS,
        "ok": median <= LIMIT_MS,
    }


def _p95_ms(seconds: list[float]) -> float:
    return 1000 * sorted(seconds)[int(0.95 * len(seconds))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.setup", description=__doc__)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--realtime", action="store_true", help="before others on these two cores")
    options = parser.parse_args()
    clip()
    settle_on(1, realtime=options.realtime)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(options.calls, realtime=options.realtime))
    print(json.dumps(figures), flush=True)
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
