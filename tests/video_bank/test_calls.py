"""Calls follow the rows: real rooms without media, over a real database."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from signaling.ice import Relays
from signaling.port import Port
from signaling.socket import Caller, Refused
from tests.video_bank.test_people import CONSENT, Office
from tests.video_bank.test_quality import GOOD
from tests.video_bank.test_tape import Reel
from video_bank.archive import Archive
from video_bank.calls import Calls
from video_bank.checks import Checks
from video_bank.errors import Conflict
from video_bank.logins import Login
from video_bank.quality import Quality


def sealed(recorder: Reel) -> set[str]:
    """Kinds of events it was given."""
    return {str(body["kind"]) for _, body in recorder.events}


class Shelf:
    """An archive of one recorder."""

    def __init__(self) -> None:
        self.recorder = Reel()

    async def open(self, *_: object) -> Reel:
        return self.recorder

    async def finish(self, *_: object, **__: object) -> dict[str, Any]:
        return {"verdict": "ok"}


class Examiner:
    """Stands for the checks: knows whom they guide."""

    teller = ""

    async def begin(self, _session: str) -> None:
        return None

    async def finish(self, _session: str) -> None:
        return None

    def serve(self, _session: str, teller: str) -> None:
        self.teller = teller


class Centre(Office):
    """An office with calls."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.shelf, self.examiner, self.quality = Shelf(), Examiner(), Quality(self.db)
        self.calls = Calls(
            self.bus,
            self.sessions,
            self.line,
            self.people,
            cast(Archive, self.shelf),
            self.quality,
            ports=(Port("127.0.0.1"),),
            relays=Relays(),
            customer_gone_s=60,
            teller_gone_s=30,
            supervision=self.policy,
        )
        self.calls.checks = cast(Checks, self.examiner)
        self.sessions.witness = self.calls
        self.people.changed = self.calls.sync

    async def accepted(self, teller: str) -> None:
        await self.calls.accept(self.session, teller)

    def enter(self, login: Login, connection: Any = None) -> None:
        """What the WebSocket does for a page that joins."""
        caller = Caller(login.subject_id, login.role, login.name)
        entry = self.calls.enter(caller, self.session)
        entry.room.join(
            entry.participant,
            entry.role,
            entry.name,
            connection,
            presence=entry.presence,
            confidants=entry.confidants,
            announced=entry.announced,
        )

    @property
    def call(self) -> Any:
        return self.calls._calls[self.session]

    def roles(self, viewer: str) -> set[object]:
        """Of everybody this participant's page knows of."""
        return {each["role"] for each in self.call.room.view(viewer)}

    def lose(self, person: str, seconds: float) -> None:
        self.call.gone_since[person] = time.monotonic() - seconds


@pytest.fixture(params=["unseen"])
async def centre(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Centre]:
    Centre.policy = request.param
    made = Centre(tmp_path)
    await made.open()
    visitor = Login("-", made.customer_id, "customer", made.teller.role, "张三", "-")
    made.enter(visitor)
    made.enter(made.teller)
    yield made
    await made.calls.stop()
    await made.db.close()


async def test_a_transfer_changes_whose_room_it_is(centre: Centre) -> None:
    boss, second = await centre.login("boss", "supervisor"), await centre.login("second")
    me = centre.teller.subject_id
    await centre.people.supervise(centre.session, boss, "whispering", "a hint")
    centre.enter(boss)
    centre.line.page_opened(second.subject_id)
    await centre.line.transfer(centre.session, me, second.subject_id, name="t", note="")
    with pytest.raises(Refused):
        centre.enter(second)
    await centre.calls.accept(centre.session, second.subject_id)
    assert me not in centre.call.room.participants
    with pytest.raises(Refused):
        centre.enter(centre.teller)
    centre.enter(second)
    assert centre.examiner.teller == second.subject_id
    standing = centre.call.room.participants[boss.subject_id].standing
    assert standing.confidants == {second.subject_id}, "the whisper goes with the session"
    with pytest.raises(Conflict, match="offer_gone"):
        await centre.calls.accept(centre.session, second.subject_id)
    assert centre.shelf.recorder.labels == ["customer", "teller"], "the same recording"
    assert {"supervised", "transfer_offered", "transferred"} <= sealed(centre.shelf.recorder)


async def test_a_teller_is_waited_for_while_a_colleague_may_take_over(centre: Centre) -> None:
    second, me = await centre.ready("second"), centre.teller.subject_id
    await centre.line.transfer(centre.session, me, None, name="t", note="")
    centre.lose(me, 40)
    await centre.calls._watch(time.monotonic())
    assert await centre.state(centre.session) == "talking"
    await centre.line.decline(centre.session, second)
    await centre.calls._watch(time.monotonic())
    assert await centre.state(centre.session) == "wrap_up"
    assert (await centre.sessions.get(centre.session))["end_reason"] == "teller_lost"


@pytest.mark.parametrize("centre", ["unseen", "announced"], indirect=True)
async def test_who_may_know_of_a_supervisor(centre: Centre) -> None:
    boss = await centre.login("boss", "supervisor")
    with pytest.raises(Refused):
        centre.enter(boss)
    await centre.people.supervise(centre.session, boss, "listening", "a complaint")
    centre.enter(boss)
    announced = Centre.policy == "announced"
    assert ("supervisor" in centre.roles(centre.customer_id)) is announced
    assert "supervisor" in centre.roles(centre.teller.subject_id)
    await centre.people.supervise(centre.session, boss, "joined", "to help")
    assert "supervisor" in centre.roles(centre.customer_id)
    await centre.people.supervise(centre.session, boss, "off", "")
    assert boss.subject_id not in centre.call.room.participants


async def test_colleagues_are_missed_and_guests_are_waited_for(centre: Centre) -> None:
    expert, guest = await centre.login("expert", "expert"), await centre.guest()
    centre.line.page_opened(expert.subject_id)
    await centre.people.invite(centre.session, centre.teller, expert.subject_id)
    await centre.people.join(centre.session, expert, {})
    await centre.people.join(centre.session, guest, CONSENT)
    desk = centre.line.desk(expert.subject_id)
    assert (desk.state, desk.session) == ("talking", centre.session)
    for person in (expert, guest):
        centre.enter(person)
        centre.lose(person.subject_id, 40)
    await centre.calls._watch(time.monotonic())
    assert centre.roles(guest.subject_id) == {"customer", "teller", "co_customer"}
    assert desk.state == "away"
    assert (await centre.kinds(centre.session))[-1] == "stepped_out"
    assert "consented" in sealed(centre.shelf.recorder)


async def test_hold_keeps_the_customers_apart_and_whoever_comes_later(centre: Centre) -> None:
    guest = await centre.guest()
    await centre.calls.hold(centre.session, centre.teller.subject_id, True)
    assert centre.call.room.held == {centre.customer_id}
    await centre.people.join(centre.session, guest, CONSENT)
    assert centre.call.room.held == {centre.customer_id, guest.subject_id}
    await centre.calls.hold(centre.session, centre.teller.subject_id, False)
    assert centre.call.room.held == set()


async def test_quality_and_screens_are_kept(centre: Centre) -> None:
    room, me = centre.call.room, centre.teller.subject_id
    room._on_quality(me, GOOD)
    assert centre.calls.levels(centre.session) == {me: 4}
    room.share(me, True)
    room.share(me, False)
    await centre.calls.end(centre.session, centre.teller.actor, "teller_ended")
    await centre.calls.stop()
    (series,) = await centre.quality.of(centre.session)
    assert (series["participant"], series["points"][0][1]) == (me, 4)
    kinds = await centre.kinds(centre.session)
    assert "screen_shared" in kinds and "screen_ended" in kinds and kinds[-1] == "sealed"
    with pytest.raises(Refused):
        centre.enter(centre.teller)
