"""The disk is full: a recording ends whole and says so; the others go on as long as there is room.

What the one that ended had in reserve is room for those on the same disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recordings import LocalStore, Recorder, Sealed, verify_part
from tests.faults.conftest import small_disk
from tests.recordings import media
from tests.recordings.parts import DEK, SIGNER, header

ALARM_S = 2.0
"What is promised to the teller."


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place):
        yield place


def fill(disk: Path) -> None:
    with (disk / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            os.write(ballast.fileno(), bytes(4096))


async def talk(recorder: Recorder, until: asyncio.Event) -> None:
    """A participant in real time, until it is enough."""
    stream, begun, round_us = recorder.stream("customer"), time.monotonic(), 0
    while not until.is_set():
        for packet in media.call(1):
            at = round_us + packet.time_us
            recorder.frame(stream, packet.kind, at, packet.data, packet.keyframe, packet.codec)
            await asyncio.sleep(max(0.0, begun + at / 1e6 - time.monotonic()))
            if until.is_set():
                break
        round_us += 1_000_000


async def test_full(
    disk: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    alarms: asyncio.Queue[tuple[str, float, int | None]] = asyncio.Queue()

    async def begin(directory: Path, name: str) -> Recorder:
        def alarm(error: OSError) -> None:
            alarms.put_nowait((name, time.monotonic(), error.errno))

        return await Recorder.open(
            LocalStore(directory), name, header=header(), dek=DEK, signer=SIGNER, on_failure=alarm
        )

    here = [await begin(disk, name) for name in ("1.vbr", "2.vbr")]
    elsewhere = await begin(tmp_path, "3.vbr")
    over = asyncio.Event()
    talks = [asyncio.create_task(talk(one, over)) for one in (*here, elsewhere)]
    await asyncio.sleep(0.5)
    took, failed = [], set()
    for _ in here:
        await asyncio.to_thread(fill, disk)
        full = time.monotonic()
        async with asyncio.timeout(20):
            name, at, number = await alarms.get()
        assert number == errno.ENOSPC and name not in failed
        failed.add(name)
        took.append(at - full)
        await asyncio.sleep(0.3)
        assert alarms.empty(), "the other one goes on in the room that came free"
    record_property("figures", f"alarm after {max(took):.2f} s")
    print(f"alarm after {max(took):.2f} s")
    assert max(took) <= ALARM_S
    await asyncio.sleep(0.5)
    over.set()
    await asyncio.gather(*talks)
    trust = SIGNER.trust()
    for recorder in here:
        ended: Sealed = await recorder.finish()
        assert ended.complete and ended.failure == "ENOSPC"
        verdict = verify_part(LocalStore(disk), recorder.name, trust, dek=DEK)
        assert (verdict.ok, verdict.reason) == (True, "writing_failed")
    ended = await elsewhere.finish()
    assert ended.complete and ended.failure is None and failed == {"1.vbr", "2.vbr"}
    verdict = verify_part(LocalStore(tmp_path), "3.vbr", trust, dek=DEK)
    assert (verdict.ok, verdict.reason) == (True, "finished")
    assert ended.duration_us > 900_000
