"""The wrapped data keys in the database: moved to other key-encryption keys, and those destroyed.

Everything that writes a wrapped key, or destroys a key that may wrap one, does so in the write
transaction of which there is one at a time; so no key is destroyed under a row.
"""

import asyncio
from dataclasses import dataclass

from sqlalchemy import func, select, update

from recordings.errors import KeyUnavailable
from recordings.keys import Keyring, kek_parts
from video_bank.errors import Conflict
from video_bank.storage import Database, Tx
from video_bank.storage import tables as t

BATCH = 200
"Rows re-wrapped in one transaction: some 200 ms with a token, so calls hardly wait."


@dataclass(frozen=True)
class Wrapped:
    """A data key of a part, wrapped."""

    part: str
    kek: str
    wrapped: bytes

    @property
    def month(self) -> str:
        """The month of the key."""
        return kek_parts(self.kek)[1]


class Wrappings:
    """Every wrapped key."""

    def __init__(self, db: Database, keyring: Keyring, tenant: str) -> None:
        self._db, self._keyring, self._tenant = db, keyring, tenant

    async def rotate(self) -> list[str]:
        """Wrap every data key with a new key of its month and destroy the old ones.

        Recordings are read and begun meanwhile.  Answers with the ids of the destroyed keys.
        """
        keks = [(kek, *kek_parts(kek)) for kek in await asyncio.to_thread(self._keyring.keks)]
        months = {month for _, tenant, month, _ in keks if tenant == self._tenant}
        destroyed = []
        for month in sorted(months):
            old = [kek for kek, tenant, its, _ in keks if (tenant, its) == (self._tenant, month)]
            await asyncio.to_thread(self._keyring.renew, self._tenant, month)
            for kek in old:
                await self._retire(kek, month)
                destroyed.append(kek)
        return destroyed

    async def _retire(self, kek: str, month: str) -> None:
        """Empty and destroy a key that the month's newest has taken over from."""
        while True:
            await self.move_all(kek, month)
            try:
                return await self.destroy(kek)
            except Conflict:
                continue  # a recording was begun under it just before the newest was there

    async def adopt(self, old: Keyring) -> int:
        """Take over what another keyring has wrapped, then destroy its keys; how many it were.

        A key that both have under one name is tried with the old ring first.

        Raises:
            KeyUnavailable: neither ring opens one; nothing is destroyed then.
        """
        keks = await asyncio.to_thread(old.keks)
        moved = 0
        for kek in keks:
            _, month, _ = kek_parts(kek)
            new = await asyncio.to_thread(self._keyring.kek, self._tenant, month)
            for row in await self._under(kek):
                dek = await asyncio.to_thread(_opened, old, row)
                if dek is None:  # taken over by a run that was cut short
                    await asyncio.to_thread(self._keyring.unwrap, row.kek, row.wrapped)
                    continue
                again = await asyncio.to_thread(self._keyring.wrap, dek, new)
                async with self._db.write() as tx:
                    moved += await _replace(tx, row, new, again)
        for kek in keks:
            await asyncio.to_thread(old.destroy, kek)
        return moved

    async def move_all(self, kek: str, month: str) -> int:
        """Wrap all that ``kek`` wraps with the newest key of ``month``; how many these were."""
        moved = 0
        while rows := await self._under(kek, BATCH):
            moved += await self.move(rows, month)
        return moved

    async def move(self, rows: list[Wrapped], month: str) -> int:
        """Wrap these with the newest key of ``month``; one erased meanwhile stays erased."""
        new = await asyncio.to_thread(self._keyring.kek, self._tenant, month)
        wrapped = await asyncio.to_thread(self._wrap_anew, rows, new)
        moved = 0
        async with self._db.write() as tx:
            for row, again in zip(rows, wrapped, strict=True):
                moved += await _replace(tx, row, new, again)
        return moved

    async def destroy(self, kek: str) -> None:
        """Destroy a key that wraps nothing any more.

        Raises:
            Conflict: it still wraps something; ``held``: how much of that is under legal hold.
        """
        async with self._db.write() as tx:
            rows = select(t.parts.c.session_id).where(
                t.parts.c.kek_id == kek, t.parts.c.wrapped_dek.is_not(None)
            )
            sessions = {row[0] for row in (await tx.execute(rows)).all()}
            if sessions:
                standing = select(func.count(t.holds.c.session_id.distinct())).where(
                    t.holds.c.session_id.in_(sessions), t.holds.c.lifted_at.is_(None)
                )
                held = (await tx.execute(standing)).scalar_one()
                raise Conflict("key_in_use", kek=kek, sessions=len(sessions), held=held)
            # Inside the transaction: nobody can put a row under it between counting and this.
            await asyncio.to_thread(self._keyring.destroy, kek)

    def _wrap_anew(self, rows: list[Wrapped], new: str) -> list[bytes]:
        return [self._keyring.wrap(self._keyring.unwrap(row.kek, row.wrapped), new) for row in rows]

    async def _under(self, kek: str, limit: int | None = None) -> list[Wrapped]:
        p = t.parts.c
        query = select(p.id, p.kek_id, p.wrapped_dek).where(
            p.kek_id == kek, p.wrapped_dek.is_not(None)
        )
        async with self._db.read() as c:
            return [Wrapped(*row) for row in (await c.execute(query.limit(limit))).all()]


async def _replace(tx: Tx, row: Wrapped, kek: str, wrapped: bytes) -> int:
    """Put another wrapping in a row's place: 1, or 0 when it has changed or was erased."""
    done = await tx.execute(
        update(t.parts)
        .where(t.parts.c.id == row.part, t.parts.c.wrapped_dek == row.wrapped)
        .values(kek_id=kek, wrapped_dek=wrapped)
    )
    return done.rowcount


def opens(keyring: Keyring, wrapped: Wrapped) -> bool:
    """Whether the key can be had again: asked before a recording is begun under it."""
    return _opened(keyring, wrapped) is not None


def _opened(keyring: Keyring, wrapped: Wrapped) -> bytes | None:
    try:
        return keyring.unwrap(wrapped.kek, wrapped.wrapped)
    except KeyUnavailable:
        return None
