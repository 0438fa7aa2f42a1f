"""A session as its participants see it: the customer's page and both sides' shared verbs."""

from typing import Any

from aiohttp import web
from sqlalchemy import RowMapping

from video_bank.accounts import LOGIN
from video_bank.keys import (
    ACCOUNTS,
    BUSINESSES,
    CALLS,
    CHECKS,
    CONSENTS,
    CONVERSATION,
    CUSTOMERS,
    FINDINGS,
    LINE,
    SESSIONS,
)
from video_bank.permissions import Permission
from video_bank.sessions import LIVE
from video_bank.views.participation import own
from video_bank.views.route import Route, body, field
from video_bank.views.teller import teller_view


async def customer_view(app: web.Application, row: RowMapping) -> dict[str, Any]:
    """What a customer may know of the own session."""
    place, estimate = (None, None)
    if row["state"] in ("waiting", "offered"):
        place, estimate = await app[LINE].place_of(row["id"])
    newest = {each["check"]: each for each in await app[FINDINGS].of(row["id"])}
    teller = None
    if row["accepted_at"]:
        teller = await app[ACCOUNTS].staff.display_name(row["teller_id"])
    return {
        "id": row["id"],
        "state": row["state"],
        "business": row["business"],
        "place": place or (1 if row["state"] == "offered" else None),
        "estimate_s": estimate if place else (0 if row["state"] == "offered" else None),
        "teller": {"name": teller} if teller else None,
        "on_hold": bool(row["on_hold"]),
        "recording": app[CALLS].recording(row["id"]),
        "media_time_us": app[CALLS].media_time_us(row["id"]),
        "guide": app[CHECKS].guide(row["id"]),
        "chat": await app[CONVERSATION].lines(row["id"]),
        "checks": [
            {
                "check": check,
                "verdict": newest[check]["verdict"] if check in newest else None,
                "reason": newest[check]["reason"] if check in newest else None,
            }
            for check in app[BUSINESSES][row["business"]].checks
        ],
        "decision": {"verdict": row["decision"]} if row["decision"] else None,
        "rated": row["rating"] is not None,
        "end_reason": row["end_reason"],
    }


async def visit(request: web.Request) -> web.Response:
    """Everything the customer's page needs to begin, or to come back."""
    login = request[LOGIN]
    app = request.app
    row = await app[SESSIONS].newest_of(login.subject_id)
    if row and row["state"] not in LIVE and (row["ended_at"] or 0) < login.began_at:
        row = None  # the result of an earlier visit, seen then
    consents = app[CONSENTS]
    return web.json_response(
        {
            "customer": {"name": await app[CUSTOMERS].name(login.subject_id)},
            "businesses": [
                {
                    "id": each.id,
                    "name": dict(each.name),
                    "minutes": each.minutes,
                    "need": list(each.need),
                }
                for each in app[BUSINESSES]
            ],
            "consents": {
                "version": consents.version,
                "recording": dict(consents.recording),
                "face": dict(consents.face),
            },
            "open": app[LINE].working > 0,
            "estimate_s": await app[LINE].estimate_for_next(),
            "session": await customer_view(app, row) if row else None,
        }
    )


async def join(request: web.Request) -> web.Response:
    """Join the line."""
    login = request[LOGIN]
    data = await body(request)
    session = await request.app[SESSIONS].join(
        login.subject_id,
        field(data, "business", str),
        field(data, "language", str),
        recording=field(data, "consent_recording", bool),
        face=field(data, "consent_face", bool),
        version=field(data, "consent_version", str),
    )
    row = await request.app[SESSIONS].get(session)
    return web.json_response({"session": await customer_view(request.app, row)}, status=201)


async def show(request: web.Request) -> web.Response:
    """The session, as the caller's role sees it."""
    row = await own(request)
    if request[LOGIN].kind == "customer":
        return web.json_response(await customer_view(request.app, row))
    return web.json_response(await teller_view(request.app, row))


async def leave(request: web.Request) -> web.Response:
    """The customer leaves: out of the line, or hanging up."""
    row = await own(request)
    await request.app[CALLS].leave(row["id"])
    return web.json_response({})


async def chat(request: web.Request) -> web.Response:
    """Say something in writing."""
    login = request[LOGIN]
    row = await own(request)
    said = (await body(request)).get("text")
    await request.app[CONVERSATION].say(row["id"], login.subject_id, login.role, said)
    return web.json_response({}, status=201)


async def rate(request: web.Request) -> web.Response:
    """The customer's opinion of the call."""
    row = await own(request)
    data = await body(request)
    await request.app[CONVERSATION].rate(row["id"], data.get("stars"), data.get("comment"))
    return web.json_response({}, status=201)


routes = [
    Route("GET", "/api/visit", Permission.VISIT, visit),
    Route("POST", "/api/sessions", Permission.VISIT, join),
    Route("GET", "/api/sessions/{session}", Permission.ATTEND, show),
    Route("POST", "/api/sessions/{session}/leave", Permission.VISIT, leave),
    Route("POST", "/api/sessions/{session}/chat", Permission.ATTEND, chat),
    Route("POST", "/api/sessions/{session}/rating", Permission.VISIT, rate),
]
