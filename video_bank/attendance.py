"""Who takes part in which session: the rows, one for each person of a session.

A row is made by an invitation or by coming in, and ends when the person leaves; coming again
begins it anew.  What happened when stands in the timeline.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

from sqlalchemy import RowMapping, insert, select, update

from video_bank.storage import Reader, Tx, now_us
from video_bank.storage.tables import participants

Presence = Literal["joined", "listening", "whispering"]


@dataclass(frozen=True)
class Attendee:
    """One person of a session."""

    id: str
    kind: str
    "staff or customer."
    role: str
    "In this session: customer, teller, co_customer, or a colleague's own role."
    presence: Presence
    "How a supervisor is there; everybody else has joined."
    here: bool
    "Takes part now; otherwise is invited."

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """From a row of somebody who has not left."""
        here = row["joined_at"] is not None
        return cls(row["person_id"], row["kind"], row["role"], row["presence"], here)

    @classmethod
    def joined(cls, person: str, kind: str, role: str) -> Self:
        """Somebody who comes in like anybody."""
        return cls(person, kind, role, "joined", True)

    @property
    def actor(self) -> str:
        """How evidence and the bus name this person."""
        return f"{self.kind}:{self.id}"


async def attendees(reader: Reader, session: str) -> list[Attendee]:
    """Who takes part in a session or is invited, in the order of their coming."""
    p = participants.c
    query = (
        select(participants)
        .where(p.session_id == session, p.left_at.is_(None))
        .order_by(p.joined_at.is_(None), p.joined_at, p.invited_at, p.person_id)
    )
    return [Attendee.of(row) for row in (await reader.execute(query)).mappings()]


async def seat(tx: Tx, session: str, person: Attendee, *, invited_by: str | None = None) -> None:
    """Invite somebody, or let them in at once (``person.here``); an earlier row begins anew."""
    now = now_us()
    values: dict[str, Any] = {
        "kind": person.kind,
        "role": person.role,
        "presence": person.presence,
        "invited_by": invited_by,
        "invited_at": now if invited_by else None,
        "joined_at": now if person.here else None,
        "left_at": None,
    }
    if not await change(tx, session, person.id, **values):
        key = {"session_id": session, "person_id": person.id}
        await tx.execute(insert(participants).values(key | values))


async def admit(tx: Tx, session: str, person: str) -> None:
    """Somebody invited is there now."""
    await change(tx, session, person, joined_at=now_us())


async def dismiss(tx: Tx, session: str, person: str) -> None:
    """Somebody has left, or does not come."""
    await change(tx, session, person, left_at=now_us())


async def change(tx: Tx, session: str, person: str, **values: Any) -> bool:
    """Change somebody's row; whether there is one."""
    p = participants.c
    done = await tx.execute(
        update(participants)
        .where(p.session_id == session, p.person_id == person)
        .values(**values)
    )
    return done.rowcount == 1
