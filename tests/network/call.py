"""A call in which two browsers in two networks see each other, watched from the pages' inside."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import Page, Playwright

from tests.interop.bank import Bank
from tests.interop.camera import Camera
from tests.interop.people import Customer, Teller
from tests.network.browser import Machine, machine
from tests.network.land import Land
from tests.network.site import Site

WATCH = Path(__file__).with_name("watch.js")
PATIENCE_S = 30.0
LOOK_MS = 50


def now_ms() -> float:
    """What ``Date.now()`` says in the pages, which run on this machine."""
    return time.time() * 1000


def first(page: Page, what: str, since: float) -> float:
    """Seconds from ``since`` until there was ``picture``, ``sound``, or a word: ``told``."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        at: float | None = page.evaluate("([what, at]) => firstSeen(what, at)", [what, since])
        if at is not None:
            return (at - since) / 1000
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_S:g} s"
        page.wait_for_timeout(LOOK_MS)


@dataclass
class Conversation:
    """The call, with both pages."""

    site: Site
    customer: Customer
    open_browser: Callable[[str], Machine]
    "In a namespace, for as long as the call lasts."
    desk: Machine = field(init=False)
    teller: Teller = field(init=False)

    def back(self, what: str, since: float) -> float:
        """Seconds until both sides have picture and sound after ``since``; the slowest counts."""
        sides = {"customer": self.customer.page, "teller": self.teller.page}
        took = {
            f"{name}'s {sense}": first(page, sense, since)
            for name, page in sides.items()
            for sense in ("picture", "sound")
        }
        print(f"{what}:", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
        return max(took.values())

    def view(self) -> dict[str, Any]:
        """The session as the teller's page gets it."""
        script = """async () => {
            const { session } = await (await fetch("/api/teller")).json()
            return await (await fetch(`/api/sessions/${session}`)).json()
        }"""
        seen: dict[str, Any] = self.teller.page.evaluate(script)
        return seen

    def seat_teller(self, place: str) -> None:
        """The teller signs in with a browser just opened, and has the console next."""
        self.desk = self.open_browser(place)
        self.teller = Teller(self.desk.browser, cast(Bank, self.site), self.site.accounts["teller"])
        self.teller.page.add_init_script(path=WATCH)


@contextmanager
def conversation(
    playwright: Playwright, chromium: str, country: Land, site: Site, directory: Path
) -> Iterator[Conversation]:
    """From two closed browsers to both seeing each other."""
    with ExitStack() as stack:

        def open_browser(place: str) -> Machine:
            return stack.enter_context(machine(playwright, chromium, place, directory))

        home = open_browser(country.home)
        customer = Customer(home.browser, cast(Bank, site), cast(Camera, None), {})
        customer.page.add_init_script(path=WATCH)
        call = Conversation(site, customer, open_browser)
        call.seat_teller(country.desk)
        try:
            call.teller.be_ready()
        except AssertionError:  # two browsers starting at once: its microphone came too late
            call.teller.be_ready()
        customer.page.goto(site.invitation)
        customer.page.locator("[data-name=accept]").click()
        customer.page.wait_for_url("**/visit")
        customer.consent()
        customer.join_line("Identity verification")
        began = now_ms()
        call.teller.accept()
        call.back("from accept", began)
        yield call
