"""Measures what a server carries and writes it down: docs/reports/capacity.md.

Takes some minutes and both cores.  With ``--lines FILE`` nothing is measured: the JSON lines of
benchmarks run before are put into the same tables.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "reports" / "capacity.md"
RUNS = (
    "media --sessions 1 --seconds 8 --record --realtime",
    "media --sessions 24 --seconds 8 --realtime",
    "media --sessions 24 --seconds 8 --record --realtime --peer janus --rounds 2",
    "media --sessions 64 --seconds 8 --record --realtime --peer janus --rounds 2",
    "viewers --realtime",
    "setup --calls 50 --realtime",
    "impaired --seconds 20 --realtime",
    "leak --calls 200",
)
Row = dict[str, Any]


def measured() -> list[Row]:
    """The JSON line of each run, with its command."""
    rows = []
    for run in RUNS:
        print(f"python -m benchmarks.{run}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", *f"benchmarks.{run}".split()]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode in (0, 1) and done.stdout:
            rows.append({**json.loads(done.stdout.splitlines()[-1]), "command": run})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    lines = [[str(cell) for cell in row] for row in rows]
    heads = list(heads)
    ruled = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def media(rows: list[Row]) -> str:
    """What calls cost."""
    heads = (
        "sessions", "recorded", "% of a core each", "Janus", "ratio", "latency p50 / p95 / p99 ms",
        "lost", "frames dropped", "share of the recorder's threads", "MB each",
    )  # fmt: skip
    cells = []
    for row in rows:
        peer, late = row.get("peer", {}), row["latency_ms"]
        cells.append(
            (
                f"{row['sessions']}{', load at its limit' if row.get('limited_by') else ''}",
                "yes" if row["record"] else "no",
                row["core_percent_per_session"], peer.get("core_percent_per_session", ""),
                row.get("ratio_cpu_per_session", ""),
                f"{late['p50']} / {late['p95']} / {late['p99']}", row["lost"],
                row.get("frames_dropped", ""), row.get("recorder_share", ""),
                row["mb_per_session"],
            )
        )  # fmt: skip
    return table(heads, cells)


def impaired(rows: list[Row]) -> str:
    """What bad lines do."""
    heads = (
        "line", "frozen %", "longest freeze s", "alive after s", "sound %", "skew in recording ms",
        "within limits",
    )  # fmt: skip
    cells = [
        (
            name.replace("_", "'s: "), case["frozen_percent"], case["longest_freeze_s"],
            case["alive_after_s"], case["sound_percent"], case["skew_ms"],
            "yes" if case["ok"] else "**no**",
        )
        for row in rows for name, case in row["cases"].items()
    ]  # fmt: skip
    return table(heads, cells)


def others(rows: list[Row]) -> str:
    """The rest, a line each."""
    found = []
    for row in rows:
        if row["benchmark"] == "viewers":
            each = row["core_percent_per_further_viewer"]
            found.append(("each further viewer", f"{each} % of a core", f"{row['limit']} %"))
        if row["benchmark"] == "setup":
            first = row["first_picture_ms"]
            said = f"median {first['median']} ms, p95 {first['p95']} ms"
            found.append((f"first picture, {row['calls']} calls", said, f"{row['limit_ms']} ms"))
        if row["benchmark"] == "leak":
            grown = ", ".join(f"{name} {value:+}" for name, value in row["growth"].items())
            found.append((f"growth over {row['calls']} calls", grown, f"{row['limit_mb']} MB"))
    return table(("what", "measured", "limit"), found)


def text(rows: list[Row], day: str) -> str:
    """The report."""
    by: dict[str, list[Row]] = {}
    for row in rows:
        by.setdefault(row["benchmark"], []).append(row)
    commands = "\n".join(f"python -m benchmarks.{row['command']}" for row in rows)
    return f"""# What a server carries

Written by `python -m benchmarks.report` on {day}: {platform.machine()}, Python
{platform.python_version()}, two shared cores, server and load on one each. Measure on your own
machine before planning; ratios hold better than times.

## Calls
720p25 VP8 at 1.5 Mb/s and Opus, both ways, over ICE, DTLS and SRTP; processor time by the kernel's
account. Janus: Debian's, VideoCall plugin with its recording (unencrypted), same load, same run.

{media(by.get("media", []))}

{others(rows)}

## Bad lines
Through a relay: *loss* is 5 % lost, 10 to 110 ms delay both ways; *narrow* is 300 kb/s with a queue
of half a second, towards the viewer or out of the publisher. The publisher is a robot with a real
encoder.

{impaired(by.get("impaired", []))}

## Commands
```sh
{commands}
```
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--lines", type=Path, help="JSON lines of earlier runs")
    parser.add_argument("--to", type=Path, default=REPORT, help="file to write")
    options = parser.parse_args()
    if options.lines:
        rows = [json.loads(line) for line in options.lines.read_text().splitlines()]
    else:
        rows = measured()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    options.to.write_text(text(rows, date.today().isoformat()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
