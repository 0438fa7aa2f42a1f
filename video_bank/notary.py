"""When recordings were what they are: the log of seals with its signed and stamped heads.

Every part that is sealed or closed becomes a leaf of the day's tree (RFC 9162).  The tree's head
is signed after each full hour in which something was added, at the end of the day and on demand,
and a time-stamp authority (RFC 3161) stamps the signed head.  What that shows does not rest on the
server: neither its database nor its signing key can put a recording under a head that was stamped
before.

A head carries the ends of two chains of the timeline, which are stamped with it: the audit log,
and what was noted of running parts (:mod:`video_bank.running`).

All days are UTC days.  ``heads.signed`` is a C2SP checkpoint; the stamp is over its SHA-256.
"""

import asyncio
import base64
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import RowMapping, exists, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from recordings import tree
from recordings.errors import Damaged, SignerAway
from recordings.heads import sign_head
from recordings.keys import Signer, Trust
from recordings.timestamp import (
    Authority,
    HttpAuthority,
    NotStamped,
    Stamped,
    TestAuthority,
    check,
    load_roots,
)
from recordings.verify_recording import TreeHead, read_head
from video_bank.config import Config
from video_bank.errors import OperatorError
from video_bank.evidence import AUDIT, Head, Timeline
from video_bank.running import Running, chain_of, day_of
from video_bank.storage import Database, Reader, Tx, new_id, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

LOOK_S = 60.0
"""How often it is looked whether a head is due or waits for its stamp."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3600.0
"""An authority that is away is asked again after a minute, then two, four … and hourly."""
AT_ONCE_S = 10.0
"""On demand it is asked out of turn, but not by every click."""
CLOCKS_APART_S = 300
"""More between our clock and the authority's is worth a line in the log."""
HOUR_US = 3_600_000_000
_ENDS = re.compile(r"^(audit|running) ([0-9]{1,15}) ([0-9a-f]{64})$", re.MULTILINE)
BACK_DAYS = 7
"""So long may the server have been down with something noted of running parts and not signed."""


class Notary:
    """The log of seals of this bank."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        running: Running,
        signer: Signer,
        trust: Trust,
        *,
        origin: str,
        authority: Authority | None,
        roots: Sequence[x509.Certificate] = (),
        clock: Callable[[], int] = now_us,
    ) -> None:
        """``trust``: the public keys whose heads count; ``origin``: what the trees' names begin
        with; ``authority``: None when none is set up; ``roots``: certificates that vouched for
        earlier stamps; ``clock``: UTC microseconds.
        """
        self._db, self._timeline, self._running, self._signer = db, timeline, running, signer
        self._trust = trust
        self._origin, self._authority = origin, authority
        self._roots = [*(authority.roots if authority else ()), *roots]
        self._clock = clock
        self._behind = True
        "Whether parts may be waiting for their leaf; at the start nobody knows."
        self._signed_up_to = 0
        self._broken: set[str] = set()
        self._unsigned: dict[str, TreeHead] = {}
        "Heads that are in the audit log and wait for a signer who is away, by day."
        self._failures, self._asked_at, self._ask_from = 0, 0, 0
        self._turn = asyncio.Lock()

    @property
    def authorities(self) -> bytes:
        """The certificates in which stamps end, as PEM; empty without any."""
        return b"".join(root.public_bytes(Encoding.PEM) for root in self._roots)

    # -- leaves -----------------------------------------------------------------------------

    async def add(self, part: str) -> None:
        """Put a part that was sealed or closed into today's tree; once, however often called.

        Never fails: what could not be added now is added later (:meth:`catch_up`).
        """
        try:
            async with self._db.write() as tx:
                await self._add(tx, await self._waiting(tx, part))
        except SQLAlchemyError:
            self._behind = True
            log.exception("x part %s waits for its place in the tree", part)

    async def catch_up(self) -> None:
        """Put in what was sealed and is in no tree: the server ended, or could not, in between."""
        if self._behind:
            async with self._db.write() as tx:
                await self._add(tx, await self._waiting(tx))
            self._behind = False

    async def _waiting(self, reader: Reader, part: str | None = None) -> Sequence[RowMapping]:
        query = (
            select(t.parts.c.id, t.parts.c.chain)
            .outerjoin(t.leaves, t.leaves.c.part_id == t.parts.c.id)
            .where(
                t.parts.c.sealed_at.is_not(None),
                t.parts.c.chain.is_not(None),
                t.leaves.c.part_id.is_(None),
            )
            .order_by(t.parts.c.sealed_at, t.parts.c.id)
        )
        if part is not None:
            query = query.where(t.parts.c.id == part)
        return (await reader.execute(query)).mappings().all()

    async def _add(self, tx: Tx, parts: Iterable[RowMapping]) -> None:
        # In today's tree, also what was sealed yesterday: a day that is over does not grow.
        now = self._clock()
        day = day_of(now)
        position = await self._size(tx, day)
        for part in parts:
            leaf = tree.part_leaf(part["id"], part["chain"])
            await tx.execute(
                insert(t.leaves).values(
                    day=day, position=position, part_id=part["id"], hash=leaf.hex(), added_at=now
                )
            )
            position += 1

    async def _size(self, reader: Reader, day: str) -> int:
        query = select(func.count()).where(t.leaves.c.day == day)
        return int((await reader.execute(query)).scalar_one())

    async def _leaves(self, reader: Reader, day: str, size: int | None = None) -> list[bytes]:
        query = select(t.leaves.c.hash).where(t.leaves.c.day == day)
        rows = await reader.execute(query.order_by(t.leaves.c.position).limit(size))
        return [_bytes(row.hash) for row in rows]

    # -- heads ------------------------------------------------------------------------------

    async def close(self, day: str) -> None:
        """Sign the head of a day's tree as it is now, if it grew or more was noted of running
        parts since the last one.

        Raises SignerAway: the head is signed another time.
        """
        head = self._unsigned.get(day) or await self._next(day)
        if head is None:
            return
        self._unsigned[day] = head
        # Not inside the transaction: a signer outside may take its time, and others write.
        signed = await asyncio.to_thread(sign_head, head, self._signer)
        del self._unsigned[day]
        async with self._db.write() as tx:
            await tx.execute(
                insert(t.heads).values(
                    id=new_id(),
                    day=day,
                    size=head.size,
                    root=head.root.hex(),
                    signed=signed,
                    at=self._clock(),
                    test_authority=False,
                )
            )

    async def _close_all(self, days: Iterable[str]) -> bool:
        """False if the signer is away: they are signed when it is back."""
        try:
            for day in days:
                await self.close(day)
        except SignerAway as error:
            log.error("x heads of the log of seals wait for the signer: %s", error.strerror)
            return False
        return True

    async def _next(self, day: str) -> TreeHead | None:
        """What is to be signed of a day now, entered in the audit log; None if nothing is."""
        async with self._db.write() as tx:
            last = await self._last(tx, day)
            leaves = await self._leaves(tx, day)
            running = await self._running.end(tx, day)
            if not _grew(last, len(leaves), running):
                return None
            if last is not None and not _continues(last, leaves):
                # Whoever changed what was signed shall not get a signature for it.
                self._alarm(day, last)
                return None
            root = tree.root(leaves)
            said = {"day": day, "size": len(leaves), "root": root.hex()}
            audit = await self._timeline.append(tx, AUDIT, "day_head", "server", said)
        ends = (f"audit {audit.seq} {audit.hash}", _line(running))
        return TreeHead(f"{self._origin}/{day}", len(leaves), root, ends)

    async def _last(self, reader: Reader, day: str) -> RowMapping | None:
        query = (
            select(t.heads)
            .where(t.heads.c.day == day)
            .order_by(t.heads.c.size.desc(), t.heads.c.at.desc())
            .limit(1)
        )
        return (await reader.execute(query)).mappings().one_or_none()

    def _alarm(self, day: str, last: RowMapping) -> None:
        if day not in self._broken:
            self._broken.add(day)
            log.error(
                "x the tree of %s is not the one whose head was signed at size %d: leaves were"
                " changed or taken away, no further head is signed", day, last["size"],
            )  # fmt: skip

    async def _due(self, hour: int) -> list[str]:
        """Days whose head is to be signed: something was added before this hour began."""
        covered = (
            select(t.heads.c.day, func.max(t.heads.c.size).label("size"))
            .group_by(t.heads.c.day)
            .subquery()
        )
        grown = (
            select(t.leaves.c.day)
            .outerjoin(covered, covered.c.day == t.leaves.c.day)
            .where(
                t.leaves.c.position >= func.coalesce(covered.c.size, 0),
                t.leaves.c.added_at < hour,
            )
            .distinct()
        )
        async with self._db.read() as reader:
            days = {str(row.day) for row in await reader.execute(grown)}
            for back in range(BACK_DAYS + 1):
                day = day_of(hour - 24 * HOUR_US * back)
                last = await self._last(reader, day)
                noted_at = await self._running.began(reader, day)
                since = last["at"] if last else noted_at
                if since < hour and _moved(last, await self._running.end(reader, day)):
                    days.add(day)
        return sorted(days)

    # -- stamps -----------------------------------------------------------------------------

    async def stamp(self) -> None:
        """Have the newest head of each day stamped that is not, unless the authority is away.

        A day's newest head covers whatever an earlier one does: after an outage one stamp a day
        is enough, and the earlier ones stay without.
        """
        if self._authority is None or self._clock() < self._ask_from:
            return
        for head in await self._unstamped():
            self._asked_at = self._clock()
            try:
                await self._stamp(self._authority, head)
            except NotStamped as error:
                pause = min(FIRST_PAUSE_S * 2 ** min(self._failures, 10), LONGEST_PAUSE_S)
                self._failures += 1
                self._ask_from = self._clock() + int(pause * 1e6)
                log.warning(
                    "- the head of %s at size %d is not stamped yet, again in %d s: %s",
                    head["day"], head["size"], pause, error,
                )  # fmt: skip
                return
            self._failures, self._ask_from = 0, 0

    async def _unstamped(self) -> Sequence[RowMapping]:
        """Heads without a stamp that are their day's newest, the oldest day first."""
        later = t.heads.alias()
        superseded = exists().where(
            later.c.day == t.heads.c.day,
            (later.c.size > t.heads.c.size)
            | ((later.c.size == t.heads.c.size) & (later.c.at > t.heads.c.at)),
        )
        query = select(t.heads).where(t.heads.c.token.is_(None), ~superseded)
        async with self._db.read() as reader:
            return (await reader.execute(query.order_by(t.heads.c.day))).mappings().all()

    async def _stamp(self, authority: Authority, head: RowMapping) -> None:
        digest = _digest(head)
        token = await authority.stamp(digest)
        stamped = check(token, digest, authority.roots)
        if abs(stamped.at - self._clock()) > CLOCKS_APART_S * 1e6:
            log.warning("- this clock and that of %s differ", authority.name)
        async with self._db.write() as tx:
            await tx.execute(
                update(t.heads)
                .where(t.heads.c.id == head["id"], t.heads.c.token.is_(None))
                .values(
                    token=token,
                    authority=stamped.authority,
                    stamped_at=stamped.at,
                    test_authority=stamped.test,
                )
            )
        log.info("- the head of %s at size %d is stamped", head["day"], head["size"])

    # -- proving ----------------------------------------------------------------------------

    async def proof(self, session: str) -> list[dict[str, Any]]:
        """For each part of the session, what shows when it was what it is; checked here and now.

        Beside what a verifier needs (``tests/recordings/proofs.py`` tells the fields), ``state``
        is one of: `stamped`, `test` (stamped by the authority for tests), `unstamped` (under a
        signed head), `waiting` (for the next head), `wrong` (with ``reason``).
        """
        query = (
            select(t.parts.c.id, t.parts.c.number, t.parts.c.chain, t.leaves)
            .outerjoin(t.leaves, t.leaves.c.part_id == t.parts.c.id)
            .where(t.parts.c.session_id == session)
            .order_by(t.parts.c.number)
        )
        async with self._db.read() as reader:
            parts = (await reader.execute(query)).mappings().all()
            return [await self._prove(reader, part) for part in parts]

    async def _prove(self, reader: Reader, part: RowMapping) -> dict[str, Any]:
        position = part["position"]
        head = None if position is None else await self._covering(reader, part["day"], position)
        shown: dict[str, Any] = {
            "part_id": part["id"],
            "number": part["number"],
            "day": part["day"],
            "position": position,
            "added_at": part["added_at"],
            "size": None, "root": None, "proof": [], "checkpoint": None, "closed_at": None,
            "token": None, "authority": None, "stamped_at": None, "test_authority": False,
            "state": "waiting", "reason": None,
        }  # fmt: skip
        if position is not None and part["hash"] != _leaf(part):
            return {**shown, "state": "wrong", "reason": "leaf_differs"}
        if head is None:
            return shown
        leaves = await self._leaves(reader, head["day"], head["size"])
        reason = self._fault(head, leaves)
        shown |= {
            "size": head["size"],
            "root": head["root"],
            "proof": [] if reason else _hex(tree.inclusion_proof(leaves, position)),
            "checkpoint": head["signed"],
            "closed_at": head["at"],
        }
        if head["token"] is not None and reason is None:
            try:
                stamped = check(head["token"], _digest(head), self._roots)
                shown |= _told(head["token"], stamped)
            except NotStamped:
                reason = "stamp_wrong"
        shown["state"] = _state(head, reason, test=bool(shown["test_authority"]))
        return {**shown, "reason": reason or self._why_not(head)}

    def _why_not(self, head: RowMapping) -> str | None:
        """Why a head waits for its stamp, if more than a minute can be the matter."""
        if head["token"] is not None:
            return None
        if self._authority is None:
            return "no_authority"
        return "authority_away" if self._failures else None

    async def _covering(self, reader: Reader, day: str, position: int) -> RowMapping | None:
        """The head that says most: the first stamped one with this leaf, else the newest."""
        query = select(t.heads).where(t.heads.c.day == day, t.heads.c.size > position)
        rows = (await reader.execute(query.order_by(t.heads.c.at))).mappings().all()
        real = [row for row in rows if row["token"] is not None and not row["test_authority"]]
        stamped = real or [row for row in rows if row["token"] is not None]
        return stamped[0] if stamped else rows[-1] if rows else None

    def _fault(self, row: RowMapping, leaves: Sequence[bytes]) -> str | None:
        """Why the head is not that of these leaves; None if it is."""
        try:
            head = read_head(row["signed"], self._trust)
        except Damaged:
            return "head_wrong"
        stated = (head.origin.rpartition("/")[2], head.size, head.root.hex())
        if stated != (row["day"], row["size"], row["root"]):
            return "head_wrong"
        same = len(leaves) == head.size and tree.root(leaves) == head.root
        return None if same else "tree_differs"

    async def at_once(self, session: str) -> list[dict[str, Any]]:
        """:meth:`proof`, after signing and stamping what of the session is not yet."""
        await self.catch_up()
        waiting = {
            each["day"] for each in await self.proof(session) if each["state"] == "waiting"
        }
        async with self._turn:
            await self._close_all(sorted(waiting - {None}))
            if self._clock() - self._asked_at > AT_ONCE_S * 1e6:
                self._ask_from = 0
            await self.stamp()
        return await self.proof(session)

    # -- working ----------------------------------------------------------------------------

    async def look(self) -> None:
        """Whatever is due now: leaves, heads, stamps."""
        async with self._turn:
            await self.catch_up()
            hour = self._clock() // HOUR_US * HOUR_US
            if hour != self._signed_up_to:
                if await self._close_all(await self._due(hour)):
                    self._signed_up_to = hour
            await self.stamp()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # whatever it is, recordings to come want their heads
                log.exception("- looking after the log of seals failed once")
            await asyncio.sleep(LOOK_S)


async def anchors(database: Database) -> list[Head]:
    """The ends of chains of the timeline that signed heads carry, for :func:`evidence.verify`."""
    async with database.read() as reader:
        heads = (await reader.execute(select(t.heads.c.day, t.heads.c.signed))).all()
    return [
        Head(AUDIT if kind == "audit" else chain_of(day), int(seq), end)
        for day, signed in heads
        for kind, seq, end in _ENDS.findall(signed)
        if int(seq)
    ]


def authority_of(config: Config) -> tuple[Authority | None, Sequence[x509.Certificate]]:
    """Who stamps under these settings, and the roots that vouched for what was stamped before.

    Raises:
        OperatorError: the root certificates cannot be read.
    """
    path = config.keys / "test-authority.pem"
    authority: Authority | None = None
    if config.timestamp_url and config.timestamp_roots is not None:
        try:
            authority = HttpAuthority(config.timestamp_url, load_roots(config.timestamp_roots))
        except (OSError, ValueError) as error:
            raise OperatorError(f"timestamp_roots: {error}") from error
    elif config.demo or config.unsafe_test_timestamps:
        log.warning("- an authority for tests stamps the recordings, which proves nothing")
        authority = TestAuthority(path)
    return authority, TestAuthority(path).roots if path.exists() else ()


def _grew(last: RowMapping | None, size: int, running: Head) -> bool:
    return size > (last["size"] if last else 0) or _moved(last, running)


def _moved(last: RowMapping | None, running: Head) -> bool:
    """Was anything noted of running parts that the last head does not carry?"""
    return bool(running.seq) and (last is None or f"\n{_line(running)}\n" not in last["signed"])


def _line(running: Head) -> str:
    return f"running {running.seq} {running.hash}"


def _continues(last: RowMapping, leaves: Sequence[bytes]) -> bool:
    """Is the tree of the last head the beginning of this one? (RFC 9162, 2.1.4)"""
    size, earlier = last["size"], bytes.fromhex(last["root"])
    if size == 0:
        return True
    if size > len(leaves):
        return False
    proof = tree.consistency_proof(leaves, size)
    return tree.verify_consistency(size, len(leaves), earlier, tree.root(leaves), proof)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""  # not what was written, and in no tree that was signed


def _hex(hashes: Iterable[bytes]) -> list[str]:
    return [each.hex() for each in hashes]


def _digest(head: RowMapping) -> bytes:
    return sha256(head["signed"].encode()).digest()


def _leaf(part: RowMapping) -> str:
    return tree.part_leaf(part["id"], part["chain"]).hex() if part["chain"] else ""


def _told(token: bytes, stamped: Stamped) -> dict[str, Any]:
    return {
        "token": base64.b64encode(token).decode(),
        "authority": stamped.authority,
        "stamped_at": stamped.at,
        "test_authority": stamped.test,
    }


def _state(head: RowMapping, reason: str | None, *, test: bool) -> str:
    if reason is not None:
        return "wrong"
    if head["token"] is None:
        return "unstamped"
    return "test" if test else "stamped"
