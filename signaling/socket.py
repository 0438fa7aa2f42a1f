"""The WebSocket: one loop reads and owns a connection, one task writes it.

    async def ws(request): return await serve(request, gate)

What the surroundings decide (who is this, which room may they enter) is asked of a `Gate`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp import WSMessage, WSMsgType, web

from signaling import messages
from signaling.guard import Budget
from signaling.messages import Malformed, ServerMessage
from signaling.peer import OfferRefused
from signaling.presence import Presence
from signaling.room import Room

log = logging.getLogger(__name__)

MESSAGES_PER_S, MESSAGES_BURST = 20.0, 40.0
OFFERS_PER_S, OFFERS_BURST = 1.0, 6.0
"An offer costs a key pair and sockets, so it has its own budget."
SHARES_PER_S, SHARES_BURST = 0.2, 6.0
"A screen share costs its surroundings a note and a recording's stream."
EXCUSED = 60.0
"Debt (messages over the budget, dropped) at which the socket is closed."
OUTBOX_MESSAGES = 256
"Unsent messages before a socket counts as too slow."
WRITE_DEADLINE_S = 10.0
HEARTBEAT_S = 20.0


@dataclass(frozen=True)
class Caller:
    """Who is at the other end of a WebSocket. Applications may subclass it to carry more."""

    id: str
    "Stable id of the person (or login)."
    role: str
    name: str
    "Shown to the others."


@dataclass(frozen=True)
class Entry:
    """A caller's way into a room."""

    room: Room
    participant: str
    "Id inside the room; the same after a reconnect."
    role: str
    name: str
    ice_servers: Sequence[Mapping[str, object]] = field(default=())
    "RTCIceServer objects for the browser, from `signaling.ice.servers`."
    ice_policy: str = "all"
    "all, or relay: media goes through a TURN server only."
    presence: Presence = "joined"
    confidants: frozenset[str] = frozenset()
    "Participants who know of and hear one who has not joined."
    announced: bool = False
    "Everybody knows of one who has not joined."


class Refused(Exception):
    """The gate says no. `code` is stable, `status` the HTTP status if nothing was sent yet."""

    def __init__(self, code: str, status: int = 403, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.message = message or code.replace("_", " ")


class Gate(Protocol):
    """What signalling asks of the application."""

    async def admit(self, request: web.Request) -> Caller:
        """Who is this browser. Raises Refused."""

    async def connected(self, connection: Connection) -> None:
        """A socket is open; `connection.notify` and `connection.close` may be used from now."""

    async def enter(self, caller: Caller, room: str) -> Entry:
        """The room the caller asked for. Raises Refused."""

    async def disconnected(self, connection: Connection) -> None:
        """The socket is gone; called exactly once for each `connected`."""


class Connection:
    """One browser's WebSocket."""

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, caller: Caller, gate: Gate
    ) -> None:
        self.caller = caller
        self.entry: Entry | None = None
        self._request = request
        self._socket = socket
        self._gate = gate
        self._outbox: deque[ServerMessage] = deque()
        self._queued = asyncio.Event()
        self._budget = Budget(MESSAGES_PER_S, MESSAGES_BURST)
        self._offers = Budget(OFFERS_PER_S, OFFERS_BURST)
        self._shares = Budget(SHARES_PER_S, SHARES_BURST)
        self._farewell = False
        self._ended = False
        self._call: int | None = None
        self._warned = False

    # --- for the application --------------------------------------------------------------

    def notify(self, topic: str, data: Mapping[str, object]) -> None:
        """Tell the page something; never blocks and never raises."""
        self.send(messages.Notice(topic, data))

    def close(self, reason: str) -> None:
        """Say goodbye and close the socket."""
        self.send(messages.Bye(reason))

    @property
    def closed(self) -> bool:
        """Whether the socket takes no more messages."""
        return self._ended or self._farewell

    def send(self, message: ServerMessage) -> None:
        """Queue a message. A reader too slow for its queue is cut off; others never wait."""
        if self.closed:
            return
        if len(self._outbox) >= OUTBOX_MESSAGES:
            log.warning("- socket of %s is too slow, cut off", self.caller.id)
            self._abort()
            return
        self._farewell = _is_last(message)
        self._outbox.append(message)
        self._queued.set()

    # --- one task each --------------------------------------------------------------------

    async def run(self) -> None:
        """Read until the socket ends, writing beside it; then tell room and gate."""
        writer = asyncio.create_task(self._write())
        try:
            await self._gate.connected(self)
            await self._read()
            if self._farewell:
                await asyncio.wait((writer,), timeout=1.0)
        finally:
            self._ended = True
            writer.cancel()
            if self.entry is not None:
                self.entry.room.detach(self.entry.participant, self)
            await self._gate.disconnected(self)

    async def _read(self) -> None:
        """The loop that owns this connection."""
        async for message in self._socket:
            if self.closed:
                return
            if self._budget.spend(time.monotonic()):
                self._warned = False
                await self._receive(message)
            elif self._over_budget():
                return

    async def _write(self) -> None:
        """Send what is queued; ends after a goodbye, a fatal error or a missed deadline."""
        try:
            while not self._ended:
                await self._queued.wait()
                self._queued.clear()
                while self._outbox:
                    await self._write_one(self._outbox.popleft())
        except (TimeoutError, ConnectionError):
            log.info("- socket of %s stopped taking messages", self.caller.id)
            self._abort()

    async def _write_one(self, message: ServerMessage) -> None:
        async with asyncio.timeout(WRITE_DEADLINE_S):
            await self._socket.send_str(messages.encode(message))
            if _is_last(message):
                await self._socket.close(code=1008)

    def _abort(self) -> None:
        """Drop the TCP connection without waiting for a reader that does not read."""
        self._ended = True
        if self._request.transport is not None:
            self._request.transport.abort()

    def _over_budget(self) -> bool:
        """Warn once; true when patience is over."""
        if self._budget.tokens < -EXCUSED:
            self.send(messages.Error("too_many_messages", "Too many messages.", fatal=True))
            return True
        if not self._warned:
            self._warned = True
            self.send(messages.Error("too_many_messages", "Too many messages, some were dropped."))
        return False

    async def _receive(self, raw: WSMessage) -> None:
        if raw.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return
        try:
            await self._handle(messages.parse(raw.data))
        except (Malformed, OfferRefused, Refused) as refusal:
            self.send(messages.Error(refusal.code, refusal.message))
        except Exception:
            log.exception("x message of %s", self.caller.id)
            self.send(messages.Error("internal", "Something went wrong here; it has been noted."))

    async def _handle(self, message: messages.ClientMessage) -> None:
        match message:
            case messages.Ping(t):
                self.send(messages.Pong(t))
            case messages.Join(room):
                await self._join(room)
            case messages.Leave():
                self._leave()
            case messages.Offer():
                await self._offer(message)
            case messages.Candidate():
                self._entered()
            case messages.Media(microphone, camera):
                entry = self._entered()
                entry.room.media(entry.participant, microphone=microphone, camera=camera)
            case messages.Screen(on):
                self._share(on)
            case messages.Stats():
                entry = self._entered()
                entry.room.stats(entry.participant, message)

    async def _join(self, room: str) -> None:
        entry = await self._gate.enter(self.caller, room)
        if self.entry is not None and self.entry.room is not entry.room:
            self._leave()
        self.entry = entry
        self._call = None
        entry.room.join(
            entry.participant,
            entry.role,
            entry.name,
            self,
            presence=entry.presence,
            confidants=entry.confidants,
            announced=entry.announced,
        )
        self.send(
            messages.Joined(
                room=entry.room.name,
                you=entry.participant,
                ice_servers=list(entry.ice_servers),
                participants=entry.room.view(entry.participant),
                media_time_us=entry.room.time_us,
                ice_policy=entry.ice_policy,
            )
        )

    def _leave(self) -> None:
        if self.entry is not None:
            self.entry.room.leave(self.entry.participant)
        self.entry = None

    async def _offer(self, offer: messages.Offer) -> None:
        entry = self._entered()
        if not self._offers.spend(time.monotonic()):
            raise Malformed("too_many_offers", "Too many offers; wait a little.")
        if self._call is not None and offer.call <= self._call:
            raise Malformed("old_call", "A newer connection has taken this one's place.")
        answer = await entry.room.offer(entry.participant, offer.sdp, offer.screen_mid)
        self._call = offer.call
        self.send(messages.Answer(offer.call, answer))
        entry.room.sync()

    def _share(self, on: bool) -> None:
        entry = self._entered()
        if on and not self._shares.spend(time.monotonic()):
            raise Malformed("too_many_messages", "Too many screens; wait a little.")
        entry.room.share(entry.participant, on)

    def _entered(self) -> Entry:
        if self.entry is None:
            raise Malformed("not_in_a_room", "Join a room first.")
        return self.entry


def same_origin(request: web.Request, origins: Collection[str]) -> bool:
    """Whether the page that opened the socket is ours.

    With `origins` (scheme://host[:port], exact) only these; otherwise the host the request
    was sent to. A request without Origin is refused: browsers always send it.
    """
    origin = request.headers.get("Origin", "")
    if origins:
        return origin in origins
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc == request.host


async def serve(
    request: web.Request, gate: Gate, *, origins: Collection[str] = ()
) -> web.StreamResponse:
    """Run one WebSocket until it ends. Refusals before that are HTTP answers with JSON."""
    try:
        if not same_origin(request, origins):
            raise Refused("wrong_origin")
        caller = await gate.admit(request)
    except Refused as refusal:
        body = {"error": {"code": refusal.code, "message_en": refusal.message}}
        return web.json_response(body, status=refusal.status)
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, max_msg_size=2 * messages.MESSAGE_BYTES, compress=False
    )
    try:
        await socket.prepare(request)
    except ConnectionError:  # the page gave up meanwhile: no failure of ours
        return socket
    connection = Connection(request, socket, caller, gate)
    connection.send(messages.Welcome({"id": caller.id, "role": caller.role, "name": caller.name}))
    await connection.run()
    return socket


def _is_last(message: ServerMessage) -> bool:
    """Whether the socket is closed after this message."""
    return isinstance(message, messages.Bye) or (
        isinstance(message, messages.Error) and message.fatal
    )
