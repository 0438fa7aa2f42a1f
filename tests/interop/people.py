"""People at real pages: what each would click and read, found by role and name, in English."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from tests.interop.bank import Account, Bank
from tests.interop.camera import Camera, Film

PHONE = (390, 844)
DESKTOP = (1280, 800)
SWITCHES = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",  # answers for camera, microphone and screen alike
]
ASKED = {
    "ID card, portrait side": "card_front",
    "ID card, emblem side": "card_back",
    "Show your face": "face",
}
"What the customer's page asks for, and what to hold up then."
SCREENSHOTS = "VIDEO_BANK_SCREENSHOTS"
CALM = ("Hold still…", "Look straight at the camera")
"What the person of a film, who talks, can do too."
OUT_OF_FOCUS = "video, .thumb img { filter: blur(10px) !important; }"


@contextmanager
def open_chromium(
    playwright: Playwright, path: str, film: Path | None = None, *, fps: int | None = None
) -> Iterator[Browser]:
    """Real Chromium; ``film`` is what it takes for a camera, else a test pattern at ``fps``."""
    camera = "--use-fake-device-for-media-stream"
    switches = [*SWITCHES, f"{camera}=fps={fps}" if fps else camera]
    if film:
        switches.append(f"--use-file-for-fake-video-capture={film}")
    browser = playwright.chromium.launch(executable_path=path, headless=True, args=switches)
    try:
        yield browser
    finally:
        browser.close()


class Person:
    """Somebody at a page of the bank; what goes wrong in the page is remembered."""

    def __init__(self, browser: Browser, bank: Bank, size: tuple[int, int], touch: bool) -> None:
        self.bank = bank
        self.problems: list[str] = []
        "Exceptions in the page and errors on its console."
        context = browser.new_context(
            base_url=bank.url,
            locale="en-US",
            viewport={"width": size[0], "height": size[1]},
            has_touch=touch,
            permissions=["camera", "microphone"],
            bypass_csp=SCREENSHOTS in os.environ,  # the blur is a style of ours
        )
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note_console)

    def _note_console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(f"{message.text} ({message.location.get('url', '')})")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    def picture(self, name: str) -> None:
        """Keep screenshots where VIDEO_BANK_SCREENSHOTS says; else nothing.

        At both sizes, and with people out of focus: their faces are not ours to publish.
        """
        directory = os.environ.get(SCREENSHOTS)
        if directory is None:
            return
        own = self.page.viewport_size
        for suffix, (width, height) in {"phone": PHONE, "desktop": DESKTOP}.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.wait_for_timeout(500)
            path = Path(directory) / f"{name}-{suffix}.jpg"
            self.page.screenshot(path=path, type="jpeg", quality=80, style=OUT_OF_FOCUS)
        if own:
            self.page.set_viewport_size(own)


class Customer(Person):
    """A customer with a phone."""

    def __init__(
        self,
        browser: Browser,
        bank: Bank,
        camera: Camera | None = None,
        films: dict[str, Film] | None = None,
    ) -> None:
        super().__init__(browser, bank, PHONE, touch=True)
        self.asked: list[str] = []
        "Every instruction the page gave, in order, once each in a row."
        self._camera = camera
        self._films = films or {}
        self._shown = ""

    def walk_in(self, name: str, phone: str) -> None:
        page = self.page
        page.goto("/")
        self.picture("customer-home")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Mobile number").fill(phone)
        self.button("Send me the code").click()
        code = page.locator("[data-name=demo-code]")
        expect(code).to_contain_text(re.compile(r"\d{6}"))
        digits = re.search(r"\d{6}", code.inner_text())
        assert digits
        page.get_by_label("Six-digit code").fill(digits.group())
        self.button("Confirm and continue").click()
        page.wait_for_url("**/visit")

    def consent(self, *, face: bool = True) -> None:
        page = self.page
        for subject, yes in (("Recording of the call", True), ("Processing of your face", face)):
            group = page.get_by_role("group", name=subject)
            group.get_by_text("I agree" if yes else "I do not agree", exact=True).click()
        self.picture("customer-consents")
        self.button("Continue").click()

    def join_line(self, business: str) -> None:
        page = self.page
        page.get_by_role("group", name="What would you like to do?").get_by_text(business).click()
        self.picture("customer-business")
        self.button("Continue").click()
        expect(self.button("Join the line")).to_be_enabled()
        expect(page.get_by_text("Working").first).to_be_visible()
        self.picture("customer-devices")
        self.button("Join the line").click()
        expect(page.get_by_role("heading", name="You are in line")).to_be_visible()
        self.picture("customer-waiting")

    def follow(self) -> None:
        """Do what the page asks: hold up a card, show the face.  Call it again and again."""
        guide = self.page.locator("guide-instruction")
        if not guide.is_visible():
            return
        about, words = guide.locator(".about").inner_text(), guide.get_by_role("status")
        said = words.inner_text()
        if said and (not self.asked or self.asked[-1] != said):
            self.asked.append(said)
        wanted = "calm" if about == "Show your face" and said in CALM else ASKED.get(about)
        if self._camera and wanted and wanted != self._shown:
            self._camera.show(self._films[wanted])
            self._shown = wanted
            if wanted == "card_front":
                self.picture("customer-call")


class Staff(Person):
    """Somebody of the bank at a desk."""

    def __init__(self, browser: Browser, bank: Bank, account: Account) -> None:
        super().__init__(browser, bank, DESKTOP, touch=False)
        self.page.goto("/staff/sign-in")
        self.picture("staff-sign-in")
        self.page.get_by_label("User name").fill(account.name)
        self.page.get_by_label("Password", exact=True).fill(account.password)
        self.button("Sign in").click()
        self.page.wait_for_url(lambda url: "sign-in" not in url)
        self.picture("staff-home")


class Teller(Staff):
    """A teller at the console."""

    def be_ready(self) -> None:
        self.page.goto("/teller")
        self.button("I am ready").click()
        expect(self.page.get_by_role("heading", name="Ready for the next customer")).to_be_visible()
        self.picture("teller-ready")

    def accept(self) -> float:
        """Accept who rings; seconds until customer and checks were on the screen."""
        offer = self.page.get_by_role("alertdialog", name="A customer is calling")
        expect(offer).to_be_visible()
        self.picture("teller-offer")
        began = time.monotonic()
        offer.get_by_role("button", name="Accept").click()
        expect(self.check("ID card, portrait side")).to_be_visible()
        return time.monotonic() - began

    def check(self, name: str) -> Locator:
        """The row of a check."""
        rows = self.page.get_by_role("region", name="Checks").get_by_role("listitem")
        return rows.filter(has=self.page.get_by_role("heading", name=name, exact=True))

    def verdict(self, name: str) -> str:
        """Passed, Failed, Not checked, Running, Not started."""
        return self.check(name).locator(".check-head .badge").inner_text().strip()

    def field(self, check: str, name: str) -> str:
        """A field read from a card as the console shows it."""
        return self.check(check).locator(f"dd[data-field={name}] .value").inner_text()

    def decide(self, verdict: str, reason: str) -> None:
        region = self.page.get_by_role("region", name="Decision")
        region.get_by_role("button", name=verdict, exact=True).click()
        region.get_by_label("Reason").fill(reason)
        region.get_by_role("button", name=f"{verdict} now").click()

    def end(self) -> None:
        controls = self.page.get_by_role("toolbar", name="Call controls")
        controls.get_by_role("button", name="End").click()
        self.page.get_by_role("dialog").get_by_role("button", name="End", exact=True).click()
        expect(self.page.get_by_role("heading", name="Wrap-up")).to_be_visible()

    def finish(self) -> None:
        """Close the session and go home."""
        self.button("Finish and take the next").click()
        expect(self.page.get_by_role("heading", name="Ready for the next customer")).to_be_visible()
        self.button("Step away").click()
        expect(self.button("I am ready")).to_be_visible()


class Colleague(Teller):
    """Somebody with a console who is asked in, or takes over."""

    def __init__(self, browser: Browser, bank: Bank, account: Account) -> None:
        super().__init__(browser, bank, account)
        self.name = self.page.locator("meta[name=person]").get_attribute("content") or ""

    def answer(self, title: str) -> None:
        card = self.page.get_by_role("alertdialog", name=re.compile(title))
        card.get_by_role("button", name="Accept").click()
        expect(self.page.get_by_role("toolbar", name="Call controls")).to_be_visible()


class Reviewer(Staff):
    """A reviewer at the list of sessions."""

    def open_newest(self, reason: str) -> None:
        self.page.goto("/review")
        self.picture("review-list")
        self.button(re.compile("^Open the session of")).first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Reason for viewing").fill(reason)
        dialog.get_by_role("button", name="Open", exact=True).click()
        expect(self.button("Back to the list")).to_be_visible()


class Admin(Staff):
    """An administrator at accounts and audit log."""

    def read_log(self) -> str:
        self.page.goto("/admin")
        log = self.page.get_by_role("table").last
        expect(log.get_by_role("row").nth(1)).to_be_visible()
        self.picture("admin")
        return log.inner_text()


def playing(page: Page, selector: str) -> bool:
    """Whether the first visible video of ``selector`` shows moving pictures."""
    videos = page.locator(f"{selector} >> visible=true")
    if videos.count() == 0:
        return False
    state = "v => [v.videoWidth, v.currentTime]"
    width, began = videos.first.evaluate(state)
    page.wait_for_timeout(700)
    return bool(width) and videos.first.evaluate(state)[1] > began


def wait_playing(page: Page, selector: str) -> None:
    eventually(page, lambda: playing(page, selector), 30, f"{selector} plays")


def eventually(page: Page, question: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until ``question`` answers yes; fail with ``what`` when it does not."""
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        page.wait_for_timeout(500)  # rarely: the browsers need the processor
