"""What the connection test says in real Chromium, with all ways open and with UDP blocked."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Playwright, expect

from tests.interop.people import PHONE
from tests.network.browser import machine
from tests.network.land import Land
from tests.network.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def open_site(
    site: Site, country: Land, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A second bank beside the same TURN server, which takes media straight too."""
    directory = tmp_path_factory.mktemp("open")
    with Site(country, directory, beside=site, ice_policy="all") as running:
        yield running


@pytest.fixture(scope="module")
def page(
    playwright: Playwright,
    chromium: str,
    country: Land,
    open_site: Site,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Page]:
    directory = tmp_path_factory.mktemp("visitor")
    with machine(playwright, chromium, country.home, directory) as home:
        yield home.page(open_site.url, PHONE)


def tried(page: Page) -> dict[str, str]:
    """The text for support, by line: the way's name, what was found."""
    page.goto("/connection-test")
    page.locator("connection-test[data-verdict]").wait_for()
    # Hidden in its <details> until support asks for it.
    text = page.locator("connection-test textarea").input_value()
    print(text)
    return dict(line.split(": ", 1) for line in text.splitlines()[1:-1])


def test_all_ways_are_open(page: Page) -> None:
    said = tried(page)
    for way in ("socket", "direct", "udp", "tcp"):
        assert said[way].startswith("works") and said[way].endswith(" ms"), way
    # That certificate is nobody's; Chromium takes it only because it was told to take any.
    assert said["tls"].startswith("works")
    assert said["verdict"] == "good"
    status = page.get_by_role("status").filter(has_text="ready for a video call")
    expect(status).to_be_visible()
    expect(page.get_by_text("Works, ").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_blocked_udp_is_named_with_what_to_change(page: Page, country: Land) -> None:
    country.block(country.home, "meta l4proto udp")
    try:
        said = tried(page)
    finally:
        country.unblock(country.home)
    assert (said["direct"], said["udp"], said["verdict"]) == ("blocked", "blocked", "slow")
    assert said["tcp"].startswith("works") and said["tls"].startswith("works")
    expect(page.get_by_text("this network blocks UDP")).to_be_visible()
    expect(page.get_by_text("Try another network")).to_be_visible()
    page.get_by_text("For support").click()
    expect(page.get_by_text("Open outgoing UDP to turn:")).to_be_visible()
    assert "192.0.2" not in page.locator("connection-test textarea").input_value()
