"""The reviewer's page: sessions listed, replayed and verified; every look is itself on record."""

import contextlib
import re

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.errors import UserError
from video_bank.keys import ARCHIVE, BUSINESSES, REVIEWS
from video_bank.permissions import Permission
from video_bank.reviews import Filter
from video_bank.sessions import text
from video_bank.views.route import Route, body, number

_NUMBER = re.compile(r"[0-9]{1,5}")


async def listing(request: web.Request) -> web.Response:
    """Sessions by filter, newest first, personal data masked."""
    found = await request.app[REVIEWS].find(Filter.parse(request.query))
    return web.json_response(found)


async def businesses(request: web.Request) -> web.Response:
    """The catalogue, for the filter and for names in the list."""
    return web.json_response(
        {each.id: {"name": dict(each.name)} for each in request.app[BUSINESSES]}
    )


async def view(request: web.Request) -> web.Response:
    """Open a session for viewing; the audit entry is written before anything is shown."""
    login = request[LOGIN]
    reason = text((await body(request)).get("reason"), least=4, most=500)
    session = request.match_info["session"]
    opened = await request.app[REVIEWS].open(session, login, reason)
    return web.json_response(opened, status=201)


async def moving(request: web.Request) -> web.Response:
    """The streams of a viewing as they are now, while the call goes on."""
    viewing = request.match_info["viewing"]
    session = await request.app[REVIEWS].viewing(viewing, request[LOGIN])
    return web.json_response(await request.app[REVIEWS].moving(session, viewing))


async def levels(request: web.Request) -> web.Response:
    """How loud everybody spoke, inside a viewing."""
    session = await request.app[REVIEWS].viewing(request.match_info["viewing"], request[LOGIN])
    return web.json_response(await request.app[REVIEWS].replay.levels(session))


async def unmask(request: web.Request) -> web.Response:
    """The customer's name, phone and ID number in full, for a reason that is kept."""
    login = request[LOGIN]
    reason = text((await body(request)).get("reason"), least=4, most=500)
    session = request.match_info["session"]
    return web.json_response(await request.app[REVIEWS].unmask(session, login.subject_id, reason))


async def verify(request: web.Request) -> web.Response:
    """Check every byte of the session's recording against its seal, now."""
    return web.json_response(await request.app[ARCHIVE].verify(request.match_info["session"]))


async def picture(request: web.Request) -> web.Response:
    """A Finding's evidence, inside a viewing."""
    login = request[LOGIN]
    names = request.match_info
    jpeg = await request.app[REVIEWS].picture(
        names["viewing"], login, names["finding"], names["name"]
    )
    return web.Response(body=jpeg, content_type="image/jpeg")


async def stream(request: web.Request) -> web.StreamResponse:
    """One participant's recorded picture and sound, decrypted by ranges while reading."""
    login = request[LOGIN]
    names = request.match_info
    reviews = request.app[REVIEWS]
    session = await reviews.viewing(names["viewing"], login)
    if not _NUMBER.fullmatch(names["stream"]):
        raise UserError("bad_request")
    records = number(request, "records", 0, least=0, most=10**12)
    webm = await reviews.replay.view(session, names["part"], int(names["stream"]), records)
    asked = request.http_range
    start, stop = asked.start or 0, asked.stop
    if start < 0:
        start = max(0, webm.size + start)
    stop = webm.size if stop is None else min(stop, webm.size)
    if start >= webm.size:
        headers = {"Content-Range": f"bytes */{webm.size}"}
        return web.Response(status=416, headers=headers)
    partial = "Range" in request.headers
    response = web.StreamResponse(status=206 if partial else 200)
    response.content_type = webm.content_type
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    if partial:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{webm.size}"
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError):  # the player is elsewhere already
        async for piece in reviews.replay.pieces(webm, start, stop):
            await response.write(piece)
        await response.write_eof()
    return response


R = "/api/reviews"
V = "/api/viewings/{viewing}"
routes = [
    Route("GET", R, Permission.REVIEW, listing),
    Route("GET", f"{R}/businesses", Permission.REPLAY, businesses),
    Route("POST", f"{R}/{{session}}/viewings", Permission.REPLAY, view),
    Route("POST", f"{R}/{{session}}/unmask", Permission.UNMASK, unmask),
    Route("POST", f"{R}/{{session}}/verify", Permission.REVIEW, verify),
    Route("GET", f"{V}/findings/{{finding}}/pictures/{{name}}", Permission.REVIEW, picture),
    Route("GET", f"{V}/streams", Permission.REPLAY, moving),
    Route("GET", f"{V}/streams/{{part}}/{{stream}}", Permission.REPLAY, stream),
    Route("GET", f"{V}/levels", Permission.REPLAY, levels),
]
