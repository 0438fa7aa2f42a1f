"""Staff accounts: signing in and out, passwords, the second factor, and who made whom.

``python -m video_bank.accounts create-admin --name NAME [--data DIR]`` makes the first account.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from sqlalchemy import Row, select
from sqlalchemy.exc import SQLAlchemyError

from video_bank import totp
from video_bank.bus import LocalBus
from video_bank.config import Config
from video_bank.errors import Conflict, NotAllowed, NotSignedIn, OperatorError, UserError
from video_bank.evidence import AUDIT, Head, Timeline, write_head
from video_bank.lockout import Failures, Strangers
from video_bank.logins import Login, Logins, SignedIn, cookie_name, signed_out
from video_bank.passwords import MOST, Passwords, refuse_weak
from video_bank.permissions import ALLOWED, Permission, Role
from video_bank.rates import Rate
from video_bank.secrets import Secrets
from video_bank.staff import Staff, StaffMember, by_id, by_name, enrolled, sign_in_name
from video_bank.storage import Database, Tx, now_us
from video_bank.storage.tables import staff

__all__ = ["LOGIN", "Accounts", "Login", "SignedIn", "StaffMember", "cookie_name", "require"]

LOGIN = web.RequestKey("login", Login)
"""Whose request it is; there when the browser is signed in."""

logger = logging.getLogger(__name__)

REFUSAL_S = 0.3
"""A refused sign-in is answered after so long: far more than any of its reasons takes to find."""

SWEEP_S = 30
AUDIT_PAGE = 50
"""Entries on a page of the audit log."""




def require(login: Login | None, permission: Permission) -> Login:
    """The login, if its role has ``permission``.

    Raises ``login_required``, ``password_change_required`` or ``not_allowed``.
    """
    if login is None:
        raise NotSignedIn()
    if login.role not in ALLOWED[permission]:
        raise NotAllowed()
    if login.restricted and permission not in (Permission.SIGNED_IN, Permission.OWN_ACCOUNT):
        raise NotAllowed("password_change_required")
    return login


class Accounts:
    """The staff of the bank."""

    def __init__(
        self, database: Database, secrets: Secrets, timeline: Timeline, config: Config
    ) -> None:
        self.logins = Logins(database, secrets, config)
        self._database = database
        self._secrets = secrets
        self._timeline = timeline
        self._passwords = Passwords()
        self.staff = Staff(database, secrets, timeline, self.logins, self._passwords)
        self._strangers = Strangers()
        self._address_rate = Rate(config.sign_in_rate, 60)
        self._own_rate = Rate(5, 60)
        self._config = config
        self._head: Head | None = None

    def close(self) -> None:
        """End the threads that hash."""
        self._passwords.close()

    async def run(self) -> None:
        """Until cancelled: end logins nobody used in time, keep the audit log's head."""
        while True:
            try:
                await self.logins.end_expired()
                await self.keep_head()
            except SQLAlchemyError:
                logger.exception("- the database is away; trying again")
            await asyncio.sleep(SWEEP_S)

    async def keep_head(self) -> None:
        """Write the audit log's head, if it moved on, to ``audit.heads`` beside the database."""
        async with self._database.read() as reader:
            head = await self._timeline.head(reader, AUDIT)
        if head.seq and head != self._head:
            await asyncio.to_thread(write_head, self._config.data / "audit.heads", head)
            self._head = head

    async def sign_in(
        self, name: str, password: str, totp_code: str | None, address: str
    ) -> SignedIn:
        """Sign a staff member in.

        Answers ``locked``, ``wrong_credentials``, ``totp_required``, ``totp_wrong``; the first
        two alike, and as slowly, whether or not there is such a name.
        """
        self._address_rate.take(address)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            return await self._sign_in(name, password, totp_code)
        except UserError:
            await asyncio.sleep(max(0.0, started + REFUSAL_S - clock()))
            raise

    async def _sign_in(self, name: str, password: str, totp_code: str | None) -> SignedIn:
        if len(password) > MOST:
            raise UserError("bad_request", field="password")
        name = sign_in_name(name)
        async with self._database.read() as reader:
            row = await by_name(reader, name)
        if wait := self._failures(row, name).wait_s():
            raise NotSignedIn("locked", retry_after_s=wait)
        right = await self._passwords.verify(password, row.password_hash if row else None)
        async with self._database.write() as tx:
            outcome = await self._judge(tx, name, password_right=right, code=totp_code)
        # Raised here and not inside, where it would undo the count of failures.
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    async def _judge(
        self, tx: Tx, name: str, *, password_right: bool, code: str | None
    ) -> SignedIn | UserError:
        # The row as it is now: of attempts that were hashed side by side, those after the fifth
        # failure find the name locked.
        row = await by_name(tx, name)
        if wait := self._failures(row, name).wait_s():
            return NotSignedIn("locked", retry_after_s=wait)
        if row is None or not password_right or row.disabled:
            return await self._fail(tx, row, name, "wrong_credentials")
        values: dict[str, Any] = {"failures": 0, "locked_until": None, "last_seen_at": now_us()}
        if enrolled(row):
            if not code:
                return NotSignedIn("totp_required")
            values["totp_last_step"] = self._step(row, code)
            if values["totp_last_step"] is None:
                return await self._fail(tx, row, name, "totp_wrong")
        await tx.execute(staff.update().where(staff.c.id == row.id).values(values))
        await self._audit(tx, "signed_in", f"staff:{row.id}", second_factor=enrolled(row))
        return await self.logins.start(tx, "staff", row.id)

    async def _fail(self, tx: Tx, row: Row[Any] | None, name: str, code: str) -> NotSignedIn:
        if row is None:
            failures = self._strangers.failed(self._secrets.lookup("sign-in", name))
        else:
            failures = self._failures(row, name).another()
            values = {"failures": failures.count, "locked_until": failures.locked_until}
            await tx.execute(staff.update().where(staff.c.id == row.id).values(values))
        # The typed name stays out: people type their password there.
        await self._audit(
            tx,
            "sign_in_failed",
            f"staff:{row.id}" if row is not None else "unknown",
            reason=code,
            count=failures.count,
        )
        return NotSignedIn(code)

    def _failures(self, row: Row[Any] | None, name: str) -> Failures:
        if row is None:
            return self._strangers.get(self._secrets.lookup("sign-in", name))
        return Failures(row.failures, row.locked_until)

    async def find_login(self, cookie: str) -> Login | None:
        """Whose cookie this is."""
        return await self.logins.find(cookie)

    async def sign_out(self, login: Login) -> None:
        """End this login."""
        async with self._database.write() as tx:
            await self._audit(tx, "signed_out", login.actor)
            await self.logins.end(tx, login.id, signed_out("signed_out"))

    async def sign_out_everywhere(self, login: Login) -> int:
        """End every login of this person, this one too; says how many."""
        async with self._database.write() as tx:
            count = await self.logins.end_all(
                tx, login.kind, login.subject_id, signed_out("everywhere")
            )
            await self._audit(tx, "signed_out_everywhere", login.actor, count=count)
        return count

    async def change_password(self, login: Login, old: str, new: str) -> SignedIn:
        """Replace the password; every login ends and a new one begins.

        Raises ``password_wrong``, ``password_same``, ``password_weak``, ``too_many``.
        """
        self._own_rate.take(login.subject_id)
        async with self._database.read() as reader:
            row = await by_id(reader, login.subject_id)
        if not await self._passwords.verify(old[: MOST + 1], row.password_hash):
            raise UserError("password_wrong")
        if old == new:
            raise UserError("password_same")
        refuse_weak(new, row.name)
        hashed = await self._passwords.hash(new)
        async with self._database.write() as tx:
            await tx.execute(
                staff.update()
                .where(staff.c.id == row.id)
                .values(password_hash=hashed, password_one_time=False)
            )
            await self._audit(tx, "password_changed", login.actor)
            await self.logins.end_all(tx, "staff", row.id, signed_out("password_changed"))
            return await self.logins.start(tx, "staff", row.id)

    async def enrol_totp(self, login: Login) -> tuple[str, str]:
        """Begin setting up the second factor: (secret, URI for the QR code).

        Not in force before :meth:`confirm_totp`.  Raises ``totp_enrolled``.
        """
        secret = totp.new_secret()
        async with self._database.write() as tx:
            row = await by_id(tx, login.subject_id)
            if enrolled(row):
                raise Conflict("totp_enrolled")
            sealed = self._secrets.encrypt(secret, f"staff.totp_secret:{row.id}")
            await tx.execute(
                staff.update().where(staff.c.id == row.id).values(totp_secret=sealed)
            )
        return secret, totp.provisioning_uri(secret, row.name)

    async def confirm_totp(self, login: Login, code: str) -> None:
        """Put the second factor in force; other browsers of this person are signed out.

        Raises ``totp_not_started``, ``totp_wrong``, ``too_many``.
        """
        self._own_rate.take(login.subject_id)
        async with self._database.write() as tx:
            row = await by_id(tx, login.subject_id)
            if row.totp_secret is None or enrolled(row):
                raise Conflict("totp_not_started")
            step = self._step(row, code)
            if step is None:
                raise UserError("totp_wrong")
            await tx.execute(
                staff.update().where(staff.c.id == row.id).values(totp_last_step=step)
            )
            await self._audit(tx, "totp_enrolled", login.actor)
            event = signed_out("totp_enrolled")
            await self.logins.end_all(tx, "staff", row.id, event, but=login.id)

    def _step(self, row: Row[Any], code: str) -> int | None:
        secret = self._secrets.decrypt_text(row.totp_secret, f"staff.totp_secret:{row.id}")
        return totp.matching_step(secret, code, after=row.totp_last_step, now_s=time.time())

    async def has_totp(self, login: Login) -> bool:
        """Whether this person's second factor is in force."""
        if login.kind != "staff":
            return False
        async with self._database.read() as reader:
            return enrolled(await by_id(reader, login.subject_id))

    async def audit_log(self, page: int) -> dict[str, Any]:
        """One page of the audit log, newest first; staff are named, customers are not."""
        async with self._database.read() as reader:
            entries, total = await self._timeline.latest(
                reader, AUDIT, page=page, size=AUDIT_PAGE
            )
            rows = await reader.execute(select(staff.c.id, staff.c.display_name, staff.c.name))
            names = {f"staff:{key}": f"{display} ({name})" for key, display, name in rows}
        return {
            "entries": [
                {
                    "seq": entry.seq,
                    "at": entry.at,
                    "kind": entry.kind,
                    "actor": names.get(entry.actor, entry.actor),
                    "data": entry.body,
                }
                for entry in entries
            ],
            "total": total,
            "page": page,
            "pages": -(-total // AUDIT_PAGE),
        }

    async def _audit(self, tx: Tx, kind: str, actor: str, **data: Any) -> None:
        await self._timeline.append(tx, AUDIT, kind, actor, data)


async def create_admin(config: Config, name: str) -> StaffMember:
    """Make an administrator in the database of ``config``, which may be empty."""
    database = Database(config.database_url, LocalBus())
    accounts = Accounts(database, Secrets.load_or_create(config.keys), Timeline(), config)
    try:
        await database.migrate()
        return await accounts.staff.create(name, name, Role.ADMIN, by="command line")
    finally:
        accounts.close()
        await database.close()


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m video_bank.accounts")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "create-admin", help="make an administrator and print a one-time password"
    )
    command.add_argument("--name", required=True, help="the name to sign in with")
    command.add_argument("--data", help="the server's data directory")
    given = parser.parse_args(arguments)
    try:
        config = Config.load(os.environ, ["--data", given.data] if given.data else [])
        member = asyncio.run(create_admin(config, given.name))
    except OperatorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except UserError as error:
        print(error.reply()["error"]["message_en"], file=sys.stderr)
        return 1
    print(f"name:              {member.name}")
    print(f"one-time password: {member.password}")
    print(f"sign in at {config.public_url}/staff/sign-in and choose a new password")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
