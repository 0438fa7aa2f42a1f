"""Where recordings are kept, for those who run the server."""

from aiohttp import web

from video_bank.keys import CONFIG, SPOOL
from video_bank.permissions import Permission
from video_bank.views.route import Route


async def storage(request: web.Request) -> web.Response:
    """What still waits for the bucket, and why."""
    spool = request.app.get(SPOOL)
    state = {} if spool is None else {"spool": spool.state()}
    return web.json_response({"storage": request.app[CONFIG].storage, **state})


routes = [Route("GET", "/api/storage", Permission.AUDIT, storage)]
