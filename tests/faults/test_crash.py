"""The server ends under calls: by a power cut, and by an operator."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import SETTINGS
from tests.faults.people import (
    Branch,
    chains_hold,
    forget_seal,
    kinds,
    media_time_us,
    sealed,
    session_row,
    timeline,
    until,
    verified,
)
from tests.interop.bank import Bank

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def bank(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank of its own, to be ended; a ring lasts until the power is cut."""
    settings = SETTINGS | {"ring_s": "60"}
    with Bank(tmp_path_factory.mktemp("bank") / "data", models, **settings) as running:
        yield running


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


async def ended(*processes: int) -> None:
    """Wait until none of these processes runs."""
    await until(lambda: not any(Path(f"/proc/{one}").exists() for one in processes))


async def test_killed_under_a_call(bank: Bank, branch: Branch) -> None:
    teller = await branch.teller()
    talking = await branch.customer("甲")
    call = await branch.call(teller, talking)
    other = await branch.teller("teller-2")
    ringing = await branch.customer("乙")
    offered = await branch.queue(ringing)
    await other.told("offered", session=offered)
    waiting = await branch.customer("丙")
    patient = await branch.queue(waiting)
    assert (await waiting.get(f"/api/sessions/{patient}"))["place"] == 1
    queued = session_row(bank, patient)["queued_at"]
    await asyncio.sleep(2)
    worker = children(bank.process.pid)
    cut_us = media_time_us(await talking.get(f"/api/sessions/{call}"))
    bank.kill()
    await ended(*worker)
    begun = time.monotonic()
    await asyncio.to_thread(bank.__enter__)
    print(f"serving again after {time.monotonic() - begun:.1f} s")

    row = session_row(bank, call)
    assert (row["state"], row["end_reason"]) == ("interrupted", "interrupted")
    assert row["seal"] == "closed by recovery"
    assert kinds(bank, call)[-2:] == ["recovered", "sealed"]
    status, (part,) = await verified(bank, call)
    assert (status, part["status"]) == (1, "closed by recovery")
    print("last signed second:", part["last_time_us"], "of", cut_us)
    assert part["last_time_us"] > cut_us - 1_500_000

    # Who waited still waits, and the one who rang is before them, with the login they had.
    assert session_row(bank, patient)["queued_at"] == queued
    for customer, session, place in ((ringing, offered, 1), (waiting, patient, 2)):
        await customer.come_back()
        view = (await customer.get("/api/visit"))["session"]
        assert (view["id"], view["state"], view["place"]) == (session, "waiting", place)
    assert kinds(bank, offered)[-2:] == ["offered", "offer_withdrawn"]
    # The one who was cut off is told so and may come again.
    await talking.come_back()
    view = (await talking.get("/api/visit"))["session"]
    assert (view["state"], view["end_reason"]) == ("interrupted", "interrupted")
    refusal = await talking.refused(f"/api/sessions/{call}/leave")
    assert (refusal.status, refusal.code) == (409, "not_now")
    assert await branch.queue(talking) not in (call, offered, patient)
    # Rows and recording of before and after belong together.
    assert chains_hold(bank)
    again = await branch.teller("teller-2")
    await branch.accept(again, offered)


async def test_killed_while_it_seals(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    path = f"/api/sessions/{session}"
    await teller.post(f"{path}/decision", {"verdict": "refused", "reason": "for the test"})
    await teller.post(f"{path}/end")
    await teller.post(f"{path}/close")
    bank.kill()
    early = session_row(bank, session)
    await asyncio.to_thread(bank.__enter__)
    row = session_row(bank, session)
    print("seal before and after:", early["seal"], row["seal"])
    assert (row["state"], row["decision"]) == ("closed", "refused")
    assert row["seal"] in ("ok", "closed by recovery")
    _, (part,) = await verified(bank, session)
    assert part["status"] == row["seal"]
    assert timeline(bank, session)[-1]["kind"] == "sealed"


async def test_killed_between_part_and_session(bank: Bank, branch: Branch) -> None:
    """The part is finished, the session does not know yet: two transactions, a moment apart."""
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    await customer.post(f"/api/sessions/{session}/leave")
    await sealed(bank, session)
    bank.kill()
    forget_seal(bank, session)
    await asyncio.to_thread(bank.__enter__)
    row = session_row(bank, session)
    assert (row["state"], row["seal"]) == ("closed", "ok")


async def test_stopped_under_a_call(bank: Bank, branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    customer.heard.clear()
    worker = children(bank.process.pid)
    begun = time.monotonic()
    bank.process.send_signal(signal.SIGTERM)
    await customer.told("session", id=session, state="wrap_up", reason="server_stopping")
    await customer.told("bye", reason="server_stopping")
    assert await asyncio.to_thread(bank.process.wait, 30) == 0
    print(f"stopped after {time.monotonic() - begun:.1f} s")
    await ended(*worker)
    row = session_row(bank, session)
    assert (row["state"], row["end_reason"], row["seal"]) == ("wrap_up", "server_stopping", "ok")
    assert "ended" in kinds(bank, session) and kinds(bank, session)[-1] == "sealed"
    status, (part,) = await verified(bank, session)
    assert (status, part["status"], part["reason"]) == (0, "ok", "stopped")
    assert "Traceback" not in bank.log
    assert "Task was destroyed" not in bank.log
    await asyncio.to_thread(bank.__enter__)
    assert session_row(bank, session)["state"] == "closed"
    assert os.listdir(bank.data / "recordings" / session) == ["001.vbr"]
