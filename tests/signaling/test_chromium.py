"""Pages in real Chromium, with the product's own wire modules, against rooms without a bank."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from playwright.async_api import Browser, Page, async_playwright

from signaling.room import EncodedFrame, Room
from signaling.sample import sample
from tests.signaling.robot import Stage, stage

WIRE = Path(__file__).parents[2] / "web/static/lib"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
]
HTML = '<!doctype html><title>page</title><script type="module" src="/page.js"></script>'


async def _page(_: web.Request) -> web.Response:
    return web.Response(text=HTML, content_type="text/html")


async def _module(request: web.Request) -> web.StreamResponse:
    name = request.match_info.get("name")
    path = WIRE / Path(name).name if name else Path(__file__).with_name("page.js")
    return web.Response(body=path.read_bytes(), content_type="text/javascript")


PAGES: list[tuple[str, Handler]] = [
    ("/", _page),
    ("/page.js", _module),
    ("/lib/{name}", _module),
]


@asynccontextmanager
async def browser_stage(room: Room, chromium: str) -> AsyncIterator[tuple[Stage, Browser]]:
    async with stage(room, *PAGES) as scene, async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            yield scene, browser
        finally:
            await browser.close()


async def open_page(scene: Stage, browser: Browser, name: str) -> Page:
    page = await browser.new_page()
    await page.goto(str(scene.server.make_url("/")))
    await page.wait_for_function("() => window.run")
    await page.evaluate("([name, room]) => run(name, room)", [name, scene.room.name])
    return page


async def look(
    page: Page, fits: Callable[[dict[str, Any]], object], wait: float = 10
) -> dict[str, Any]:
    """The page's statistics once they fit. Raises AssertionError with the last ones."""
    end = time.monotonic() + wait
    while True:
        found: dict[str, Any] = await page.evaluate("() => look()")
        if fits(found):
            return found
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)


def sees(height: int, mid: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a page gets a picture of this height in the section."""
    return lambda found: found["in"].get(f"video {mid}", {}).get("frameHeight") == height


def flows(found: dict[str, Any]) -> bool:
    """Whether sound and pictures go on coming."""
    voice, picture = found["in"].get("audio 0", {}), found["in"].get("video 1", {})
    return bool(voice.get("packetsReceived", 0) > 50 and picture.get("framesDecoded", 0) > 20)


@pytest.mark.browser
async def test_two_pages_see_720p_and_a_screen(chromium: str) -> None:
    frames: list[EncodedFrame] = []
    shared: list[tuple[str, bool]] = []
    room = Room("room", on_screen=lambda who, on: shared.append((who, on)))
    async with browser_stage(room, chromium) as (scene, browser):
        room.subscribe("ann", frames.append)
        ann, bob = [await open_page(scene, browser, name) for name in ("ann", "bob")]
        for page in (ann, bob):
            found = await look(page, sees(720, "1"), 8)
            assert found["state"] == "connected"
            assert "GCM" in found["transport"]["srtpCipher"]
        async for picture in sample(room, "bob", fps=5):
            assert (picture.width, picture.height) == (1280, 720)
            break
        await ann.evaluate("() => share(1600, 900)")
        mid = await bob.wait_for_function("() => call.people[0].screen_mid")
        await look(bob, sees(900, str(await mid.json_value())))
        assert shared == [("ann", True)]
        found = await look(ann, flows)
        layers = {name.split()[2]: out for name, out in found["out"].items() if "video 1 " in name}
        assert layers["h"]["active"] and layers["h"]["frameWidth"] == 1280
        assert not layers["l"]["active"], "until somebody's line needs it"
        await ann.evaluate("() => call.share(null)")
        await bob.wait_for_function("() => call.people[0].screen_stream === null")
    tracks = {
        name: [one for one in frames if (one.kind, one.screen) == track]
        for name, track in {
            "audio": ("audio", False),
            "video": ("video", False),
            "screen": ("video", True),
        }.items()
    }
    assert len(tracks["video"]) > 20 and tracks["video"][0].keyframe
    assert len(tracks["screen"]) > 1 and tracks["screen"][0].keyframe
    assert len(tracks["audio"]) > 50
    assert shared == [("ann", True), ("ann", False)]
