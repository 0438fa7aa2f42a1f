"""The ledger of consents: what each customer agreed to, refused or withdrew, in which words, when.

Rows are only ever added, and each is an entry of a hash chain too (the session's, or the audit
log for what is withdrawn between visits), so that a changed or missing row would be found.
"""

from typing import Any

from sqlalchemy import RowMapping, insert, select

from video_bank.businesses import Consents
from video_bank.errors import Conflict, UserError
from video_bank.evidence import AUDIT, Timeline
from video_bank.storage import Database, Reader, Tx, new_id, now_us
from video_bank.storage import tables as t

FACE, KEPT, RECORDING = "face", "face_kept", "recording"
SUBJECTS = (RECORDING, FACE, KEPT)
"""Recording, processing of the face, and keeping it for the next visit: each on its own."""
WITHDRAWABLE = (FACE, KEPT)
"""A recording is kept by law for its period; it is not in the customer's hands."""


class Ledger:
    """Every answer of every customer."""

    def __init__(self, db: Database, timeline: Timeline, wording: Consents) -> None:
        self._db, self._timeline, self._wording = db, timeline, wording

    async def of(self, customer: str) -> list[dict[str, Any]]:
        """A customer's answers, oldest first."""
        query = select(t.consents).where(t.consents.c.customer_id == customer)
        async with self._db.read() as c:
            rows = (await c.execute(query.order_by(t.consents.c.at, t.consents.c.id))).mappings()
            return [_view(row) for row in rows]

    async def standing(self, customer: str) -> dict[str, dict[str, Any]]:
        """The newest answer for each subject."""
        return {each["subject"]: each for each in await self.of(customer)}

    async def withdraw(self, tx: Tx, customer: str, subject: object, session: str | None) -> None:
        """Take a consent back, in the caller's transaction.

        Raises:
            UserError: the subject is none that can be withdrawn.
            Conflict: it was not given, or is withdrawn already.
        """
        if subject not in WITHDRAWABLE:
            raise UserError("unknown_subject")
        if not await granted(tx, customer, str(subject)):
            raise Conflict("not_given")
        newest = await _newest(tx, customer, str(subject))
        assert newest is not None
        await tx.execute(
            insert(t.consents).values(
                id=new_id(),
                session_id=session,
                customer_id=customer,
                subject=subject,
                granted=False,
                withdrawn=True,
                version=newest["version"],
                text_hash=newest["text_hash"],
                at=now_us(),
            )
        )
        said = {"customer": customer, "subject": subject, "version": newest["version"]}
        actor = f"customer:{customer}"
        await self._timeline.append(tx, AUDIT, "consent_withdrawn", actor, said)
        if session is not None:
            chain = f"session:{session}"
            await self._timeline.append(tx, chain, "consent_withdrawn", actor, said)


async def granted(reader: Reader, customer: str, subject: str) -> bool:
    """Whether the customer's newest answer on a subject is yes."""
    row = await _newest(reader, customer, subject)
    return row is not None and bool(row["granted"])


async def _newest(reader: Reader, customer: str, subject: str) -> RowMapping | None:
    c = t.consents.c
    query = (
        select(t.consents)
        .where(c.customer_id == customer, c.subject == subject)
        .order_by(c.at.desc(), c.id.desc())
        .limit(1)
    )
    return (await reader.execute(query)).mappings().first()


def _view(row: RowMapping) -> dict[str, Any]:
    answer = "agreed" if row["granted"] else "withdrawn" if row["withdrawn"] else "refused"
    return {
        "subject": row["subject"],
        "answer": answer,
        "version": row["version"],
        "text_hash": row["text_hash"],
        "session": row["session_id"],
        "at": row["at"],
    }
