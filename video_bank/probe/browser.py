"""One person's browser: an HTTP session, the WebSocket, and a WebRTC connection."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import aiohttp
import aioice.ice
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from yarl import URL

from .camera import Viewer

log = logging.getLogger(__name__)

Json = dict[str, Any]
LOGOUT = "/api/logout"
HTTP_TIMEOUT = aiohttp.ClientTimeout(total=20)


class Refused(Exception):
    """The server said no; ``code`` is its stable reason."""

    def __init__(self, what: str, status: int, code: str, message: str) -> None:
        super().__init__(f"{what}: {status} {code} {message}".rstrip())
        self.status = status
        self.code = code


class Browser:
    """What a page would do for one person, by name ``who`` in messages about it.

    ``on_notice(topic, data)`` hears the application's events.
    """

    def __init__(self, server: URL, who: str, on_notice: Callable[[str, Json], None]) -> None:
        self.who = who
        self.errors: list[str] = []
        "What the server complained about, and a WebSocket that closed by itself."
        self.viewer = Viewer()
        self.connected = asyncio.Event()
        self._server = server
        self._on_notice = on_notice
        self._csrf: str | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._peer: RTCPeerConnection | None = None
        self._answers: dict[str, asyncio.Future[Json]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._measured = False
        self._leaving = False

    async def __aenter__(self) -> Self:
        # unsafe: the server may be known by its address alone.
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"Origin": str(self._server.origin())},
            timeout=HTTP_TIMEOUT,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket:
            await self._socket.close()
        await self._http.close()

    async def get(self, path: str) -> Json:
        """The JSON answer of ``path``; raises Refused."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: Json | None = None) -> Json:
        """Send ``body`` to ``path``; a ``csrf`` in the answer is kept for the next time."""
        # Signing out ends the WebSocket, which is then no complaint.
        self._leaving = self._leaving or path == LOGOUT
        answer = await self._ask("POST", path, body or {})
        self._csrf = answer.get("csrf") or self._csrf
        return answer

    async def _ask(self, method: str, path: str, body: Json | None) -> Json:
        headers = {"X-CSRF-Token": self._csrf} if self._csrf else {}
        async with self._http.request(
            method, self._server.join(URL(path)), json=body, headers=headers
        ) as response:
            try:
                answer = await response.json(content_type=None) or {}
            except ValueError:
                answer = {}
            if response.status < 400:
                return dict(answer)
            error = answer.get("error", {}) if isinstance(answer, dict) else {}
            raise Refused(
                f"{self.who}: {method} {path}",
                response.status,
                error.get("code", ""),
                error.get("message_en", ""),
            )

    async def open_socket(self) -> None:
        """Connect the WebSocket; returns when the server has said welcome."""
        self._socket = await self._http.ws_connect(
            self._server.join(URL("/ws")), heartbeat=15, max_msg_size=1 << 20
        )
        welcome = self._expect("welcome")
        self._start(self._listen(self._socket))
        await asyncio.wait_for(welcome, 10)

    async def join(self, room: str, camera: MediaStreamTrack, microphone: MediaStreamTrack) -> None:
        """Enter ``room`` and offer the media connection; :attr:`connected` follows."""
        joined = self._expect("joined")
        await self._send({"type": "join", "room": room})
        ice_servers = (await asyncio.wait_for(joined, 10)).get("ice_servers") or []
        if self._server.host in ("localhost", "127.0.0.1", "::1"):
            _offer_loopback_too()
        servers = [
            RTCIceServer(s["urls"], s.get("username"), s.get("credential")) for s in ice_servers
        ]
        # A configuration of our own: the default one asks a public STUN server.
        peer = self._peer = RTCPeerConnection(RTCConfiguration(servers))
        peer.on("track", lambda track: self._start(self._watch(track)))
        peer.on("connectionstatechange", lambda: self._note_state(peer))
        peer.addTrack(microphone)
        peer.addTrack(camera)
        await peer.setLocalDescription(await peer.createOffer())
        self._calls += 1
        answer = self._expect("answer")
        offer = {"type": "offer", "call": self._calls, "sdp": peer.localDescription.sdp}
        await self._send(offer)
        sdp = (await asyncio.wait_for(answer, 15))["sdp"]
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await self._send({"type": "media", "microphone": True, "camera": True})

    async def leave(self) -> None:
        """Hang up; quietly nothing when there is no call."""
        if self._peer is None:
            return
        with contextlib.suppress(ConnectionError):
            await self._send({"type": "leave"})
        peer, self._peer = self._peer, None
        await peer.close()

    def _note_state(self, peer: RTCPeerConnection) -> None:
        log.debug("- %s: media %s", self.who, peer.connectionState)
        if peer.connectionState == "connected":
            self.connected.set()
        elif peer.connectionState == "failed" and peer is self._peer:
            self.errors.append(f"{self.who}: the media connection failed")

    async def _watch(self, track: MediaStreamTrack) -> None:
        # Later video lines are spare (a shared screen): read them, but measure the first alone.
        first = track.kind == "video" and not self._measured
        self._measured = self._measured or first
        await (self.viewer if first else Viewer()).watch(track)

    def _expect(self, kind: str) -> asyncio.Future[Json]:
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._answers[kind] = future
        return future

    async def _send(self, message: Json) -> None:
        if self._socket is None or self._socket.closed:
            raise ConnectionError(f"{self.who}: no WebSocket")
        log.debug("> %s: %s", self.who, message["type"])
        await self._socket.send_json(message)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for raw in socket:
            if raw.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = raw.json()
            kind = message.get("type")
            log.debug("< %s: %s %s", self.who, kind, message.get("topic", ""))
            if kind == "notice":
                self._on_notice(message.get("topic", ""), message.get("data") or {})
            elif kind == "error":
                self._complain(f"{message.get('code')} {message.get('message', '')}".rstrip())
            elif waiting := self._answers.pop(kind, None):
                if not waiting.done():
                    waiting.set_result(message)
        if not self._leaving:
            self._complain(f"the WebSocket closed ({socket.close_code})")

    def _complain(self, problem: str) -> None:
        self.errors.append(f"{self.who}: {problem}")
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError(f"{self.who}: {problem}"))
        self._answers.clear()


def _offer_loopback_too() -> None:
    """Let ICE use 127.0.0.1 as well, which it leaves out: the server is on this machine."""
    found = aioice.ice.get_host_addresses
    if found.__module__ == aioice.ice.__name__:
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [
            "127.0.0.1",
            *found(use_ipv4, use_ipv6),
        ]
