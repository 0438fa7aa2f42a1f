"""The timeline of a session and the audit log of the bank: rows that are only ever added.

Every chain (``session:<id>``, ``audit``) numbers its rows from 1 and each row's hash covers the
row before it, so a changed, deleted, inserted or reordered row is found and named.  What a chain
alone cannot show is that its *end* was cut off or that all of it was written anew; for that its
head is kept elsewhere too: a session's in the sealed recording, the audit log's in a file of
heads (:func:`write_head`) that is to be shipped to another machine, and in the stamped heads of the
log of seals.

``python -m video_bank.evidence verify --data DIR`` checks every chain and names the rows.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from video_bank.storage import Database, Reader, Tx, now_us
from video_bank.storage.tables import timeline

AUDIT = "audit"
"""The chain of what staff did: sign-ins, accounts, viewings, unmasking."""

FIRST = "0" * 64
"""What stands for the previous hash in a chain's first row."""

_KIND = re.compile(r"[a-z][a-z_]{0,31}")


@dataclass(frozen=True)
class Entry:
    """One row, as stored."""

    chain: str
    seq: int
    """From 1, without gaps."""
    at: int
    """UTC microseconds."""
    media_time_us: int | None
    """Microseconds since the session's media began; none when nothing was on the air."""
    kind: str
    actor: str
    """``staff:<id>``, ``customer:<id>`` or ``server``."""
    data: str
    """Canonical JSON, exactly as hashed."""
    previous: str
    hash: str

    @property
    def body(self) -> dict[str, Any]:
        """The data as an object."""
        body: dict[str, Any] = json.loads(self.data)
        return body


@dataclass(frozen=True)
class Head:
    """The last row of a chain, as remembered elsewhere."""

    chain: str
    seq: int
    hash: str


class Timeline:
    """Adds to and reads the chains."""

    async def append(
        self,
        tx: Tx,
        chain: str,
        kind: str,
        actor: str,
        data: Mapping[str, Any],
        media_time_us: int | None = None,
    ) -> Entry:
        """Add a row in the caller's transaction: it is there exactly when the change is.

        ``data`` must be JSON-able, hold no personal data beyond ids, and no floats that are not
        numbers.
        """
        if not _KIND.fullmatch(kind):
            raise ValueError(f"not a kind: {kind!r}")
        # Safe without a lock of its own: write transactions run one at a time.
        last = await self.head(tx, chain)
        body: dict[str, Any] = {
            "chain": chain,
            "seq": last.seq + 1,
            "at": now_us(),
            "media_time_us": media_time_us,
            "kind": kind,
            "actor": actor,
            "data": canonical(data),
            "previous": last.hash,
        }
        entry = Entry(**body, hash=_digest(body))
        await tx.execute(timeline.insert().values(asdict(entry)))
        return entry

    async def read(
        self, reader: Reader, chain: str, *, after: int = 0, limit: int | None = None
    ) -> list[Entry]:
        """The chain's rows in order, from the one after ``after``."""
        statement = (
            select(timeline)
            .where(timeline.c.chain == chain, timeline.c.seq > after)
            .order_by(timeline.c.seq)
            .limit(limit)
        )
        rows = await reader.execute(statement)
        return [Entry(**row) for row in rows.mappings()]

    async def latest(
        self, reader: Reader, chain: str, *, page: int = 1, size: int = 50
    ) -> tuple[list[Entry], int]:
        """One page of the chain, newest first, and how many rows there are."""
        statement = (
            select(timeline)
            .where(timeline.c.chain == chain)
            .order_by(timeline.c.seq.desc())
            .offset((page - 1) * size)
            .limit(size)
        )
        rows = await reader.execute(statement)
        return [Entry(**row) for row in rows.mappings()], (await self.head(reader, chain)).seq

    async def head(self, reader: Reader, chain: str) -> Head:
        """The chain's last row; number 0 when there is none yet."""
        statement = (
            select(timeline.c.seq, timeline.c.hash)
            .where(timeline.c.chain == chain)
            .order_by(timeline.c.seq.desc())
            .limit(1)
        )
        row = (await reader.execute(statement)).first()
        return Head(chain, row.seq, row.hash) if row else Head(chain, 0, FIRST)


def canonical(data: Mapping[str, Any]) -> str:
    """One spelling for one object: sorted keys, no spaces, characters as themselves."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def verify(entries: Sequence[Entry], heads: Iterable[Head] = ()) -> int | None:
    """None when the chain is whole, else the number of the first row that is not right.

    ``entries`` is one whole chain in the order read; ``heads`` are remembered heads of it.  A
    missing row is named by the number it should have had.
    """
    remembered: dict[int, str] = {}
    for head in heads:
        if remembered.setdefault(head.seq, head.hash) != head.hash:
            return head.seq
    previous = FIRST
    for expected, entry in enumerate(entries, 1):
        body = asdict(entry)
        stated = body.pop("hash")
        if (
            entry.chain != entries[0].chain
            or entry.seq != expected
            or entry.previous != previous
            or stated != _digest(body)
            or remembered.pop(expected, stated) != stated
        ):
            return expected
        previous = stated
    # Heads beyond the end: the rows they stood for are gone.
    return len(entries) + 1 if remembered else None


def write_head(path: Path, head: Head) -> None:
    """Add ``head`` to the file of heads and wait until it is on the disk."""
    # The leading newline closes a line that a crash cut short.
    line = "\n" + canonical({**asdict(head), "at": now_us()}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_heads(path: Path) -> list[Head]:
    """The remembered heads; none when the file is not there.  Lines cut short are left out."""
    if not path.exists():
        return []
    heads = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            stated = json.loads(line)
            heads.append(Head(stated["chain"], stated["seq"], stated["hash"]))
    return heads


async def verify_all(database: Database, heads: Sequence[Head] = ()) -> dict[str, int | None]:
    """:func:`verify` for every chain there is or was, by name."""
    async with database.read() as reader:
        found = set((await reader.scalars(select(timeline.c.chain).distinct())).all())
        return {
            chain: verify(
                await Timeline().read(reader, chain),
                [head for head in heads if head.chain == chain],
            )
            for chain in sorted(found | {head.chain for head in heads})
        }


async def _main(arguments: Sequence[str]) -> int:
    from video_bank.bus import LocalBus
    from video_bank.config import Config
    from video_bank.notary import anchors

    if not arguments or arguments[0] != "verify":
        print("usage: python -m video_bank.evidence verify [--data DIR]", file=sys.stderr)
        return 2
    config = Config.load(os.environ, arguments[1:])
    if not config.data.is_dir():
        print(f"{config.data} is not a data directory", file=sys.stderr)
        return 2
    database = Database(config.database_url, LocalBus())
    try:
        heads = [*read_heads(config.data / "audit.heads"), *await anchors(database)]
        verdicts = await verify_all(database, heads)
    except SQLAlchemyError as error:
        print(f"the database cannot be read: {error}", file=sys.stderr)
        return 2
    finally:
        await database.close()
    for chain, bad in verdicts.items():
        print(f"{chain}: {'ok' if bad is None else f'row {bad} is not as it was written'}")
    return 1 if any(bad is not None for bad in verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1:])))
