"""The shared port on real sockets: batches, runs, and whose address is whose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaling import datagrams
from signaling import port as ports
from signaling.beat import Beat
from signaling.datagrams import SLOT, Address, Destination
from signaling.port import SOURCES, Port, Share


class Caller:
    """A connection at the port that keeps what it gets."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.got: list[tuple[bytes, Address]] = []
        self.alive = False

    def received(self, data: bytes, source: Address, now: float) -> None:
        self.got.append((data, source))

    def heard(self, now: float) -> bool:
        return self.alive


class Browser:
    """A socket of somebody out there."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(self, port: Port) -> None:
        self.socket = socket.socket(
            socket.AF_INET6 if ":" in port.address else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.opened.append(self.socket)
        self.socket.bind((port.address, 0))
        self.socket.settimeout(2)
        self.address: Address = self.socket.getsockname()[:2]
        self._to = (port.address, port.number)

    def send(self, *datagrams: bytes) -> None:
        for data in datagrams:
            self.socket.sendto(data, self._to)

    def knock(self, name: bytes) -> None:
        """A STUN request for the connection of that name."""
        user = name + b":them"
        attribute = b"\0\x06" + len(user).to_bytes(2, "big") + user + bytes(-len(user) % 4)
        self.send(
            b"\0\x01"
            + len(attribute).to_bytes(2, "big")
            + b"\x21\x12\xa4\x42"
            + os.urandom(12)
            + attribute
        )

    def receive(self, count: int) -> list[bytes]:
        return [self.socket.recv(4096) for _ in range(count)]


@contextlib.contextmanager
def opened(address: str = "127.0.0.1") -> Iterator[tuple[Port, list[Caller], list[Share]]]:
    """A port with two connections."""
    port = Port(address)
    callers = [Caller(b"first"), Caller(b"second")]
    shares = [port.join(caller, lambda error: None) for caller in callers]
    try:
        yield port, callers, shares
    finally:
        for share in shares:
            share.close()
        while Browser.opened:
            Browser.opened.pop().close()


async def until(condition: Callable[[], object]) -> None:
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_datagrams_go_to_whom_their_sender_named(address: str) -> None:
    with opened(address) as (port, (first, second), _):
        ann, bob, stranger = Browser(port), Browser(port), Browser(port)
        stranger.send(b"\x80" * 50, b"", b"\x16" * 50)
        ann.knock(b"first")
        bob.knock(b"second")
        ann.send(b"\x16from ann")
        bob.send(b"\x16from bob")
        await until(lambda: len(first.got) == len(second.got) == 2)
        assert first.got[1] == (b"\x16from ann", ann.address)
        assert second.got[1] == (b"\x16from bob", bob.address)
        assert port.dropped["stranger"] == 3


async def test_an_address_that_is_heard_is_nobody_elses() -> None:
    with opened() as (port, (first, second), shares):
        ann = Browser(port)
        ann.knock(b"first")
        await until(lambda: first.got)
        first.alive = True
        ann.knock(b"second")
        ann.send(b"\x16still the first")
        await until(lambda: len(first.got) == 2)
        assert second.got == []
        first.alive = False
        ann.knock(b"second")
        ann.send(b"\x16now the second")
        await until(lambda: len(second.got) == 2)
        assert len(first.got) == 2 and not shares[0].sources


async def test_answers_come_to_who_asked() -> None:
    with opened() as (port, (first, second), shares):
        ann = Browser(port)
        number = os.urandom(12)
        shares[1].sendto(b"\0\x01\0\0\x21\x12\xa4\x42" + number, ann.address)
        assert ann.receive(1)[0][8:20] == number
        ann.send(b"\x01\x01\0\0\x21\x12\xa4\x42" + number)
        ann.send(b"\x01\x01\0\0\x21\x12\xa4\x42" + os.urandom(12))
        await until(lambda: port.dropped["stranger"] == 1)
        assert len(second.got) == 1 and not first.got


async def test_a_connection_forgets_its_oldest_addresses() -> None:
    with opened() as (port, (first, _), shares):
        browsers = [Browser(port) for _ in range(SOURCES + 3)]
        for browser in browsers:
            browser.knock(b"first")
            await until(lambda asked=browser: first.got and first.got[-1][1] == asked.address)  # type: ignore[misc]
        assert len(shares[0].sources) == SOURCES
        browsers[0].send(b"\x16forgotten")
        await until(lambda: port.dropped["stranger"] == 1)


async def test_strangers_who_know_the_name_do_not_push_out_who_sends_media() -> None:
    with opened() as (port, (first, _), shares):
        ann = Browser(port)
        ann.knock(b"first")
        await until(lambda: first.got)
        taken: list[int] = []

        def media(slot: int, sizes: Sequence[int], now: float) -> Sequence[int]:
            taken.extend(sizes)
            return ()

        port.known(shares[0], ann.address, media)
        for _ in range(3 * SOURCES):
            Browser(port).knock(b"first")
        await until(lambda: len(first.got) == 1 + 3 * SOURCES)
        ann.send(b"\x80" * 99)
        await until(lambda: taken == [99])


async def test_one_calls_trouble_is_not_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while it reads in batches: the next one must still come."""
    monkeypatch.setattr(ports, "CALM_PER_S", 0.0)
    monkeypatch.setattr(ports, "BUSY_PER_S", 0.0)
    monkeypatch.setattr(ports, "COUNT_S", 0.0)
    with opened() as (port, (first, second), shares):
        ann, bob = Browser(port), Browser(port)
        ann.knock(b"first")
        bob.knock(b"second")
        await until(lambda: first.got and second.got and port._timer)

        def broken(slot: int, sizes: Sequence[int], now: float) -> Sequence[int]:
            raise RuntimeError("a viewer broke")

        port.known(shares[0], ann.address, broken)
        ann.send(b"\x80" * 50)
        bob.send(b"\x16first")
        await until(lambda: len(second.got) == 2 and "a viewer broke" in caplog.text)
        ann.send(b"\x80" * 50)
        bob.send(b"\x16second")
        await until(lambda: len(second.got) == 3)


async def test_known_media_is_handed_over_where_it_stands() -> None:
    with opened() as (port, (first, _), shares):
        ann = Browser(port)
        ann.knock(b"first")
        await until(lambda: first.got)
        taken: list[bytes] = []

        def media(slot: int, sizes: Sequence[int], now: float) -> Sequence[int]:
            taken.extend(port.inbox.datagram(place, size) for place, size in enumerate(sizes, slot))
            return [place for place, size in enumerate(sizes, slot) if size < 10]

        port.known(shares[0], ann.address, media)
        port.known(shares[1], ann.address, media)  # not its address: no effect
        long = b"\x80" * (SLOT + 100)
        ann.send(*(b"\x80" * (100 + n) for n in range(200)), b"\x80short", long)
        await until(lambda: len(taken) == 202)
        assert [len(one) for one in taken] == [*range(100, 300), 6, SLOT]
        assert first.got[1:] == [(b"\x80short", ann.address)], "what is not taken goes the long way"


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.lists(st.integers(1, 1400), min_size=1, max_size=60)),
        max_size=20,
    ),
    st.booleans(),
)
def test_everything_arrives_whole_and_in_order(
    turns: list[tuple[int, list[int]]], segments: bool
) -> None:
    """Sizes as they come: runs of one size go as one send, and nobody can tell."""

    async def check() -> None:
        with opened() as (port, _, _):
            port.outbox._segments = segments
            browsers = [Browser(port), Browser(port)]
            ways = [Destination(one.address) for one in browsers]
            wanted: list[list[bytes]] = [[], []]
            for who, sizes in turns:
                at = port.space(sum(sizes), len(sizes))
                for number, size in enumerate(sizes):
                    data = bytes([number]) * size
                    port.outbox.memory[at : at + size] = data
                    at += size
                    wanted[who].append(data)
                port.push(sizes, ways[who])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for browser, expected in zip(browsers, wanted, strict=True):
                browser.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                assert browser.receive(len(expected)) == expected

    asyncio.run(check())


async def test_a_way_without_runs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel refuses a run, that one is lost and the next go singly."""
    with opened() as (port, _, _):
        ann = Browser(port)
        way = Destination(ann.address)
        monkeypatch.setattr(datagrams, "UDP_SEGMENT", 0xFF)

        def send() -> None:
            at = port.space(300, 3)
            port.outbox.memory[at : at + 300] = b"a" * 100 + b"b" * 100 + b"c" * 100
            port.push([100, 100, 100], way)
            port.flush()

        send()
        assert port.dropped["unsent"] == 1
        send()
        assert [one[:1] for one in ann.receive(3)] == [b"a", b"b", b"c"]


async def test_it_reads_in_batches_while_much_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "COUNT_S", 0.02)
    with opened() as (port, (first, _), _):
        ann = Browser(port)
        ann.knock(b"first")
        for _ in range(30):
            ann.send(*[b"\x16datagram"] * 50)
            await asyncio.sleep(0.005)
            if port._timer is not None:
                break
        assert port._timer is not None, "it waits for batches"
        await until(lambda: port._timer is None)
        before = len(first.got)
        ann.send(b"\x16after the rush")
        await until(lambda: len(first.got) == before + 1)


async def test_it_opens_and_closes_with_its_connections() -> None:
    port = Port("127.0.0.1")
    share = port.join(Caller(b"one"), lambda error: None)
    number = share.get_extra_info("sockname")[1]
    assert number == port.number > 0
    share.close()
    share.close()
    assert share.is_closing() and port.number == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            Port("127.0.0.1", taken.getsockname()[1]).open()


async def test_without_large_buffers_there_are_more_sockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every browser is heard, whichever of them the kernel puts its datagrams into."""
    monkeypatch.setattr(ports, "BUFFER_BYTES", 64 << 10)
    monkeypatch.setattr(ports, "SOCKETS", 4)
    room = socket.socket.getsockopt
    monkeypatch.setattr(
        socket.socket, "getsockopt",
        lambda self, *what: min(20_000, room(self, *what)) if len(what) == 2 else room(self, *what),
    )  # fmt: skip
    with opened() as (port, (first, _), _):
        assert len(port._sockets) == 4
        browsers = [Browser(port) for _ in range(12)]
        for browser in browsers:
            browser.knock(b"first")
        await until(lambda: len(first.got) == 12)
        assert {source for _, source in first.got} == {one.address for one in browsers}


async def test_the_announced_address_is_what_browsers_are_told() -> None:
    port = Port("127.0.0.1", announced="203.0.113.9")
    share = port.join(Caller(b"one"), lambda error: None)
    assert share.get_extra_info("sockname") == ("203.0.113.9", port.number)
    share.close()


async def test_a_beat_runs_together_what_was_put_off(caplog: pytest.LogCaptureFixture) -> None:
    beat, done = Beat(), list[int]()

    def again() -> None:
        done.append(2)
        beat.put_off(lambda: done.append(3))

    beat.put_off(lambda: done.append(1))
    beat.put_off(lambda: done.remove(7))
    beat.put_off(again)
    assert done == []
    await until(lambda: done)
    assert done == [1, 2], "what comes meanwhile waits for the next"
    assert "ValueError" in caplog.text
    await until(lambda: done == [1, 2, 3])
