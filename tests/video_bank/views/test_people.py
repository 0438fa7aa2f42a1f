"""Signing in and coming in, over HTTP; and that nothing personal is left behind."""

import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from video_bank import totp
from video_bank.accounts import Accounts
from video_bank.businesses import Businesses
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.keys import ACCOUNTS, BUSINESSES, CONFIG, CUSTOMERS
from video_bank.views import accounts as staff_views
from video_bank.views import customers as customer_views
from video_bank.views.guard import errors, identify, permitted

from ..conftest import PASSWORD

Client = TestClient[web.Request, web.Application]
ORIGIN = {"Origin": "http://localhost:8080"}
NAME, PHONE, ID_NUMBER = "尉迟敬德", "13912345678", "110101199003071234"


def application(config: Config, accounts: Accounts, customers: Customers) -> web.Application:
    app = web.Application(middlewares=[errors, identify])
    app[CONFIG], app[ACCOUNTS], app[CUSTOMERS] = config, accounts, customers
    app[BUSINESSES] = Businesses()
    for route in (*staff_views.routes, *customer_views.routes):
        app.router.add_route(route.method, route.path, permitted(route))
    return app


@pytest.fixture
async def client(
    config: Config, accounts: Accounts, customers: Customers
) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(config, accounts, customers))) as opened:
        yield opened


async def post(
    client: Client, path: str, csrf: str = "", **data: Any
) -> tuple[int, dict[str, Any]]:
    headers = ORIGIN | ({"X-CSRF-Token": csrf} if csrf else {})
    async with client.post(path, json=data, headers=headers) as answer:
        return answer.status, await answer.json()


async def sign_in(client: Client, name: str) -> str:
    status, reply = await post(client, "/api/login", name=name, password=PASSWORD)
    assert status == 200
    return str(reply["csrf"])


async def me(client: Client) -> dict[str, Any]:
    async with client.get("/api/me") as answer:
        reply: dict[str, Any] = await answer.json()
        return reply


async def test_a_teller_from_the_first_password_to_the_second_factor(
    client: Client, accounts: Accounts
) -> None:
    member = await accounts.staff.create("wangfang", "王芳", "teller", by="test")
    status, reply = await post(client, "/api/login", name="wangfang", password=member.password)
    assert (status, reply["error"]["code"]) == (401, "password_change_required")
    status, reply = await post(
        client, "/api/password", reply["error"]["csrf"], old=member.password, new=PASSWORD
    )
    assert (status, reply["role"], reply["home"]) == (200, "teller", "/teller")
    csrf = reply["csrf"]
    known = await me(client)
    assert (known["name"], known["role"], known["totp"]) == ("王芳", "teller", False)
    assert "serve" in known["permissions"] and "review" not in known["permissions"]

    status, enrolment = await post(client, "/api/totp/enrol", csrf)
    assert enrolment["qr_svg"].startswith("<svg") and "style=" not in enrolment["qr_svg"]
    code = totp.code_now(enrolment["secret"])
    assert (await post(client, "/api/totp/confirm", csrf, code=code))[0] == 200
    assert (await me(client))["totp"] is True

    assert (await post(client, "/api/logout", csrf))[0] == 200
    assert (await me(client))["error"]["code"] == "login_required"
    status, reply = await post(client, "/api/login", name="wangfang", password=PASSWORD)
    assert (status, reply["error"]["code"]) == (401, "totp_required")


async def test_the_cookie(client: Client, accounts: Accounts, customers: Customers) -> None:
    await accounts.staff.create("wangfang", "王芳", "teller", by="test", password=PASSWORD)
    body = {"name": "wangfang", "password": PASSWORD}
    async with client.post("/api/login", json=body, headers=ORIGIN) as answer:
        flags = set(answer.headers["Set-Cookie"].split("; ")[1:])
    assert flags == {"HttpOnly", "Path=/", "SameSite=Strict"}
    first = client.session.cookie_jar.filter_cookies(client.make_url("/"))["login"].value
    await sign_in(client, "wangfang")
    second = client.session.cookie_jar.filter_cookies(client.make_url("/"))["login"].value
    assert first != second

    https = replace(client.app[CONFIG], public_url="https://bank.example")
    app = application(https, accounts, customers)
    async with TestClient(TestServer(app)) as secure:
        headers = {"Origin": "https://bank.example"}
        async with secure.post("/api/login", json=body, headers=headers) as answer:
            name, *rest = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-login=")
    assert set(rest) == {"HttpOnly", "Path=/", "SameSite=Strict", "Secure"}


async def test_an_invited_customer(client: Client, accounts: Accounts) -> None:
    await accounts.staff.create("wangfang", "王芳", "teller", by="test", password=PASSWORD)
    csrf = await sign_in(client, "wangfang")
    status, made = await post(
        client, "/api/invitations", csrf, name=NAME, phone=PHONE, business="identification", hours=2
    )
    assert status == 201
    async with client.get("/api/invitations") as answer:
        (row,) = await answer.json()
    assert row["customer_masked"] == "尉***" and NAME not in json.dumps(row, ensure_ascii=False)
    # Opened from another app: with somebody's cookie, without a token.
    token = made["url"].rpartition("/")[2]
    status, reply = await post(client, "/api/invitations/accept", token=token)
    assert (status, reply["customer"]) == (200, {"name": NAME})
    assert (await me(client))["role"] == "customer"
    client.session.cookie_jar.clear()
    status, reply = await post(client, "/api/invitations/accept", token=token)
    assert (status, reply["error"]["code"]) == (410, "invitation_used")
    assert "已使用" in reply["error"]["message_zh"]


async def test_a_walk_in(client: Client) -> None:
    status, asked = await post(client, "/api/walk-in", name=NAME, phone=PHONE, language="zh")
    assert (status, asked["expires_s"]) == (201, 300)
    status, reply = await post(
        client, "/api/walk-in/confirm", challenge=asked["challenge"], code=asked["demo_code"]
    )
    assert (status, reply["customer"]) == (200, {"name": NAME})


async def test_the_administration(client: Client, accounts: Accounts) -> None:
    await accounts.staff.create("chief", "Chief", "admin", by="test", password=PASSWORD)
    csrf = await sign_in(client, "chief")
    status, made = await post(
        client, "/api/staff", csrf, name="li", display_name="李雷", role="reviewer"
    )
    assert status == 201 and made["one_time_password"]
    for act in ("disable", "enable"):
        assert (await post(client, f"/api/staff/{made['id']}/{act}", csrf))[0] == 200
    status, again = await post(client, f"/api/staff/{made['id']}/reset", csrf)
    assert again["one_time_password"] != made["one_time_password"]
    async with client.get("/api/staff") as answer:
        assert [row["name"] for row in await answer.json()] == ["chief", "li"]
    async with client.get("/api/audit?page=1") as answer:
        log = await answer.json()
    assert [entry["kind"] for entry in log["entries"]][:2] == ["staff_reset", "staff_enabled"]
    assert log["entries"][0]["actor"] == "Chief (chief)"


@pytest.mark.parametrize(
    ("raw", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"name": 1, "password": "x"}', "application/json", 400),
        (b'{"name": "a\\u0000", "password": "x"}', "application/json", 400),
        (b'{"name": "\\ud800", "password": "x"}', "application/json", 400),
        (b'{"name": "a", "password": "' + b"x" * 300 + b'"}', "application/json", 400),
        (b"[" * 30_000, "application/json", 400),
        (b'{"name": "' + b"x" * 70_000 + b'"}', "application/json", 413),
        (b'{"name": "a", "password": "x"}', "text/plain", 415),
        (b"name=a&password=x", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_what_is_no_sign_in(
    client: Client, raw: bytes, content_type: str, status: int
) -> None:
    headers = ORIGIN | {"Content-Type": content_type}
    async with client.post("/api/login", data=raw, headers=headers) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] in ("bad_request", "too_large")


async def test_random_bytes_to_time_a_download_with(client: Client, accounts: Accounts) -> None:
    async with client.get("/api/network-test") as answer:
        assert answer.status == 401
    await accounts.staff.create("wangfang", "王芳", "teller", by="test", password=PASSWORD)
    await sign_in(client, "wangfang")
    for query, size in [("", 100_000), ("?bytes=5", 5), ("?bytes=99999999", 2_000_000)]:
        async with client.get(f"/api/network-test{query}") as answer:
            assert len(await answer.read()) == size
    async with client.get("/api/network-test?bytes=-1") as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    ("proxies", "forwarded", "shared"),
    [((), "198.51.100.{}", True), (("127.0.0.0/8",), "198.51.100.{}", False)],
)
async def test_only_a_trusted_proxy_says_who_is_asking(
    config: Config,
    accounts: Accounts,
    customers: Customers,
    proxies: tuple[str, ...],
    forwarded: str,
    shared: bool,
) -> None:
    seen = set()

    async def refuse(name: str, password: str, code: str | None, address: str) -> None:
        seen.add(address)
        raise web.HTTPNoContent

    accounts.sign_in = refuse  # type: ignore[method-assign,assignment]
    app = application(replace(config, trusted_proxies=proxies), accounts, customers)
    async with TestClient(TestServer(app)) as client:
        for n in range(3):
            headers = ORIGIN | {"X-Forwarded-For": f"203.0.113.9, {forwarded.format(n)}"}
            body = {"name": "a", "password": "b"}
            async with client.post("/api/login", json=body, headers=headers) as answer:
                assert answer.status == 204
    expected = {"127.0.0.1"} if shared else {forwarded.format(n) for n in range(3)}
    assert seen == expected


async def test_nothing_personal_is_left_in_logs_or_on_the_disk(
    client: Client, accounts: Accounts, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await accounts.staff.create("wangfang", "王芳", "teller", by="test", password=PASSWORD)
    csrf = await sign_in(client, "wangfang")
    seeded = [NAME, PHONE, PASSWORD, csrf, "my other password"]
    await post(client, "/api/login", name="wangfang", password="my other password")
    await post(client, "/api/login", name="my other password", password="x")
    _, made = await post(client, "/api/invitations", csrf, name=NAME, phone=PHONE)
    seeded.append(made["url"].rpartition("/")[2])
    _, asked = await post(client, "/api/walk-in", csrf, name=NAME, phone=PHONE)
    confirm = {"challenge": asked["challenge"], "code": asked["demo_code"]}
    assert (await post(client, "/api/walk-in/confirm", csrf, **confirm))[0] == 200
    seeded.append(client.session.cookie_jar.filter_cookies(client.make_url("/"))["login"].value)
    await post(client, "/api/walk-in", name="\x1b[31m\r\nlevel=ERROR", phone=PHONE)

    access = "\n".join(record.getMessage() for record in caplog.records)
    seeded_in_logs = [value for value in seeded if value in access]
    assert seeded_in_logs == []
    assert not re.search(r"(?<!\d)" + asked["demo_code"] + r"(?!\d)", access)
    assert "\x1b" not in access

    seeded.remove(csrf)  # of use only together with the cookie, which is not kept
    stored = b"".join(path.read_bytes() for path in config.data.rglob("*") if path.is_file())
    assert [value for value in seeded if value.encode() in stored] == []
