"""The listening process: reads sound from its standard input, answers with what was said.

Pieces of sound are answered at once with whatever has been written down meanwhile; utterances are
recognised in one thread, one after another. The process ends with its input.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kyc import wire
from kyc.check import BadInput, Error
from kyc.engine import end_with, memory, private_streams
from kyc.speech import LANGUAGES, Cut, Cutter, Recogniser, Utterance

log = logging.getLogger(__name__)

BACKLOG = 8
"Utterances one voice may have waiting; what comes on top is answered without words."
FINISH_S = 15.0
PIECE_BYTES = 1 << 20  # half a minute


def main(arguments: list[str] | None = None) -> int:
    """Command line of ``python -m kyc.listener``."""
    from kyc.models import prepare

    options = _parser().parse_args(arguments)
    source, sink = private_streams()
    loaded = threading.Event()
    threading.Thread(target=end_with, args=(source, loaded), daemon=True).start()
    try:
        prepared = prepare(options.models, "hearing")
        ears = Ears(Recogniser(prepared, options.threads), prepared.sha256())
    except Error as error:
        log.error("x %s", error.diagnostics())
        return 1
    loaded.set()
    wire.serve(source, sink, ears.handle)
    sys.stderr.flush()
    os._exit(0)  # a recognition under way would hold the process for another second


class Voice:
    """One voice listened to: its cutter and what waits to be written down."""

    def __init__(self, cutter: Cutter, language: str | None, digits: bool) -> None:
        self.cutter, self.language, self.digits = cutter, language, digits
        self.waiting: list[Future[Utterance]] = []

    def written(self) -> list[Utterance]:
        """Utterances done, in order."""
        done: list[Utterance] = []
        while self.waiting and self.waiting[0].done():
            done.append(self.waiting.pop(0).result())
        return done


class Ears:
    """The loaded models and the voices listened to in this process."""

    def __init__(self, recogniser: Recogniser, models: dict[str, str]) -> None:
        self._recogniser = recogniser
        self._models = models
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._voices: dict[int, Voice] = {}
        self._opened = 0

    def handle(self, request: wire.Body) -> wire.Body:
        """The reply to one request."""
        match request.get("verb"):
            case "hello":
                return {}
            case "models":
                return {"models": self._models}
            case "memory":
                return {"memory": memory()}
            case "open":
                self._opened += 1
                self._voices[self._opened] = self._voice(request)
                return {"ear": self._opened}
            case "hear":
                return self._hear(request)
            case "finish":
                return self._finish(self._known(request))
            case "close":
                if voice := self._voices.pop(request["ear"], None):
                    for future in voice.waiting:
                        future.cancel()
                return {}
        raise BadInput("unknown_verb")

    def _voice(self, request: wire.Body) -> Voice:
        language, digits = request.get("language"), request.get("digits", False)
        if language not in (None, *LANGUAGES):
            raise BadInput("language")
        if not isinstance(digits, bool):
            raise BadInput("digits")
        return Voice(self._recogniser.cutter(), language, digits)

    def _known(self, request: wire.Body) -> Voice:
        voice = self._voices.get(request["ear"])
        if voice is None:
            raise BadInput("unknown_ear")
        return voice

    def _hear(self, request: wire.Body) -> wire.Body:
        voice, pcm = self._known(request), request["pcm"]
        if not isinstance(pcm, bytes) or len(pcm) > PIECE_BYTES:
            raise BadInput("sound")
        self._submit(voice, voice.cutter.feed(pcm, int(request["media_time_us"])))
        return _known_now(voice)

    def _finish(self, voice: Voice) -> wire.Body:
        self._submit(voice, voice.cutter.finish())
        for future in voice.waiting:
            future.exception(FINISH_S)
        return _known_now(voice)

    def _submit(self, voice: Voice, cuts: list[Cut]) -> None:
        for cut in cuts:
            if len(voice.waiting) < BACKLOG:
                future = self._writing.submit(
                    self._recogniser.write, cut, voice.language, digits=voice.digits
                )
            else:
                future = Future()
                language = voice.language or LANGUAGES[0]
                future.set_result(Utterance("", language, cut.from_us, cut.to_us, 0.0))
            voice.waiting.append(future)


def _known_now(voice: Voice) -> dict[str, Any]:
    utterances = [asdict(each) for each in voice.written()]
    return {
        "utterances": utterances,
        "speaking": voice.cutter.speaking,
        "pending": len(voice.waiting),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kyc.listener", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    return parser
