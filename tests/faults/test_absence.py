"""Networks that fail in a call: what the others are told, and the way back."""

import asyncio
import time

from tests.faults.people import (
    Branch,
    entry,
    kinds,
    sealed,
    session_row,
    timeline,
    verified,
)
from tests.interop.bank import Bank


async def test_teller_closes_the_laptop_and_comes_back(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    teller.lose_network()
    silence = await customer.told("silence", participant=teller.id)
    assert silence["seconds"] >= 4
    await entry(bank, session, "disconnected", participant=teller.id)
    await teller.come_back()
    desk = await teller.get("/api/teller")
    assert (desk["state"], desk["session"]) == ("talking", session)
    await teller.enter(session)
    await teller.sees()
    back = await entry(bank, session, "reconnected", participant=teller.id)
    assert back["media_time_us"] > 0
    await customer.told("participants")
    await customer.still_sees()
    await teller.post(f"/api/sessions/{session}/decision", {"verdict": "refused", "reason": "no"})
    await teller.post(f"/api/sessions/{session}/end")
    assert await sealed(bank, session) == "ok"


async def test_teller_never_comes_back(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    teller.lose_network()
    await customer.told("silence", participant=teller.id)
    await customer.told("session", id=session, state="wrap_up", reason="teller_lost")
    view = await customer.get(f"/api/sessions/{session}")
    assert view["end_reason"] == "teller_lost"
    assert kinds(bank, session).count("disconnected") == 1
    assert await sealed(bank, session) == "ok"
    status, (part,) = await verified(bank, session)
    assert (status, part["status"]) == (0, "ok")
    # The customer may come again at once, and nobody rings at the empty desk.
    again = await branch.queue(customer)
    assert again != session
    await asyncio.sleep(2)
    assert session_row(bank, again)["state"] == "waiting"
    assert (await customer.get("/api/visit"))["open"] is False
    # Whoever comes back to the desk finds the case open, and can close it.
    await teller.come_back()
    desk = await teller.get("/api/teller")
    assert (desk["state"], desk["session"]) == ("wrap_up", session)
    await teller.post(f"/api/sessions/{session}/close")
    await branch.accept(teller, again)


async def test_some_seconds_without_network(bank: Bank, branch: Branch) -> None:
    """Longer ones are tried with real browsers and firewalls in tests/network."""
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    customer.lose_network()
    gone = time.monotonic()
    await teller.told("silence", participant=customer.id)
    lost = await entry(bank, session, "disconnected", participant=customer.id)
    await asyncio.sleep(max(0.0, 8 - (time.monotonic() - gone)))
    await customer.come_back()
    assert (await customer.get("/api/visit"))["session"]["state"] == "talking"
    teller.heard.clear()
    await customer.enter(session)
    await customer.sees()
    back = await entry(bank, session, "reconnected", participant=customer.id)
    assert back["media_time_us"] - lost["media_time_us"] > 2e6
    await teller.still_sees()
    await customer.post(f"/api/sessions/{session}/leave")
    assert await sealed(bank, session) == "ok"
    status, (part,) = await verified(bank, session)
    assert (status, part["status"], part["part"]) == (0, "ok", 1), "all in one part"
    assert part["last_time_us"] > back["media_time_us"]


async def test_second_page_in_the_call(bank: Bank, branch: Branch) -> None:
    teller = await branch.teller()
    phone = f"137{time.time_ns() // 1000 % 10**8:08}"
    older = await branch.customer("韩梅梅", phone)
    session = await branch.call(teller, older)
    newer = await branch.customer("韩梅梅", phone)
    await older.told("elsewhere")
    await older.told("bye", reason="elsewhere")
    assert (await older.refused(f"/api/sessions/{session}/leave")).status == 401
    assert (await newer.get("/api/visit"))["session"]["id"] == session
    await newer.enter(session)
    await newer.sees()
    assert session_row(bank, session)["state"] == "talking"
    await teller.still_sees()
    assert "ended" not in kinds(bank, session)


async def test_socket_alone_is_lost(bank: Bank, branch: Branch) -> None:
    """Signalling breaks, media flows on: no interruption worth telling anybody."""
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    customer.lose_socket()
    await teller.still_sees()
    await customer.come_back()
    await customer.say(type="join", room=session)
    await customer.told("joined", room=session)
    await teller.still_sees()
    assert [row for row in timeline(bank, session) if row["kind"] == "disconnected"] == []
