"""The log of seals of a server that is killed under a call."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import SETTINGS
from tests.faults.people import Branch, chains_hold, rows, until
from tests.interop.bank import Bank
from video_bank.running import NOTE_S

pytestmark = pytest.mark.timeout(180)

NOTES = "SELECT data FROM timeline WHERE chain LIKE 'running:%' ORDER BY seq"
LEAVES = "SELECT * FROM leaves ORDER BY position"


@pytest.fixture(scope="module")
def bank(no_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank of its own, to be killed."""
    with Bank(tmp_path_factory.mktemp("seals") / "data", no_models, **SETTINGS) as running:
        yield running


async def test_what_was_noted_before_the_kill_is_held_against_the_file(
    bank: Bank, branch: Branch
) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    await until(lambda: rows(bank, NOTES) or None, seconds=3 * NOTE_S)
    bank.kill()
    noted = json.loads(rows(bank, NOTES)[-1]["data"])["parts"]
    assert rows(bank, LEAVES) == []
    await asyncio.to_thread(bank.__enter__)

    # The part was closed by recovery, agrees with what was noted, and has its leaf.
    reviewer = await branch.staff("reviewer")
    found = await reviewer.post(f"/api/reviews/{session}/verify")
    assert found["verdict"] == "closed by recovery"
    (leaf,) = rows(bank, LEAVES)
    assert list(noted) == [leaf["part_id"]]
    _, answer = await reviewer.raw("POST", f"/api/reviews/{session}/stamp", b"{}")
    (proof,) = answer["list"]
    assert (proof["state"], proof["part_id"]) == ("test", leaf["part_id"])
    refusal = await reviewer.refused("/api/reviews/01NOSUCHSESSION/stamp")
    assert refusal.code == "unknown_session"
    assert chains_hold(bank)

    # Another value in the notes: either they or the file are not what they were.
    records, chain = noted[leaf["part_id"]]
    false = json.dumps({"parts": {leaf["part_id"]: [records, chain[::-1]]}})
    with sqlite3.connect(bank.data / "bank.sqlite3", timeout=10) as connection:
        connection.execute("UPDATE timeline SET data = ? WHERE chain LIKE 'running:%'", (false,))
    connection.close()
    found = await reviewer.post(f"/api/reviews/{session}/verify")
    assert (found["verdict"], found["parts"][0]["reason"]) == ("tampered", "differs_from_log")
    assert not chains_hold(bank)
