"""Faces kept for a customer's next visit: encrypted each with a key of its own, erased with it.

A template is kept only with its own consent, apart from recordings and findings.  Its key lies in
a file of its own under ``keys/faces``, sealed with the server's key: once that file is destroyed
the row says nothing any more, nor does any backup of the database.

How many are kept is counted, because the number alone has legal consequences: who stores face
information of 100,000 people has to file with the cyberspace authority of the province within 30
working days (人脸识别技术应用安全管理办法, in force since 2025-06-01, Article 15; the stock counts,
not how many there ever were).
"""

import asyncio
import contextlib
import os
import re
import struct
from math import hypot
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, func, select

from video_bank.evidence import AUDIT, Timeline
from video_bank.ledger import KEPT, granted
from video_bank.secrets import Secrets, Undecryptable
from video_bank.storage import Database, Reader, Tx, now_us
from video_bank.storage import tables as t

WARNING_AT = 80_000
"""Time to prepare the filing."""
DUTY_AT = 100_000
"""From this many people on the filing is a duty."""
FILE_WITHIN_DAYS = 30
"""Working days after it."""
NONCE = 12
_CUSTOMER = re.compile(r"[0-9A-Za-z_-]{1,64}")


class FaceKeys:
    """One key a person, each in a file of its own."""

    def __init__(self, directory: Path, secrets: Secrets) -> None:
        self._directory, self._secrets = directory, secrets

    def make(self, customer: str) -> bytes:
        """A new key in the place of any older one; on the disk before it is used."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, path = os.urandom(32), self._path(customer)
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._secrets.encrypt(key, f"faces.key:{customer}"))
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
        self._sync()
        return key

    def get(self, customer: str) -> bytes | None:
        """The person's key; None when it was destroyed, or is not the one the server wrote."""
        try:
            return self._secrets.decrypt(
                self._path(customer).read_bytes(), f"faces.key:{customer}"
            )
        except (FileNotFoundError, Undecryptable):
            return None

    def destroy(self, customer: str) -> None:
        """Overwrite and remove the key, for good."""
        path = self._path(customer)
        with contextlib.suppress(FileNotFoundError):
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            self._sync()

    def _path(self, customer: str) -> Path:
        if not _CUSTOMER.fullmatch(customer):
            raise ValueError("no customer id")
        return self._directory / f"{customer}.key"

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Faces:
    """Every face that is kept."""

    def __init__(self, db: Database, timeline: Timeline, keys: FaceKeys) -> None:
        self._db, self._timeline, self._keys = db, timeline, keys

    async def keep(
        self, tx: Tx, customer: str, session: str, template: bytes, model: str
    ) -> bool:
        """Keep a face in the caller's transaction, in the place of an older one; whether it was:
        without the customer's consent to this very thing nothing is kept."""
        if not await granted(tx, customer, KEPT):
            return False
        key = await asyncio.to_thread(self._keys.make, customer)
        nonce = os.urandom(NONCE)
        sealed = nonce + AESGCM(key).encrypt(nonce, template, _place(customer, model))
        await tx.execute(delete(t.faces).where(t.faces.c.customer_id == customer))
        await tx.execute(
            t.faces.insert().values(
                customer_id=customer,
                template=sealed,
                model=model,
                session_id=session,
                at=now_us(),
            )
        )
        said = {"customer": customer, "session": session, "model": model}
        await self._timeline.append(tx, AUDIT, "face_kept", "server", said)
        stored = await _count(tx)
        if stored in (WARNING_AT, DUTY_AT):
            await self._timeline.append(tx, AUDIT, "faces_stored", "server", {"number": stored})
        return True

    async def template(self, customer: str) -> tuple[bytes, str] | None:
        """The kept face and the model that described it; None when there is none to be had, or
        the consent to keep it does not stand."""
        query = select(t.faces.c.template, t.faces.c.model).where(
            t.faces.c.customer_id == customer
        )
        async with self._db.read() as c:
            row = (await c.execute(query)).first()
            allowed = await granted(c, customer, KEPT)
        key = await asyncio.to_thread(self._keys.get, customer)
        if row is None or key is None or not allowed:
            return None
        sealed, model = row
        try:
            opened = AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], _place(customer, model))
        except InvalidTag:
            return None  # of another key: erased and kept anew by a run that was cut short
        return opened, model

    async def erase(self, customer: str, actor: str, why: str) -> bool:
        """Destroy the key, then the row; whether there was a face to erase.

        In this order: after a crash between them the row is there and says nothing.
        """
        await asyncio.to_thread(self._keys.destroy, customer)
        async with self._db.write() as tx:
            done = await tx.execute(delete(t.faces).where(t.faces.c.customer_id == customer))
            if done.rowcount:
                said = {"customer": customer, "why": why}
                await self._timeline.append(tx, AUDIT, "face_erased", actor, said)
        return bool(done.rowcount)

    async def forget(self, tx: Tx, customer: str) -> None:
        """Erase a face in the caller's transaction, with everything else of a customer."""
        await asyncio.to_thread(self._keys.destroy, customer)
        await tx.execute(delete(t.faces).where(t.faces.c.customer_id == customer))

    async def stock(self) -> dict[str, Any]:
        """How many people's faces are kept now, and what follows from it."""
        async with self._db.read() as c:
            stored = await _count(c)
            reached = await _reached(c)
        state = "duty" if stored >= DUTY_AT else "warning" if stored >= WARNING_AT else "calm"
        return {
            "stored": stored,
            "warning_at": WARNING_AT,
            "duty_at": DUTY_AT,
            "file_within_days": FILE_WITHIN_DAYS,
            "state": state,
            "duty_since": reached if state == "duty" else None,
        }


def likeness(a: bytes, b: bytes) -> float | None:
    """Cosine of two faces described by one model (float32, little endian); None if they differ in
    length or one says nothing."""
    if len(a) != len(b) or not a or len(a) % 4:
        return None
    one, other = (struct.unpack(f"<{len(a) // 4}f", each) for each in (a, b))
    length = hypot(*one) * hypot(*other)
    if not 0 < length < float("inf"):
        return None
    return float(sum(x * y for x, y in zip(one, other, strict=True)) / length)


async def _count(reader: Reader) -> int:
    return (await reader.execute(select(func.count()).select_from(t.faces))).scalar_one()


async def _reached(reader: Reader) -> int | None:
    """When the number that makes it a duty was last reached."""
    query = (
        select(t.timeline.c.at)
        .where(
            t.timeline.c.chain == AUDIT,
            t.timeline.c.kind == "faces_stored",
            t.timeline.c.data.contains(str(DUTY_AT)),
        )
        .order_by(t.timeline.c.seq.desc())
        .limit(1)
    )
    return (await reader.execute(query)).scalar_one_or_none()


def _place(customer: str, model: str) -> bytes:
    return f"faces.template:{customer}:{model}".encode()
