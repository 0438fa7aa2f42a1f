"""How does a call stand a bad line?  Robots through a relay of ours that spoils the packets.

One publishes with a real encoder, the other watches; the line of one of them is bad.  Measured:
time frozen and sound heard by the viewer, and how far sound and pictures of the recording are
apart.  The cases run one after the other: encoders side by side would want more than one core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.client import Client, use_address
from benchmarks.ours import Ours
from benchmarks.process import settle_on
from benchmarks.relay import Relay, Trouble
from benchmarks.robot import LADDER, Recorded, Robot
from benchmarks.watch import Watch

NONE = Trouble()
LOSSY = Trouble(loss=0.05, delay_s=0.01, jitter_s=0.05, reorder=0.01)
NARROW = Trouble(delay_s=0.02, bps=300_000, queue_s=0.5)
ALIVE_S = 5.0
"From here on it counts how long pictures stand still on a narrow line."
LATE_S = 0.1
"Robots so far behind their time did not measure the line: the machine was busy."
FROZEN, LONGEST_S, HEARD, SKEW_MS = 0.05, 0.5, 0.98, 80.0


@dataclass(frozen=True)
class Case:
    """Whose line is bad, and how: from the publisher, to the publisher, to the viewer, from it."""

    name: str
    publisher: tuple[Trouble, Trouble] = (NONE, NONE)
    viewer: tuple[Trouble, Trouble] = (NONE, NONE)


CASES = (
    Case("viewer_loss", viewer=(LOSSY, LOSSY)),
    Case("publisher_loss", publisher=(LOSSY, LOSSY)),
    Case("viewer_narrow", viewer=(NONE, NARROW)),
    Case("publisher_narrow", publisher=(NARROW, NONE)),
)


async def play(server: Ours, case: Case, seconds: float, seed: int, directory: Path) -> Any:
    """One case; its figures."""
    sender, viewer = Client(), Client(sends=False)
    relays = [Relay(*case.publisher, seed), Relay(*case.viewer, seed + 2)]
    # aioice's answers come from the server's side first, so the relay knows both ends by then
    for person, client, relay in zip(("customer", "teller"), (sender, viewer), relays, strict=True):
        page = await server.page(case.name, person)
        await page.call(client, relay.detour)
    robot, watch = Robot(sender), Watch(viewer)
    running = [asyncio.create_task(robot.run()), asyncio.create_task(_care(watch))]
    start = time.monotonic()
    await asyncio.sleep(seconds)
    end = time.monotonic()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    sealed = await server.end(case.name)
    for client in (sender, viewer):
        await client.close()
    for relay in relays:
        relay.close()
    recorded = await asyncio.to_thread(Recorded, directory, sealed["part"], sealed["dek"])
    return _judged(case, watch, robot, recorded, viewer.remb_bps, start, end)


async def _care(watch: Watch) -> None:
    while True:
        await asyncio.sleep(0.02)
        watch.care(time.monotonic())


def _judged(
    case: Case,
    watch: Watch,
    robot: Robot,
    recorded: Recorded,
    viewer_bps: float,
    start: float,
    end: float,
) -> dict[str, Any]:
    """Figures and verdict. A moment is left at the start for the first key frame."""
    watch.finish()
    narrow = NARROW in (*case.publisher, *case.viewer)
    # pictures of the last moment are still on their way
    alive = watch.alive_after(start, end - 1.0)
    frozen, longest = watch.freezes(start + (ALIVE_S if narrow else 1.0), end - 1.0)
    heard = watch.heard(start + 1.0, end - 0.5)
    settled = watch.heard(start + ALIVE_S, end - 0.5) if end - start > 2 * ALIVE_S else None
    skews = [abs(skew) for skew in recorded.skews()]
    skew = 1000 * max(skews, default=float("inf"))
    good = heard >= HEARD and alive <= ALIVE_S if narrow else (
        frozen <= FROZEN and longest <= LONGEST_S
    )  # fmt: skip
    return {
        "frozen_percent": round(100 * frozen, 1),
        "longest_freeze_s": round(longest, 2),
        "playout_ms": round(1000 * watch.playout_s),
        "alive_after_s": round(alive, 1),
        "sound_percent": round(100 * heard, 1),
        "sound_percent_later": None if settled is None else round(100 * settled, 1),
        "kbps": round(watch.bytes * 8 / 1000 / (end - start)),
        "pictures_per_s": round(len(watch.shown) / (end - start), 1),
        "viewer_estimate_kbps": round(viewer_bps / 1000),
        "publisher_kbps_at_the_end": robot.rate_bps // 1000,
        "skew_ms": round(skew, 1),
        "beeps": len(skews),
        "recorded_pictures": len(recorded.pictures),
        "sent_pictures": robot.pictures,
        "limited_by": "generator" if robot.late_s > LATE_S else None,
        "ok": good and skew <= SKEW_MS,
    }


async def run(
    cases: list[Case], seconds: float, seed: int, *, realtime: bool = False
) -> dict[str, Any]:
    """One case after the other."""
    use_address("127.0.0.1")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with Ours(record=directory, core=0, realtime=realtime) as server:
            found = [await play(server, case, seconds, seed, directory) for case in cases]
    results = {case.name: result for case, result in zip(cases, found, strict=True)}
    return {
        "benchmark": "impaired",
        "seconds": seconds,
        "seed": seed,
        "picture": "x".join(map(str, LADDER[-1][1:])),
        "cases": results,
        "ok": all(result["ok"] for result in found),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.impaired", description=__doc__)
    parser.add_argument("cases", nargs="*", help=" ".join(case.name for case in CASES))
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--realtime", action="store_true", help="before others on these two cores")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    known = {case.name: case for case in CASES}
    if unknown := [name for name in options.cases if name not in known]:
        parser.error(f"no such case: {', '.join(unknown)}")
    cases = [known[name] for name in options.cases or known]
    settle_on(1, realtime=options.realtime)
    wanted = run(cases, options.seconds, options.seed, realtime=options.realtime)
    figures = asyncio.run(wanted)
    print(json.dumps(figures), flush=True)
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
