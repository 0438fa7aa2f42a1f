"""Who else takes part in a session: colleagues, guests, supervisors; how they come and go.

Each verb is one transaction with its timeline entry; then :attr:`People.changed` makes the room
follow.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args

from sqlalchemy import Row, select

from video_bank.attendance import Attendee, Presence, admit, attendees, dismiss, seat
from video_bank.attendance import change as change_row
from video_bank.change import Change
from video_bank.customers import Customers, Invitation
from video_bank.errors import Conflict, NotAllowed, NotFound, UserError
from video_bank.line import Line
from video_bank.logins import Login
from video_bank.permissions import ALLOWED, Permission
from video_bank.sessions import Sessions
from video_bank.storage import Database
from video_bank.storage import tables as t

MOST_PEOPLE = 6
"In a session, those invited among them and supervisors not."
GUEST_HOURS = 2
"A guest's link is good for as long, and no longer than the session talks."


class People:
    """The people of every session besides its own teller and customer."""

    def __init__(
        self, db: Database, sessions: Sessions, customers: Customers, line: Line, *, policy: str
    ) -> None:
        """``policy``: the setting `supervision`."""
        self._db, self._sessions = db, sessions
        self._customers, self._line = customers, line
        self._policy = policy
        self.changed: Callable[[str], Awaitable[None]] = _nothing
        "Called with the session after every change; the calls set it."

    # -- reading --------------------------------------------------------------------------

    async def of(self, session: str) -> list[Attendee]:
        """Who takes part or is invited."""
        async with self._db.read() as reader:
            return await attendees(reader, session)

    async def here(self, session: str) -> list[Attendee]:
        """Who takes part now."""
        return [each for each in await self.of(session) if each.here]

    async def floor(self, sessions: Sequence[str]) -> dict[str, list[Attendee]]:
        """Who takes part in each of these sessions now."""
        p = t.participants.c
        query = (
            select(t.participants)
            .where(p.session_id.in_(sessions), p.left_at.is_(None), p.joined_at.is_not(None))
            .order_by(p.joined_at, p.person_id)
        )
        found: dict[str, list[Attendee]] = {session: [] for session in sessions}
        async with self._db.read() as c:
            for row in (await c.execute(query)).mappings():
                found[row["session_id"]].append(Attendee.of(row))
        return found

    async def names(self, people: Iterable[Attendee]) -> dict[str, str]:
        """What each of these people is called, by id: in full."""
        wanted: dict[str, list[str]] = {"staff": [], "customer": []}
        for each in people:
            wanted[each.kind].append(each.id)
        query = select(t.staff.c.id, t.staff.c.display_name).where(
            t.staff.c.id.in_(wanted["staff"])
        )
        async with self._db.read() as c:
            staff = {row.id: str(row.display_name) for row in (await c.execute(query)).all()}
        return staff | await self._customers.names(wanted["customer"])

    def visible(self, person: Attendee) -> bool:
        """Whether customers may know that this person takes part."""
        return person.presence == "joined" or self._policy == "announced"

    async def invitations(self, person: str) -> list[dict[str, Any]]:
        """The sessions somebody is invited to, or as a guest is in: while they talk."""
        s, p = t.sessions.c, t.participants.c
        query = (
            select(s.id, s.business, p.role, p.joined_at, t.staff.c.display_name)
            .join(t.participants, p.session_id == s.id)
            .join(t.staff, t.staff.c.id == p.invited_by)
            .where(p.person_id == person, p.left_at.is_(None), s.state == "talking")
            .order_by(p.invited_at.desc())
        )
        async with self._db.read() as c:
            rows = (await c.execute(query)).all()
        return [
            {
                "session": row.id,
                "business": row.business,
                "role": row.role,
                "from": row.display_name,
                "joined": row.joined_at is not None,
            }
            for row in rows
        ]

    # -- colleagues and guests ------------------------------------------------------------

    async def invite(self, session: str, by: Login, colleague: str) -> None:
        """Ask a colleague into the session.

        Raises:
            Conflict: the colleague is there already, or the room is full.
            NotFound: there is no such colleague who may take part.
        """
        async with self._sessions.change(session) as change:
            _require_room(change)
            person = await _colleague(change, colleague)
            await seat(change.tx, session, person, invited_by=by.subject_id)
            await change.enter("invited", by.actor, staff=colleague, role=person.role)
            invited = {
                "session": session,
                "from": by.name,
                "role": person.role,
                "business": change.row["business"],
            }
            change.tell_person(person, "invited", invited)
            self._told(change, person)
        await self.changed(session)

    async def guest(self, session: str, by: Login, name: str, phone: str | None) -> Invitation:
        """A one-use link for a second borrower.

        Raises:
            Conflict: the guest is there already, or the room is full.
        """
        async with self._sessions.change(session) as change:
            _require_room(change)
            link = await self._customers.invite_in(
                change.tx, by, name, phone, change.row["business"], GUEST_HOURS, session
            )
            if change.person(link.customer_id):
                raise Conflict("already_here")
            guest = replace(Attendee.joined(link.customer_id, "customer", "co_customer"),
                            here=False)  # fmt: skip
            await seat(change.tx, session, guest, invited_by=by.subject_id)
            data = {"guest": guest.id, "role": guest.role, "invitation": link.id}
            await change.enter("guest_invited", by.actor, **data)
            self._told(change, guest)
        await self.changed(session)
        return link

    async def join(self, session: str, login: Login, consent: dict[str, Any]) -> None:
        """Somebody invited comes in; a guest with ``consent``: recording, face, version.

        Raises:
            Conflict: the session is over, a customer is at the colleague's own desk, the guest
                did not agree to the recording.
            NotFound: not invited.
        """
        async with self._sessions.change(session) as change:
            person = change.person(login.subject_id)
            if person is None or person.kind != login.kind:
                raise NotFound("unknown_session")
            if person.here:
                return
            change.require("talking")
            if person.kind == "staff":
                self._line.require_free(person.id)
            else:
                await self._consent(change, person, consent)
            await admit(change.tx, session, person.id)
            await change.enter("joined", login.actor, participant=person.id, role=person.role)
            self._told(change, person)
        await self.changed(session)

    async def _consent(self, change: Change, guest: Attendee, consent: dict[str, Any]) -> None:
        self._sessions.require_consent(consent["version"], recording=consent["recording"])
        for answer in await self._sessions.consent(
            change.tx,
            change.id,
            guest.id,
            change.row["language"],
            recording=consent["recording"],
            face=consent["face"],
        ):
            await change.enter("consented", guest.actor, **answer)

    async def step_out(self, session: str, person: str, *, reason: str = "left") -> None:
        """Somebody goes, or does not come: `left`, `declined`, `lost`.

        Raises:
            NotFound: neither here nor invited.
        """
        await self._go(session, person, None, "stepped_out", reason)

    async def remove(self, session: str, by: Login, person: str) -> None:
        """The teller shows somebody out, or takes an invitation back.

        Raises:
            NotAllowed: the customer's and a supervisor's presence is not the teller's to end.
            NotFound: neither here nor invited.
        """
        await self._go(session, person, by, "removed", "removed")

    async def _go(
        self, session: str, person: str, by: Login | None, kind: str, reason: str
    ) -> None:
        async with self._sessions.change(session) as change:
            gone = change.person(person)
            if gone is None:
                # To a stranger the answer is the same as when there is no such session.
                raise NotFound("unknown_participant" if by else "unknown_session")
            if person == change.row["teller_id"]:
                raise Conflict("teller_cannot_leave")
            if person == change.row["customer_id"] or (by and gone.role == "supervisor"):
                raise NotAllowed()
            change.require("talking")
            await dismiss(change.tx, session, person)
            actor = by.actor if by else ("server" if reason == "lost" else gone.actor)
            await change.enter(
                kind, actor, participant=person, role=gone.role, reason=reason
            )
            if gone.here:
                change.tell_person(gone, "session", {"id": session, "state": kind})
            elif by:
                withdrawn = {"session": session, "reason": "cancelled"}
                change.tell_person(gone, "invite_withdrawn", withdrawn)
            self._told(change, gone)
        await self.changed(session)

    # -- supervision ----------------------------------------------------------------------

    async def supervise(self, session: str, by: Login, mode: str, reason: str) -> None:
        """A supervisor begins to listen, whisper or take part, or goes (`off`).

        Raises:
            NotAllowed: the bank does not supervise calls.
            Conflict: the call is over, or somebody else supervises it.
        """
        if self._policy == "off":
            raise NotAllowed("supervision_off")
        if mode != "off" and mode not in get_args(Presence):
            raise UserError("unknown_mode")
        async with self._sessions.change(session) as change:
            change.require("talking")
            before = change.person(by.subject_id)
            if mode == "off" and before is None:
                return
            others = [each for each in change.people if each.role == "supervisor" and each.here]
            if mode != "off" and [each for each in others if each.id != by.subject_id]:
                raise Conflict("supervised_already")
            now = await self._stand(change, by, before, mode)
            entry = {"supervisor": by.subject_id, "mode": mode, "reason": reason}
            await change.enter("supervised", by.actor, **entry)
            if before and now is None:
                change.tell_person(before, "session", {"id": session, "state": "stepped_out"})
            self._told(change, *(each for each in (before, now) if each))
        await self.changed(session)

    async def _stand(
        self, change: Change, by: Login, before: Attendee | None, mode: str
    ) -> Attendee | None:
        if mode == "off":
            await dismiss(change.tx, change.id, by.subject_id)
            return None
        presence = next(each for each in get_args(Presence) if each == mode)
        now = Attendee(by.subject_id, "staff", "supervisor", presence, True)
        if before and before.here:
            await change_row(change.tx, change.id, now.id, presence=presence)
        else:
            await seat(change.tx, change.id, now)
        return now

    def _told(self, change: Change, *concerned: Attendee) -> None:
        """Tell that people have changed, to those who may know of the people concerned."""
        seen = any(self.visible(each) for each in concerned)
        (change.tell if seen else change.tell_staff)("people", {"session": change.id})


def _require_room(change: Change) -> None:
    change.require("talking")
    people = [each for each in change.people if each.role != "supervisor"]
    if len(people) >= MOST_PEOPLE:
        raise Conflict("room_full")


async def _colleague(change: Change, staff: str) -> Attendee:
    """The colleague as invited."""
    if change.person(staff):
        raise Conflict("already_here")
    query = select(t.staff.c.role, t.staff.c.disabled).where(t.staff.c.id == staff)
    row: Row[Any] | None = (await change.tx.execute(query)).first()
    if row is None or row.disabled or row.role not in ALLOWED[Permission.ATTEND]:
        raise NotFound("unknown_colleague")
    return Attendee(staff, "staff", row.role, "joined", False)


async def _nothing(_session: str) -> None:
    """Before the calls are assembled there is no room to follow."""
