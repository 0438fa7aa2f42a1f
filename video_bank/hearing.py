"""Digits the customer reads aloud: sound out of the call, words out of the listening process.

The mouth is watched beside it, through the inference process, where faces may be looked at; that
it could not be watched is no reason not to hear.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any, Protocol

from kyc.check import BadInput, Finding, Guidance
from kyc.listener import Ear, Heard, Listener
from kyc.liveness import mouth
from kyc.liveness.digits import SpokenDigits
from kyc.process import Unavailable
from kyc.speech import LANGUAGES
from kyc.worker import Inference
from video_bank.feed import Camera

log = logging.getLogger(__name__)

SILENT_S = 0.5
"""Without sound for this long (a microphone off) the listening process is told the time."""
MOUTH_FPS = 10.0
NO_SOUND_S = 8.0
"""Without a single packet for this long there is no microphone."""

Guide = Callable[[Guidance], None]


class Sound(Protocol):
    """A piece of the customer's voice: 16 kHz, mono, signed 16-bit little endian."""

    @property
    def pcm(self) -> bytes: ...
    @property
    def time_us(self) -> int: ...


class Microphone(Protocol):
    """Where the sound of a session's customer comes from."""

    def sounds(self, session: str) -> AsyncGenerator[Sound, None]:
        """The customer's sound, decoded while somebody listens, as long as the call is up."""


class Hearing:
    """What is listened to in calls."""

    def __init__(
        self, listener: Listener, inference: Inference, microphone: Microphone, camera: Camera
    ) -> None:
        self._listener, self._inference = listener, inference
        self._microphone, self._camera = microphone, camera

    def prepare(self) -> None:
        """Somebody will be asked to speak in this call: load what listens."""
        self._listener.prepare()

    async def digits(
        self, session: str, guide: Guide, *, language: str = "zh", watch_mouth: bool = True
    ) -> Finding:
        """Ask for digits until they are heard or have been asked for often enough.

        Never raises for want of models, process or sound: that is "not checked". Cancel to stop.
        """
        language = language if language in LANGUAGES else "zh"
        check = SpokenDigits(self._now_us(session), language, {})
        openings: list[mouth.Opening] = []
        watching = asyncio.create_task(self._watch(session, openings)) if watch_mouth else None
        try:
            guide(Guidance("listening"))  # loading takes seconds where nobody prepared
            models = await self._listener.models()
            async with self._listener.open(language, digits=True) as ear:
                # Loading took its time; the person has just been asked.
                check = SpokenDigits(self._now_us(session), language, models)
                finding = await self._ask(session, guide, check, ear)
        except (Unavailable, BadInput) as error:
            log.warning("x spoken digits: %s", error.diagnostics())
            finding = check.expire("hearing_unavailable")
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        return _with_mouth(finding, openings)

    async def _ask(self, session: str, guide: Guide, check: SpokenDigits, ear: Ear) -> Finding:
        silent_since = asyncio.get_running_loop().time()
        pieces: asyncio.Queue[Sound] = asyncio.Queue()
        listening = asyncio.create_task(self._listen(session, pieces))
        try:
            while True:
                piece = await _next(pieces, SILENT_S)
                now = asyncio.get_running_loop().time()
                if piece is not None:
                    silent_since = now
                elif now - silent_since > NO_SOUND_S or listening.done():
                    return check.expire("no_sound")
                time_us = self._now_us(session)
                heard = await ear.hear(
                    piece.pcm if piece else b"", piece.time_us if piece else time_us
                )
                if finding := _judge(check, heard, time_us):
                    return finding
                guide(check.guidance(time_us, listening=heard.speaking or heard.pending > 0))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, session: str, pieces: asyncio.Queue[Sound]) -> None:
        async with contextlib.aclosing(self._microphone.sounds(session)) as sounds:
            async for sound in sounds:
                pieces.put_nowait(sound)

    async def _watch(self, session: str, openings: list[mouth.Opening]) -> None:
        """Follow the mouth; whatever hinders it only leaves the openings out."""
        try:
            async with self._inference.open(mouth.CHECK) as live:
                pictures = self._camera.pictures(session, MOUTH_FPS)
                last = 0
                try:
                    async with contextlib.aclosing(pictures):
                        async for picture in pictures:
                            last = picture.time_us
                            await live.see(
                                width=picture.width,
                                height=picture.height,
                                bgr=picture.bgr,
                                media_time_us=last,
                            )
                finally:
                    finding = await asyncio.shield(live.expire(last))
                    openings += [
                        (int(at), float(open_)) for at, open_ in finding.values["openings"]
                    ]
        except (Unavailable, BadInput) as error:
            log.info("- the mouth is not watched: %s", error.diagnostics())

    def _now_us(self, session: str) -> int:
        return self._camera.media_time_us(session) or 0


def _judge(check: SpokenDigits, heard: Heard, time_us: int) -> Finding | None:
    for utterance in heard.utterances:
        if finding := check.hear(utterance):
            return finding
    return check.tick(time_us, busy=heard.speaking or heard.pending > 0)


async def _next(pieces: asyncio.Queue[Sound], seconds: float) -> Sound | None:
    try:
        async with asyncio.timeout(seconds):
            return await pieces.get()
    except TimeoutError:
        return None


def _with_mouth(finding: Finding, openings: list[mouth.Opening]) -> Finding:
    values: dict[str, Any] = dict(finding.values)
    values["mouth_moved"] = mouth.moved(openings, values.get("from_us", 0), values.get("to_us", 0))
    return replace(finding, values=values)
