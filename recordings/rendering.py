"""Has a video rendered by a process of its own (`python -m recordings.export`), and follows it.

Nothing here loads a codec: the process that serves calls stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import RecordingError

SILENCE_S = 120.0
"""A renderer that says nothing for so long hangs. The longest it is busy without a word is moving
the index of an hour's file to its front."""
PATIENCE_S = 5.0
"""For removing what it began, before it is killed."""
_ROOT = Path(__file__).resolve().parents[1]


class NotRendered(RecordingError):
    """The renderer gave up, died or hung; the message says which, without anything of its job."""


async def rendered(
    job: Mapping[str, Any], told: Callable[[float], None], *, silence_s: float = SILENCE_S
) -> dict[str, Any]:
    """Have `job` done (see `export`); what it says of the video. `told` hears the progress, 0 to 1.

    Keys go by its standard input and nowhere else. Cancelled, the process ends and removes what it
    began. Raises `NotRendered`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "recordings.export",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        # Nothing of the server's environment, which may hold a database's password.
        env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"},
    )
    try:
        last = await _follow(process, json.dumps(job).encode(), told, silence_s)
    finally:
        await asyncio.shield(_end(process))
    if "done" not in last:
        raise NotRendered(str(last.get("failed", "ended without a word")))
    return dict(last["done"])


async def _follow(
    process: asyncio.subprocess.Process,
    job: bytes,
    told: Callable[[float], None],
    silence_s: float,
) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(job)
        await process.stdin.drain()
        process.stdin.close()
    last: dict[str, Any] = {}
    try:
        while line := await asyncio.wait_for(process.stdout.readline(), silence_s):
            last = json.loads(line)
            if "progress" in last:
                told(float(last["progress"]))
    except TimeoutError:
        raise NotRendered("hangs") from None
    return last


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), PATIENCE_S)
    if process.returncode is None:
        process.kill()
        await process.wait()
