"""A session as its participants see it: the customer's page and both sides' shared verbs."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import RowMapping

from video_bank.accounts import LOGIN, Login
from video_bank.attendance import Attendee
from video_bank.errors import NotAllowed
from video_bank.keys import (
    ACCOUNTS,
    BUSINESSES,
    CALLS,
    CHECKS,
    CONSENTS,
    CONVERSATION,
    CUSTOMERS,
    FACES,
    FINDINGS,
    LEDGER,
    LINE,
    PEOPLE,
    SESSIONS,
)
from video_bank.permissions import Permission
from video_bank.sessions import LIVE
from video_bank.views.participation import attending, own, people_view, you_view
from video_bank.views.route import Route, body, field, optional
from video_bank.views.teller import teller_view


async def customer_view(
    app: web.Application, row: RowMapping, you: Attendee
) -> dict[str, Any]:
    """What a customer may know of the own session; a guest, of the session's call only."""
    guest = you.role != "customer"
    place, estimate = (None, None)
    if row["state"] in ("waiting", "offered"):
        place, estimate = await app[LINE].place_of(row["id"])
    findings = [] if guest else await app[FINDINGS].of(row["id"])
    newest = {each["check"]: each for each in findings}
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
        "guide": None if guest else app[CHECKS].guide(row["id"]),
        "people": await people_view(app, row["id"], you),
        "you": you_view(you),
        "chat": await app[CONVERSATION].lines(row["id"]),
        "checks": [
            {
                "check": check,
                "verdict": newest[check]["verdict"] if check in newest else None,
                "reason": newest[check]["reason"] if check in newest else None,
            }
            for check in (() if guest else _asked(app, row, newest))
        ],
        "decision": {"verdict": row["decision"]} if row["decision"] and not guest else None,
        "rated": row["rating"] is not None,
        "end_reason": row["end_reason"],
    }


def _asked(app: web.Application, row: RowMapping, found: Mapping[str, Any]) -> list[str]:
    """The checks a customer has part in: those of the product, and what was asked for instead."""
    policy = app[BUSINESSES][row["business"]].policy
    return [*policy.checks, *(check for check in policy.instead if check in found)]


async def visit(request: web.Request) -> web.Response:
    """Everything the customer's page needs to begin, or to come back."""
    login = request[LOGIN]
    app = request.app
    invitations = await app[PEOPLE].invitations(login.subject_id)
    invited = next((each for each in invitations if not each["joined"]), None)
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
                "face_kept": dict(consents.face_kept),
            },
            "agreed": await app[LEDGER].standing(login.subject_id),
            "open": app[LINE].working > 0,
            "estimate_s": await app[LINE].estimate_for_next(),
            "session": await _visited(app, login, invitations),
            "invited": (
                {key: invited[key] for key in ("session", "business")} | {"by": invited["from"]}
                if invited
                else None
            ),
        }
    )


async def _visited(
    app: web.Application, login: Login, invitations: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The session the customer's page comes back to: as a guest, or the own one."""
    for each in invitations:
        if each["joined"]:
            row = await app[SESSIONS].get(each["session"])
            return await customer_view(
                app, row, Attendee.joined(login.subject_id, "customer", each["role"])
            )
    own_one = await app[SESSIONS].newest_of(login.subject_id)
    if own_one is None:
        return None
    if own_one["state"] not in LIVE and (own_one["ended_at"] or 0) < login.began_at:
        return None  # the result of an earlier visit, seen then
    return await customer_view(app, own_one, _customer(login))


def _customer(login: Login) -> Attendee:
    return Attendee.joined(login.subject_id, "customer", "customer")


async def join(request: web.Request) -> web.Response:
    """Join the line."""
    login = request[LOGIN]
    data = await body(request)
    face_kept = optional(data, "consent_face_kept", bool)
    session = await request.app[SESSIONS].join(
        login.subject_id,
        field(data, "business", str),
        field(data, "language", str),
        recording=field(data, "consent_recording", bool),
        face=field(data, "consent_face", bool),
        version=field(data, "consent_version", str),
        face_kept=face_kept,
    )
    if face_kept is False:  # an earlier yes ends with it
        await request.app[FACES].erase(login.subject_id, f"customer:{login.subject_id}", "refused")
    row = await request.app[SESSIONS].get(session)
    view = await customer_view(request.app, row, _customer(login))
    return web.json_response({"session": view}, status=201)


async def show(request: web.Request) -> web.Response:
    """The session, as the caller's role sees it."""
    row, you = await attending(request)
    view = customer_view if you.kind == "customer" else teller_view
    return web.json_response(await view(request.app, row, you))


async def chat(request: web.Request) -> web.Response:
    """Say something in writing."""
    row, you = await attending(request)
    if you.presence != "joined":
        raise NotAllowed()  # customers may not know of a supervisor who only listens
    said = (await body(request)).get("text")
    await request.app[CONVERSATION].say(row["id"], you, said)
    return web.json_response({}, status=201)


async def rate(request: web.Request) -> web.Response:
    """The customer's opinion of the call."""
    row = await own(request)
    data = await body(request)
    await request.app[CONVERSATION].rate(row["id"], data.get("stars"), data.get("comment"))
    return web.json_response({}, status=201)


async def skip(request: web.Request) -> web.Response:
    """Go another way than the check that runs: a customer may always."""
    row = await own(request)
    request.app[CHECKS].skip(row["id"], request.match_info["check"])
    return web.json_response({}, status=202)


async def camera(request: web.Request) -> web.Response:
    """What the page says of its camera, which says something about whether there is one."""
    row = await own(request)
    report = await body(request)
    field(report, "label", str)  # the rest may be unknown to a browser
    request.app[CHECKS].report_camera(row["id"], report)
    return web.json_response({}, status=202)


routes = [
    Route("GET", "/api/visit", Permission.VISIT, visit),
    Route("POST", "/api/sessions", Permission.VISIT, join),
    Route("GET", "/api/sessions/{session}", Permission.ATTEND, show),
    Route("POST", "/api/sessions/{session}/chat", Permission.ATTEND, chat),
    Route("POST", "/api/sessions/{session}/checks/{check}/skip", Permission.VISIT, skip),
    Route("POST", "/api/sessions/{session}/camera", Permission.VISIT, camera),
    Route("POST", "/api/sessions/{session}/rating", Permission.VISIT, rate),
]
