"""One land, one bank and one TURN server for all tests here."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Playwright, sync_playwright

from tests.network.land import Land, land
from tests.network.site import Site


@pytest.fixture(scope="session")
def country() -> Iterator[Land]:
    """The namespaces; skips aloud where there can be none."""
    with land() as made:
        yield made


@pytest.fixture(scope="session")
def site(country: Land, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bank whose media goes through coturn only."""
    with Site(country, tmp_path_factory.mktemp("site"), ice_policy="relay") as running:
        yield running


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Ends with its file: while it lives no test with an event loop of its own can run."""
    with sync_playwright() as running:
        yield running
