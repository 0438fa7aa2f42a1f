"""Addresses the server offers, and the ICE servers its browsers are told of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence

import ifaddr

LOOPBACK = ("127.0.0.1",)
"Enough for tests and a demo on localhost."

CREDENTIAL_S = 600
"How long TURN credentials are good for."


def host_addresses() -> tuple[str, ...]:
    """This machine's own addresses a browser elsewhere may reach, without loopback."""
    found = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local):
                found.append(text)
    return tuple(found)


def checked_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """The configured addresses in canonical form. Raises ValueError for one that is none."""
    return tuple(str(ipaddress.ip_address(address)) for address in addresses)


def servers(
    urls: Sequence[str], *, secret: bytes = b"", participant: str = "", now_s: float = 0.0
) -> list[dict[str, object]]:
    """RTCIceServer objects for a browser; `urls` as in the WebRTC standard.

    TURN servers get credentials that expire (coturn's use-auth-secret): the user name is
    `expiry:participant`, the password base64(HMAC-SHA1(secret, user name)).
    """
    entries: list[dict[str, object]] = []
    for url in urls:
        entry: dict[str, object] = {"urls": [url]}
        if url.startswith(("turn:", "turns:")):
            name = f"{int(now_s) + CREDENTIAL_S}:{participant}"
            digest = hmac.new(secret, name.encode(), hashlib.sha1).digest()
            entry |= {"username": name, "credential": base64.b64encode(digest).decode()}
        entries.append(entry)
    return entries
