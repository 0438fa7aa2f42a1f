"""A second person's approval of a replay."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.video_bank.cinema import Cinema, cinema
from video_bank.approvals import GOOD_US
from video_bank.errors import Conflict, NotAllowed, NotFound, UserError
from video_bank.evidence import AUDIT, verify
from video_bank.logins import Login
from video_bank.permissions import Role
from video_bank.storage import now_us
from video_bank.storage import tables as t


class House:
    """Two reviewers, a teller, a session that is over."""

    def __init__(self, made: Cinema) -> None:
        self.made = made
        self.approvals = made.approvals
        self.one: Login
        self.other: Login
        self.session: str

    async def furnish(self) -> None:
        self.one = await self.made.staff("one", Role.REVIEWER)
        self.other = await self.made.staff("other", Role.REVIEWER)
        teller = await self.made.staff("teller", Role.TELLER)
        self.session = await self.made.session(teller, 5)

    async def ask(self) -> str:
        asked = await self.approvals.ask(self.session, self.one.subject_id, "complaint 17")
        return str(asked["id"])

    async def state(self) -> str:
        """What stands in the way of the first reviewer: nothing, or a state."""
        try:
            await self.made.reviews.open(self.session, self.one, "complaint 17")
        except NotAllowed as refused:
            assert refused.code == "approval_needed"
            return str(refused.details["state"])
        return "open"

    async def audit(self) -> list[str]:
        async with self.made.db.read() as c:
            entries = await self.made.timeline.read(c, AUDIT)
        assert verify(entries) is None
        return [entry.kind for entry in entries if "approval" in entry.kind or "view" in entry.kind]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with cinema(tmp_path / "data", "second_person") as made:
        furnished = House(made)
        await furnished.furnish()
        yield furnished


async def test_a_colleague_approves_and_only_then_it_opens(house: House) -> None:
    assert await house.state() == "none"
    approval = await house.ask()
    assert await house.ask() == approval, "asking twice is asking once"
    assert await house.state() == "waiting"
    (theirs,) = await house.approvals.open(house.other.subject_id)
    assert (theirs["asker"], theirs["own"], theirs["reason"]) == ("one", False, "complaint 17")
    assert "三" not in theirs["customer_masked"]
    await house.approvals.decide(approval, house.other.subject_id, "approved", "agreed")
    opened = await house.made.reviews.open(house.session, house.one, "complaint 17")
    assert await house.ask() == approval, "what is approved needs no second request"
    assert await house.approvals.open(house.other.subject_id) == []
    (mine,) = await house.approvals.open(house.one.subject_id)
    assert (mine["verdict"], mine["decider"]) == ("approved", "other")
    assert await house.audit() == ["approval_asked", "approval_given", "viewed"]
    async with house.made.db.read() as c:
        entry = (await house.made.timeline.read(c, AUDIT))[-1]
    assert entry.body["approval"] == approval and entry.body["viewing"] == opened["viewing"]
    # It was approved for one, not for everybody.
    with pytest.raises(NotAllowed, match="approval_needed"):
        await house.made.reviews.open(house.session, house.other, "me too")


async def test_nobody_decides_their_own_nor_twice(house: House) -> None:
    approval = await house.ask()
    with pytest.raises(NotAllowed, match="approval_own"):
        await house.approvals.decide(approval, house.one.subject_id, "approved", "I trust me")
    with pytest.raises(UserError, match="bad_request"):
        await house.approvals.decide(approval, house.other.subject_id, "maybe", "hmm hmm")
    with pytest.raises(NotFound, match="unknown_approval"):
        await house.approvals.decide("none", house.other.subject_id, "approved", "agreed")
    await house.approvals.decide(approval, house.other.subject_id, "refused", "no ground")
    with pytest.raises(Conflict, match="approval_over"):
        await house.approvals.decide(approval, house.other.subject_id, "approved", "well then")
    assert await house.state() == "refused"
    again = await house.ask()
    assert again != approval and await house.state() == "waiting"
    assert await house.audit() == ["approval_asked", "approval_refused", "approval_asked"]


async def test_a_request_lapses_after_a_day_decided_or_not(house: House) -> None:
    async def age() -> None:
        async with house.made.db.write() as tx:
            gone = now_us() - GOOD_US
            await tx.execute(update(t.approvals).values(asked_at=gone, expires_at=gone + GOOD_US))

    approval = await house.ask()
    await age()
    assert await house.state() == "none"
    assert await house.approvals.open(house.other.subject_id) == []
    with pytest.raises(Conflict, match="approval_over"):
        await house.approvals.decide(approval, house.other.subject_id, "approved", "too late")
    approval = await house.ask()
    await house.approvals.decide(approval, house.other.subject_id, "approved", "agreed")
    async with house.made.db.write() as tx:
        soon = now_us() + 60_000_000
        await tx.execute(update(t.approvals).values(expires_at=soon))
    opened = await house.made.reviews.open(house.session, house.one, "complaint 17")
    assert opened["expires_s"] <= 60, "the viewing does not outlive its approval"
    await age()
    assert await house.state() == "none"


async def test_where_the_policy_is_off_nothing_is_asked(tmp_path: Path) -> None:
    async with cinema(tmp_path / "data") as made:
        house = House(made)
        await house.furnish()
        with pytest.raises(Conflict, match="approval_not_needed"):
            await house.ask()
        assert await house.state() == "open"


async def test_what_the_log_cannot_hold_does_not_happen(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = await house.ask()

    async def broken(*_: object, **__: object) -> None:
        raise OSError("the audit log cannot be written")

    monkeypatch.setattr(house.made.timeline, "append", broken)
    with pytest.raises(OSError):
        await house.approvals.decide(approval, house.other.subject_id, "approved", "agreed")
    async with house.made.db.read() as c:
        row = (await c.execute(select(t.approvals))).mappings().one()
    assert row["verdict"] is None
