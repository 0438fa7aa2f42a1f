"""What is erased when: the plan of a night, the night itself, and the report of it.

``python -m video_bank.retention --dry-run`` says what the next night would do and why, and does
nothing; without ``--dry-run`` it does it now.  Further verbs: ``rotate`` wraps every recording's
key anew and destroys the old key-encryption keys, the server may run meanwhile; ``shorten`` takes
over periods that became shorter; ``adopt`` moves the file keyring's keys to the token that is set
now, stop the server before.  Settings are given as to ``run_server.py``: ``--data DIR`` and the
like.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Self

from sqlalchemy import RowMapping, func, select, update

from video_bank.archive import TENANT, Archive, keyring_of, signer_of, store_of
from video_bank.blobs import LocalBlobs
from video_bank.bus import LocalBus
from video_bank.config import Config
from video_bank.erasure import Erasure
from video_bank.errors import Conflict, OperatorError
from video_bank.evidence import AUDIT, Timeline
from video_bank.holds import standing
from video_bank.periods import Policy, month_after, month_of
from video_bank.secrets import Secrets
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t
from video_bank.wrappings import BATCH, Wrapped, Wrappings

log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
LEAP_US = 60 * DAY_US
"A longer silence in the timeline than this, and the nightly run does not trust the clock."
CHUNK = 1000
"Parts read at a time."
LOOK_S = 600
"How often the server looks whether it is night."
VERBS = ("--dry-run", "shorten", "rotate", "adopt")
RUN = "retention_run"
"The audit entry of a night."


@dataclass(frozen=True)
class Kept:
    """A session that is not erased, and until when it is kept."""

    session: str
    class_id: str
    parts: int
    bytes: int
    until_us: int
    source: str
    "Id of the source whose period is the longest."
    hold: str | None
    "Id of the legal hold it is under."

    @property
    def month(self) -> str:
        """In which it may be erased at the earliest."""
        return month_of(self.until_us)

    def and_(self, other: Self) -> Self:
        """With another part: a session is kept as long as the part that is kept longest."""
        last = max(self, other, key=lambda one: one.until_us)
        return replace(last, parts=self.parts + other.parts, bytes=self.bytes + other.bytes)

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "session": self.session,
            "class": self.class_id,
            "parts": self.parts,
            "bytes": self.bytes,
            "kept_until": self.until_us,
            "source": self.source,
            "hold": self.hold,
        }


@dataclass
class Plan:
    """What a night does."""

    at: int
    kept: list[Kept] = field(default_factory=list)
    "Every session, the one whose time is over first first."
    months: list[dict[str, Any]] = field(default_factory=list)
    "As JSON: month, sessions, bytes, held."
    longer: list[tuple[str, int]] = field(default_factory=list)
    "Parts that the policy now keeps longer than it did: id, until when."
    shorter: int = 0
    "Parts that the policy now would keep less long; that is not taken over by itself."
    erase: list[Kept] = field(default_factory=list)
    held: list[Kept] = field(default_factory=list)
    "Would be erased, but for a legal hold."
    moves: dict[str, list[Wrapped]] = field(default_factory=dict)
    "Wrapped keys by the month whose key they go to."
    destroy: list[str] = field(default_factory=list)
    "Keys of months that are over, which wrap nothing."
    forget: list[str] = field(default_factory=list)
    "Customers of whom nothing was recorded and whose time is over."

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "at": self.at,
            "longer": len(self.longer),
            "shorter": self.shorter,
            "erase": [each.view() for each in self.erase],
            "held": [each.view() for each in self.held],
            "moves": {month: len(rows) for month, rows in self.moves.items()},
            "destroy": self.destroy,
            "forget": len(self.forget),
        }


@dataclass
class Report:
    """What a night did."""

    erased: dict[str, str] = field(default_factory=dict)
    "Sessions, each with its certificate."
    failed: dict[str, str] = field(default_factory=dict)
    "Sessions or keys that were not erased, each with why."
    moved: int = 0
    destroyed: list[str] = field(default_factory=list)
    certificate: str | None = None
    "Of the destroyed keys."
    forgotten: int = 0
    "Customers of whom nothing was recorded, now without name, phone and ID number."
    unlocked: int = 0
    "Files of erased sessions that a lock had kept until now."


class Survey:
    """The plan while its parts are read."""

    def __init__(self, policy: Policy, plan: Plan) -> None:
        self._policy, self._plan = policy, plan
        self._sessions: dict[str, Kept] = {}
        self._wrapped: list[tuple[str, str, Wrapped]] = []
        "Session, month and key of every sealed part."
        self.keks: set[str] = set()
        "Keys that wrap something."

    def add(self, parts: Sequence[RowMapping]) -> None:
        """Take up some parts."""
        for part in parts:
            self._add(part)

    def _add(self, part: RowMapping) -> None:
        plan, noted = self._plan, part["kept_until"]
        kept = self._policy[part["product_class"]]
        # What still runs ends now at the earliest.
        until, source = kept.decides(part["sealed_at"] or plan.at)
        longest = max(until, noted or 0)
        one = Kept(part["session_id"], kept.id, 1, part["bytes"] or 0, longest, source.id, None)
        before = self._sessions.get(one.session)
        self._sessions[one.session] = one if before is None else before.and_(one)
        self.keks.add(part["kek_id"])
        if part["sealed_at"] is not None:
            if noted is None or until > noted:
                plan.longer.append((part["id"], until))
            plan.shorter += until < (noted or 0)
            month = month_of(max(longest, plan.at))
            wrapped = Wrapped(part["id"], part["kek_id"], part["wrapped_dek"])
            if wrapped.month != month:
                self._wrapped.append((one.session, month, wrapped))

    def result(self, held: Mapping[str, str]) -> Plan:
        """The plan, but for the keys to be destroyed."""
        plan = self._plan
        for session in held.keys() & self._sessions.keys():
            self._sessions[session] = replace(self._sessions[session], hold=held[session])
        plan.kept = sorted(self._sessions.values(), key=lambda one: one.until_us)
        plan.months = [_month(days) for _, days in groupby(plan.kept, lambda one: one.month)]
        due = [one for one in plan.kept if one.until_us <= plan.at]
        plan.held = [one for one in due if one.hold]
        plan.erase = [one for one in due if not one.hold]
        going = {one.session for one in plan.erase}
        for session, month, wrapped in self._wrapped:
            if session not in going:
                plan.moves.setdefault(month, []).append(wrapped)
        return plan


class Retention:
    """The periods applied to everything that is kept."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        archive: Archive,
        policy: Policy,
        erasure: Erasure,
        *,
        hour: int,
        grace_days: int,
        nightly: bool,
        unrecorded_days: int = 180,
    ) -> None:
        self._db, self._timeline, self._archive = db, timeline, archive
        self.policy, self._erasure = policy, erasure
        self.hour, self.nightly = hour, nightly
        self._grace_us = grace_days * DAY_US
        self._unrecorded_us = unrecorded_days * DAY_US
        self.wrappings = Wrappings(db, archive.keyring, TENANT)

    # -- looking --------------------------------------------------------------------------

    async def plan(self, now: int | None = None) -> Plan:
        """What a night at ``now`` would do; reads every part that is not erased."""
        survey = Survey(self.policy, Plan(now or now_us()))
        async with self._db.read() as c:
            held = await standing(c)
            rows = await c.stream(_alive())
            async for chunk in rows.mappings().partitions(CHUNK):
                # In a thread: calls go on beside it, however many parts there are.
                await asyncio.to_thread(survey.add, chunk)
        plan = await asyncio.to_thread(survey.result, held)
        plan.destroy = await self._over(plan.at, survey.keks)
        plan.forget = await self._erasure.unrecorded(plan.at - self._unrecorded_us)
        return plan

    async def _over(self, now: int, used: set[str]) -> list[str]:
        """Keys whose month, and the days of grace after it, are over and that wrap nothing."""
        over = []
        for kek in await asyncio.to_thread(self._archive.keyring.keks):
            tenant, _, month = kek.partition("/")
            if tenant == TENANT and kek not in used:
                end = datetime.strptime(month_after(month[:7]), "%Y-%m").replace(tzinfo=UTC)
                if end.timestamp() * 1e6 + self._grace_us <= now:
                    over.append(kek)
        return over

    # -- doing ----------------------------------------------------------------------------

    async def night(self, now: int | None = None, *, erase: bool = True) -> Report:
        """Do what :meth:`plan` says; one session that cannot be erased does not stop the others."""
        await self._erasure.resume()
        plan, report = await self.plan(now), Report()
        report.unlocked = await self._erasure.unlock()
        await self._keep(plan.longer, report)
        for customer in plan.forget if erase else ():
            before = plan.at - self._unrecorded_us
            report.forgotten += await self._erasure.forget(customer, before)
        for each in plan.erase if erase else ():
            reason = f"{each.class_id}: {each.source}"
            try:
                report.erased[each.session] = await self._erasure.erase(
                    each.session, reason, now=plan.at
                )
            except Conflict as refused:  # a hold was placed meanwhile
                report.failed[each.session] = refused.code
            except OSError as error:
                log.exception("x a session could not be erased")
                report.failed[each.session] = error.strerror or "failed"
        for month, rows in plan.moves.items():
            for start in range(0, len(rows), BATCH):
                report.moved += await self.wrappings.move(rows[start : start + BATCH], month)
        for kek in plan.destroy:
            try:
                await self.wrappings.destroy(kek)
                report.destroyed.append(kek)
            except Conflict as refused:
                report.failed[kek] = refused.code
        if report.destroyed:
            report.certificate = await self._erasure.destroyed(
                report.destroyed, "the months of these keys are over"
            )
        await self._note(plan, report)
        return report

    async def _keep(self, parts: Sequence[tuple[str, int]], report: Report) -> None:
        """Keep parts longer.

        A store that locks files hears of it first: what it cannot be told, the next night tries.
        """
        for start in range(0, len(parts), BATCH):
            some = dict(parts[start : start + BATCH])
            async with self._db.read() as c:
                query = select(t.parts).where(t.parts.c.id.in_(some))
                rows, held = (await c.execute(query)).mappings().all(), await standing(c)
            for row in rows:
                try:
                    await self._archive.lock(row, some[row["id"]], held=row["session_id"] in held)
                except OSError as error:
                    log.error("x the lock of part %s is not extended: %s", row["name"], error)
                    report.failed[row["name"]] = "lock_not_extended"
                    del some[row["id"]]
            await self._note_until(list(some.items()))

    async def _note_until(self, parts: Sequence[tuple[str, int]]) -> None:
        """By few at a time, so that nobody waits to write."""
        for start in range(0, len(parts), BATCH):
            async with self._db.write() as tx:
                for part, until in parts[start : start + BATCH]:
                    await tx.execute(
                        update(t.parts).where(t.parts.c.id == part).values(kept_until=until)
                    )

    async def _note(self, plan: Plan, report: Report) -> None:
        data = {
            "erased": report.erased,
            "failed": report.failed,
            "held": [each.session for each in plan.held],
            "longer": len(plan.longer),
            "shorter": plan.shorter,
            "moved": report.moved,
            "destroyed": report.destroyed,
            "forgotten": report.forgotten,
            "unlocked": report.unlocked,
            "policy": self.policy.version,
        }
        async with self._db.write() as tx:
            await self._timeline.append(tx, AUDIT, RUN, "server", data)
        log.info("- retention: %d erased, %d failed", len(report.erased), len(report.failed))

    async def shorten(self, by: str) -> int:
        """Take over periods that the policy has made shorter; how many parts that concerns.

        Not done by itself: a slip in the bank's file must not erase what cannot be had again.
        """
        async with self._db.read() as c:
            rows = (await c.execute(_alive())).mappings().all()
        shorter = []
        for row in rows:
            until = self.policy[row["product_class"]].until(row["sealed_at"] or now_us())
            if row["kept_until"] is not None and until < row["kept_until"]:
                shorter.append((row["id"], until))
        await self._note_until(shorter)
        async with self._db.write() as tx:
            data = {"parts": len(shorter), "policy": self.policy.version}
            await self._timeline.append(tx, AUDIT, "retention_shortened", by, data)
        return len(shorter)

    async def rotate(self, by: str) -> list[str]:
        """Wrap every key anew; the ids of the keys destroyed by that."""
        destroyed = await self.wrappings.rotate()
        async with self._db.write() as tx:
            await self._timeline.append(tx, AUDIT, "keys_rotated", by, {"destroyed": destroyed})
        return destroyed

    async def adopt(self, by: str) -> int:
        """Take what the file's keyring has wrapped over to the one that is set now, and destroy
        the file's keys; how many it were.  No server may record meanwhile.

        Raises:
            OperatorError: the file's keyring is the one that is set.
        """
        to = self._archive.keyring.name
        if to == "file":
            raise OperatorError("set keyring = pkcs11 first: adopt moves the file's keys to it")
        moved = await self.wrappings.adopt(self._archive.file_keyring())
        async with self._db.write() as tx:
            data = {"from": "file", "to": to, "keys": moved}
            await self._timeline.append(tx, AUDIT, "keys_adopted", by, data)
        return moved

    async def last(self) -> int | None:
        """When the last night was."""
        query = select(func.max(t.timeline.c.at)).where(
            t.timeline.c.chain == AUDIT, t.timeline.c.kind == RUN
        )
        async with self._db.read() as c:
            at = (await c.execute(query)).scalar_one()
        return None if at is None else int(at)

    async def run(self) -> None:
        """Every night, also the one that was missed because the server was down."""
        while True:
            try:
                if (await self.last() or 0) < self._midnight():
                    await self._tonight()
            except Exception:
                log.exception("x the night's erasure failed; it is tried again")
            await asyncio.sleep(LOOK_S)

    async def _tonight(self) -> None:
        query = select(func.max(t.timeline.c.at))
        async with self._db.read() as c:
            newest = (await c.execute(query)).scalar_one()
        if newest is not None and now_us() - newest > LEAP_US:
            # What a clock that runs ahead makes due cannot be brought back.
            log.error(
                "x nothing was written for %d days: the clock is wrong, or the server was down for"
                " so long; nothing is erased until `python -m video_bank.retention` is run by hand",
                LEAP_US // DAY_US,
            )
            return
        await self.night(erase=self.nightly)

    def _midnight(self) -> int:
        """The last time at which a night was due."""
        now = datetime.now(UTC)
        at = now.replace(hour=self.hour, minute=0, second=0, microsecond=0)
        return int((at if at <= now else at - timedelta(days=1)).timestamp()) * 1_000_000


def _month(sessions: Iterable[Kept]) -> dict[str, Any]:
    """What may be erased in one month."""
    every = list(sessions)
    return {
        "month": every[0].month,
        "sessions": len(every),
        "bytes": sum(each.bytes for each in every),
        "held": sum(each.hold is not None for each in every),
    }


def _alive() -> Any:
    p = t.parts.c
    columns = (p.id, p.session_id, p.product_class, p.sealed_at, p.kept_until, p.bytes)
    return select(*columns, p.kek_id, p.wrapped_dek).where(p.erased_at.is_(None))


async def _command(config: Config, verb: str) -> int:
    bus = LocalBus()
    db = Database(config.database_url, bus)
    await db.migrate()
    try:
        secrets, timeline = Secrets.load_or_create(config.keys), Timeline()
        policy = Policy.load(config.retention_policy)
        archive = Archive(
            db,
            config.data / "recordings",
            config.keys,
            signer=signer_of(config),
            keyring=keyring_of(config),
            policy=policy,
            store=store_of(config),
        )
        blobs = LocalBlobs(config.data / "blobs", secrets.derive("blobs"))
        erasure = Erasure(db, timeline, archive, blobs, secrets, policy)
        retention = Retention(
            db,
            timeline,
            archive,
            policy,
            erasure,
            hour=config.erasure_hour,
            grace_days=config.key_grace_days,
            nightly=config.nightly_erasure,
            unrecorded_days=config.unrecorded_days,
        )
        match verb:
            case "rotate":
                print("destroyed:", *await retention.rotate("server"))
            case "adopt":
                print("keys taken over:", await retention.adopt("server"))
            case "shorten":
                print("parts kept less long now:", await retention.shorten("server"))
            case "--dry-run":
                _say(await retention.plan())
            case _:
                report = await retention.night()
                for session, certificate in report.erased.items():
                    print(f"erased {session}: certificate {certificate}")
                for name, why in report.failed.items():
                    print(f"NOT erased {name}: {why}")
                print(f"customers never recorded, forgotten: {report.forgotten}")
                print(f"files that a lock had kept, removed: {report.unlocked}")
                print(f"keys moved: {report.moved}; destroyed:", *report.destroyed)
                return 1 if report.failed else 0
    finally:
        await db.close()
        await bus.close()
    return 0


def _say(plan: Plan) -> None:
    """The dry run, for people."""
    for each in plan.erase:
        print(f"would erase {each.session}: {_because(each)}")
    for each in plan.held:
        print(f"would keep {each.session}, under legal hold {each.hold}: {_because(each)}")
    print(f"kept longer by the policy of today: {len(plan.longer)}")
    print(f"kept less long if you run `shorten`: {plan.shorter}")
    print(f"keys to be wrapped anew: {sum(map(len, plan.moves.values()))}")
    print(f"would forget customers never recorded: {len(plan.forget)}")
    print("keys to be destroyed:", *plan.destroy or ["none"])


def _because(each: Kept) -> str:
    day = datetime.fromtimestamp(each.until_us / 1e6, UTC).date()
    return f"class {each.class_id}, {each.parts} parts, over since {day} by {each.source}"


def main(arguments: Sequence[str]) -> int:
    """The command line; answers with the process's exit code."""
    words = [each for each in arguments if each in VERBS]
    if len(words) > 1 or "--help" in arguments:
        print(f"usage: python -m video_bank.retention [{' | '.join(VERBS)}] …\n", __doc__)
        return 0 if "--help" in arguments else OperatorError.exit_code
    logging.basicConfig(level=logging.WARNING)
    try:
        config = Config.load(os.environ, [each for each in arguments if each not in words])
        return asyncio.run(_command(config, words[0] if words else "night"))
    except OperatorError as error:
        print(f"retention: {error}", file=sys.stderr)
        return OperatorError.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
