"""What does each further viewer cost?  Somebody sends 720p, others only watch.

The same rooms are measured with one viewer each and with more; the difference is theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time

import uvloop

from benchmarks.client import Client, use_address
from benchmarks.clip import clip
from benchmarks.load import Load
from benchmarks.media import WARM_S
from benchmarks.ours import Ours
from benchmarks.process import cpu_s, settle_on

LIMIT_PERCENT = 0.3
MOST = 6
"A room holds six people and a supervisor."


async def percent(options: argparse.Namespace, viewers: int) -> float:
    """Share of a core that the rooms take with so many viewers in each."""
    async with Ours(core=0, realtime=options.realtime) as server:
        load = Load(clip())
        for room in range(options.rooms):
            clients = [Client(), *(Client(sends=False) for _ in range(viewers))]
            for number, client in enumerate(clients):
                await server.seat(f"room-{room}", f"person-{number}", client)
            load.add(*clients)
        gc.collect()
        gc.freeze()
        running = asyncio.create_task(load.run())
        await asyncio.sleep(options.warm)
        busy, began = cpu_s(server.pid), time.monotonic()
        seen = await load.measure(options.seconds)
        passed = time.monotonic() - began
        busy = cpu_s(server.pid) - busy
        running.cancel()
        for person in load.people:
            await person.client.close()
        wanted = options.rooms * viewers * 25
        frames = float(str(seen["fps"])) * len(load.people)
        if frames < 0.9 * wanted or seen["lost"]:
            raise RuntimeError(f"viewers saw {frames:.0f} of {wanted} pictures a second")
        return 100 * busy / passed


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Measure with one viewer and with more."""
    use_address("127.0.0.1")
    one = await percent(options, 1)
    many = await percent(options, options.viewers)
    each = (many - one) / options.rooms / (options.viewers - 1)
    return {
        "benchmark": "viewers",
        "rooms": options.rooms,
        "viewers": options.viewers,
        "core_percent_one_viewer": round(one, 1),
        "core_percent_all": round(many, 1),
        "core_percent_per_further_viewer": round(each, 3),
        "limit": LIMIT_PERCENT,
        "ok": each <= LIMIT_PERCENT,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewers", description=__doc__)
    parser.add_argument("--rooms", type=int, default=4)
    parser.add_argument("--viewers", type=int, default=5, choices=range(2, MOST + 1))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warm", type=float, default=WARM_S, help="seconds before it counts")
    parser.add_argument("--realtime", action="store_true", help="before others on these two cores")
    options = parser.parse_args()
    clip()
    settle_on(1, realtime=options.realtime)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(options))
    print(json.dumps(figures), flush=True)
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
