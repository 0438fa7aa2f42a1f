"""How customers come in: invitation links and walking in."""

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.keys import BUSINESSES, CONFIG, CUSTOMERS
from video_bank.logins import SignedIn
from video_bank.permissions import Permission
from video_bank.views.cookie import give_login
from video_bank.views.route import Route, body, client_address, field, optional


def _welcome(request: web.Request, signed_in: SignedIn) -> web.Response:
    login = signed_in.login
    response = web.json_response({"csrf": login.csrf, "customer": {"name": login.name}})
    give_login(response, request.app[CONFIG], signed_in.cookie)
    return response


async def accept(request: web.Request) -> web.Response:
    """Open the visit a personal link stands for."""
    token = field(await body(request), "token", str)
    signed_in = await request.app[CUSTOMERS].accept(
        token, client_address(request), request.get(LOGIN)
    )
    return _welcome(request, signed_in)


async def walk_in(request: web.Request) -> web.Response:
    """Ask for a code to the phone."""
    data = await body(request)
    challenge = await request.app[CUSTOMERS].walk_in(
        field(data, "name", str),
        field(data, "phone", str),
        optional(data, "language", str) or "zh",
        client_address(request),
    )
    reply = {
        "challenge": challenge.id,
        "expires_s": challenge.expires_s,
        "demo_code": challenge.demo_code,
    }
    return web.json_response(reply, status=201)


async def confirm(request: web.Request) -> web.Response:
    """Give the code back."""
    data = await body(request)
    signed_in = await request.app[CUSTOMERS].confirm(
        field(data, "challenge", str), field(data, "code", str), client_address(request)
    )
    return _welcome(request, signed_in)


async def invite(request: web.Request) -> web.Response:
    """Make a personal link."""
    data = await body(request)
    business = optional(data, "business", str)
    invitation = await request.app[CUSTOMERS].invite(
        request[LOGIN],
        field(data, "name", str),
        optional(data, "phone", str),
        request.app[BUSINESSES][business].id if business else None,
        optional(data, "hours", int),
    )
    reply = {"url": invitation.url, "expires_at": invitation.expires_at}
    return web.json_response(reply, status=201)


async def invitations(request: web.Request) -> web.Response:
    """The links one made."""
    return web.json_response(await request.app[CUSTOMERS].invitations(request[LOGIN]))


routes = [
    Route("POST", "/api/invitations/accept", None, accept),
    Route("POST", "/api/walk-in", None, walk_in),
    Route("POST", "/api/walk-in/confirm", None, confirm),
    Route("POST", "/api/invitations", Permission.INVITE, invite),
    Route("GET", "/api/invitations", Permission.INVITE, invitations),
]
