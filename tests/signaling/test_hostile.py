"""What strangers and broken pages send: to the UDP sockets, in offers, over the WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest
from aiohttp import WSServerHandshakeError
from aiortc import RTCConfiguration, RTCPeerConnection
from OpenSSL import SSL

from signaling import messages
from tests.signaling.robot import stage, until
from tests.signaling.test_live import pair


def client_hello() -> bytes:
    """A well-formed DTLS ClientHello of somebody else."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM")
    stranger = SSL.Connection(context)
    stranger.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        stranger.do_handshake()
    return stranger.bio_read(4096)


ALERT = b"\x15\xfe\xfd" + b"\0" * 8 + b"\0\x02\x02\x28"
STUN_JUNK = b"\0\1\0\x54\x21\x12\xa4\x42" + os.urandom(12) + b"\xff" * 84
ATTACKS: dict[str, list[bytes]] = {
    "empty": [b""] * 20,
    "malformed record": [b"\x16\xfe\xff" + b"\0" * 30] * 5,
    "fatal alert": [ALERT] * 5,
    "foreign ClientHello": [client_hello()] * 20,
    "junk": [os.urandom(n) for n in range(1, 1500, 30)],
    "STUN": [STUN_JUNK, STUN_JUNK[:20], STUN_JUNK[:7], b"\0\1\0\0", b"\1\1" + STUN_JUNK[2:]] * 5,
    "RTP and RTCP": [b"\x80\x60" + os.urandom(100), b"\x80\xc8" + os.urandom(40), b"\x80"] * 10,
    "oversized": [b"\x80" * 9000, b"\x16" * 9000],
}


def ports(sdp: str) -> list[tuple[str, int]]:
    found = re.findall(r"a=candidate:\S+ \d udp \d+ (\S+) (\d+)", sdp)
    return [(host, int(port)) for host, port in found]


def strike(sdp: str, datagrams: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for target in ports(sdp):
            for datagram in datagrams:
                stranger.sendto(datagram, target)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_strange_datagrams_before_the_handshake(attack: str) -> None:
    async with stage() as scene:
        robot = await scene.robot("ann")
        await robot.join()
        original = robot.expect

        async def struck(kind: str, *rest: Any, **more: Any) -> dict[str, Any]:
            message = await original(kind, *rest, **more)
            if kind == "answer":
                strike(message["sdp"], ATTACKS[attack])
                await asyncio.sleep(0.01)
            return message

        robot.expect = struck  # type: ignore[method-assign]
        await robot.call()
        person = scene.room.participants["ann"]
        await until(lambda: person.connected and person.peer and person.peer.heard_at)
        assert sum(scene.room.ports[0].dropped.values()) > 0


async def test_strange_datagrams_during_the_call() -> None:
    async with stage() as scene:
        ann, bob = await pair(scene)
        assert ann.connection is not None
        sdp = ann.connection.remoteDescription.sdp
        frames = [0]
        scene.room.subscribe("ann", lambda frame: frames.__setitem__(0, frames[0] + 1))
        for _ in range(10):
            for datagrams in ATTACKS.values():
                strike(sdp, datagrams)
            strike(sdp, [b"\x80\x60" + os.urandom(200)] * 500)
            await asyncio.sleep(0.1)
        before, seen = frames[0], len(bob.frames["1"])
        await asyncio.sleep(1)
        person = scene.room.participants["ann"]
        assert person.connected and person.peer is not None
        assert frames[0] > before + 40 and len(bob.frames["1"]) > seen + 5
        assert scene.room.ports[0].dropped["stranger"] > 5000


async def test_replayed_and_forged_media_is_dropped() -> None:
    async with stage() as scene:
        ann, _ = await pair(scene)
        assert ann.connection is not None
        transport = ann.connection.getTransceivers()[1].sender.transport
        ice = transport.transport._connection
        sent: list[bytes] = []
        original = transport._tx_srtp.protect

        class Tap:
            def protect(self, data: bytes) -> bytes:
                sent.append(original(data))
                return sent[-1]

            def __getattr__(self, name: str) -> object:
                return getattr(session, name)

        session, transport._tx_srtp = transport._tx_srtp, cast(Any, Tap())
        await until(lambda: len(sent) > 20)
        person = scene.room.participants["ann"]
        struck = person.peer
        assert struck is not None
        forged = [one[:-1] + bytes([one[-1] ^ 1]) for one in sent]
        for datagram in sent + forged:
            await ice.send(datagram)
        await until(lambda: struck.dropped.get("unauthenticated", 0) >= 2 * 20)
        assert person.connected


async def offer() -> str:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("audio")
    connection.addTransceiver("video")
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return str(sdp)


def without(pattern: str) -> Callable[[str], str]:
    return lambda sdp: "".join(
        line for line in sdp.splitlines(keepends=True) if not re.match(pattern, line)
    )


SPOILED: dict[str, tuple[Callable[[str], str], str]] = {
    "no fingerprint": (without("a=fingerprint"), "no_fingerprint"),
    "only sha-512": (without("a=fingerprint:sha-(256|384)"), "no_fingerprint"),
    "short fingerprint": (lambda s: re.sub(r"sha-256 \S+", "sha-256 AA:BB", s), "no_fingerprint"),
    "empty": (lambda s: "", "bad_offer"),
    "half": (lambda s: s[: len(s) // 2], ""),
    "no media": (lambda s: s.split("m=")[0], "bad_offer"),
    "no ICE": (without("a=ice-"), "bad_offer"),
    "odd ICE": (lambda s: re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:x", s), ""),
    "no bundle": (without("a=group"), "not_bundled"),
    "no mid": (without("a=mid"), ""),
    "no rtcp-mux": (without("a=rtcp-mux"), "bad_offer"),
    "no video": (lambda s: s.replace("VP8", "VP9").replace("H264", "H265"), "no_common_codec"),
    "odd H264": (
        lambda s: re.sub("level-id=42e01f", "level-id=zz", s.replace("VP8", "VP9")),
        "no_common_codec",
    ),
    "odd simulcast": (
        lambda s: s + "a=simulcast:send ;;~~\r\na=rid:\r\na=extmap:99 x\r\na=rid:h sendx\r\n",
        "",
    ),
    "no Opus": (lambda s: s.replace("opus", "speex"), "no_common_codec"),
    "no codecs": (without("a=rtpmap"), ""),
    "data channel": (lambda s: s.replace("m=video", "m=application"), "bad_offer"),
    "many": (lambda s: s + ("m=" + s.split("m=")[2]) * 20, "bad_offer"),
    "numbers": (lambda s: re.sub(r"\d+", "99999999999", s), ""),
    "not SDP": (lambda s: "\u2028\0" * 100, "bad_offer"),
}


@pytest.mark.parametrize("spoiled", SPOILED)
async def test_a_bad_offer_is_refused_and_hurts_nothing(spoiled: str) -> None:
    spoil, code = SPOILED[spoiled]
    async with stage() as scene:
        robot = await scene.robot("ann")
        await robot.join()
        await robot.send("offer", call=1, sdp=spoil(await offer()))
        if spoiled.startswith("odd") and not code:  # well-formed enough
            await robot.expect("answer")
            return
        error = await robot.expect("error")
        assert code in ("", error["code"]) and error["message"] and not error["fatal"]
        robot.calls = 1
        await robot.call()


async def test_a_bad_offer_leaves_the_running_call_alone() -> None:
    async with stage() as scene:
        ann, bob = await pair(scene)
        former = scene.room.participants["ann"].peer
        await ann.send("offer", call=2, sdp=without("a=fingerprint")(await offer()))
        assert (await ann.expect("error"))["code"] == "no_fingerprint"
        await ann.send("offer", call=1, sdp=await offer())
        assert (await ann.expect("error"))["code"] == "old_call"
        assert scene.room.participants["ann"].peer is former
        seen = len(bob.frames["1"])
        await until(lambda: len(bob.frames["1"]) > seen + 5)


async def test_the_wrong_certificate_gets_no_media() -> None:
    async with stage() as scene:
        robot = await scene.robot("ann")
        await robot.join()
        original = robot.send

        async def lying(kind: str, **fields: object) -> None:
            if kind == "offer":
                wrong = "sha-256 " + ":".join(["AB"] * 32)
                fields["sdp"] = re.sub(r"sha-256 \S+", wrong, str(fields["sdp"]))
            await original(kind, **fields)

        robot.send = lying  # type: ignore[method-assign]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(robot.call(), 3)
        person = scene.room.participants["ann"]
        assert not person.connected
        assert person.peer is None or person.peer.heard_at is None


async def test_random_messages() -> None:
    random.seed(4)
    async with stage() as scene:
        robot, other = await scene.robot("ann"), await scene.robot("bob")
        texts = [
            '{"type":"join"}',
            "[]",
            "{",
            '{"type":"offer","call":1,"sdp":"v=0"}',
            "\0",
            "[" * 999,
        ]
        for text in texts:
            await robot.socket.send_str(text)
            assert not (await robot.expect("error"))["fatal"]
        await robot.socket.send_bytes(os.urandom(100))
        assert (await robot.expect("error"))["code"] == "not_json"
        await robot.send("media", microphone=True, camera=True)
        assert (await robot.expect("error"))["code"] == "not_in_a_room"
        await robot.send("join", room="elsewhere")
        assert (await robot.expect("error"))["code"] == "no_such_room"
        await other.send("ping", t=1)
        await other.expect("pong")


async def test_a_flood_is_warned_then_closed() -> None:
    async with stage() as scene:
        robot, other = await scene.robot("ann"), await scene.robot("bob")
        await robot.join()
        for n in range(60):
            await robot.send("ping", t=n)
        assert (await robot.expect("error"))["code"] == "too_many_messages"
        assert not robot.socket.closed
        with contextlib.suppress(ConnectionError):
            for n in range(200):
                await robot.send("ping", t=n)
        await robot.expect("error", lambda m: m["fatal"])
        await until(lambda: robot.socket.closed)
        await until(lambda: scene.gate.gone == ["ann"])
        await other.send("ping", t=1)
        await other.expect("pong", wait=0.5)


async def test_many_offers_are_refused() -> None:
    async with stage() as scene:
        robot = await scene.robot("ann")
        await robot.join()
        for call in range(12):
            await robot.send("offer", call=call, sdp="v=0")
        await robot.expect("error", lambda m: m["code"] == "too_many_offers")


async def test_too_large_a_message() -> None:
    async with stage() as scene:
        robot = await scene.robot("ann")
        await robot.socket.send_str('{"type":"join","room":"' + "x" * messages.MESSAGE_BYTES + '"}')
        assert (await robot.expect("error"))["code"] == "too_large"
        with contextlib.suppress(ConnectionError):
            await robot.socket.send_str("x" * 3 * messages.MESSAGE_BYTES)
        await until(lambda: robot.socket.closed)


async def test_who_does_not_read_is_cut_off_and_delays_nobody() -> None:
    async with stage() as scene:
        other = await scene.robot("bob")
        await other.join()
        host, port = scene.server.host, scene.server.port
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(
            f"GET /ws?id=sloth HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: any(one.caller.id == "sloth" for one in scene.gate.open))
        slow = next(one for one in scene.gate.open if one.caller.id == "sloth")
        for n in range(1000):
            slow.notify("chat", {"text": "x" * 60_000, "n": n})
            if slow.closed:
                break
            await asyncio.sleep(0)
        assert slow.closed
        await until(lambda: "sloth" in scene.gate.gone)
        await other.send("ping", t=1)
        await other.expect("pong", wait=0.5)
        writer.close()


@pytest.mark.parametrize(
    ("origin", "name", "status"),
    [
        ("http://evil.example", "ann", 403),
        ("null", "ann", 403),
        (None, "ann", 403),
        ("same", "", 401),
    ],
)
async def test_refused_at_the_door(origin: str | None, name: str, status: int) -> None:
    async with stage() as scene:
        assert scene.session is not None
        own = str(scene.server.make_url("")).rstrip("/")
        headers = {} if origin is None else {"Origin": own if origin == "same" else origin}
        with pytest.raises(WSServerHandshakeError) as refusal:
            await scene.session.ws_connect(scene.server.make_url(f"/ws?id={name}"), headers=headers)
        assert refusal.value.status == status


async def test_only_authenticated_encryption_is_spoken() -> None:
    async with stage() as scene:
        robot = await scene.robot("ann")
        await robot.join()
        connection = await robot.call()
        dtls = connection.getTransceivers()[0].sender.transport
        assert dtls._ssl is not None
        cipher = dtls._ssl.get_cipher_name() or ""
        assert "GCM" in cipher or "CHACHA20" in cipher
        assert dtls._ssl.get_selected_srtp_profile().startswith(b"SRTP_AEAD")
        assert "rtx" not in connection.remoteDescription.sdp
