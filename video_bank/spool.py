"""The way of sealed recordings into the bucket, beside the calls and never before them.

The database says what is sealed, until when it is kept and what is held; the spool and the bucket
say what is where.  Nothing else is remembered, so it does not matter when the server dies.  The
bucket is asked in threads of its own: a slow one takes none that a call may need.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import RowMapping, select

from recordings.bucket import Bucket, BucketError
from recordings.keys import Trust
from recordings.s3 import CLOSE, S3Store
from recordings.store import LocalStore, Lock
from recordings.verify import verify_part
from video_bank.config import Config
from video_bank.errors import OperatorError
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

LOOK_S = 10.0
"""Between two looks into the spool."""
MOST_PAUSE_S = 300.0
"""The longest pause while the bucket is away; pauses double up to it."""
AGAIN_S = 600.0
"""A part that cannot be moved for a reason of its own is looked at again so much later."""
AT_ONCE = 2
"""Parts that move at the same time, each with 8 MiB in memory."""
NAMES = 500
"""Names in one question to the database."""
GB = 1_000_000_000
PASSING = ("unreachable", "busy", "refused", "no_bucket")
"""Reasons that hold for every part: there is no use in trying the next one."""

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """What the spool holds."""

    parts: int = 0
    """Sealed, and not in the bucket yet."""
    bytes: int = 0
    """Of all files, those of calls under way among them."""
    since: int | None = None
    """When the part that has waited longest was sealed."""


@dataclass(frozen=True)
class Failure:
    """Why a part could not be moved."""

    reason: str
    """That of :class:`BucketError`, or ``failed``, or ``damaged``: the spool's copy is not what was
    sealed."""
    at: int


class Spool:
    """Moves parts from this machine to the bucket."""

    def __init__(self, db: Database, store: S3Store, trust: Trust, *, limit: int) -> None:
        """``limit``: bytes in the spool above which there is an alarm."""
        self._db, self._store, self._trust, self._limit = db, store, trust, limit
        self._threads = ThreadPoolExecutor(AT_ONCE, "spool")
        self._stop = threading.Event()
        self._looked_at_holds = 0
        self._stuck: dict[str, tuple[float, Failure]] = {}
        "Parts with a reason of their own to stay, and when to look again."
        self.waiting = Waiting()
        self.failure: Failure | None = None
        "Of the last round; None when all went well."

    def close(self) -> None:
        """Stop after the piece that is under way: the next start goes on from there."""
        self._stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def full(self) -> bool:
        """Is there more in the spool than there should be?"""
        return self.waiting.bytes > self._limit

    def state(self) -> dict[str, Any]:
        """For the page of those who run the server."""
        failure = self.failure
        return {
            "parts": self.waiting.parts,
            "bytes": self.waiting.bytes,
            "since": self.waiting.since,
            "limit_bytes": self._limit,
            "full": self.full,
            "failure": None if failure is None else {"reason": failure.reason, "at": failure.at},
        }

    async def run(self) -> None:
        """Move what is sealed, until cancelled."""
        pause = LOOK_S
        while True:
            try:
                await self.round()
            except Exception:
                log.exception("- the spool could not be looked through")
            away = self.failure is not None and self.failure.reason in PASSING
            pause = min(2 * pause, MOST_PAUSE_S) if away else LOOK_S
            await asyncio.sleep(pause)

    async def round(self) -> None:
        """Move each part that is sealed, and tell the bucket of new holds."""
        sizes = await self._in_thread(self._store.waiting)
        rows = await self._sealed({name.removesuffix(CLOSE) for name in sizes})
        self._note(rows, sizes)
        now = time.monotonic()
        self._stuck = {name: each for name, each in self._stuck.items() if now < each[0]}
        failures = [self._stuck[row["name"]][1] for row in rows if row["name"] in self._stuck]
        queue = iter([row for row in rows if row["name"] not in self._stuck])
        await asyncio.gather(*(self._work(queue, failures) for _ in range(AT_ONCE)))
        await self._holds(failures)
        sizes = await self._in_thread(self._store.waiting)
        left = {name.removesuffix(CLOSE) for name in sizes}
        self._note([row for row in rows if row["name"] in left], sizes)
        self.failure = failures[-1] if failures else None

    async def _work(self, queue: Iterator[RowMapping], failures: list[Failure]) -> None:
        for row in queue:
            if self._stop.is_set() or any(each.reason in PASSING for each in failures):
                return
            try:
                await self._move(row)
            except FileNotFoundError:
                continue  # erased meanwhile
            except OSError as error:
                self._fail(row["name"], error, failures)

    async def _move(self, row: RowMapping) -> None:
        lock = await self._lock(row)
        await self._in_thread(functools.partial(self._take, row, lock))
        # A hold that was placed while the part was on its way.
        if (now := await self._lock(row)) != lock:
            await self._in_thread(functools.partial(self._store.guard, row["name"], now))

    def _take(self, row: RowMapping, lock: Lock) -> None:
        name, spool = row["name"], self._store.spool
        if row["verdict"] == "ok" and spool.path(name).exists():
            # The bucket's copy is compared with this one: this one must still be what was sealed.
            if verify_part(spool, name, self._trust).chain != row["chain"]:
                raise BucketError("damaged", f"{name} is not what was sealed")
        self._store.move(name, lock, self._stop.is_set)

    async def _holds(self, failures: list[Failure]) -> None:
        """Tell the bucket of holds placed and lifted since the last look; at first, of all."""
        looked, h, p = now_us(), t.holds.c, t.parts.c
        changed = (h.placed_at > self._looked_at_holds) | (h.lifted_at > self._looked_at_holds)
        query = select(t.parts).join(t.holds, h.session_id == p.session_id).where(changed)
        async with self._db.read() as c:
            rows = (await c.execute(query.where(p.erased_at.is_(None)).distinct())).mappings().all()
        for row in rows:
            try:
                lock = await self._lock(row)
                await self._in_thread(functools.partial(self._store.guard, row["name"], lock))
            except OSError as error:
                self._fail(row["name"], error, failures)
                return
        # One transaction may have been under way with an earlier time.
        self._looked_at_holds = looked - 60_000_000

    async def _sealed(self, names: set[str]) -> list[RowMapping]:
        """The parts of these names that are over, the oldest first."""
        listed = sorted(names)
        found: list[RowMapping] = []
        for start in range(0, len(listed), NAMES):
            p = t.parts.c
            query = select(t.parts).where(
                p.name.in_(listed[start : start + NAMES]),
                p.sealed_at.is_not(None),
                p.erased_at.is_(None),
            )
            async with self._db.read() as c:
                found += (await c.execute(query)).mappings().all()
        return sorted(found, key=lambda row: row["sealed_at"])

    async def _lock(self, row: RowMapping) -> Lock:
        """How the part is to be locked as things stand."""
        held = select(t.holds.c.id).where(
            t.holds.c.session_id == row["session_id"], t.holds.c.lifted_at.is_(None)
        )
        async with self._db.read() as c:
            return Lock(row["kept_until"], (await c.execute(held)).first() is not None)

    def _note(self, rows: list[RowMapping], sizes: dict[str, int]) -> None:
        was = self.full
        since = min((row["sealed_at"] for row in rows), default=None)
        self.waiting = Waiting(len(rows), sum(sizes.values()), since)
        if self.full and not was:
            log.error(
                "x %.1f GB of recordings wait for the bucket, more than %.1f GB",
                self.waiting.bytes / GB,
                self._limit / GB,
            )
        elif was and not self.full:
            log.info("- the spool is below its limit again")

    def _fail(self, name: str, error: OSError, failures: list[Failure]) -> None:
        reason = error.reason if isinstance(error, BucketError) else "failed"
        known = {each.reason for each in (*failures, *filter(None, [self.failure]))}
        if reason not in known | {"stopped"}:
            log.error("x part %s stays on this machine: %s", name, error)
        failures.append(failure := Failure(reason, now_us()))
        if reason not in (*PASSING, "stopped"):
            self._stuck[name] = time.monotonic() + AGAIN_S, failure

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def bucket_store(config: Config) -> S3Store:
    """The store that the settings name.

    Raises:
        OperatorError: what is set makes no bucket; whether it is there is not asked.
    """
    file = config.s3_credentials_file
    if file is not None and not file.is_file():
        raise OperatorError(f"s3_credentials_file: there is no file {file}")
    try:
        bucket = Bucket(
            config.s3_bucket,
            endpoint=config.s3_endpoint,
            region=config.s3_region,
            prefix=config.s3_prefix,
            credentials=file,
            mode=config.s3_object_lock,
        )
    except ValueError as error:
        raise OperatorError(f"storage s3: {error}") from error
    return S3Store(LocalStore(config.data / "recordings"), bucket)
