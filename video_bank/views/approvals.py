"""Asking for a second person's approval of a replay, and deciding about a colleague's request."""

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.errors import UserError
from video_bank.keys import APPROVALS
from video_bank.permissions import Permission
from video_bank.sessions import text
from video_bank.views.route import Route, body, field


async def ask(request: web.Request) -> web.Response:
    """Ask for a session's replay, with the reason for it."""
    reason = text((await body(request)).get("reason"), least=4, most=500)
    asked = await request.app[APPROVALS].ask(
        request.match_info["session"], request[LOGIN].subject_id, reason
    )
    return web.json_response(asked, status=201)


async def listing(request: web.Request) -> web.Response:
    """The requests that stand: colleagues' to decide, and one's own."""
    if request.query.get("state", "open") != "open":
        raise UserError("bad_request", field="state")
    approvals = request.app[APPROVALS]
    return web.json_response(
        {
            "needed": approvals.needed,
            "approvals": await approvals.open(request[LOGIN].subject_id),
        }
    )


async def decide(request: web.Request) -> web.Response:
    """Approve or refuse a colleague's request."""
    said = await body(request)
    await request.app[APPROVALS].decide(
        request.match_info["id"],
        request[LOGIN].subject_id,
        field(said, "verdict", str),
        text(said.get("reason"), least=4, most=500),
    )
    return web.json_response({})


routes = [
    Route("POST", "/api/reviews/{session}/approvals", Permission.REPLAY, ask),
    Route("GET", "/api/approvals", Permission.REPLAY, listing),
    Route("POST", "/api/approvals/{id}/decision", Permission.APPROVE, decide),
]
