"""What does a call cost the server?  Forwarding 720p25 VP8 at 1.5 Mb/s and Opus, both ways.

Each session has two people over real ICE, DTLS and SRTP.  The server is a process on one core,
the load another on the next; processor time is the kernel's account of the server's process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import uvloop

from benchmarks import janus
from benchmarks.client import Client, use_address
from benchmarks.clip import clip
from benchmarks.janus import Janus
from benchmarks.load import Load
from benchmarks.ours import Ours
from benchmarks.process import cpu_s, resident_mb, settle_on

WARM_S = 4.0
AT_ONCE = 8
"Calls that begin together."
SATURATED_PERCENT = 92.0
LATE_MS = 100.0
"A load so far behind its time did not measure the server: the machine was busy."
LATENCY_LIMIT_MS = 10.0


class Side(Protocol):
    """A server under load: ours or another."""

    label: str

    @property
    def pid(self) -> int: ...

    async def call(self, number: int) -> list[Client]:
        """One session of two, connected."""


async def measure(
    server: Side,
    sessions: int,
    seconds: float,
    warm_s: float,
    *,
    extra: Callable[[], Awaitable[float]] | None = None,
) -> dict[str, Any]:
    """Figures of `sessions` calls; `extra` is the processor time of one part of the server."""
    load = Load(clip())
    idle_mb = resident_mb(server.pid)
    for first in range(0, sessions, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, sessions))
        for clients in await asyncio.gather(*(server.call(number) for number in numbers)):
            load.add(*clients)
    gc.collect()
    gc.freeze()  # the load's own pauses are not the server's
    running = asyncio.create_task(load.run())
    await asyncio.sleep(warm_s)
    part = await extra() if extra else 0.0
    busy, began = cpu_s(server.pid), time.monotonic()
    seen = await load.measure(seconds)
    passed = time.monotonic() - began
    percent = 100 * (cpu_s(server.pid) - busy) / passed
    figures: dict[str, Any] = {
        "server": server.label,
        "sessions": sessions,
        "core_percent": round(percent, 1),
        "core_percent_per_session": round(percent / sessions, 3),
        **seen,
        "rss_mb": round(resident_mb(server.pid)),
        "mb_per_session": round((resident_mb(server.pid) - idle_mb) / sessions, 2),
    }
    if extra:
        share = 100 * (await extra() - part) / passed
        figures["recorder_core_percent_per_session"] = round(share / sessions, 3)
        figures["recorder_share"] = round(share / percent, 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for person in load.people:
        await person.client.close()
    full = figures["generator_core_percent"] > SATURATED_PERCENT
    limited = full or figures["generator_late_ms"] > LATE_MS
    figures["limited_by"] = "generator" if limited else None
    return figures


async def ours(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Our server's figures."""
    record = directory / "ours" if options.record else None
    async with Ours(
        record=record, address=options.address, core=0, realtime=options.realtime
    ) as server:
        extra = server.recorder_cpu_s if record else None
        figures = await measure(
            server, options.sessions, options.seconds, options.warm, extra=extra
        )
        figures["recorder_failures"] = (await server.figures())["failures"]
        if record:
            figures["recorded_mb"] = _megabytes(record, "*.vbr")
            figures["frames_dropped"] = await _dropped(server, record, options.sessions)
        return figures


async def _dropped(server: Ours, directory: Path, sessions: int) -> int:
    """Frames the recorders had to leave out, as the sealed recordings themselves say."""
    from recordings import LocalStore, PartReader, events

    lost = 0
    for number in range(sessions):
        sealed = await server.end(f"call-{number}")
        with contextlib.closing(LocalStore(directory).open(sealed["part"])) as source:
            found = events(PartReader(source, bytes.fromhex(sealed["dek"])))
            bodies = [event.body for event in found]
        lost += sum(body["frames"] for body in bodies if body.get("kind") == "frames_lost")
    return lost


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media", description=__doc__)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--warm", type=float, default=WARM_S, help="seconds before it counts")
    parser.add_argument("--record", action="store_true", help="record every session")
    parser.add_argument("--peer", choices=["janus"], help="drive this server with the same load")
    parser.add_argument("--rounds", type=int, default=1, help="with --peer: so often each in turn")
    parser.add_argument("--realtime", action="store_true", help="before others on these two cores")
    return parser


async def peer(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """The other server's figures."""
    async with Janus(
        directory / "janus", record=options.record, core=0, realtime=options.realtime
    ) as server:
        figures = await measure(server, options.sessions, options.seconds, options.warm)
    figures["recorded_mb"] = _megabytes(directory / "janus", "*.mjr")
    return figures


def _megabytes(directory: Path, pattern: str) -> float:
    return round(sum(path.stat().st_size for path in directory.glob(pattern)) / 1e6, 1)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure as asked; with a peer each in turn, so that a slow minute is nobody's alone."""
    use_address(options.address)
    rounds: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for _ in range(options.rounds if options.peer else 1):
        with tempfile.TemporaryDirectory() as directory:
            mine = await ours(options, Path(directory))
            rounds.append((mine, await peer(options, Path(directory)) if options.peer else {}))
    figures = dict(rounds[-1][0])
    if options.peer:
        each = [
            (mine["core_percent_per_session"], theirs["core_percent_per_session"])
            for mine, theirs in rounds
        ]
        figures["peer"] = rounds[-1][1]
        figures["rounds"] = each
        ratio = sum(mine for mine, _ in each) / sum(theirs for _, theirs in each)
        figures["ratio_cpu_per_session"] = round(ratio, 2)
    return figures


def main() -> int:
    options = parser().parse_args()
    options.address = "127.0.0.1"
    if options.peer:
        if not janus.available():
            print(janus.MISSING, file=sys.stderr)
            return 2
        janus.enter_namespace()
        options.address = janus.ADDRESS
    clip()
    settle_on(1, realtime=options.realtime)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(options))
    figures = {"benchmark": "media", "record": options.record, **figures}
    print(json.dumps(figures), flush=True)
    p99 = figures["latency_ms"]["p99"] or 0
    good = not figures["lost"] and p99 <= LATENCY_LIMIT_MS and not figures.get("frames_dropped")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
