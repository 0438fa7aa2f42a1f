"""The retention page: periods with their sources, what is due, legal holds, erasures."""

from typing import Any

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.errors import NotAllowed, UserError
from video_bank.keys import CONFIG, ERASURE, HOLDS, RETENTION
from video_bank.periods import Class, Policy, Source
from video_bank.permissions import Permission
from video_bank.sessions import text
from video_bank.storage import now_us
from video_bank.views.pages import page
from video_bank.views.route import Route, body, field, optional

DUE = 100
"Sessions listed of those that are due, or are next."
TYPED = 6
"Last characters of a session's number that are typed to erase it."


async def overview(request: web.Request) -> web.Response:
    """Everything the page shows."""
    retention, now = request.app[RETENTION], now_us()
    plan = await retention.plan(now)
    return web.json_response(
        {
            "policy": _policy(retention.policy, now),
            "night": {
                "enabled": retention.nightly,
                "hour": retention.hour,
                "last": await retention.last(),
            },
            "early": request.app[CONFIG].early_erasure,
            "asked": {
                session: {"by": one["name"], "own": one["by"] == request[LOGIN].subject_id}
                for session, one in (await request.app[ERASURE].asked()).items()
            },
            "plan": plan.view(),
            "next": [each.view() for each in plan.kept[:DUE]],
            "sessions": len(plan.kept),
            "months": plan.months,
            "holds": await request.app[HOLDS].all(),
            "erasures": await request.app[ERASURE].latest(DUE),
        }
    )


def _policy(policy: Policy, now: int) -> dict[str, Any]:
    return {
        "version": policy.version,
        "jurisdictions": policy.jurisdictions,
        "classes": [_class(each, now) for each in policy.classes.values()],
    }


def _class(kept: Class, now: int) -> dict[str, Any]:
    until, decides = kept.decides(now)
    return {
        "id": kept.id,
        "name": dict(kept.name),
        "businesses": kept.businesses,
        "assumed_years": kept.assumed_years,
        "until": until,
        "sources": [_source(each, kept, decides) for each in kept.sources],
    }


def _source(source: Source, kept: Class, decides: Source) -> dict[str, Any]:
    return {
        "id": source.id,
        "says": dict(source.says),
        "citation": source.citation,
        "jurisdiction": source.jurisdiction,
        "months": source.months,
        "after": source.after,
        "known": source.known,
        "disputed": source.disputed,
        "applies": source in kept.applying,
        "decides": source is decides,
    }


async def place(request: web.Request) -> web.Response:
    """Put a session under legal hold."""
    data = await body(request)
    reason = text(data.get("reason"), least=4, most=500)
    hold = await request.app[HOLDS].place(
        field(data, "session", str), request[LOGIN].subject_id, reason
    )
    return web.json_response({"id": hold}, status=201)


async def lift(request: web.Request) -> web.Response:
    """Lift a legal hold."""
    reason = text((await body(request)).get("reason"), least=4, most=500)
    hold = request.match_info["hold"]
    await request.app[HOLDS].lift(hold, request[LOGIN].subject_id, reason)
    return web.json_response({})


async def erase(request: web.Request) -> web.Response:
    """Erase a session for good, now; its number's end is typed again to say that it is meant."""
    data = await body(request)
    session, typed = field(data, "session", str), field(data, "number", str)
    reason = text(data.get("reason"), least=4, most=500)
    early = bool(optional(data, "early", bool))
    if early and not request.app[CONFIG].early_erasure:
        raise NotAllowed("not_yet_due")
    if typed.strip().lower() != session[-TYPED:].lower():
        raise UserError("number_differs")
    erasure, me = request.app[ERASURE], request[LOGIN].subject_id
    asked = None
    if request.app[CONFIG].erasure_approval == "second_person":
        asked = (await erasure.asked()).get(session)
        if asked is None:
            await erasure.ask(session, me, reason, early=early)
        if asked is None or asked["by"] == me:
            return web.json_response({"asked": True}, status=202)
    certificate = await erasure.erase(session, reason, by=me, early=early, asked=asked)
    return web.json_response({"certificate": certificate}, status=201)


async def certificate(request: web.Request) -> web.Response:
    """A signed certificate of erasure, as a file."""
    name = request.match_info["erasure"]
    found = await request.app[ERASURE].certificate(name)
    return web.Response(
        text=found,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="erasure-{name}.json"'},
    )


R = "/api/retention"
_page = page("retention", "retention.html", "staff retention")
routes = [
    Route("GET", "/retention", Permission.RETAIN, _page),
    Route("GET", R, Permission.RETAIN, overview),
    Route("POST", f"{R}/holds", Permission.RETAIN, place),
    Route("POST", f"{R}/holds/{{hold}}/lift", Permission.RETAIN, lift),
    Route("POST", f"{R}/erasures", Permission.RETAIN, erase),
    Route("GET", f"{R}/erasures/{{erasure}}", Permission.RETAIN, certificate),
]
