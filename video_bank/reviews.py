"""What compliance reviewers see: sessions found, opened for viewing, unmasked.

Opening and unmasking write to the audit log in the same transaction that grants them, so nothing
is shown that is not on record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, RowMapping, func, insert, select

from video_bank.archive import Archive
from video_bank.customers import Customers
from video_bank.errors import NotFound, UserError
from video_bank.evidence import AUDIT, Timeline
from video_bank.findings import Findings
from video_bank.quality import Quality
from video_bank.sessions import Sessions
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t

PAGE = 25
VIEWING_S = 3600
"""A viewing lasts an hour: longer than a session, shorter than a forgotten browser."""


@dataclass(frozen=True)
class Filter:
    """Which sessions are wanted; all conditions hold together."""

    since: int | None = None
    until: int | None = None
    business: str | None = None
    teller: str | None = None
    decision: str | None = None
    seal: str | None = None
    page: int = 1

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """From a URL's query; days are UTC days, the last one included.

        Raises:
            UserError: a date or the page number cannot be read.
        """
        try:
            page = int(query.get("page") or 1)
            since, until = _day(query.get("from")), _day(query.get("to"))
        except ValueError:
            raise UserError("bad_request") from None
        return cls(
            since=_us(since) if since else None,
            until=_us(until + timedelta(days=1)) if until else None,
            business=query.get("business") or None,
            teller=query.get("teller") or None,
            decision=query.get("decision") or None,
            seal=query.get("verdict") or None,
            page=min(max(page, 1), 10_000),
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        """The WHERE clause."""
        s = t.sessions.c
        wanted: list[ColumnElement[bool]] = [s.accepted_at.is_not(None)]
        if self.since is not None:
            wanted.append(s.accepted_at >= self.since)
        if self.until is not None:
            wanted.append(s.accepted_at < self.until)
        if self.business:
            wanted.append(s.business == self.business)
        if self.teller:
            wanted.append(t.staff.c.display_name.contains(self.teller, autoescape=True))
        if self.decision:
            wanted.append(s.decision == self.decision)
        if self.seal:
            wanted.append(s.seal == self.seal)
        return wanted


def _day(value: str | None) -> datetime | None:
    return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC) if value else None


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


class Reviews:
    """Everything a reviewer may do."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        sessions: Sessions,
        customers: Customers,
        findings: Findings,
        archive: Archive,
        quality: Quality,
    ) -> None:
        self._db, self._timeline = db, timeline
        self._sessions, self._customers = sessions, customers
        self._findings, self._archive, self._quality = findings, archive, quality

    async def find(self, wanted: Filter) -> dict[str, Any]:
        """One page of sessions, newest first."""
        s = t.sessions.c
        rows = (
            select(t.sessions, t.staff.c.display_name)
            .join(t.staff, t.staff.c.id == s.teller_id)
            .where(*wanted.conditions())
        )
        async with self._db.read() as c:
            counted = select(func.count()).select_from(rows.subquery())
            total = (await c.execute(counted)).scalar_one()
            page = rows.order_by(s.accepted_at.desc()).limit(PAGE).offset((wanted.page - 1) * PAGE)
            found = (await c.execute(page)).mappings().all()
        return {
            "sessions": [await self._line(row) for row in found],
            "total": total,
            "page": wanted.page,
            "pages": -(-total // PAGE),
        }

    async def _line(self, row: RowMapping) -> dict[str, Any]:
        card = await self._customers.card(row["customer_id"])
        ended = row["ended_at"]
        return {
            "id": row["id"],
            "at": row["accepted_at"],
            "business": row["business"],
            "customer_masked": card["name_masked"],
            "teller": row["display_name"],
            "decision": row["decision"],
            "duration_s": (ended - row["accepted_at"]) // 1_000_000 if ended else None,
            "seal": row["seal"],
            "flags": await self._flags(row),
        }

    async def _flags(self, session: RowMapping) -> list[str]:
        """What makes a session worth a closer look."""
        query = (
            select(t.findings.c.check, t.findings.c.verdict)
            .where(t.findings.c.session_id == session["id"])
            .order_by(t.findings.c.attempt)
        )
        async with self._db.read() as c:
            newest = {row.check: row.verdict for row in (await c.execute(query)).all()}
        flags = [f"failed:{check}" for check, verdict in newest.items() if verdict == "failed"]
        if session["state"] == "interrupted":
            flags.append("interrupted")
        if session["seal"] not in (None, "ok"):
            flags.append("seal")
        if not session["consent_face"]:
            flags.append("no_face_consent")
        return flags

    async def open(self, session: str, reviewer: str, reason: str) -> dict[str, Any]:
        """Begin a viewing: its entry in the audit log is committed before anything is returned."""
        row = await self._sessions.get(session)
        viewing, now = new_id(), now_us()
        async with self._db.write() as tx:
            await tx.execute(
                insert(t.viewings).values(
                    id=viewing,
                    session_id=session,
                    by=reviewer,
                    reason=reason,
                    at=now,
                    expires_at=now + VIEWING_S * 1_000_000,
                )
            )
            viewed = {"session": session, "viewing": viewing, "reason": reason}
            await self._timeline.append(tx, AUDIT, "viewed", f"staff:{reviewer}", viewed)
        async with self._db.read() as c:
            entries = await self._timeline.read(c, f"session:{session}")
        findings = await self._findings.of(session)
        for finding in findings:
            for each in finding["pictures"]:
                each["url"] = (
                    f"/api/viewings/{viewing}/findings/{finding['id']}/pictures/{each['name']}"
                )
        return {
            "viewing": viewing,
            "expires_s": VIEWING_S,
            "session": await self._subject(row),
            "streams": await self._archive.streams(session, viewing),
            "timeline": [
                {
                    "seq": entry.seq,
                    "at": entry.at,
                    "media_time_us": entry.media_time_us,
                    "kind": entry.kind,
                    "actor": entry.actor.partition(":")[0],
                    "data": entry.body,
                }
                for entry in entries
            ],
            "findings": findings,
            "quality": await self._quality.of(session),
            "seal": await self._archive.verify(session),
        }

    async def _subject(self, row: RowMapping) -> dict[str, Any]:
        card = await self._customers.card(row["customer_id"])
        return {
            "id": row["id"],
            "business": row["business"],
            "customer_masked": card["name_masked"],
            "at": row["accepted_at"],
            "state": row["state"],
            "decision": row["decision"],
            "decision_reason": self._sessions.words(row, "decision_reason"),
            "notes": self._sessions.words(row, "notes"),
            "rating": row["rating"],
            "end_reason": row["end_reason"],
        }

    async def viewing(self, viewing: str, reviewer: str) -> str:
        """The session of an open viewing of this reviewer.

        Raises:
            NotFound: there is none, it is over, or it is somebody else's.
        """
        query = select(t.viewings.c.session_id).where(
            t.viewings.c.id == viewing,
            t.viewings.c.by == reviewer,
            t.viewings.c.expires_at > now_us(),
        )
        async with self._db.read() as c:
            session = (await c.execute(query)).scalar_one_or_none()
        if session is None:
            raise NotFound("viewing_over")
        return str(session)

    async def picture(self, viewing: str, reviewer: str, finding: str, name: str) -> bytes:
        """A Finding's picture inside a viewing."""
        session = await self.viewing(viewing, reviewer)
        return await self._findings.picture(session, finding, name)

    async def unmask(self, session: str, reviewer: str, reason: str) -> dict[str, Any]:
        """The customer's data in full; on record before it is returned."""
        row = await self._sessions.get(session)
        async with self._db.write() as tx:
            asked = {"session": session, "reason": reason}
            await self._timeline.append(tx, AUDIT, "unmasked", f"staff:{reviewer}", asked)
        return await self._customers.unmasked(row["customer_id"])
