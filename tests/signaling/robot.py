"""aiortc as a browser: joins over the real WebSocket, sends and receives real VP8 and Opus."""

from __future__ import annotations

import asyncio
import fractions
import json
import math
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aioice.ice
import av
import numpy as np
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.rtcrtpparameters import RTCRtpCodecCapability

from signaling.room import Room
from signaling.socket import Caller, Connection, Entry, Refused, serve

aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

FPS = 15
WIDTH, HEIGHT = 320, 240


class Camera(MediaStreamTrack):
    """A picture of one brightness, told apart by its level, with a moving stripe."""

    kind = "video"

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level
        self.frames = 0
        self._start: float | None = None

    async def recv(self) -> av.VideoFrame:
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0, self._start + self.frames / FPS - time.monotonic()))
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        rows = bytearray(bytes([self.level]) * (WIDTH * HEIGHT))
        stripe = self.frames * 4 % HEIGHT
        rows[stripe * WIDTH : (stripe + 4) * WIDTH] = bytes([255]) * (4 * WIDTH)
        frame.planes[0].update(bytes(rows[: WIDTH * HEIGHT]))
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts, frame.time_base = self.frames * (90000 // FPS), fractions.Fraction(1, 90000)
        self.frames += 1
        return frame


class Microphone(MediaStreamTrack):
    """A tone."""

    kind = "audio"

    def __init__(self, hertz: float) -> None:
        super().__init__()
        wave = (int(8000 * math.sin(2 * math.pi * hertz * i / 48000)) for i in range(960))
        self._wave = struct.pack("960h", *wave)  # whole periods, for multiples of 50 Hz
        self._count = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0, self._start + self._count * 0.02 - time.monotonic()))
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(self._wave)
        frame.pts, frame.sample_rate = self._count * 960, 48000
        frame.time_base = fractions.Fraction(1, 48000)
        self._count += 1
        return frame


class Robot:
    """One browser page."""

    def __init__(
        self, socket: ClientWebSocketResponse, level: int = 60, hertz: float = 450
    ) -> None:
        self.socket = socket
        self.level, self.hertz = level, hertz
        self.messages: list[dict[str, Any]] = []
        self.frames: dict[str, list[tuple[float, Any]]] = {}
        "By mid: when a decoded frame came, and the frame."
        self.id = ""
        self.calls = 0
        self.connection: RTCPeerConnection | None = None
        self.screen: RTCRtpTransceiver | None = None
        self._news = asyncio.Event()
        self._tasks = [asyncio.create_task(self._listen())]

    async def _listen(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.TEXT:
                self.messages.append(json.loads(message.data))
                self._news.set()

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send_str(json.dumps({"type": kind, **fields}))

    async def expect(
        self, kind: str, fits: Callable[[dict[str, Any]], object] = lambda _: True, wait: float = 8
    ) -> dict[str, Any]:
        """The next message of this type that fits; earlier ones are put aside."""
        async with asyncio.timeout(wait):
            while True:
                for index, message in enumerate(self.messages):
                    if message["type"] == kind and fits(message):
                        del self.messages[: index + 1]
                        return message
                self._news.clear()
                await self._news.wait()

    async def join(self, room: str = "room") -> dict[str, Any]:
        await self.send("join", room=room)
        joined = await self.expect("joined")
        self.id = joined["you"]
        return joined

    async def call(
        self,
        extra_pairs: int = 0,
        sends: bool = True,
        screen: bool = False,
        video: Sequence[str] = (),
    ) -> RTCPeerConnection:
        """A new connection, up and running; with a section for screens if wished.

        `video` are the codecs it offers, else all it has in the server's order.
        """
        self.calls += 1
        # with another policy aiortc leaves a second video section on a transport it has closed
        bundled = RTCBundlePolicy.MAX_BUNDLE
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=bundled))
        if self.connection is not None:
            await self.connection.close()
        self.connection = connection
        direction = "sendrecv" if sends else "recvonly"
        connection.addTransceiver(Microphone(self.hertz) if sends else "audio", direction)
        connection.addTransceiver(Camera(self.level) if sends else "video", direction)
        for _ in range(extra_pairs):
            connection.addTransceiver("audio", "recvonly")
            connection.addTransceiver("video", "recvonly")
        self.screen = connection.addTransceiver("video", "sendrecv") if screen else None
        for transceiver in connection.getTransceivers():
            if transceiver.kind == "video" and video:
                transceiver.setCodecPreferences(_capabilities(video))
        await connection.setLocalDescription(await connection.createOffer())
        mid = self.screen.mid if self.screen is not None else None
        sdp = connection.localDescription.sdp
        await self.send("offer", call=self.calls, sdp=sdp, screen_mid=mid)
        answer = await self.expect("answer")
        assert answer["call"] == self.calls
        await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        for transceiver in connection.getTransceivers():
            self._tasks.append(asyncio.create_task(self._watch(transceiver)))
        await until(lambda: connection.connectionState == "connected")
        return connection

    async def share(self, level: int | None) -> None:
        """Share a screen of this brightness, or stop."""
        assert self.screen is not None
        self.screen.sender.replaceTrack(Camera(level) if level is not None else None)
        await self.send("screen", on=level is not None)

    def hears(self, mid: str, seconds: float = 0.6) -> float | None:
        """The strongest frequency of the last moments in hertz; None if nothing came."""
        since = time.monotonic() - seconds
        sound = [
            frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)]
            for at, frame in self.frames.get(mid, [])[-50:]
            if at > since
        ]
        samples = np.concatenate(sound or [np.zeros(1)]).astype(float)
        if len(samples) < 9600 or abs(samples).max() < 500:
            return None
        spectrum = abs(np.fft.rfft(samples * np.hanning(len(samples))))
        return float(spectrum.argmax() * 48000 / len(samples))

    async def _watch(self, transceiver: RTCRtpTransceiver) -> None:
        try:
            while True:
                frame = await transceiver.receiver.track.recv()
                self.frames.setdefault(transceiver.mid or "", []).append((time.monotonic(), frame))
        except Exception:
            return

    async def sees(self, level: int, mid: str = "1", wait: float = 8) -> float:
        """Wait for a picture of this brightness; returns when it came."""
        found: list[float] = []

        def looked() -> bool:
            found.extend(at for at, frame in self.frames.get(mid, [])[-30:] if shows(frame, level))
            return bool(found)

        await until(looked, wait)
        return found[0]

    async def hang_up(self) -> None:
        if self.connection is not None:
            await self.connection.close()
        await self.socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _capabilities(names: Sequence[str]) -> list[RTCRtpCodecCapability]:
    known = RTCRtpSender.getCapabilities("video").codecs
    return [one for name in names for one in known if one.name == name]


async def until(true: Callable[[], object], wait: float = 10) -> None:
    """Wait for a condition; TimeoutError if it does not come true."""
    end = time.monotonic() + wait
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.02)


def shows(frame: av.VideoFrame, level: int) -> bool:
    """Whether most of a picture has about this brightness."""
    sample = sorted(bytes(frame.planes[0])[::997])
    return abs(sample[len(sample) // 2] - level) < 12


class OpenGate:
    """Lets everybody in: ?id=NAME says who it is."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.open: list[Connection] = []
        self.gone: list[str] = []
        self.presence: dict[str, dict[str, Any]] = {}
        "What is special about somebody's entry."

    async def admit(self, request: web.Request) -> Caller:
        name = request.query.get("id")
        if not name:
            raise Refused("not_signed_in", 401)
        return Caller(name, request.query.get("role", "customer"), name.title())

    async def connected(self, connection: Connection) -> None:
        self.open.append(connection)

    async def enter(self, caller: Caller, room: str) -> Entry:
        if room != self.room.name:
            raise Refused("no_such_room", 404)
        special = self.presence.get(caller.id, {})
        return Entry(self.room, caller.id, caller.role, caller.name, **special)

    async def disconnected(self, connection: Connection) -> None:
        self.open.remove(connection)
        self.gone.append(connection.caller.id)


class Stage:
    """A server with one room, and robots to enter it."""

    def __init__(self, room: Room, *pages: tuple[str, Handler]) -> None:
        self.room = room
        self.gate = OpenGate(room)
        app = web.Application()
        app.router.add_get("/ws", self._ws)
        for path, handler in pages:
            app.router.add_get(path, handler)
        self.server = TestServer(app)
        self.session: ClientSession | None = None
        self.robots: list[Robot] = []

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        return await serve(request, self.gate)

    def mid(self, viewer: str, person: str, track: str = "video") -> str:
        """The section of the viewer's connection that carries somebody's track; empty: none."""
        view = next((one for one in self.room.view(viewer) if one["id"] == person), {})
        return str(view.get(f"{track}_mid") or "")

    async def robot(self, name: str, **look: Any) -> Robot:
        assert self.session is not None
        origin = str(self.server.make_url("")).rstrip("/")
        url = self.server.make_url(f"/ws?id={name}")
        robot = Robot(await self.session.ws_connect(url, headers={"Origin": origin}), **look)
        self.robots.append(robot)
        await robot.expect("welcome")
        return robot


@asynccontextmanager
async def stage(room: Room | None = None, *pages: tuple[str, Handler]) -> AsyncIterator[Stage]:
    room = room or Room("room")
    scene = Stage(room, *pages)
    await scene.server.start_server()
    async with ClientSession() as session:
        scene.session = session
        try:
            yield scene
        finally:
            await asyncio.gather(*(robot.hang_up() for robot in scene.robots))
            await room.close()
            await scene.server.close()
