"""Who may use which route: every cell of role × route, stated here a second time.

``permissions.py`` and the routes' rows say it once; this table says it from the outside, so that a
slip in either is seen.  A new route without a row here fails.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from video_bank.accounts import Accounts, SignedIn
from video_bank.app import ROUTES
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.keys import ACCOUNTS, CONFIG
from video_bank.logins import cookie_name
from video_bank.permissions import Role
from video_bank.views.guard import errors, identify, permitted
from video_bank.views.route import Route

from .conftest import PASSWORD

EVERYBODY = "everybody"
SIGNED_IN = "customer teller loan_officer expert supervisor reviewer admin"
STAFF = "teller loan_officer expert supervisor reviewer admin"
SERVING = "teller loan_officer expert"
ATTENDING = f"customer {SERVING} supervisor"
INVITING = f"{SERVING} supervisor"
S = "/api/sessions/{session}"
R = "/api/reviews"

TABLE = {
    "GET /": EVERYBODY,
    "GET /i/{token}": EVERYBODY,
    "GET /staff/sign-in": EVERYBODY,
    "GET /visit": "customer",
    "GET /staff": STAFF,
    "GET /teller": SERVING,
    "GET /supervise": "supervisor",
    "GET /review": "reviewer",
    "GET /replay": "reviewer supervisor",
    "GET /admin": "reviewer admin",
    "GET /ws": SIGNED_IN,
    "GET /api/health": EVERYBODY,
    "GET /connection-test": EVERYBODY,
    "GET /api/connection-test": EVERYBODY,
    "POST /api/connection-test": EVERYBODY,
    "GET /ws/connection-test": EVERYBODY,
    "GET /api/network-test": SIGNED_IN,
    "POST /api/login": EVERYBODY,
    "POST /api/logout": SIGNED_IN,
    "POST /api/logout-everywhere": SIGNED_IN,
    "GET /api/me": SIGNED_IN,
    "POST /api/password": STAFF,
    "POST /api/totp/enrol": STAFF,
    "POST /api/totp/confirm": STAFF,
    "GET /api/staff": "admin",
    "POST /api/staff": "admin",
    "POST /api/staff/{id}/disable": "admin",
    "POST /api/staff/{id}/enable": "admin",
    "POST /api/staff/{id}/reset": "admin",
    "GET /api/audit": "reviewer admin",
    "GET /api/storage": "reviewer admin",
    "POST /api/invitations/accept": EVERYBODY,
    "POST /api/walk-in": EVERYBODY,
    "POST /api/walk-in/confirm": EVERYBODY,
    "POST /api/invitations": INVITING,
    "GET /api/invitations": INVITING,
    "GET /api/visit": "customer",
    "POST /api/sessions": "customer",
    "GET /api/consents": "customer",
    "POST /api/consents/withdraw": "customer",
    f"GET {S}/consents": "reviewer admin",
    "GET /api/faces": "reviewer admin",
    f"POST {S}/checks/{{check}}/skip": "customer",
    f"POST {S}/camera": "customer",
    f"POST {S}/by_eye": SERVING,
    f"POST {S}/by_eye/confirm": ATTENDING,
    f"GET {S}": ATTENDING,
    f"POST {S}/leave": ATTENDING,
    f"POST {S}/chat": ATTENDING,
    f"POST {S}/rating": "customer",
    "GET /api/teller": SERVING,
    "POST /api/teller/state": SERVING,
    f"POST {S}/accept": SERVING,
    f"POST {S}/decline": SERVING,
    f"POST {S}/checks/{{check}}": SERVING,
    f"POST {S}/checks/{{check}}/stop": SERVING,
    f"POST {S}/findings/{{finding}}/corrections": SERVING,
    f"GET {S}/findings/{{finding}}/pictures/{{name}}": SERVING,
    f"POST {S}/hold": SERVING,
    f"POST {S}/mute": SERVING,
    f"POST {S}/notes": SERVING,
    f"POST {S}/decision": SERVING,
    f"POST {S}/end": SERVING,
    f"POST {S}/close": SERVING,
    "GET /api/colleagues": SERVING,
    f"POST {S}/transfer": SERVING,
    f"POST {S}/transfer/cancel": SERVING,
    f"POST {S}/invite": SERVING,
    f"POST {S}/invite/cancel": SERVING,
    f"POST {S}/invite/decline": ATTENDING,
    f"POST {S}/guests": SERVING,
    f"POST {S}/join": ATTENDING,
    f"POST {S}/participants/{{id}}/remove": SERVING,
    f"GET {S}/quality": ATTENDING,
    "GET /api/supervision": "supervisor",
    f"POST {S}/supervise": "supervisor",
    f"GET {R}": "reviewer",
    f"GET {R}/businesses": "reviewer supervisor",
    f"POST {R}/{{session}}/viewings": "reviewer supervisor",
    f"POST {R}/{{session}}/unmask": "reviewer",
    f"POST {R}/{{session}}/verify": "reviewer",
    f"GET {R}/{{session}}/proof": "reviewer",
    f"POST {R}/{{session}}/stamp": "reviewer",
    "GET /retention": "reviewer admin",
    "GET /api/retention": "reviewer admin",
    "POST /api/retention/holds": "reviewer admin",
    "POST /api/retention/holds/{hold}/lift": "reviewer admin",
    "POST /api/retention/erasures": "reviewer admin",
    "GET /api/retention/erasures/{erasure}": "reviewer admin",
    "GET /api/viewings/{viewing}/findings/{finding}/pictures/{name}": "reviewer",
    "GET /api/viewings/{viewing}/streams": "reviewer supervisor",
    "GET /api/viewings/{viewing}/streams/{part}/{stream}": "reviewer supervisor",
    "GET /api/viewings/{viewing}/levels": "reviewer supervisor",
    "POST /api/viewings/{viewing}/exports": "reviewer",
    "GET /api/viewings/{viewing}/exports": "reviewer",
    "GET /api/exports/{id}": "reviewer",
    "GET /api/exports/{id}/file": "reviewer",
    "DELETE /api/exports/{id}": "reviewer",
    f"POST {R}/{{session}}/approvals": "reviewer supervisor",
    "GET /api/approvals": "reviewer supervisor",
    "POST /api/approvals/{id}/decision": "reviewer",
}

ORIGIN = {"Origin": "http://localhost:8080"}
BY_NAME = {f"{route.method} {route.path}": route for route in ROUTES}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert sorted(BY_NAME) == sorted(TABLE)
    assert len(BY_NAME) == len(ROUTES)


async def reached(_request: web.Request) -> web.Response:
    """Stands for every handler: only the way to it is looked at here."""
    return web.Response(status=204)


Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client(config: Config, accounts: Accounts) -> AsyncIterator[Client]:
    app = web.Application(middlewares=[errors, identify])
    app[CONFIG] = config
    app[ACCOUNTS] = accounts
    for route in ROUTES:
        row = Route(route.method, route.path, route.permission, reached)
        app.router.add_route(row.method, row.path, permitted(row))
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def sign_in(accounts: Accounts, customers: Customers, role: Role) -> SignedIn:
    if role == Role.CUSTOMER:
        challenge = await customers.walk_in("张三", "13800138000", "zh", "192.0.2.1")
        return await customers.confirm(challenge.id, challenge.demo_code or "", "192.0.2.1")
    await accounts.staff.create(role.value, role.value, role, by="test", password=PASSWORD)
    return await accounts.sign_in(role.value, PASSWORD, None, "192.0.2.1")


async def status(
    client: Client, name: str, signed_in: SignedIn | None, headers: dict[str, str]
) -> tuple[int, str]:
    """The answer's status and, of a refusal, the code."""
    route = BY_NAME[name]
    path = route.path.replace("{", "").replace("}", "")
    if signed_in:
        cookie = f"{cookie_name(client.app[CONFIG])}={signed_in.cookie}"
        headers = headers | {"Cookie": cookie}
    async with client.request(
        route.method, path, headers=headers, allow_redirects=False
    ) as answer:
        code = ""
        if answer.content_type == "application/json":
            code = (await answer.json())["error"]["code"]
        return answer.status, code


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals of pages as JSON too: what they look like is tested elsewhere."""
    monkeypatch.setattr("video_bank.views.guard._is_page", lambda _request: False)


@pytest.mark.parametrize("role", Role)
async def test_a_role_reaches_its_routes_and_no_others(
    client: Client, accounts: Accounts, customers: Customers, role: Role, pages: None
) -> None:
    signed_in = await sign_in(accounts, customers, role)
    token = ORIGIN | {"X-CSRF-Token": signed_in.login.csrf}
    wrong = {}
    for name, allowed in TABLE.items():
        may = allowed == EVERYBODY or role in allowed.split()
        expected = (204, "") if may else (403, "not_allowed")
        if (got := await status(client, name, signed_in, token)) != expected:
            wrong[name] = got
    assert wrong == {}


async def test_nobody_reaches_what_is_not_for_everybody(client: Client) -> None:
    for name, allowed in TABLE.items():
        got, code = await status(client, name, None, ORIGIN)
        if allowed == EVERYBODY:
            assert got == 204, name
        elif name.startswith(("GET /api", "POST", "DELETE", "GET /ws")):
            assert (got, code) == (401, "login_required"), name
        else:
            assert got == 303, name  # a page sends to where one signs in


async def test_a_one_time_password_reaches_its_own_replacement_only(
    client: Client, accounts: Accounts, pages: None
) -> None:
    member = await accounts.staff.create("li", "李", "admin", by="test")
    signed_in = await accounts.sign_in("li", member.password, None, "192.0.2.1")
    token = ORIGIN | {"X-CSRF-Token": signed_in.login.csrf}
    for name in ("GET /api/staff", "POST /api/staff", "GET /api/audit", "GET /admin"):
        assert await status(client, name, signed_in, token) == (403, "password_change_required")
    assert await status(client, "POST /api/password", signed_in, token) == (204, "")


UNSAFE = [route for route in ROUTES if route.method not in ("GET", "HEAD")]


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.TELLER, Role.REVIEWER, Role.ADMIN])
async def test_every_unsafe_route_wants_token_and_origin(
    client: Client, accounts: Accounts, customers: Customers, role: Role
) -> None:
    signed_in = await sign_in(accounts, customers, role)
    token = {"X-CSRF-Token": signed_in.login.csrf}
    other = await sign_in(accounts, customers, Role.EXPERT)
    for route in UNSAFE:
        name = f"{route.method} {route.path}"
        for origin in (None, "null", "https://evil.example", "http://localhost:8081"):
            headers = token | ({"Origin": origin} if origin else {})
            assert await status(client, name, signed_in, headers) == (403, "cross_origin"), name
        if route.permission is None:
            continue
        for forged in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": other.login.csrf}):
            headers = ORIGIN | forged
            assert await status(client, name, signed_in, headers) == (403, "csrf"), name


async def test_the_cookie_is_looked_for_under_the_name_of_the_scheme(
    client: Client, accounts: Accounts, teller: SignedIn, config: Config
) -> None:
    https = replace(config, public_url="https://bank.example")
    assert (cookie_name(config), cookie_name(https)) == ("login", "__Host-login")
    for header, expected in [
        (f"login={teller.cookie}", 204),
        (f"__Host-login={teller.cookie}", 401),
        ("login=", 401),
        ("login=é", 401),
        (f"login={teller.cookie}x", 401),
    ]:
        async with client.get("/api/me", headers={"Cookie": header}) as answer:
            assert answer.status == expected, header
