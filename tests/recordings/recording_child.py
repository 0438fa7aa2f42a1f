"""Records a two-way call at about 2 Mbit/s in real time until it is killed.

Arguments: directory of the store, name of the part, file for the truth, bytes of a picture. The
truth is one line for each frame given to the recorder: its media time, and how far the recorder
said it has signed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from recordings import LocalStore, Recorder
from tests.recordings.parts import DEK, SIGNER, header

ROOT = Path(__file__).resolve().parents[2]
KEY = b"\x10\x02\x00\x9d\x01\x2a" + (720).to_bytes(2, "little") + (1280).to_bytes(2, "little")


def child(
    directory: Path, name: str, size: str = "5000", **options: object
) -> subprocess.Popen[str]:
    """This module in a process of its own."""
    command = [sys.executable, "-m", "tests.recordings.recording_child"]
    command += [str(directory), name, str(directory / f"{name}.truth"), size]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    return process  # type: ignore[no-any-return]


def failed(error: OSError) -> None:
    print("failed", error.errno, flush=True)


async def record(directory: str, name: str, truth: str, size: str) -> None:
    store = LocalStore(Path(directory))
    recorder = await Recorder.open(
        store, name, header=header(), dek=DEK, signer=SIGNER, on_failure=failed
    )
    streams = [recorder.stream("customer"), recorder.stream("teller")]
    log = os.open(truth, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    print("recording", flush=True)
    begun = time.monotonic()
    number = 0
    while not recorder.failed:
        time_us = number * 20_000
        for stream in streams:
            if number % 2 == 0:
                key = number % 100 == 0
                data = (KEY if key else b"\x11") + os.urandom(int(size))
                recorder.frame(stream, "video", time_us, data, key)
            recorder.frame(stream, "audio", time_us, os.urandom(80), False)
        os.write(log, b"%d %d\n" % (time_us, recorder.head.time_us))
        number += 1
        await asyncio.sleep(max(0.0, begun + number * 0.02 - time.monotonic()))
    sealed = await recorder.finish()
    print("sealed", sealed.complete, sealed.failure, flush=True)


if __name__ == "__main__":
    asyncio.run(record(*sys.argv[1:]))
