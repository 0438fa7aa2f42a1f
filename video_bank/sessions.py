"""The life of a video session: the verbs that move it along its table of steps.

Each verb is one transaction, a :class:`Change`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import RowMapping, func, insert, select

from video_bank.attendance import Attendee, attendees, dismiss, seat
from video_bank.businesses import Businesses, Consents
from video_bank.change import Change, Unwitnessed, Witness
from video_bank.errors import Conflict, NotFound, TooMany, UserError
from video_bank.evidence import Timeline
from video_bank.routing import Waiting
from video_bank.secrets import Secrets
from video_bank.storage import Database, Tx, new_id, now_us
from video_bank.storage import tables as t

LIVE = ("waiting", "offered", "talking")
"States in which the customer is still being served; one session of a customer at a time."
DECISIONS = ("approved", "refused", "referred")
NO_TRANSFER: dict[str, Any] = {"transfer_to": None, "transfer_at": None, "transfer_note": None}
"A session's columns while no transfer rings."
LINE_FULL_RETRY_S = 60
DAY_US = 86_400_000_000
TEXT_LIMIT = 2000
"Characters in a chat message, a note, a reason or a comment."


def text(value: object, *, least: int = 0, most: int = TEXT_LIMIT) -> str:
    """A text from outside: a string within its bounds, without control characters.

    Raises:
        UserError: it is not a text, too short or too long.
    """
    if not isinstance(value, str):
        raise UserError("text_expected")
    cleaned = "".join(c for c in value if c == "\n" or c.isprintable()).strip()
    if not least <= len(cleaned) <= most:
        raise UserError("text_length", least=least, most=most)
    return cleaned


class Sessions:
    """Every session, by its id."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        secrets: Secrets,
        businesses: Businesses,
        consents: Consents,
        *,
        queue_limit: int,
    ) -> None:
        self._db = db
        self._timeline = timeline
        self._secrets = secrets
        self._businesses = businesses
        self._consents = consents
        self._queue_limit = queue_limit
        self.witness: Witness = Unwitnessed()
        self.on_line_change: Callable[[], None] = lambda: None
        "Called after anything that changes who waits."

    @asynccontextmanager
    async def change(self, session: str) -> AsyncIterator[Change]:
        """The session's row for a change, in one transaction.

        Raises:
            NotFound: there is no such session.
        """
        async with self._db.write() as tx:
            found = await tx.execute(select(t.sessions).where(t.sessions.c.id == session))
            row = found.mappings().one_or_none()
            if row is None:
                raise NotFound("unknown_session")
            people = await attendees(tx, session)
            change = Change(tx, row, people, self._timeline, self.witness)
            yield change
        for kind, actor, data in change.entries:
            self.witness.saw(session, kind, actor, data)

    def writing(self) -> AbstractAsyncContextManager[Tx]:
        """A transaction for what concerns no single session."""
        return self._db.write()

    async def get(self, session: str) -> RowMapping:
        """The session's row.

        Raises:
            NotFound: there is no such session.
        """
        async with self._db.read() as c:
            found = await c.execute(select(t.sessions).where(t.sessions.c.id == session))
            row = found.mappings().one_or_none()
        if row is None:
            raise NotFound("unknown_session")
        return row

    def encrypted(self, session: str, column: str, words: str) -> bytes:
        """What people write about a session, encrypted for its column."""
        return self._secrets.encrypt(words, f"sessions.{column}:{session}")

    def words(self, row: RowMapping, column: str) -> str:
        """What people wrote: `notes`, `transfer_note` and the like."""
        kept = row[column]
        return self._secrets.decrypt_text(kept, f"sessions.{column}:{row['id']}") if kept else ""

    async def newest_of(self, customer: str) -> RowMapping | None:
        """The customer's newest session, going on or over."""
        query = (
            select(t.sessions)
            .where(t.sessions.c.customer_id == customer)
            .order_by(t.sessions.c.created_at.desc())
            .limit(1)
        )
        async with self._db.read() as c:
            return (await c.execute(query)).mappings().one_or_none()

    async def waiting(self) -> list[Waiting]:
        """The line, unordered."""
        query = select(t.sessions).where(t.sessions.c.state == "waiting")
        async with self._db.read() as c:
            rows = (await c.execute(query)).mappings().all()
        return [
            Waiting(
                row["id"],
                row["business"],
                row["language"],
                row["queued_at"],
                row["priority"],
                frozenset(row["passed_over"]),
            )
            for row in rows
        ]

    # -- the customer's verbs -------------------------------------------------------------

    async def join(
        self,
        customer: str,
        business: str,
        language: str,
        *,
        recording: bool,
        face: bool,
        version: str,
        face_kept: bool | None = None,
        priority: int = 0,
    ) -> str:
        """Put a customer in the line; a customer who already is in it keeps the place.

        ``face_kept``: whether the face may be kept for the next visit; None: it was not asked, and
        an earlier answer stands.

        Raises:
            Conflict: recording was refused (the law asks for it, so a video session cannot be
                held; the page offers other ways), or the consents' wording has changed meanwhile.
            TooMany: the line is full.
        """
        wanted = self._businesses[business]
        if language not in ("zh", "en"):
            raise UserError("unknown_language")
        self.require_consent(version, recording=recording)
        session, now = new_id(), now_us()
        async with self._db.write() as tx:
            query = select(t.sessions.c.id).where(
                t.sessions.c.customer_id == customer, t.sessions.c.state.in_(LIVE)
            )
            running = (await tx.execute(query)).scalar()
            if running:
                return str(running)
            count = select(func.count()).where(t.sessions.c.state == "waiting")
            if (await tx.execute(count)).scalar_one() >= self._queue_limit:
                raise TooMany(LINE_FULL_RETRY_S, "line_full")
            await tx.execute(
                insert(t.sessions).values(
                    id=session,
                    customer_id=customer,
                    business=wanted.id,
                    language=language,
                    priority=priority,
                    state="waiting",
                    consent_face=face,
                    consent_version=version,
                    created_at=now,
                    queued_at=now,
                )
            )
            chain, actor = f"session:{session}", f"customer:{customer}"
            await self._timeline.append(tx, chain, "joined", actor, {"business": wanted.id})
            for answer in await self.consent(
                tx,
                session,
                customer,
                language,
                recording=recording,
                face=face,
                face_kept=face_kept,
            ):
                await self._timeline.append(tx, chain, "consented", actor, answer)
            await self._timeline.append(tx, chain, "queued", actor, {})
        self.on_line_change()
        return session

    def require_consent(self, version: str, *, recording: bool) -> None:
        """Raises Conflict when the wording has changed, or recording was refused."""
        if version != self._consents.version:
            raise Conflict("consent_outdated")
        if not recording:
            raise Conflict("recording_needed")

    async def consent(
        self,
        tx: Tx,
        session: str,
        customer: str,
        language: str,
        *,
        recording: bool,
        face: bool,
        face_kept: bool | None = None,
    ) -> list[dict[str, Any]]:
        """Keep what a person agreed to, in the present wording; what to enter of it."""
        answers = []
        said = {"recording": recording, "face": face}
        if face_kept is not None:
            said["face_kept"] = face_kept and face  # what may not be processed cannot be kept
        for subject, granted in said.items():
            wording = self._consents.text_hash(subject, language)
            await tx.execute(
                insert(t.consents).values(
                    id=new_id(),
                    session_id=session,
                    customer_id=customer,
                    subject=subject,
                    granted=granted,
                    version=self._consents.version,
                    text_hash=wording,
                    at=now_us(),
                )
            )
            answers.append(
                {
                    "subject": subject,
                    "granted": granted,
                    "version": self._consents.version,
                    "text_hash": wording,
                }
            )
        return answers

    # -- the line's verbs -----------------------------------------------------------------

    async def offer(self, session: str, teller: str) -> RowMapping:
        """Ring at a teller's desk; returns the row as it was."""
        async with self.change(session) as change:
            await change.move("offer", teller_id=teller, offered_at=now_us())
            await change.enter("offered", f"staff:{teller}")
        self.on_line_change()
        return change.row

    async def back_to_line(self, session: str, event: str, teller: str) -> None:
        """The offer came to nothing: `decline`, `ring_out`, `withdraw` (the desk went away) or
        `crash` (the server stopped under it, which is no fault of the teller's)."""
        kind = {"decline": "offer_declined", "crash": "offer_withdrawn"}.get(event, "offer_missed")
        async with self.change(session) as change:
            if change.row["teller_id"] != teller:
                raise Conflict("offer_gone")
            passed = {*change.row["passed_over"], *(() if event == "crash" else (teller,))}
            await change.move(event, teller_id=None, offered_at=None, passed_over=sorted(passed))
            await change.enter(kind, "server" if event == "crash" else f"staff:{teller}")
        self.on_line_change()

    async def accept(self, session: str, teller: str) -> None:
        """The teller takes the customer.

        Raises:
            Conflict: the offer is no longer this teller's.
        """
        async with self.change(session) as change:
            if change.row["state"] != "offered" or change.row["teller_id"] != teller:
                raise Conflict("offer_gone")
            await change.move("accept", accepted_at=now_us())
            customer = str(change.row["customer_id"])
            await seat(change.tx, session, Attendee.joined(customer, "customer", "customer"))
            await seat(change.tx, session, Attendee.joined(teller, "staff", "teller"))
            await change.enter("accepted", f"staff:{teller}")
        self.on_line_change()

    async def leave(self, session: str, reason: str = "customer_left") -> None:
        """The customer leaves before being served."""
        async with self.change(session) as change:
            await change.move("leave", ended_at=now_us(), end_reason=reason)
            await change.enter("ended", change.customer, reason=reason)
        self.on_line_change()

    # -- the call's verbs -----------------------------------------------------------------

    async def end(self, session: str, actor: str, reason: str) -> None:
        """The conversation is over; the teller still has to wrap up."""
        async with self.change(session) as change:
            await change.move(
                "end", ended_at=now_us(), end_reason=reason, on_hold=False, **NO_TRANSFER
            )
            if target := change.row["transfer_to"]:
                await change.enter("transfer_failed", "server", to=target, outcome="ended")
            for each in change.people:
                if not each.here:
                    await dismiss(change.tx, session, each.id)
                    withdrawn = {"session": session, "reason": "ended"}
                    change.tell_person(each, "invite_withdrawn", withdrawn)
            await change.enter("ended", actor, reason=reason)

    async def interrupt(self, session: str) -> None:
        """The server died under the call and has found the session again."""
        async with self.change(session) as change:
            ended, reason = change.row["ended_at"] or now_us(), change.row["end_reason"]
            await change.move(
                "crash",
                ended_at=ended,
                closed_at=now_us(),
                end_reason=reason or "interrupted",
                **NO_TRANSFER,
            )
            await change.enter("recovered", "server")

    async def hold(self, session: str, teller: str, on: bool) -> None:
        """Mark the session as on hold, or as going on."""
        async with self.change(session) as change:
            change.require("talking")
            if bool(change.row["on_hold"]) != on:
                await change.set(on_hold=on)
                await change.enter("held" if on else "resumed", f"staff:{teller}")
                change.tell("hold", {"session": session, "on": on})

    async def note_event(self, session: str, kind: str, actor: str, **data: Any) -> None:
        """A timeline entry that changes no row: connected, muted, check_started and the like."""
        async with self.change(session) as change:
            await change.enter(kind, actor, **data)
            change.tell_staff(
                "session", {"id": session, "state": change.row["state"], "reason": kind}
            )

    async def close(self, session: str, teller: str) -> None:
        """Wrap-up is done.

        Raises:
            Conflict: nothing was decided yet.
        """
        async with self.change(session) as change:
            if not change.row["decision"] and change.row["end_reason"] == "teller_ended":
                raise Conflict("decision_missing")
            await change.move("close", closed_at=now_us())

    async def seal(self, session: str, verdict: str, **data: Any) -> None:
        """The recording's verdict, once its parts are finished."""
        async with self.change(session) as change:
            await change.set(seal=verdict)
            await change.enter("sealed", "server", verdict=verdict, **data)
            change.tell(
                "session", {"id": session, "state": change.row["state"], "reason": "sealed"}
            )

    async def recording_failed(self, session: str) -> None:
        """The recording broke off: known at once, so that nothing is approved on it."""
        async with self.change(session) as change:
            await change.set(seal="incomplete")
            await change.enter("recording_failed", "server")

    async def history(self, customer: str, *, before: str) -> list[dict[str, Any]]:
        """The customer's earlier sessions, newest first, at most ten."""
        s = t.sessions.c
        query = (
            select(s.id, s.created_at, s.business, s.decision, s.state)
            .where(s.customer_id == customer, s.id != before, s.state != "abandoned")
            .order_by(s.created_at.desc())
            .limit(10)
        )
        async with self._db.read() as c:
            rows = (await c.execute(query)).all()
        return [
            {
                "session": row.id,
                "at": row.created_at,
                "business": row.business,
                "decision": row.decision,
                "state": row.state,
            }
            for row in rows
        ]

    async def today(self, teller: str) -> dict[str, Any]:
        """The teller's last 24 hours: calls served, their mean length, share of rings answered."""
        s, since = t.sessions.c, now_us() - DAY_US
        served = select(func.count(), func.avg(s.ended_at - s.accepted_at)).where(
            s.teller_id == teller, s.accepted_at > since, s.ended_at.is_not(None)
        )
        actor = f"staff:{teller}"
        rings = (
            select(t.timeline.c.kind, func.count().label("number"))
            .where(
                t.timeline.c.actor == actor,
                t.timeline.c.kind.in_(("offered", "accepted")),
                t.timeline.c.at > since,
            )
            .group_by(t.timeline.c.kind)
        )
        async with self._db.read() as c:
            count, average = (await c.execute(served)).one()
            rung = {row.kind: row.number for row in (await c.execute(rings)).all()}
        offered = rung.get("offered", 0)
        return {
            "served": count,
            "average_s": round(float(average) / 1e6) if average else None,
            "answered_rate": rung.get("accepted", 0) / offered if offered else None,
        }

    async def waiting_customers(self) -> dict[str, str]:
        """Who waits: session → customer."""
        query = select(t.sessions.c.id, t.sessions.c.customer_id).where(
            t.sessions.c.state == "waiting"
        )
        async with self._db.read() as c:
            return {str(a): str(b) for a, b in (await c.execute(query)).all()}

    async def unfinished(self) -> list[str]:
        """Sessions whose call was up when the server last stopped."""
        query = select(t.sessions.c.id).where(t.sessions.c.state.in_(("talking", "wrap_up")))
        async with self._db.read() as c:
            return [str(row[0]) for row in (await c.execute(query)).all()]

    async def never_accepted(self, sessions: Sequence[str]) -> list[str]:
        """Those of ``sessions`` whose call has not begun."""
        query = select(t.sessions.c.id).where(
            t.sessions.c.id.in_(sessions), t.sessions.c.accepted_at.is_(None)
        )
        async with self._db.read() as c:
            return [str(row[0]) for row in (await c.execute(query)).all()]

    async def offered(self) -> list[tuple[str, str]]:
        """Sessions that ring at a desk, with that teller."""
        query = select(t.sessions.c.id, t.sessions.c.teller_id).where(
            t.sessions.c.state == "offered"
        )
        async with self._db.read() as c:
            return [(str(a), str(b)) for a, b in (await c.execute(query)).all()]
