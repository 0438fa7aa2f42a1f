"""What compliance reviewers see: sessions found, opened for viewing, unmasked.

Opening and unmasking write to the audit log in the same transaction that grants them, so nothing
is shown that is not on record.  Supervisors open calls that go on, and those only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, RowMapping, func, insert, select

from video_bank.accounts import Login
from video_bank.approvals import Approvals
from video_bank.archive import Archive
from video_bank.customers import Customers
from video_bank.errors import NotAllowed, NotFound, UserError
from video_bank.evidence import AUDIT, Timeline
from video_bank.findings import Findings
from video_bank.permissions import ALLOWED, Permission
from video_bank.quality import Quality
from video_bank.replay import Replay, chapters
from video_bank.sessions import Sessions
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t

PAGE = 25
VIEWING_S = 3600
"""A viewing lasts an hour: longer than a session, shorter than a forgotten browser."""
LAST_LOOK_S = 60
"""A supervisor who followed a call may see its last seconds for so long after its end."""


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
        approvals: Approvals,
    ) -> None:
        self._db, self._timeline = db, timeline
        self._sessions, self._customers = sessions, customers
        self._findings, self._archive, self._quality = findings, archive, quality
        self._approvals = approvals
        self.replay = Replay(archive)

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

    async def open(self, session: str, viewer: Login, reason: str) -> dict[str, Any]:
        """Begin a viewing: its entry in the audit log is committed before anything is returned.

        Raises:
            NotAllowed: a second person has not approved it, or the call that a supervisor wants
                to look back into is over.
        """
        row = await self._sessions.get(session)
        if not _reviews(viewer) and row["state"] != "talking":
            raise NotAllowed("viewing_running_only")
        viewing, now = new_id(), now_us()
        expires = now + VIEWING_S * 1_000_000
        async with self._db.write() as tx:
            approval = await self._approvals.require(tx, session, viewer.subject_id)
            viewed = {"session": session, "viewing": viewing, "reason": reason}
            if approval is not None:
                expires = min(expires, approval["expires_at"])
                viewed["approval"] = approval["id"]
            await tx.execute(
                insert(t.viewings).values(
                    id=viewing,
                    session_id=session,
                    by=viewer.subject_id,
                    reason=reason,
                    at=now,
                    expires_at=expires,
                )
            )
            await self._timeline.append(tx, AUDIT, "viewed", f"staff:{viewer.subject_id}", viewed)
        return {
            "viewing": viewing,
            "expires_s": (expires - now) // 1_000_000,
            "session": await self._subject(row),
            "erased": await self._erased(session),
            **await self.moving(session, viewing),
            "findings": await self._found(session, viewing) if _reviews(viewer) else [],
            "quality": await self._quality.of(session),
        }

    async def moving(self, session: str, viewing: str) -> dict[str, Any]:
        """What of a viewing changes while the call goes on: the streams and how far they go, what
        happened, the seal at the end."""
        return {
            "streams": await self.replay.streams(session, viewing),
            "live": await self._live(session),
            "timeline": await self._told(session),
            "seal": await self._archive.stated(session),
        }

    async def _live(self, session: str) -> dict[str, int] | None:
        """Media time now, and up to which it is signed and can be seen; None when it is over."""
        now = self._sessions.witness.media_time_us(session)
        edge = await self.replay.edge(session) if now is not None else None
        return None if now is None or edge is None else {"now_us": now, "edge_us": edge}

    async def _told(self, session: str) -> list[dict[str, Any]]:
        """The timeline, each entry with what the seal of the recording says of it."""
        async with self._db.read() as c:
            entries = await self._timeline.read(c, f"session:{session}")
        return chapters(entries, await self.replay.events(session))

    async def _found(self, session: str, viewing: str) -> list[dict[str, Any]]:
        findings = await self._findings.of(session)
        for finding in findings:
            for each in finding["pictures"]:
                each["url"] = (
                    f"/api/viewings/{viewing}/findings/{finding['id']}/pictures/{each['name']}"
                )
        return findings

    async def _erased(self, session: str) -> dict[str, Any] | None:
        """When the recording was erased for good, and under which certificate."""
        p, e = t.parts.c, t.erasures.c
        query = (
            select(e.at, e.id, e.reason)
            .join(t.parts, p.erasure_id == e.id)
            .where(p.session_id == session)
            .order_by(e.at.desc())
            .limit(1)
        )
        async with self._db.read() as c:
            row = (await c.execute(query)).mappings().first()
        if row is None:
            return None
        return {"at": row["at"], "certificate": row["id"], "reason": row["reason"]}

    async def _subject(self, row: RowMapping) -> dict[str, Any]:
        card = await self._customers.card(row["customer_id"])
        teller = select(t.staff.c.display_name).where(t.staff.c.id == row["teller_id"])
        async with self._db.read() as c:
            name = (await c.execute(teller)).scalar_one_or_none()
        return {
            "id": row["id"],
            "business": row["business"],
            "customer_masked": card["name_masked"],
            "teller": name,
            "at": row["accepted_at"],
            "state": row["state"],
            "decision": row["decision"],
            "decision_reason": self._sessions.words(row, "decision_reason"),
            "notes": self._sessions.words(row, "notes"),
            "rating": row["rating"],
            "end_reason": row["end_reason"],
        }

    async def viewing(self, viewing: str, viewer: Login) -> str:
        """The session of an open viewing of this person.

        Raises:
            NotFound: there is none, it is over, or it is somebody else's.
        """
        v, s = t.viewings.c, t.sessions.c
        query = (
            select(v.session_id, s.ended_at)
            .join(t.sessions, s.id == v.session_id)
            .where(v.id == viewing, v.by == viewer.subject_id, v.expires_at > now_us())
        )
        async with self._db.read() as c:
            row = (await c.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound("viewing_over")
        over_us = now_us() - (row["ended_at"] or now_us())
        if over_us > LAST_LOOK_S * 1_000_000 and not _reviews(viewer):
            raise NotFound("viewing_over")
        return str(row["session_id"])

    async def picture(self, viewing: str, viewer: Login, finding: str, name: str) -> bytes:
        """A Finding's picture inside a viewing."""
        session = await self.viewing(viewing, viewer)
        return await self._findings.picture(session, finding, name)

    async def unmask(self, session: str, reviewer: str, reason: str) -> dict[str, Any]:
        """The customer's data in full; on record before it is returned."""
        row = await self._sessions.get(session)
        async with self._db.write() as tx:
            asked = {"session": session, "reason": reason}
            await self._timeline.append(tx, AUDIT, "unmasked", f"staff:{reviewer}", asked)
        return await self._customers.unmasked(row["customer_id"])


def _reviews(viewer: Login) -> bool:
    return viewer.role in ALLOWED[Permission.REVIEW]
