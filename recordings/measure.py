"""How fast sealing, verifying and opening are on this machine; for `benchmarks/`."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path

from .container import Flag, PartReader, PartWriter
from .keys import FileSigner, new_dek, new_part_id
from .matroska import CLUSTER, VIDEO, Picture, element, init_segment, size4, uint
from .replay import WebmView
from .store import LocalStore
from .verify import verify_part

FRAGMENT_US = 200_000
KEYFRAME_EVERY = 10
STREAMS = (1, 2)
SEEKS = 50


def measure(
    directory: Path, *, seconds: int = 3600, fragment_bytes: int = 50_000
) -> dict[str, float]:
    """Write, verify and open one part with two streams of `seconds` at 5 fragments a second.

    50,000 bytes a fragment is 2 Mbit/s a stream. Figures: MB/s of the whole file for writing (with
    a signature and fdatasync each 10 MB of a stream, so that the medium does not hide the work)
    and verifying, by the clock and by processor seconds; milliseconds for opening the part and for
    reading 64 KiB at a random second.
    """
    directory.mkdir(parents=True, exist_ok=True)
    store = LocalStore(directory)
    signer = FileSigner.load_or_create(directory / "keys")
    dek, name = new_dek(), f"measure-{os.getpid()}.vbr"
    watch = _Watch()
    _write(store, name, signer, dek, seconds, fragment_bytes)
    written = watch.lap()
    size = store.path(name).stat().st_size
    watch.lap()
    verdict = verify_part(store, name, signer.trust())
    verified = watch.lap()
    if not verdict.ok:
        raise RuntimeError(f"what was just written is {verdict.status}: {verdict.reason}")
    opened, seek = _open(store, name, dek)
    store.path(name).unlink()
    return {
        "bytes": size,
        "records": verdict.records,
        "write_mb_s": _rate(size, written[0]),
        "write_mb_cpu_s": _rate(size, written[1]),
        "verify_mb_s": _rate(size, verified[0]),
        "verify_mb_cpu_s": _rate(size, verified[1]),
        "open_ms": round(opened[0] * 1000, 2),
        "open_cpu_ms": round(opened[1] * 1000, 2),
        "seek_ms": round(seek[0] * 1000 / SEEKS, 3),
    }


class _Watch:
    """Wall clock and processor time since the last look."""

    def __init__(self) -> None:
        self._then = time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        then, self._then = self._then, (time.perf_counter(), time.process_time())
        return self._then[0] - then[0], self._then[1] - then[1]


def _rate(size: int, seconds: float) -> float:
    return round(size / seconds / 1e6, 1)


def _write(
    store: LocalStore, name: str, signer: FileSigner, dek: bytes, seconds: int, size: int
) -> None:
    header = {
        "part_id": new_part_id(),
        "session": "measure",
        "part": 1,
        "previous": None,
        "key_id": "measure",
    }
    writer = PartWriter(store.create(name), header=header, dek=dek, signer=signer)
    for stream in STREAMS:
        writer.data(
            stream, 0, init_segment("measure", Picture(b"V_VP8", b"", 1280, 720)), Flag.INIT
        )
    block = b"\xa3" + size4(size) + bytes([0x80 | VIDEO, 0, 0, 0x80]) + os.urandom(size - 4)
    for number in range(seconds * 1_000_000 // FRAGMENT_US):
        time_us = number * FRAGMENT_US
        cluster = element(CLUSTER, uint(b"\xe7", time_us // 1000) + block)
        for stream in STREAMS:
            writer.data(stream, time_us, cluster, Flag(number % KEYFRAME_EVERY == 0))
        if number % (10_000_000 // size) == 0:
            writer.checkpoint()
    writer.finish()


def _open(
    store: LocalStore, name: str, dek: bytes
) -> tuple[tuple[float, float], tuple[float, float]]:
    with contextlib.closing(store.open(name)) as source:
        watch = _Watch()
        view = WebmView(PartReader(source, dek), 1)
        opened = watch.lap()
        chance = random.Random(1)
        for _ in range(SEEKS):
            view.read(chance.randrange(view.size - 65_536), 65_536)
        return opened, watch.lap()
