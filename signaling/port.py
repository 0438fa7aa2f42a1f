"""A UDP port that all calls of the process share.

One number to open in a firewall.  Who a datagram is for is told by where it comes from; an address
becomes a connection's own by a STUN request that names the connection (RFC 8445), and nobody else
can have it while that connection is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from signaling.datagrams import (
    BATCH,
    Address,
    Destination,
    Inbox,
    Outbox,
    address_of,
    name_of,
)

log = logging.getLogger(__name__)

Media = Callable[[int, Sequence[int], float], Sequence[int]]
"""Takes datagrams from one address that stand in slots of the inbox, one after another: the first
slot, the sizes, monotonic seconds. Answers with the slots of those that it does not take."""

ROUNDS = 4
"Batches read before others on the loop have their turn."
BUFFER_BYTES = 16 << 20
"What the kernel should hold while the loop is busy: 64 calls for a quarter of a second."
SOCKETS = 8
BUSY_PER_S, CALM_PER_S = 2500.0, 1200.0
"Above this many datagrams a second reading waits for a batch; below the other it stops waiting."
PAUSE_S = 0.003
COUNT_S = 0.1
SOURCES = 16
"Addresses a connection may have: a phone changes network some times in a call."
QUESTIONS = 4096
QUIET_S = 5.0
"A connection not heard for so long gives up its address to another that proves to be there."
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


class Member(Protocol):
    """A connection at the port."""

    name: bytes
    "Our ICE user name fragment for it."

    def received(self, data: bytes, source: Address, now: float) -> None:
        """A datagram that may be for it came."""

    def heard(self, now: float) -> bool:
        """Whether something authentic came within QUIET_S."""


class Share(asyncio.DatagramTransport):
    """One connection's part in a port, as a transport."""

    def __init__(
        self, port: Port, member: Member, lost: Callable[[Exception | None], None]
    ) -> None:
        super().__init__()
        self.port = port
        self.member = member
        self.sources: OrderedDict[bytes, None] = OrderedDict()
        "The addresses it has, as the kernel writes them."
        self.closed = False
        self._lost = lost

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname`: where browsers find it."""
        return (self.port.announced, self.port.number) if name == "sockname" else default

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send now; what the kernel does not take is lost, as on the way."""
        if not self.closed:
            self.port.send(bytes(data), addr, self)

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Leave the port."""
        if not self.closed:
            self.closed = True
            self.port.leave(self)
            asyncio.get_running_loop().call_soon(self._lost, None)

    abort = close


class Port:
    """A UDP socket of this process, or several of one number."""

    def __init__(self, address: str, number: int = 0, announced: str = "") -> None:
        """`address` is our own; `announced` the one browsers are told, if it is another.

        With number 0 the system chooses one. The sockets open with the first connection, or
        with `open`, and close with the last connection, or with `close`.
        """
        self.address = address
        self.announced = announced or address
        self.number = number
        self.inbox = Inbox(ipv6=":" in address)
        self.outbox = Outbox()
        self.dropped: Counter[str] = Counter()
        "Datagrams that are nobody's, and sends that the kernel would not take."
        self._fixed = number
        self._sockets: list[socket.socket] = []
        self._kept = False
        self._shares: dict[bytes, Share] = {}
        self._owners: dict[bytes, Share] = {}
        self._media: dict[bytes, Media] = {}
        self._asked: OrderedDict[bytes, Share] = OrderedDict()
        "STUN transactions of ours."
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self._count, self._counted_at = 0, 0.0

    # --- opening and closing --------------------------------------------------------------

    def open(self) -> None:
        """Open the sockets and keep them until `close`. Raises OSError if the number is taken."""
        self._kept = True
        self._open()

    def _open(self) -> None:
        if self._sockets:
            return
        # The first one alone, so that a number somebody else has is refused.
        self._sockets = [self._bound(shared=False)]
        room = self._sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        if room < BUFFER_BYTES:
            count = min(SOCKETS, -(-BUFFER_BYTES // room))
            log.info("- %s takes %d sockets, see net.core.rmem_max", self, count)
            self._sockets.pop().close()
            self._sockets = [self._bound(shared=True) for _ in range(count)]
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.add_reader(one.fileno(), self._readable)

    def _bound(self, *, shared: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            # The kernel divides browsers among sockets of one number.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for forced, asked in (
                (SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF),
            ):  # fmt: skip
                try:
                    one.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
                except PermissionError:
                    one.setsockopt(socket.SOL_SOCKET, asked, BUFFER_BYTES)
            one.bind((self.address, self.number))
            self.number = one.getsockname()[1]
        except OSError:
            one.close()
            raise
        return one

    def close(self) -> None:
        """Close the sockets, at once or with the last connection."""
        self._kept = False
        if not self._shares:
            self._shut()

    def _shut(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for one in self._sockets:
            with contextlib.suppress(RuntimeError):  # the loop may be gone
                asyncio.get_running_loop().remove_reader(one.fileno())
            one.close()
        self._sockets = []
        self.number = self._fixed

    def __str__(self) -> str:
        return f"{self.address}:{self.number}"

    # --- its connections ------------------------------------------------------------------

    def join(self, member: Member, lost: Callable[[Exception | None], None]) -> Share:
        """A part for one more connection; `lost` is called once when it was closed.

        Raises OSError if the port cannot be opened.
        """
        self._open()
        share = self._shares[member.name] = Share(self, member, lost)
        return share

    def leave(self, share: Share) -> None:
        """Forget a connection."""
        del self._shares[share.member.name]
        for source in share.sources:
            del self._owners[source]
            self._media.pop(source, None)
        for question in [one for one, asker in self._asked.items() if asker is share]:
            del self._asked[question]
        if not self._shares and not self._kept:
            self._shut()

    def known(self, share: Share, source: Address, media: Media) -> None:
        """Authentic media of a connection came from there: give it what else comes to `media`."""
        name = name_of(source)
        if self._owners.get(name) is share:
            self._media[name] = media

    # --- in -------------------------------------------------------------------------------

    def _readable(self) -> None:
        now = time.monotonic()
        if self._work() and self._per_s(now) > BUSY_PER_S:
            loop = asyncio.get_running_loop()
            for one in self._sockets:
                loop.remove_reader(one.fileno())
            self._timer = loop.call_later(PAUSE_S, self._poll)

    def _poll(self) -> None:
        """Read what has come in a moment, instead of waking for each datagram."""
        self._work()
        loop = asyncio.get_running_loop()
        if not self._sockets:
            return
        if self._per_s(time.monotonic()) >= CALM_PER_S:
            self._timer = loop.call_later(PAUSE_S, self._poll)
            return
        self._timer = None
        for one in self._sockets:
            loop.add_reader(one.fileno(), self._readable)

    def _per_s(self, now: float) -> float:
        """Datagrams a second, over the last moment that was long enough to tell."""
        passed = now - self._counted_at
        if passed < COUNT_S:
            return (BUSY_PER_S + CALM_PER_S) / 2  # as before
        rate = self._count / passed
        self._count, self._counted_at = 0, now
        return rate

    def _work(self) -> int:
        """Take in what waits, and send what that leads to; how many came."""
        self._reading = True
        total = 0
        try:
            for one in self._sockets:
                for _ in range(ROUNDS):
                    count = self._take(one.fileno())
                    total += count
                    if count < BATCH:
                        break
        finally:
            self._reading = False
            self.flush()
        self._count += total
        return total

    def _take(self, descriptor: int) -> int:
        sizes, names = self.inbox.receive(descriptor)
        now, count, first = time.monotonic(), len(sizes), 0
        while first < count:
            name, end = names[first], first + 1
            while end < count and names[end] == name:
                end += 1
            try:
                self._give(first, sizes[first:end], name, now)
            except Exception:  # one call's trouble must not keep the others' media
                log.exception("x datagrams of a call")
            first = end
        return count

    def _give(self, first: int, sizes: Sequence[int], name: bytes, now: float) -> None:
        """Hand on datagrams from one address."""
        take = self._media.get(name)
        for slot in take(first, sizes, now) if take else range(first, first + len(sizes)):
            self._sort(self.inbox.datagram(slot, sizes[slot - first]), name, now)

    def _sort(self, data: bytes, name: bytes, now: float) -> None:
        """Find whose datagram it is."""
        share = self._addressed(data, name, now)
        if share is None:
            self.dropped["stranger"] += 1
        else:
            share.member.received(data, address_of(name), now)

    def _addressed(self, data: bytes, name: bytes, now: float) -> Share | None:
        if len(data) < 20 or data[0] > 3:
            return self._owners.get(name)
        if data[0] & 1:  # an answer
            return self._asked.get(data[8:20])
        share = self._shares.get(_user(data))
        if share is not None and not self._claim(name, share, now):
            return None
        return share

    def _claim(self, name: bytes, share: Share, now: float) -> bool:
        """Let a connection have the address, unless it is another's that is heard."""
        owner = self._owners.get(name)
        if owner is share:
            return True
        if owner is not None:
            if owner.member.heard(now):
                return False
            del owner.sources[name]
            self._media.pop(name, None)
        if len(share.sources) >= SOURCES:
            # Who knows the name could ask from many addresses: those with media go last.
            silent = (one for one in share.sources if one not in self._media)
            oldest = next(silent, next(iter(share.sources)))
            del share.sources[oldest], self._owners[oldest]
            self._media.pop(oldest, None)
        share.sources[name] = None
        self._owners[name] = share
        return True

    # --- out ------------------------------------------------------------------------------

    def send(self, data: bytes, address: Address, share: Share) -> None:
        """Send one datagram now."""
        if len(data) >= 20 and data[0] < 2 and not data[0] & 1 and not data[1] & 0x10:
            self._asked[data[8:20]] = share
            if len(self._asked) > QUESTIONS:
                self._asked.popitem(last=False)
        with contextlib.suppress(OSError):
            self._sockets[0].sendto(data, address)

    def space(self, size: int, count: int) -> int:
        """Where in the outbox so many datagrams of up to so many bytes together can be made."""
        if not self.outbox.fits(size, count):
            self.flush()
        return self.outbox.tail

    def push(self, sizes: Sequence[int], destination: Destination) -> None:
        """From `space` on stand datagrams of these sizes; they go within this turn of the loop."""
        if not self.outbox.packets and not self._reading:
            asyncio.get_running_loop().call_soon(self.flush)
        if sizes:
            self.outbox.push(sizes, destination)

    def flush(self) -> None:
        """Send what waits."""
        if not self._sockets:
            self.outbox.clear()
        elif self.outbox.packets:
            lost = self.outbox.send(self._sockets[0].fileno())
            if lost:
                self.dropped["unsent"] += lost


def _user(data: bytes) -> bytes:
    """Our part of the USERNAME in a STUN message (RFC 8445, 7.2.2); empty if there is none."""
    at = 20
    while at + 4 <= len(data):
        kind, size = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        if kind == 0x0006:
            return data[at + 4 : at + 4 + size].partition(b":")[0]
        at += 4 + (size + 3 & ~3)
    return b""
