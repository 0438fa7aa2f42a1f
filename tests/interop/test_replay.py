"""The replay page in real Chromium: found at any second, in step at any speed, marked throughout.

The recording is made in an instant by the real writer: an hour of two people out of one clip each,
and a session in two parts with more people and a shared screen.
"""

import asyncio
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright, expect, sync_playwright

from tests.interop.bank import Account, Bank
from tests.interop.people import Reviewer, eventually, open_chromium
from tests.video_bank.cinema import Reel, cinema, clip
from tests.video_bank.conftest import PASSWORD
from video_bank.permissions import Role
from video_bank.storage import now_us

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

HOUR = 720
"Repetitions of a clip of five seconds."
SEEK_MS, STEP_MS = 300, 80

SEEK = """async second => {
  const replay = document.querySelector('session-replay')
  const slider = replay.querySelector('input[type=range]')
  const shown = [...replay.querySelectorAll('video')].filter(video => !video.hidden)
  const began = performance.now()
  const there = shown.map(video => new Promise((ok, no) => {
    video.addEventListener('seeked', () => ok(performance.now() - began), {once: true})
    setInterval(() => video.hidden && ok(0), 50)  // whoever is not there at that second
    setTimeout(() => no(new Error('never there')), 20000) }))
  slider.value = String(Math.round(second * 1000))
  slider.dispatchEvent(new Event('input'))
  return Math.max(...await Promise.all(there))
}"""
DRIFT = "document.querySelector('session-replay').drift"
POSITION = "document.querySelector('session-replay').position / 1e6"


async def record(data: Path) -> None:
    """The two sessions and a reviewer."""
    customer, teller = clip(320, 426, 5), clip(426, 240, 5)
    async with cinema(data) as made:
        staff = await made.staff("wang", Role.TELLER)
        await made.staff("li", Role.REVIEWER)
        hour = await made.session(staff, 60, name="张三")
        voice = tuple((at, at + 6.0) for at in range(4, 3590, 20))
        chapters = [(at * 60_000_000, "chat", {"role": "teller"}) for at in range(5, 60, 5)]
        events = [
            (at, {"kind": kind, "actor": "staff:x", "data": data})
            for at, kind, data in [(0, "accepted", {}), *chapters]
        ]
        both = [
            Reel("customer", customer, 1_213_000, HOUR, 5, voice),
            Reel("teller", teller, 140_000, HOUR, 5, ((0.2, 3.8),)),
        ]
        await made.part(hour, both, events)
        many = await made.session(staff, 10, name="李四")
        began = now_us() - 600_000_000
        crowd = [
            Reel("customer", customer, 300_000, 6, 5),
            Reel("teller", teller, 100_000, 6, 5),
            Reel("expert", teller, 700_000, 6, 5),
            Reel("co_customer", customer, 900_000, 6, 5),
            Reel("teller screen", teller, 2_050_000, 4, 5),
        ]
        await made.part(many, crowd, events[:1], started_at=began)
        after = [
            Reel("customer", customer, 200_000, 2, 5),
            Reel("teller", teller, 100_000, 2, 5),
        ]
        await made.part(many, after, [], started_at=began + 45_000_000)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank with these recordings, and without models."""
    data, no_models = tmp_path_factory.mktemp("bank") / "data", tmp_path_factory.mktemp("none")
    asyncio.run(record(data))
    with Bank(data, no_models) as running:
        yield running


@pytest.fixture(scope="module")
def playwright(house: Bank) -> Iterator[Playwright]:
    """After the house, which needs the event loop for itself."""
    with sync_playwright() as started:
        yield started


@pytest.fixture
def reviewer(playwright: Playwright, chromium: str, house: Bank) -> Iterator[Reviewer]:
    with open_chromium(playwright, chromium) as browser:
        person = Reviewer(browser, house, Account("li", PASSWORD))
        yield person
        assert person.problems == []


def watch(reviewer: Reviewer, customer: str) -> Page:
    """Open a session and wait for its pictures."""
    page = reviewer.page
    page.goto("/review")
    row = page.get_by_role("row").filter(has_text=customer)
    row.get_by_role("button", name="Open").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason for viewing").fill("Sample of the week")
    dialog.get_by_role("button", name="Open", exact=True).click()
    expect(reviewer.button("Back to the list")).to_be_visible()
    ready = "[...document.querySelectorAll('video')].some(v => !v.hidden && v.readyState >= 3)"
    eventually(page, lambda: bool(page.evaluate(ready)), 30, "a picture")
    return page


def drifts(page: Page, seconds: float) -> float:
    """The largest distance between two people over so many seconds, in milliseconds."""
    found = []
    for _ in range(int(seconds * 10)):
        page.wait_for_timeout(100)
        found.append(float(page.evaluate(DRIFT)))
    return max(found)


def test_an_hour_at_any_second_and_speed(reviewer: Reviewer) -> None:
    page = watch(reviewer, "张")
    chance = random.Random(11)
    page.evaluate(SEEK, 1800)
    took = sorted(float(page.evaluate(SEEK, chance.uniform(2, 3595))) for _ in range(11))
    print(f"\nseeks: median {took[5]:.0f} ms, slowest {took[-1]:.0f} ms")
    assert took[5] <= SEEK_MS
    page.evaluate(SEEK, 700)
    reviewer.button("Play").click()
    for speed in ("1", "2", "0.5", "4"):
        page.get_by_label("Speed").select_option(speed)
        page.wait_for_timeout(2000)  # until they have come together
        before = page.evaluate(POSITION)
        apart = drifts(page, 1.5)
        went = page.evaluate(POSITION) - before
        print(f"{speed}x: {apart:.0f} ms apart, {went:.1f} s in about 1.5")
        assert apart <= STEP_MS, speed
        assert went > 1.5 * float(speed) * 0.7, speed
    page.get_by_label("Speed").select_option("1")
    page.evaluate(SEEK, 3000)
    page.wait_for_timeout(1500)
    assert drifts(page, 1) <= STEP_MS


def test_many_people_a_screen_and_two_parts(reviewer: Reviewer) -> None:
    page = watch(reviewer, "李")
    reviewer.button("Play").click()
    page.evaluate(SEEK, 5)
    seen = page.locator("figure.screen:not([hidden])")
    expect(seen).to_have_count(5)
    page.wait_for_timeout(3000)
    apart = drifts(page, 2)
    print(f"\nfive streams {apart:.0f} ms apart")
    assert apart <= STEP_MS
    # Between the parts nothing was recorded: the gap is skipped, the second part goes on.
    page.evaluate(SEEK, 28)
    eventually(page, lambda: page.evaluate(POSITION) > 45, 20, "the second part plays")
    expect(seen).to_have_count(2)


def test_chapters_voices_and_keys(reviewer: Reviewer) -> None:
    page = watch(reviewer, "张")
    at: Any = lambda: page.evaluate(POSITION)  # noqa: E731
    # Who spoke, in words, and a way there by keyboard alone.
    speech = page.get_by_role("region", name="Who spoke")
    expect(speech.get_by_text("spoke 18:00")).to_be_visible()
    hear = speech.get_by_role("button", name="Hear Teller from 00:00 to 00:03")
    hear.focus()
    page.keyboard.press("Enter")
    eventually(page, lambda: at() < 1, 10, "the passage")
    # The same by a click into the waveform.
    lane = page.locator(".lane.wave[data-label=customer] .track")
    box = lane.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    eventually(page, lambda: abs(at() - 1800) < 15, 10, "the middle of the hour")
    page.keyboard.press("]")
    eventually(page, lambda: at() == 2100, 10, "the next chapter")
    page.keyboard.press("[")
    eventually(page, lambda: at() == 1800, 10, "the chapter before")
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: at() == 1805, 10, "five seconds on")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog").get_by_text("Next chapter")).to_be_visible()


def test_the_watermark_comes_back_or_the_picture_goes(reviewer: Reviewer) -> None:
    page = watch(reviewer, "李")
    screens = page.locator("figure.screen:not([hidden])")
    marks = page.locator("figure.screen:not([hidden]) > .watermark")
    expect(marks).to_have_count(screens.count())
    words = marks.first.locator("span").first.inner_text()
    assert re.fullmatch(r"li · .*\d\d:\d\d · \w{8}", words)
    for attack in (
        "mark => mark.remove()",
        "mark => mark.style.display = 'none'",
        "mark => mark.hidden = true",
        "mark => mark.className = ''",
        "mark => mark.firstElementChild.textContent = 'nobody'",
        "mark => mark.replaceChildren()",
    ):
        marks.first.evaluate(attack)
        page.wait_for_timeout(100)
        expect(marks).to_have_count(screens.count())
        expect(marks.first).to_be_visible()
        assert "nobody" not in marks.first.inner_text()
    # A rule from elsewhere cannot be undone by the page: the pictures go dark, and it says why.
    rule = "s.replaceSync('.watermark {opacity: 0 !important}')"
    page.evaluate(
        "() => { const s = new CSSStyleSheet(); " + rule + "; document.adoptedStyleSheets = [s] }"
    )
    video = page.locator("figure.screen:not([hidden]) video:not([hidden])").first
    expect(video).to_have_css("visibility", "hidden")
    expect(page.get_by_text("The watermark was taken away").first).to_be_visible()
    page.evaluate("() => { document.adoptedStyleSheets = [] }")
    expect(video).to_have_css("visibility", "visible")
    assert video.evaluate("video => video.disablePictureInPicture && !video.controls")
