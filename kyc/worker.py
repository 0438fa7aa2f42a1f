"""The inference process and its client.

``python -m kyc.worker --models DIR`` is the process; :class:`Inference` starts it, talks to it
over its standard input and output, and starts it again when it dies or hangs. The client side
loads no numeric library, so the process that serves calls stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

from kyc import wire
from kyc.check import BadInput, Error, Finding, Guidance

log = logging.getLogger(__name__)

LOAD_S = 90.0  # reading and verifying every model on a slow disk
CALL_S = 15.0  # a frame is answered in well under a second; beyond this the process hangs
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # before each further start in a row
_F_SETPIPE_SZ = 1031  # Linux; a 720p frame then takes 3 turns of the loop and not 42


class InferenceUnavailable(Error):
    """The inference process is dead, hung or not ready: the check could not be made."""


class LiveCheck:
    """One open check in the inference process."""

    def __init__(self, process: _Process, number: int) -> None:
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
        self._command = list(command) if command else [
            sys.executable, "-m", "kyc.worker", "--models", str(models_dir),
            "--threads", str(threads),
        ]  # fmt: skip
        self._load_s = load_s
        self._call_s = call_s
        self._process: _Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Start the process; returns at once, the first call waits until models are loaded."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_running())

    async def close(self) -> None:
        """End the process and every open check."""
        if self._keeper is None:
            return
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        self._keeper = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def models(self) -> dict[str, str]:
        """Name to SHA-256 of every model loaded."""
        process = await self._ready()
        return dict((await process.call({"verb": "models"}))["models"])

    async def memory(self) -> dict[str, int]:
        """Resident memory of the inference process, bytes: ``now`` and ``peak``."""
        process = await self._ready()
        return dict((await process.call({"verb": "memory"}))["memory"])

    @contextlib.asynccontextmanager
    async def open(self, check: str, **params: Any) -> AsyncIterator[LiveCheck]:
        """Open a check by name: id_card_front, id_card_back, face_match or liveness."""
        process = await self._ready()
        reply = await process.call({"verb": "open", "name": check, "params": params})
        number = int(reply["check"])
        try:
            yield LiveCheck(process, number)
        finally:
            process.tell({"verb": "close", "check": number})

    async def _ready(self) -> _Process:
        """The running process once its models are loaded."""
        if self._keeper is None:
            raise InferenceUnavailable("not started")
        try:
            async with asyncio.timeout(self._load_s):
                while self._process is None or not self._process.ready:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise InferenceUnavailable("models are not loaded") from None
        return self._process

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            if await self._live_once():
                failures = 0
            pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            failures += 1
            log.warning("x inference process ended, starting again in %.1f s", pause)
            await asyncio.sleep(pause)


    async def _live_once(self) -> bool:
        """One life of the process, to its end; whether it got as far as loading its models."""
        try:
            process = await _Process.spawn(self._command, self._call_s)
        except OSError as error:
            log.error("x inference process cannot be started: %s", error)
            return False
        try:
            await process.load(self._load_s)
            self._process = process
            self._changed.set()
            await process.ended()
            return True
        except InferenceUnavailable:
            return False
        finally:
            self._process = None
            await process.kill()


class _Process:
    """One life of the inference process: calls in flight, matched to replies by number."""

    def __init__(self, process: asyncio.subprocess.Process, call_s: float) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.ready = False
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._call_s = call_s
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[wire.Body]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls, command: Sequence[str], call_s: float) -> _Process:
        # Glibc gives each thread its own heap: two are enough here and save 100 MB and more.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=1 << 22,
        )
        assert process.stdin is not None
        pipe = process.stdin.transport.get_extra_info("pipe")
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, 1 << 20)
        return cls(process, call_s)

    async def load(self, deadline_s: float) -> None:
        """Wait until the models are loaded."""
        await self.call({"verb": "hello"}, deadline_s)
        self.ready = True

    async def ended(self) -> None:
        await asyncio.wait([self._reader])

    async def call(self, body: wire.Body, deadline_s: float | None = None) -> wire.Body:
        """Send one request and wait for its reply; a missed deadline ends the process."""
        if self._reader.done():
            raise InferenceUnavailable("the inference process has ended")
        number = next(self._numbers)
        future: asyncio.Future[wire.Body] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(deadline_s or self._call_s):
                self._stdin.writelines(wire.pack({**body, "number": number}))
                await self._stdin.drain()
                reply = await future
        except TimeoutError:
            log.warning("x inference process missed a deadline (%s)", body["verb"])
            self._reader.cancel()
            raise InferenceUnavailable("deadline missed") from None
        except (OSError, RuntimeError) as error:
            raise InferenceUnavailable("the inference process has ended") from error
        finally:
            self._waiting.pop(number, None)
        if "bad_input" in reply:
            raise BadInput(reply["bad_input"])
        if "error" in reply:
            raise InferenceUnavailable(reply["error"])
        return reply

    def tell(self, body: wire.Body) -> None:
        """Send without waiting for a reply."""
        if not self._reader.done():
            with contextlib.suppress(OSError, RuntimeError):
                self._stdin.writelines(wire.pack({**body, "number": 0}))

    async def kill(self) -> None:
        self.ready = False
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._stdin.close()

    async def _read(self) -> None:
        try:
            while True:
                reply = await wire.receive(self._stdout)
                future = self._waiting.get(reply.get("number", 0))
                if future is not None and not future.done():
                    future.set_result(reply)
        except (asyncio.IncompleteReadError, OSError):
            log.info("- inference process closed its end")
        except wire.Garbled as error:
            log.warning("x inference process sent no message: %s", error)
        finally:
            self.ready = False
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(
                        InferenceUnavailable("the inference process has ended")
                    )


if __name__ == "__main__":
    from kyc.engine import main

    sys.exit(main())
