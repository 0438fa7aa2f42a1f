"""The disk of the recordings is full."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import SETTINGS, small_disk
from tests.faults.people import (
    Branch,
    entry,
    kinds,
    rows,
    sealed,
    session_row,
    timeline,
    until,
    verified,
)
from tests.interop.bank import Bank

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory whose recordings lie on a disk of 24 MB."""
    data = tmp_path_factory.mktemp("bank") / "data"
    place = data / "recordings"
    place.mkdir(parents=True)
    with small_disk(place):
        yield place


@pytest.fixture(scope="module")
def bank(disk: Path, no_models: Path) -> Iterator[Bank]:
    """A bank of its own on that disk."""
    with Bank(disk.parent, no_models, **SETTINGS) as running:
        yield running


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Nothing fits on the disk any more."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                os.write(file.fileno(), bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    yield
    ballast.unlink()


async def test_full_in_a_call(bank: Bank, branch: Branch, disk: Path) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    path = f"/api/sessions/{session}"
    assert (await customer.get(path))["recording"] is True
    await until(lambda: (disk / session / "001.vbr").stat().st_size > 50_000)
    approval = {"verdict": "approved", "reason": "fine"}
    with full(disk):
        for person in (teller, customer):
            alarm = await person.told("alarm", code="recording_failed")
            assert alarm["session"] == session
        failed = await entry(bank, session, "recording_failed")
        # The call goes on, and its page no longer claims a recording.
        await teller.still_sees()
        await customer.still_sees()
        assert (await customer.get(path))["recording"] is False
        assert (await teller.get(path))["recording_up"] is False
        refusal = await teller.refused(f"{path}/decision", approval)
        assert (refusal.status, refusal.code) == (409, "recording_failed")
        await customer.post(f"{path}/chat", {"text": "怎么了？"})
        assert session_row(bank, session)["state"] == "talking"

        # Another call cannot begin: the customer keeps the place, the teller is told why.
        other = await branch.teller("teller-2")
        second = await branch.customer("李四")
        waiting = await branch.queue(second)
        await other.told("offered", session=waiting)
        refusal = await other.refused(f"/api/sessions/{waiting}/accept")
        assert (refusal.status, refusal.code) == (409, "recording_unavailable")
        assert "录像" in (await other.raw("POST", f"/api/sessions/{waiting}/accept", b"{}"))[1][
            "error"
        ]["message_zh"]
        assert session_row(bank, waiting)["state"] == "offered"

        await teller.post(f"{path}/end")
        assert await sealed(bank, session) == "incomplete"
    refusal = await teller.refused(f"{path}/decision", approval)
    assert refusal.code == "recording_failed", "after the call as well"
    await teller.post(f"{path}/decision", {"verdict": "refused", "reason": "no recording"})
    await teller.post(f"{path}/close")
    # What was written up to the failure is whole, signed, and says how it ended.
    status, (part,) = await verified(bank, session)
    assert (status, part["status"], part["reason"]) == (0, "ok", "writing_failed")
    assert 1_000_000 < part["last_time_us"] <= failed["media_time_us"]
    reviewer = await branch.staff("reviewer")
    seal = await reviewer.post(f"/api/reviews/{session}/verify")
    assert seal["verdict"] == "incomplete"
    assert kinds(bank, session).count("recording_failed") == 1


async def test_room_again(bank: Bank, branch: Branch, disk: Path) -> None:
    """Once there is room the next call is recorded as ever; of failed starts nothing is left."""
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    await customer.post(f"/api/sessions/{session}/leave")
    assert await sealed(bank, session) == "ok"
    status, (part,) = await verified(bank, session)
    assert (status, part["reason"]) == (0, "finished")
    assert timeline(bank, session)[-1]["kind"] == "sealed"
    assert rows(bank, "SELECT id FROM parts WHERE sealed_at IS NULL") == []
    files = [file for file in disk.rglob("*") if file.is_file()]
    assert len(files) == len(rows(bank, "SELECT id FROM parts"))
