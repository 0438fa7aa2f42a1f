"""Sessions exported for third parties: one at a time, by a process of its own, on record first.

An export is asked for inside a viewing, with a reason.  Its entry in the audit log is committed
before the first byte is decrypted.  What it makes, a zip of mode 0600 with everything a court
needs (:mod:`recordings.bundle`), lies in the spool for :class:`Config`'s ``export_hours``.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import RowMapping, func, insert, select, update

from recordings import bundle
from recordings.errors import Damaged, KeyUnavailable
from recordings.rendering import NotRendered, rendered
from video_bank.archive import Archive
from video_bank.dossier import Case, Dossier, Video
from video_bank.errors import Conflict, NotFound, TooMany, UserError
from video_bank.evidence import AUDIT, Timeline
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

WAITING = 10
"""Exports in the line; further ones are refused until one is done."""
RETRY_S = 300
SPARE = 1 << 30
"""Bytes an export leaves free on the disk: live calls are recorded to the same one, perhaps."""
VIDEO_RATE = 200_000
"""Bytes a second that a video takes at most, for judging whether it fits."""
LOOK_S = 60.0
"""How often the spool is looked through for what has had its time."""
NICENESS = 15
STATES = ("waiting", "working")

T = TypeVar("T")


class Failed(Exception):
    """The export cannot be made; the code says why, and the page what to do."""


class Exports:
    """Every export."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        archive: Archive,
        dossier: Dossier,
        *,
        spool: Path,
        hours: int,
        video: str,
    ) -> None:
        """``hours`` a file is kept; ``video``: `h264` or `vp8`."""
        self._db, self._timeline = db, timeline
        self._archive, self._dossier = archive, dossier
        self._spool, self._hours = spool, hours
        self._format = "mkv" if video == "vp8" else None
        self._asked = asyncio.Event()
        self._working: tuple[str, asyncio.Task[None]] | None = None
        self._made, self._progress = "", 0.0
        "What is being made, or was made last, and how much of it is done."
        self._halt = threading.Event()
        # A thread of its own, so that its low priority stays with it.
        self._thread = ThreadPoolExecutor(1, "export", initializer=_step_back)

    # -- what reviewers do ------------------------------------------------------------------

    async def ask(self, viewing: str, session: str, reviewer: str, reason: str) -> str:
        """Put an export in the line; the same person's for the same session is not made twice.

        Raises:
            Conflict: the recording is not sealed yet, or there is nothing left of it.
            TooMany: the line is full.
        """
        e = t.exports.c
        made, now = new_id(), now_us()
        async with self._db.write() as tx:
            query = select(e.id).where(
                e.session_id == session, e.asked_by == reviewer, e.state.in_(STATES)
            )
            if earlier := (await tx.execute(query)).scalar():
                return str(earlier)
            count = select(func.count()).where(e.state.in_(STATES))
            if (await tx.execute(count)).scalar_one() >= WAITING:
                raise TooMany(RETRY_S, "exports_full")
            query = select(t.parts).where(t.parts.c.session_id == session)
            parts = (await tx.execute(query)).mappings().all()
            if any(part["sealed_at"] is None for part in parts):
                raise Conflict("export_not_sealed")
            if not parts or any(part["erased_at"] is not None for part in parts):
                raise Conflict("export_erased")
            await tx.execute(
                insert(t.exports).values(
                    id=made,
                    session_id=session,
                    asked_by=reviewer,
                    reason=reason,
                    asked_at=now,
                    state="waiting",
                    progress=0.0,
                )
            )
            entry = {"session": session, "export": made, "viewing": viewing, "reason": reason}
            await self._timeline.append(tx, AUDIT, "exported", f"staff:{reviewer}", entry)
        self._asked.set()
        return made

    async def state(self, made: str, reviewer: str) -> dict[str, Any]:
        """How far it is.  Raises NotFound for somebody else's, too."""
        row = await self._row(made, reviewer)
        ended = row["ended_at"]
        return {
            "id": row["id"],
            "state": row["state"],
            "progress": max(row["progress"], self._progress if made == self._made else 0.0),
            "bytes": row["bytes"],
            "sha256": row["sha256"],
            "failure": row["failure"],
            "ahead": await self._ahead(row) if row["state"] == "waiting" else 0,
            "until": ended + self._hours * 3_600_000_000 if row["path"] and ended else None,
        }

    async def latest(self, session: str, reviewer: str) -> dict[str, Any] | None:
        """This person's newest export of a session, to show when the page is opened again."""
        query = (
            select(t.exports.c.id)
            .where(t.exports.c.session_id == session, t.exports.c.asked_by == reviewer)
            .order_by(t.exports.c.asked_at.desc())
            .limit(1)
        )
        async with self._db.read() as c:
            made = (await c.execute(query)).scalar()
        return None if made is None else await self.state(made, reviewer)

    async def fetch(self, made: str, reviewer: str) -> tuple[Path, str]:
        """The finished file and a name for it; on record before the first byte leaves.

        Raises:
            NotFound: it is not there, or not any more.
        """
        row = await self._row(made, reviewer)
        path = Path(row["path"]) if row["path"] else None
        if row["state"] != "done" or path is None or not path.is_file():
            raise NotFound("export_gone")
        async with self._db.write() as tx:
            entry = {"session": row["session_id"], "export": made, "sha256": row["sha256"]}
            await self._timeline.append(tx, AUDIT, "export_fetched", f"staff:{reviewer}", entry)
        return path, f"session-{row['session_id']}.zip"

    async def stop(self, made: str, reviewer: str) -> None:
        """End it if it is not done; remove its file if it is."""
        row = await self._row(made, reviewer)
        if row["state"] in STATES:
            await self._end(made, "stopped")
            if self._working is not None and self._working[0] == made:
                self._working[1].cancel()
        elif row["path"]:
            await self._remove(row)

    # -- the work ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Make what is asked for, one after the other, until cancelled."""
        await self._begin()
        try:
            while True:
                await self._expire()
                row = await self._next()
                if row is not None:
                    await self._work(row)
                    continue
                self._asked.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), LOOK_S)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _begin(self) -> None:
        """Whatever the last run had begun cannot be gone on with; nothing of it is kept."""
        self._spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with self._db.write() as tx:
            await tx.execute(
                update(t.exports)
                .where(t.exports.c.state == "working")
                .values(state="failed", failure="restarted", ended_at=now_us())
            )
            paths = await tx.execute(select(t.exports.c.path).where(t.exports.c.path.is_not(None)))
            kept = {Path(path) for path in paths.scalars()}
        for left in [each for each in self._spool.iterdir() if each not in kept]:
            await asyncio.to_thread(_erase, left)

    async def _next(self) -> RowMapping | None:
        waiting = select(t.exports).where(t.exports.c.state == "waiting")
        async with self._db.read() as c:
            rows = await c.execute(waiting.order_by(t.exports.c.asked_at).limit(1))
            return rows.mappings().one_or_none()

    async def _work(self, row: RowMapping) -> None:
        made = row["id"]
        await self._change(made, "waiting", state="working")
        self._made, self._progress = made, 0.0
        self._halt.clear()
        task = asyncio.create_task(self._make(row))
        self._working = made, task
        telling = asyncio.create_task(self._tell(made))
        failure = None
        try:
            await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise  # the server stops; the next run says what became of it
        except Failed as error:
            failure = str(error)
        except OSError as error:
            failure = "disk"
            log.error("x export %s: %s", made, error.strerror)
        except Exception:
            failure = "internal"
            log.exception("x export %s broke", made)
        finally:
            telling.cancel()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
            self._working = None
            self._halt.set()
            # Behind whatever the thread still does, which ends soon.
            await asyncio.shield(self._beside(lambda: _erase(self._spool / made)))
        if failure is not None:
            await self._end(made, "failed", failure=failure)

    async def _tell(self, made: str) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._change(made, "working", progress=round(self._progress, 3))

    async def _make(self, row: RowMapping) -> None:
        """Copy the parts, render the video, write everything down, pack it."""
        made, session = row["id"], row["session_id"]
        parts = await self._archive.parts(session)
        if not parts or any(part["erased_at"] is not None for part in parts):
            raise Failed("erased")
        self._fits(parts)
        directory = self._spool / made / f"session-{session}"
        await asyncio.to_thread(lambda: directory.mkdir(parents=True, mode=0o700))
        try:
            await self._copy(parts, directory)
        except FileNotFoundError:
            raise Failed("part_missing") from None
        case = await self._dossier.of(session)
        video = await self._film(parts, directory, case)
        self._progress = 0.9
        pictures = []
        async for path, jpeg in self._dossier.pictures(session):
            await self._beside(partial(bundle.put, directory / path, jpeg))
            pictures.append(path)
        report, extras = await self._dossier.report(case, video, row, local_offset_min(), pictures)
        for name, value in extras.items():
            bundle.write_json(directory / name, value)
        trust = await asyncio.to_thread(self._archive.trust_path.read_bytes)
        bundle.put(directory / "trust.pem", trust)
        if self._dossier.authorities:
            bundle.put(directory / bundle.AUTHORITIES, self._dossier.authorities)
        await self._beside(lambda: bundle.finish(directory, report, self._archive.signer))
        packed, out = self._spool / made / "packed.zip", self._spool / f"{made}.zip"
        size, sha256 = await self._beside(
            lambda: bundle.pack(directory, packed, lambda done: self._advance(0.92 + 0.08 * done))
        )
        packed.rename(out)
        try:
            await self._keep(made, session, out, size, sha256)
        except BaseException:
            out.unlink()
            raise

    def _fits(self, parts: Sequence[RowMapping]) -> None:
        sealed = sum(part["bytes"] or 0 for part in parts)
        video = sum(part["duration_us"] or 0 for part in parts) // 1_000_000 * VIDEO_RATE
        # The zip is written while its files go one by one: the largest is there twice.
        needed = sealed + video + max(sealed, video) + SPARE
        if shutil.disk_usage(self._spool).free < needed:
            raise Failed("no_space")

    async def _copy(self, parts: Sequence[RowMapping], directory: Path) -> None:
        for done, part in enumerate(parts):
            name, number = part["name"], part["number"]
            await self._beside(
                partial(bundle.copy_part, self._archive.store, name, number, directory)
            )
            self._advance(0.1 * (done + 1) / len(parts))

    async def _film(
        self,
        parts: Sequence[RowMapping],
        directory: Path,
        case: Case,
    ) -> Video:
        """Rendered by a process of its own, which gets the keys by its input alone."""
        listed = []
        for part in parts:
            try:
                dek = await asyncio.to_thread(self._archive.dek, part)
            except (KeyUnavailable, Damaged, UserError):
                raise Failed("erased") from None
            path = directory / "parts" / f"{part['number']:03d}.vbr"
            listed.append(
                {
                    "path": str(path),
                    "dek": dek.hex(),
                    "wall_us": case.walls.get(part["number"]),
                    "open_us": case.open_us.get(part["number"], []),
                }
            )
        job = {
            "parts": listed,
            "out": str(directory / "video"),
            "session": directory.name.removeprefix("session-"),
            "names": dict(case.names),
            "offset_min": local_offset_min(),
            "format": self._format,
        }
        try:
            done = await rendered(job, lambda done: self._advance(0.1 + 0.8 * done))
        except NotRendered as error:
            if str(error).startswith("no part has a stream"):
                return Video(None, True, 0, "", "", False)
            log.error("x renderer: %s", error)
            raise Failed("renderer_hangs" if str(error) == "hangs" else "renderer") from None
        chinese, unreadable = done["chinese"], done["unreadable"]
        codecs = done["video"], done["audio"]
        return Video(done["file"], chinese, unreadable, *codecs, done["whispers"])

    async def _keep(self, made: str, session: str, out: Path, size: int, sha256: str) -> None:
        """Done, unless the session was erased or the export stopped in the meantime."""
        async with self._db.write() as tx:
            erased = select(func.count()).where(
                t.parts.c.session_id == session, t.parts.c.erased_at.is_not(None)
            )
            if (await tx.execute(erased)).scalar_one():
                raise Failed("erased")
            done = await tx.execute(
                update(t.exports)
                .where(t.exports.c.id == made, t.exports.c.state == "working")
                .values(
                    state="done",
                    progress=1.0,
                    path=str(out.absolute()),
                    bytes=size,
                    sha256=sha256,
                    ended_at=now_us(),
                )
            )
            if done.rowcount != 1:
                raise asyncio.CancelledError

    # -- rows and files ---------------------------------------------------------------------

    async def _row(self, made: str, reviewer: str) -> RowMapping:
        query = select(t.exports).where(t.exports.c.id == made, t.exports.c.asked_by == reviewer)
        async with self._db.read() as c:
            row = (await c.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound("unknown_export")
        return row

    async def _ahead(self, row: RowMapping) -> int:
        e = t.exports.c
        query = select(func.count()).where(e.state.in_(STATES), e.asked_at < row["asked_at"])
        async with self._db.read() as c:
            return int((await c.execute(query)).scalar_one())

    async def _change(self, made: str, was: str, **values: Any) -> None:
        async with self._db.write() as tx:
            await tx.execute(
                update(t.exports)
                .where(t.exports.c.id == made, t.exports.c.state == was)
                .values(**values)
            )

    async def _end(self, made: str, state: str, **values: Any) -> None:
        async with self._db.write() as tx:
            await tx.execute(
                update(t.exports)
                .where(t.exports.c.id == made, t.exports.c.state.in_(STATES))
                .values(state=state, ended_at=now_us(), **values)
            )

    async def _expire(self) -> None:
        """Remove files that have had their time."""
        before = now_us() - self._hours * 3_600_000_000
        query = select(t.exports).where(
            t.exports.c.path.is_not(None), t.exports.c.ended_at < before
        )
        async with self._db.read() as c:
            over = (await c.execute(query)).mappings().all()
        for row in over:
            await self._remove(row)

    async def _remove(self, row: RowMapping) -> None:
        await asyncio.to_thread(_erase, Path(row["path"]))
        await self._change(row["id"], "done", path=None)

    def _advance(self, done: float) -> None:
        if self._halt.is_set():
            raise Failed("stopped")
        self._progress = max(self._progress, min(done, 1.0))

    def _beside(self, work: Callable[[], T]) -> Awaitable[T]:
        """Run it in the thread that steps back behind live calls."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)


def local_offset_min() -> int:
    """Minutes of this machine's local time before UTC."""
    offset = datetime.now().astimezone().utcoffset()
    return int(offset.total_seconds() // 60) if offset is not None else 0


def _step_back() -> None:
    """On Linux a priority belongs to a thread."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _erase(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
