"""Messages nobody should send, on the socket of a call that goes on regardless."""

import json

import pytest

from tests.faults.people import Branch, kinds, session_row
from tests.interop.bank import Bank

WRONG: list[tuple[str | bytes, str]] = [
    ("", "not_json"),
    ("{", "not_json"),
    ("NaN", "not_json"),
    (b"\xff\xfe\x00", "not_json"),
    ("[]", "not_an_object"),
    ("null", "not_an_object"),
    ('{"type": "dance"}', "unknown_type"),
    ('{"type": ["offer"]}', "unknown_type"),
    ('{"type": "answer", "call": 1, "sdp": ""}', "unknown_type"),
    ('{"type": "offer"}', "bad_field"),
    ('{"type": "offer", "call": "1", "sdp": "v=0"}', "bad_field"),
    ('{"type": "offer", "call": 1e300, "sdp": "v=0"}', "bad_field"),
    ('{"type": "media", "microphone": 1, "camera": 0}', "bad_field"),
    ('{"type": "join", "room": "' + "x" * 200 + '"}', "bad_field"),
    ('{"type": "join", "room": "nobody\'s"}', "call_not_up"),
    ('{"type": "ping", "t": ' + "[" * 9 + "]" * 9 + "}", "too_deep"),
    ('{"type": "ping", "t": 0, "pad": "' + "x" * 70_000 + '"}', "too_large"),
    ('{"type": "offer", "call": 7, "sdp": "hello"}', "bad_offer"),
]


async def test_wrong_messages_leave_the_call_unhurt(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    for text, code in WRONG:
        customer.heard.clear()
        await customer.say(text)
        error = await customer.told("error", code=code)
        assert error["message"] and error["fatal"] is False, text[:60]
    offer = customer.offered
    bare = "".join(line for line in offer.splitlines(True) if "fingerprint" not in line)
    assert bare != offer
    await customer.say(type="offer", call=8, sdp=bare)
    await customer.told("error", code="no_fingerprint")
    await customer.still_sees()
    await teller.still_sees()
    assert session_row(bank, session)["state"] == "talking"
    assert not {"disconnected", "ended"} & set(kinds(bank, session))


@pytest.mark.parametrize("flood", ["huge", "many"])
async def test_a_page_that_goes_too_far_loses_its_socket_only(
    bank: Bank, branch: Branch, flood: str
) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    if flood == "huge":
        await customer.say("x" * 1_000_000)
    else:
        for _ in range(300):
            await customer.say(json.dumps({"type": "ping", "t": 1}))
        await customer.told("error", code="too_many_messages", fatal=True)
    await teller.still_sees()
    await customer.still_sees()
    await customer.come_back()
    await customer.say(type="join", room=session)
    await customer.told("joined", room=session)
    assert session_row(bank, session)["state"] == "talking"
    await customer.post(f"/api/sessions/{session}/chat", {"text": "还在"})
    assert (await teller.told("chat", session=session))["text"] == "还在"
