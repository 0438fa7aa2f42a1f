"""The export panel in real Chromium, over the real routes and a real renderer."""

import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import async_playwright, expect

from video_bank.accounts import LOGIN, Accounts
from video_bank.config import Config
from video_bank.exports import Exports
from video_bank.keys import ACCOUNTS, CONFIG, EXPORTS, REVIEWS
from video_bank.logins import cookie_name
from video_bank.pages import WEB, Pages
from video_bank.reviews import Reviews
from video_bank.views import exports as views
from video_bank.views.guard import errors, headers, identify, permitted

from .conftest import PASSWORD
from .test_exports import Desk, Office, exports, office

__all__ = ["exports", "office"]

pytestmark = pytest.mark.browser

MOUNT = """import("/static/elements/staff/review/export.js")
.then(({ exportPanel }) => document.querySelector("main").replaceChildren(exportPanel("V-1")))"""


async def shell(request: web.Request) -> web.Response:
    """The review page without a replay: the panel is put into it."""
    login = request[LOGIN]
    html = Pages().render(
        "review.html",
        "en",
        "staff export",
        page="panel",
        csrf=login.csrf,
        role=login.role,
        name=login.name,
        demo=False,
    )
    return web.Response(text=html, content_type="text/html")


@pytest.fixture
async def server(
    config: Config, accounts: Accounts, office: Office, exports: Exports
) -> AsyncIterator[TestServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = web.Application(middlewares=[errors, identify])
    app[CONFIG] = replace(config, port=port, public_url="")
    app.on_response_prepare.append(headers(app[CONFIG]))
    app[ACCOUNTS], app[EXPORTS] = accounts, exports
    app[REVIEWS] = cast(Reviews, Desk(office.session))
    for route in views.routes:
        app.router.add_route(route.method, route.path, permitted(route))
    app.router.add_get("/panel", shell)
    app.router.add_static("/static", WEB / "static")
    opened = TestServer(app, port=port)
    async with opened:
        yield opened


async def test_from_purpose_to_file(server: TestServer, accounts: Accounts, chromium: str) -> None:
    await accounts.staff.create("zhao", "赵敏", "reviewer", by="test", password=PASSWORD)
    login = await accounts.sign_in("zhao", PASSWORD, None, "192.0.2.1")
    url = f"http://localhost:{server.port}"
    cookie = {"name": cookie_name(server.app[CONFIG]), "value": login.cookie, "url": url}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        context = await browser.new_context(locale="en-US")
        await context.add_cookies([cookie])  # type: ignore[list-item]
        page = await context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(f"{url}/panel")
        await page.evaluate(MOUNT)
        panel = page.get_by_role("region", name="Export as evidence")
        status = panel.get_by_role("status")

        await panel.get_by_role("button", name="Export…").click()
        dialog = page.get_by_role("dialog", name="Export as evidence")
        await expect(dialog.get_by_text("personal data")).to_be_visible()
        await dialog.get_by_role("textbox").fill("Requested by a court, case 118")
        await dialog.get_by_role("button", name="Start the export").click()
        bar = panel.get_by_role("progressbar", name="Progress of the export")
        await expect(bar).to_be_visible()
        await expect(status).to_have_text("Done. The file can be downloaded.", timeout=60_000)
        async with page.expect_download() as download:
            await panel.get_by_role("link", name="Download").click()
        name = (await download.value).suggested_filename
        assert re.fullmatch(r"session-[0-9A-Z]{26}\.zip", name)

        # Whoever comes back finds it, and can remove it.
        await page.reload()
        await page.evaluate(MOUNT)
        await panel.get_by_role("button", name="Remove the file").click()
        sure = page.get_by_role("dialog", name="Remove the file")
        await sure.get_by_role("button", name="Remove the file").click()
        await expect(status).to_contain_text("has been removed")
        await expect(panel.get_by_role("button", name="Export again…")).to_be_focused()
        assert problems == []
        await browser.close()
