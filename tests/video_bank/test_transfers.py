"""A session on its way to another desk: every way it can go, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.video_bank.test_line import Counter, some
from video_bank import line as line_module
from video_bank.bus import Event, Subscription
from video_bank.errors import Conflict, NotFound


class Handover(Counter):
    """Two tellers; the first one talks."""

    first: str
    second: str
    session: str

    async def open(self) -> None:
        await self.db.migrate()
        self.first = await self.ready("first")
        self.customer_id = await self.customer()
        self.session = await self.join(self.customer_id)
        await self.line.sync()
        await self.line.accept(self.session, self.first)
        self.second = await self.ready("second")

    async def ring(self, to: str | None = None) -> None:
        await self.line.transfer(self.session, self.first, to, name="first", note="两人贷款")

    async def whose(self) -> tuple[str, str | None]:
        row = await self.sessions.get(self.session)
        return row["teller_id"], row["transfer_to"]

    def states(self) -> tuple[str, str]:
        return self.line.desk(self.first).state, self.line.desk(self.second).state


@pytest.fixture
async def handover(tmp_path: Path) -> AsyncIterator[Handover]:
    made = Handover(tmp_path)
    await made.open()
    yield made
    await made.db.close()


async def test_a_colleague_takes_over(handover: Handover) -> None:
    h = handover
    async with h.bus.subscribe(f"staff:{h.second}") as told:
        await h.ring(h.second)
        offers = [e["data"] async for e in some(told, 2) if e["topic"] == "offered"]
    assert offers[0]["session"] == h.session
    assert offers[0]["transfer"] == {"from": "first", "note": "两人贷款"}
    assert await h.whose() == (h.first, h.second)
    assert h.states() == ("talking", "ringing") and h.line.transfer_rings(h.session)
    with pytest.raises(Conflict, match="transfer_rings|colleague_busy"):
        await h.ring(h.second)
    async with h.bus.subscribe(f"staff:{h.first}", f"customer:{h.customer_id}") as told:
        await h.line.accept(h.session, h.second)
        events = {topic: e["data"] async for topic, e in told_to(told, 2)}
    assert events[f"staff:{h.first}"] == {"id": h.session, "state": "transferred"}
    assert events[f"customer:{h.customer_id}"]["reason"] == "transferred"
    assert await h.whose() == (h.second, None)
    assert h.states() == ("ready", "talking")
    assert (await h.kinds(h.session))[-2:] == ["transfer_offered", "transferred"]
    await h.sessions.end(h.session, f"staff:{h.second}", "teller_ended")
    h.line.ended(h.session)
    assert h.states() == ("ready", "wrap_up")


async def told_to(told: Subscription, count: int) -> AsyncIterator[tuple[str, Event]]:
    """The next session notices with whom they were for."""
    async for topic, event in told:
        if event["topic"] == "session":
            yield topic, event
            count -= 1
            if not count:
                return


async def test_the_line_chooses_when_nobody_is_named(handover: Handover) -> None:
    await handover.ring()
    assert (await handover.whose())[1] == handover.second


async def test_many_accepts_at_once_and_one_takes_it(handover: Handover) -> None:
    h = handover
    await h.ring(h.second)
    answers = await asyncio.gather(
        *(h.line.accept(h.session, who) for who in [h.second, h.first] * 3),
        return_exceptions=True,
    )
    assert answers.count(None) == 1
    assert {str(answer) for answer in answers if answer} == {"offer_gone"}
    assert await h.whose() == (h.second, None)
    assert (await h.kinds(h.session)).count("transferred") == 1


@pytest.mark.parametrize("outcome", ["declined", "missed", "cancelled"])
async def test_what_comes_to_nothing_stays_with_the_teller(
    handover: Handover, outcome: str
) -> None:
    h = handover
    await h.ring(h.second)
    async with h.bus.subscribe(f"staff:{h.first}") as told:
        if outcome == "declined":
            await h.line.decline(h.session, h.second)
        elif outcome == "cancelled":
            await h.line.cancel_transfer(h.session, h.first)
        else:
            h.line.desk(h.second).rings_until = 0
            await h.line.sync()
        (event,) = [event async for event in some(told, 1)]
    assert event == {"topic": "transfer", "data": {"session": h.session, "state": outcome}}
    assert await h.whose() == (h.first, None)
    assert h.states() == ("talking", "ready" if outcome == "cancelled" else "away")
    with pytest.raises(Conflict, match="offer_gone"):
        await h.line.accept(h.session, h.second)
    assert (await h.kinds(h.session))[-1] == "transfer_failed"
    await h.ring(h.second)  # a second try
    await h.line.accept(h.session, h.second)


@pytest.mark.parametrize("how", ["page", "away"])
async def test_the_colleague_is_gone(
    handover: Handover, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = handover
    await h.ring(h.second)
    if how == "page":
        h.line.page_closed(h.second)
        monkeypatch.setattr(line_module, "ABSENCE_S", -1.0)
        await h.line.sync()
    else:
        await h.line.set_state(h.second, "away", frozenset())
    assert await h.whose() == (h.first, None)
    assert h.states() == ("talking", "away")


async def test_the_former_tellers_page_dies_and_the_colleague_takes_it(
    handover: Handover, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = handover
    await h.ring(h.second)
    h.line.page_closed(h.first)
    await h.line.sync()
    await h.line.accept(h.session, h.second)
    assert await h.whose() == (h.second, None)
    monkeypatch.setattr(line_module, "ABSENCE_S", -1.0)
    await h.line.sync()
    assert h.states() == ("away", "talking")


async def test_the_session_ends_while_it_rings(handover: Handover) -> None:
    h = handover
    await h.ring(h.second)
    async with h.bus.subscribe(f"staff:{h.second}") as told:
        await h.sessions.end(h.session, "server", "customer_left")
        h.line.ended(h.session)
        (event,) = [e async for e in some(told, 1)]
    assert event["topic"] == "offer_withdrawn" and event["data"]["reason"] == "ended"
    assert h.states() == ("wrap_up", "ready")
    with pytest.raises(Conflict, match="offer_gone"):
        await h.line.accept(h.session, h.second)
    assert await h.whose() == (h.first, None)
    assert (await h.kinds(h.session))[-2:] == ["transfer_failed", "ended"]


async def test_end_and_acceptance_at_once(handover: Handover) -> None:
    """Either comes first; afterwards the session is over and somebody wraps up."""
    h = handover
    await h.ring(h.second)

    async def end() -> None:
        await h.sessions.end(h.session, "server", "customer_left")
        h.line.ended(h.session)

    await asyncio.gather(h.line.accept(h.session, h.second), end(), return_exceptions=True)
    row = await h.sessions.get(h.session)
    assert row["state"] == "wrap_up" and row["transfer_to"] is None
    wrapping = h.line.desk(row["teller_id"])
    assert (wrapping.state, wrapping.session) == ("wrap_up", h.session)


async def test_who_cannot_be_rung(handover: Handover) -> None:
    h = handover
    nobody = await h.staff("nobody")
    for wrong in (h.first, nobody, "no such id"):
        with pytest.raises(Conflict, match="colleague_busy"):
            await h.ring(wrong)
    h.line.desk(h.second).turn("talking", "another")
    with pytest.raises(Conflict, match="colleague_busy"):
        await h.ring(h.second)
    with pytest.raises(Conflict, match="nobody_ready"):
        await h.ring()
    with pytest.raises(Conflict, match="offer_gone"):
        await h.line.cancel_transfer(h.session, h.first)
    assert await h.whose() == (h.first, None)


async def test_only_its_teller_gives_it_away(handover: Handover) -> None:
    h = handover
    third = await h.ready("third")
    with pytest.raises(NotFound):
        await h.line.transfer(h.session, third, h.second, name="third", note="")
    assert h.states() == ("talking", "ready")


async def test_a_colleague_in_another_session_is_not_rung(handover: Handover) -> None:
    h = handover
    await h.line.assist("another", h.second)
    assert h.line.desk(h.second).state == "talking"
    with pytest.raises(Conflict, match="customer_at_desk"):
        await h.line.set_state(h.second, "ready", frozenset())
    await h.line.sync()
    h.line.assisted("another", h.second)
    assert h.line.desk(h.second).state == "ready"


async def test_the_server_dies_while_it_rings(handover: Handover) -> None:
    h = handover
    await h.ring(h.second)
    await h.sessions.interrupt(h.session)  # as the next start finds it
    assert await h.whose() == (h.first, None)
    with pytest.raises(Conflict, match="offer_gone"):
        await h.line.accept(h.session, h.second)


async def test_what_was_on_hold_stays_on_hold(handover: Handover) -> None:
    h = handover
    await h.sessions.hold(h.session, h.first, True)
    await h.ring(h.second)
    await h.line.accept(h.session, h.second)
    assert (await h.sessions.get(h.session))["on_hold"]
