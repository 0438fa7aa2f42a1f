"""A UDP port that all calls of the process share: read and written many datagrams at a time.

One number to open in a firewall, and two system calls for a batch instead of two for a packet
(recvmmsg, sendmmsg, UDP_SEGMENT; Linux, 64 bit).  Who a datagram is for is told by where it comes
from; an address becomes a connection's own by a STUN request that names the connection (RFC 8445),
and nobody else can have it while that connection is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import socket
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

log = logging.getLogger(__name__)

Address = tuple[str, int]
Media = Callable[[int, Sequence[int], float], Sequence[int]]
"""Takes datagrams from one address that stand in slots of the inbox, one after another: the first
slot, the sizes, monotonic seconds. Answers with the slots of those that it does not take."""

BATCH = 64
"Datagrams read at a time."
ROUNDS = 4
"Batches read before others on the loop have their turn."
SLOT = 2048
"Bytes kept of a datagram: whoever fills a slot sent more than WebRTC does."
OUTBOX = 256 * 1024
MESSAGES = 512
"Datagrams, and runs of datagrams, sent at a time."
RUN_BYTES, RUN_SEGMENTS = 60_000, 48
"Most that the kernel takes as one send, with some room (64 kB, 64 segments)."
BUFFER_BYTES = 4 << 20
"What the kernel should hold while the loop is busy: 100 calls for 60 ms."
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

NAME = 32
HEADER = struct.Struct("=QIxxxxQQQQixxxxIxxxx")
"struct mmsghdr: address and size, buffers and count, control and size, flags, bytes received."
IOVEC = struct.Struct("=QQ")
CONTROL = struct.Struct("=QiiHxxxxxx")
"struct cmsghdr with a 16-bit number."
SIZES = [struct.Struct("=" + "56xIxxxx" * count).unpack_from for count in range(BATCH + 1)]
V4 = [struct.Struct("=" + "16s16x" * count).unpack_from for count in range(BATCH + 1)]
V6 = [struct.Struct("=" + "28s4x" * count).unpack_from for count in range(BATCH + 1)]
SOL_UDP, UDP_SEGMENT = 17, 103
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
MSG_DONTWAIT = socket.MSG_DONTWAIT

# The calls never block: letting other threads run meanwhile would only cost the way back.
_libc = ctypes.PyDLL(None, use_errno=True)
_receive = _libc.recvmmsg
_receive.argtypes = (
    ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p,
)  # fmt: skip
_send = _libc.sendmmsg
_send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


class Member(Protocol):
    """A connection at the port."""

    name: bytes
    "Our ICE user name fragment for it."

    def received(self, data: bytes, source: Address, now: float) -> None:
        """A datagram that may be for it came."""

    def heard(self, now: float) -> bool:
        """Whether something authentic came within QUIET_S."""


class Destination:
    """Where datagrams go, and those that wait for it."""

    def __init__(self, name: bytes) -> None:
        self._name = ctypes.create_string_buffer(name, len(name))
        self.at = ctypes.addressof(self._name)
        self.size = len(name)
        self.places: list[int] = []
        self.sizes: list[int] = []


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
        self.inbox = bytearray(BATCH * SLOT)
        self.outbox = bytearray(OUTBOX)
        self.dropped: Counter[str] = Counter()
        "Datagrams that are nobody's, by reason."
        self._fixed = number
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._name_size, self._names_of = (28, V6) if ":" in address else (16, V4)
        self._sockets: list[socket.socket] = []
        self._kept = False
        self._shares: dict[bytes, Share] = {}
        self._owners: dict[bytes, Share] = {}
        self._media: dict[bytes, Media] = {}
        self._asked: OrderedDict[bytes, Share] = OrderedDict()
        "STUN transactions of ours."
        self._view = memoryview(self.inbox)
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self._count, self._counted_at = 0, 0.0
        self._segments = True
        self._lay_out()

    def _lay_out(self) -> None:
        """The kernel's view of our memory."""
        self._names = bytearray(BATCH * NAME)
        self._in_vectors = bytearray(BATCH * IOVEC.size)
        self._in_headers = bytearray(BATCH * HEADER.size)
        inbox, names, vectors = map(_place, (self.inbox, self._names, self._in_vectors))
        for index in range(BATCH):
            IOVEC.pack_into(self._in_vectors, index * IOVEC.size, inbox + index * SLOT, SLOT)
            HEADER.pack_into(
                self._in_headers, index * HEADER.size, names + index * NAME, self._name_size,
                vectors + index * IOVEC.size, 1, 0, 0, 0, 0,
            )  # fmt: skip
        self._in_at = _place(self._in_headers)
        self._out_vectors = bytearray(2 * MESSAGES * IOVEC.size)
        self._out_controls = bytearray(MESSAGES * CONTROL.size)
        self._out_headers = bytearray(MESSAGES * HEADER.size)
        self._out_at = _place(self._out_headers)
        self._out_places = tuple(map(_place, (self.outbox, self._out_vectors, self._out_controls)))
        self._tail = 0
        self._waiting: list[Destination] = []
        self._packets = 0

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
        one = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            # The kernel divides browsers among sockets of one number.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
            if self._family == socket.AF_INET6:
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
        name = _name(self._family, source)
        if self._owners.get(name) is share:
            self._media[name] = media

    # --- in -------------------------------------------------------------------------------

    def datagram(self, slot: int, size: int) -> bytes:
        """A copy of what stands in a slot of the inbox."""
        return self._view[slot * SLOT : slot * SLOT + size].tobytes()

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
        count: int = _receive(descriptor, self._in_at, BATCH, MSG_DONTWAIT, None)
        if count <= 0:
            return 0
        now = time.monotonic()
        sizes, names = SIZES[count](self._in_headers), self._names_of[count](self._names)
        first = 0
        while first < count:
            name, end = names[first], first + 1
            while end < count and names[end] == name:
                end += 1
            take = self._media.get(name)
            others = take(first, sizes[first:end], now) if take else range(first, end)
            for slot in others:
                self._sort(self.datagram(slot, sizes[slot]), name, now)
            first = end
        return count

    def _sort(self, data: bytes, name: bytes, now: float) -> None:
        """Find whose datagram it is."""
        share = self._addressed(data, name, now)
        if share is None:
            self.dropped["stranger"] += 1
        else:
            share.member.received(data, _address(self._family, name), now)

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
            oldest, _ = share.sources.popitem(last=False)
            del self._owners[oldest]
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

    def destination(self, address: Address) -> Destination:
        """What `push` needs to know of an address."""
        return Destination(_name(self._family, address))

    def space(self, size: int, count: int) -> int:
        """Where in the outbox datagrams of up to so many bytes together can be made."""
        if self._tail + size > OUTBOX or self._packets + count > MESSAGES:
            self.flush()
        return self._tail

    def push(self, sizes: Sequence[int], destination: Destination) -> None:
        """From `space` on stand datagrams of these sizes; they go within this turn of the loop."""
        if not sizes:
            return
        if not self._packets and not self._reading:
            asyncio.get_running_loop().call_soon(self.flush)
        if not destination.sizes:
            self._waiting.append(destination)
        destination.sizes += sizes
        for size in sizes:
            destination.places.append(self._tail)
            self._tail += size
        self._packets += len(sizes)

    def flush(self) -> None:
        """Send what waits."""
        if not self._packets:
            return
        if self._sockets:
            self._deliver(self._pack())
        for destination in self._waiting:
            destination.places.clear()
            destination.sizes.clear()
        self._waiting.clear()
        self._tail = self._packets = 0

    def _pack(self) -> int:
        """Describe what waits to the kernel: runs of one size to one address go as one."""
        outbox, segments = self._out_places[0], self._segments
        message = vector = 0
        for destination in self._waiting:
            first, length, run = vector, 0, 0
            for place, size in zip(destination.places, destination.sizes, strict=True):
                whole = run and (size > run or not segments or length + size > RUN_BYTES)
                if whole or vector - first == RUN_SEGMENTS:
                    message = self._close_run(message, destination, first, vector, run)
                    first, length, run = vector, 0, 0
                IOVEC.pack_into(self._out_vectors, vector * IOVEC.size, outbox + place, size)
                vector += 1
                length += size
                if not run:
                    run = size
                elif size < run:  # only the last of a run may be shorter
                    message = self._close_run(message, destination, first, vector, run)
                    first, length, run = vector, 0, 0
            if run:
                message = self._close_run(message, destination, first, vector, run)
        return message

    def _close_run(
        self, message: int, destination: Destination, first: int, end: int, run: int
    ) -> int:
        _, vectors, controls = self._out_places
        control = length = 0
        if end - first > 1:
            control, length = controls + message * CONTROL.size, CONTROL.size
            CONTROL.pack_into(
                self._out_controls, message * CONTROL.size, 18, SOL_UDP, UDP_SEGMENT, run
            )
        HEADER.pack_into(
            self._out_headers, message * HEADER.size, destination.at, destination.size,
            vectors + first * IOVEC.size, end - first, control, length, 0, 0,
        )  # fmt: skip
        return message + 1

    def _deliver(self, messages: int) -> None:
        descriptor, sent = self._sockets[0].fileno(), 0
        while sent < messages:
            at = self._out_at + sent * HEADER.size
            count: int = _send(descriptor, at, messages - sent, MSG_DONTWAIT)
            if count > 0:
                sent += count
                continue
            problem = ctypes.get_errno()
            if problem in (errno.EAGAIN, errno.ENOBUFS):
                self.dropped["full"] += messages - sent
                return
            if problem in (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP):
                self._segments = False  # the way there cannot take runs
            self.dropped["unsent"] += 1
            sent += 1


def _place(memory: bytearray) -> int:
    """Where it stands; a bytearray that is looked at stays there."""
    return ctypes.addressof((ctypes.c_char * len(memory)).from_buffer(memory))


def _name(family: int, address: Address) -> bytes:
    """struct sockaddr of an address."""
    host = socket.inet_pton(family, address[0])
    number = struct.pack("!H", address[1])
    if family == socket.AF_INET6:
        return struct.pack("=H2sI16sI", family, number, 0, host, 0)
    return struct.pack("=H2s4s8x", family, number, host)


def _address(family: int, name: bytes) -> Address:
    """The address in a struct sockaddr."""
    host = name[8:24] if family == socket.AF_INET6 else name[4:8]
    return socket.inet_ntop(family, host), name[2] << 8 | name[3]


def _user(data: bytes) -> bytes:
    """Our part of the USERNAME in a STUN message (RFC 8445, 7.2.2); empty if there is none."""
    at = 20
    while at + 4 <= len(data):
        kind, size = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        if kind == 0x0006:
            return data[at + 4 : at + 4 + size].partition(b":")[0]
        at += 4 + (size + 3 & ~3)
    return b""
