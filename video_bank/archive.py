"""Sealed recordings: their keys, their parts in the database, replay and verification.

The glue to :mod:`recordings`.  Everything that touches a disk runs in a thread.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, Select, delete, insert, select, update

from recordings.container import Ending, PartReader
from recordings.errors import Damaged, KeyUnavailable, RecoveryRefused
from recordings.keys import FileKeyring, FileSigner, new_dek, new_part_id
from recordings.recorder import Recorder
from recordings.recovery import recover
from recordings.replay import WebmView, streams
from recordings.store import LocalStore, Store
from recordings.verify import Status, Verdict, verify_part
from video_bank.errors import NotFound
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

TENANT = "bank"
KEPT_VIEWS = 16
"""Streams kept open between two Range requests of a player: opening an hour takes 60 ms."""
WORST_FIRST = ("tampered", "incomplete", "closed by recovery", "ok")


class Archive:
    """Every part of every session."""

    def __init__(self, db: Database, directory: Path, keys: Path) -> None:
        self._db = db
        self.store: Store = LocalStore(directory)
        self._signer = FileSigner.load_or_create(keys)
        self._keyring = FileKeyring(keys / "recordings.keyring")
        self._trust = self._signer.trust()
        self.trust_path = keys / "trust.pem"
        self._kept: OrderedDict[tuple[str, int], WebmView] = OrderedDict()
        self.on_sealed: Callable[[str], Awaitable[None]] | None = None
        "Told of every part that was finished or closed, by its id, once the database has it."
        self.known: Callable[[str], Awaitable[Mapping[int, str]]] | None = None
        "Asked what the bank's own log says of a part: chain values after so many records."

    # -- writing --------------------------------------------------------------------------

    async def open(self, session: str, on_failure: Callable[[OSError], None]) -> Recorder:
        """Begin the session's next part.

        Its wrapped key is committed before the first byte is written: a part that nobody can
        ever open would be a recording in name only.

        Raises:
            OSError: the recording cannot be begun (disk full, no permission).
        """
        part, dek, now = new_part_id(), new_dek(), now_us()
        month = datetime.fromtimestamp(now / 1e6, UTC).strftime("%Y-%m")
        kek = await asyncio.to_thread(self._keyring.kek, TENANT, month)
        wrapped = await asyncio.to_thread(self._keyring.wrap, dek, kek)
        async with self._db.write() as tx:
            earlier = (await tx.execute(_parts_of(session))).mappings().all()
            number = len(earlier) + 1
            name = f"{session}/{number:03d}.vbr"
            await tx.execute(
                insert(t.parts).values(
                    id=part,
                    session_id=session,
                    number=number,
                    name=name,
                    kek_id=kek,
                    wrapped_dek=wrapped,
                    started_at=now,
                )
            )
        last = earlier[-1] if earlier else None
        header = {
            "part_id": part,
            "session": session,
            "part": number,
            "previous": {"part_id": last["id"], "chain": last["chain"]} if last else None,
            "key_id": kek,
            "tenant": TENANT,
        }
        try:
            return await Recorder.open(
                self.store, name, header=header, dek=dek, signer=self._signer,
                on_failure=on_failure,
            )  # fmt: skip
        except OSError:
            await self._forget(part)
            raise

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
        if failed:
            verdict = min(verdict, "incomplete", key=WORST_FIRST.index)
        async with self._db.write() as tx:
            await tx.execute(
                update(t.parts)
                .where(t.parts.c.id == sealed.part_id)
                .values(
                    sealed_at=now_us(),
                    # Without FINAL the closing says how far the part goes.
                    chain=sealed.chain if sealed.complete else found["chain"],
                    records=sealed.records if sealed.complete else found["records"],
                    bytes=sealed.bytes,
                    duration_us=sealed.duration_us,
                    verdict=verdict,
                )
            )
        await self._announce(sealed.part_id)
        return {
            "verdict": await self._worst(session),
            "part": sealed.part_id,
            "chain": sealed.chain,
            "records": sealed.records,
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
                )
            )
        await self._announce(part["id"])

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
                    self._signer,
                    self._trust,
                    cause=cause,
                    by="server",
                    # With the key, what was written but not yet signed must open to count.
                    dek=self._dek(part),
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
                verify_part, self.store, name, self._trust, known=known
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
        }

    async def verify(self, session: str) -> dict[str, Any]:
        """The seal of a whole session, checked now."""
        async with self._db.read() as c:
            parts = (await c.execute(_parts_of(session))).mappings().all()
        checked = [await self._verify(part["id"], part["name"]) for part in parts]
        worst = min(
            (each["verdict"] for each in checked), key=WORST_FIRST.index, default="incomplete"
        )
        return {"verdict": worst, "parts": checked}

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

    async def streams(self, session: str, viewing: str) -> list[dict[str, Any]]:
        """Every stream of a session with the address its picture and sound are read from."""
        async with self._db.read() as c:
            parts = (await c.execute(_parts_of(session))).mappings().all()
        listed = []
        for part in parts:
            with contextlib.suppress(Damaged, KeyUnavailable, OSError):
                for view, number, label in await asyncio.to_thread(self._views, part):
                    listed.append(
                        {
                            "part": part["id"],
                            "number": part["number"],
                            "stream": number,
                            "label": label,
                            "pictures": view.pictures,
                            "start_us": view.start_us,
                            "duration_us": view.duration_us,
                            "url": f"/api/viewings/{viewing}/streams/{part['id']}/{number}",
                        }
                    )
        return listed

    async def webm(self, session: str, part: str, stream: int) -> WebmView:
        """One stream of one part, readable anywhere.

        Raises:
            NotFound: there is no such stream, or its key has been erased.
        """
        async with self._db.read() as c:
            query = _parts_of(session).where(t.parts.c.id == part)
            row = (await c.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound("unknown_stream")
        if (part, stream) not in self._kept:
            try:
                view = await asyncio.to_thread(lambda: WebmView(self._reader(row), stream))
            except (KeyError, Damaged, KeyUnavailable, OSError) as error:
                raise NotFound("unknown_stream") from error
            if row["sealed_at"] is None:
                return view  # it still grows: the next request shall see more
            self._kept[part, stream] = view
        self._kept.move_to_end((part, stream))
        while len(self._kept) > KEPT_VIEWS:
            self._kept.popitem(last=False)
        return self._kept[part, stream]

    async def read(self, view: WebmView, offset: int, length: int) -> bytes:
        """A range of a stream, decrypted for this answer only."""
        return await asyncio.to_thread(view.read, offset, length)

    def _views(self, part: RowMapping) -> list[tuple[WebmView, int, str]]:
        reader = self._reader(part)
        return [
            (WebmView(reader, each.number), each.number, each.label) for each in streams(reader)
        ]

    def _reader(self, part: RowMapping) -> PartReader:
        return PartReader(self.store.open(part["name"]), self._dek(part))

    def _dek(self, part: RowMapping) -> bytes:
        if part["wrapped_dek"] is None:
            raise Damaged("key_erased")
        return self._keyring.unwrap(part["kek_id"], part["wrapped_dek"])


def _parts_of(session: str) -> Select[Any]:
    return select(t.parts).where(t.parts.c.session_id == session).order_by(t.parts.c.number)
