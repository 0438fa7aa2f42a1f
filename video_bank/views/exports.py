"""Exports of a session: asked for inside a viewing, followed, fetched, stopped."""

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.keys import EXPORTS, REVIEWS
from video_bank.permissions import Permission
from video_bank.sessions import text
from video_bank.views.route import Route, body


async def ask(request: web.Request) -> web.Response:
    """Begin an export; its entry in the audit log is committed before anything is decrypted."""
    login = request[LOGIN]
    reason = text((await body(request)).get("reason"), least=4, most=500)
    viewing = request.match_info["viewing"]
    session = await request.app[REVIEWS].viewing(viewing, login)
    made = await request.app[EXPORTS].ask(viewing, session, login.subject_id, reason)
    return web.json_response({"id": made}, status=201)


async def latest(request: web.Request) -> web.Response:
    """The person's newest export of the viewing's session, or null."""
    login = request[LOGIN]
    session = await request.app[REVIEWS].viewing(request.match_info["viewing"], login)
    found = await request.app[EXPORTS].latest(session, login.subject_id)
    return web.json_response({"export": found})


async def state(request: web.Request) -> web.Response:
    """How far it is."""
    made, reviewer = request.match_info["id"], request[LOGIN].subject_id
    return web.json_response(await request.app[EXPORTS].state(made, reviewer))


async def file(request: web.Request) -> web.FileResponse:
    """The zip; each time it is fetched is on record."""
    made, reviewer = request.match_info["id"], request[LOGIN].subject_id
    path, name = await request.app[EXPORTS].fetch(made, reviewer)
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return web.FileResponse(path, headers=headers)


async def stop(request: web.Request) -> web.Response:
    """End it, or remove what it made."""
    await request.app[EXPORTS].stop(request.match_info["id"], request[LOGIN].subject_id)
    return web.json_response({})


V = "/api/viewings/{viewing}/exports"
E = "/api/exports/{id}"
routes = [
    Route("POST", V, Permission.EXPORT, ask),
    Route("GET", V, Permission.EXPORT, latest),
    Route("GET", E, Permission.EXPORT, state),
    Route("GET", f"{E}/file", Permission.EXPORT, file),
    Route("DELETE", E, Permission.EXPORT, stop),
]
