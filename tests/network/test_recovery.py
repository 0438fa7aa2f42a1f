"""One call through a relay, and what can befall it: the network, the page, the whole browser."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Playwright

from tests.network.call import Conversation, conversation, first, now_ms
from tests.network.land import TURN, Land
from tests.network.site import ROOT, Site

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]

TOLD_S = 5.0
BACK_S = 3.0
MOVES = int(os.environ.get("VIDEO_BANK_MOVES", "2"))
OPENED_S = 5.0
"A browser that was just started needs its time for the page, camera and microphone."
OUTAGE_S = 20.0


@pytest.fixture(scope="module")
def call(
    playwright: Playwright,
    chromium: str,
    country: Land,
    site: Site,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Conversation]:
    directory = tmp_path_factory.mktemp("call")
    with conversation(playwright, chromium, country, site, directory) as running:
        yield running


@pytest.fixture(autouse=True)
def same_session(call: Conversation) -> Iterator[None]:
    """Whatever happens: the same session, and each person in it once."""
    before = call.view()["id"]
    yield
    view = call.view()
    assert view["id"] == before and view["state"] == "talking"
    assert sorted(each["role"] for each in view["people"]) == ["customer", "teller"]


def test_media_goes_through_the_relay_and_no_other_way(call: Conversation) -> None:
    for page in (call.customer.page, call.teller.page):
        way = page.evaluate("wayOut()")
        assert (way["candidateType"], way["address"]) == ("relay", TURN)


def test_twenty_seconds_without_network(call: Conversation, country: Land) -> None:
    """Wi-Fi that is there and passes nothing: the browser is not told, packets just vanish."""
    began = now_ms()
    country.block(country.home)
    try:
        told = [first(page, "told", began) for page in (call.customer.page, call.teller.page)]
        print("told:", ", ".join(f"{seconds:.2f} s" for seconds in told))
        assert max(told) <= TOLD_S
        call.teller.page.wait_for_timeout(max(0.0, OUTAGE_S * 1000 - (now_ms() - began)))
    finally:
        country.unblock(country.home)
    assert call.back(f"after {OUTAGE_S:g} s without network", now_ms()) <= BACK_S


def test_from_wifi_to_mobile(call: Conversation, country: Land) -> None:
    """The old address goes away, another one comes: there, and back again."""
    for move in range(MOVES):
        made = call.customer.page.evaluate("wayOut()")["made"]
        began = now_ms()
        (country.back_to_wifi if move % 2 else country.leave_wifi)()
        # Until a moment later pictures may still arrive that were on the way.
        took = call.back("on Wi-Fi" if move % 2 else "on mobile data", began + 300) + 0.3
        assert took <= BACK_S
        assert call.customer.page.evaluate("wayOut()")["made"] == made + 1


@pytest.mark.parametrize("side", ["customer", "teller"])
def test_a_page_is_reloaded(call: Conversation, side: str) -> None:
    page = (call.customer if side == "customer" else call.teller).page
    began = now_ms()
    page.reload(wait_until="commit")
    assert call.back(f"the {side}'s page reloaded", began + 100) <= BACK_S


def test_the_tellers_browser_crashes(call: Conversation, country: Land) -> None:
    began = now_ms()
    call.desk.kill()
    assert first(call.customer.page, "told", began) <= TOLD_S
    crashed = time.monotonic()
    call.seat_teller(country.desk)
    began = now_ms()
    call.teller.page.goto("/teller", wait_until="commit")
    took = call.back("a new browser at the desk", began)
    print(f"{time.monotonic() - crashed:.1f} s from the crash, signing in included")
    assert took <= OPENED_S


@pytest.fixture(scope="module", autouse=True)
def one_part_that_verifies(call: Conversation, site: Site) -> Iterator[None]:
    """After all of it the recording is one part, unbroken."""
    yield
    call.teller.end()
    parts = list((site.data / "recordings").rglob("*.vbr"))
    assert len(parts) == 1
    verify = [sys.executable, "-m", "recordings", "verify", str(parts[0]), "--json"]
    verify += ["--trust", str(next(site.data.rglob("trust.pem")))]
    deadline = time.monotonic() + 10
    while True:  # it is sealed while the teller wraps up
        answer = subprocess.run(verify, cwd=ROOT, capture_output=True, text=True, timeout=60)
        if answer.returncode == 0:
            break
        assert time.monotonic() < deadline, answer.stdout + answer.stderr
        time.sleep(0.3)
    (part,) = json.loads(answer.stdout)["parts"]
    assert part["status"] == "ok"
