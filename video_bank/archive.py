"""Sealed recordings: their keys, their parts in the database, replay and verification.

The glue to :mod:`recordings`.  Everything that touches a disk runs in a thread.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping, Select, delete, insert, select, update

from recordings.certificate import sign
from recordings.container import Ending, PartReader
from recordings.errors import Damaged, KeyUnavailable, RecoveryRefused
from recordings.keys import (
    FileKeyring,
    FileSigner,
    Keyring,
    Signer,
    new_dek,
    new_part_id,
    trusted,
)
from recordings.outside import OutsideSigner
from recordings.pkcs11 import Pkcs11Keyring
from recordings.recorder import Recorder
from recordings.recovery import recover
from recordings.replay import SignedReader
from recordings.store import LocalStore, Lock, Store
from recordings.verify import Status, Verdict, verify_part
from video_bank.config import Config
from video_bank.errors import OperatorError, UserError
from video_bank.periods import Policy, month_of
from video_bank.storage import Database, Tx, now_us
from video_bank.storage import tables as t
from video_bank.wrappings import Wrapped, opens

if TYPE_CHECKING:
    from recordings.s3 import S3Store

log = logging.getLogger(__name__)

TENANT = "bank"
WORST_FIRST = ("tampered", "incomplete", "closed by recovery", "ok")


class Archive:
    """Every part of every session."""

    def __init__(
        self,
        db: Database,
        directory: Path,
        keys: Path,
        *,
        signer: Signer | None = None,
        keyring: Keyring | None = None,
        policy: Policy | None = None,
        store: Store | None = None,
    ) -> None:
        self._db = db
        self.store: Store = store or LocalStore(directory)
        self.signer: Signer = signer or FileSigner.load_or_create(keys)
        self._keys = keys
        self.keyring: Keyring = keyring or self.file_keyring()
        self._policy = policy or Policy.load()
        self.trust_path = keys / "trust.pem"
        self.trust = trusted(self.trust_path, self.signer)
        "The signer's key, and those of earlier ones: what they sealed still counts."
        self.on_sealed: Callable[[str], Awaitable[None]] | None = None
        "Told of every part that was finished or closed, by its id, once the database has it."
        self.known: Callable[[str], Awaitable[Mapping[int, str]]] | None = None
        "Asked what the bank's own log says of a part: chain values after so many records."

    def file_keyring(self) -> Keyring:
        """The keyring in the data directory, whichever is in use."""
        return FileKeyring(self._keys / "recordings.keyring")

    # -- writing --------------------------------------------------------------------------

    async def open(self, session: str, on_failure: Callable[[OSError], None]) -> Recorder:
        """Begin the session's next part.

        Its wrapped key is committed before the first byte is written: a part that nobody can
        ever open would be a recording in name only.

        Raises:
            OSError: the recording cannot be begun (disk full, no permission).
        """
        dek = new_dek()
        # Once more when a rotation destroyed the key just before its row was there.
        header = await self._enter(session, dek) or await self._enter(session, dek)
        if header is None:
            raise OSError(errno.EACCES, "the keyring does not open what it wrapped")
        name = f"{session}/{header['part']:03d}.vbr"
        try:
            return await Recorder.open(
                self.store, name, header=header, dek=dek, signer=self.signer,
                on_failure=on_failure,
            )  # fmt: skip
        except OSError:
            await self._forget(header["part_id"])
            raise

    async def _enter(self, session: str, dek: bytes) -> dict[str, Any] | None:
        """The row of the session's next part; its header, or None if its key cannot be had."""
        part, now = new_part_id(), now_us()
        kept = self._policy.of(await self._business(session))
        # The month in which it may be erased: then this key goes, and with it every backup.
        month = month_of(kept.until(now))
        try:
            kek = await asyncio.to_thread(self.keyring.kek, TENANT, month)
            wrapped = await asyncio.to_thread(self.keyring.wrap, dek, kek)
        except KeyUnavailable as error:
            raise OSError(errno.EACCES, f"no key to record with: {error}") from error
        async with self._db.write() as tx:
            earlier = (await tx.execute(_parts_of(session))).mappings().all()
            number = len(earlier) + 1
            await tx.execute(
                insert(t.parts).values(
                    id=part,
                    session_id=session,
                    number=number,
                    name=f"{session}/{number:03d}.vbr",
                    kek_id=kek,
                    wrapped_dek=wrapped,
                    started_at=now,
                    product_class=kept.id,
                )
            )
        if not await asyncio.to_thread(opens, self.keyring, Wrapped(part, kek, wrapped)):
            await self._forget(part)
            return None
        last = earlier[-1] if earlier else None
        return {
            "part_id": part,
            "session": session,
            "part": number,
            "previous": {"part_id": last["id"], "chain": last["chain"]} if last else None,
            "key_id": kek,
            "tenant": TENANT,
        }

    async def finish(
        self, session: str, recorder: Recorder, *, stopped: bool = False, failed: bool = False
    ) -> dict[str, Any]:
        """Seal the part; answers with what its timeline entry says, the verdict among it.

        ``stopped``: the server goes down under a call; the seal is whole and says so.
        ``failed``: something of the call is not in it, however whole the file may be.
        """
        sealed = await recorder.finish(Ending.STOPPED if stopped else Ending.FINISHED)
        if not sealed.complete:
            part = await self._part(sealed.part_id)
            await self._close(part, f"writing failed: {sealed.failure}")
        found = await self._verify(sealed.part_id, sealed.name)
        verdict = found["verdict"]
        # Without FINAL the closing says how far the part goes.
        whole = {"chain": sealed.chain, "records": sealed.records}
        extent = whole if sealed.complete else {key: found[key] for key in whole}
        if failed:
            verdict = min(verdict, "incomplete", key=WORST_FIRST.index)
        async with self._db.write() as tx:
            await tx.execute(
                update(t.parts)
                .where(t.parts.c.id == sealed.part_id)
                .values(
                    sealed_at=now_us(),
                    **extent,
                    bytes=sealed.bytes,
                    duration_us=sealed.duration_us,
                    verdict=verdict,
                    kept_until=await self._kept_until(tx, sealed.part_id),
                )
            )
        await self._announce(sealed.part_id)
        return {
            "verdict": await self._worst(session),
            "part": sealed.part_id,
            **extent,
        }

    async def discard(self, recorder: Recorder) -> None:
        """A part begun for a call that did not come about: nothing was said, nothing is kept."""
        sealed = await recorder.finish()
        await asyncio.to_thread(self.store.discard, sealed.name)
        await self._forget(sealed.part_id)

    async def unsealed(self) -> list[str]:
        """Sessions with a part that was not finished, or whose verdict nobody has noted yet."""
        open_end = t.parts.c.sealed_at.is_(None) | t.sessions.c.seal.is_(None)
        query = select(t.parts.c.session_id).join(t.sessions).where(open_end).distinct()
        async with self._db.read() as c:
            return [str(row[0]) for row in (await c.execute(query)).all()]

    async def drop(self, session: str) -> None:
        """Discard what a crash left of a call that did not come about."""
        for part in await self._left(session):
            await asyncio.to_thread(self.store.discard, part["name"])
            await self._forget(part["id"])

    async def recover(self, session: str) -> str:
        """Close what a crash left open, by a signed statement beside the file.

        Answers with the session's verdict, the worst of its parts'.
        """
        for part in await self._left(session):
            await self._recover(part)
        return await self._worst(session)

    async def _left(self, session: str) -> list[RowMapping]:
        async with self._db.read() as c:
            query = _parts_of(session).where(t.parts.c.sealed_at.is_(None))
            return list((await c.execute(query)).mappings().all())

    async def _recover(self, part: RowMapping) -> None:
        await self._close(part, "the server ended without closing it")
        found = await self._verify(part["id"], part["name"])
        async with self._db.write() as tx:
            await tx.execute(
                update(t.parts)
                .where(t.parts.c.id == part["id"])
                .values(
                    sealed_at=now_us(),
                    chain=found["chain"],
                    records=found["records"],
                    duration_us=found["last_time_us"],
                    verdict=found["verdict"],
                    kept_until=await self._kept_until(tx, part["id"]),
                )
            )
        await self._announce(part["id"])

    async def _business(self, session: str) -> str:
        query = select(t.sessions.c.business).where(t.sessions.c.id == session)
        async with self._db.read() as c:
            return str((await c.execute(query)).scalar_one())

    async def _kept_until(self, tx: Tx, part: str) -> int:
        """Until when a part that ends now is kept."""
        query = select(t.parts.c.product_class).where(t.parts.c.id == part)
        return self._policy[(await tx.execute(query)).scalar_one()].until(now_us())

    async def _announce(self, part: str) -> None:
        if self.on_sealed is not None:
            await self.on_sealed(part)

    async def _close(self, part: RowMapping, cause: str) -> None:
        """State beside an unfinished part how far it goes; what cannot be vouched for stays so."""
        try:
            await asyncio.to_thread(
                lambda: recover(
                    self.store,
                    part["name"],
                    self.signer,
                    self.trust,
                    cause=cause,
                    by="server",
                    # With the key, what was written but not yet signed must open to count.
                    dek=self.dek(part),
                )
            )
        except (RecoveryRefused, Damaged, KeyUnavailable, OSError) as error:
            log.error("x part %s cannot be closed: %s", part["name"], error)

    async def _part(self, part: str) -> RowMapping:
        async with self._db.read() as c:
            query = select(t.parts).where(t.parts.c.id == part)
            return (await c.execute(query)).mappings().one()

    async def _forget(self, part: str) -> None:
        async with self._db.write() as tx:
            await tx.execute(delete(t.parts).where(t.parts.c.id == part))

    async def _worst(self, session: str) -> str:
        async with self._db.read() as c:
            parts = (await c.execute(_parts_of(session))).mappings().all()
        verdicts = [part["verdict"] or "incomplete" for part in parts]
        return min(verdicts, key=WORST_FIRST.index, default="incomplete")

    # -- proving --------------------------------------------------------------------------

    async def _verify(self, part: str, name: str) -> dict[str, Any]:
        """Check one part with the public key alone, every byte of it, and against our own log."""
        known = await self.known(part) if self.known else {}
        try:
            verdict = await asyncio.to_thread(
                verify_part, self.store, name, self.trust, known=known
            )
        except OSError as error:
            # A file that is gone or cannot be read proves nothing; the page says which.
            reason = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            verdict = Verdict(name, Status.INCOMPLETE, reason)
        status = verdict.status
        if status is Status.OK and verdict.reason == "writing_failed":
            # The file is as it was written; the session is not all in it.
            status = Status.INCOMPLETE
        return {
            "name": name,
            "verdict": str(status),
            "reason": verdict.reason,
            "record": verdict.record,
            "time_us": verdict.time_us,
            "last_time_us": verdict.last_time_us,
            "detail": verdict.detail,
            "signed_records": verdict.signed_records,
            "records": verdict.records,
            "chain": verdict.chain,
            "signer": verdict.signer,
            "suite": verdict.suite,
        }

    async def verify(self, session: str) -> dict[str, Any]:
        """The seal of a whole session, checked now."""
        async with self._db.read() as c:
            parts = (await c.execute(_parts_of(session))).mappings().all()
        checked = [await self._verify(part["id"], part["name"]) for part in parts]
        for part, found in zip(parts, checked, strict=True):
            if part["erased_at"] is not None and found["reason"] == "missing":
                found["reason"] = "erased"  # on purpose, and a certificate says so
        worst = min(
            (each["verdict"] for each in checked), key=WORST_FIRST.index, default="incomplete"
        )
        return {"verdict": worst, "parts": checked}

    async def stated(self, session: str) -> dict[str, Any]:
        """The seal as it was found when the parts were sealed; `verify` looks again.

        The verdict is None while a part is not sealed.
        """
        parts = await self.parts(session)
        sealed = all(part["sealed_at"] is not None for part in parts)
        return {
            "verdict": await self._worst(session) if sealed else None,
            "parts": [
                {
                    "name": part["name"],
                    "verdict": part["verdict"],
                    "records": part["records"],
                    "chain": part["chain"],
                }
                for part in parts
            ],
        }

    async def whereabouts(self, session: str) -> dict[str, Any] | None:
        """Where a finished session's files lie, for those who verify on this machine."""
        async with self._db.read() as c:
            parts = (await c.execute(_parts_of(session))).mappings().all()
        if not parts or any(part["sealed_at"] is None for part in parts):
            return None
        return {
            "parts": [self.store.where(part["name"]) for part in parts],
            "trust": str(self.trust_path.absolute()),
            "verdict": await self._worst(session),
        }

    # -- replaying ------------------------------------------------------------------------

    async def parts(self, session: str) -> Sequence[RowMapping]:
        """The rows of the session's parts, in order."""
        async with self._db.read() as c:
            rows: Sequence[RowMapping] = (await c.execute(_parts_of(session))).mappings().all()
        return rows

    def reader(self, part: RowMapping) -> PartReader:
        """The part with its key; what is still being written, as far as it is signed.

        Reads from the disk.  Raises Damaged, KeyUnavailable, OSError.
        """
        dek = self.dek(part)  # first: of what was erased the file is gone, too
        source = self.store.open(part["name"])
        if part["sealed_at"] is None:
            return SignedReader(source, dek, self.trust)
        return PartReader(source, dek)

    def dek(self, part: RowMapping) -> bytes:
        """The part's data key.  Asks the keyring.

        Raises:
            UserError: the recording was erased.
            KeyUnavailable: the keyring does not give it.
        """
        if part["wrapped_dek"] is None:
            at, certificate = part["erased_at"], part["erasure_id"]
            raise UserError("recording_erased", 410, at=at, certificate=certificate)
        return self.keyring.unwrap(part["kek_id"], part["wrapped_dek"])

    # -- erasing --------------------------------------------------------------------------

    async def remove(self, names: Mapping[str, str]) -> dict[str, str]:
        """Delete the files of parts, given by id and name; what became of each, by id.

        ``removed``, or ``locked`` where the store has promised to keep it: without its key it
        says nothing, and still proves that it was never changed.
        """
        return {part: await asyncio.to_thread(self._remove, name) for part, name in names.items()}

    def _remove(self, name: str) -> str:
        try:
            for each in (name, f"{name}.close"):
                self.store.delete(each)
        except PermissionError:
            return "locked"
        return "removed"

    async def lock(self, part: RowMapping, until: int, *, held: bool) -> None:
        """Have the store keep a part's file until then, where it locks files; never less long.

        Raises OSError: the store cannot be reached.
        """
        guard = getattr(self.store, "guard", None)
        if guard is not None:
            await asyncio.to_thread(guard, part["name"], Lock(until, held))

    async def certify(self, statement: dict[str, Any]) -> str:
        """A certificate over ``statement``, signed by the recorder's key."""
        return await asyncio.to_thread(sign, statement, self.signer)


def signer_of(config: Config) -> Signer:
    """Who signs recordings and heads of trees by these settings, and with it their suite.

    Raises:
        OperatorError: the signer outside cannot be reached, or is not the one whose key is given.
    """
    socket, public_key = config.signer_socket, config.signer_public_key
    if config.signer == "file" or socket is None or public_key is None:
        return FileSigner.load_or_create(config.keys)
    try:
        config.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        signer = OutsideSigner.load(socket, public_key)
        signer.sign(b"VBR1 test\0")
    except (OSError, ValueError) as error:
        raise OperatorError(f"signer: {error}") from error
    if signer.suite == 2:
        log.warning("- recordings are sealed with suite 2 (SM4, SM3, SM2), which is not certified")
    return signer


def keyring_of(config: Config) -> Keyring | None:
    """The keyring that the settings name; None for the file's.

    Raises:
        OperatorError: the token cannot be reached.
    """
    module, pin = config.pkcs11_module, config.pkcs11_pin_file
    if config.keyring == "file" or module is None or pin is None:
        return None
    try:
        return Pkcs11Keyring(module, config.pkcs11_token, pin)
    except KeyUnavailable as error:
        raise OperatorError(f"keyring: {error}") from error


def store_of(config: Config) -> "S3Store | None":
    """The bucket that the settings name; None for the local directory.

    Raises:
        OperatorError: what is set makes no bucket.
    """
    if config.storage == "local":
        return None
    # Here: it loads a library of 30 MB that nobody else needs.
    from video_bank.spool import bucket_store

    return bucket_store(config)


def _parts_of(session: str) -> Select[Any]:
    return select(t.parts).where(t.parts.c.session_id == session).order_by(t.parts.c.number)
