"""Janus, the server in C, under the same load: its VideoCall plugin over its WebSocket.

Janus offers no loopback candidates, so the benchmark runs in a network namespace of its own with
an address that is none (`enter_namespace`).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectionError, ClientSession, ClientWebSocketResponse, WSMsgType

from benchmarks.client import Client
from benchmarks.process import settle_on

ADDRESS = "10.99.0.1"
PORT = 8188
INSIDE = "VIDEO_BANK_BENCH_NAMESPACE"
MISSING = "Janus is missing: apt-get install janus (it need not run as a service)"
START_S = 10.0


def available() -> bool:
    """Is Janus installed?"""
    return shutil.which("janus") is not None


def enter_namespace() -> None:
    """Run this very command again in a network namespace of its own; needs the right to make one.

    Returns only inside.
    """
    if INSIDE not in os.environ:
        environment = {**os.environ, INSIDE: "1"}
        command = ["unshare", "--net", sys.executable, "-m", "benchmarks.media", *sys.argv[1:]]
        sys.exit(subprocess.call(command, env=environment))
    for line in (
        "link set lo up",
        "link add bench0 type veth peer name bench1",
        f"address add {ADDRESS}/24 dev bench0",
        "link set bench0 up",
        "link set bench1 up",
    ):
        subprocess.run(["ip", *line.split()], check=True)


class Janus:
    """``async with Janus(…) as server``: the process runs with settings of its own."""

    label = "janus"

    def __init__(self, directory: Path, *, record: bool, core: int, realtime: bool) -> None:
        self._directory = directory
        self._record = record
        self._core, self._realtime = core, realtime
        self._process: Process | None = None
        self._http = ClientSession()
        self._last = 0
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._events: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int:
        """Of Janus's process."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Janus:
        self._directory.mkdir(parents=True)
        self._configure()
        command = ["janus", "-F", str(self._directory), "-i", ADDRESS]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=DEVNULL, stderr=DEVNULL, preexec_fn=self._settle
        )
        self._socket = await self._open()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep())]
        self._session = int((await self._ask(janus="create"))["data"]["id"])
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._http.close()
        assert self._process is not None
        self._process.kill()  # its own farewell to many calls takes longer than the benchmark
        await self._process.wait()

    def _settle(self) -> None:
        settle_on(self._core, realtime=self._realtime)

    def _configure(self) -> None:
        """Debian's defaults, without the plugins and ways in that are not used."""
        here = self._directory
        (here / "janus.jcfg").write_text(
            "general: { debug_level = 1 }\n"
            'plugins: { disable = "libjanus_audiobridge.so,libjanus_duktape.so,'
            "libjanus_echotest.so,libjanus_lua.so,libjanus_nosip.so,libjanus_recordplay.so,"
            "libjanus_sip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videoroom.so,"
            'libjanus_voicemail.so" }\n'
            'transports: { disable = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,'
            'libjanus_pfunix.so,libjanus_rabbitmq.so" }\n'
        )
        (here / "janus.transport.websockets.jcfg").write_text(
            f'general: {{ ws = true\n ws_port = {PORT}\n ws_ip = "{ADDRESS}" }}\n'
        )

    async def _open(self) -> ClientWebSocketResponse:
        for _ in range(int(START_S / 0.05)):
            try:
                return await self._http.ws_connect(
                    f"ws://{ADDRESS}:{PORT}/", protocols=["janus-protocol"]
                )
            except ClientConnectionError:
                await asyncio.sleep(0.05)
        raise TimeoutError("Janus does not answer")

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            body = json.loads(message.data)
            if body["janus"] == "event":
                self._queue(body["sender"]).put_nowait(body)
            elif body["janus"] != "ack" and body.get("transaction") in self._answers:
                self._answers.pop(body["transaction"]).set_result(body)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(20)
            await self._tell(janus="keepalive", session_id=self._session)

    def _queue(self, handle: int) -> asyncio.Queue[dict[str, Any]]:
        return self._events.setdefault(handle, asyncio.Queue())

    async def _tell(self, **body: object) -> str:
        self._last += 1
        await self._socket.send_json({**body, "transaction": str(self._last)})
        return str(self._last)

    async def _ask(self, **body: object) -> dict[str, Any]:
        future = asyncio.get_running_loop().create_future()
        self._answers[str(self._last + 1)] = future
        await self._tell(**body)
        return dict(await asyncio.wait_for(future, 10))

    async def _attach(self, name: str) -> int:
        answer = await self._ask(
            janus="attach", session_id=self._session, plugin="janus.plugin.videocall"
        )
        handle = int(answer["data"]["id"])
        await self._say(handle, {"request": "register", "username": name})
        await self._event(handle, "registered")
        return handle

    async def _say(
        self, handle: int, body: dict[str, object], sdp: dict[str, str] | None = None
    ) -> None:
        message: dict[str, object] = {"janus": "message", "body": body}
        if sdp is not None:
            message["jsep"] = sdp
        await self._tell(session_id=self._session, handle_id=handle, **message)

    async def _event(self, handle: int, name: str) -> dict[str, Any]:
        while True:
            event = await asyncio.wait_for(self._queue(handle).get(), 10)
            data = event["plugindata"]["data"]
            if "error" in data:
                raise ConnectionError(data["error"])
            if data.get("result", {}).get("event") == name:
                return event

    async def call(self, number: int) -> list[Client]:
        """One session of two, connected; recorded if asked for."""
        names = [f"{number}-customer", f"{number}-teller"]
        handles = [await self._attach(name) for name in names]
        caller, callee = clients = [Client(), Client()]
        offer = {"type": "offer", "sdp": await caller.offer()}
        await self._say(handles[0], {"request": "call", "username": names[1]}, offer)
        rings = await self._event(handles[1], "incomingcall")
        answer = {"type": "answer", "sdp": await callee.answer(rings["jsep"]["sdp"])}
        await self._say(handles[1], {"request": "accept"}, answer)
        accepted = await self._event(handles[0], "accepted")
        await caller.accept(accepted["jsep"]["sdp"])
        for handle in handles:
            await self._tell(
                janus="trickle", session_id=self._session, handle_id=handle,
                candidate={"completed": True},
            )  # fmt: skip
        await asyncio.gather(*(client.connected() for client in clients))
        for name, handle in zip(names, handles, strict=True):
            wish: dict[str, object] = {
                "request": "set", "audio": True, "video": True, "bitrate": 0,
            }  # fmt: skip
            if self._record:
                wish |= {"record": True, "filename": str(self._directory / name)}
            await self._say(handle, wish)
        return clients
