"""The retention page in real Chromium: what a night would do, a hold, an erasure by two people."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, expect, sync_playwright

from tests.interop.bank import Account, Bank
from tests.interop.people import Reviewer, eventually, open_chromium
from tests.video_bank.cinema import Reel, cinema, clip
from tests.video_bank.conftest import PASSWORD
from video_bank.permissions import Role

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


async def record(data: Path) -> str:
    """A session of two seconds, two reviewers; the session's number."""
    async with cinema(data) as made:
        staff = await made.staff("wang", Role.TELLER)
        for name in ("li", "zhao"):
            await made.staff(name, Role.REVIEWER)
        session = await made.session(staff, 5)
        await made.part(session, [Reel("customer", clip(64, 48, 2.0), seconds=2.0)])
        return session


@pytest.fixture
def session(tmp_path: Path) -> str:
    return asyncio.run(record(tmp_path / "data"))


@pytest.fixture
def house(session: str, tmp_path: Path) -> Iterator[Bank]:
    policy = {"early_erasure": "true", "erasure_approval": "second_person"}
    (tmp_path / "none").mkdir()
    with Bank(tmp_path / "data", tmp_path / "none", **policy) as running:
        yield running


@pytest.fixture
def playwright(house: Bank) -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


def test_a_hold_and_an_erasure_by_two(
    playwright: Playwright, chromium: str, house: Bank, session: str, tmp_path: Path
) -> None:
    with open_chromium(playwright, chromium) as browser:
        first = Reviewer(browser, house, Account("li", PASSWORD))
        page = first.page
        page.goto("/retention")
        facts = page.get_by_role("list").filter(has_text="sessions to be erased")
        expect(facts).to_contain_text(re.compile(r"0\s*sessions to be erased"))
        expect(facts).to_contain_text(re.compile(r"0\s*customers never recorded"))
        expect(page.get_by_role("status").first).to_contain_text("run")
        expect(page.get_by_role("heading", name="Periods and their sources")).to_be_visible()
        deciding = page.get_by_role("region", name="Periods and their sources")
        expect(deciding).to_contain_text("years")
        row = page.get_by_role("row").filter(has_text=session)
        expect(row).to_contain_text("Not yet due")
        first.picture("retention")

        # A legal hold takes the way to erase away, and lifting it gives it back.
        first.button(f"Hold {session}").click()
        page.get_by_label("Reason", exact=True).fill("court 12/2026")
        page.get_by_label("Reason", exact=True).press("Enter")
        expect(first.button(f"Erase now {session}")).to_have_count(0)
        first.picture("retention-held")
        first.button(f"Lift the hold {session}").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox").fill("settled")
        dialog.get_by_role("button", name="Lift the hold").click()

        def erase(person: Reviewer, reason: str) -> None:
            person.button(f"Erase now {session}").click()
            asked = person.page.get_by_role("dialog")
            asked.locator("input[name=number]").fill(session[-6:])
            asked.locator("textarea").fill(reason)
            person.picture("retention-erase")
            asked.get_by_role("button", name="Erase now").click()

        erase(first, "asked by its customer")
        expect(row).to_contain_text("li asked to erase it")
        expect(first.button(f"Erase now {session}")).to_have_count(0)
        second = Reviewer(browser, house, Account("zhao", PASSWORD))
        second.page.goto("/retention")
        expect(second.page.get_by_role("row").filter(has_text=session)).to_contain_text("li asked")
        second.picture("retention-asked")
        erase(second, "seen and agreed")
        made = second.page.get_by_role("link", name=re.compile("^Certificate"))
        expect(made).to_have_count(1)
        second.picture("retention-erased")
        with second.page.expect_download() as got:
            made.click()
        text = Path(got.value.path()).read_text()
        assert session in text and "seen and agreed (asked for by" in text
        parts = list((tmp_path / "data" / "recordings").rglob("*.vbr"))
        eventually(second.page, lambda: not [each for each in parts if each.exists()], 5, "no file")
        assert first.problems == second.problems == []
