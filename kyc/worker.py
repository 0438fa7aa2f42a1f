"""The inference process and its client.

``python -m kyc.worker --models DIR`` is the process; :class:`Inference` starts it, talks to it
over its standard input and output, and starts it again when it dies or hangs. The client side
loads no numeric library, so the process that serves calls stays small.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

from kyc import wire
from kyc.check import Finding, Guidance
from kyc.process import Kept, Process, Unavailable

LOAD_S = 90.0  # reading and verifying every model on a slow disk
CALL_S = 15.0  # a frame is answered in well under a second; beyond this the process hangs

InferenceUnavailable = Unavailable
"The inference process is dead, hung or not ready: the check could not be made."


class LiveCheck:
    """One open check in the inference process."""

    def __init__(self, process: Process, number: int) -> None:
        self._process = process
        self._number = number

    async def see(
        self, *, width: int, height: int, bgr: bytes, media_time_us: int
    ) -> Guidance | Finding:
        """Look at one frame: ``bgr`` holds height × width × 3 bytes, rows from the top."""
        return wire.decode_answer(
            await self._process.call(
                {
                    "verb": "see",
                    "check": self._number,
                    "width": width,
                    "height": height,
                    "bgr": bgr,
                    "media_time_us": media_time_us,
                }
            )
        )

    async def expire(self, media_time_us: int) -> Finding:
        """Time is up: the finding on what has been seen so far."""
        body = {"verb": "expire", "check": self._number, "media_time_us": media_time_us}
        answer = wire.decode_answer(await self._process.call(body))
        if not isinstance(answer, Finding):
            raise wire.Garbled("expire was not answered with a finding")
        return answer


class Inference:
    """The inference process as the serving process sees it.

    Every call may raise :class:`InferenceUnavailable`; the process restarts by itself and checks
    that were open in it are gone. A bad parameter raises :class:`kyc.check.BadInput`.
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
        command = command or [
            sys.executable, "-m", "kyc.worker", "--models", str(models_dir),
            "--threads", str(threads),
        ]  # fmt: skip
        self._kept = Kept("inference", command, load_s=load_s, call_s=call_s)

    async def start(self) -> None:
        """Start the process; returns at once, the first call waits until models are loaded."""
        self._kept.start()

    async def close(self) -> None:
        """End the process and every open check."""
        await self._kept.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def models(self) -> dict[str, str]:
        """Name to SHA-256 of every model loaded."""
        process = await self._kept.ready()
        return dict((await process.call({"verb": "models"}))["models"])

    async def memory(self) -> dict[str, int]:
        """Resident memory of the inference process, bytes: ``now`` and ``peak``."""
        process = await self._kept.ready()
        return dict((await process.call({"verb": "memory"}))["memory"])

    @contextlib.asynccontextmanager
    async def open(self, check: str, **params: Any) -> AsyncIterator[LiveCheck]:
        """Open a check by name: id_card_front, id_card_back, face_match or liveness."""
        process = await self._kept.ready()
        reply = await process.call({"verb": "open", "name": check, "params": params})
        number = int(reply["check"])
        try:
            yield LiveCheck(process, number)
        finally:
            process.tell({"verb": "close", "check": number})


if __name__ == "__main__":
    from kyc.engine import main

    sys.exit(main())
