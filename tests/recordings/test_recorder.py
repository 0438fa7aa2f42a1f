"""The recorder as a call uses it."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from recordings import (
    Ending,
    LocalStore,
    PartReader,
    Recorder,
    Status,
    WebmView,
    events,
    new_part_id,
    recorder,
    streams,
    verify_part,
)
from recordings.container import Type

from . import media
from .parts import DEK, SIGNER, MemoryStore, header


async def begin(store: Any, name: str = "p", **options: Any) -> tuple[Recorder, list[OSError]]:
    failures: list[OSError] = []
    options.setdefault("header", header())
    made = await Recorder.open(
        store, name, dek=DEK, signer=SIGNER, on_failure=failures.append, **options
    )
    return made, failures


def feed(made: Recorder, stream: int, packets: list[media.Packet]) -> None:
    for p in packets:
        made.frame(stream, p.kind, p.time_us, p.data, p.keyframe)


async def until(true: Any, seconds: float = 5) -> None:
    for _ in range(int(seconds * 100)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


async def test_two_people_and_what_happened(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, reserve=4096)
    made, failures = await begin(store, "S-1/1.vbr")
    customer, teller = made.stream("customer"), made.stream("teller")
    made.event(2_000_000, {"kind": "accepted", "by": "经办员", "score": 0.25})
    feed(made, customer, media.call(2, width=360, height=640, start_us=2_000_000))
    feed(made, teller, media.call(1, start_us=3_500_000))
    made.event(4_000_000, {"kind": "ended"})
    sealed = await made.finish()
    assert failures == [] and sealed.complete and sealed.failure is None
    verdict = verify_part(store, "S-1/1.vbr", SIGNER.trust(), dek=DEK)
    assert verdict.ok
    assert (verdict.chain, verdict.records, verdict.bytes) == (
        sealed.chain,
        sealed.records,
        sealed.bytes,
    )
    assert verdict.part_id == sealed.part_id == made.part_id
    assert made.head.chain == sealed.chain
    reader = PartReader(store.open("S-1/1.vbr"), DEK)
    found = [(s.number, s.label, s.pictures, s.start_us) for s in streams(reader)]
    assert found == [(1, "customer", True, 2_000_000), (2, "teller", True, 3_500_000)]
    assert [event.body["kind"] for event in events(reader)] == ["accepted", "ended"]
    assert next(events(reader)).body["by"] == "经办员"
    assert await made.finish() == sealed


async def test_what_comes_late_is_signed_within_half_a_second() -> None:
    store = MemoryStore()
    made, _ = await begin(store)
    stream = made.stream("customer")
    packets = media.call(2)
    begun = time.monotonic()
    longest = 0.0
    for p in packets:
        await asyncio.sleep(max(0, begun + p.time_us / 1e6 - time.monotonic()))
        made.frame(stream, p.kind, p.time_us, p.data, p.keyframe)
        longest = max(longest, p.time_us / 1e6 - made.head.time_us / 1e6)
    await made.finish()
    assert longest < 2, "in quiet 0.8 s; this machine may be busy"
    reader = PartReader(store.open("p"), DEK)
    assert sum(1 for _ in reader.select(Type.CHECKPOINT)) >= 3
    assert store.sink is not None and store.sink.syncs >= 4


async def test_the_loop_never_waits_for_the_disk() -> None:
    gate = threading.Event()
    store = MemoryStore()
    gate.set()
    store.options = {"gate": gate}
    made, failures = await begin(store)
    stream = made.stream("customer")
    gate.clear()
    begun = time.perf_counter()
    feed(made, stream, media.call(2))
    made.event(2_000_000, {"kind": "ended"})
    assert time.perf_counter() - begun < 0.2
    await asyncio.sleep(0.2)
    gate.set()
    assert (await made.finish()).complete and failures == []
    assert WebmView(PartReader(store.open("p"), DEK), 1).duration_us >= 1_900_000


async def test_a_medium_that_lags_loses_frames_but_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "QUEUE_BYTES", 20_000)
    gate = threading.Event()
    gate.set()
    store = MemoryStore()
    store.options = {"gate": gate}
    made, failures = await begin(store)
    stream = made.stream("customer")
    await until(lambda: made.head.records or store.sink and store.sink.syncs)
    gate.clear()
    made.event(0, {"kind": "first"})
    await asyncio.sleep(0.2)
    packets = media.call(4)
    feed(made, stream, packets)
    made.event(3_000_000, {"kind": "not lost"})
    gate.set()
    await asyncio.sleep(0.3)
    feed(
        made,
        stream,
        [media.Packet(p.kind, p.time_us + 9_000_000, p.data, p.keyframe) for p in packets[:20]],
    )
    sealed = await made.finish()
    assert sealed.complete and [type(failure) for failure in failures] == [TimeoutError]
    reader = PartReader(store.open("p"), DEK)
    found = {event.body["kind"]: event.body for event in events(reader)}
    assert found.keys() == {"first", "not lost", "frames_lost"}
    assert found["frames_lost"]["stream"] == 1 and found["frames_lost"]["frames"] > 10
    assert WebmView(reader, 1).duration_us > 9_000_000
    assert verify_part(store, "p", SIGNER.trust()).ok


async def test_disk_full_ends_the_part_and_tells_once() -> None:
    store = MemoryStore()
    store.options = {
        "fault": lambda size, data: max(0, 30_000 - size) if size + len(data) > 30_000 else None
    }
    made, failures = await begin(store)
    stream = made.stream("customer")
    for _ in range(3):
        feed(made, stream, media.call(4))
        await asyncio.sleep(0.1)
    await until(lambda: failures)
    assert made.failed
    made.event(1, {"kind": "ignored"})
    sealed = await made.finish()
    assert [failure.errno for failure in failures] == [errno.ENOSPC]
    assert sealed.failure == "ENOSPC" and sealed.complete
    verdict = verify_part(store, "p", SIGNER.trust(), dek=DEK)
    assert verdict.ok and verdict.reason == "writing_failed" and verdict.chain == sealed.chain
    assert WebmView(PartReader(store.open("p"), DEK), 1).read(0, 100).startswith(b"\x1a\x45")


@pytest.mark.parametrize("step", ["finish", "sync", "sign"])
async def test_what_nobody_expected_ends_the_recording_aloud(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("broken")

    made, failures = await begin(MemoryStore())
    monkeypatch.setattr(made._writer, step, break_down)
    made.event(1_000, {"kind": "spoken"})
    if step != "finish":
        await until(lambda: failures)
    async with asyncio.timeout(5):
        sealed = await made.finish()
    assert sealed.failure == "EIO" and [error.errno for error in failures] == [errno.EIO]


async def test_without_any_room_the_part_waits_for_recovery() -> None:
    store = MemoryStore()
    store.options = {"fault": lambda size, data: 0 if size > 9000 else None, "reserve": 0}
    made, failures = await begin(store)
    feed(made, made.stream("customer"), media.call(4))
    await until(lambda: failures)
    sealed = await made.finish()
    assert not sealed.complete and sealed.failure == "ENOSPC"
    assert store.sink is not None and store.sink.closed
    assert verify_part(store, "p", SIGNER.trust()).status is Status.INCOMPLETE


async def test_a_part_that_can_not_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, reserve=0)
    made, _ = await begin(store, "1.vbr")
    with pytest.raises(FileExistsError):
        await begin(store, "1.vbr")
    with pytest.raises(ValueError):
        await begin(store, "2.vbr", header=header(part_id="?"))
    assert not store.being_written("2.vbr")
    await made.finish()


async def test_the_next_part_is_linked() -> None:
    store = MemoryStore()
    first, _ = await begin(store, "1")
    sealed = await first.finish(Ending.STOPPED)
    previous = {"part_id": sealed.part_id, "chain": sealed.chain}
    second, _ = await begin(
        store, "2", header=header(part=2, part_id=new_part_id(), previous=previous)
    )
    await second.finish()
    verdicts = [verify_part(store, name, SIGNER.trust()) for name in ("1", "2")]
    assert [verdict.reason for verdict in verdicts] == ["stopped", "finished"]
    assert verdicts[1].previous == {"part_id": sealed.part_id, "chain": verdicts[0].chain}


async def test_wrong_use() -> None:
    made, _ = await begin(MemoryStore())
    with pytest.raises(ValueError):
        made.frame(1, "audio", 0, b"x", False)
    with pytest.raises(ValueError):
        made.stream("")
    with pytest.raises(ValueError):
        made.event(0, {"score": float("nan")})
    with pytest.raises(ValueError):
        made.event(0, {"text": "x" * (1 << 20)})
    with pytest.raises(TypeError):
        made.event(0, {"text": object()})
    await made.finish()
    made.event(0, {"kind": "late"})


async def test_memory_stays_small() -> None:
    """Two people at 2 Mbit/s for 100 s of media time, fed as fast as it goes."""

    class Nowhere(MemoryStore):
        def create(self, name: str) -> Any:
            sink = super().create(name)
            sink.append = lambda data: None  # type: ignore[method-assign]
            return sink

    made, failures = await begin(Nowhere())
    numbers = [made.stream("customer"), made.stream("teller")]
    packets = media.call(4)
    pad = bytes(8000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for turn in range(25):
            for p in packets:
                data = p.data + pad if p.kind == "video" else p.data
                for stream in numbers:
                    made.frame(stream, p.kind, p.time_us + turn * 4_000_000, data, p.keyframe)
            await asyncio.sleep(0.03)
            await until(lambda: made._inbox.bytes < 500_000, 30)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    await made.finish()
    assert failures == [] and peak < 10_000_000
