"""What every view is made of: a row of the route table, and how a request is read."""

import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from video_bank.errors import UserError
from video_bank.keys import CONFIG
from video_bank.permissions import Permission

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")

BODY_LIMIT = 64 * 1024
"""Bytes of a JSON request."""


@dataclass(frozen=True)
class Route:
    """One route of the product; every one is such a row, or the server does not know it."""

    method: str
    path: str
    permission: Permission | None
    """None: for everybody, signed in or not."""
    handler: Handler


async def body(request: web.Request) -> dict[str, Any]:
    """The JSON object sent.  Raises ``bad_request``, ``too_large``."""
    # Only this type: a form of another site cannot send it without asking first.
    if request.content_type != "application/json":
        raise UserError("bad_request", 415)
    if (request.content_length or 0) > BODY_LIMIT:
        raise UserError("too_large", 413)
    raw = await request.content.read(BODY_LIMIT + 1)
    while len(raw) <= BODY_LIMIT and (more := await request.content.read(BODY_LIMIT)):
        raw += more
    if len(raw) > BODY_LIMIT:
        raise UserError("too_large", 413)
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UserError("bad_request") from error
    if not isinstance(data, dict):
        raise UserError("bad_request")
    return data


def field(data: dict[str, Any], name: str, kind: type[T]) -> T:
    """A field that must be there and of that type; a text has no NUL and 4,000 characters."""
    value = data.get(name)
    # bool is an int to Python, not to anyone who writes JSON.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError("bad_request", field=name)
    if kind is str and not plain(str(value)):
        raise UserError("bad_request", field=name)
    return value


def optional(data: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """A field that may be missing or null."""
    return None if data.get(name) is None else field(data, name, kind)


def number(request: web.Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number from the query, kept within its bounds."""
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise UserError("bad_request", field=name)
    return max(least, min(most, int(text)))


def client_address(request: web.Request) -> str:
    """Who is asking: the peer, or what a trusted proxy says about it."""
    networks = [ipaddress.ip_network(each) for each in request.app[CONFIG].trusted_proxies]
    chain = [
        part.strip()
        for header in request.headers.getall("X-Forwarded-For", [])
        for part in header.split(",")
    ]
    address = request.remote or ""
    # From the nearest hop outwards, for as long as the one who says so is trusted.
    while chain and _inside(address, networks):
        address = chain.pop()
    return address[:64]


def _inside(
    address: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def plain(text: str) -> bool:
    """Whether a database can hold the text: no NUL, no half character, at most 4,000 of them."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        return False
    return len(text) <= 4000 and "\0" not in text
