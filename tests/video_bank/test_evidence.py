"""The chain names the first row that is not as it was written."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, update

from video_bank.config import Config
from video_bank.evidence import (
    AUDIT,
    FIRST,
    Entry,
    Head,
    Timeline,
    _digest,
    canonical,
    read_heads,
    verify,
    verify_all,
    write_head,
)
from video_bank.storage import Database
from video_bank.storage.tables import timeline

CHAIN = "session:01J"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
bodies = st.dictionaries(st.text(max_size=8), json_values, max_size=3)


def chain_of(contents: list[dict[str, Any]], chain: str = CHAIN) -> list[Entry]:
    entries: list[Entry] = []
    for seq, content in enumerate(contents, 1):
        body: dict[str, Any] = {
            "chain": chain,
            "seq": seq,
            "at": 1_700_000_000_000_000 + seq,
            "media_time_us": seq * 1000 if seq % 2 else None,
            "kind": "chat",
            "actor": "server",
            "data": canonical(content),
            "previous": entries[-1].hash if entries else FIRST,
        }
        entries.append(Entry(**body, hash=_digest(body)))
    return entries


chains = st.lists(bodies, min_size=1, max_size=8).map(chain_of)


@given(chains)
def test_a_whole_chain_is_whole(entries: list[Entry]) -> None:
    assert verify(entries) is None
    assert verify([]) is None
    last = entries[-1]
    assert verify(entries, [Head(CHAIN, last.seq, last.hash)]) is None


@given(chains, st.data())
def test_a_changed_row_is_named(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(Entry)]))
    old = getattr(entries[at], name)
    values = {
        int: st.integers(0, 2**62),
        str: st.text(max_size=64),
        type(None): st.integers(0, 2**62),
    }[type(old)]
    new = data.draw(values.filter(lambda value: value != old))
    changes: dict[str, Any] = {name: new}
    entries[at] = dataclasses.replace(entries[at], **changes)
    if name == "chain" and at == 0 and len(entries) > 1:
        assert verify(entries) in (1, 2)
    else:
        assert verify(entries) == at + 1


@given(chains.filter(lambda entries: len(entries) > 1), st.data())
def test_a_deleted_row_is_named(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 2))
    del entries[at]
    assert verify(entries) == at + 1


@given(chains, bodies, st.data())
def test_an_inserted_row_is_named(
    entries: list[Entry], content: dict[str, Any], data: st.DataObject
) -> None:
    """Even one that is right in itself and follows from the row before it."""
    at = data.draw(st.integers(0, len(entries) - 1))
    forged = chain_of([*(entry.body for entry in entries[:at]), content])[at]
    entries.insert(at, dataclasses.replace(forged, at=1, hash=""))
    assert verify(entries) == at + 1
    body = dataclasses.asdict(entries[at])
    del body["hash"]
    entries[at] = Entry(**body, hash=_digest(body))
    assert verify(entries) == at + 2  # the forged row fits; the true one after it does not


@given(chains.filter(lambda entries: len(entries) > 1), st.data())
def test_reordered_rows_are_named(entries: list[Entry], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(entries))))
    moved = [at for at, came_from in enumerate(order) if at != came_from]
    mixed = [entries[came_from] for came_from in order]
    assert verify(mixed) == (moved[0] + 1 if moved else None)


@given(chains, st.data())
def test_a_cut_off_end_is_seen_from_the_head_kept_elsewhere(
    entries: list[Entry], data: st.DataObject
) -> None:
    head = Head(CHAIN, entries[-1].seq, entries[-1].hash)
    kept = entries[: data.draw(st.integers(0, len(entries) - 1))]
    assert verify(kept) is None
    assert verify(kept, [head]) == len(kept) + 1


@given(chains)
def test_a_chain_written_anew_is_seen_from_the_head_kept_elsewhere(entries: list[Entry]) -> None:
    head = Head(CHAIN, entries[-1].seq, entries[-1].hash)
    anew = chain_of([*(entry.body for entry in entries[:-1]), {"other": True}])
    if anew[-1].hash != head.hash:
        assert verify(anew) is None
        assert verify(anew, [head]) == head.seq


@given(bodies)
def test_one_spelling_for_one_object(content: dict[str, Any]) -> None:
    backwards = dict(reversed(content.items()))
    assert canonical(backwards) == canonical(content)


async def test_rows_are_added_with_the_change_they_tell_of(database: Database) -> None:
    evidence = Timeline()
    with pytest.raises(ZeroDivisionError):
        async with database.write() as tx:
            await evidence.append(tx, CHAIN, "joined", "customer:c", {})
            raise ZeroDivisionError
    async with database.write() as tx:
        first = await evidence.append(tx, CHAIN, "joined", "customer:c", {"名": "值"}, 5)
        await evidence.append(tx, "session:other", "joined", "customer:d", {})
        second = await evidence.append(tx, CHAIN, "accepted", "staff:s", {})
    assert (first.seq, second.seq, second.previous) == (1, 2, first.hash)
    async with database.read() as reader:
        assert await evidence.read(reader, CHAIN) == [first, second]
        assert await evidence.read(reader, CHAIN, after=1) == [second]
        assert await evidence.latest(reader, CHAIN, page=2, size=1) == ([first], 2)
        assert await evidence.head(reader, CHAIN) == Head(CHAIN, 2, second.hash)
        assert await evidence.head(reader, AUDIT) == Head(AUDIT, 0, FIRST)


@pytest.mark.parametrize("kind", ["", "Joined", "two words", "a\nb", "x" * 40])
async def test_kinds_are_plain_words(database: Database, kind: str) -> None:
    with pytest.raises(ValueError):
        async with database.write() as tx:
            await Timeline().append(tx, CHAIN, kind, "server", {})


async def test_tampering_in_the_database_is_named(database: Database, tmp_path: Path) -> None:
    evidence, heads = Timeline(), tmp_path / "audit.heads"
    async with database.write() as tx:
        for chain in (AUDIT, CHAIN):
            for n in range(5):
                await evidence.append(tx, chain, "chat", "server", {"n": n})
    async with database.read() as reader:
        write_head(heads, await evidence.head(reader, AUDIT))
    assert await verify_all(database, read_heads(heads)) == {AUDIT: None, CHAIN: None}
    async with database.write() as tx:
        third = (timeline.c.chain == CHAIN) & (timeline.c.seq == 3)
        await tx.execute(update(timeline).where(third).values(data='{"n":9}'))
        await tx.execute(delete(timeline).where(timeline.c.chain == AUDIT, timeline.c.seq == 5))
    assert await verify_all(database) == {AUDIT: None, CHAIN: 3}
    assert await verify_all(database, read_heads(heads)) == {AUDIT: 5, CHAIN: 3}


def test_a_torn_line_of_heads_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    assert read_heads(path) == []
    write_head(path, Head(AUDIT, 1, "aa"))
    write_head(path, Head(AUDIT, 2, "bb"))
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as file:
        file.write('{"chain": "au')
    write_head(path, Head(AUDIT, 3, "cc"))
    assert [head.seq for head in read_heads(path)] == [1, 2, 3]


async def test_the_command_names_the_row(database: Database, config: Config, root: Path) -> None:
    async with database.write() as tx:
        for n in range(3):
            await Timeline().append(tx, AUDIT, "chat", "server", {"n": n})

    def command() -> tuple[int, str]:
        line = [sys.executable, "-m", "video_bank.evidence", "verify", "--data", str(config.data)]
        own = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        done = subprocess.run(
            line, cwd=root, env=own, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    assert command() == (0, "audit: ok\n")
    async with database.write() as tx:
        await tx.execute(update(timeline).where(timeline.c.seq == 2).values(actor="nobody"))
    assert command() == (1, "audit: row 2 is not as it was written\n")


@pytest.mark.parametrize("place", ["", "missing"])
def test_the_command_says_where_there_is_nothing_to_verify(
    tmp_path: Path, root: Path, place: str
) -> None:
    line = [sys.executable, "-m", "video_bank.evidence", "verify"]
    done = subprocess.run(
        [*line, "--data", str(tmp_path / place)],
        cwd=root,
        env={key: value for key, value in os.environ.items() if key != "DATABASE_URL"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr and done.stderr
    assert not (tmp_path / "missing").exists()
