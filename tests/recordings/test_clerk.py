"""One clerk for many recordings."""

from __future__ import annotations

import asyncio
import threading

from recordings import PartReader, Recorder, streams, verify_part

from . import media
from .parts import DEK, SIGNER, MemoryStore
from .test_recorder import begin, feed, until


def clerks() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "recorder"]


def hold(gate: threading.Event) -> None:
    gate.wait(10)


async def test_many_recordings_share_one_thread_and_leave_none() -> None:
    store = MemoryStore()
    made = [(await begin(store, f"{number}"))[0] for number in range(30)]
    assert len(clerks()) == 1
    packets = media.call(1)
    for one in made:
        feed(one, one.stream("customer"), packets)
    hands = [thread for thread in threading.enumerate() if "recorder-sync" in thread.name]
    assert len(hands) <= 4
    sealed = await asyncio.gather(*(one.finish() for one in made))
    assert all(one.complete for one in sealed)
    for number in range(30):
        assert verify_part(store, f"{number}", SIGNER.trust(), dek=DEK).ok
    await until(lambda: not clerks())


async def test_a_slow_medium_holds_nobody_else_up() -> None:
    slow, quick = MemoryStore(), MemoryStore()
    stuck = threading.Event()
    first, _ = await begin(slow, "slow")
    assert slow.sink is not None
    slow.sink.sync_fault = lambda count: hold(stuck)
    second, _ = await begin(quick, "quick")
    try:
        for one in (first, second):
            one.event(1_000_000, {"kind": "accepted"})
        await until(lambda: second.head.time_us == 1_000_000)
        assert first.head.time_us == 0
        first.event(2_000_000, {"kind": "written on meanwhile"})
        assert (await second.finish()).complete
    finally:
        stuck.set()
    assert (await first.finish()).complete
    assert verify_part(slow, "slow", SIGNER.trust(), dek=DEK).last_time_us == 2_000_000


async def test_streams_come_while_the_session_runs() -> None:
    store = MemoryStore()
    made, failures = await begin(store)
    feed(made, made.stream("customer"), media.call(1))
    await asyncio.sleep(0.1)
    numbers: list[int] = []

    def more(recorder: Recorder) -> None:
        numbers.extend(recorder.stream(f"expert {count}") for count in range(20))

    thread = threading.Thread(target=more, args=(made,))
    thread.start()
    thread.join()
    assert numbers == list(range(2, 22))
    for number in numbers:
        codec = "h264" if number % 2 else "vp8"
        packets = media.call(0.4, start_us=1_000_000, codec=codec)  # type: ignore[arg-type]
        for p in packets:
            made.frame(number, p.kind, p.time_us, p.data, p.keyframe, p.codec)
    assert (await made.finish()).complete and not failures
    found = streams(PartReader(store.open("p"), DEK))
    assert [one.label for one in found][:3] == ["customer", "expert 0", "expert 1"]
    assert len(found) == 21 and all(one.pictures for one in found)
