"""Erasure: the keys of a session's recording destroyed, its personal data removed, a certificate.

In this order, so that a crash at any point leaves something the next run finishes: first one
transaction takes every wrapped key, every value and text of the session out of the database;
then files go; then the signed certificate says what went, what stays and what could not go.

What stays is the record that there was a session: its times, business, decision and seal, who
served it, verdicts and scores of its checks, both hash chains (which hold ids and hashes), the
chain values of its parts.  And whatever left the server before: copies and database backups,
which become unreadable when the month's key-encryption key is destroyed.
"""

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, delete, insert, or_, select, update

from video_bank.archive import TENANT, Archive
from video_bank.blobs import Blobs
from video_bank.errors import Conflict, NotFound
from video_bank.evidence import AUDIT, Timeline
from video_bank.holds import standing
from video_bank.periods import Policy
from video_bank.person import mask_name
from video_bank.secrets import Secrets
from video_bank.storage import Database, Tx, new_id, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

ASKED = "erasure_asked"
"The audit log's name of a request that a second person has to follow."
GOOD_US = 24 * 3600 * 1_000_000
"It stands for so long."
LIVE = ("waiting", "offered", "talking", "wrap_up")
"States in which a session is still worked on."
STAYS = (
    "session: times, business, teller, decision, seal",
    "checks: verdict, reason, score, threshold, models",
    "timeline and audit log: ids and hashes",
    "parts: id, chain, records, bytes, verdict",
    "consents, viewings, holds, approvals",
    "customer: masked name; in full while another session of theirs is kept",
)
"""What a certificate says is still there."""


@dataclass
class Gone:
    """What of a session has left the database and still has to leave the disk."""

    parts: list[dict[str, Any]]
    counts: dict[str, int]
    blobs: list[str]
    exports: list[str]


async def _nothing(_tx: Tx, _person: str) -> None:
    return None


class Erasure:
    """Erases sessions, one at a time."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        archive: Archive,
        blobs: Blobs,
        secrets: Secrets,
        policy: Policy,
    ) -> None:
        self._db, self._timeline, self._archive = db, timeline, archive
        self._blobs, self._secrets, self._policy = blobs, secrets, policy
        self.on_erased: Callable[[str], None] = lambda part: None
        "Told of every part whose key was just destroyed."
        self.on_cleared: Callable[[Tx, str], Awaitable[None]] = _nothing
        "Told, in the transaction, of every person who is taken out."

    async def erase(
        self,
        session: str,
        reason: str,
        *,
        by: str | None = None,
        early: bool = False,
        asked: Mapping[str, Any] | None = None,
        now: int | None = None,
    ) -> str:
        """Erase one session for good; answers with the id of its certificate.

        ``by``: the staff member, none for the nightly job.  ``early``: before its time is over.
        ``asked``: the other person's request (:meth:`asked`), where the policy needs two.

        Raises:
            NotFound: there is no such session, or nothing of it was recorded.
            Conflict: it is under legal hold, goes on still, is erased already or not yet due.
        """
        erasure, now = new_id(), now or now_us()
        actor = f"staff:{by}" if by else "server"
        if asked:
            reason = f"{reason} (asked for by staff:{asked['by']}: {asked['reason']})"
        async with self._db.write() as tx:
            parts = await self._erasable(tx, session, now, early=early)
            gone = await self._clear(tx, session)
            gone.parts = [self._described(part) for part in parts]
            await tx.execute(
                insert(t.erasures).values(
                    id=erasure,
                    at=now,
                    by=by,
                    reason=reason,
                    sessions=[session],
                    parts=gone.parts,
                    keks=[],
                    certificate="",
                )
            )
            await tx.execute(
                update(t.parts)
                .where(t.parts.c.session_id == session)
                .values(wrapped_dek=None, erased_at=now, erasure_id=erasure)
            )
            data = {"session": session, "erasure": erasure, "reason": reason}
            for chain in (AUDIT, f"session:{session}"):
                await self._timeline.append(tx, chain, "erased", actor, data)
        for part in parts:
            self.on_erased(part["id"])
        try:
            await self._finish(erasure, gone)
        except OSError:
            # Without their keys the files say nothing; the next night removes them and signs.
            log.exception("x files of an erased session cannot be removed now")
        return erasure

    async def ask(self, session: str, by: str, reason: str, *, early: bool) -> None:
        """Ask for an erasure that a second person has to make.

        Raises what :meth:`erase` does for a session that may not be erased.
        """
        async with self._db.write() as tx:
            await self._erasable(tx, session, now_us(), early=early)
            data = {"session": session, "reason": reason}
            await self._timeline.append(tx, AUDIT, ASKED, f"staff:{by}", data)

    async def asked(self) -> dict[str, dict[str, Any]]:
        """The erasures asked for within a day, by session: who, when and why."""
        e = t.timeline.c
        since = now_us() - GOOD_US
        query = select(e.actor, e.at, e.data).where(e.chain == AUDIT, e.kind == ASKED, e.at > since)
        async with self._db.read() as c:
            rows = (await c.execute(query.order_by(e.seq))).all()
            names = {row.id: row.display_name for row in (await c.execute(select(t.staff))).all()}
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            said, by = json.loads(row.data), row.actor.partition(":")[2]
            one = {"by": by, "name": names.get(by, by), "at": row.at, "reason": said["reason"]}
            found.setdefault(said["session"], one)
        return found

    async def unlock(self) -> int:
        """Remove the files that a store's lock kept when their session was erased, where it has
        run out; how many.  Their certificates say `locked`, the audit log when they went."""
        query = select(t.erasures).where(t.erasures.c.certificate.contains('"locked"'))
        async with self._db.read() as c:
            rows = (await c.execute(query)).mappings().all()
        removed = 0
        for row in rows:
            said = json.loads(row["certificate"])["statement"]["parts"]
            locked = {each["part_id"] for each in said if each["file"] == "locked"}
            left = [p for p in row["parts"] if p["part_id"] in locked and "removed_at" not in p]
            try:
                files = await self._archive.remove({p["part_id"]: p["name"] for p in left})
            except OSError:
                log.exception("x files whose lock may have run out cannot be removed now")
                continue
            gone = [part for part, became in files.items() if became == "removed"]
            if gone:
                await self._removed(row, gone)
            removed += len(gone)
        return removed

    async def _removed(self, row: RowMapping, gone: Sequence[str]) -> None:
        now = now_us()
        parts = [p | ({"removed_at": now} if p["part_id"] in gone else {}) for p in row["parts"]]
        async with self._db.write() as tx:
            await tx.execute(
                update(t.erasures).where(t.erasures.c.id == row["id"]).values(parts=parts)
            )
            data = {"erasure": row["id"], "parts": list(gone)}
            await self._timeline.append(tx, AUDIT, "locked_removed", "server", data)

    async def unrecorded(self, before: int) -> list[str]:
        """Customers of whom nothing was ever recorded and who were last here before then."""
        s, c, i, p = t.sessions.c, t.customers.c, t.invitations.c, t.participants.c
        recorded = select(t.parts.c.session_id)
        took_part = select(p.session_id).where(p.person_id == c.id).correlate(t.customers)
        busy = select(s.id).where(
            or_(s.customer_id == c.id, s.id.in_(took_part)),
            or_(s.id.in_(recorded), s.state.in_(LIVE), s.created_at > before),
        )
        invited = select(i.id).where(i.customer_id == c.id, i.expires_at > before)
        query = select(t.customers).where(c.created_at < before, ~busy.exists(), ~invited.exists())
        async with self._db.read() as reader:
            rows = (await reader.execute(query.order_by(c.created_at))).mappings().all()
        return [row["id"] for row in rows if self._is_named(row)]

    async def forget(self, customer: str, before: int) -> bool:
        """Mask such a customer's name and take out phone, ID number and what was written; false if
        they came back meanwhile."""
        if customer not in await self.unrecorded(before):
            return False
        async with self._db.write() as tx:
            if await self._needed(tx, customer, besides=""):
                return False
            query = select(t.sessions.c.id).where(t.sessions.c.customer_id == customer)
            sessions = list((await tx.execute(query)).scalars())
            if set(sessions) & set(await standing(tx)):
                return False
            for session in sessions:
                await self._clear_words(tx, session)
            await self._mask(tx, customer)
            data = {"customer": customer}
            await self._timeline.append(tx, AUDIT, "customer_forgotten", "server", data)
        return True

    def _is_named(self, row: RowMapping) -> bool:
        name = self._secrets.decrypt_text(row["name"], f"customers.name:{row['id']}")
        return bool(row["phone"] or row["id_number"]) or name != mask_name(name)

    async def _clear_words(self, tx: Tx, session: str) -> int:
        """Chat, notes and reasons of a session; how many lines of chat."""
        chats = await tx.execute(delete(t.chats).where(t.chats.c.session_id == session))
        words = {"decision_reason": None, "notes": None, "transfer_note": None}
        await tx.execute(
            update(t.sessions)
            .where(t.sessions.c.id == session)
            .values(**words, rating_comment=None)
        )
        return chats.rowcount

    async def _mask(self, tx: Tx, person: str) -> None:
        c, place = t.customers.c, f"customers.name:{person}"
        name = (await tx.execute(select(c.name).where(c.id == person))).scalar_one()
        masked = mask_name(self._secrets.decrypt_text(name, place))
        await tx.execute(
            update(t.customers)
            .where(c.id == person)
            .values(
                name=self._secrets.encrypt(masked, place),
                phone=None,
                phone_key=None,
                id_number=None,
                id_number_key=None,
            )
        )

    async def destroyed(self, keks: Sequence[str], reason: str) -> str:
        """Write down that key-encryption keys were destroyed; the certificate's id."""
        erasure = new_id()
        async with self._db.write() as tx:
            await tx.execute(
                insert(t.erasures).values(
                    id=erasure,
                    at=now_us(),
                    reason=reason,
                    sessions=[],
                    parts=[],
                    keks=list(keks),
                    certificate="",
                )
            )
            data = {"erasure": erasure, "keks": list(keks)}
            await self._timeline.append(tx, AUDIT, "keys_destroyed", "server", data)
        await self._finish(erasure, Gone([], {}, [], []))
        return erasure

    async def resume(self) -> int:
        """Finish what a crash cut short between the database and the certificate; how many were
        to be finished."""
        query = select(t.erasures).where(t.erasures.c.certificate == "")
        async with self._db.read() as c:
            rows = (await c.execute(query)).mappings().all()
        for row in rows:
            blobs, exports = [], []
            for session in row["sessions"]:
                async with self._db.read() as c:
                    blobs += _blobs_of(await _findings(c, session))
                    exports += await _exports(c, session)
            try:
                await self._finish(row["id"], Gone(row["parts"], {}, blobs, exports))
            except OSError:
                log.exception("x files of an erased session still cannot be removed")
        return len(rows)

    async def certificate(self, erasure: str) -> str:
        """The signed certificate, as JSON.  Raises :class:`NotFound`."""
        query = select(t.erasures.c.certificate).where(t.erasures.c.id == erasure)
        async with self._db.read() as c:
            text = (await c.execute(query)).scalar_one_or_none()
        if not text:
            raise NotFound("unknown_certificate")
        return str(text)

    async def latest(self, limit: int) -> list[dict[str, Any]]:
        """The newest erasures, without their certificates."""
        query = (
            select(t.erasures, t.staff.c.display_name)
            .outerjoin(t.staff, t.staff.c.id == t.erasures.c.by)
            .order_by(t.erasures.c.at.desc())
            .limit(limit)
        )
        async with self._db.read() as c:
            rows = (await c.execute(query)).mappings().all()
        return [
            {
                "id": row["id"],
                "at": row["at"],
                "by": row["display_name"],
                "reason": row["reason"],
                "sessions": row["sessions"],
                "parts": len(row["parts"]),
                "keks": row["keks"],
                "finished": bool(row["certificate"]),
            }
            for row in rows
        ]

    async def _erasable(
        self, tx: Tx, session: str, now: int, *, early: bool
    ) -> Sequence[RowMapping]:
        """The session's parts, if all of them may be erased."""
        found = await tx.execute(select(t.sessions).where(t.sessions.c.id == session))
        row = found.mappings().one_or_none()
        query = select(t.parts).where(t.parts.c.session_id == session).order_by(t.parts.c.number)
        parts = (await tx.execute(query)).mappings().all()
        if row is None or not parts:
            raise NotFound("unknown_session")
        if session in await standing(tx):
            raise Conflict("legal_hold")
        if row["state"] in LIVE or any(part["sealed_at"] is None for part in parts):
            raise Conflict("not_now", state=row["state"])
        if all(part["erased_at"] for part in parts):
            raise Conflict("recording_erased", certificate=parts[0]["erasure_id"])
        until = max(part["kept_until"] or 0 for part in parts)
        if not early and (until > now or any(part["kept_until"] is None for part in parts)):
            raise Conflict("not_yet_due", kept_until=until or None)
        return parts

    def _described(self, part: RowMapping) -> dict[str, Any]:
        """A part as the certificate names it; the contents of the file bear the chain out."""
        kept = self._policy[part["product_class"]]
        return {
            "part_id": part["id"],
            "session": part["session_id"],
            "number": part["number"],
            "name": part["name"],
            "chain": part["chain"],
            "records": part["records"],
            "bytes": part["bytes"],
            "kek": part["kek_id"],
            "class": part["product_class"],
            "kept_until": _iso(part["kept_until"]),
            "sources": [each.id for each in kept.applying],
        }

    async def _clear(self, tx: Tx, session: str) -> Gone:
        """Take the session's personal data out of the database."""
        findings = await _findings(tx, session)
        for row in findings:
            place = f"findings.values:{row['id']}"
            await tx.execute(
                update(t.findings)
                .where(t.findings.c.id == row["id"])
                .values(values=self._secrets.encrypt("{}", place))
            )
        ids = [row["id"] for row in findings]
        corrections = await tx.execute(
            delete(t.corrections).where(t.corrections.c.finding_id.in_(ids))
        )
        counts = {
            "findings": len(findings),
            "pictures": sum(len(row["pictures"]) for row in findings),
            "corrections": corrections.rowcount,
            "chats": await self._clear_words(tx, session),
            "customers": await self._clear_customers(tx, session),
        }
        return Gone([], counts, _blobs_of(findings), await _exports(tx, session))

    async def _clear_customers(self, tx: Tx, session: str) -> int:
        """Take out the people of whom nothing but erased sessions is left."""
        s, p = t.sessions.c, t.participants.c
        here = select(s.customer_id).where(s.id == session)
        guests = select(p.person_id).where(p.session_id == session, p.kind == "customer")
        people = {row[0] for row in (await tx.execute(here.union(guests))).all()}
        cleared = 0
        for person in sorted(people):
            if await self._needed(tx, person, besides=session):
                continue
            await self.on_cleared(tx, person)
            await self._mask(tx, person)
            cleared += 1
        return cleared

    async def _needed(self, tx: Tx, person: str, *, besides: str) -> bool:
        """Whether a recording that is not erased, a session that goes on or an open invitation is
        this person's."""
        s, p, i = t.sessions.c, t.participants.c, t.invitations.c
        theirs = select(s.id).where(s.customer_id == person)
        took_part = select(p.session_id).where(p.person_id == person)
        kept = select(t.parts.c.session_id).where(t.parts.c.erased_at.is_(None))
        other = select(s.id).where(
            s.id.in_(theirs.union(took_part)),
            s.id != besides,
            s.id.in_(kept) | s.state.in_(LIVE),
        )
        invited = select(i.id).where(
            i.customer_id == person, i.used_at.is_(None), i.expires_at > now_us()
        )
        return any([(await tx.execute(each)).first() for each in (other, invited)])

    async def _finish(self, erasure: str, gone: Gone) -> None:
        """Remove the files, then sign what was done."""
        names = {part["part_id"]: part["name"] for part in gone.parts}
        files = await self._archive.remove(names)
        for blob in gone.blobs:
            await self._blobs.delete(blob)
        exports = 0
        for path in gone.exports:
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()
                exports += 1
        async with self._db.read() as c:
            query = select(t.erasures).where(t.erasures.c.id == erasure)
            row = (await c.execute(query)).mappings().one()
        statement = self._statement(row, files, {**gone.counts, "exports": exports})
        certificate = await self._archive.certify(statement)
        async with self._db.write() as tx:
            for session in row["sessions"]:
                await tx.execute(
                    update(t.findings).where(t.findings.c.session_id == session).values(pictures=[])
                )
                await tx.execute(
                    update(t.exports).where(t.exports.c.session_id == session).values(path=None)
                )
            await tx.execute(
                update(t.erasures).where(t.erasures.c.id == erasure).values(certificate=certificate)
            )
        log.info("- erased for good, certificate %s", erasure)

    def _statement(
        self, row: RowMapping, files: Mapping[str, str], counts: Mapping[str, int]
    ) -> dict[str, Any]:
        parts = [{**part, "file": files[part["part_id"]]} for part in row["parts"]]
        return {
            "format": "erasure certificate",
            "version": 1,
            "id": row["id"],
            "tenant": TENANT,
            "at": _iso(row["at"]),
            "by": f"staff:{row['by']}" if row["by"] else "server",
            "reason": row["reason"],
            "policy": self._policy.version,
            "keyring": self._archive.keyring.name,
            "sessions": row["sessions"],
            "parts": parts,
            "keks": row["keks"],
            "also_erased": dict(counts),
            "stays": list(STAYS) if row["sessions"] else [],
        }


async def _findings(reader: Any, session: str) -> Sequence[RowMapping]:
    query = select(t.findings.c.id, t.findings.c.pictures).where(t.findings.c.session_id == session)
    return list((await reader.execute(query)).mappings().all())


def _blobs_of(findings: Sequence[RowMapping]) -> list[str]:
    return [each["blob"] for row in findings for each in row["pictures"]]


async def _exports(reader: Any, session: str) -> list[str]:
    query = select(t.exports.c.path).where(
        t.exports.c.session_id == session, t.exports.c.path.is_not(None)
    )
    return [str(row[0]) for row in (await reader.execute(query)).all()]


def _iso(us: int | None) -> str | None:
    if us is None:
        return None
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")
