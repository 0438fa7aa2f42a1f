"""The people of the bank: who has an account, who made, disabled or reset it."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select

from video_bank.errors import Conflict, NotFound, UserError
from video_bank.evidence import AUDIT, Timeline
from video_bank.logins import Login, Logins, signed_out
from video_bank.passwords import Passwords, one_time_password
from video_bank.permissions import ALLOWED, STAFF, Permission, Role
from video_bank.person import clean_name
from video_bank.secrets import Secrets
from video_bank.storage import Database, Reader, Tx, new_id, now_us
from video_bank.storage.tables import staff

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


@dataclass(frozen=True)
class StaffMember:
    """A staff account that was just made or reset."""

    id: str
    name: str
    password: str = field(repr=False)
    """The one-time password: the only time it is seen."""


class Staff:
    """Every staff account."""

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        timeline: Timeline,
        logins: Logins,
        passwords: Passwords,
    ) -> None:
        self._database, self._secrets, self._timeline = database, secrets, timeline
        self._logins, self._passwords = logins, passwords

    async def everybody(self) -> list[dict[str, Any]]:
        """Every account, for administrators."""
        async with self._database.read() as reader:
            rows = (await reader.execute(select(staff).order_by(staff.c.name))).all()
        return [
            {
                "id": row.id,
                "name": row.name,
                "display_name": row.display_name,
                "role": row.role,
                "disabled": bool(row.disabled),
                "totp": enrolled(row),
                "last_seen": row.last_seen_at,
            }
            for row in rows
        ]

    async def display_name(self, staff_id: str) -> str:
        """What to call a colleague; also when the account is disabled."""
        async with self._database.read() as reader:
            return str((await by_id(reader, staff_id)).display_name)

    async def skills(self, staff_id: str) -> frozenset[str]:
        """Businesses and languages this person serves; empty means all."""
        async with self._database.read() as reader:
            return frozenset((await by_id(reader, staff_id)).skills)

    async def serving(self, among: Iterable[str]) -> list[dict[str, Any]]:
        """Those of ``among`` who may serve customers: id, name, role, skills."""
        return await self._may(Permission.SERVE, among)

    async def attending(self, among: Iterable[str]) -> list[dict[str, Any]]:
        """Those of ``among`` who may take part in a colleague's session, as :meth:`serving`."""
        return await self._may(Permission.ATTEND, among)

    async def _may(self, permission: Permission, among: Iterable[str]) -> list[dict[str, Any]]:
        wanted = (
            staff.c.id.in_(list(among))
            & staff.c.role.in_(ALLOWED[permission])
            & staff.c.disabled.is_(False)
        )
        async with self._database.read() as reader:
            query = select(staff).where(wanted).order_by(staff.c.display_name, staff.c.id)
            rows = (await reader.execute(query)).all()
        return [
            {"id": row.id, "name": row.display_name, "role": row.role, "skills": row.skills}
            for row in rows
        ]

    async def unsafe_demo(self, name: str, display_name: str, role: Role) -> str:
        """Make, or make usable again, an account whose password is going to be printed."""
        password = one_time_password()
        async with self._database.read() as reader:
            row = await by_name(reader, name)
        if row is None:
            await self.create(name, display_name, role, by="demo", password=password)
            return password
        hashed = await self._passwords.hash(password)
        renewed = _fresh(hashed) | {"password_one_time": False, "disabled": False}
        async with self._database.write() as tx:
            await tx.execute(staff.update().where(staff.c.id == row.id).values(renewed))
            await self._audit(tx, "staff_reset", "demo", staff=row.id)
            await self._logins.end_all(tx, "staff", row.id, signed_out("reset"))
        return password

    async def disable_demo(self, prefix: str) -> None:
        """Disable what an earlier demo has left; every login of theirs ends."""
        async with self._database.write() as tx:
            left = staff.c.name.startswith(prefix, autoescape=True) & ~staff.c.disabled
            for row in (await tx.execute(select(staff).where(left))).all():
                await tx.execute(
                    staff.update().where(staff.c.id == row.id).values(disabled=True)
                )
                await self._audit(tx, "staff_disabled", "server", staff=row.id)
                await self._logins.end_all(tx, "staff", row.id, signed_out("disabled"))

    async def create(
        self,
        name: str,
        display_name: str,
        role: str,
        *,
        by: str,
        password: str | None = None,
        totp_secret: str | None = None,
        skills: Sequence[str] = (),
    ) -> StaffMember:
        """Make an account with a one-time password.

        ``by``: the actor, for the audit log.  A demo gives ``password`` (then not one-time) and
        ``totp_secret``.  Raises ``name_invalid``, ``name_taken``, ``role_unknown``.
        """
        name = sign_in_name(name)
        if not _NAME.fullmatch(name):
            raise UserError("name_invalid", field="name")
        if role not in STAFF:
            raise UserError("role_unknown", field="role")
        chosen = password or one_time_password()
        staff_id = new_id()
        values: dict[str, Any] = {
            "id": staff_id,
            "name": name,
            "display_name": clean_name(display_name),
            "role": role,
            "password_hash": await self._passwords.hash(chosen),
            "password_one_time": password is None,
            "skills": list(skills),
            "created_at": now_us(),
        }
        if totp_secret is not None:
            place = f"staff.totp_secret:{staff_id}"
            values["totp_secret"] = self._secrets.encrypt(totp_secret, place)
            values["totp_last_step"] = 0
        async with self._database.write() as tx:
            if await by_name(tx, name) is not None:
                raise Conflict("name_taken", field="name")
            await tx.execute(staff.insert().values(values))
            await self._audit(tx, "staff_created", by, staff=staff_id, role=str(role))
        return StaffMember(staff_id, name, chosen)

    async def set_disabled(self, staff_id: str, disabled: bool, *, by: Login) -> None:
        """Disable (every login ends at once) or enable an account; not one's own."""
        async with self._database.write() as tx:
            row = await self._another(tx, staff_id, by)
            await tx.execute(staff.update().where(staff.c.id == row.id).values(disabled=disabled))
            kind = "staff_disabled" if disabled else "staff_enabled"
            await self._audit(tx, kind, by.actor, staff=row.id)
            if disabled:
                await self._logins.end_all(tx, "staff", row.id, signed_out("disabled"))

    async def reset(self, staff_id: str, *, by: Login) -> StaffMember:
        """A new one-time password, no second factor, no lock-out, every login ended."""
        password = one_time_password()
        hashed = await self._passwords.hash(password)
        async with self._database.write() as tx:
            row = await self._another(tx, staff_id, by)
            await tx.execute(
                staff.update()
                .where(staff.c.id == row.id)
                .values(_fresh(hashed))
            )
            await self._audit(tx, "staff_reset", by.actor, staff=row.id)
            await self._logins.end_all(tx, "staff", row.id, signed_out("reset"))
        return StaffMember(row.id, row.name, password)

    async def _another(self, tx: Tx, staff_id: str, by: Login) -> Row[Any]:
        if staff_id == by.subject_id:
            raise Conflict("own_account")
        return await by_id(tx, staff_id)

    async def _audit(self, tx: Tx, kind: str, actor: str, **data: Any) -> None:
        await self._timeline.append(tx, AUDIT, kind, actor, data)


def _fresh(password_hash: str) -> dict[str, Any]:
    """What a reset leaves of an account: a one-time password, no second factor, no lock-out."""
    return {
        "password_hash": password_hash,
        "password_one_time": True,
        "totp_secret": None,
        "totp_last_step": None,
        "failures": 0,
        "locked_until": None,
    }


def sign_in_name(text: str) -> str:
    """A name as it is compared: the same however it was typed."""
    return unicodedata.normalize("NFKC", text).strip().lower()[:64]


def enrolled(row: Row[Any]) -> bool:
    """Whether the second factor is in force."""
    # A secret without a step was shown but never confirmed.
    return row.totp_secret is not None and row.totp_last_step is not None


async def by_name(reader: Reader, name: str) -> Row[Any] | None:
    """The account of a name, if there is one."""
    return (await reader.execute(select(staff).where(staff.c.name == name))).first()


async def by_id(reader: Reader, staff_id: str) -> Row[Any]:
    """The account.  Raises ``not_found``."""
    row = (await reader.execute(select(staff).where(staff.c.id == staff_id))).first()
    if row is None:
        raise NotFound()
    return row
