"""What shows when a recording was what it is; and having it stamped now."""

from aiohttp import web

from video_bank.keys import NOTARY, SESSIONS
from video_bank.permissions import Permission
from video_bank.views.route import Route


async def proof(request: web.Request) -> web.Response:
    """For each part of the session its place in the day's tree, the head and its stamp."""
    session = await _known(request)
    return web.json_response(await request.app[NOTARY].proof(session))


async def stamp(request: web.Request) -> web.Response:
    """The same, after having signed and stamped what is not yet."""
    session = await _known(request)
    return web.json_response(await request.app[NOTARY].at_once(session))


async def _known(request: web.Request) -> str:
    """The session that is asked for.  Raises ``unknown_session``."""
    session = request.match_info["session"]
    await request.app[SESSIONS].get(session)
    return session


R = "/api/reviews/{session}"
routes = [
    Route("GET", f"{R}/proof", Permission.REVIEW, proof),
    Route("POST", f"{R}/stamp", Permission.REVIEW, stamp),
]
