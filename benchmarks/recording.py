"""What does it cost to record a session?  Two 720p cameras at 1.5 Mb/s, with sound.

The session is fed ten times as fast as life.  Answers with the share of one core that one session
takes; frames lost must be none.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

from recordings import FileSigner, LocalStore, Recorder, events, new_dek, new_part_id
from recordings.container import PartReader

SESSION_S = 120
FASTER = 10
VIDEO_FRAME = 1_500_000 // 8 // 25
AUDIO_PACKET = 80
KEY_FRAME = bytes.fromhex("100200 9d012a 0005d002")
"""A VP8 frame's header: key frame, 1280×720."""


async def record(store: LocalStore, dek: bytes, signer: FileSigner) -> float:
    """Record a session's frames; processor seconds it took."""
    failures: list[OSError] = []
    header = {
        "part_id": new_part_id(),
        "session": "benchmark",
        "part": 1,
        "previous": None,
        "key_id": "benchmark",
    }
    recorder = await Recorder.open(
        store, "part.vbr", header=header, dek=dek, signer=signer, on_failure=failures.append
    )
    streams = [recorder.stream(label) for label in ("customer", "teller")]
    key = KEY_FRAME + bytes(VIDEO_FRAME - len(KEY_FRAME))
    delta = b"\x11" + bytes(VIDEO_FRAME - 1)
    sound = bytes(AUDIO_PACKET)
    began, busy = time.monotonic(), time.process_time()
    for tick in range(SESSION_S * 50):
        time_us = tick * 20_000
        for stream in streams:
            recorder.frame(stream, "audio", time_us, sound, True)
            if tick % 2 == 0:
                whole = tick % 100 == 0
                recorder.frame(stream, "video", time_us, key if whole else delta, whole)
        if tick % 50 == 0:
            await asyncio.sleep(max(0.0, began + time_us / 1e6 / FASTER - time.monotonic()))
    sealed = await recorder.finish()
    assert sealed.complete and not failures, failures
    return time.process_time() - busy


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        store, signer = LocalStore(Path(directory)), FileSigner.load_or_create(Path(directory))
        dek = new_dek()
        busy = asyncio.run(record(store, dek, signer))
        with contextlib.closing(store.open("part.vbr")) as source:
            lost = sum(1 for event in events(PartReader(source, dek)))
        size = (Path(directory) / "part.vbr").stat().st_size
    figures = {
        "benchmark": "recording",
        "core_percent_per_session": round(100 * busy / SESSION_S, 2),
        "mb_per_session_minute": round(size / 1e6 / (SESSION_S / 60), 1),
        "frames_lost": lost,
    }
    print(json.dumps(figures), flush=True)
    return 0 if lost == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
