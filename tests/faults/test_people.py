"""Colleagues, guests, supervisors and transfers with the real server, when things go wrong."""

import asyncio

from tests.faults.people import (
    Branch,
    Person,
    entry,
    rows,
    sealed,
    session_row,
    timeline,
    until,
    verified,
)
from tests.interop.bank import Bank
from video_bank.probe.browser import Json, Refused


async def code_of(person: Person, path: str, body: Json | None = None) -> str:
    """The refusal's code, or `ok`."""
    try:
        await person.post(path, body)
    except Refused as refusal:
        return refusal.code
    return "ok"


async def test_the_former_tellers_page_dies_while_it_rings(bank: Bank, branch: Branch) -> None:
    first, customer = await branch.teller(), await branch.customer()
    session = await branch.call(first, customer)
    second, s = await branch.teller("teller-2"), f"/api/sessions/{session}"
    await first.post(f"{s}/transfer", {"to": None, "note": "两位借款人"})
    offer = await second.told("offered", session=session)
    assert offer["transfer"] == {"from": "演示柜员", "note": "两位借款人"}
    assert (await first.get(s))["transfer"]["to"] == "演示柜员二"
    first.lose_network()
    answers = await asyncio.gather(*(code_of(second, f"{s}/accept") for _ in range(3)))
    assert sorted(answers) == ["offer_gone", "offer_gone", "ok"]
    await second.enter(session)
    await asyncio.gather(second.sees(), customer.still_sees())
    await customer.told("session", id=session, reason="transferred")
    assert (await customer.get(s))["teller"]["name"] == "演示柜员二"
    assert (await entry(bank, session, "transferred", to=second.id))["media_time_us"] > 0
    # Whoever comes back finds the desk empty and the room closed.
    await first.come_back()
    desk = await first.get("/api/teller")
    assert desk["session"] is None and desk["state"] in ("ready", "away")
    assert await code_of(first, f"{s}/end") == "unknown_session"
    await first.say(type="join", room=session)
    assert (await first.told("error"))["code"] == "call_not_up"
    await second.post(f"{s}/decision", {"verdict": "referred", "reason": "later"})
    await second.post(f"{s}/end")
    assert await sealed(bank, session) == "ok"
    _, (part,) = await verified(bank, session)
    assert (part["status"], part["part"]) == ("ok", 1), "one recording over the transfer"


async def test_the_customer_hangs_up_while_it_rings(bank: Bank, branch: Branch) -> None:
    first, customer = await branch.teller(), await branch.customer()
    session = await branch.call(first, customer)
    second, s = await branch.teller("teller-2"), f"/api/sessions/{session}"
    await first.post(f"{s}/transfer", {"to": second.id})
    await second.told("offered", session=session)
    _, answer = await asyncio.gather(
        customer.post(f"{s}/leave"), code_of(second, f"{s}/accept")
    )
    owner, other = (second, first) if answer == "ok" else (first, second)
    assert answer in ("ok", "offer_gone")
    row = session_row(bank, session)
    assert (row["state"], row["teller_id"], row["transfer_to"]) == ("wrap_up", owner.id, None)
    assert (await owner.get("/api/teller"))["session"] == session
    assert (await other.get("/api/teller"))["state"] == "ready"
    assert await sealed(bank, session) == "ok"


async def test_a_guest_by_link(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    s = f"/api/sessions/{session}"
    link = await teller.post(f"{s}/guests", {"name": "赵六", "phone": "13800001111"})
    guest, thief = await branch.browser("guest"), await branch.browser("thief")
    token = {"token": link["url"].rpartition("/")[2]}
    who = [guest, thief]
    answers = await asyncio.gather(
        *(code_of(each, "/api/invitations/accept", token) for each in who)
    )
    assert sorted(answers) == ["invitation_used", "ok"]
    guest, thief = who if answers[0] == "ok" else who[::-1]
    visit = await guest.get("/api/visit")
    assert visit["invited"] == {
        "session": session, "business": "identification", "by": "演示柜员",
    }  # fmt: skip
    assert await code_of(guest, f"{s}/chat", {"text": "not yet"}) == "unknown_session"
    consent = {
        "consent_recording": True,
        "consent_face": False,
        "consent_version": visit["consents"]["version"],
    }
    refused = consent | {"consent_recording": False}
    assert await code_of(guest, f"{s}/join", refused) == "recording_needed"
    await guest.post(f"{s}/join", consent)
    await guest.open_socket()
    await guest.enter(session)
    await guest.sees()
    view = await guest.get(s)
    assert view["you"]["role"] == "co_customer" and view["checks"] == []
    assert {each["role"] for each in view["people"]} == {"customer", "teller", "co_customer"}
    assert (await guest.get("/api/visit"))["session"]["id"] == session
    await teller.told("people", session=session)
    # On hold the customers are apart from the teller, not from the bank's recording.
    await teller.post(f"{s}/hold", {"on": True})
    await guest.told("hold", on=True)
    await teller.post(f"{s}/hold", {"on": False})
    await guest.still_sees()
    await teller.post(f"{s}/participants/{guest.id}/remove")
    await guest.told("session", id=session, state="removed")
    await guest.say(type="join", room=session)
    assert (await guest.told("error"))["code"] == "call_not_up"
    assert await code_of(guest, f"{s}/chat", {"text": "still here?"}) == "unknown_session"
    assert await code_of(guest, f"{s}/join", consent) == "unknown_session"
    await customer.still_sees()
    agreed = rows(bank, "SELECT subject, granted FROM consents WHERE customer_id = ?", guest.id)
    assert {(each["subject"], each["granted"]) for each in agreed} == {
        ("recording", 1), ("face", 0),
    }  # fmt: skip
    await customer.post(f"{s}/leave")
    assert await sealed(bank, session) == "ok"
    labels = await stream_labels(bank, branch, session)
    assert labels == ["customer", "teller", "co_customer"]


async def stream_labels(bank: Bank, branch: Branch, session: str) -> list[str]:
    """What the reviewer finds in the recording."""
    reviewer = await branch.staff("reviewer")
    viewing = await reviewer.post(f"/api/reviews/{session}/viewings", {"reason": "a test"})
    assert viewing["quality"] == [] or viewing["quality"][0]["points"]
    return [each["label"] for each in viewing["streams"]]


async def test_a_colleague_and_a_supervisor(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    s = f"/api/sessions/{session}"
    expert = await branch.teller("expert", state="away")
    boss = await branch.staff("supervisor")
    await boss.open_socket()
    listed = await teller.raw("GET", "/api/colleagues", b"")
    names = {each["name"] for each in listed[1]["list"]}
    assert {"演示专家", "演示主管"} <= names and "演示柜员" not in names
    assert await code_of(expert, f"{s}/join") == "unknown_session"
    await teller.post(f"{s}/invite", {"staff": expert.id})
    invited = await expert.told("invited", session=session)
    assert invited["role"] == "expert"
    assert [each["session"] for each in (await expert.get("/api/teller"))["invited"]] == [session]
    await expert.post(f"{s}/join")
    await expert.enter(session)
    await expert.sees()
    assert (await expert.get("/api/teller"))["session"] == session
    assert (await expert.get(s))["you"]["role"] == "expert"
    assert await code_of(expert, f"{s}/end") == "unknown_session"
    assert await code_of(teller, f"{s}/leave") == "teller_cannot_leave"

    assert await code_of(boss, f"{s}/supervise", {"mode": "listening"}) == "text_length"
    await boss.post(f"{s}/supervise", {"mode": "listening", "reason": "a complaint"})
    assert "supervisor" in {each["role"] for each in (await teller.get(s))["people"]}
    assert await code_of(boss, f"{s}/chat", {"text": "psst"}) == "not_allowed"
    await boss.enter(session)
    await boss.sees()
    floor = await boss.get("/api/supervision")
    (one,) = floor["sessions"]
    assert floor["policy"] == "announced" and floor["media_path"] in ("fast", "parsed")
    assert one["id"] == session and one["customer"] == "王**" and len(one["people"]) == 4
    await boss.told("supervision")
    await until(lambda: "supervisor" in last_roster(customer))
    assert [(await each.raw("GET", f"{s}/quality", b""))[0] for each in (boss, customer)] == [
        200, 403,
    ]  # fmt: skip
    await boss.post(f"{s}/supervise", {"mode": "off"})
    await boss.told("session", id=session, state="stepped_out")
    await expert.post(f"{s}/leave")
    await until(lambda: last_roster(customer) == {"customer", "teller"})
    await customer.still_sees()
    assert (await expert.get("/api/teller"))["state"] == "away"
    said = [row["data"]["mode"] for row in timeline(bank, session) if row["kind"] == "supervised"]
    assert said == ["listening", "off"]
    await customer.post(f"{s}/leave")
    assert await sealed(bank, session) == "ok"
    labels = await stream_labels(bank, branch, session)
    assert sorted(labels) == ["customer", "expert", "supervisor", "teller"]


def last_roster(person: Person) -> set[str]:
    """The roles in the last participants message."""
    rosters = [message for message in person.heard if message["type"] == "participants"]
    return {each["role"] for each in rosters[-1]["participants"]} if rosters else set()
