"""Several people in one call, in real Chromium: invited, sharing, supervised, passed on."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Playwright, expect, sync_playwright

from tests.interop.bank import Bank
from tests.interop.people import (
    Colleague,
    Customer,
    Person,
    Staff,
    Teller,
    eventually,
    open_chromium,
    playing,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

FPS = 4
"Of every camera: five pages of real video share the processor with the server and its models."
PATIENCE_MS = 20_000
"For what takes one second on a machine that does nothing else."
COUNT_CONNECTIONS = """
const Real = RTCPeerConnection
window.connections = 0
window.RTCPeerConnection = class extends Real {
  constructor(...given) { super(...given); window.connections += 1 }
}
"""
TELLER = 'video[aria-label="The teller\'s picture"]'


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as running:
        yield running
    expect.set_options(timeout=None)


class Supervisor(Staff):
    """Somebody at the wall."""

    def listen(self, reason: str) -> None:
        self.page.goto("/supervise")
        self.button(re.compile("^Listen: ")).click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Reason").fill(reason)
        dialog.get_by_role("button", name="Continue").click()
        expect(self.heard()).to_contain_text("Nobody hears or sees you.")

    def whisper(self) -> None:
        ways = self.page.get_by_role("group", name="How I take part")
        ways.get_by_role("button", name="Whisper").click()
        expect(self.heard()).to_contain_text("The customer and everybody else do not.")

    def heard(self) -> Locator:
        return self.page.locator("[data-name=heard]")


def shown(person: Person, selector: str, what: str) -> None:
    """A moving picture, wherever on the page: a small tile may lie below something else."""
    eventually(person.page, lambda: playing(person.page, selector), 40, what)


def meet(customer: Customer, teller: Teller) -> None:
    customer.walk_in("冯伟超", "13800138000")
    customer.consent()
    customer.join_line("Identity verification")
    teller.accept()
    shown(customer, TELLER, "the teller at the customer's")


def test_many(playwright: Playwright, bank: Bank, chromium: str) -> None:
    with open_chromium(playwright, chromium, fps=FPS) as browser:
        customer = Customer(browser, bank)
        customer.page.add_init_script(COUNT_CONNECTIONS)
        teller = Colleague(browser, bank, bank.staff["demo-teller"])
        teller.be_ready()
        meet(customer, teller)

        # 1. An expert is asked in, and has no decision to make.
        expert = Colleague(browser, bank, bank.accounts["expert"])
        expert.page.goto("/teller")
        expect(expert.page.get_by_role("heading", name="not taking customers")).to_be_visible()
        teller.page.keyboard.press("i")
        teller.button(f"Invite {expert.name}").click()
        expert.answer("asks you into a call")
        expect(expert.button("Step out")).to_be_visible()
        expect(expert.page.get_by_role("region", name="Decision")).to_be_hidden()
        shown(teller, f'video[aria-label="{expert.name}\'s picture"]', "the expert at the teller's")

        # 2. The teller's screen is large at the customer's, its people are tiles.
        teller.page.keyboard.press("p")
        expect(teller.page.get_by_text("You are sharing your screen")).to_be_visible()
        shown(customer, f'video[aria-label="{teller.name}\'s screen"]', "the screen")
        expect(customer.page.locator("screen-tile")).to_have_attribute("data-place", "large")
        expect(customer.page.get_by_role("group", name=f"{expert.name} · Expert")).to_be_visible()
        teller.picture("teller-many")
        customer.picture("customer-screen")
        teller.page.keyboard.press("p")
        expect(customer.page.locator("screen-tile")).to_have_count(0)

        # 3. A supervisor listens, which is told, and whispers to the teller alone.
        supervisor = Supervisor(browser, bank, bank.accounts["supervisor"])
        supervisor.listen("Coaching of the week")
        expect(customer.page.locator("call-news")).to_contain_text("is listening to improve")
        shown(supervisor, 'video[aria-label="Customer\'s picture"]', "the customer at the wall")
        supervisor.whisper()
        supervisor.picture("supervise-whisper")
        told = teller.page.get_by_role("status").filter(has_text="whispers to you")
        expect(told).to_be_visible()
        expect(customer.page.locator("call-news")).to_contain_text("may advise the teller")
        assert customer.page.locator("person-tile").count() == 2, "the teller's and the expert's"

        # 4. Another teller takes over: one call for the customer, on the same connection.
        before = customer.page.evaluate("connections")
        second = Colleague(browser, bank, bank.staff["demo-teller-2"])
        second.be_ready()
        pass_on(teller, second, "The card is read")
        expect(customer.page.locator("call-news")).to_contain_text(f"{second.name} serves you")
        expect(customer.page.locator(".teller-name")).to_have_text(second.name)
        shown(customer, TELLER, "the second teller at the customer's")
        assert customer.page.evaluate("connections") == before
        expect(teller.page.get_by_role("heading", name="Ready for the next")).to_be_visible()

        # 5. It ends for everybody.
        second.end()
        expect(expert.page.get_by_role("heading", name="not taking customers")).to_be_visible()
        expect(supervisor.page.get_by_text("There is no call just now.")).to_be_visible()
        for person in (customer, teller, expert, supervisor, second):
            assert person.problems == [], type(person).__name__


def pass_on(teller: Teller, to: Colleague, note: str) -> None:
    teller.page.keyboard.press("t")
    dialog = teller.page.get_by_role("dialog", name="Pass to a colleague")
    dialog.get_by_text(to.name, exact=True).click()
    dialog.get_by_role("textbox", name="Note").fill(note)
    dialog.get_by_role("button", name="Ring").click()
    expect(teller.button("Cancel the transfer")).to_be_visible()
    expect(to.page.get_by_role("alertdialog")).to_contain_text(note)
    to.answer("passes a customer to you")
