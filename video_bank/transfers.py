"""A session goes from one teller to another: it rings at the other desk, and the room stays up.

While it rings the session talks on with its teller; only the acceptance changes whose it is, in
one transaction.  Whatever else happens leaves it where it was.
"""

from sqlalchemy import RowMapping, select

from video_bank.attendance import Attendee, dismiss, seat
from video_bank.errors import Conflict, NotFound
from video_bank.permissions import ALLOWED, Permission
from video_bank.sessions import NO_TRANSFER, Sessions
from video_bank.storage import Tx, now_us
from video_bank.storage import tables as t


class Transfers:
    """The transfers of every session."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def offer(self, session: str, teller: str, to: str, note: str) -> RowMapping:
        """Ring at a colleague's desk; the row as it was.

        Raises:
            Conflict: the session is not this teller's any more, or a transfer rings already.
            NotFound: there is no such colleague who serves customers.
        """
        async with self._sessions.change(session) as change:
            change.require("talking")
            if change.row["teller_id"] != teller:
                raise NotFound("unknown_session")
            if change.row["transfer_to"]:
                raise Conflict("transfer_rings")
            await _require_serving(change.tx, to)
            sealed = self._sessions.encrypted(session, "transfer_note", note) if note else None
            await change.set(transfer_to=to, transfer_at=now_us(), transfer_note=sealed)
            await change.enter(
                "transfer_offered", f"staff:{teller}", to=to, note_length=len(note)
            )
            change.tell_staff("session", {"id": session, "state": "talking", "reason": "transfer"})
        return change.row

    async def fail(self, session: str, to: str, outcome: str, actor: str) -> None:
        """It did not come about: `declined`, `missed` or `cancelled`; the teller goes on.

        Raises:
            Conflict: it does not ring at that desk any more.
        """
        async with self._sessions.change(session) as change:
            if change.row["transfer_to"] != to:
                raise Conflict("offer_gone")
            await change.set(**NO_TRANSFER)
            await change.enter("transfer_failed", actor, to=to, outcome=outcome)
            change.tell_staff("transfer", {"session": session, "state": outcome})

    async def take(self, session: str, to: str) -> str:
        """The colleague takes the session over; the former teller's id.

        Raises:
            Conflict: it does not ring there any more, or the session is over.
        """
        async with self._sessions.change(session) as change:
            former = str(change.row["teller_id"])
            if change.row["state"] != "talking" or change.row["transfer_to"] != to:
                raise Conflict("offer_gone")
            await change.move("transfer", told=False, teller_id=to, **NO_TRANSFER)
            await dismiss(change.tx, session, former)
            taker = Attendee.joined(to, "staff", "teller")
            await seat(change.tx, session, taker)
            await change.enter("transferred", f"staff:{to}", **{"from": former, "to": to})
            gone = Attendee.joined(former, "staff", "teller")
            change.tell_person(gone, "session", {"id": session, "state": "transferred"})
            news = {"id": session, "state": "talking", "reason": "transferred"}
            change.tell_customers("session", news)
            for each in (*change.people, taker):
                if each.here and each.kind == "staff" and each.id != former:
                    change.tell_person(each, "session", news)
        return former


async def _require_serving(tx: Tx, staff: str) -> None:
    query = select(t.staff.c.role).where(t.staff.c.id == staff, t.staff.c.disabled.is_(False))
    role = (await tx.execute(query)).scalar_one_or_none()
    if role not in ALLOWED[Permission.SERVE]:
        raise NotFound("unknown_colleague")
