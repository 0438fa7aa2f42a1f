"""The log of seals: leaves exactly once, heads in time, stamps when they can be had, and no quiet
about what was changed."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import insert, select, update

from recordings import tree
from recordings.heads import sign_head
from recordings.keys import FileSigner
from recordings.timestamp import (
    Authority,
    HttpAuthority,
    NotStamped,
    TestAuthority,
    check,
    load_roots,
)
from recordings.verify import Status, verify_part
from recordings.verify_recording import Examination, read_head, verify_proof
from tests.recordings.authority import OpensslAuthority, serving
from tests.recordings.parts import PART_ID, SIGNER, MemoryStore, sealed
from tests.suites.conftest import postgresql_schema
from video_bank.bus import LocalBus
from video_bank.evidence import AUDIT, Timeline, verify_all
from video_bank.notary import Notary, anchors
from video_bank.running import Running, chain_of
from video_bank.storage import Database
from video_bank.storage import tables as t

NOON = int(datetime(2026, 11, 22, 12, 0, 5, tzinfo=UTC).timestamp())
HOUR = 3600
TRUST = SIGNER.trust()


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.s = float(NOON)

    def us(self) -> int:
        return int(self.s * 1e6)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.s, UTC)


class Flaky:
    """An authority that may be away, and counts how often it was asked."""

    def __init__(self, authority: TestAuthority) -> None:
        self._authority, self.away, self.asked = authority, False, 0
        self.name = authority.name
        self.roots: Sequence[x509.Certificate] = authority.roots

    async def stamp(self, digest: bytes) -> bytes:
        self.asked += 1
        if self.away:
            raise NotStamped("away")
        return await self._authority.stamp(digest)


@dataclass(frozen=True)
class Progress:
    records: int
    chain: str


@dataclass
class Bank:
    """A database with sealed parts, and a notary."""

    database: Database
    signer: FileSigner
    clock: Clock
    authority: Flaky
    notary: Notary
    running: Running
    sealed: int = 0

    def begin_again(self, authority: Authority | None = None) -> Notary:
        """The server starts anew."""
        self.notary = Notary(
            self.database,
            Timeline(),
            self.running,
            self.signer,
            self.signer.trust(),
            origin="bank.example/recordings",
            authority=authority or self.authority,
            clock=self.clock.us,
        )
        return self.notary

    async def seal(self, session: str = "S-1", *, tell: bool = True) -> str:
        """A part is sealed; ``tell``: and the notary hears of it."""
        self.sealed += 1
        part = sha256(b"part %d" % self.sealed).hexdigest()[:32]
        async with self.database.write() as tx:
            await tx.execute(
                insert(t.parts).values(
                    id=part,
                    session_id=session,
                    number=self.sealed,
                    name=f"{session}/{self.sealed}.vbr",
                    kek_id="bank/2026-11",
                    started_at=self.clock.us() - 60_000_000,
                    sealed_at=self.clock.us(),
                    chain=sha256(part.encode()).hexdigest(),
                    records=100,
                    verdict="ok",
                )
            )
        if tell:
            await self.notary.add(part)
        return part

    async def rows(self, table: Any) -> list[Any]:
        async with self.database.read() as reader:
            return list((await reader.execute(select(table))).mappings().all())

    async def change(self, table: Any, **values: Any) -> None:
        async with self.database.write() as tx:
            await tx.execute(update(table).values(**values))

    async def states(self, session: str = "S-1") -> list[str]:
        return [each["state"] for each in await self.notary.proof(session)]

    async def live(self, seconds: float, *, step: float = 60) -> None:
        """Time passes, and the notary looks after things."""
        until = self.clock.s + seconds
        while self.clock.s < until:
            self.clock.s = min(self.clock.s + step, until)
            await self.notary.look()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("video_bank.evidence.now_us", made.us)
    return made


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Clock], TestAuthority]:
    path = tmp_path_factory.mktemp("tsa") / "tsa.pem"
    noon = datetime.fromtimestamp(NOON, UTC)
    TestAuthority(path, now=lambda: noon)
    return lambda clock: TestAuthority(path, now=clock.now)


EVERY_DATABASE = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
"For the tests that between them run every statement."


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path / 'bank.sqlite3'}"
    else:
        yield from postgresql_schema()


@pytest.fixture
async def bank(
    url: str, bus: LocalBus, clock: Clock, tsa: Callable[[Clock], TestAuthority], tmp_path: Path
) -> AsyncIterator[Bank]:
    database = Database(url, bus)
    await database.migrate()
    async with database.write() as tx:
        await tx.execute(insert(t.customers).values(id="C-1", name=b"x", created_at=1))
        for session in ("S-1", "S-2"):
            await tx.execute(
                insert(t.sessions).values(
                    id=session, customer_id="C-1", business="loan", language="zh",
                    state="closed", consent_face=True, consent_version="1", created_at=1,
                    queued_at=1,
                )
            )  # fmt: skip
    running = Running(database, Timeline(), tmp_path / "audit.heads", clock=clock.us)
    authority = Flaky(tsa(clock))
    bank = Bank(
        database,
        SIGNER,
        clock,
        authority,
        notary=None,  # type: ignore[arg-type]
        running=running,
    )
    bank.begin_again()
    yield bank
    await database.close()


def shown_by(proof: dict[str, Any], chain: str, bank: Bank) -> bool:
    """What a stranger finds with the public key and the authority's root."""
    leaf = tree.part_leaf(proof["part_id"], chain)
    hashes = [bytes.fromhex(each) for each in proof["proof"]]
    head = read_head(proof["checkpoint"], bank.signer.trust())
    return (
        tree.verify_inclusion(leaf, proof["position"], head.size, hashes, head.root)
        and head.origin == f"bank.example/recordings/{proof['day']}"
        and (head.size, head.root.hex()) == (proof["size"], proof["root"])
    )


@EVERY_DATABASE
async def test_a_part_is_proved_from_its_leaf_to_its_stamp(bank: Bank) -> None:
    for _ in range(4):
        await bank.seal("S-2")
    part = await bank.seal()
    assert await bank.states() == ["waiting"]
    (proof,) = await bank.notary.at_once("S-1")
    assert (proof["part_id"], proof["day"], proof["position"]) == (part, "2026-11-22", 4)
    assert (proof["state"], proof["test_authority"], proof["size"]) == ("test", True, 5)
    (chain,) = [row["chain"] for row in await bank.rows(t.parts) if row["id"] == part]
    assert shown_by(proof, chain, bank)
    assert not shown_by(proof, "00" * 32, bank)
    digest = sha256(proof["checkpoint"].encode()).digest()
    stamped = check(base64.b64decode(proof["token"]), digest, bank.authority.roots)
    assert (stamped.at, stamped.authority) == (proof["stamped_at"], proof["authority"])
    # And the verifier that goes with every bundle, which shares no line with the reading here.
    shown = verify_proof(proof, chain, TRUST, bank.authority.roots)
    assert (shown.state, shown.rooted) == ("test", True)
    assert verify_proof(proof, "00" * 32, TRUST, bank.authority.roots).state == "wrong"


async def test_a_leaf_is_added_once(bank: Bank) -> None:
    part = await bank.seal()
    await asyncio.gather(*(bank.notary.add(part) for _ in range(5)), bank.notary.catch_up())
    await bank.notary.add("of no part")
    assert [row["part_id"] for row in await bank.rows(t.leaves)] == [part]


@EVERY_DATABASE
async def test_what_a_crash_kept_from_the_tree_is_added_at_the_start(bank: Bank) -> None:
    first = await bank.seal()
    lost = []
    for _ in range(2):
        bank.clock.s += 1
        lost.append(await bank.seal(tell=False))
    notary = bank.begin_again()
    for _ in range(2):
        await notary.look()
    leaves = sorted(await bank.rows(t.leaves), key=lambda row: row["position"])
    assert [row["part_id"] for row in leaves] == [first, *lost]
    assert [row["position"] for row in leaves] == [0, 1, 2]


async def test_a_database_that_is_away_costs_no_leaf(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await bank.notary.look()  # nothing is missing
    part = await bank.seal(tell=False)
    with monkeypatch.context() as patch:
        patch.setattr(t.leaves, "name", "nowhere")
        await bank.notary.add(part)
    assert "waits for its place" in caplog.text
    await bank.notary.look()
    assert len(await bank.rows(t.leaves)) == 1


async def test_heads_come_with_the_hours_and_only_if_something_was_added(bank: Bank) -> None:
    await bank.live(2 * HOUR)
    assert await bank.rows(t.heads) == []
    await bank.seal()
    await bank.live(600)
    assert await bank.rows(t.heads) == []  # the hour is not over
    await bank.live(3 * HOUR)
    heads = await bank.rows(t.heads)
    assert [(head["day"], head["size"]) for head in heads] == [("2026-11-22", 1)]
    assert heads[0]["at"] % (HOUR * 1_000_000) < 120_000_000  # soon after the full hour
    await bank.seal()
    await bank.live(HOUR)
    assert sorted(head["size"] for head in await bank.rows(t.heads)) == [1, 2]


@EVERY_DATABASE
async def test_a_day_ends_with_its_head(bank: Bank) -> None:
    bank.clock.s = NOON + 12 * HOUR - 65  # 23:59
    await bank.seal()
    await bank.live(120)
    (head,) = await bank.rows(t.heads)
    assert (head["day"], head["size"]) == ("2026-11-22", 1)
    await bank.seal()
    await bank.live(HOUR)
    heads = await bank.rows(t.heads)
    assert sorted((each["day"], each["size"]) for each in heads) == [
        ("2026-11-22", 1), ("2026-11-23", 1),
    ]  # fmt: skip
    assert await bank.states() == ["test", "test"]


async def test_successive_heads_of_a_day_are_consistent(bank: Bank) -> None:
    sizes = (1, 3, 4, 9)
    for size in sizes:
        while bank.sealed < size:
            await bank.seal()
        await bank.notary.at_once("S-1")
    hashes = [row["hash"] for row in sorted(await bank.rows(t.leaves), key=lambda r: r["position"])]
    leaves = [bytes.fromhex(each) for each in hashes]
    heads = sorted(await bank.rows(t.heads), key=lambda row: row["size"])
    assert tuple(head["size"] for head in heads) == sizes
    for one, other in zip(heads, heads[1:], strict=False):
        proof = tree.consistency_proof(leaves[: other["size"]], one["size"])
        assert tree.verify_consistency(
            one["size"], other["size"], bytes.fromhex(one["root"]), bytes.fromhex(other["root"]),
            proof,
        )  # fmt: skip


async def test_an_authority_that_is_away_for_a_day(
    bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    bank.authority.away = True
    for _ in range(24):
        await bank.seal()
        await bank.live(HOUR, step=300)
    assert len(await bank.rows(t.heads)) >= 24
    assert all(head["token"] is None for head in await bank.rows(t.heads))
    assert set(await bank.states()) == {"unstamped"}
    assert {each["reason"] for each in await bank.notary.proof("S-1")} == {"authority_away"}
    # After 1, 2, 4 … 32 minutes, then hourly: nobody is hammered.
    assert 20 <= bank.authority.asked <= 32
    asked, bank.authority.away = bank.authority.asked, False
    await bank.live(HOUR + 60, step=300)
    assert set(await bank.states()) == {"test"}
    # The newest head of each of the two days covers the rest.
    assert bank.authority.asked - asked <= 3
    for proof in await bank.notary.proof("S-1"):
        assert proof["stamped_at"] > (NOON + 24 * HOUR) * 1_000_000
    assert "not stamped yet, again in 3600 s" in caplog.text


async def test_on_demand_an_authority_is_asked_out_of_turn_but_not_hammered(bank: Bank) -> None:
    bank.authority.away = True
    await bank.seal()
    for _ in range(5):
        await bank.notary.at_once("S-1")
    assert bank.authority.asked == 1
    bank.clock.s += 11
    bank.authority.away = False
    assert [each["state"] for each in await bank.notary.at_once("S-1")] == ["test"]


async def test_without_an_authority_the_page_says_so(bank: Bank) -> None:
    await bank.seal()
    bank.notary._authority = None
    (proof,) = await bank.notary.at_once("S-1")
    assert (proof["state"], proof["reason"]) == ("unstamped", "no_authority")


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("openssl"))


async def test_a_real_authority_that_answers_badly_and_then_well(
    bank: Bank, openssl: OpensslAuthority
) -> None:
    bank.clock.s = datetime.now(UTC).timestamp()
    with serving(openssl) as server:
        real = HttpAuthority(server.url, load_roots(openssl.roots), timeout_s=0.4)
        notary = bank.begin_again(real)
        await bank.seal()
        for mood in ("garbage", "slow", "other hash", "broken", "page"):
            server.mood = mood
            (proof,) = await notary.at_once("S-1")
            assert (proof["state"], proof["token"]) == ("unstamped", None), mood
            bank.clock.s += 11
        server.mood = "well"
        (proof,) = await notary.at_once("S-1")
    assert (proof["state"], proof["authority"]) == ("stamped", "CN=Clock of tests")
    assert openssl.verifies(base64.b64decode(proof["token"]), proof["checkpoint"].encode())
    (part,) = await bank.rows(t.parts)
    shown = verify_proof(proof, part["chain"], TRUST, load_roots(openssl.roots))
    assert (shown.state, shown.rooted) == ("stamped", True)
    assert verify_proof(proof, part["chain"], TRUST, bank.authority.roots).rooted is False


# -- what was changed afterwards ----------------------------------------------------------------


async def stamped(bank: Bank) -> None:
    for session in ("S-2", "S-1", "S-2"):
        await bank.seal(session)
    assert [each["state"] for each in await bank.notary.at_once("S-1")] == ["test"]


async def reason(bank: Bank) -> str:
    (proof,) = await bank.notary.proof("S-1")
    assert proof["state"] == "wrong"
    return str(proof["reason"])


async def test_another_chain_value_in_the_row_is_seen(bank: Bank) -> None:
    await stamped(bank)
    await bank.change(t.parts, chain="11" * 32)
    assert await reason(bank) == "leaf_differs"


async def test_another_leaf_is_seen_and_gets_no_further_head(
    bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    await stamped(bank)
    changed = update(t.leaves).where(t.leaves.c.position == 0).values(hash="22" * 32)
    async with bank.database.write() as tx:
        await tx.execute(changed)
    assert await reason(bank) == "tree_differs"
    await bank.seal()
    await bank.live(2 * HOUR)
    assert len(await bank.rows(t.heads)) == 1
    assert caplog.text.count("no further head is signed") == 1


@pytest.mark.parametrize("hash", ["no hash", "abc", ""])
async def test_what_is_no_hash_breaks_nothing(bank: Bank, hash: str) -> None:
    await stamped(bank)
    async with bank.database.write() as tx:
        await tx.execute(update(t.leaves).where(t.leaves.c.position == 0).values(hash=hash))
    assert await reason(bank) == "tree_differs"
    await bank.seal()
    await bank.live(HOUR)


async def test_another_head_is_seen(bank: Bank) -> None:
    await stamped(bank)
    (head,) = await bank.rows(t.heads)
    await bank.change(t.heads, root="33" * 32)
    assert await reason(bank) == "head_wrong"
    await bank.change(t.heads, root=head["root"], signed=head["signed"].replace("\n3\n", "\n4\n"))
    assert await reason(bank) == "head_wrong"


async def test_a_head_signed_anew_does_not_have_the_stamp(bank: Bank) -> None:
    """A thief of the signing key changes leaf and head; the stamp was over the old head."""
    await stamped(bank)
    (head,) = await bank.rows(t.heads)
    await bank.change(t.parts, chain="44" * 32)
    async with bank.database.write() as tx:
        for row in await bank.rows(t.leaves):
            forged = tree.part_leaf(row["part_id"], "44" * 32).hex()
            await tx.execute(
                update(t.leaves).where(t.leaves.c.part_id == row["part_id"]).values(hash=forged)
            )
    leaves = [bytes.fromhex(row["hash"]) for row in await bank.rows(t.leaves)]
    old = read_head(head["signed"], bank.signer.trust())
    forged_head = type(old)(old.origin, old.size, tree.root(leaves), old.extensions)
    signed = sign_head(forged_head, bank.signer)
    await bank.change(t.heads, signed=signed, root=forged_head.root.hex())
    assert await reason(bank) == "stamp_wrong"


async def test_a_part_that_lost_its_leaf_waits_and_is_seen_to(bank: Bank) -> None:
    await stamped(bank)
    async with bank.database.write() as tx:
        await tx.execute(t.leaves.delete().where(t.leaves.c.position == 2))
    assert await reason(bank) == "tree_differs"


# -- running parts ------------------------------------------------------------------------------


async def test_running_parts_are_noted_when_they_move(bank: Bank) -> None:
    at = {"a" * 32: Progress(10, "aa" * 32), "b" * 32: Progress(0, "bb" * 32)}
    bank.running.parts = lambda: at
    for _ in range(3):
        await bank.running.note()
    at["a" * 32] = Progress(20, "ab" * 32)
    await bank.running.note()
    rows = [row for row in await bank.rows(t.timeline) if row["chain"] == chain_of("2026-11-22")]
    assert len(rows) == 2
    assert await bank.running.known("a" * 32) == {}  # no such part in the database


@EVERY_DATABASE
async def test_a_file_that_a_thief_of_the_key_signed_anew_differs_from_the_log(bank: Bank) -> None:
    store = MemoryStore(true=sealed(), other=sealed(size=61))
    honest, thief = verify_part(store, "true", TRUST), verify_part(store, "other", TRUST)
    assert honest.status is thief.status is Status.OK
    assert honest.chain != thief.chain
    async with bank.database.write() as tx:
        await tx.execute(
            insert(t.parts).values(
                id=PART_ID, session_id="S-1", number=9, name="true", kek_id="k",
                started_at=bank.clock.us(),
            )
        )  # fmt: skip
    examination = Examination(store.open("true"), TRUST, marks=[3])
    examination.verdict("true", None)
    half = examination.chains[3]
    bank.running.parts = lambda: {PART_ID: Progress(3, half)}
    await bank.running.note()
    known = await bank.running.known(PART_ID)
    assert known == {3: half}
    assert verify_part(store, "true", TRUST, known=known).status is Status.OK
    caught = verify_part(store, "other", TRUST, known=known)
    assert (caught.status, caught.reason) == (Status.TAMPERED, "differs_from_log")
    # And when it is sealed, the last value too.
    await bank.change(
        t.parts, sealed_at=bank.clock.us(), chain=honest.chain, records=honest.records, verdict="ok"
    )
    assert await bank.running.known(PART_ID) == {3: half, honest.records: honest.chain}


@EVERY_DATABASE
async def test_heads_carry_the_ends_of_the_audit_log_and_of_what_was_noted(bank: Bank) -> None:
    """A call of three hours, nothing sealed: its notes are stamped with the hours all the same."""
    for hour in range(3):
        bank.running.parts = lambda hour=hour: {  # type: ignore[misc]
            "a" * 32: Progress(100 + hour, f"{hour:064x}")
        }
        await bank.running.note()
        await bank.live(HOUR)
    heads = await bank.rows(t.heads)
    assert [head["size"] for head in heads] == [0, 0, 0]
    assert heads[-1]["token"] is not None
    ends = await anchors(bank.database)
    assert {end.chain for end in ends} == {AUDIT, chain_of("2026-11-22")}
    assert set((await verify_all(bank.database, ends)).values()) == {None}
    # Whoever rewrites the log, even with all its hashes, is found by what was stamped.
    async with bank.database.write() as tx:
        await tx.execute(t.timeline.delete().where(t.timeline.c.chain == chain_of("2026-11-22")))
        said = {"parts": {"a" * 32: [100, "ff" * 32]}}
        await Timeline().append(tx, chain_of("2026-11-22"), "running", "server", said)
    verdicts = await verify_all(bank.database, ends)
    assert verdicts[chain_of("2026-11-22")] == 1


async def test_the_end_of_the_notes_goes_where_the_audit_logs_does(
    bank: Bank, tmp_path: Path
) -> None:
    bank.running.parts = lambda: {"a" * 32: Progress(10, "aa" * 32)}
    await bank.running.note()
    for _ in range(2):
        await bank.running.keep()
    lines = [line for line in (tmp_path / "audit.heads").read_text().splitlines() if line]
    assert len(lines) == 1
    assert chain_of("2026-11-22") in lines[0]


async def test_clocks_that_differ_are_logged(
    bank: Bank, openssl: OpensslAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    bank.clock.s = datetime.now(UTC).timestamp() - HOUR  # ours is an hour slow
    with serving(openssl) as server, caplog.at_level(logging.WARNING):
        bank.begin_again(HttpAuthority(server.url, load_roots(openssl.roots)))
        await bank.seal()
        await bank.notary.at_once("S-1")
    assert "this clock and that of 127.0.0.1 differ" in caplog.text
