"""The teller's console: the desk, the customer at it, the checks and the decision."""

from typing import Any

from aiohttp import web
from sqlalchemy import RowMapping

from video_bank.accounts import LOGIN
from video_bank.attendance import Attendee
from video_bank.errors import UserError
from video_bank.keys import (
    ACCOUNTS,
    ARCHIVE,
    BUSINESSES,
    CALLS,
    CHECKS,
    CONVERSATION,
    CUSTOMERS,
    FINDINGS,
    LINE,
    PEOPLE,
    SESSIONS,
)
from video_bank.looks import BY_EYE
from video_bank.permissions import Permission
from video_bank.views.participation import assisting, own, people_view, you_view
from video_bank.views.route import Route, body, field


async def teller_view(
    app: web.Application, row: RowMapping, you: Attendee
) -> dict[str, Any]:
    """The whole screen of one customer: identity, history, checks, script, recording."""
    session = row["id"]
    accepted = row["accepted_at"] or row["offered_at"] or row["queued_at"]
    return {
        "id": session,
        "state": row["state"],
        "business": row["business"],
        "language": row["language"],
        "waited_s": (accepted - row["queued_at"]) // 1_000_000,
        "accepted_at": row["accepted_at"],
        "media_time_us": app[CALLS].media_time_us(session),
        "recording_up": app[CALLS].recording(session),
        "on_hold": bool(row["on_hold"]),
        "consent_face": bool(row["consent_face"]),
        "customer": await app[CUSTOMERS].card(row["customer_id"]),
        "history": await app[SESSIONS].history(row["customer_id"], before=session),
        **await checks_view(app, row),
        "guide": app[CHECKS].guide(session),
        "people": await people_view(app, session, you),
        "teller": {"id": row["teller_id"]},
        "you": you_view(you),
        "transfer": await _transfer_view(app, row),
        "chat": await app[CONVERSATION].lines(session),
        "notes": app[SESSIONS].words(row, "notes"),
        "decision": (
            {
                "verdict": row["decision"],
                "reason": app[SESSIONS].words(row, "decision_reason"),
            }
            if row["decision"]
            else None
        ),
        "recording": await app[ARCHIVE].whereabouts(session),
        "end_reason": row["end_reason"],
    }


async def _transfer_view(app: web.Application, row: RowMapping) -> dict[str, Any] | None:
    """At whose desk the session rings now, and since when."""
    if not row["transfer_to"]:
        return None
    name = await app[ACCOUNTS].staff.display_name(row["transfer_to"])
    return {"to": name, "since": row["transfer_at"]}


async def checks_view(app: web.Application, row: RowMapping) -> dict[str, Any]:
    """The checklist: each check of the product with its state and its newest Finding; what may
    be asked for instead; and what was found beside them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in await app[FINDINGS].of(row["id"]):
        found.setdefault(each["check"], []).append(each)
    policy = app[BUSINESSES][row["business"]].policy

    def line(check: str) -> dict[str, Any]:
        made = found.pop(check, [])
        state = app[CHECKS].state(row["id"], check) or ("done" if made else "waiting")
        return {
            "check": check,
            "state": state,
            "attempts": len(made),
            "tries_left": app[CHECKS].tries_left(row["id"], check),
            "finding": made[-1] if made else None,
        }

    lines = [line(check) for check in policy.checks]
    others = [line(check) for check in policy.instead]
    by_eye = found.pop(BY_EYE, [])
    judgement = policy.judge(await app[FINDINGS].newest(row["id"]))
    return {
        "checks": [*lines, *(each for each in others if each["state"] != "waiting")],
        "instead": [each["check"] for each in others if each["state"] == "waiting"],
        "beside": [made[-1] for made in found.values()],
        "by_eye": by_eye[-1] if by_eye else None,
        "policy": {
            "met": judgement.verdict == "passed",
            "missing": list(judgement.reasons),
            "heed": list(policy.heed),
            "hash": policy.hash,
        },
        "alert": app[CHECKS].alert(row["id"]),
    }


def catalogue(app: web.Application) -> dict[str, Any]:
    """What this bank does by video, by id: the names, and minutes it takes."""
    return {
        each.id: {"name": dict(each.name), "minutes": each.minutes} for each in app[BUSINESSES]
    }


async def desk(request: web.Request) -> web.Response:
    """The status bar: own state, the line, the day."""
    login = request[LOGIN]
    line, sessions = request.app[LINE], request.app[SESSIONS]
    mine = line.desk(login.subject_id)
    offer = None
    if mine.state == "ringing" and mine.session:
        offer = line.offer_of(mine, await sessions.get(mine.session))
    return web.json_response(
        {
            "state": mine.state,
            "queue": await line.summary(),
            "today": await sessions.today(login.subject_id),
            "session": mine.session if mine.state in ("talking", "wrap_up") else None,
            "offer": offer,
            "invited": [
                each
                for each in await request.app[PEOPLE].invitations(login.subject_id)
                if not each["joined"]
            ],
            "businesses": catalogue(request.app),
        }
    )


async def set_state(request: web.Request) -> web.Response:
    """Ready for customers, or away."""
    login = request[LOGIN]
    state = field(await body(request), "state", str)
    if state not in ("ready", "away"):
        raise UserError("unknown_state")
    skills = await request.app[ACCOUNTS].staff.skills(login.subject_id)
    await request.app[LINE].set_state(login.subject_id, state, skills)
    return web.json_response({"state": state})


async def accept(request: web.Request) -> web.Response:
    """Take the customer who rings."""
    login = request[LOGIN]
    session = request.match_info["session"]
    await request.app[CALLS].accept(session, login.subject_id)
    row = await request.app[SESSIONS].get(session)
    you = Attendee.joined(login.subject_id, "staff", "teller")
    return web.json_response(await teller_view(request.app, row, you))


async def decline(request: web.Request) -> web.Response:
    """Let somebody else take the customer who rings."""
    login = request[LOGIN]
    await request.app[LINE].decline(request.match_info["session"], login.subject_id)
    return web.json_response({})


async def start_check(request: web.Request) -> web.Response:
    """Run a check, again if need be."""
    row = await own(request)
    request.app[CHECKS].request(row["id"], request.match_info["check"])
    return web.json_response({}, status=202)


async def stop_check(request: web.Request) -> web.Response:
    """Stop a check that runs or waits."""
    row = await own(request)
    request.app[CHECKS].stop(row["id"], request.match_info["check"])
    return web.json_response({}, status=202)


async def compare(request: web.Request) -> web.Response:
    """Keep what the teller sees by eye: whether this is the person on the document."""
    login, row = request[LOGIN], await own(request)
    data = await body(request)
    answer = await request.app[CHECKS].by_eye.compare(
        row["id"], login.subject_id, data.get("verdict"), data.get("reason")
    )
    return web.json_response(answer, status=201)


async def confirm(request: web.Request) -> web.Response:
    """The second person's look, by a colleague or supervisor in the call."""
    login = request[LOGIN]
    row, _you = await assisting(request)
    data = await body(request)
    answer = await request.app[CHECKS].by_eye.confirm(
        row["id"], login.subject_id, data.get("verdict"), data.get("reason")
    )
    return web.json_response(answer, status=201)


async def correct(request: web.Request) -> web.Response:
    """Correct a field the machine has read; its own reading stays beside the correction."""
    login = request[LOGIN]
    row = await own(request)
    data = await body(request)
    await request.app[FINDINGS].correct(
        row["id"],
        request.match_info["finding"],
        data.get("field"),
        data.get("value"),
        data.get("reason"),
        login.subject_id,
    )
    return web.json_response({}, status=201)


async def picture(request: web.Request) -> web.Response:
    """A Finding's evidence."""
    row, _you = await assisting(request)
    names = request.match_info
    jpeg = await request.app[FINDINGS].picture(row["id"], names["finding"], names["name"])
    return web.Response(body=jpeg, content_type="image/jpeg")


async def hold(request: web.Request) -> web.Response:
    """Put the call on hold, or take it up again."""
    login = request[LOGIN]
    row = await own(request)
    on = field(await body(request), "on", bool)
    await request.app[CALLS].hold(row["id"], login.subject_id, on)
    return web.json_response({})


async def mute(request: web.Request) -> web.Response:
    """Silence or blank a participant for the others."""
    login = request[LOGIN]
    row = await own(request)
    data = await body(request)
    await request.app[CALLS].mute(
        row["id"],
        login.subject_id,
        field(data, "participant", str),
        field(data, "kind", str),
        field(data, "on", bool),
    )
    return web.json_response({})


async def notes(request: web.Request) -> web.Response:
    """Save the teller's notes."""
    login = request[LOGIN]
    row = await own(request)
    written = (await body(request)).get("text")
    await request.app[CONVERSATION].take_notes(row["id"], login.subject_id, written)
    return web.json_response({})


async def decide(request: web.Request) -> web.Response:
    """Approve, refuse or refer."""
    login = request[LOGIN]
    row = await own(request)
    data = await body(request)
    await request.app[CHECKS].decide(
        row["id"], login.subject_id, data.get("verdict"), data.get("reason") or ""
    )
    return web.json_response({})


async def end(request: web.Request) -> web.Response:
    """End the conversation."""
    login = request[LOGIN]
    row = await own(request)
    await request.app[CALLS].end(row["id"], f"staff:{login.subject_id}", "teller_ended")
    return web.json_response({})


async def close(request: web.Request) -> web.Response:
    """Finish wrapping up."""
    login = request[LOGIN]
    row = await own(request)
    await request.app[SESSIONS].close(row["id"], login.subject_id)
    request.app[LINE].closed(row["id"])
    return web.json_response({})


S = "/api/sessions/{session}"
routes = [
    Route("GET", "/api/teller", Permission.SERVE, desk),
    Route("POST", "/api/teller/state", Permission.SERVE, set_state),
    Route("POST", f"{S}/accept", Permission.SERVE, accept),
    Route("POST", f"{S}/decline", Permission.SERVE, decline),
    Route("POST", f"{S}/checks/{{check}}", Permission.SERVE, start_check),
    Route("POST", f"{S}/checks/{{check}}/stop", Permission.SERVE, stop_check),
    Route("POST", f"{S}/by_eye", Permission.SERVE, compare),
    Route("POST", f"{S}/by_eye/confirm", Permission.ATTEND, confirm),
    Route("POST", f"{S}/findings/{{finding}}/corrections", Permission.SERVE, correct),
    Route("GET", f"{S}/findings/{{finding}}/pictures/{{name}}", Permission.SERVE, picture),
    Route("POST", f"{S}/hold", Permission.SERVE, hold),
    Route("POST", f"{S}/mute", Permission.SERVE, mute),
    Route("POST", f"{S}/notes", Permission.SERVE, notes),
    Route("POST", f"{S}/decision", Permission.SERVE, decide),
    Route("POST", f"{S}/end", Permission.SERVE, end),
    Route("POST", f"{S}/close", Permission.SERVE, close),
]
