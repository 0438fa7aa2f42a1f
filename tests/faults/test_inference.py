"""The inference process dies in the middle of a check."""

import os
import signal
from pathlib import Path

import pytest

from tests.faults.people import Branch, entry, kinds, session_row
from tests.interop.bank import Bank


def inference(bank: Bank) -> int:
    """The inference process."""
    pid = bank.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"kyc.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("no inference process")


@pytest.mark.timeout(300)
async def test_killed_in_a_check(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    # Its first look at a picture; loading the models before it takes a busy machine a while.
    await customer.told("guide", 120, session=session, check="id_card_front", mode="card_front")
    os.kill(inference(bank), signal.SIGKILL)
    told = await customer.told("finding", check="id_card_front")
    assert (told["verdict"], told["reason"]) == ("not checked", "inference_unavailable")
    row = await entry(bank, session, "finding", check="id_card_front")
    assert row["data"]["reason"] == "inference_unavailable"
    view = await teller.get(f"/api/sessions/{session}")
    front = next(check for check in view["checks"] if check["check"] == "id_card_front")
    assert front["finding"]["verdict"] == "not checked"
    refusal = await teller.refused(
        f"/api/sessions/{session}/decision", {"verdict": "approved", "reason": "looks fine"}
    )
    assert refusal.code == "policy_not_met"
    await teller.still_sees()
    await customer.still_sees()

    # The process comes back by itself; the next attempt looks at pictures again.
    for check in ("id_card_back", "face_match", "liveness"):
        await teller.post(f"/api/sessions/{session}/checks/{check}/stop")
    customer.heard.clear()
    await teller.post(f"/api/sessions/{session}/checks/id_card_front")
    await customer.told("guide", 120, session=session, check="id_card_front", hint="no_card")
    await teller.post(f"/api/sessions/{session}/checks/id_card_front/stop")
    again = await entry(bank, session, "finding", check="id_card_front", attempt=2)
    assert again["data"]["reason"] == "stopped"
    assert "disconnected" not in kinds(bank, session)
    assert session_row(bank, session)["state"] == "talking"
