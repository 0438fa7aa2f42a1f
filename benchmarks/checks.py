"""Do checks disturb the media?  One recorded call, in turn with no checks and with checks all the
while: cards read and faces challenged by the inference process, out of the call's own pictures.

Nobody is bound to a core: server, inference and load share two as they would share any machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.clip import clip
from benchmarks.media import measure
from benchmarks.memory import models_directory
from benchmarks.ours import Ours

WARM_S = 14.0
"Until the models are loaded."
MORE_MS = 5.0
SEED = 7100


def _card(path: Path) -> Path:
    """A drawn card in a frame of a webcam."""
    import numpy as np

    from kyc.report import specimens

    chance = np.random.default_rng(SEED)
    front = specimens.front(specimens.person(chance), chance)
    path.write_bytes(specimens.held(front, chance).bgr.tobytes())
    return path


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Both in turn, as often as asked."""
    seen: dict[bool, list[float]] = {False: [], True: []}
    lost = looked = 0
    with tempfile.TemporaryDirectory() as scratch:
        models = options.models or models_directory(Path(scratch))
        card = _card(Path(scratch) / "card")
        for turn in range(2 * options.rounds):
            busy = bool(turn % 2)
            record = Path(scratch) / f"records-{turn}"
            async with Ours(record=record, checks=(models, card) if busy else None) as server:
                figures = await measure(server, 1, options.seconds, WARM_S)
                looked += (await server.figures())["looked"]
            seen[busy].append(figures["latency_ms"]["p99"])
            lost += figures["lost"]
    quiet, busy_ms = (statistics.median(seen[each]) for each in (False, True))
    return {
        "benchmark": "checks",
        "p99_ms_without": seen[False],
        "p99_ms_with": seen[True],
        "raised_by_ms": round(busy_ms - quiet, 2),
        "pictures_looked_at": looked,
        "lost": lost,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    clip()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(options))
    print(json.dumps(figures))
    good = figures["raised_by_ms"] <= MORE_MS and not figures["lost"]
    return 0 if good and figures["pictures_looked_at"] else 1


if __name__ == "__main__":
    sys.exit(main())
