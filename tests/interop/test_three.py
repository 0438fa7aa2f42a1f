"""A customer in real Firefox, teller and expert in real Chromium: no picture ever freezes.

Three browsers take more than a minute of the processor: it runs when `VIDEO_BANK_WATCH_S` says how
many seconds to watch.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Playwright, expect, sync_playwright

from signaling.ice import host_addresses
from tests.interop.bank import Bank
from tests.interop.camera import Camera, Film
from tests.interop.firefox import Firefox, Json, Page
from tests.interop.people import Colleague, open_chromium
from tests.interop.test_firefox import PHONE, prepare, walk_in

WATCH_S = float(os.environ.get("VIDEO_BANK_WATCH_S", "0"))
pytestmark = [
    pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300),
    pytest.mark.skipif(not WATCH_S, reason="three browsers: set VIDEO_BANK_WATCH_S, say to 60"),
]  # fmt: skip
SETTLE_S = 15.0
"Three encoders begin at once, beside the checks."
FULL, STAFF = (1280, 720), (960, 540)
"The customer's picture, and what staff's cameras are asked for."
WINDOW = (960, 600)
"Nothing here has a graphics processor: smaller pages leave more for the pictures."
FPS = 10
"At least, of 25: two cores encode three cameras, and Firefox draws its test picture itself."
T = TypeVar("T")
KEEP = """{
  globalThis.connections = []
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) {
      super(...given)
      connections.push(this)
    }
  }
}"""
STATS = """async () => {
  const connection = connections.findLast((one) => one.connectionState === "connected")
  return [...((await connection?.getStats())?.values() ?? [])]
}"""


class Aside:
    """An event loop in a thread: Playwright's own occupies this one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> "Aside":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    @contextmanager
    def open_firefox(self, path: str, profile: Path) -> Iterator[Page]:
        browser = Firefox(path, profile)
        self.do(browser.__aenter__())
        try:
            yield browser.page
        finally:
            self.do(browser.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=20_000)
    with sync_playwright() as running:
        yield running
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
def bank(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """On the machine's own address: Firefox sends nothing to loopback."""
    own = [address for address in host_addresses() if "." in address]
    if not own:
        pytest.skip("no IPv4 address besides loopback")
    data = tmp_path_factory.mktemp("bank") / "data"
    with Bank(data, models, media_addresses=own[0], check_s="3") as running:
        yield running


def pictures(stats: list[Json]) -> dict[str, Json]:
    """What somebody is shown: the pictures that come, by their stream."""
    return {
        entry["id"]: entry
        for entry in stats
        if entry["type"] == "inbound-rtp" and entry["kind"] == "video" and entry.get("frameWidth")
    }


def test_three_browsers(
    playwright: Playwright,
    bank: Bank,
    chromium: str,
    firefox: str,
    test_data: Path,
    tmp_path: Path,
) -> None:
    camera = Camera(tmp_path / "camera.mjpeg", Film.of_video(test_data / "videos" / "d13.mp4"))
    with (
        Aside() as aside,
        aside.open_firefox(firefox, tmp_path / "profile") as page,
        open_chromium(playwright, chromium, camera.path) as browser,
    ):
        # 1. Two meet, a third is asked in.
        teller = Colleague(browser, bank, bank.staff["demo-teller"])
        expert = Colleague(browser, bank, bank.accounts["expert"])
        for one in (teller, expert):
            one.page.add_init_script(KEEP)
            one.page.set_viewport_size({"width": WINDOW[0], "height": WINDOW[1]})
        teller.be_ready()
        aside.do(page.resize(*PHONE))
        aside.do(walk_in(page, bank.url))
        aside.do(prepare(page))
        teller.accept()
        expert.page.goto("/teller")
        expect(expert.page.get_by_role("heading", name="not taking customers")).to_be_visible()
        teller.page.keyboard.press("i")
        teller.button(f"Invite {expert.name}").click()
        expert.answer("asks you into a call")

        # 2. Each is shown the two others, 720p, without a freeze.
        def look() -> dict[str, dict[str, Json]]:
            seen = {"customer": aside.do(page.stats())}
            seen |= {name: one.page.evaluate(STATS) for name, one in staff.items()}
            return {name: pictures(stats) for name, stats in seen.items()}

        staff = {"teller": teller, "expert": expert}
        teller.page.wait_for_timeout(SETTLE_S * 1000)
        before = look()
        teller.page.wait_for_timeout(WATCH_S * 1000)
        after = look()
        found = [
            passed(f"{name} {number}", before[name][line], seen[line])
            for name, seen in after.items()
            for number, line in enumerate(seen)
        ]
        assert [len(seen) for seen in after.values()] == [2, 2, 2]
        sizes = [size for size, _, _ in found]
        assert sorted(sizes) == [*[STAFF] * 4, *[FULL] * 2], found
        assert all(fps >= FPS for _, fps, _ in found), found
        assert all(freezes == 0 for _, _, freezes in found), found
        assert [*page.problems, *teller.problems, *expert.problems] == []


def passed(name: str, before: Json, after: Json) -> tuple[tuple[int, int], float, int]:
    """Size, pictures a second and freezes between two looks at a stream."""

    def more(what: str) -> float:
        return float(after.get(what, 0)) - float(before.get(what, 0))

    seconds = more("timestamp") / 1000
    size = after["frameWidth"], after["frameHeight"]
    fps = more("framesDecoded") / seconds
    decoding = 1000 * more("totalDecodeTime") / max(1.0, more("framesDecoded"))
    print(
        f"{name}: {size[0]}×{size[1]} at {fps:.1f}/s over {seconds:.0f} s,"
        f" {more('freezeCount'):.0f} freezes of {more('totalFreezesDuration'):.2f} s,"
        f" {more('framesDropped'):.0f} dropped, {decoding:.1f} ms to decode one,"
        f" {more('packetsLost'):.0f} packets lost, says {after.get('framesPerSecond')} now"
    )
    assert "freezeCount" in after, "this browser does not count freezes"
    return size, fps, int(more("freezeCount"))
