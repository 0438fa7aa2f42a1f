"""Who takes part in a session: transfers, colleagues, guests, supervisors."""

from typing import Any

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.keys import ACCOUNTS, CALLS, LINE, PEOPLE, QUALITY, SUPERVISION
from video_bank.permissions import Permission
from video_bank.sessions import text
from video_bank.views.participation import assisting, attending, own
from video_bank.views.route import Route, body, field, optional
from video_bank.views.teller import catalogue


async def colleagues(request: web.Request) -> web.Response:
    """Staff with an open page who could take part or take over."""
    me = request[LOGIN].subject_id
    desks = request.app[LINE].present()
    return web.json_response(
        [
            {**person, "state": desks[person["id"]].state}
            for person in await request.app[ACCOUNTS].staff.attending(desks)
            if person["id"] != me
        ]
    )


# -- transfer -----------------------------------------------------------------------------


async def transfer(request: web.Request) -> web.Response:
    """Ring at a colleague's desk, or at the one the line would choose."""
    login, row, data = request[LOGIN], await own(request), await body(request)
    to, note = optional(data, "to", str), text(data.get("note") or "", most=500)
    await request.app[LINE].transfer(
        row["id"], login.subject_id, to, name=login.name, note=note
    )
    return web.json_response({}, status=202)


async def cancel_transfer(request: web.Request) -> web.Response:
    """Keep the session after all."""
    row = await own(request)
    await request.app[LINE].cancel_transfer(row["id"], request[LOGIN].subject_id)
    return web.json_response({})


# -- colleagues and guests ----------------------------------------------------------------


async def invite(request: web.Request) -> web.Response:
    """Ask a colleague in."""
    row = await own(request)
    staff = field(await body(request), "staff", str)
    await request.app[PEOPLE].invite(row["id"], request[LOGIN], staff)
    return web.json_response({}, status=202)


async def cancel_invite(request: web.Request) -> web.Response:
    """Take an invitation back."""
    row = await own(request)
    staff = field(await body(request), "staff", str)
    await request.app[PEOPLE].remove(row["id"], request[LOGIN], staff)
    return web.json_response({})


async def decline_invite(request: web.Request) -> web.Response:
    """Do not come."""
    session, me = request.match_info["session"], request[LOGIN].subject_id
    await request.app[PEOPLE].step_out(session, me, reason="declined")
    return web.json_response({})


async def guest(request: web.Request) -> web.Response:
    """Make a one-use link for a second borrower."""
    row, data = await own(request), await body(request)
    link = await request.app[PEOPLE].guest(
        row["id"], request[LOGIN], field(data, "name", str), optional(data, "phone", str)
    )
    return web.json_response({"url": link.url, "expires_at": link.expires_at}, status=201)


async def join(request: web.Request) -> web.Response:
    """Come in, having been invited; a guest agrees to the recording first."""
    login, data = request[LOGIN], await body(request)
    consent: dict[str, Any] = {}
    if login.kind == "customer":
        consent = {
            "recording": field(data, "consent_recording", bool),
            "face": field(data, "consent_face", bool),
            "version": field(data, "consent_version", str),
        }
    await request.app[PEOPLE].join(request.match_info["session"], login, consent)
    return web.json_response({})


async def remove(request: web.Request) -> web.Response:
    """Show somebody out."""
    row = await own(request)
    await request.app[PEOPLE].remove(row["id"], request[LOGIN], request.match_info["id"])
    return web.json_response({})


async def leave(request: web.Request) -> web.Response:
    """The customer leaves the line or hangs up; anybody else steps out of the call."""
    row, you = await attending(request)
    if you.role == "customer":
        await request.app[CALLS].leave(row["id"])
    else:
        await request.app[PEOPLE].step_out(row["id"], you.id)
    return web.json_response({})


# -- looking ------------------------------------------------------------------------------


async def quality(request: web.Request) -> web.Response:
    """How well each person's media has arrived so far."""
    row, _you = await assisting(request)
    return web.json_response(await request.app[QUALITY].of(row["id"]))


async def overview(request: web.Request) -> web.Response:
    """The whole floor."""
    floor = await request.app[SUPERVISION].overview()
    return web.json_response({**floor, "businesses": catalogue(request.app)})


async def supervise(request: web.Request) -> web.Response:
    """Listen, whisper, take part, or go; with a reason that is kept."""
    data = await body(request)
    mode = field(data, "mode", str)
    least = 0 if mode == "off" else 4
    reason = text(data.get("reason") or "", least=least, most=500)
    session = request.match_info["session"]
    await request.app[PEOPLE].supervise(session, request[LOGIN], mode, reason)
    return web.json_response({})


S = "/api/sessions/{session}"
routes = [
    Route("GET", "/api/colleagues", Permission.SERVE, colleagues),
    Route("POST", f"{S}/transfer", Permission.SERVE, transfer),
    Route("POST", f"{S}/transfer/cancel", Permission.SERVE, cancel_transfer),
    Route("POST", f"{S}/invite", Permission.SERVE, invite),
    Route("POST", f"{S}/invite/cancel", Permission.SERVE, cancel_invite),
    Route("POST", f"{S}/invite/decline", Permission.ATTEND, decline_invite),
    Route("POST", f"{S}/guests", Permission.SERVE, guest),
    Route("POST", f"{S}/join", Permission.ATTEND, join),
    Route("POST", f"{S}/leave", Permission.ATTEND, leave),
    Route("POST", f"{S}/participants/{{id}}/remove", Permission.SERVE, remove),
    Route("GET", f"{S}/quality", Permission.ATTEND, quality),
    Route("GET", "/api/supervision", Permission.SUPERVISE, overview),
    Route("POST", f"{S}/supervise", Permission.SUPERVISE, supervise),
]
