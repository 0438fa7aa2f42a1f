"""The life of a session, on a real database."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from video_bank.attendance import Attendee
from video_bank.bus import LocalBus
from video_bank.businesses import Businesses, load_consents
from video_bank.change import TRANSITIONS
from video_bank.conversation import Conversation
from video_bank.errors import Conflict, NotFound, TooMany, UserError
from video_bank.evidence import Timeline, verify
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions, text
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t

VERSION = load_consents().version


class Bank:
    """Sessions over an empty database, with people in it."""

    def __init__(self, directory: Path) -> None:
        self.bus = LocalBus()
        self.db = Database(f"sqlite:///{directory / 'bank.sqlite3'}", self.bus)
        self.timeline = Timeline()
        secrets = Secrets(b"k" * 32)
        self.sessions = Sessions(
            self.db,
            self.timeline,
            secrets,
            Businesses(),
            load_consents(),
            queue_limit=3,
        )
        self.conversation = Conversation(self.db, secrets, self.sessions)

    async def staff(self, name: str) -> str:
        key = new_id()
        async with self.db.write() as tx:
            await tx.execute(
                insert(t.staff).values(
                    id=key,
                    name=name,
                    display_name=name,
                    role="teller",
                    password_hash="-",
                    created_at=now_us(),
                )
            )
        return key

    async def customer(self) -> str:
        key = new_id()
        async with self.db.write() as tx:
            await tx.execute(insert(t.customers).values(id=key, name=b"-", created_at=now_us()))
        return key

    async def join(self, customer: str) -> str:
        return await self.sessions.join(
            customer, "identification", "zh", recording=True, face=True, version=VERSION
        )

    async def kinds(self, session: str) -> list[str]:
        async with self.db.read() as c:
            entries = await self.timeline.read(c, f"session:{session}")
        assert verify(entries) is None
        return [entry.kind for entry in entries]


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    made = Bank(tmp_path)
    await made.db.migrate()
    yield made
    await made.db.close()


async def test_a_session_from_line_to_close(bank: Bank) -> None:
    teller, customer = await bank.staff("t"), await bank.customer()
    session = await bank.join(customer)
    assert await bank.join(customer) == session  # a second page keeps the place
    await bank.sessions.offer(session, teller)
    await bank.sessions.accept(session, teller)
    author = Attendee.joined(customer, "customer", "customer")
    await bank.conversation.say(session, author, " 您好\x1b[31m ")
    await bank.sessions.end(session, f"staff:{teller}", "teller_ended")
    with pytest.raises(Conflict, match="decision_missing"):
        await bank.sessions.close(session, teller)
    await bank.conversation.rate(session, 5, "谢谢")
    with pytest.raises(Conflict):
        await bank.conversation.rate(session, 4, "")
    assert [line["text"] for line in await bank.conversation.lines(session)] == ["您好[31m"]
    assert await bank.kinds(session) == [
        "joined", "consented", "consented", "queued", "offered", "accepted", "chat", "ended",
        "rated",
    ]  # fmt: skip


async def test_two_tellers_accept_at_once_and_one_has_the_customer(bank: Bank) -> None:
    tellers = [await bank.staff("a"), await bank.staff("b")]
    session = await bank.join(await bank.customer())
    await bank.sessions.offer(session, tellers[0])
    results = await asyncio.gather(
        *(bank.sessions.accept(session, teller) for teller in tellers * 3), return_exceptions=True
    )
    assert [result for result in results if result is None] == [None]
    assert all(isinstance(r, Conflict) and r.code == "offer_gone" for r in results if r)
    assert (await bank.sessions.get(session))["teller_id"] == tellers[0]


async def test_a_missed_ring_goes_back_to_the_line(bank: Bank) -> None:
    teller = await bank.staff("t")
    session = await bank.join(await bank.customer())
    await bank.sessions.offer(session, teller)
    with pytest.raises(Conflict):
        await bank.sessions.back_to_line(session, "decline", "somebody else")
    await bank.sessions.back_to_line(session, "ring_out", teller)
    (waiting,) = await bank.sessions.waiting()
    assert waiting.passed_over == {teller}
    assert (await bank.kinds(session))[-1] == "offer_missed"


async def test_refusals_are_told_and_change_nothing(bank: Bank) -> None:
    customer = await bank.customer()
    join = bank.sessions.join
    with pytest.raises(Conflict, match="recording_needed"):
        await join(
            customer, "identification", "zh", recording=False, face=True, version=VERSION
        )
    with pytest.raises(Conflict, match="consent_outdated"):
        await join(customer, "identification", "zh", recording=True, face=True, version="old")
    with pytest.raises(NotFound):
        await join(customer, "robbery", "zh", recording=True, face=True, version=VERSION)
    with pytest.raises(NotFound):
        await bank.sessions.get("none")
    assert await bank.sessions.waiting() == []
    for _ in range(3):
        await bank.join(await bank.customer())
    with pytest.raises(TooMany, match="line_full"):
        await bank.join(customer)


@given(st.text(max_size=60))
def test_text_never_keeps_what_could_forge_a_log_line(value: str) -> None:
    cleaned = text(value)
    assert all(c == "\n" or c.isprintable() for c in cleaned)


def test_text_is_bounded() -> None:
    for bad in (None, 5, "x" * 3000):
        with pytest.raises(UserError):
            text(bad)
    with pytest.raises(UserError):
        text("  ", least=1)


EVENTS = sorted({event for _, event in TRANSITIONS})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(EVENTS), max_size=10))
def test_whatever_is_tried_only_steps_of_the_table_happen(events: list[str]) -> None:
    """Any events in any order: allowed ones move the row, all others are refused and leave it."""
    asyncio.run(_walk(events))


async def _walk(events: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        bank = Bank(Path(directory))
        await bank.db.migrate()
        try:
            session, state = await bank.join(await bank.customer()), "waiting"
            for event in events:
                following = TRANSITIONS.get((state, event))
                try:
                    async with bank.sessions.change(session) as change:
                        await change.move(event)
                    assert following is not None, f"{event} happened in {state}"
                    state = following
                except Conflict:
                    assert following is None, f"{event} was refused in {state}"
                assert (await bank.sessions.get(session))["state"] == state
        finally:
            await bank.db.close()
