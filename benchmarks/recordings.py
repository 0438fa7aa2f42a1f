"""How fast are recordings sealed, verified and opened, and what does a running one cost?

An hour of a call with two pictures is written, verified with the public key and opened at random
seconds; then calls are recorded side by side in real time.  The limits are those of the project:
300 MB/s written and 600 MB/s verified by one core, 50 ms to the first bytes of a random second,
4 MB kept for a running session.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.process import resident_mb
from recordings import (
    FileSigner,
    LocalStore,
    PartReader,
    Recorder,
    WebmView,
    events,
    new_dek,
    new_part_id,
    verify_part,
)
from recordings.container import Flag, PartWriter
from recordings.matroska import CLUSTER, VIDEO, Picture, element, init_segment, size4, uint

WRITE_MB_S, VERIFY_MB_S, OPEN_MS, SESSION_MB = 300, 600, 50, 4
FRAGMENT_US = 200_000
KEYFRAME_EVERY = 10
STREAMS = (1, 2)
OPENINGS = 40
READ = 65_536
"""What a player asks for first."""
VIDEO_FRAME = 1_500_000 // 8 // 25
AUDIO_PACKET = 80
KEY_FRAME = bytes.fromhex("100200 9d012a 0005d002")
"""A VP8 frame's header: key frame, 1280×720."""


def header() -> dict[str, object]:
    """Of a part nobody will miss."""
    return {
        "part_id": new_part_id(),
        "session": "benchmark",
        "part": 1,
        "previous": None,
        "key_id": "benchmark",
    }


def write(
    store: LocalStore, name: str, signer: FileSigner, dek: bytes, seconds: int, size: int
) -> None:
    """A part with two streams, five fragments of `size` bytes a second each.

    It is signed and synced twice in 8 MB, as often as by a recorder of 2 Mbit/s streams.
    """
    writer = PartWriter(store.create(name), header=header(), dek=dek, signer=signer)
    begin = init_segment("benchmark", Picture(b"V_VP8", b"", 1280, 720))
    for stream in STREAMS:
        writer.data(stream, 0, begin, Flag.INIT)
    block = b"\xa3" + size4(size) + bytes([0x80 | VIDEO, 0, 0, 0x80]) + os.urandom(size - 4)
    for number in range(seconds * 1_000_000 // FRAGMENT_US):
        time_us = number * FRAGMENT_US
        cluster = element(CLUSTER, uint(b"\xe7", time_us // 1000) + block)
        for stream in STREAMS:
            writer.data(stream, time_us, cluster, Flag(number % KEYFRAME_EVERY == 0))
        if number % max(1, 4_000_000 // size) == 0:
            writer.checkpoint()
    writer.finish()


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def files(directory: Path, seconds: int, size: int) -> dict[str, float]:
    """Write, verify and open a part of `seconds`."""
    store, signer, dek = LocalStore(directory), FileSigner.load_or_create(directory), new_dek()

    def seal() -> None:
        write(store, "part.vbr", signer, dek, seconds, size)

    def verify() -> None:
        verdict = verify_part(store, "part.vbr", signer.trust())
        assert verdict.ok, verdict

    written, verified = timed(seal), timed(verify)
    mb = store.path("part.vbr").stat().st_size / 1e6
    opened = openings(store, dek, seconds)
    return {
        "mb": round(mb),
        "write_mb_s": round(mb / written[0]),
        "write_mb_core_s": round(mb / written[1]),
        "verify_mb_s": round(mb / verified[0]),
        "verify_mb_core_s": round(mb / verified[1]),
        "open_ms": round(statistics.median(opened), 1),
        "open_worst_ms": round(max(opened), 1),
    }


def openings(store: LocalStore, dek: bytes, seconds: int) -> list[float]:
    """Milliseconds from nothing to the first bytes of a random second, each time anew."""
    chance, took = random.Random(1), []
    for _ in range(OPENINGS):
        share = chance.random()
        began = time.perf_counter()
        with contextlib.closing(store.open("part.vbr")) as source:
            view = WebmView(PartReader(source, dek), chance.choice(STREAMS))
            assert len(view.read(int(share * (view.size - READ)), READ)) == READ
        took.append((time.perf_counter() - began) * 1000)
    return took


async def live(directory: Path, sessions: int, seconds: int) -> dict[str, float]:
    """Record `sessions` calls at once in real time: two 720p cameras at 1.5 Mb/s, with sound."""
    store, signer, dek = LocalStore(directory), FileSigner.load_or_create(directory), new_dek()
    failures: list[OSError] = []

    async def begin(name: str) -> tuple[Recorder, list[int]]:
        recorder = await Recorder.open(
            store, name, header=header(), dek=dek, signer=signer, on_failure=failures.append
        )
        return recorder, [recorder.stream(label) for label in ("customer", "teller")]

    await (await begin("first.vbr"))[0].finish()  # what is loaded once is not a session's
    gc.collect()
    before = resident_mb(os.getpid())
    calls = [await begin(f"{number}.vbr") for number in range(sessions)]
    key = KEY_FRAME + bytes(VIDEO_FRAME - len(KEY_FRAME))
    delta = b"\x11" + bytes(VIDEO_FRAME - 1)
    sound = bytes(AUDIO_PACKET)
    began, busy, kept = time.monotonic(), time.process_time(), before
    for tick in range(seconds * 50):
        time_us = tick * 20_000
        for number, (recorder, streams) in enumerate(calls):
            for stream in streams:
                recorder.frame(stream, "audio", time_us, sound, True)
                if tick % 2 == 0:
                    whole = (tick + 2 * number) % 100 == 0
                    # A copy each: frames of different calls are never the same object.
                    data = bytes(bytearray(key if whole or tick == 0 else delta))
                    recorder.frame(stream, "video", time_us, data, whole or tick == 0)
        if tick % 50 == 49:
            kept = max(kept, resident_mb(os.getpid()))
        await asyncio.sleep(max(0.0, began + time_us / 1e6 - time.monotonic()))
    busy = time.process_time() - busy
    late = time.monotonic() - began - seconds
    for recorder, _ in calls:
        assert (await recorder.finish()).complete
    assert not failures, failures
    return {
        "sessions": sessions,
        "core_percent_per_session": round(100 * busy / seconds / sessions, 3),
        "mb_per_session": round((kept - before) / sessions, 2),
        "frames_lost": sum(lost(store, f"{number}.vbr", dek) for number in range(sessions)),
        "behind_s": round(max(0.0, late), 2),
    }


def lost(store: LocalStore, name: str, dek: bytes) -> int:
    """Frames that found the queue full."""
    with contextlib.closing(store.open(name)) as source:
        told = [event.body for event in events(PartReader(source, dek))]
    return sum(int(body["frames"]) for body in told if body["kind"] == "frames_lost")


def alone(options: argparse.Namespace) -> dict[str, float]:
    """The running calls in a process of their own, whose memory is theirs."""
    command = [sys.executable, "-m", "benchmarks.recordings", "--live"]
    command += ["--sessions", str(options.sessions), "--seconds", str(options.seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hour", type=int, default=3600, help="seconds of the written recording")
    parser.add_argument("--bytes", type=int, default=20_000, help="of a fragment")
    parser.add_argument("--sessions", type=int, default=12, help="recorded at once")
    parser.add_argument("--seconds", type=int, default=6, help="of them")
    parser.add_argument("--live", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        if options.live:
            print(json.dumps(asyncio.run(live(Path(directory), options.sessions, options.seconds))))
            return 0
        figures = files(Path(directory), options.hour, options.bytes) | alone(options)
    good = (
        figures["write_mb_core_s"] >= WRITE_MB_S
        and figures["verify_mb_core_s"] >= VERIFY_MB_S
        and figures["open_ms"] <= OPEN_MS
        and figures["mb_per_session"] <= SESSION_MB
        and figures["frames_lost"] == 0
    )
    print(json.dumps({"benchmark": "recordings", **figures, "ok": good}), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
