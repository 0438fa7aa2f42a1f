"""A second person's approval of a replay, where the bank's policy asks for one.

A request stands for a day: undecided it lapses then, approved it is good until then.  Nobody
decides their own.  Asking and deciding are entries of the audit log, in the same transaction.
"""

from typing import Any, Literal

from sqlalchemy import RowMapping, insert, or_, select, update

from video_bank.customers import Customers
from video_bank.errors import Conflict, NotAllowed, NotFound, UserError
from video_bank.evidence import AUDIT, Timeline
from video_bank.sessions import Sessions
from video_bank.storage import Database, Reader, new_id, now_us
from video_bank.storage import tables as t

Policy = Literal["off", "second_person"]

GOOD_US = 24 * 3600 * 1_000_000
"""A request stands for so long."""
LISTED = 100
"""The oldest open requests shown at once."""
VERDICTS = {"approved": "approval_given", "refused": "approval_refused"}
"""What can be decided, and what the audit log calls it."""


class Approvals:
    """Requests to replay a session."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        sessions: Sessions,
        customers: Customers,
        *,
        policy: Policy,
    ) -> None:
        self._db, self._timeline = db, timeline
        self._sessions, self._customers = sessions, customers
        self.needed = policy == "second_person"

    async def ask(self, session: str, asker: str, reason: str) -> dict[str, Any]:
        """Ask for a session's replay; who has asked already and was not refused keeps that request.

        Raises:
            Conflict: the policy asks for no approval.
            NotFound: there is no such session.
        """
        if not self.needed:
            raise Conflict("approval_not_needed")
        await self._sessions.get(session)
        now = now_us()
        async with self._db.write() as tx:
            earlier = await _newest(tx, session, asker)
            if earlier is not None and earlier["verdict"] != "refused":
                return {"id": earlier["id"], "expires_at": earlier["expires_at"]}
            approval = new_id()
            await tx.execute(
                insert(t.approvals).values(
                    id=approval,
                    session_id=session,
                    asked_by=asker,
                    reason=reason,
                    asked_at=now,
                    expires_at=now + GOOD_US,
                )
            )
            asked = {"session": session, "approval": approval, "reason": reason}
            await self._timeline.append(tx, AUDIT, "approval_asked", f"staff:{asker}", asked)
        return {"id": approval, "expires_at": now + GOOD_US}

    async def open(self, person: str) -> list[dict[str, Any]]:
        """The requests that stand, oldest first: others' to decide, and one's own with what was
        decided."""
        a = t.approvals.c
        asker, decider = t.staff.alias("asker"), t.staff.alias("decider")
        query = (
            select(
                t.approvals,
                t.sessions.c.accepted_at,
                t.sessions.c.business,
                t.sessions.c.customer_id,
                asker.c.display_name.label("asker"),
                decider.c.display_name.label("decider"),
            )
            .join(t.sessions, t.sessions.c.id == a.session_id)
            .join(asker, asker.c.id == a.asked_by)
            .outerjoin(decider, decider.c.id == a.decided_by)
            .where(a.expires_at > now_us(), or_(a.verdict.is_(None), a.asked_by == person))
            .order_by(a.asked_at)
            .limit(LISTED)
        )
        async with self._db.read() as c:
            rows = (await c.execute(query)).mappings().all()
        return [await self._line(row, person) for row in rows]

    async def _line(self, row: RowMapping, person: str) -> dict[str, Any]:
        card = await self._customers.card(row["customer_id"])
        return {
            "id": row["id"],
            "session": row["session_id"],
            "at": row["accepted_at"],
            "business": row["business"],
            "customer_masked": card["name_masked"],
            "own": row["asked_by"] == person,
            "asker": row["asker"],
            "reason": row["reason"],
            "asked_at": row["asked_at"],
            "expires_at": row["expires_at"],
            "verdict": row["verdict"],
            "decider": row["decider"],
            "decision_reason": row["decision_reason"],
        }

    async def decide(self, approval: str, person: str, verdict: str, reason: str) -> None:
        """Approve or refuse somebody else's request; it is decided once.

        Raises:
            NotAllowed: it is one's own.
            Conflict: it has been decided, or has expired.
        """
        kind = VERDICTS.get(verdict)
        if kind is None:
            raise UserError("bad_request", field="verdict")
        a, now = t.approvals.c, now_us()
        async with self._db.write() as tx:
            row = (
                (await tx.execute(select(t.approvals).where(a.id == approval)))
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise NotFound("unknown_approval")
            if row["asked_by"] == person:
                raise NotAllowed("approval_own")
            decided = await tx.execute(
                update(t.approvals)
                .where(a.id == approval, a.verdict.is_(None), a.expires_at > now)
                .values(verdict=verdict, decided_by=person, decided_at=now, decision_reason=reason)
            )
            if decided.rowcount != 1:
                raise Conflict("approval_over")
            said = {"session": row["session_id"], "approval": approval, "reason": reason}
            await self._timeline.append(tx, AUDIT, kind, f"staff:{person}", said)

    async def require(self, reader: Reader, session: str, person: str) -> RowMapping | None:
        """The approval under which this person may replay the session; None when none is needed.

        Raises:
            NotAllowed: with the state of what was asked: `none`, `waiting` or `refused`.
        """
        if not self.needed:
            return None
        row = await _newest(reader, session, person)
        if row is None:
            raise NotAllowed("approval_needed", state="none")
        if row["verdict"] != "approved":
            raise NotAllowed("approval_needed", state=row["verdict"] or "waiting")
        return row


async def _newest(reader: Reader, session: str, asker: str) -> RowMapping | None:
    """The newest request of this person that still stands."""
    a = t.approvals.c
    query = (
        select(t.approvals)
        .where(a.session_id == session, a.asked_by == asker, a.expires_at > now_us())
        .order_by(a.asked_at.desc(), a.id.desc())
        .limit(1)
    )
    return (await reader.execute(query)).mappings().first()
