"""The way to the server is tried with peers that belong to nobody: bounded, short-lived."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from signaling import forward
from signaling.ice import LOOPBACK, Relays
from signaling.port import Port
from video_bank import connection_test
from video_bank.accounts import Accounts
from video_bank.config import Config
from video_bank.connection_test import ConnectionTest
from video_bank.errors import TooMany, UserError
from video_bank.keys import ACCOUNTS, CONFIG, CONNECTION_TEST
from video_bank.views import connection_test as views
from video_bank.views.guard import errors, identify, permitted

Client = TestClient[web.Request, web.Application]
ORIGIN = {"Origin": "http://localhost:8080"}
RELAYS = Relays(("turn:turn.example?transport=udp",), b"a secret of some length", "relay")


@pytest.fixture
async def trial() -> AsyncIterator[ConnectionTest]:
    forward.check()
    made = ConnectionTest([Port(LOOPBACK[0])], RELAYS, peer_s=0.6)
    yield made
    await made.close()


@pytest.fixture
async def client(
    config: Config, accounts: Accounts, trial: ConnectionTest
) -> AsyncIterator[Client]:
    app = web.Application(middlewares=[errors, identify])
    app[CONFIG], app[ACCOUNTS], app[CONNECTION_TEST] = config, accounts, trial
    for route in views.routes:
        app.router.add_route(route.method, route.path, permitted(route))
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def offered(connection: RTCPeerConnection) -> str:
    connection.addTransceiver("audio", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    return str(connection.localDescription.sdp)


@pytest.fixture
async def connection(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RTCPeerConnection]:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [*LOOPBACK])
    made = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    yield made
    await made.close()


async def all_gone(trial: ConnectionTest) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*trial._ends)


async def test_a_stranger_connects_and_is_let_go(
    client: Client, trial: ConnectionTest, connection: RTCPeerConnection
) -> None:
    up, over = asyncio.Event(), asyncio.Event()

    def changed() -> None:
        (up if connection.connectionState == "connected" else over).set()

    connection.on("connectionstatechange", lambda: changed())
    sdp = await offered(connection)
    async with client.post("/api/connection-test", json={"sdp": sdp}, headers=ORIGIN) as reply:
        answer = (await reply.json())["sdp"]
    over.clear()
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(5):
        await up.wait()
        over.clear()
        await over.wait()  # the server hangs up by itself
    await all_gone(trial)


async def test_peers_are_few(
    trial: ConnectionTest, connection: RTCPeerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_test, "PEERS", 2)
    sdp = await offered(connection)
    for _ in range(2):
        await trial.answer(sdp, "192.0.2.1")
    with pytest.raises(TooMany):
        await trial.answer(sdp, "192.0.2.2")
    await all_gone(trial)
    await trial.answer(sdp, "192.0.2.2")


async def test_an_address_asks_so_often_only(trial: ConnectionTest) -> None:
    with pytest.raises(TooMany):
        for _ in range(connection_test.REQUESTS_A_MINUTE + 1):
            trial.servers("192.0.2.1")
    trial.servers("192.0.2.2")


async def test_what_is_no_offer_is_refused_and_takes_no_place(trial: ConnectionTest) -> None:
    with pytest.raises(UserError, match="bad_request"):
        await trial.answer("v=0\r\n", "192.0.2.1")
    await all_gone(trial)


async def test_the_relays_are_told_with_credentials(client: Client) -> None:
    async with client.get("/api/connection-test") as reply:
        found = await reply.json()
    assert found["ice_policy"] == "relay"
    (server,) = found["ice_servers"]
    assert server["urls"] == list(RELAYS.urls) and server["credential"]
    assert "127.0.0.1" not in server["username"]


async def test_the_socket_echoes_little_and_ends(client: Client) -> None:
    async with client.ws_connect("/ws/connection-test", headers=ORIGIN) as line:
        for number in range(views.ECHOES):
            await line.send_str(str(number))
            assert await line.receive_str() == str(number)
        assert (await line.receive()).type is WSMsgType.CLOSE
    async with client.ws_connect("/ws/connection-test", headers=ORIGIN) as line:
        await line.send_str("x" * 100)
        assert (await line.receive()).type is WSMsgType.CLOSE
    async with client.get("/ws/connection-test", headers={"Origin": "http://x.example"}) as reply:
        assert reply.status == 403
