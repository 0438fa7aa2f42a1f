"""Addresses the server offers, and the ICE servers its browsers are told of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import ifaddr

from signaling.port import Port

LOOPBACK = ("127.0.0.1",)
"Enough for tests and a demo on localhost."

CREDENTIAL_S = 600
"""How long TURN credentials are good for: until the allocation is made, with room for clocks that
differ. coturn looks at the expiry when an allocation is made, not when it is refreshed, so a call
may outlast it by hours; each new connection is given new ones."""

Policy = Literal["all", "relay"]


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


def ports(addresses: Sequence[str], number: int) -> tuple[Port, ...]:
    """Ports at these addresses, `OWN` or `OWN=ANNOUNCED`, all of one number (0: any).

    Raises ValueError for an address that is none.
    """
    found = []
    for entry in addresses:
        own, _, announced = entry.partition("=")
        checked = (str(ipaddress.ip_address(one)) for one in (own, announced or own))
        found.append(Port(next(checked), number, next(checked)))
    return tuple(found)


@dataclass(frozen=True)
class Relays:
    """The TURN servers, and whether browsers must go through them."""

    urls: Sequence[str] = ()
    "As in the WebRTC standard: turn:host:port?transport=udp, turns:host:port."
    secret: bytes = field(default=b"", repr=False)
    "Shared with coturn (static-auth-secret)."
    policy: Policy = "all"
    clock: Callable[[], float] = time.time

    def servers(self, participant: str) -> list[dict[str, object]]:
        """RTCIceServer objects for one browser; empty without TURN servers.

        The credentials expire (coturn's use-auth-secret): the user name is `expiry:digest`, the
        password base64(HMAC-SHA1(secret, user name)). The digest is the same for the same
        participant, so that coturn can count their allocations, and tells its log nothing of who
        they are.
        """
        if not self.urls:
            return []
        digest = hmac.new(self.secret, participant.encode(), hashlib.sha256).hexdigest()[:16]
        name = f"{int(self.clock()) + CREDENTIAL_S}:{digest}"
        proof = hmac.new(self.secret, name.encode(), hashlib.sha1).digest()
        credential = base64.b64encode(proof).decode()
        return [{"urls": list(self.urls), "username": name, "credential": credential}]
