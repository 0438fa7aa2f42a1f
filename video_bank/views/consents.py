"""What customers agreed to: their own answers, taking one back, and how many faces are kept."""

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.keys import CHECKS, FACES, LEDGER, SESSIONS
from video_bank.permissions import Permission
from video_bank.views.route import Route, body, field


async def mine(request: web.Request) -> web.Response:
    """The customer's own answers, oldest first."""
    return web.json_response(await request.app[LEDGER].of(request[LOGIN].subject_id))


async def withdraw(request: web.Request) -> web.Response:
    """Take a consent back; what was kept under it is erased before this answers."""
    subject = field(await body(request), "subject", str)
    customer = request[LOGIN].subject_id
    await request.app[CHECKS].withdraw(customer, subject)
    return web.json_response(await request.app[LEDGER].standing(customer))


async def of_session(request: web.Request) -> web.Response:
    """The answers of a session's customer, in all visits."""
    row = await request.app[SESSIONS].get(request.match_info["session"])
    return web.json_response(await request.app[LEDGER].of(row["customer_id"]))


async def faces(request: web.Request) -> web.Response:
    """How many people's faces are kept, and what follows from the number."""
    return web.json_response(await request.app[FACES].stock())


routes = [
    Route("GET", "/api/consents", Permission.VISIT, mine),
    Route("POST", "/api/consents/withdraw", Permission.VISIT, withdraw),
    Route("GET", "/api/sessions/{session}/consents", Permission.RETAIN, of_session),
    Route("GET", "/api/faces", Permission.AUDIT, faces),
]
