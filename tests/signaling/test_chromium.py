"""Two pages in real Chromium: each gets the other's 720p picture within seconds."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright

from signaling.room import EncodedFrame, Room
from signaling.sample import sample
from tests.signaling.robot import Stage, stage

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
]


async def empty_page(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>page</title>", content_type="text/html")


async def look(page: Page, until: float) -> dict[str, Any]:
    """The page's statistics once a 720p picture is shown, or at `until`."""
    while True:
        found: dict[str, Any] = await page.evaluate("() => look()")
        height = found["streams"].get("in video", {}).get("frameHeight")
        if height == 720 or time.monotonic() > until:
            return found
        await asyncio.sleep(0.2)


async def open_page(scene: Stage, browser: Any, name: str) -> Page:
    page: Page = await browser.new_page()
    await page.goto(str(scene.server.make_url("/")))
    await page.add_script_tag(path=str(Path(__file__).with_name("page.js")))
    url = str(scene.server.make_url(f"/ws?id={name}")).replace("http:", "ws:")
    await page.evaluate("([url, room]) => run(url, room)", [url, "room"])
    return page


@pytest.mark.browser
async def test_two_pages_see_720p(chromium: str) -> None:
    async with stage(Room("room"), ("/", empty_page)) as scene, async_playwright() as play:
        frames: list[EncodedFrame] = []
        scene.room.subscribe("ann", frames.append)
        browser = await play.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        ann, bob = [await open_page(scene, browser, name) for name in ("ann", "bob")]
        for page in (ann, bob):
            found = await look(page, time.monotonic() + 8)
            assert found["state"] == "connected"
            video = found["streams"]["in video"]
            assert (video["frameWidth"], video["frameHeight"]) == (1280, 720)
            assert "GCM" in found["transport"]["srtpCipher"]
        async for picture in sample(scene.room, "bob", fps=5):
            assert (picture.width, picture.height) == (1280, 720)
            break
        await asyncio.sleep(2)
        found = await ann.evaluate("() => look()")
        assert found["streams"]["in audio"]["packetsReceived"] > 50
        assert found["streams"]["in video"]["framesDecoded"] > 10
        await browser.close()
        kinds = {kind: [f for f in frames if f.kind == kind] for kind in ("audio", "video")}
        assert len(kinds["video"]) > 20 and kinds["video"][0].keyframe
        assert len(kinds["audio"]) > 50
