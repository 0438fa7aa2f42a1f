"""A process of our own kept running: calls over its standard input and output, deadlines, restarts.

The other end reads requests with :func:`kyc.wire.read` and answers each under its number. Nothing
here loads a numeric library, so the process that serves calls stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
from collections.abc import Sequence

from kyc import wire
from kyc.check import BadInput, Error

log = logging.getLogger(__name__)

PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # before each further start in a row
_F_SETPIPE_SZ = 1031  # Linux; a 720p frame then takes 3 turns of the loop and not 42


class Unavailable(Error):
    """The process is dead, hung or not ready."""


class Kept:
    """A process that is started again whenever it ends or misses a deadline."""

    def __init__(self, name: str, command: Sequence[str], *, load_s: float, call_s: float) -> None:
        self._name = name
        self._command = list(command)
        self._load_s = load_s
        self._call_s = call_s
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Start the process; returns at once, :meth:`ready` waits until models are loaded."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_running())

    async def close(self) -> None:
        """End the process and everything open in it."""
        if self._keeper is None:
            return
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        self._keeper = None

    async def ready(self) -> Process:
        """The running process once its models are loaded.

        Raises:
            Unavailable: it was not started, or its models are not loaded in time.
        """
        if self._keeper is None:
            raise Unavailable("not started")
        try:
            async with asyncio.timeout(self._load_s):
                while self._process is None or not self._process.ready:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Unavailable("models are not loaded") from None
        return self._process

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            if await self._live_once():
                failures = 0
            pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            failures += 1
            log.warning("x %s process ended, starting again in %.1f s", self._name, pause)
            await asyncio.sleep(pause)

    async def _live_once(self) -> bool:
        """One life of the process, to its end; whether it got as far as loading its models."""
        try:
            process = await Process.spawn(self._name, self._command, self._call_s)
        except OSError as error:
            log.error("x %s process cannot be started: %s", self._name, error)
            return False
        try:
            await process.load(self._load_s)
            self._process = process
            self._changed.set()
            await process.ended()
            return True
        except Unavailable:
            return False
        finally:
            self._process = None
            await process.kill()


class Process:
    """One life of the process: calls in flight, matched to replies by number."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, call_s: float) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.ready = False
        self._name = name
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._call_s = call_s
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[wire.Body]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls, name: str, command: Sequence[str], call_s: float) -> Process:
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
        return cls(name, process, call_s)

    async def load(self, deadline_s: float) -> None:
        """Wait until the models are loaded."""
        await self.call({"verb": "hello"}, deadline_s)
        self.ready = True

    async def ended(self) -> None:
        await asyncio.wait([self._reader])

    async def call(self, body: wire.Body, deadline_s: float | None = None) -> wire.Body:
        """Send one request and wait for its reply; a missed deadline ends the process."""
        if self._reader.done():
            raise Unavailable(f"the {self._name} process has ended")
        number = next(self._numbers)
        future: asyncio.Future[wire.Body] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(deadline_s or self._call_s):
                self._stdin.writelines(wire.pack({**body, "number": number}))
                await self._stdin.drain()
                reply = await future
        except TimeoutError:
            log.warning("x %s process missed a deadline (%s)", self._name, body["verb"])
            self._reader.cancel()
            raise Unavailable("deadline missed") from None
        except (OSError, RuntimeError) as error:
            raise Unavailable(f"the {self._name} process has ended") from error
        finally:
            self._waiting.pop(number, None)
        if "bad_input" in reply:
            raise BadInput(reply["bad_input"])
        if "error" in reply:
            raise Unavailable(reply["error"])
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
            log.info("- %s process closed its end", self._name)
        except wire.Garbled as error:
            log.warning("x %s process sent no message: %s", self._name, error)
        finally:
            self.ready = False
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Unavailable(f"the {self._name} process has ended"))
