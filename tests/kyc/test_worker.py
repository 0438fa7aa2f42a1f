"""The client and the process it keeps: deadlines, deaths, restarts, and one real check."""

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kyc import process
from kyc.check import BadInput, Finding, Guidance, Verdict
from kyc.image import Bgr
from kyc.worker import Inference, InferenceUnavailable

FRAME: Any = {"width": 64, "height": 48, "bgr": bytes(64 * 48 * 3), "media_time_us": 1}

STUB = """
    import sys, time
    from kyc import wire
    opened = 0
    while (request := wire.read(sys.stdin.buffer)) is not None:
        verb, reply = request["verb"], {}
        if verb == "open":
            if request["name"] == "unknown":
                reply = {"bad_input": "unknown_check"}
            else:
                reply = {"check": 1}
                name, params = request["name"], request["params"]
        elif verb == "see":
            if name == "dies":
                sys.exit(3)
            if name == "hangs":
                time.sleep(60)
            if name == "garbles":
                sys.stdout.buffer.write(b"garbage, not a message")
                sys.stdout.flush()
                time.sleep(60)
            if name == "breaks":
                reply = {"error": "ValueError"}
            else:
                hint = "closer" if params.get("portrait") != b"jpeg" else "matched_bytes"
                reply = {"guidance": {"hint": hint, "progress": 0.5, "prompt": None,
                                      "deadline_s": None, "quad": None}}
        elif verb == "memory":
            reply = {"memory": {"now": 5, "peak": 7}}
        for chunk in wire.pack({**reply, "number": request["number"]}):
            if request["number"]:
                sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
"""


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Inference]:
    """A client whose process answers by rule; restarts come quickly."""
    monkeypatch.setattr(process, "PAUSES_S", (0.05,))
    command = [sys.executable, "-c", textwrap.dedent(STUB)]
    return lambda: Inference(models_dir=Path(), command=command, load_s=30, call_s=1.0)


async def test_a_check_is_opened_and_sees(stub: Callable[[], Inference]) -> None:
    async with stub() as inference, inference.open("face_match", portrait=b"jpeg") as live:
        answer = await live.see(**FRAME)
        assert answer == Guidance("matched_bytes", 0.5)
        assert await inference.memory() == {"now": 5, "peak": 7}


async def test_bad_input_comes_back_as_such(stub: Callable[[], Inference]) -> None:
    async with stub() as inference:
        with pytest.raises(BadInput) as refusal:
            async with inference.open("unknown"):
                pass
        assert refusal.value.code == "unknown_check"


@pytest.mark.parametrize("name", ["dies", "hangs", "garbles"])
async def test_a_lost_process_is_unavailable_and_started_again(
    stub: Callable[[], Inference], name: str
) -> None:
    async with stub() as inference:
        async with inference.open(name) as live:
            with pytest.raises(InferenceUnavailable):
                await live.see(**FRAME)
            with pytest.raises(InferenceUnavailable):
                await live.see(**FRAME)
        async with inference.open("face_match") as live:
            assert isinstance(await live.see(**FRAME), Guidance)


async def test_a_fault_in_one_check_leaves_the_process_running(
    stub: Callable[[], Inference],
) -> None:
    async with stub() as inference, inference.open("breaks") as live:
        for _ in range(2):
            with pytest.raises(InferenceUnavailable, match="ValueError"):
                await live.see(**FRAME)


async def test_calls_in_flight_all_hear_of_a_death(stub: Callable[[], Inference]) -> None:
    async with stub() as inference, inference.open("hangs") as live:
        calls = [asyncio.create_task(live.see(**FRAME)) for _ in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, InferenceUnavailable) for result in results)


async def test_a_process_that_never_starts_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PAUSES_S", (0.05,))
    command = [sys.executable, "-c", "raise SystemExit(1)"]
    async with Inference(models_dir=Path(), command=command, load_s=1.0) as inference:
        with pytest.raises(InferenceUnavailable):
            await inference.models()


async def test_a_program_that_is_not_there_is_unavailable() -> None:
    command = ["/nonexistent/python"]
    async with Inference(models_dir=Path(), command=command, load_s=0.5) as inference:
        with pytest.raises(InferenceUnavailable):
            await inference.models()


async def test_calls_before_the_start_are_unavailable() -> None:
    with pytest.raises(InferenceUnavailable):
        await Inference(models_dir=Path()).models()


async def test_closing_twice_is_fine(stub: Callable[[], Inference]) -> None:
    inference = stub()
    await inference.start()
    await inference.start()
    await inference.close()
    await inference.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inference(models_dir: Path) -> AsyncIterator[Inference]:
    """The real process."""
    client = Inference(models_dir=models_dir, threads=1)
    await client.start()
    yield client
    await client.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_real_process_reads_a_card(
    inference: Inference, card: Callable[[str], Bgr]
) -> None:
    names = await inference.models()
    assert len(names) == 7 and all(len(sha256) == 64 for sha256 in names.values())
    bgr = card("d13_front_frame")
    height, width = bgr.shape[:2]
    slowest, hints = 0.0, []
    loop = asyncio.get_running_loop()
    async with inference.open("id_card_front", today="2026-11-22") as live:
        for number in range(300):
            began = loop.time()
            answer = await live.see(
                width=width, height=height, bgr=bgr.tobytes(), media_time_us=number * 250_000
            )
            slowest = max(slowest, loop.time() - began)
            if isinstance(answer, Finding):
                break
            hints.append(answer.hint)
            await asyncio.sleep(0.25)
    assert isinstance(answer, Finding)
    assert (answer.verdict, answer.values["id"]["value"]) == (
        Verdict.PASSED,
        "371102199002215210",
    )
    # Reading goes on in the background: no frame waits for it.
    assert len(hints) >= 2 and set(hints) == {"reading"}
    assert slowest < 1.5
    assert (await inference.memory())["peak"] < 1.2e9


@pytest.mark.asyncio(loop_scope="module")
async def test_the_real_process_refuses_a_frame_of_the_wrong_size(inference: Inference) -> None:
    async with inference.open("liveness", prompts=["left"]) as live:
        with pytest.raises(BadInput):
            await live.see(width=640, height=480, bgr=b"short", media_time_us=0)
        answer = await live.see(width=64, height=48, bgr=bytes(64 * 48 * 3), media_time_us=0)
        assert isinstance(answer, Guidance) and answer.hint == "no_face"
        finding = await live.expire(5)
        assert finding.verdict is Verdict.NOT_CHECKED
