"""Digits asked in a call: sound in, guidance out, always a finding."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from kyc.check import Finding, Guidance, Verdict
from kyc.listener import Heard, Listener
from kyc.process import Unavailable
from kyc.speech import Utterance
from kyc.worker import Inference
from video_bank import hearing as module
from video_bank.feed import Camera
from video_bank.hearing import Hearing

S = 1_000_000


@dataclass
class Piece:
    pcm: bytes
    time_us: int


class Call:
    """A clock, a microphone, a camera."""

    def __init__(self) -> None:
        self.now, self.sound = 10 * S, True

    def media_time_us(self, session: str) -> int:
        return self.now

    async def sounds(self, session: str) -> AsyncGenerator[Piece, None]:
        while self.sound:
            await asyncio.sleep(0.002)
            self.now += 200_000
            yield Piece(b"\x00\x00" * 3200, self.now)
        await asyncio.Event().wait()

    async def pictures(self, session: str, fps: float) -> AsyncGenerator[Any, None]:
        while True:
            await asyncio.sleep(0.002)
            yield type("P", (), {"width": 1, "height": 1, "bgr": b"123", "time_us": self.now})()


class Ears:
    """A listening process that hears what the person on the screen is asked, or something else."""

    def __init__(self, call: Call, wrong: bool = False, gone: bool = False) -> None:
        self.call, self.wrong, self.gone, self.asked = call, wrong, gone, ""
        self.prepared = False

    def prepare(self) -> None:
        self.prepared = True

    async def models(self) -> dict[str, str]:
        if self.gone:
            raise Unavailable("not installed")
        return {"speech_recognition": "ab"}

    @contextlib.asynccontextmanager
    async def open(self, language: str, *, digits: bool) -> AsyncIterator["Ears"]:
        yield self

    async def hear(self, pcm: bytes, time_us: int) -> Heard:
        digits = self.asked.replace(" ", "")
        self.asked = ""
        if not digits or not pcm:
            return Heard([], False, 0)
        other = "".join(str((int(each) + 5) % 10) for each in digits)
        text = other if self.wrong else digits
        return Heard([Utterance(text, "zh", self.call.now, self.call.now + 2 * S, 0.9)], False, 0)

    def guide(self, guidance: Guidance) -> None:
        self.asked = guidance.prompt or ""


class Face:
    """The inference process following a mouth."""

    async def see(self, **picture: Any) -> Guidance:
        return Guidance("listening")

    async def expire(self, time_us: int) -> Finding:
        openings = [[9 * S + at * 100_000, 0.1 * (at % 2)] for at in range(60)]
        return Finding("mouth", Verdict.NOT_CHECKED, "followed", values={"openings": openings})

    @contextlib.asynccontextmanager
    async def open(self, check: str) -> AsyncIterator["Face"]:
        assert check == "mouth"
        yield self


async def heard(call: Call, ears: Ears, *, watch_mouth: bool = True) -> Finding:
    hearing = Hearing(
        cast(Listener, ears), cast(Inference, Face()), cast(Any, call), cast(Camera, call)
    )
    async with asyncio.timeout(10):
        return await hearing.digits("s", ears.guide, language="zh", watch_mouth=watch_mouth)


async def test_the_right_digits_pass_and_the_mouth_is_told() -> None:
    call = Call()
    finding = await heard(call, Ears(call))
    assert (finding.check, finding.verdict) == ("spoken_digits", Verdict.PASSED)
    assert finding.values["mouth_moved"]["verdict"] == "passed"
    assert finding.models == {"speech_recognition": "ab"}


async def test_other_digits_fail_after_some_rounds() -> None:
    call = Call()
    finding = await heard(call, Ears(call, wrong=True), watch_mouth=False)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "other_digits")
    assert len(finding.values["rounds"]) == 3
    assert finding.values["mouth_moved"]["reason"] == "no_pictures"


async def test_without_models_it_is_not_checked() -> None:
    call = Call()
    finding = await heard(call, Ears(call, gone=True))
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "hearing_unavailable")


async def test_a_microphone_that_is_off_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.02)
    monkeypatch.setattr(module, "NO_SOUND_S", 0.1)
    call = Call()
    call.sound = False
    finding = await heard(call, Ears(call))
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "no_sound")


async def test_it_can_be_stopped() -> None:
    call = Call()
    call.sound = False
    task = asyncio.create_task(heard(call, Ears(call)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
