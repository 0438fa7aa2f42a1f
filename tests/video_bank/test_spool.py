"""The way of sealed recordings into a bucket: with the real archive, database and an S3 server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import insert, select, update

from recordings.bucket import BucketError
from recordings.keys import Trust
from recordings.recorder import Recorder
from recordings.s3 import S3Store
from recordings.store import Lock
from tests.recordings.buckets import Proxy, Server, behind, new_bucket, new_store
from video_bank.accounts import SignedIn
from video_bank.archive import Archive
from video_bank.blobs import LocalBlobs
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.erasure import Erasure
from video_bank.errors import OperatorError
from video_bank.evidence import AUDIT, Timeline
from video_bank.keys import CONFIG, SPOOL
from video_bank.periods import Policy
from video_bank.replay import Replay
from video_bank.retention import Report, Retention
from video_bank.secrets import Secrets
from video_bank.spool import AGAIN_S, Spool, bucket_store
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t
from video_bank.views.recordings import storage

KEY = b"\x10\x02\x00\x9d\x01\x2a" + (720).to_bytes(2, "little") + (1280).to_bytes(2, "little")


@dataclass
class Bank:
    """An archive whose recordings go to a bucket."""

    db: Database
    archive: Archive
    store: S3Store
    spool: Spool
    customer: str
    teller: str

    async def record(self, pictures: int = 20) -> str:
        """A session with one sealed part."""
        session, recorder = await self.begin(pictures)
        assert (await self.archive.finish(session, recorder))["verdict"] == "ok"
        return session

    async def begin(self, pictures: int = 20) -> tuple[str, Recorder]:
        session, now = new_id(), now_us()
        async with self.db.write() as tx:
            await tx.execute(
                insert(t.sessions).values(
                    id=session, customer_id=self.customer, teller_id=self.teller,
                    business="identification", language="zh", state="closed", consent_face=True,
                    consent_version="test", created_at=now, queued_at=now, accepted_at=now,
                )
            )  # fmt: skip
        recorder = await self.archive.open(session, lambda error: None)
        stream = recorder.stream("customer")
        for number in range(pictures):
            key = number % 10 == 0
            data = (KEY if key else b"\x11") + bytes(3000)
            recorder.frame(stream, "video", number * 40_000, data, key)
        return session, recorder

    async def part(self, session: str) -> str:
        async with self.db.read() as c:
            query = select(t.parts.c.name).where(t.parts.c.session_id == session)
            return str((await c.execute(query)).scalar_one())

    async def hold(self, session: str) -> str:
        hold = new_id()
        async with self.db.write() as tx:
            await tx.execute(
                insert(t.holds).values(
                    id=hold, session_id=session, reason="asked by a court",
                    placed_by=self.teller, placed_at=now_us(),
                )
            )  # fmt: skip
        return hold


@pytest.fixture
async def bank(
    database: Database,
    customers: Customers,
    teller: SignedIn,
    config: Config,
    server: Server,
    proxy: Proxy,
    tmp_path: Path,
) -> AsyncIterator[Bank]:
    store = new_store(behind(proxy, new_bucket(server, "compliance"), server), tmp_path)
    archive = Archive(database, tmp_path / "unused", config.keys, store=store)
    spool = Spool(database, store, Trust.load(archive.trust_path), limit=1_000_000)
    customer = (await customers.invite(teller.login, "张三")).customer_id
    yield Bank(database, archive, store, spool, customer, teller.login.subject_id)
    spool.close()


async def test_what_is_sealed_leaves_and_is_verified_and_read_there(bank: Bank) -> None:
    session = await bank.record()
    name = await bank.part(session)
    running, recorder = await bank.begin()
    await bank.spool.round()
    assert bank.spool.failure is None and bank.spool.waiting.parts == 0
    assert set(bank.store.waiting()) == {await bank.part(running)}, "a call under way stays"
    assert (await bank.archive.verify(session))["verdict"] == "ok"
    place = await bank.archive.whereabouts(session)
    assert place and place["parts"][0] == bank.store.bucket.where(name)
    (row,) = await bank.archive.parts(session)
    replay = Replay(bank.archive)
    (stream,) = await replay.streams(session, "viewing")
    records = int(stream["url"].rpartition("=")[2])
    view = await replay.view(session, row["id"], stream["stream"], records)
    assert (await replay.read(view, 0, 4)) == b"\x1a\x45\xdf\xa3"
    assert len(await replay.read(view, view.size - 9_000, 9_000)) == 9_000
    assert await replay.events(session) == []
    lock = bank.store.bucket._head(name)
    assert lock["ObjectLockRetainUntilDate"].timestamp() * 1e6 >= row["kept_until"]

    await bank.archive.finish(running, recorder)
    await bank.spool.round()
    assert not bank.store.waiting() and not any(bank.store.spool.directory.iterdir())


async def test_a_long_outage_is_none_of_the_calls_business(
    bank: Bank, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are recorded, ended, verified and discarded as ever; the spool grows and says so."""
    gate = threading.Event()
    proxy.fault = lambda method, path: "503" if gate.wait(10) else None
    await bank.record()
    rounds = asyncio.create_task(bank.spool.round())
    sessions = [await bank.record(pictures=200) for _ in range(2)]
    _, recorder = await bank.begin()
    await bank.archive.discard(recorder)
    assert proxy.seen and not rounds.done(), "the first question still waits for its answer"
    gate.set()
    await rounds
    for _ in range(3):
        await bank.spool.round()
    state = bank.spool.state()
    assert state["parts"] == 3 and state["failure"]["reason"] == "busy" and state["full"]
    assert caplog.text.count("wait for the bucket") == 1, "one alarm, not one a round"
    assert caplog.text.count("stays on this machine") == 1
    assert proxy.seen.total() < 20, "one try a round, however many parts wait"

    proxy.well()
    await bank.spool.round()
    assert bank.spool.state()["parts"] == 0 and not bank.spool.full
    assert bank.spool.failure is None and not bank.store.waiting()
    for session in sessions:
        assert (await bank.archive.verify(session))["verdict"] == "ok"


async def test_it_runs_by_itself_and_comes_back_after_a_failure(
    bank: Bank, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_bank.spool.LOOK_S", 0.01)
    busy = iter(["503"] * 3)
    proxy.fault = lambda method, path: next(busy, None)
    await bank.record()
    working = asyncio.create_task(bank.spool.run())
    try:
        async with asyncio.timeout(20):
            while bank.store.waiting():  # noqa: ASYNC110  # another thread empties it
                await asyncio.sleep(0.02)
    finally:
        working.cancel()
    assert next(busy, None) is None


async def test_a_spool_copy_that_rotted_is_not_sent(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = await bank.record(), await bank.record()
    name = await bank.part(bad)
    path = bank.store.spool.path(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    await bank.spool.round()
    assert bank.spool.state()["failure"]["reason"] == "damaged"
    assert set(bank.store.waiting()) == {name}
    assert bank.store.bucket.names() == [await bank.part(good)], "the others are sent"

    path.write_bytes(bytes(data[: len(data) // 2]) + bytes([data[len(data) // 2] ^ 1])
                     + bytes(data[len(data) // 2 + 1 :]))  # fmt: skip
    await bank.spool.round()
    assert bank.spool.state()["failure"] and bank.store.waiting(), (
        "it is not looked at all the time"
    )
    monkeypatch.setattr("time.monotonic", lambda now=time.monotonic: now() + AGAIN_S)
    await bank.spool.round()
    assert bank.spool.state()["failure"] is None and not bank.store.waiting()


async def test_a_part_closed_by_recovery_goes_with_its_closing(bank: Bank) -> None:
    session, recorder = await bank.begin(pictures=100)
    await recorder.finish()
    name = await bank.part(session)
    path = bank.store.spool.path(name)
    path.write_bytes(path.read_bytes()[:-30])  # as if the server had died
    assert await bank.archive.recover(session) == "closed by recovery"
    await bank.spool.round()
    assert bank.store.bucket.names() == [name, name + ".close"] and not bank.store.waiting()
    assert (await bank.archive.verify(session))["verdict"] == "closed by recovery"


async def test_holds_are_told_to_the_bucket(bank: Bank) -> None:
    session = await bank.record()
    name, head = await bank.part(session), bank.store.bucket._head
    await bank.spool.round()
    assert head(name).get("ObjectLockLegalHoldStatus") != "ON"
    hold = await bank.hold(session)
    await bank.spool.round()
    assert head(name)["ObjectLockLegalHoldStatus"] == "ON"
    with pytest.raises(PermissionError, match="legal hold"):
        bank.store.delete(name)
    async with bank.db.write() as tx:
        await tx.execute(
            update(t.holds).where(t.holds.c.id == hold).values(lifted_at=now_us(), lift_reason="-")
        )
    await bank.spool.round()
    assert head(name)["ObjectLockLegalHoldStatus"] == "OFF"


async def test_a_hold_placed_while_the_part_is_on_its_way(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bank.record()
    name = await bank.part(session)
    move, loop = bank.store.move, asyncio.get_running_loop()

    def slowly(name: str, lock: Lock, *rest: object) -> None:
        assert not lock.hold
        asyncio.run_coroutine_threadsafe(bank.hold(session), loop).result(10)
        move(name, lock)

    monkeypatch.setattr(bank.store, "move", slowly)
    monkeypatch.setattr(bank.spool, "_holds", lambda failures: asyncio.sleep(0))
    await bank.spool.round()
    assert bank.store.bucket._head(name)["ObjectLockLegalHoldStatus"] == "ON"


async def test_a_stop_leaves_the_rest_for_the_next_start(bank: Bank) -> None:
    await bank.record()
    bank.spool._stop.set()
    await bank.spool.round()
    assert bank.spool.failure is None and bank.spool.waiting.parts == 1
    again = Spool(bank.db, bank.store, bank.spool._trust, limit=1)
    await again.round()
    again.close()
    assert not bank.store.waiting()


async def test_what_operators_see(bank: Bank, config: Config) -> None:
    app = web.Application()
    app[CONFIG] = config
    app.router.add_get("/api/storage", storage)
    async with TestClient(TestServer(app)) as client:
        assert await (await client.get("/api/storage")).json() == {"storage": "local"}
    app = web.Application()
    app[CONFIG] = replace(config, storage="s3", s3_bucket="recordings")
    app[SPOOL] = bank.spool
    app.router.add_get("/api/storage", storage)
    await bank.record()
    bank.spool._stop.set()
    await bank.spool.round()
    async with TestClient(TestServer(app)) as client:
        answer = await (await client.get("/api/storage")).json()
    assert answer["storage"] == "s3"
    assert answer["spool"].keys() == {
        "parts", "bytes", "since", "limit_bytes", "full", "failure",
    }  # fmt: skip
    assert answer["spool"]["parts"] == 1 and answer["spool"]["bytes"] > 60_000


def test_the_store_of_the_settings(config: Config, server: Server, tmp_path: Path) -> None:
    settings = replace(
        config,
        storage="s3",
        s3_bucket="recordings-off",
        s3_endpoint=server.endpoint,
        s3_region="eu-central-1",
        s3_prefix="bank/",
        s3_credentials_file=server.credentials,
    )
    new_bucket(server)  # makes the bucket
    store = bucket_store(settings)
    store.spool.put("S-1/001.vbr", b"a part")
    store.move("S-1/001.vbr", Lock())
    assert store.where("S-1/001.vbr") == "s3://recordings-off/bank/S-1/001.vbr"
    with pytest.raises(OperatorError, match="s3_credentials_file"):
        bucket_store(replace(settings, s3_credentials_file=tmp_path / "nowhere"))
    with pytest.raises(BucketError, match="no_bucket"):
        lost = bucket_store(replace(settings, s3_bucket="no-such-bucket"))
        lost.spool.put("S-2/001.vbr", b"a part")
        lost.move("S-2/001.vbr", Lock())


async def test_a_longer_period_reaches_the_lock_and_one_that_ran_out_lets_go(
    bank: Bank, proxy: Proxy, tmp_path: Path, secrets: Secrets
) -> None:
    """A night hands later dates on, or leaves them for the next one; a file that was locked when
    its session was erased goes by itself once it may."""
    policy, timeline = Policy.load(), Timeline()
    blobs = LocalBlobs(tmp_path / "blobs", b"b" * 32)
    erasure = Erasure(bank.db, timeline, bank.archive, blobs, secrets, policy)
    nights = Retention(
        bank.db, timeline, bank.archive, policy, erasure, hour=19, grace_days=7, nightly=True
    )
    session = await bank.record()
    await bank.spool.round()
    (row,) = await bank.archive.parts(session)
    later = row["kept_until"] + 400 * 24 * 3600 * 1_000_000

    def locked_until() -> float:
        return float(bank.store.bucket._head(row["name"])["ObjectLockRetainUntilDate"].timestamp())

    before, report = locked_until(), Report()
    proxy.fault = lambda method, path: "503"
    await nights._keep([(row["id"], later)], report)
    proxy.well()
    assert report.failed == {row["name"]: "lock_not_extended"}
    assert (await bank.archive.parts(session))[0]["kept_until"] == row["kept_until"]
    await nights._keep([(row["id"], later)], Report())
    assert locked_until() >= later / 1e6 > before
    assert (await bank.archive.parts(session))[0]["kept_until"] == later

    brief = await bank.record()
    async with bank.db.write() as tx:
        soon = update(t.parts).where(t.parts.c.session_id == brief)
        await tx.execute(soon.values(kept_until=now_us() + 4_000_000))
    await bank.spool.round()
    made = await erasure.erase(brief, "early", by=bank.teller, early=True)
    assert '"locked"' in await erasure.certificate(made)
    assert await erasure.unlock() == 0
    async with asyncio.timeout(20):
        while not await erasure.unlock():  # noqa: ASYNC110  # a clock of moto's own
            await asyncio.sleep(0.5)
    name = await bank.part(brief)
    with pytest.raises(FileNotFoundError):
        bank.store.bucket.size(name)
    assert await erasure.unlock() == 0
    async with bank.db.read() as c:
        kinds = [entry.kind for entry in await timeline.read(c, AUDIT)]
    assert kinds.count("locked_removed") == 1
