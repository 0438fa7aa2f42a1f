"""Legal holds: while one stands nothing of the session is erased, whatever its period says."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from video_bank.errors import Conflict, NotFound
from video_bank.evidence import AUDIT, Timeline
from video_bank.storage import Database, Reader, new_id, now_us
from video_bank.storage import tables as t


async def standing(reader: Reader) -> Mapping[str, str]:
    """The session of every standing hold, with the hold's id."""
    query = select(t.holds.c.session_id, t.holds.c.id).where(t.holds.c.lifted_at.is_(None))
    return {row.session_id: row.id for row in (await reader.execute(query)).all()}


class Holds:
    """Every hold."""

    def __init__(self, db: Database, timeline: Timeline) -> None:
        self._db, self._timeline = db, timeline

    async def place(self, session: str, by: str, reason: str) -> str:
        """Hold a session; one hold at a time.

        Raises:
            NotFound: there is no such session.
            Conflict: it is held already, or erased.
        """
        hold = new_id()
        async with self._db.write() as tx:
            known = select(t.sessions.c.id).where(t.sessions.c.id == session)
            if (await tx.execute(known)).scalar() is None:
                raise NotFound("unknown_session")
            if session in await standing(tx):
                raise Conflict("held_already")
            erased = select(t.parts.c.id).where(
                t.parts.c.session_id == session, t.parts.c.erased_at.is_not(None)
            )
            if (await tx.execute(erased)).first():
                raise Conflict("recording_erased")
            await tx.execute(
                insert(t.holds).values(
                    id=hold, session_id=session, reason=reason, placed_by=by, placed_at=now_us()
                )
            )
            data = {"session": session, "hold": hold, "reason": reason}
            for chain in (AUDIT, f"session:{session}"):
                await self._timeline.append(tx, chain, "hold_placed", f"staff:{by}", data)
        return hold

    async def lift(self, hold: str, by: str, reason: str) -> None:
        """End a hold.

        Raises:
            NotFound: there is no such hold, or it was lifted already.
        """
        async with self._db.write() as tx:
            query = select(t.holds.c.session_id).where(
                t.holds.c.id == hold, t.holds.c.lifted_at.is_(None)
            )
            session = (await tx.execute(query)).scalar()
            if session is None:
                raise NotFound("unknown_hold")
            await tx.execute(
                update(t.holds)
                .where(t.holds.c.id == hold)
                .values(lifted_by=by, lifted_at=now_us(), lift_reason=reason)
            )
            data = {"session": session, "hold": hold, "reason": reason}
            for chain in (AUDIT, f"session:{session}"):
                await self._timeline.append(tx, chain, "hold_lifted", f"staff:{by}", data)

    async def all(self) -> list[dict[str, Any]]:
        """Standing holds, newest first, with who placed them and why."""
        query = (
            select(t.holds, t.staff.c.display_name)
            .join(t.staff, t.staff.c.id == t.holds.c.placed_by)
            .where(t.holds.c.lifted_at.is_(None))
            .order_by(t.holds.c.placed_at.desc())
        )
        async with self._db.read() as c:
            rows = (await c.execute(query)).mappings().all()
        return [
            {
                "id": row["id"],
                "session": row["session_id"],
                "reason": row["reason"],
                "by": row["display_name"],
                "at": row["placed_at"],
            }
            for row in rows
        ]
