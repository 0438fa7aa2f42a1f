"""Signed-in browsers.

The cookie holds 256 random bits; the row is found by their hash, so a stolen database signs
nobody in.  Whoever watches ``login:<id>`` on the bus hears when it ends.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, or_, select

from video_bank.bus import Event
from video_bank.config import Config
from video_bank.permissions import ALLOWED, Permission, Role
from video_bank.secrets import Secrets
from video_bank.storage import Database, Reader, Tx, new_token, now_us
from video_bank.storage.tables import customers, logins, staff

Kind = Literal["staff", "customer"]

TOUCH_US = 30 * 1_000_000
"""A sign of life is written down at most this often."""


@dataclass(frozen=True)
class Login:
    """An authenticated browser."""

    id: str
    """Hash of the cookie's value; safe to log."""
    subject_id: str
    """The staff member's or customer's id."""
    kind: Kind
    role: Role
    name: str
    """What colleagues call a staff member; a customer's own name."""
    csrf: str
    restricted: bool = False
    """Signed in with a one-time password: may replace it and nothing else."""
    began_at: int = 0
    """UTC microseconds."""

    @property
    def actor(self) -> str:
        """How evidence names this person."""
        return f"{self.kind}:{self.subject_id}"


@dataclass(frozen=True)
class SignedIn:
    """A login that just began."""

    login: Login
    cookie: str = field(repr=False)
    """The cookie's value: the only time it is seen."""


def cookie_name(config: Config) -> str:
    """The login cookie; ``__Host-`` makes browsers insist on Secure, this host, the root path."""
    return "__Host-login" if config.https else "login"


def signed_out(reason: str) -> Event:
    """The event of a login's end; reasons: signed_out, everywhere, expired, disabled, reset,
    password_changed."""
    return {"topic": "signed_out", "data": {"reason": reason}}


ELSEWHERE: Event = {"topic": "elsewhere", "data": {}}
"""The event when the same customer opened the visit in another browser."""


class Logins:
    """The table of logins."""

    def __init__(self, database: Database, secrets: Secrets, config: Config) -> None:
        self._database = database
        self._secrets = secrets
        self._idle_us = config.idle_s * 1_000_000
        self._life_us = config.login_s * 1_000_000
        self._busy: Counter[str] = Counter()

    async def start(self, tx: Tx, kind: Kind, subject_id: str) -> SignedIn:
        """A new login; any cookie the browser had before is of no further use to it."""
        cookie, csrf, now = secrets.token_urlsafe(32), new_token(), now_us()
        row = {
            "id": _hash(cookie),
            "kind": kind,
            "subject_id": subject_id,
            "csrf": csrf,
            "created_at": now,
            "seen_at": now,
        }
        await tx.execute(logins.insert().values(row))
        login = await self._login(tx, row)
        if login is None:
            raise ValueError("a login for nobody")
        return SignedIn(login, cookie)

    async def find(self, cookie: str) -> Login | None:
        """Whose cookie this is; None when it is nobody's (any more).  Counts as a sign of life."""
        async with self._database.read() as reader:
            query = select(logins).where(logins.c.id == _hash(cookie), logins.c.ended_at.is_(None))
            row = (await reader.execute(query)).mappings().first()
            login = await self._login(reader, dict(row)) if row else None
        if row is None or login is None:
            return None
        now = now_us()
        if now >= min(row["seen_at"] + self._idle_us, row["created_at"] + self._life_us):
            async with self._database.write() as tx:
                await self._end(tx, logins.c.id == login.id, signed_out("expired"))
            return None
        if now - row["seen_at"] >= TOUCH_US:
            await self.touch(login.id)
        return login

    async def touch(self, *login_ids: str) -> None:
        """Write a sign of life down."""
        async with self._database.write() as tx:
            await tx.execute(
                logins.update()
                .where(logins.c.id.in_(login_ids), logins.c.ended_at.is_(None))
                .values(seen_at=now_us())
            )

    @contextmanager
    def busy(self, login: Login) -> Iterator[None]:
        """Inside, a person in or waiting for a call is not idle, though nothing is asked for."""
        weight = int(login.role in ALLOWED[Permission.ATTEND])
        self._busy[login.id] += weight
        try:
            yield
        finally:
            self._busy[login.id] -= weight
            self._busy += Counter()  # keeps what is above zero

    async def end(self, tx: Tx, login_id: str, event: Event) -> None:
        """End one login."""
        await self._end(tx, logins.c.id == login_id, event)

    async def end_all(
        self, tx: Tx, kind: Kind, subject_id: str, event: Event, *, but: str = ""
    ) -> int:
        """End every login of a person, except the one with id ``but``; says how many."""
        whose = (logins.c.kind == kind) & (logins.c.subject_id == subject_id)
        return await self._end(tx, whose & (logins.c.id != but), event)

    async def end_expired(self) -> int:
        """End what nobody used in time, so that its sockets close; says how many."""
        if self._busy:
            await self.touch(*self._busy.elements())
        now = now_us()
        late = or_(
            logins.c.seen_at <= now - self._idle_us, logins.c.created_at <= now - self._life_us
        )
        async with self._database.read() as reader:
            query = select(logins.c.id).where(late, logins.c.ended_at.is_(None)).limit(1)
            if (await reader.execute(query)).first() is None:
                return 0
        async with self._database.write() as tx:
            return await self._end(tx, late, signed_out("expired"))

    async def _end(self, tx: Tx, which: ColumnElement[bool], event: Event) -> int:
        live = which & logins.c.ended_at.is_(None)
        ids = (await tx.execute(select(logins.c.id).where(live))).scalars().all()
        await tx.execute(logins.update().where(logins.c.id.in_(ids)).values(ended_at=now_us()))
        for login_id in ids:
            tx.publish(f"login:{login_id}", event)
        return len(ids)

    async def _login(self, reader: Reader, row: dict[str, Any]) -> Login | None:
        subject = row["subject_id"]
        if row["kind"] == "staff":
            found = (await reader.execute(select(staff).where(staff.c.id == subject))).first()
            if found is None or found.disabled:
                return None
            role, name, restricted = Role(found.role), found.display_name, found.password_one_time
        else:
            query = select(customers.c.name).where(customers.c.id == subject)
            sealed = (await reader.execute(query)).scalar()
            if sealed is None:
                return None
            name = self._secrets.decrypt_text(sealed, f"customers.name:{subject}")
            role, restricted = Role.CUSTOMER, False
        return Login(
            row["id"],
            subject,
            row["kind"],
            role,
            name,
            row["csrf"],
            bool(restricted),
            row["created_at"],
        )


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
