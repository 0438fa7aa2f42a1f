"""Records half a minute of a call as fast as it can, for injected faults.

Arguments: the directory, and how many bytes the part may have, if that is to be limited.
Prints what the application was told: `{"opened", "alarms", "complete", "failure"}` as JSON. The
clock runs a hundred times as fast as life, so that signatures are as many as in a real half minute.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

from recordings import LocalStore, Recorder
from tests.recordings.parts import DEK, SIGNER, header

NAME = "p.vbr"
SECONDS, BATCHES = 30, 6
KEY = b"\x10\x02\x00\x9d\x01\x2a" + (720).to_bytes(2, "little") + (1280).to_bytes(2, "little")


async def record(directory: Path, limit: int | None = None) -> dict[str, object]:
    alarms: list[int | None] = []
    try:
        recorder = await Recorder.open(
            LocalStore(directory, reserve=1 << 20),
            NAME,
            header=header(),
            dek=DEK,
            signer=SIGNER,
            on_failure=lambda error: alarms.append(error.errno),
            clock=lambda: time.monotonic() * 100,
        )
    except OSError as error:
        return {"opened": False, "alarms": [error.errno], "complete": False, "failure": None}
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    streams = [recorder.stream("customer"), recorder.stream("teller")]
    ticks = SECONDS * 50
    for tick in range(ticks):
        for stream in streams:
            recorder.frame(stream, "audio", tick * 20_000, bytes(40), False)
            if tick % 2 == 0:
                key = tick % 100 == 0
                recorder.frame(stream, "video", tick * 20_000, KEY if key else b"\x11" * 100, key)
        if tick % (ticks // BATCHES) == 0:
            recorder.event(tick * 20_000, {"kind": "step", "tick": tick})
            await asyncio.sleep(0.06)
    sealed = await recorder.finish()
    await asyncio.sleep(0)
    return {
        "opened": True,
        "alarms": alarms,
        "complete": sealed.complete,
        "failure": sealed.failure,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(record(Path(sys.argv[1]), *map(int, sys.argv[2:])))))
