"""A sealed stream in real Chromium: played and sought by HTTP Range from the view."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from recordings import PartReader, WebmView
from recordings.matroska import Codec

from . import media
from .parts import DEK, MemorySource, layout
from .test_replay import part

CHROMIUM = Path("/usr/bin/chromium")
PAGE = '<!doctype html><video id="v" src="/stream" muted playsinline></video>'
# Resolves with what the picture shows at a second: time, size, brightness, and the length.
SEEK = """async second => {
  const v = document.getElementById('v');
  if (v.error) throw new Error(v.error.message);
  if (v.readyState < 2) await new Promise((ok, no) => {
    v.onloadeddata = ok; v.onerror = () => no(new Error(v.error.message)); });
  // "seeked" may come before the new picture is there to be drawn.
  const shown = new Promise(ok => {
    const look = (_, about) => Math.abs(about.mediaTime - second) < 0.1
      ? ok() : v.requestVideoFrameCallback(look);
    v.requestVideoFrameCallback(look);
    setTimeout(ok, 3000); });
  await new Promise((ok, no) => {
    v.onseeked = ok; v.onerror = () => no(new Error(v.error.message)); v.currentTime = second; });
  await shown;
  const c = document.createElement('canvas');
  c.width = v.videoWidth; c.height = v.videoHeight;
  c.getContext('2d').drawImage(v, 0, 0);
  const p = c.getContext('2d').getImageData(c.width / 2, c.height / 2, 8, 8).data;
  let sum = 0;
  for (let i = 0; i < p.length; i += 4) sum += p[i];
  return {time: v.currentTime, width: c.width, height: c.height, level: sum / (p.length / 4),
          duration: v.duration, from: v.seekable.start(0), to: v.seekable.end(0)};
}"""
PLAY = """async () => {
  const v = document.getElementById('v');
  v.currentTime = 0;
  v.playbackRate = 4;
  await v.play();
  await new Promise((ok, no) => { v.onended = ok; v.onerror = () => no(new Error(v.error.message));
    setTimeout(() => no(new Error('stuck at ' + v.currentTime)), 40000); });
  return [v.currentTime, v.webkitDecodedFrameCount, v.webkitAudioDecodedByteCount];
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium"),
]


@asynccontextmanager
async def served(view: WebmView) -> AsyncIterator[tuple[str, list[tuple[int, int]]]]:
    """The page and the view as a stream with Range, on loopback."""
    asked: list[tuple[int, int]] = []

    async def stream(request: web.Request) -> web.StreamResponse:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "bytes=0-"))
        assert match
        start = int(match[1])
        end = min(int(match[2] or view.size - 1), view.size - 1)
        asked.append((start, end))
        response = web.StreamResponse(status=206)
        response.headers["Content-Range"] = f"bytes {start}-{end}/{view.size}"
        response.headers["Accept-Ranges"] = "bytes"
        response.content_type, response.content_length = view.content_type, end + 1 - start
        await response.prepare(request)
        while start <= end:
            piece = await asyncio.to_thread(view.read, start, min(65_536, end + 1 - start))
            await response.write(piece)
            start += len(piece)
        return response

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/stream", stream)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", asked
    finally:
        await runner.cleanup()


@asynccontextmanager
async def page_of(address: str) -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            page = await browser.new_page()
            await page.goto(address)
            yield page
        finally:
            await browser.close()


def level(second: float, length: float) -> float:
    """Brightness that `media.pictures` gives the picture at this second."""
    return 24 + 200 * second / length


@pytest.mark.parametrize(
    ("whole", "codec"),
    [(True, "vp8"), (False, "vp8"), (True, "h264")],
    ids=["finished", "cut by a crash", "H264"],
)
async def test_plays_and_seeks(whole: bool, codec: Codec) -> None:
    length = 20
    call = media.call(length, width=360, height=640, start_us=7_000_000, codec=codec)
    data = part({"customer": call})
    if not whole:
        records = layout(data)
        data = data[: records[len(records) * 3 // 4].offset + 50]
    view = WebmView(PartReader(MemorySource(data), DEK), 1)
    seconds = view.duration_us / 1e6
    assert seconds == pytest.approx(length, abs=0.1) or not whole and 12 < seconds < 17
    async with served(view) as (address, asked), page_of(address) as page:
        for second in (11.3, 2.0, seconds - 0.5, 0.0, 6.66):
            found = await page.evaluate(SEEK, second)
            assert (found["width"], found["height"]) == (360, 640)
            assert found["duration"] == pytest.approx(seconds, abs=0.05)
            assert (found["from"], found["to"]) == (0, pytest.approx(seconds, abs=0.05))
            assert found["level"] == pytest.approx(level(second, length), abs=8)
        time, pictures, sound = await page.evaluate(PLAY)
        assert time == pytest.approx(seconds, abs=0.1)
        assert pictures > 25 and sound > 1000
        assert len(asked) > 1 or view.size < 1_500_000, "it was sought by Range"
