"""Does a call leave anything behind?  Recorded calls one after the other.

Memory, threads, descriptors and tasks of the server are read after a warm-up and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks.client import Client, use_address
from benchmarks.clip import clip
from benchmarks.load import Load
from benchmarks.ours import Ours
from benchmarks.process import descriptors, resident_mb, threads

LIMIT_MB = 10.0
REST_S = 1.0
"Time for connections to end before a reading."


async def call(server: Ours, number: int, seconds: float) -> None:
    """One recorded call from its beginning to its seal."""
    room = f"call-{number}"
    load = Load(clip())
    pages = [await server.page(room, person) for person in ("customer", "teller")]
    clients = [Client() for _ in pages]
    await asyncio.gather(*(page.call(client) for page, client in zip(pages, clients, strict=True)))
    load.add(*clients)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    if not all(client.packets for client in clients):
        raise RuntimeError("nothing was forwarded")
    running.cancel()
    for page, client in zip(pages, clients, strict=True):
        await client.close()
        await server.leave(page)
    await server.end(room)


async def reading(server: Ours) -> dict[str, float]:
    """What the server holds now."""
    await asyncio.sleep(REST_S)
    figures = await server.figures(collect=True)
    return {
        "rss_mb": resident_mb(server.pid),
        "threads": threads(server.pid),
        "descriptors": descriptors(server.pid),
        "tasks": figures["tasks"],
        "sessions": figures["sessions"],
    }


async def run(calls: int, warm: int, seconds: float) -> dict[str, object]:
    """Make the calls, after `warm` others that count for nothing."""
    use_address("127.0.0.1")
    with tempfile.TemporaryDirectory() as directory:
        async with Ours(record=Path(directory)) as server:
            for number in range(warm):
                await call(server, number, seconds)
            before = await reading(server)
            for number in range(warm, warm + calls):
                await call(server, number, seconds)
                for part in Path(directory).glob("*.vbr"):
                    part.unlink()
            after = await reading(server)
    growth = {name: round(after[name] - before[name], 1) for name in before}
    held = [growth[name] for name in ("threads", "descriptors", "tasks", "sessions")]
    return {
        "benchmark": "leak",
        "calls": calls,
        "before": {name: round(value, 1) for name, value in before.items()},
        "growth": growth,
        "limit_mb": LIMIT_MB,
        "ok": growth["rss_mb"] < LIMIT_MB and max(held) <= 0,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leak", description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--warm", type=int, default=20, help="calls before the first reading")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each call lasts")
    options = parser.parse_args()
    clip()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(options.calls, options.warm, options.seconds))
    print(json.dumps(figures), flush=True)
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
