"""The WebSocket protocol: one frozen dataclass per message; PROTOCOL.md says when each is sent.

On the wire a message is a JSON object whose "type" is the class name in lower case.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

MESSAGE_BYTES = 64 * 1024
"Longest message accepted, in bytes of UTF-8."

MESSAGE_DEPTH = 8
"Deepest nesting of objects and lists accepted."


class Malformed(ValueError):
    """A message not of the protocol, or not now. `code` is stable, `message` is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _at_most(limit: int) -> Any:
    """A string field of at most `limit` characters."""
    return field(metadata={"limit": limit})


# --- client to server --------------------------------------------------------------------


@dataclass(frozen=True)
class Join:
    """Enter a room."""

    room: str = _at_most(128)
    "The room's name, as told by the application."


@dataclass(frozen=True)
class Offer:
    """The SDP offer of a new RTCPeerConnection."""

    call: int
    "Number of the RTCPeerConnection on this socket; a newer one replaces the older."
    sdp: str = _at_most(MESSAGE_BYTES)
    "The offer, all its media sections in one BUNDLE group."
    screen_mid: str | None = field(default=None, metadata={"limit": 16})
    "The video section for screens: one's own up, the one shared in the room down."


@dataclass(frozen=True)
class Candidate:
    """A trickled ICE candidate. Accepted, not needed: the browser's checks show where it is."""

    call: int
    candidate: str = _at_most(1024)
    sdp_mid: str | None = None
    sdp_m_line_index: int | None = None


@dataclass(frozen=True)
class Media:
    """The sender switched microphone or camera on or off."""

    microphone: bool
    camera: bool


@dataclass(frozen=True)
class Screen:
    """The sender starts or stops sharing the own screen."""

    on: bool


@dataclass(frozen=True)
class Stats:
    """What the browser's own statistics say of the media it receives; any may be null."""

    rtt_ms: float | None = None
    loss: float | None = None
    "Share of packets lost, 0..1."
    kbps: float | None = None
    width: float | None = None
    height: float | None = None
    fps: float | None = None
    freezes: float | None = None
    frozen_s: float | None = None
    "Seconds the picture stood still since the last report."


@dataclass(frozen=True)
class Leave:
    """Leave the room; the socket stays open."""


@dataclass(frozen=True)
class Ping:
    """Asks for a pong with the same `t`."""

    t: float


ClientMessage = Join | Offer | Candidate | Media | Screen | Stats | Leave | Ping


# --- server to client --------------------------------------------------------------------


@dataclass(frozen=True)
class Welcome:
    """First message on a socket: who the server takes the browser for."""

    caller: Mapping[str, str]
    "id, role, name"


@dataclass(frozen=True)
class Joined:
    """Answer to join."""

    room: str
    you: str
    "Own participant id."
    ice_servers: Sequence[Mapping[str, object]]
    "For RTCPeerConnection's configuration."
    participants: Sequence[Mapping[str, object]]
    "As in the message participants."
    media_time_us: int
    "Microseconds since the room was made."
    ice_policy: str
    "For RTCPeerConnection's iceTransportPolicy: all or relay."


@dataclass(frozen=True)
class Answer:
    """The SDP answer to the offer of the same call; complete, no candidates follow."""

    call: int
    sdp: str


@dataclass(frozen=True)
class Participants:
    """Everybody in the room the receiver may know of, after each change.

    Each: id, role, name, presence, camera, microphone, muted, connected, screen, audio_mid,
    video_mid, screen_mid. The mids tell which media section of the receiver's own connection
    carries that of the person (null: none).
    """

    participants: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Renew:
    """Please make a new offer; the present connection goes on until its answer."""

    reason: str
    "codec: the room now speaks another video codec."


@dataclass(frozen=True)
class Layers:
    """Switch the small layer of the own camera (simulcast) on or off."""

    low: bool


@dataclass(frozen=True)
class Silence:
    """No packet has come from the participant for some seconds although connected."""

    participant: str
    seconds: float


@dataclass(frozen=True)
class Resumed:
    """The participant's media flows again after a silence."""

    participant: str


@dataclass(frozen=True)
class Quality:
    """How well the participant's media reaches the server, each two seconds."""

    participant: str
    level: int
    "0 nothing arrives .. 4 good."
    kbps: float
    loss: float
    "Share of packets lost, 0..1."
    rtt_ms: float | None
    width: int
    "Of the camera's picture; 0 unknown."
    height: int
    fps: float
    sound: float | None
    "Loudness of the voice, 0..1; null unknown."
    frozen_s: float
    "Seconds the camera's picture stood still since the last quality message."


@dataclass(frozen=True)
class Notice:
    """Something the application tells its pages."""

    topic: str
    data: Mapping[str, object]


@dataclass(frozen=True)
class Error:
    """A message was refused. When `fatal`, the socket is closed after it."""

    code: str
    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Pong:
    """Answer to ping."""

    t: float


@dataclass(frozen=True)
class Bye:
    """The server closes the socket and says why."""

    reason: str


ServerMessage = (
    Welcome
    | Joined
    | Answer
    | Participants
    | Renew
    | Layers
    | Silence
    | Resumed
    | Quality
    | Notice
    | Error
    | Pong
    | Bye
)


class _Registry:
    """Message classes by wire name, with the checks for each client field."""

    client: ClassVar[dict[str, type[ClientMessage]]] = {
        cls.__name__.lower(): cls for cls in typing.get_args(ClientMessage)
    }
    server: ClassVar[dict[str, type[ServerMessage]]] = {
        cls.__name__.lower(): cls for cls in typing.get_args(ServerMessage)
    }
    hints: ClassVar[dict[type, dict[str, Any]]] = {
        cls: typing.get_type_hints(cls) for cls in typing.get_args(ClientMessage)
    }


CLIENT_MESSAGES = _Registry.client
"Wire name -> class, client to server."
SERVER_MESSAGES = _Registry.server
"Wire name -> class, server to client."


def parse(text: str | bytes) -> ClientMessage:
    """Read one message from a client. Raises Malformed for anything else."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > MESSAGE_BYTES:
        raise Malformed("too_large", f"A message may have at most {MESSAGE_BYTES} bytes.")
    try:
        body = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed("not_json", "The message is not JSON.") from None
    if not isinstance(body, dict):
        raise Malformed("not_an_object", "The message is not a JSON object.")
    if _deeper_than(body, MESSAGE_DEPTH):
        raise Malformed("too_deep", f"A message may nest at most {MESSAGE_DEPTH} levels.")
    name = body.get("type")
    cls = CLIENT_MESSAGES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise Malformed("unknown_type", "The message's type is not known.")
    values: dict[str, Any] = {
        item.name: _value(item, _Registry.hints[cls][item.name], body)
        for item in dataclasses.fields(cls)
        if item.name in body or item.default is dataclasses.MISSING
    }
    return cls(**values)


def encode(message: ServerMessage | ClientMessage) -> str:
    """The message as it goes over the wire."""
    fields = {item.name: getattr(message, item.name) for item in dataclasses.fields(message)}
    body = {"type": type(message).__name__.lower(), **fields}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _deeper_than(value: object, levels: int) -> bool:
    """Whether lists and objects nest more than `levels` deep."""
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    children = value.values() if isinstance(value, dict) else value
    return any(_deeper_than(child, levels - 1) for child in children)


def _value(item: dataclasses.Field[Any], hint: Any, body: Mapping[str, object]) -> object:
    """The checked value of one field."""
    wanted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if item.name not in body:
        raise Malformed("bad_field", f"The field {item.name} is missing.")
    value = body[item.name]
    if value is None and types.NoneType in wanted:
        return None
    if bool in wanted and isinstance(value, bool):
        return value
    if int in wanted and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < 2**53:
            return value
    if float in wanted and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) < 2**53 and math.isfinite(value):
            return float(value)
    if str in wanted and isinstance(value, str):
        if len(value) <= item.metadata.get("limit", 256) and _is_text(value):
            return value
    raise Malformed("bad_field", f"The field {item.name} has a wrong value.")


def _is_text(value: str) -> bool:
    """Whether the string has no lone surrogates, which could not be sent on."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
