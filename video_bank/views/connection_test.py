"""The connection test: a page for customers and support, who need not be signed in."""

import asyncio

from aiohttp import WSMsgType, web

from video_bank.errors import NotAllowed
from video_bank.keys import CONFIG, CONNECTION_TEST
from video_bank.views.guard import origins
from video_bank.views.pages import page
from video_bank.views.route import Route, body, client_address, field

SOCKET_S = 10.0
ECHO_BYTES = 16
ECHOES = 8


async def servers(request: web.Request) -> web.Response:
    """The relays, with credentials of this test's own."""
    found = request.app[CONNECTION_TEST].servers(client_address(request))
    return web.json_response(found)


async def answer(request: web.Request) -> web.Response:
    """The answer to an offer without candidates."""
    sdp = field(await body(request), "sdp", str)
    said = await request.app[CONNECTION_TEST].answer(sdp, client_address(request))
    return web.json_response({"sdp": said})


async def socket(request: web.Request) -> web.WebSocketResponse:
    """A WebSocket that says a few short words back, so that the page can time them."""
    if request.headers.get("Origin") not in origins(request.app[CONFIG]):
        raise NotAllowed("cross_origin")
    request.app[CONNECTION_TEST].knock(client_address(request))
    line = web.WebSocketResponse(max_msg_size=ECHO_BYTES, compress=False)
    await line.prepare(request)
    try:
        async with asyncio.timeout(SOCKET_S):
            for _ in range(ECHOES):
                message = await line.receive()
                if message.type is not WSMsgType.TEXT:
                    break
                await line.send_str(message.data)
    except (TimeoutError, ConnectionError):
        pass
    await line.close()
    return line


show = page("connection", "connection_test.html", "connection")

routes = [
    Route("GET", "/connection-test", None, show),
    Route("GET", "/api/connection-test", None, servers),
    Route("POST", "/api/connection-test", None, answer),
    # Below /ws, because that is what a reverse proxy passes through for calls.
    Route("GET", "/ws/connection-test", None, socket),
]
