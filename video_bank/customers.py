"""Customers: how they come in (by invitation, or walking in), and what is known of them.

Name, phone and ID number are encrypted in the database and found again by keyed hashes; pages get
them masked unless the person needs them to do the work.
"""

import secrets as randomness
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, func, select

from video_bank.config import Config
from video_bank.delivery import Delivery, delivery_of
from video_bank.errors import UserError
from video_bank.evidence import AUDIT, Timeline
from video_bank.logins import ELSEWHERE, Login, Logins, SignedIn
from video_bank.person import clean_name, clean_phone, mask_id_number, mask_name, mask_phone
from video_bank.rates import Rate
from video_bank.secrets import Secrets
from video_bank.storage import Database, Reader, Tx, new_id, new_token, now_us
from video_bank.storage.tables import codes, customers, invitations, participants, sessions

__all__ = [
    "Challenge",
    "Customers",
    "Invitation",
    "Person",
    "mask_id_number",
    "mask_name",
    "mask_phone",
]

GONE = 410
MOST_HOURS = 30 * 24
HOUR_US = 3600 * 1_000_000


@dataclass(frozen=True)
class Person:
    """A customer in full; for whoever may see it."""

    id: str
    name: str = field(repr=False)
    phone: str | None = field(repr=False)
    id_number: str | None = field(repr=False)


@dataclass(frozen=True)
class Invitation:
    """A personal link that was just made."""

    id: str
    customer_id: str
    url: str = field(repr=False)
    """The only time it is seen."""
    expires_at: int
    """UTC microseconds."""


@dataclass(frozen=True)
class Challenge:
    """A walk-in waiting for its code."""

    id: str
    expires_s: int
    demo_code: str | None = field(repr=False)
    """The code itself, in a demo only."""


class Customers:
    """The customers of the bank."""

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        timeline: Timeline,
        config: Config,
        delivery: Delivery | None = None,
    ) -> None:
        """``delivery``: who sends the codes; default: what ``config`` says."""
        self._database = database
        self._secrets = secrets
        self._timeline = timeline
        self._config = config
        self._logins = Logins(database, secrets, config)
        self._delivery = delivery or delivery_of(config)
        self._address_rate = Rate(config.sign_in_rate, 60)
        self._code_rate = Rate(config.walk_in_rate, 600)
        self._phone_rate = Rate(max(1, config.walk_in_rate // 3), 600)

    # Invitations

    async def invite(
        self,
        by: Login,
        name: str,
        phone: str | None = None,
        business: str | None = None,
        hours: int | None = None,
    ) -> Invitation:
        """Make a personal link: signed, good once, for ``hours`` (default: the setting's)."""
        if hours is not None and not 1 <= hours <= MOST_HOURS:
            raise UserError("bad_request", field="hours")
        hours = hours or self._config.invitation_hours
        async with self._database.write() as tx:
            return await self.invite_in(tx, by, name, phone, business, hours)

    async def invite_in(
        self,
        tx: Tx,
        by: Login,
        name: str,
        phone: str | None,
        business: str | None,
        hours: int,
        session: str | None = None,
    ) -> Invitation:
        """The link in the caller's transaction; with ``session`` it is a guest's, for that one."""
        name = clean_name(name)
        phone = clean_phone(phone) if phone else None
        key, now = new_id(), now_us()
        expires_at = now + hours * HOUR_US
        customer = await self._find_or_create(tx, name, phone)
        await tx.execute(
            invitations.insert().values(
                id=key,
                customer_id=customer,
                business=business,
                session_id=session,
                created_by=by.subject_id,
                created_at=now,
                expires_at=expires_at,
            )
        )
        data = {"invitation": key, "customer": customer}
        await self._timeline.append(tx, AUDIT, "invited", by.actor, data)
        token = f"{key}.{self._secrets.sign('invitation', key)}"
        return Invitation(key, customer, f"{self._config.public_url}/i/{token}", expires_at)

    async def accept(self, token: str, address: str, current: Login | None = None) -> SignedIn:
        """Sign the invited customer in and use the link up; older logins end (``elsewhere``).

        ``current``: the browser's login; whoever came by this link and opens it again goes on.
        Raises ``invitation_invalid``, ``invitation_used``, ``invitation_expired``.
        """
        self._address_rate.take(address)
        key, _, signature = token.partition(".")
        if not self._secrets.signed("invitation", key, signature):
            raise UserError("invitation_invalid", 404)
        async with self._database.write() as tx:
            query = select(invitations).where(invitations.c.id == key)
            row = (await tx.execute(query)).first()
            if row is None:
                raise UserError("invitation_invalid", 404)
            again = (
                current is not None
                and current.kind == "customer"
                and current.subject_id == row.customer_id
            )
            if row.used_at is not None and not again:
                raise UserError("invitation_used", GONE)
            if row.expires_at <= now_us() and not again:
                raise UserError("invitation_expired", GONE)
            if row.session_id and not await _awaited(tx, row.session_id, row.customer_id):
                raise UserError("invitation_expired", GONE)
            await tx.execute(
                invitations.update()
                .where(invitations.c.id == key)
                .values(used_at=row.used_at or now_us())
            )
            return await self._sign_in(tx, row.customer_id, {"invitation": key})

    async def invitations(self, by: Login) -> list[dict[str, Any]]:
        """The newest hundred that ``by`` made; the links themselves are not kept."""
        query = (
            select(invitations, customers.c.name)
            .join(customers)
            .where(invitations.c.created_by == by.subject_id)
            .order_by(invitations.c.created_at.desc())
            .limit(100)
        )
        async with self._database.read() as reader:
            rows = (await reader.execute(query)).all()
        return [
            {
                "id": row.id,
                "customer_masked": mask_name(self._open(row.name, "name", row.customer_id)),
                "business": row.business,
                "created_at": row.created_at,
                "expires_at": row.expires_at,
                "used_at": row.used_at,
            }
            for row in rows
        ]

    # Walking in

    async def walk_in(self, name: str, phone: str, language: str, address: str) -> Challenge:
        """Send a six-digit code to ``phone``; ``language`` is the text's (zh, en).

        Says nothing about whether the phone is known.  Raises ``walk_in_closed``, ``too_many``,
        ``delivery_failed``.
        """
        name, phone = clean_name(name), clean_phone(phone)
        delivery = self._delivery
        if delivery is None or not self._config.walk_in:
            raise UserError("walk_in_closed", 403)
        self._code_rate.take(address)
        self._phone_rate.take(self._secrets.lookup("phone", phone))
        key, code, now = new_token(), f"{randomness.randbelow(1_000_000):06}", now_us()
        async with self._database.write() as tx:
            await tx.execute(codes.delete().where(codes.c.expires_at < now - HOUR_US))
            await tx.execute(
                codes.insert().values(
                    id=key,
                    code_hash=self._code_hash(key, code),
                    name=self._secrets.encrypt(name, f"codes.name:{key}"),
                    phone=self._secrets.encrypt(phone, f"codes.phone:{key}"),
                    expires_at=now + self._config.code_s * 1_000_000,
                )
            )
        await delivery.send(phone, _message(code, self._config.code_s, language))
        return Challenge(key, self._config.code_s, code if delivery.on_screen else None)

    async def confirm(self, challenge: str, code: str, address: str) -> SignedIn:
        """Sign the walk-in customer in.  Raises ``code_wrong``, ``code_expired``."""
        self._address_rate.take(address)
        async with self._database.write() as tx:
            outcome = await self._confirm(tx, challenge, code)
        # Raised here and not inside, where it would undo the count of tries.
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    async def _confirm(self, tx: Tx, challenge: str, code: str) -> SignedIn | UserError:
        row = (await tx.execute(select(codes).where(codes.c.id == challenge))).first()
        if (
            row is None
            or row.used_at is not None
            or row.expires_at <= now_us()
            or row.tries >= self._config.code_tries
        ):
            return UserError("code_expired", GONE)
        if not randomness.compare_digest(row.code_hash, self._code_hash(challenge, code)):
            tries = row.tries + 1
            await tx.execute(
                codes.update().where(codes.c.id == challenge).values(tries=tries)
            )
            return UserError("code_wrong", tries_left=self._config.code_tries - tries)
        await tx.execute(codes.update().where(codes.c.id == challenge).values(used_at=now_us()))
        name = self._secrets.decrypt_text(row.name, f"codes.name:{challenge}")
        phone = self._secrets.decrypt_text(row.phone, f"codes.phone:{challenge}")
        customer = await self._find_or_create(tx, name, phone)
        return await self._sign_in(tx, customer, {"walk_in": True})

    def _code_hash(self, challenge: str, code: str) -> str:
        return self._secrets.lookup("code", f"{challenge} {code}")

    async def _sign_in(self, tx: Tx, customer: str, data: dict[str, Any]) -> SignedIn:
        await self._timeline.append(tx, AUDIT, "signed_in", f"customer:{customer}", data)
        await self._logins.end_all(tx, "customer", customer, ELSEWHERE)
        return await self._logins.start(tx, "customer", customer)

    # What is known

    async def name(self, customer: str) -> str:
        """The customer's name in full."""
        async with self._database.read() as reader:
            return (await self._person(reader, customer)).name

    async def names(self, among: Collection[str]) -> dict[str, str]:
        """Several customers' names in full, by id."""
        query = select(customers.c.id, customers.c.name).where(customers.c.id.in_(among))
        async with self._database.read() as reader:
            rows = (await reader.execute(query)).all() if among else []
        return {row.id: self._open(row.name, "name", row.id) for row in rows}

    async def card(self, customer: str) -> dict[str, Any]:
        """The customer for staff: name, masked phone and ID number, visits so far."""
        query = (
            select(func.count())
            .select_from(sessions)
            .where(sessions.c.customer_id == customer, sessions.c.accepted_at.is_not(None))
        )
        async with self._database.read() as reader:
            person = await self._person(reader, customer)
            visits = (await reader.execute(query)).scalar_one()
        return {
            "id": person.id,
            "name": person.name,
            "name_masked": mask_name(person.name),
            "phone_masked": mask_phone(person.phone) if person.phone else None,
            "id_masked": mask_id_number(person.id_number) if person.id_number else None,
            "visits": visits,
        }

    async def unmasked(self, customer: str) -> dict[str, str | None]:
        """Name, phone and ID number in full; the caller has put it on record."""
        async with self._database.read() as reader:
            person = await self._person(reader, customer)
        return {"name": person.name, "phone": person.phone, "id": person.id_number}

    async def set_id_number(self, tx: Tx, customer: str, number: str) -> None:
        """Remember the number of a card that was checked."""
        number = number.upper()
        await tx.execute(
            customers.update()
            .where(customers.c.id == customer)
            .values(
                id_number=self._seal(number, "id_number", customer),
                id_number_key=self._secrets.lookup("id_number", number),
            )
        )

    async def _person(self, reader: Reader, customer: str) -> Person:
        query = select(customers).where(customers.c.id == customer)
        return self._person_of((await reader.execute(query)).one())

    def _person_of(self, row: Row[Any]) -> Person:
        return Person(
            row.id,
            self._open(row.name, "name", row.id),
            self._open(row.phone, "phone", row.id) if row.phone else None,
            self._open(row.id_number, "id_number", row.id) if row.id_number else None,
        )

    async def _find_or_create(self, tx: Tx, name: str, phone: str | None) -> str:
        phone_key = self._secrets.lookup("phone", phone) if phone else None
        if phone_key:
            # The same phone is not yet the same person: families share one.
            query = select(customers).where(customers.c.phone_key == phone_key)
            for row in (await tx.execute(query.order_by(customers.c.id))).all():
                if self._open(row.name, "name", row.id) == name:
                    return str(row.id)
        key = new_id()
        await tx.execute(
            customers.insert().values(
                id=key,
                name=self._seal(name, "name", key),
                phone=self._seal(phone, "phone", key) if phone else None,
                phone_key=phone_key,
                created_at=now_us(),
            )
        )
        return key

    def _seal(self, text: str, column: str, customer: str) -> bytes:
        return self._secrets.encrypt(text, f"customers.{column}:{customer}")

    def _open(self, sealed: bytes, column: str, customer: str) -> str:
        return self._secrets.decrypt_text(sealed, f"customers.{column}:{customer}")


async def _awaited(reader: Reader, session: str, guest: str) -> bool:
    """Whether a guest is still expected, or is, in a session that goes on."""
    query = (
        select(sessions.c.id)
        .join(participants, participants.c.session_id == sessions.c.id)
        .where(
            sessions.c.id == session,
            sessions.c.state == "talking",
            participants.c.person_id == guest,
            participants.c.left_at.is_(None),
        )
    )
    return (await reader.execute(query)).first() is not None


def _message(code: str, code_s: int, language: str) -> str:
    minutes = max(1, code_s // 60)
    if language == "en":
        return f"Video bank: your code is {code}, good for {minutes} min. Tell it to nobody."
    return f"【视频银行】您的验证码为 {code}，{minutes} 分钟内有效，请勿告诉他人。"
