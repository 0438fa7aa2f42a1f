"""A try of the way to this server, for whoever asks: before a visit, or with support on the phone.

The answering peers belong to nobody: no room, no recording, few at a time, gone after seconds.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from signaling.ice import Relays
from signaling.peer import OfferRefused, Peer
from signaling.port import Port
from video_bank.errors import TooMany, UserError
from video_bank.rates import Rate

PEERS = 32
"At a time; one run of the page opens up to four."
PEER_S = 20.0
REQUESTS_A_MINUTE = 60
"From one address: a run takes six, and a bank's branch may be behind one address."


class ConnectionTest:
    """Answers offers that lead nowhere, and tells which relays there are."""

    def __init__(
        self, ports: Sequence[Port], relays: Relays, *, peer_s: float = PEER_S
    ) -> None:
        self._ports, self._relays, self._peer_s = ports, relays, peer_s
        self._rate = Rate(REQUESTS_A_MINUTE, 60.0)
        self._ends: set[asyncio.Task[None]] = set()
        "One for each open peer: it waits for the peer's end."

    def knock(self, address: str) -> None:
        """Count a request of ``address``.  Raises :class:`TooMany`."""
        self._rate.take(address)

    def servers(self, address: str) -> dict[str, Any]:
        """What a call would be told of relays; the credentials are good for minutes."""
        self.knock(address)
        servers = self._relays.servers(f"connection test {address}")
        return {"ice_servers": servers, "ice_policy": self._relays.policy}

    async def answer(self, offer: str, address: str) -> str:
        """The SDP answer of a peer that sends nothing.

        Raises ``bad_request``, and :class:`TooMany` when all peers are taken.
        """
        self.knock(address)
        if len(self._ends) >= PEERS:
            raise TooMany(int(self._peer_s))
        over = asyncio.Event()
        peer = Peer(
            ports=self._ports,
            media_time=lambda at_s: int(at_s * 1e6),
            on_change=lambda: over.set() if peer.closed else None,
            on_media=lambda _kind: None,
        )
        end = asyncio.create_task(self._end(peer, over))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)
        try:
            return await peer.answer(offer)
        except OfferRefused as refusal:
            over.set()
            raise UserError("bad_request", field="sdp") from refusal

    async def _end(self, peer: Peer, over: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._peer_s):
                await over.wait()
        except TimeoutError:
            pass
        finally:
            await peer.close()

    async def close(self) -> None:
        """End all peers."""
        for end in self._ends:
            end.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)
