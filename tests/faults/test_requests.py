"""Requests nobody should make: never a 500, never a change, always a sentence in two languages."""

import asyncio
import json
from typing import Any

from tests.faults.people import Branch, Person, kinds, let_expire, session_row
from tests.interop.bank import Bank
from video_bank.app import ROUTES
from video_bank.permissions import ALLOWED, Permission, Role
from video_bank.probe.browser import Json
from video_bank.views.route import Route

TEXT = "x" * 5000
JUNK: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "no such", TEXT, "\0", "\ud800", "'; --", [], [[]], {},
    {"a": 1},
]  # fmt: skip
BROKEN = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b'{"a": NaN',
    b"[" * 30_000,
    b'{"a":' * 5_000,
]
"""Bodies that are no JSON object."""

BODILESS = {"logout", "logout-everywhere", "enrol", "disable", "enable", "reset", "leave",
            "accept", "decline", "{check}", "stop", "end", "close", "verify", "cancel",
            "remove", "stamp", "skip"}  # fmt: skip
"""Last words of the paths whose body nobody reads."""
STRANGE = ["none", "%00", "%ff", "..%2f..", "x" * 300, "%F0%9F%92%A5"]
"""What may stand in a path."""


def valid(consent: str) -> dict[str, Json]:
    """A body for each route that reads one, right in every field."""
    s = "/api/sessions/{session}"
    return {
        "/api/login": {"name": "demo-nobody", "password": "wrong", "totp": None},
        "/api/password": {"old": "wrong", "new": "correct horse battery staple"},
        "/api/totp/confirm": {"code": "000000"},
        "/api/staff": {"name": "new-one", "display_name": "新人", "role": "teller"},
        "/api/invitations/accept": {"token": "no.such"},
        "/api/walk-in": {"name": "王", "phone": "13900000000", "language": "zh"},
        "/api/walk-in/confirm": {"challenge": "none", "code": "000000"},
        "/api/invitations": {"name": "王", "phone": "13900000000", "hours": 1},
        "/api/sessions": {
            "business": "identification",
            "language": "zh",
            "consent_recording": True,
            "consent_face": True,
            "consent_version": consent,
        },
        f"{s}/chat": {"text": "你好"},
        f"{s}/rating": {"stars": 5, "comment": "好"},
        "/api/teller/state": {"state": "ready"},
        f"{s}/findings/{{finding}}/corrections": {
            "field": "name",
            "value": "王",
            "reason": "misread",
        },
        f"{s}/by_eye": {"verdict": "not checked", "reason": "too dark to tell"},
        f"{s}/by_eye/confirm": {"verdict": "not checked", "reason": "too dark to tell"},
        f"{s}/camera": {"label": "front camera", "settings": {"width": 1280}},
        "/api/consents/withdraw": {"subject": "face"},
        f"{s}/hold": {"on": False},
        f"{s}/mute": {"participant": "none", "kind": "audio", "on": True},
        f"{s}/notes": {"text": "note"},
        f"{s}/decision": {"verdict": "approved", "reason": "unclear"},
        f"{s}/transfer": {"to": "none", "note": "in a hurry"},
        f"{s}/invite": {"staff": "none"},
        f"{s}/invite/cancel": {"staff": "none"},
        f"{s}/guests": {"name": "王", "phone": "13900000000"},
        f"{s}/join": {
            "consent_recording": True,
            "consent_face": True,
            "consent_version": consent,
        },
        f"{s}/supervise": {"mode": "off", "reason": "complaint"},
        "/api/connection-test": {"sdp": "v=0"},
        "/api/reviews/{session}/viewings": {"reason": "complaint"},
        "/api/reviews/{session}/unmask": {"reason": "complaint"},
        "/api/reviews/{session}/approvals": {"reason": "complaint"},
        "/api/approvals/{id}/decision": {"verdict": "approved", "reason": "complaint"},
        "/api/viewings/{viewing}/exports": {"reason": "complaint"},
        "/api/retention/holds": {"session": "none", "reason": "complaint"},
        "/api/retention/holds/{hold}/lift": {"reason": "complaint"},
        "/api/retention/erasures": {"session": "none", "number": "none", "reason": "complaint"},
    }


async def refuse(person: Person, path: str, body: bytes, kind: str = "application/json") -> None:
    """The answer is a refusal that says why, or harmless."""
    status, answer = await person.raw("POST", path, body, kind)
    assert status < 500, (path, body[:80], answer)
    if status >= 400:
        error = answer["error"]
        assert error["code"] and error["message_zh"] and error["message_en"], (path, body[:80])


async def test_no_request_breaks_anything(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    people = {
        Role.TELLER: teller,
        Role.CUSTOMER: customer,
        Role.REVIEWER: await branch.staff("reviewer"),
        Role.ADMIN: await branch.staff("admin"),
        Role.SUPERVISOR: await branch.staff("supervisor"),
    }
    bodies = valid((await customer.get("/api/visit"))["consents"]["version"])
    posts = [route for route in ROUTES if route.method == "POST"]
    unread = {route.path for route in posts if route.path not in bodies}
    assert {path.rpartition("/")[2] for path in unread} == BODILESS, "a new route needs a body"
    for route in posts:
        await _batter(route, _someone(route, people, branch), session, bodies.get(route.path))
    for route in ROUTES:
        if route.method == "GET" and "{" in route.path and route.permission:
            for strange in STRANGE:
                path = _filled(route.path, strange)
                status, answer = await _someone(route, people, branch).raw("GET", path, b"")
                assert status in (400, 403, 404), (path, status, answer)
    # The two in the call have noticed nothing.
    row = session_row(bank, session)
    assert (row["state"], row["decision"], row["on_hold"]) == ("talking", None, 0)
    assert not {"ended", "decided", "held", "disconnected"} & set(kinds(bank, session))
    await asyncio.gather(teller.still_sees(), customer.still_sees())
    assert (await teller.get("/api/me"))["role"] == "teller"
    assert "Traceback" not in bank.log


def _someone(route: Route, people: dict[Role, Person], branch: Branch) -> Person:
    """Somebody who may use the route; strangers' routes are the supervisor's."""
    if route.permission is Permission.ATTEND:
        return people[Role.CUSTOMER]
    allowed = ALLOWED[route.permission] if route.permission else {Role.SUPERVISOR}
    # The own account is the supervisor's, too: the others still have to work.
    order = (Role.SUPERVISOR, Role.TELLER, Role.CUSTOMER, Role.REVIEWER, Role.ADMIN)
    return people[next(role for role in order if role in allowed)]


def _filled(path: str, word: str) -> str:
    for name in ("session", "finding", "name", "check", "id", "viewing", "part", "stream"):
        path = path.replace("{" + name + "}", word)
    return path


async def _batter(route: Route, person: Person, session: str, body: Json | None) -> None:
    own = route.path.replace("{session}", session)
    if body is None:
        # Nothing in the body could be wrong, so it must be the session, check or account.
        if "{" in route.path:
            for strange in STRANGE:
                await refuse(person, _filled(route.path, strange), b"{}")
            await refuse(person, _filled(route.path, "none"), b"{")
        return
    path = _filled(own, "none")
    for broken in BROKEN:
        await refuse(person, path, broken)
    await refuse(person, path, json.dumps(body | {"pad": "x" * 200_000}).encode())
    await refuse(person, path, json.dumps(body).encode(), "text/plain")
    await refuse(person, path, json.dumps(body).encode(), "application/x-www-form-urlencoded")
    status, _ = await person.raw("POST", path, b"{}")
    assert 400 <= status < 500, path
    for name in body:
        for junk in JUNK:
            if not (name == "on" and isinstance(junk, bool)):
                await refuse(person, path, json.dumps(body | {name: junk}).encode())
    if "{" in route.path:
        for strange in STRANGE:
            await refuse(person, _filled(route.path, strange), json.dumps(body).encode())


async def test_links_and_codes(bank: Bank, branch: Branch) -> None:
    teller = await branch.teller(state="away")
    made = await teller.post("/api/invitations", {"name": "赵六", "hours": 1})
    token = made["url"].rpartition("/")[2]
    customer, thief = await branch.browser("customer"), await branch.browser("thief")
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "", "x.y", token + "\0"):
        refusal = await thief.refused("/api/invitations/accept", {"token": wrong})
        assert refusal.code in ("invitation_invalid", "bad_request"), wrong
    await customer.post("/api/invitations/accept", {"token": token})
    refusal = await thief.refused("/api/invitations/accept", {"token": token})
    assert (refusal.status, refusal.code) == (410, "invitation_used")
    await customer.get("/api/visit")
    late = (await teller.post("/api/invitations", {"name": "钱八", "hours": 1}))["url"]
    late = late.rpartition("/")[2]
    let_expire(bank, "invitations", late.partition(".")[0])
    refusal = await thief.refused("/api/invitations/accept", {"token": late})
    assert (refusal.status, refusal.code) == (410, "invitation_expired")

    walker = await branch.browser("walker")
    asked = await walker.post("/api/walk-in", {"name": "孙七", "phone": "13612345678"})
    challenge, code = asked["challenge"], asked["demo_code"]
    for left in (4, 3, 2, 1, 0):
        wrong = f"{(int(code) + 1 + left) % 10**6:06}"
        status, answer = await walker.raw(
            "POST",
            "/api/walk-in/confirm",
            json.dumps({"challenge": challenge, "code": wrong}).encode(),
        )
        assert status == 400 and answer["error"]["tries_left"] == left
    refusal = await walker.refused(
        "/api/walk-in/confirm", {"challenge": challenge, "code": code}
    )
    assert (refusal.status, refusal.code) == (410, "code_expired")

    asked = await walker.post("/api/walk-in", {"name": "孙七", "phone": "13612345678"})
    let_expire(bank, "codes", asked["challenge"])
    refusal = await walker.refused(
        "/api/walk-in/confirm", {"challenge": asked["challenge"], "code": asked["demo_code"]}
    )
    assert (refusal.status, refusal.code) == (410, "code_expired")
