"""What may come in through a media socket: everything else is dropped before it costs anything.

One empty datagram from anywhere would end a call (aiortc reads its first byte), one foreign
DTLS alert before the handshake too. So: STUN only when it knows our name for this call or
answers a question of ours; anything else only from an address that passed a STUN check; and a
budget for each kind, so that no flood starves the loop or fills a queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from signaling.datagrams import Address

DATAGRAM_BYTES = 2048
"Longer ones are no WebRTC: paths carry about 1,500 bytes."

CREDIT = 64


class Budget:
    """A token bucket that may go into debt down to one further burst."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self.tokens = burst
        self._at: float | None = None

    def spend(self, now: float) -> bool:
        """Take one token at `now` (seconds); false if there was none."""
        if self._at is not None:
            self.tokens = min(self._burst, self.tokens + (now - self._at) * self._rate)
        self._at = now
        if self.tokens > -2 * self._burst:
            self.tokens -= 1
        return self.tokens >= 0

    def take(self, count: int) -> int:
        """Take up to so many tokens more; how many there were."""
        taken = max(0, min(count, int(self.tokens)))
        self.tokens -= taken
        return taken


class Guard:
    """The door policy of one ICE connection's sockets."""

    def __init__(
        self,
        user: str,
        *,
        is_peer: Callable[[Address], bool],
        is_transaction: Callable[[bytes], bool],
        is_stream: Callable[[int], bool],
    ) -> None:
        """`user` is our ICE user name fragment; the callables know the present state."""
        self._user = user.encode() + b":"
        self._is_peer = is_peer
        self._is_transaction = is_transaction
        self._is_stream = is_stream
        self._peers: set[Address] = set()
        self._media = Budget(3000, 3000)
        self._unknown_media = Budget(50, 50)
        self._forged = Budget(20_000, 5000)
        self._control = Budget(400, 400)
        self._stun = Budget(200, 200)
        self._dtls = Budget(200, 200)
        self.credit = 0
        "Packets of expected streams that may pass without being asked about one by one."
        self.dropped: Counter[str] = Counter()
        "How many datagrams were dropped, by reason."

    def admits(self, data: bytes, source: Address, now: float) -> bool:
        """Whether the datagram may go on."""
        reason = self._objection(data, source, now)
        if reason is None:
            return True
        self.dropped[reason] += 1
        return False

    def _objection(self, data: bytes, source: Address, now: float) -> str | None:
        if not data:
            return "empty"
        first = data[0]
        if 128 <= first < 192:
            if source not in self._peers and not self._learn(source):
                return "foreign"
            return self._media_objection(data, now)
        if len(data) > DATAGRAM_BYTES:
            return "oversized"
        if first < 4:
            return self._stun_objection(data, now)
        if 20 <= first < 64:
            if source not in self._peers and not self._learn(source):
                return "foreign"
            return None if self._dtls.spend(now) else "flood"
        return "unknown"

    def _media_objection(self, data: bytes, now: float) -> str | None:
        if not 12 <= len(data) <= DATAGRAM_BYTES:
            return "malformed"
        if 192 <= data[1] <= 223:
            return None if self._control.spend(now) else "flood"
        known = self._is_stream(int.from_bytes(data[8:12], "big"))
        return None if (self._media if known else self._unknown_media).spend(now) else "flood"

    def renew(self, now: float) -> bool:
        """The credit is used up by one packet: whether that may pass, and some after it."""
        if self._media.spend(now):
            # Some tokens are taken at once, so that the next packets need no clock.
            self.credit = self._media.take(CREDIT)
            return True
        self.credit = 0
        self.dropped["flood"] += 1
        return False

    def _stun_objection(self, data: bytes, now: float) -> str | None:
        if len(data) < 20:
            return "malformed"
        answer = data[0] & 1
        ours = self._is_transaction(data[8:20]) if answer else self._user in data
        if not ours:
            return "foreign"
        return None if self._stun.spend(now) else "flood"

    def forged(self, now: float) -> None:
        """Something it let in as media was not authentic.

        It counts no more against the peer's own budget, or who can forge addresses could use
        that up; finding out costs little.
        """
        self.dropped["unauthenticated"] += 1
        if self._forged.spend(now) and self.credit < CREDIT:
            self.credit += 1

    def _learn(self, source: Address) -> bool:
        if not self._is_peer(source):
            return False
        if len(self._peers) >= 16:
            self._peers.clear()
        self._peers.add(source)
        return True
