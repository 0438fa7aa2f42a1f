"""Robots that remember what they are told, and what a bank keeps of them."""

import asyncio
import contextlib
import functools
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import aiohttp
from aiortc import RTCPeerConnection
from yarl import URL

from tests.interop.bank import ACCOUNT, ROOT, Bank
from video_bank.probe.browser import LOGOUT, Browser, Json, Refused
from video_bank.probe.camera import Camera, Clip, Microphone, Viewer, teller_clip

PATIENCE_S = 30.0
"A busy machine is slow; what does not come within this is taken not to come."

T = TypeVar("T")


class Overheard:
    """A WebSocket whose messages are remembered on their way to the listener."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, heard: list[Json]) -> None:
        self._socket, self._heard = socket, heard

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    async def __aiter__(self) -> AsyncIterator[aiohttp.WSMessage]:
        async for raw in self._socket:
            if raw.type is aiohttp.WSMsgType.TEXT:
                self._heard.append(raw.json())
            yield raw


class Person(Browser):
    """Somebody at a browser whose network, and patience, a test can end."""

    def __init__(self, server: URL, who: str) -> None:
        super().__init__(server, who, lambda topic, data: None)
        self.id = ""
        "As the welcome said."
        self.heard: list[Json] = []
        "Every message of the WebSocket."
        self._lost: list[RTCPeerConnection] = []

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for peer in self._lost:
            await peer.close()
        await super().__aexit__(kind, error, trace)

    async def open_socket(self) -> None:
        await super().open_socket()
        self.id = (await self.told("welcome"))["caller"]["id"]

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        overheard = Overheard(socket, self.heard)
        await super()._listen(cast(aiohttp.ClientWebSocketResponse, overheard))

    async def enter(self, room: str) -> None:
        """Join the call with a new camera and wait until media flows."""
        self.connected.clear()
        self.viewer, self._measured = Viewer(), False
        await self.join(room, Camera({"pattern": pattern()}, "pattern"), Microphone())
        await asyncio.wait_for(self.connected.wait(), PATIENCE_S)

    async def sees(self) -> None:
        """Wait for the other side's picture."""
        await asyncio.wait_for(self.viewer.seen.wait(), PATIENCE_S)

    async def still_sees(self) -> None:
        """Wait for ten more pictures of the other side."""
        before = self.viewer.frames
        await until(lambda: self.viewer.frames > before + 10, what=f"{self.who} still sees")

    async def say(self, text: str | bytes | None = None, **message: Any) -> None:
        """Send ``message``, or ``text`` as it is, over the WebSocket."""
        assert self._socket is not None
        if isinstance(text, bytes):
            await self._socket.send_bytes(text)
        else:
            await self._socket.send_str(json.dumps(message) if text is None else text)

    @property
    def offered(self) -> str:
        """The SDP of the call this person is in."""
        assert self._peer is not None
        return self._peer.localDescription.sdp

    async def told(self, kind: str, seconds: float = PATIENCE_S, **wanted: Any) -> Json:
        """The first message, or notice's data, of this kind that says what is wanted."""

        def found() -> Json | None:
            for message in self.heard:
                notice = message["type"] == "notice"
                named, body = (
                    (message["topic"], message["data"]) if notice else (message["type"], message)
                )
                if named == kind and wanted.items() <= body.items():
                    return dict(body)
            return None

        return await until(found, seconds, f"{self.who} is told {kind} {wanted}")

    def lose_network(self) -> None:
        """The laptop is closed: socket and media end without a goodbye."""
        if self._peer is not None:
            for sender in self._peer.getSenders():
                for protocol in sender.transport.transport._connection._protocols:
                    protocol.transport.abort()
            self._lost.append(self._peer)
            self._peer = None
        self.lose_socket()

    def lose_socket(self) -> None:
        """The page is closed; media, if there is any, goes on."""
        assert self._socket is not None
        self._leaving = True
        connection = self._socket._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    async def come_back(self) -> None:
        """The page is opened again."""
        self._leaving = False
        self.heard.clear()
        await self.open_socket()

    async def raw(
        self, method: str, path: str, body: bytes, kind: str = "application/json"
    ) -> tuple[int, Json]:
        """Send ``body`` as it is; status and JSON of whatever comes."""
        headers = {"X-CSRF-Token": self._csrf or "", "Content-Type": kind}
        where = self._server.join(URL(path, encoded=True))
        async with self._http.request(method, where, data=body, headers=headers) as response:
            text = await response.text(errors="replace")
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {}
        return response.status, answer if isinstance(answer, dict) else {"list": answer}

    async def refused(self, path: str, body: Json | None = None) -> Refused:
        """What the server says no with."""
        try:
            await self.post(path, body)
        except Refused as refusal:
            return refusal
        raise AssertionError(f"{path} was not refused")


class Branch:
    """The people of one test; they clear up behind them, so that tests can share a bank."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._url = URL(bank.url)
        self._stack = contextlib.AsyncExitStack()
        self._staff: list[Person] = []
        self._customers: list[tuple[Person, str]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for customer, session in self._customers:
                await _quietly(customer.post, f"/api/sessions/{session}/leave")
            for member in self._staff:
                await self._clear_desk(member)
        finally:
            await self._stack.aclose()

    async def _clear_desk(self, member: Person) -> None:
        desk = await _quietly(member.get, "/api/teller") or {}
        if desk.get("session"):
            path = f"/api/sessions/{desk['session']}"
            await _quietly(member.post, f"{path}/decision", {"verdict": "referred",
                                                             "reason": "test over"})  # fmt: skip
            await _quietly(member.post, f"{path}/end")
            await _quietly(member.post, f"{path}/close")
        await _quietly(member.post, "/api/teller/state", {"state": "away"})
        await _quietly(member.post, LOGOUT)

    async def browser(self, who: str) -> Person:
        """Somebody not signed in."""
        return await self._stack.enter_async_context(Person(self._url, who))

    async def staff(self, name: str) -> Person:
        """A member of staff, signed in; ``name`` without "demo-"."""
        member = await self.browser(name)
        name = f"demo-{name}"
        body = {"name": name, "password": passwords(self.bank)[name], "totp": None}
        await member.post("/api/login", body)
        return member

    async def teller(self, name: str = "teller", *, state: str = "ready") -> Person:
        """A teller at the console."""
        member = await self.staff(name)
        self._staff.append(member)
        await member.open_socket()
        await member.post("/api/teller/state", {"state": state})
        return member

    async def customer(self, name: str = "王小明", phone: str | None = None) -> Person:
        """A customer who walked in and has the page open."""
        customer = await self.browser(name)
        number = phone or f"139{time.time_ns() // 1000 % 10**8:08}"
        asked = await customer.post("/api/walk-in", {"name": name, "phone": number})
        code = {"challenge": asked["challenge"], "code": asked["demo_code"]}
        await customer.post("/api/walk-in/confirm", code)
        await customer.open_socket()
        return customer

    async def queue(self, customer: Person) -> str:
        """The customer joins the line; the session."""
        visit = await customer.get("/api/visit")
        body = {
            "business": "identification",
            "language": "zh",
            "consent_recording": True,
            "consent_face": True,
            "consent_version": visit["consents"]["version"],
        }
        session = str((await customer.post("/api/sessions", body))["session"]["id"])
        self._customers.append((customer, session))
        return session

    async def accept(self, teller: Person, session: str) -> None:
        """The teller takes the customer who rings."""
        await teller.told("offered", session=session)
        await teller.post(f"/api/sessions/{session}/accept")

    async def call(self, teller: Person, customer: Person) -> str:
        """From the line to a call in which both see each other; the session."""
        session = await self.queue(customer)
        await self.accept(teller, session)
        await asyncio.gather(teller.enter(session), customer.enter(session))
        await asyncio.gather(teller.sees(), customer.sees())
        return session


async def _quietly(ask: Callable[..., Awaitable[Json]], *arguments: Any) -> Json | None:
    with contextlib.suppress(Refused, TimeoutError, aiohttp.ClientError, ConnectionError):
        return await ask(*arguments)
    return None


@functools.cache
def pattern() -> Clip:
    """What every robot's camera shows where no face is needed."""
    return teller_clip()


async def until(look: Callable[[], T | None], seconds: float = PATIENCE_S, what: str = "") -> T:
    """Look until there is something; fails with ``what`` did not come."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.05)


# -- what the bank keeps ------------------------------------------------------------------


def passwords(bank: Bank) -> dict[str, str]:
    """The demo accounts of the last start, by name."""
    return {name: password for _role, name, password in ACCOUNT.findall(bank.log)}


def rows(bank: Bank, query: str, *values: object) -> list[dict[str, Any]]:
    """Read the bank's SQLite file."""
    path = bank.data / "bank.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]


def let_expire(bank: Bank, table: str, key: str) -> None:
    """As if the hours had passed."""
    assert table in ("invitations", "codes")
    _write(bank, f"UPDATE {table} SET expires_at = 1 WHERE id = ?", key)


def forget_seal(bank: Bank, session: str) -> None:
    """As if the last transaction of a call had not come about."""
    _write(bank, "UPDATE sessions SET seal = NULL WHERE id = ?", session)


def _write(bank: Bank, statement: str, key: str) -> None:
    path = bank.data / "bank.sqlite3"
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        assert connection.execute(statement, (key,)).rowcount == 1


def session_row(bank: Bank, session: str) -> dict[str, Any]:
    """The session as it is stored."""
    (row,) = rows(bank, "SELECT * FROM sessions WHERE id = ?", session)
    return row


def timeline(bank: Bank, session: str) -> list[dict[str, Any]]:
    """The session's entries in order; ``data`` as an object."""
    query = "SELECT * FROM timeline WHERE chain = ? ORDER BY seq"
    found = rows(bank, query, f"session:{session}")
    return [row | {"data": json.loads(row["data"])} for row in found]


def kinds(bank: Bank, session: str) -> list[str]:
    """The kinds of the session's entries, in order."""
    return [row["kind"] for row in timeline(bank, session)]


async def entry(bank: Bank, session: str, kind: str, **wanted: Any) -> dict[str, Any]:
    """Wait for a timeline entry of this kind with this data."""

    def found() -> dict[str, Any] | None:
        for row in timeline(bank, session):
            if row["kind"] == kind and wanted.items() <= row["data"].items():
                return row
        return None

    return await until(found, what=f"timeline entry {kind} {wanted}")


async def sealed(bank: Bank, session: str) -> str:
    """Wait for the seal; its verdict."""
    await entry(bank, session, "sealed")
    return str(session_row(bank, session)["seal"])


async def verified(bank: Bank, session: str) -> tuple[int, list[dict[str, Any]]]:
    """``python -m recordings verify``: its exit status and the parts' verdicts."""
    command = [
        sys.executable, "-m", "recordings", "verify", str(bank.data / "recordings" / session),
        "--trust", str(bank.data / "keys" / "trust.pem"), "--json",
    ]  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["parts"]


def chains_hold(bank: Bank) -> bool:
    """``python -m video_bank.evidence verify`` finds every chain whole."""
    command = [sys.executable, "-m", "video_bank.evidence", "verify", "--data", str(bank.data)]
    own = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    done = subprocess.run(
        command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=60
    )
    return done.returncode == 0


def media_time_us(view: Json) -> int:
    """The session's media time, from a view of it."""
    return cast(int, view["media_time_us"])
