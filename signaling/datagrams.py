"""UDP datagrams many at a time: recvmmsg, sendmmsg and UDP_SEGMENT (Linux, 64 bit).

Two system calls for a batch instead of two for a packet, and the datagrams stay where the kernel
put them or takes them from.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence

Address = tuple[str, int]

BATCH = 64
"Datagrams read at a time."
SLOT = 2048
"Bytes kept of a datagram: whoever fills a slot sent more than WebRTC does."
OUTBOX = 256 * 1024
MESSAGES = 512
"Datagrams that wait to be sent, at most."
RUN_BYTES, RUN_SEGMENTS = 60_000, 48
"Most that the kernel takes as one send, with some room (64 kB, 64 segments)."

NAME = 32
"Room for a struct sockaddr."
HEADER = struct.Struct("=QIxxxxQQQQixxxxIxxxx")
"struct mmsghdr: address and size, buffers and count, control and size, flags, bytes received."
VECTOR = struct.Struct("=QQ")
"struct iovec."
CONTROL = struct.Struct("=QiiHxxxxxx")
"struct cmsghdr with a 16-bit number."
SIZES = [struct.Struct("=" + "56xIxxxx" * count).unpack_from for count in range(BATCH + 1)]
V4 = [struct.Struct("=" + "16s16x" * count).unpack_from for count in range(BATCH + 1)]
V6 = [struct.Struct("=" + "28s4x" * count).unpack_from for count in range(BATCH + 1)]
SOL_UDP, UDP_SEGMENT = 17, 103
MSG_DONTWAIT = socket.MSG_DONTWAIT

# The calls never block: letting other threads run meanwhile would only cost the way back.
_libc = ctypes.PyDLL(None, use_errno=True)
_receive = _libc.recvmmsg
_receive.argtypes = (
    ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p,
)  # fmt: skip
_send = _libc.sendmmsg
_send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


def name_of(address: Address) -> bytes:
    """struct sockaddr of an address."""
    number = struct.pack("!H", address[1])
    if ":" in address[0]:
        host = socket.inet_pton(socket.AF_INET6, address[0])
        return struct.pack("=H2sI16sI", socket.AF_INET6, number, 0, host, 0)
    host = socket.inet_pton(socket.AF_INET, address[0])
    return struct.pack("=H2s4s8x", socket.AF_INET, number, host)


def address_of(name: bytes) -> Address:
    """The address in a struct sockaddr."""
    number = name[2] << 8 | name[3]
    if len(name) == 28:
        return socket.inet_ntop(socket.AF_INET6, name[8:24]), number
    return socket.inet_ntop(socket.AF_INET, name[4:8]), number


class Inbox:
    """Memory for a batch that comes in: slot after slot, one datagram each."""

    def __init__(self, *, ipv6: bool) -> None:
        self.memory = bytearray(BATCH * SLOT)
        self._view = memoryview(self.memory)
        self._names_of, size = (V6, 28) if ipv6 else (V4, 16)
        self._names = bytearray(BATCH * NAME)
        self._vectors = bytearray(BATCH * VECTOR.size)
        self._headers = bytearray(BATCH * HEADER.size)
        memory, names, vectors = map(_place, (self.memory, self._names, self._vectors))
        for slot in range(BATCH):
            VECTOR.pack_into(self._vectors, slot * VECTOR.size, memory + slot * SLOT, SLOT)
            HEADER.pack_into(
                self._headers, slot * HEADER.size,
                names + slot * NAME, size, vectors + slot * VECTOR.size, 1, 0, 0, 0, 0,
            )  # fmt: skip
        self._at = _place(self._headers)

    def receive(self, descriptor: int) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
        """Fill slots with what waits: sizes, and where each came from (struct sockaddr)."""
        count: int = _receive(descriptor, self._at, BATCH, MSG_DONTWAIT, None)
        if count <= 0:
            return (), ()
        return SIZES[count](self._headers), self._names_of[count](self._names)

    def datagram(self, slot: int, size: int) -> bytes:
        """A copy of what stands in a slot."""
        return self._view[slot * SLOT : slot * SLOT + size].tobytes()


class Destination:
    """Where datagrams go, and those that wait for it."""

    def __init__(self, address: Address) -> None:
        name = name_of(address)
        self._name = ctypes.create_string_buffer(name, len(name))
        self.at = ctypes.addressof(self._name)
        self.size = len(name)
        self.places: list[int] = []
        self.sizes: list[int] = []


class Outbox:
    """Memory in which datagrams are made, and sent a batch at a time.

    Datagrams of one size to one address go as one send, which the kernel or the network card
    takes apart (UDP_SEGMENT): the packets of a picture are such a run.
    """

    def __init__(self) -> None:
        self.memory = bytearray(OUTBOX)
        self.packets = 0
        "Datagrams that wait."
        self._tail = 0
        self._waiting: list[Destination] = []
        self._segments = True
        self._vectors = bytearray(MESSAGES * VECTOR.size)
        self._controls = bytearray(MESSAGES * CONTROL.size)
        self._headers = bytearray(MESSAGES * HEADER.size)
        self._at = _place(self._headers)
        self._places = tuple(map(_place, (self.memory, self._vectors, self._controls)))

    def fits(self, size: int, count: int) -> bool:
        """Whether there is room for so many bytes in so many datagrams."""
        return self._tail + size <= OUTBOX and self.packets + count <= MESSAGES

    @property
    def tail(self) -> int:
        """Where in the memory the next datagrams are made."""
        return self._tail

    def push(self, sizes: Sequence[int], destination: Destination) -> None:
        """From `tail` on stand datagrams of these sizes."""
        if not destination.sizes:
            self._waiting.append(destination)
        destination.sizes += sizes
        for size in sizes:
            destination.places.append(self._tail)
            self._tail += size
        self.packets += len(sizes)

    def send(self, descriptor: int) -> int:
        """Send what waits; how many sends were lost, as the kernel would not take them."""
        lost = self._deliver(descriptor, self._pack())
        self.clear()
        return lost

    def clear(self) -> None:
        """Nothing waits any more."""
        for destination in self._waiting:
            destination.places.clear()
            destination.sizes.clear()
        self._waiting.clear()
        self._tail = self.packets = 0

    def _pack(self) -> int:
        """Describe what waits to the kernel; how many sends that makes."""
        memory, vectors = self._places[0], self._vectors
        message = vector = 0
        for destination in self._waiting:
            first, length, run = vector, 0, 0
            for place, size in zip(destination.places, destination.sizes, strict=True):
                full = length + size > RUN_BYTES or vector - first == RUN_SEGMENTS
                if run and (size > run or full or not self._segments):
                    message = self._close_run(message, destination, first, vector, run)
                    first, length, run = vector, 0, 0
                VECTOR.pack_into(vectors, vector * VECTOR.size, memory + place, size)
                vector += 1
                length += size
                if size < run:  # only the last of a run may be shorter
                    message = self._close_run(message, destination, first, vector, run)
                    first, length, run = vector, 0, 0
                else:
                    run = size
            if run:
                message = self._close_run(message, destination, first, vector, run)
        return message

    def _close_run(
        self, message: int, destination: Destination, first: int, end: int, run: int
    ) -> int:
        _, vectors, controls = self._places
        control = length = 0
        if end - first > 1:
            control, length = controls + message * CONTROL.size, CONTROL.size
            CONTROL.pack_into(self._controls, message * CONTROL.size, 18, SOL_UDP, UDP_SEGMENT, run)
        HEADER.pack_into(
            self._headers, message * HEADER.size,
            destination.at, destination.size, vectors + first * VECTOR.size, end - first,
            control, length, 0, 0,
        )  # fmt: skip
        return message + 1

    def _deliver(self, descriptor: int, messages: int) -> int:
        sent = lost = 0
        while sent < messages:
            at = self._at + sent * HEADER.size
            count: int = _send(descriptor, at, messages - sent, MSG_DONTWAIT)
            if count > 0:
                sent += count
                continue
            problem = ctypes.get_errno()
            if problem in (errno.EAGAIN, errno.ENOBUFS):
                return lost + messages - sent
            if problem in (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP):
                self._segments = False  # the way there cannot take runs
            sent += 1
            lost += 1
        return lost


def _place(memory: bytearray) -> int:
    """Where it stands; a bytearray that is looked at stays there."""
    return ctypes.addressof((ctypes.c_char * len(memory)).from_buffer(memory))
