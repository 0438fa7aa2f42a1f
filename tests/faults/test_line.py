"""The line under people who are too fast, too slow, or gone."""

import asyncio
import time

from tests.faults.people import Branch, Person, kinds, session_row, until
from tests.interop.bank import Bank
from video_bank.probe.browser import Refused


async def test_two_logins_of_a_teller_accept_at_once(bank: Bank, branch: Branch) -> None:
    first = await branch.teller()
    second = await branch.staff("teller")
    session = await branch.queue(await branch.customer())
    await first.told("offered", session=session)

    async def accept(teller: Person) -> str:
        try:
            await teller.post(f"/api/sessions/{session}/accept")
        except Refused as refusal:
            return refusal.code
        return "accepted"

    answers = await asyncio.gather(*(accept(who) for who in [first, second] * 3))
    assert sorted(answers) == ["accepted"] + ["offer_gone"] * 5
    assert kinds(bank, session).count("accepted") == 1
    status, answer = await second.raw("POST", f"/api/sessions/{session}/accept", b"{}")
    error = answer["error"]
    assert status == 409 and error["code"] == "offer_gone"
    assert "其他柜员" in error["message_zh"] and "quicker" in error["message_en"]


async def test_another_tellers_customer_cannot_be_taken(branch: Branch) -> None:
    first = await branch.teller()
    session = await branch.queue(await branch.customer())
    await first.told("offered", session=session)
    second = await branch.teller("teller-2", state="away")
    refusal = await second.refused(f"/api/sessions/{session}/accept")
    assert (refusal.status, refusal.code) == (409, "offer_gone")
    await first.post(f"/api/sessions/{session}/accept")


async def test_not_answered_goes_to_the_next(bank: Bank, branch: Branch) -> None:
    sleeper = await branch.teller()
    session = await branch.queue(await branch.customer())
    await sleeper.told("offered", session=session)
    awake = await branch.teller("teller-2")
    await sleeper.told("offer_withdrawn", session=session, reason="ring_out")
    await sleeper.told("teller", state="away")
    await awake.told("offered", session=session)
    assert (await sleeper.get("/api/teller"))["state"] == "away"
    refusal = await sleeper.refused(f"/api/sessions/{session}/accept")
    assert refusal.code == "offer_gone"
    await awake.post(f"/api/sessions/{session}/accept")
    assert kinds(bank, session)[4:8] == ["offered", "offer_missed", "offered", "accepted"]


async def test_page_closed_while_it_rings(bank: Bank, branch: Branch) -> None:
    gone = await branch.teller()
    customer = await branch.customer()
    session = await branch.queue(customer)
    await gone.told("offered", session=session)
    gone.lose_socket()
    await branch.teller("teller-2")
    await until(lambda: "offer_missed" in kinds(bank, session))
    await until(lambda: kinds(bank, session).count("offered") == 2)
    assert (await gone.get("/api/teller"))["state"] == "away"
    assert (await customer.get(f"/api/sessions/{session}"))["state"] == "offered"


async def test_customer_leaves_while_it_rings(bank: Bank, branch: Branch) -> None:
    teller = await branch.teller()
    customer = await branch.customer()
    session = await branch.queue(customer)
    await teller.told("offered", session=session)
    await customer.post(f"/api/sessions/{session}/leave")
    await teller.told("offer_withdrawn", session=session, reason="customer_left")
    refusal = await teller.refused(f"/api/sessions/{session}/accept")
    assert refusal.code == "offer_gone"
    assert session_row(bank, session)["state"] == "abandoned"
    assert (await teller.get("/api/teller"))["state"] == "ready"


async def test_second_page_in_the_line(bank: Bank, branch: Branch) -> None:
    phone = f"138{time.time_ns() // 1000 % 10**8:08}"
    older = await branch.customer("李雷", phone)
    session = await branch.queue(older)
    newer = await branch.customer("李雷", phone)
    await older.told("elsewhere")
    await older.told("bye", reason="elsewhere")
    assert (await newer.get("/api/visit"))["session"]["id"] == session
    assert (await newer.get(f"/api/sessions/{session}"))["state"] == "waiting"
    assert await branch.queue(newer) == session
