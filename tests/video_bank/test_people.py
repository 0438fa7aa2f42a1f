"""Who else takes part in a session, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.video_bank.test_line import Counter, some
from tests.video_bank.test_sessions import VERSION
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.errors import Conflict, NotAllowed, NotFound, UserError
from video_bank.logins import Login
from video_bank.people import MOST_PEOPLE, People
from video_bank.permissions import Role
from video_bank.secrets import Secrets
from video_bank.storage import tables as t

CONSENT = {"recording": True, "face": False, "version": VERSION}


class Office(Counter):
    """A counter with a session under way, and everybody who could join it."""

    policy = "announced"
    teller: Login
    customer_id: str
    session: str

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        secrets = Secrets(b"k" * 32)
        self.customers = Customers(self.db, secrets, self.timeline, Config(data=directory))
        self.people = People(
            self.db, self.sessions, self.customers, self.line, policy=self.policy
        )
        self.changes: list[str] = []
        self.people.changed = self._changed

    async def _changed(self, session: str) -> None:
        self.changes.append(session)

    async def login(self, name: str, role: str = "teller") -> Login:
        staff = await self.staff(name)
        async with self.db.write() as tx:
            await tx.execute(update(t.staff).where(t.staff.c.id == staff).values(role=role))
        return Login(name, staff, "staff", Role(role), name, "-")

    async def open(self) -> None:
        await self.db.migrate()
        self.teller = await self.login("teller")
        self.line.page_opened(self.teller.subject_id)
        await self.line.set_state(self.teller.subject_id, "ready", frozenset())
        self.customer_id = await self.person("张三")
        self.session = await self.join(self.customer_id)
        await self.line.sync()
        await self.accepted(self.teller.subject_id)

    async def accepted(self, teller: str) -> None:
        await self.line.accept(self.session, teller)

    async def person(self, name: str) -> str:
        login = Login("-", await self.staff(name), "staff", Role.TELLER, name, "-")
        return (await self.customers.invite(login, name)).customer_id

    async def guest(self, name: str = "李四") -> Login:
        link = await self.people.guest(self.session, self.teller, name, None)
        token = link.url.rpartition("/")[2]
        return (await self.customers.accept(token, "192.0.2.1")).login

    async def present(self) -> dict[str, bool]:
        return {each.role: each.here for each in await self.people.of(self.session)}


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made = Office(tmp_path)
    await made.open()
    yield made
    await made.db.close()


async def test_a_colleague_is_invited_comes_and_steps_out(office: Office) -> None:
    expert = await office.login("expert", "expert")
    people, session = office.people, office.session
    async with office.bus.subscribe(expert.actor) as told:
        await people.invite(session, office.teller, expert.subject_id)
        (event,) = [event async for event in some(told, 1)]
    assert event["topic"] == "invited"
    assert event["data"] == {
        "session": session, "from": "teller", "role": "expert", "business": "identification",
    }  # fmt: skip
    assert await office.present() == {"customer": True, "teller": True, "expert": False}
    (invitation,) = await people.invitations(expert.subject_id)
    assert invitation["session"] == session and not invitation["joined"]
    with pytest.raises(Conflict, match="already_here"):
        await people.invite(session, office.teller, expert.subject_id)
    await people.join(session, expert, {})
    await people.join(session, expert, {})  # a second page changes nothing
    assert (await office.present())["expert"]
    await people.step_out(session, expert.subject_id)
    assert "expert" not in await office.present()
    for verb in (people.join(session, expert, {}), people.step_out(session, expert.subject_id)):
        with pytest.raises(NotFound, match="unknown_session"):
            await verb
    await people.invite(session, office.teller, expert.subject_id)
    await people.step_out(session, expert.subject_id, reason="declined")
    kinds = await office.kinds(session)
    assert kinds[6:] == ["invited", "joined", "stepped_out", "invited", "stepped_out"]
    assert len(office.changes) == 5


async def test_who_cannot_be_invited(office: Office) -> None:
    reviewer = await office.login("reviewer", "reviewer")
    gone = await office.login("gone")
    async with office.db.write() as tx:
        await tx.execute(
            update(t.staff).where(t.staff.c.id == gone.subject_id).values(disabled=True)
        )
    for nobody in (reviewer.subject_id, gone.subject_id, "nobody", office.customer_id):
        with pytest.raises((NotFound, Conflict)):
            await office.people.invite(office.session, office.teller, nobody)
    with pytest.raises(Conflict, match="already_here"):
        await office.people.invite(office.session, office.teller, office.teller.subject_id)
    experts = [await office.login(f"e{n}", "expert") for n in range(MOST_PEOPLE - 1)]
    invited = await asyncio.gather(
        *(office.people.invite(office.session, office.teller, e.subject_id) for e in experts),
        return_exceptions=True,
    )
    (full,) = [each for each in invited if each is not None]
    assert isinstance(full, Conflict) and full.code == "room_full"


async def test_a_colleague_with_a_customer_cannot_come(office: Office) -> None:
    busy = await office.login("busy")
    await office.people.invite(office.session, office.teller, busy.subject_id)
    office.line.desk(busy.subject_id).turn("talking", "another")
    with pytest.raises(Conflict, match="customer_at_desk"):
        await office.people.join(office.session, busy, {})


async def test_a_guest_agrees_and_comes_in(office: Office) -> None:
    guest = await office.guest()
    (invitation,) = await office.people.invitations(guest.subject_id)
    assert invitation["role"] == "co_customer" and invitation["from"] == "teller"
    for consent, code in [
        (CONSENT | {"recording": False}, "recording_needed"),
        (CONSENT | {"version": "old"}, "consent_outdated"),
    ]:
        with pytest.raises(Conflict, match=code):
            await office.people.join(office.session, guest, consent)
    assert not (await office.present())["co_customer"]
    await office.people.join(office.session, guest, CONSENT)
    assert (await office.present())["co_customer"]
    async with office.db.read() as c:
        query = select(t.consents).where(t.consents.c.customer_id == guest.subject_id)
        kept = {row.subject: row.granted for row in (await c.execute(query)).all()}
    assert kept == {"recording": True, "face": False}
    await office.people.remove(office.session, office.teller, guest.subject_id)
    kinds = await office.kinds(office.session)
    assert kinds[6:] == ["guest_invited", "consented", "consented", "joined", "removed"]


async def test_a_guests_link_is_good_while_the_session_talks(office: Office) -> None:
    link = await office.people.guest(office.session, office.teller, "李四", None)
    token = link.url.rpartition("/")[2]
    signed_in = await office.customers.accept(token, "192.0.2.1")
    with pytest.raises(UserError, match="invitation_used"):
        await office.customers.accept(token, "192.0.2.1")
    again = signed_in.login
    await office.customers.accept(token, "192.0.2.1", again)
    await office.people.remove(office.session, office.teller, again.subject_id)
    with pytest.raises(UserError, match="invitation_expired"):
        await office.customers.accept(token, "192.0.2.1", again)
    other = await office.people.guest(office.session, office.teller, "王五", None)
    await office.sessions.end(office.session, office.teller.actor, "teller_ended")
    with pytest.raises(UserError, match="invitation_expired"):
        await office.customers.accept(other.url.rpartition("/")[2], "192.0.2.1")
    assert await office.present() == {"customer": True, "teller": True}


async def test_the_customer_is_nobodys_guest(office: Office) -> None:
    phone = "13912345678"
    link = await office.customers.invite(office.teller, "赵六", phone)
    session = await office.join(link.customer_id)
    await office.line.set_state((await office.login("b")).subject_id, "away", frozenset())
    other = await office.ready("c")
    await office.line.sync()
    await office.line.accept(session, other)
    login = replace(office.teller, subject_id=other)
    with pytest.raises(Conflict, match="already_here"):
        await office.people.guest(session, login, "赵六", phone)
    with pytest.raises(NotAllowed):
        await office.people.remove(session, login, link.customer_id)
    with pytest.raises(Conflict, match="teller_cannot_leave"):
        await office.people.step_out(session, other)


async def test_a_session_that_ends_takes_its_invitations_back(office: Office) -> None:
    expert = await office.login("expert", "expert")
    await office.people.invite(office.session, office.teller, expert.subject_id)
    async with office.bus.subscribe(expert.actor) as told:
        await office.sessions.end(office.session, office.teller.actor, "teller_ended")
        (event,) = [event async for event in some(told, 1)]
    assert event["topic"] == "invite_withdrawn" and event["data"]["reason"] == "ended"
    with pytest.raises(NotFound):
        await office.people.join(office.session, expert, {})
    for verb in (
        office.people.invite(office.session, office.teller, expert.subject_id),
        office.people.guest(office.session, office.teller, "李四", None),
        office.people.supervise(office.session, expert, "listening", "because"),
    ):
        with pytest.raises(Conflict, match="not_now"):
            await verb


async def told_of(office: Office, actor: str, work: Any) -> list[str]:
    """The topics this actor is told of while ``work`` is done."""
    async with office.bus.subscribe(actor) as told:
        await work
        office.bus.publish(actor, {"topic": "end"})
        topics: list[str] = []
        async for _, event in told:
            if event["topic"] == "end":
                return topics
            topics.append(event["topic"])
    return topics


@pytest.mark.parametrize(("policy", "customer_hears"), [("announced", True), ("unseen", False)])
async def test_supervision_is_on_record_and_told_by_policy(
    tmp_path: Path, policy: str, customer_hears: bool
) -> None:
    office = Office(tmp_path)
    office.people._policy = policy
    await office.open()
    boss, second = await office.login("boss", "supervisor"), await office.login("b", "supervisor")
    supervise, session = office.people.supervise, office.session
    customer, teller = f"customer:{office.customer_id}", office.teller.actor
    topics = await told_of(office, customer, supervise(session, boss, "listening", "a check"))
    assert (topics == ["people"]) is customer_hears
    topics = await told_of(office, teller, supervise(session, boss, "whispering", "a hint"))
    assert topics == ["people"]
    with pytest.raises(Conflict, match="supervised_already"):
        await supervise(session, second, "listening", "me too")
    (person,) = [each for each in await office.people.here(session) if each.role == "supervisor"]
    assert person.presence == "whispering"
    assert office.people.visible(person) is customer_hears
    with pytest.raises(NotAllowed):
        await office.people.remove(session, office.teller, boss.subject_id)
    # Who takes part is seen by everybody, whatever the policy.
    assert await told_of(office, customer, supervise(session, boss, "joined", "help")) == ["people"]
    assert await told_of(office, customer, supervise(session, boss, "off", "")) == ["people"]
    await supervise(session, boss, "off", "")
    with pytest.raises(UserError, match="unknown_mode"):
        await supervise(session, boss, "shouting", "so")
    async with office.db.read() as c:
        entries = await office.timeline.read(c, f"session:{session}")
    said = [
        (e.body["mode"], e.body["reason"]) for e in entries if e.kind == "supervised"
    ]
    assert said == [
        ("listening", "a check"), ("whispering", "a hint"), ("joined", "help"), ("off", ""),
    ]  # fmt: skip
    await office.db.close()


async def test_a_bank_that_does_not_supervise(office: Office) -> None:
    office.people._policy = "off"
    boss = await office.login("boss", "supervisor")
    with pytest.raises(NotAllowed, match="supervision_off"):
        await office.people.supervise(office.session, boss, "listening", "a check")
    assert "supervised" not in await office.kinds(office.session)
