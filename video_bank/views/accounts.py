"""Staff signing in and out, their second factor, and the administration of accounts."""

import os

import segno
from aiohttp import web

from video_bank.accounts import LOGIN, SignedIn
from video_bank.errors import NotSignedIn
from video_bank.keys import ACCOUNTS, CONFIG
from video_bank.permissions import Permission, Role, permissions_of
from video_bank.views.cookie import give_login, take_login
from video_bank.views.route import Route, body, client_address, field, number, optional

HOMES = {
    Role.CUSTOMER: "/visit",
    Role.TELLER: "/teller",
    Role.LOAN_OFFICER: "/teller",
    Role.EXPERT: "/teller",
    Role.SUPERVISOR: "/staff",
    Role.REVIEWER: "/review",
    Role.ADMIN: "/admin",
}
"""The page a role works on."""


def _welcome(request: web.Request, signed_in: SignedIn) -> web.Response:
    login = signed_in.login
    reply = {"csrf": login.csrf, "role": login.role, "home": HOMES[login.role]}
    response = web.json_response(reply)
    give_login(response, request.app[CONFIG], signed_in.cookie)
    return response


async def sign_in(request: web.Request) -> web.Response:
    """Name, password and, once set up, the second factor."""
    data = await body(request)
    signed_in = await request.app[ACCOUNTS].sign_in(
        field(data, "name", str),
        field(data, "password", str),
        optional(data, "totp", str),
        client_address(request),
    )
    if signed_in.login.restricted:
        # A login good for POST /api/password only, with the token that takes.
        refusal = NotSignedIn("password_change_required", csrf=signed_in.login.csrf)
        response = web.json_response(refusal.reply(), status=refusal.status)
        give_login(response, request.app[CONFIG], signed_in.cookie)
        return response
    return _welcome(request, signed_in)


async def sign_out(request: web.Request) -> web.Response:
    """End this login."""
    await request.app[ACCOUNTS].sign_out(request[LOGIN])
    return _goodbye(request)


async def sign_out_everywhere(request: web.Request) -> web.Response:
    """End all logins of this person."""
    await request.app[ACCOUNTS].sign_out_everywhere(request[LOGIN])
    return _goodbye(request)


def _goodbye(request: web.Request) -> web.Response:
    response = web.json_response({})
    take_login(response, request.app[CONFIG])
    return response


async def change_password(request: web.Request) -> web.Response:
    """Replace the password; the browser gets a new login."""
    data = await body(request)
    signed_in = await request.app[ACCOUNTS].change_password(
        request[LOGIN], field(data, "old", str), field(data, "new", str)
    )
    return _welcome(request, signed_in)


async def enrol_totp(request: web.Request) -> web.Response:
    """A new secret, also as a QR code."""
    secret, uri = await request.app[ACCOUNTS].enrol_totp(request[LOGIN])
    qr = segno.make(uri, error="m").svg_inline(scale=5, border=2)
    return web.json_response({"secret": secret, "uri": uri, "qr_svg": qr})


async def confirm_totp(request: web.Request) -> web.Response:
    """Put the secret in force with its first code."""
    code = field(await body(request), "code", str)
    await request.app[ACCOUNTS].confirm_totp(request[LOGIN], code)
    return web.json_response({})


async def me(request: web.Request) -> web.Response:
    """Who is signed in here."""
    login = request[LOGIN]
    language = request.cookies.get("lang")
    return web.json_response(
        {
            "id": login.subject_id,
            "role": login.role,
            "name": login.name,
            "permissions": permissions_of(login.role),
            "csrf": login.csrf,
            "demo": request.app[CONFIG].demo,
            "language": language if language in ("zh", "en") else "zh",
            "totp": await request.app[ACCOUNTS].has_totp(login),
            "password_change_required": login.restricted,
        }
    )


async def network_test(request: web.Request) -> web.Response:
    """Random bytes to time a download with."""
    size = number(request, "bytes", 100_000, least=1, most=2_000_000)
    return web.Response(body=os.urandom(size), content_type="application/octet-stream")


async def list_staff(request: web.Request) -> web.Response:
    """Every account."""
    return web.json_response(await request.app[ACCOUNTS].staff.everybody())


async def create_staff(request: web.Request) -> web.Response:
    """A new account with a one-time password."""
    data = await body(request)
    login = request[LOGIN]
    member = await request.app[ACCOUNTS].staff.create(
        field(data, "name", str),
        field(data, "display_name", str),
        field(data, "role", str),
        by=login.actor,
    )
    reply = {"id": member.id, "name": member.name, "one_time_password": member.password}
    return web.json_response(reply, status=201)


async def disable(request: web.Request) -> web.Response:
    """Close an account for now."""
    return await _set_disabled(request, True)


async def enable(request: web.Request) -> web.Response:
    """Open it again."""
    return await _set_disabled(request, False)


async def _set_disabled(request: web.Request, disabled: bool) -> web.Response:
    await request.app[ACCOUNTS].staff.set_disabled(
        request.match_info["id"], disabled, by=request[LOGIN]
    )
    return web.json_response({})


async def reset(request: web.Request) -> web.Response:
    """A new one-time password for somebody who lost theirs."""
    member = await request.app[ACCOUNTS].staff.reset(request.match_info["id"], by=request[LOGIN])
    return web.json_response({"one_time_password": member.password})


async def audit(request: web.Request) -> web.Response:
    """What staff did, newest first."""
    page = number(request, "page", 1, least=1, most=1_000_000)
    return web.json_response(await request.app[ACCOUNTS].audit_log(page))


routes = [
    Route("POST", "/api/login", None, sign_in),
    Route("POST", "/api/logout", Permission.SIGNED_IN, sign_out),
    Route("POST", "/api/logout-everywhere", Permission.SIGNED_IN, sign_out_everywhere),
    Route("POST", "/api/password", Permission.OWN_ACCOUNT, change_password),
    Route("POST", "/api/totp/enrol", Permission.OWN_ACCOUNT, enrol_totp),
    Route("POST", "/api/totp/confirm", Permission.OWN_ACCOUNT, confirm_totp),
    Route("GET", "/api/me", Permission.SIGNED_IN, me),
    Route("GET", "/api/network-test", Permission.SIGNED_IN, network_test),
    Route("GET", "/api/staff", Permission.MANAGE_STAFF, list_staff),
    Route("POST", "/api/staff", Permission.MANAGE_STAFF, create_staff),
    Route("POST", "/api/staff/{id}/disable", Permission.MANAGE_STAFF, disable),
    Route("POST", "/api/staff/{id}/enable", Permission.MANAGE_STAFF, enable),
    Route("POST", "/api/staff/{id}/reset", Permission.MANAGE_STAFF, reset),
    Route("GET", "/api/audit", Permission.AUDIT, audit),
]
