"""Our server as a process of its own, and the way into it over its real signalling."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType

from benchmarks.client import Client
from benchmarks.process import cpu_s

START_S = 20.0
STOP_S = 30.0


class Ours:
    """``async with Ours(…) as server``: the process runs, `seat` lets people in."""

    label = "video bank"

    def __init__(
        self,
        *,
        record: Path | None = None,
        address: str = "127.0.0.1",
        core: int | None = None,
        realtime: bool = False,
        checks: tuple[Path, Path] | None = None,
    ) -> None:
        """`checks`: models and a picture of a card, for checks all the while."""
        self.record = record
        self._arguments = ["--address", address]
        if record is not None:
            record.mkdir(parents=True, exist_ok=True)
            self._arguments += ["--record", str(record)]
        if checks is not None:
            self._arguments += ["--checks", str(checks[0]), "--card", str(checks[1])]
        if core is not None:
            self._arguments += ["--core", str(core)]
        if realtime:
            self._arguments += ["--realtime"]
        self._address = address
        self._process: Process | None = None
        self._http = ClientSession(connector=TCPConnector(limit=0))
        self._pages: list[Page] = []

    async def __aenter__(self) -> Ours:
        command = [sys.executable, "-m", "benchmarks.server", *self._arguments]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_S)
        self.url = f"http://{self._address}:{json.loads(line)['port']}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for page in self._pages:
            await page.close()
        await self._http.close()
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        """Of the server's process."""
        assert self._process is not None
        return self._process.pid

    async def figures(self, *, collect: bool = False) -> dict[str, Any]:
        """What the server says of itself."""
        query = "?collect=1" if collect else ""
        async with self._http.get(f"{self.url}/figures{query}") as answer:
            return dict(await answer.json())

    async def recorder_cpu_s(self) -> float:
        """Processor seconds of the recorders' threads so far."""
        threads = (await self.figures())["recorder_threads"]
        return sum(cpu_s(self.pid, thread) for thread in threads)

    async def page(self, room: str, person: str) -> Page:
        """Somebody's open page, already in the room."""
        socket = await self._http.ws_connect(
            f"{self.url}/ws?id={person}", headers={"Origin": self.url}
        )
        page = Page(socket)
        self._pages.append(page)
        await page.ask("joined", type="join", room=room)
        return page

    async def seat(self, room: str, person: str, client: Client) -> Page:
        """Let somebody in and connect their media."""
        page = await self.page(room, person)
        await page.call(client)
        return page

    async def leave(self, page: Page) -> None:
        """Close somebody's page."""
        self._pages.remove(page)
        await page.close()

    async def call(self, number: int) -> list[Client]:
        """One session of two, connected."""
        clients = [Client(), Client()]
        for person, client in zip(("customer", "teller"), clients, strict=True):
            await self.seat(f"call-{number}", person, client)
        return clients

    async def end(self, room: str) -> dict[str, str]:
        """Close a session; its part and key if it was recorded."""
        async with self._http.post(f"{self.url}/end?room={room}") as answer:
            return dict(await answer.json())


class Page:
    """A browser page's WebSocket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._calls = 0
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            body = json.loads(message.data)
            waiting = self._waiting.pop(body["type"], None)
            if waiting is not None:
                waiting.set_result(body)
            elif body["type"] == "error":
                for one in self._waiting.values():
                    one.set_exception(ConnectionError(body["code"]))
                self._waiting.clear()

    async def ask(self, answer: str, **message: object) -> dict[str, Any]:
        """Send a message; the next of the type `answer` that comes."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[answer] = future
        await self._socket.send_json(message)
        return await asyncio.wait_for(future, 20)

    async def call(
        self, client: Client, detour: Callable[[str], Awaitable[str]] | None = None
    ) -> None:
        """Connect a client's media; `detour` may change the answer on its way to the client."""
        self._calls += 1
        offer = await client.offer()
        client.offered_at = time.monotonic()
        answer = await self.ask("answer", type="offer", call=self._calls, sdp=offer)
        sdp = str(answer["sdp"])
        await client.accept(await detour(sdp) if detour else sdp)
        await client.connected()

    async def close(self) -> None:
        """Close the page."""
        self._listening.cancel()
        await self._socket.close()
