"""The line at work: who is rung, for how long, and what everybody is told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.video_bank.test_sessions import Bank
from video_bank import line as line_module
from video_bank.bus import Event, Subscription
from video_bank.errors import Conflict
from video_bank.line import Line
from video_bank.transfers import Transfers


class Counter(Bank):
    """A bank with a line, moved on by hand."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.line = Line(self.db, self.bus, self.sessions, Transfers(self.sessions), ring_s=20)

    async def ready(self, name: str) -> str:
        teller = await self.staff(name)
        self.line.page_opened(teller)
        await self.line.set_state(teller, "ready", frozenset())
        return teller

    async def state(self, session: str) -> str:
        return str((await self.sessions.get(session))["state"])


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    made = Counter(tmp_path)
    await made.db.migrate()
    yield made
    await made.db.close()


async def test_the_idlest_teller_is_rung_and_told_of_the_customer(counter: Counter) -> None:
    first, second = await counter.ready("a"), await counter.ready("b")
    session = await counter.join(await counter.customer())
    async with counter.bus.subscribe(f"staff:{first}") as told:
        await counter.line.sync()
        events = [event async for event in some(told, 2)]
    offers = [event["data"] for event in events if event["topic"] == "offered"]
    assert [offer["session"] for offer in offers] == [session]
    assert offers[0]["business"] == "identification" and offers[0]["ring_s"] == 20
    assert counter.line.desk(first).state == "ringing"
    assert counter.line.desk(second).state == "ready"
    await counter.line.accept(session, first)
    assert counter.line.desk(first).state == "talking"
    with pytest.raises(Conflict, match="customer_at_desk"):
        await counter.line.set_state(first, "away", frozenset())


async def test_a_ring_nobody_answers_goes_to_the_next_and_sets_the_teller_away(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await counter.ready("a")
    session = await counter.join(await counter.customer())
    await counter.line.sync()
    second = await counter.ready("b")
    desk = counter.line.desk(first)
    desk.rings_until = 0  # the ring time is over
    await counter.line.sync()
    assert desk.state == "away"
    assert counter.line.desk(second).session == session
    assert "offer_missed" in await counter.kinds(session)


async def test_a_declined_customer_keeps_the_place(counter: Counter) -> None:
    teller = await counter.ready("a")
    sessions = [await counter.join(await counter.customer()) for _ in range(2)]
    await counter.line.sync()
    await counter.line.decline(sessions[0], teller)
    assert await counter.state(sessions[0]) == "waiting"
    assert (await counter.line.place_of(sessions[0]))[0] == 1


async def test_a_teller_whose_page_is_gone_is_not_rung(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = await counter.ready("a")
    counter.line.page_closed(teller)
    session = await counter.join(await counter.customer())
    await counter.line.sync()
    assert await counter.state(session) == "waiting"
    monkeypatch.setattr(line_module, "ABSENCE_S", -1.0)
    await counter.line.sync()
    assert counter.line.desk(teller).state == "away"


async def test_a_laptop_closed_while_it_rings_gives_the_customer_back(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = await counter.ready("a")
    session = await counter.join(await counter.customer())
    await counter.line.sync()
    counter.line.page_closed(teller)
    monkeypatch.setattr(line_module, "ABSENCE_S", -1.0)
    await counter.line.sync()
    assert await counter.state(session) == "waiting"
    assert counter.line.desk(teller).state == "away"


@pytest.mark.parametrize(
    ("reason", "states"),
    [("teller_lost", ("closed", "away")), ("teller_ended", ("wrap_up", "wrap_up"))],
)
async def test_wrap_up_nobody_comes_back_to(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, reason: str, states: tuple[str, str]
) -> None:
    teller = await counter.ready("a")
    session = await counter.join(await counter.customer())
    await counter.line.sync()
    await counter.line.accept(session, teller)
    counter.line.page_closed(teller)
    await counter.sessions.end(session, "server", reason)
    counter.line.ended(session)
    await counter.line.sync()
    assert counter.line.desk(teller).state == "wrap_up"
    monkeypatch.setattr(line_module, "LEFT_OPEN_S", -1.0)
    await counter.line.sync()
    assert (await counter.state(session), counter.line.desk(teller).state) == states


async def test_places_and_estimates_are_told_truthfully(counter: Counter) -> None:
    customers = [await counter.customer() for _ in range(2)]
    for customer in customers:
        await counter.join(customer)
    async with counter.bus.subscribe(f"customer:{customers[1]}") as told:
        await counter.line.sync()
        (event,) = [event async for event in some(told, 1)]
    assert event["data"] == {"place": 2, "estimate_s": None, "open": False}
    assert await counter.line.estimate_for_next() is None
    summary = await counter.line.summary()
    assert summary["waiting"] == 2 and summary["by_business"][0]["waiting"] == 2


async def some(events: Subscription, count: int) -> AsyncIterator[Event]:
    """The next events of a subscription."""
    async for _, event in events:
        yield event
        count -= 1
        if not count:
            return
