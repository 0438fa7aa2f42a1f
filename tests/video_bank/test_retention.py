"""Holds, erasures, nights, rotations: over a real database and real recordings."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import insert, select, update

from recordings import certificate
from recordings.container import PartReader, Type
from recordings.errors import Damaged, KeyUnavailable
from recordings.keys import Trust
from recordings.pkcs11 import Pkcs11Keyring
from recordings.store import LocalStore
from recordings.verify import verify_part
from tests.recordings import media
from tests.recordings.test_keyrings import MODULE, token
from video_bank import retention
from video_bank.accounts import Accounts, SignedIn
from video_bank.archive import Archive
from video_bank.blobs import BlobMissing, LocalBlobs
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.erasure import Erasure
from video_bank.errors import Conflict, NotFound, OperatorError, UserError
from video_bank.evidence import AUDIT, Timeline, verify_all
from video_bank.holds import Holds
from video_bank.keys import ACCOUNTS, CONFIG, ERASURE, HOLDS, PAGES, RETENTION
from video_bank.logins import cookie_name
from video_bank.pages import Pages
from video_bank.periods import Policy, month_of
from video_bank.replay import Replay
from video_bank.retention import DAY_US, RUN, Retention
from video_bank.secrets import Secrets
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t
from video_bank.views import retention as views
from video_bank.views.guard import errors, identify, permitted

__all__ = ["token"]  # a fixture of theirs


@dataclass
class Bank:
    """A bank that records, without calls."""

    db: Database
    secrets: Secrets
    customers: Customers
    archive: Archive
    blobs: LocalBlobs
    policy: Policy
    erasure: Erasure
    retention: Retention
    holds: Holds
    teller: str

    async def customer(self, phone: str = "13800138000", name: str = "张三") -> str:
        challenge = await self.customers.walk_in(name, phone, "zh", "192.0.2.1")
        signed_in = await self.customers.confirm(
            challenge.id, challenge.demo_code or "", "192.0.2.1"
        )
        return str(signed_in.login.subject_id)

    async def session(self, customer: str, *, parts: int = 1) -> str:
        """A session that is over, with a Finding, a chat, notes and sealed parts."""
        session, now = new_id(), now_us()
        async with self.db.write() as tx:
            await tx.execute(
                insert(t.sessions).values(
                    id=session, customer_id=customer, teller_id=self.teller,
                    business="identification", language="zh", state="closed", consent_face=True,
                    consent_version="1", created_at=now, queued_at=now, accepted_at=now,
                    ended_at=now, decision="approved", passed_over=[],
                    notes=self.secrets.encrypt("张三 had a cold", f"sessions.notes:{session}"),
                )
            )  # fmt: skip
            await tx.execute(
                insert(t.chats).values(
                    id=new_id(), session_id=session, author=customer, role="customer",
                    text=self.secrets.encrypt("my number is 42", "chats.text:x"), at=now,
                )
            )  # fmt: skip
            await tx.execute(
                insert(t.findings).values(
                    id=session, session_id=session, check="id_card_front", attempt=1,
                    verdict="passed", reason="ok", score=0.9, threshold=0.5,
                    values=self.secrets.encrypt('{"name":"张三"}', f"findings.values:{session}"),
                    pictures=[{"name": "card", "blob": f"findings/{session}/card.jpg",
                               "sha256": "00", "media_time_us": 0}],
                    models={}, at=now,
                )
            )  # fmt: skip
        await self.blobs.put(f"findings/{session}/card.jpg", b"a face")
        for _ in range(parts):
            recorder = await self.archive.open(session, lambda error: None)
            stream = recorder.stream("customer")
            for p in media.sound(0.5):
                recorder.frame(stream, p.kind, p.time_us, p.data, p.keyframe)
            await self.archive.finish(session, recorder)
        return session

    async def parts(self, session: str | None = None) -> list[Any]:
        query = select(t.parts).order_by(t.parts.c.session_id, t.parts.c.number)
        if session is not None:
            query = query.where(t.parts.c.session_id == session)
        async with self.db.read() as c:
            return list((await c.execute(query)).mappings().all())

    async def over(self, session: str) -> int:
        """A moment just after the session's time."""
        return int(max(part["kept_until"] for part in await self.parts(session))) + 1

    def read(self, part: Any) -> int:
        """Decrypt every record of a part; how many."""
        reader = PartReader(self.archive.store.open(part["name"]), self.archive.dek(part))
        return len([reader.open(record) for record in reader.select(Type.DATA)])

    async def told(self, chain: str) -> list[str]:
        async with self.db.read() as c:
            return [each.kind for each in await Timeline().read(c, chain)]


@pytest.fixture
async def bank(
    config: Config,
    database: Database,
    secrets: Secrets,
    customers: Customers,
) -> AsyncIterator[Bank]:
    teller = new_id()
    async with database.write() as tx:
        await tx.execute(
            insert(t.staff).values(
                id=teller, name="wangfang", display_name="王芳", role="teller", password_hash="-",
                skills=[], created_at=now_us(),
            )
        )  # fmt: skip
    policy, timeline = Policy.load(), Timeline()
    archive = Archive(database, config.data / "recordings", config.keys, policy=policy)
    blobs = LocalBlobs(config.data / "blobs", secrets.derive("blobs"))
    erasure = Erasure(database, timeline, archive, blobs, secrets, policy)
    retention = Retention(
        database, timeline, archive, policy, erasure, hour=19, grace_days=7, nightly=True
    )
    holds = Holds(database, timeline)
    yield Bank(
        database, secrets, customers, archive, blobs, policy, erasure, retention, holds,
        teller,
    )  # fmt: skip


async def test_a_recording_is_wrapped_for_the_month_in_which_it_may_go(bank: Bank) -> None:
    session = await bank.session(await bank.customer())
    (part,) = await bank.parts(session)
    until = bank.policy["default"].until(now_us())
    assert part["product_class"] == "default" and abs(part["kept_until"] - until) < DAY_US
    assert part["kek_id"] == f"bank/{month_of(part['kept_until'])}"
    assert bank.read(part) > 0


async def test_nothing_goes_before_its_time_nor_under_hold(bank: Bank) -> None:
    session = await bank.session(await bank.customer())
    with pytest.raises(Conflict) as early:
        await bank.erasure.erase(session, "too early", by=bank.teller)
    (part,) = await bank.parts(session)
    assert early.value.code == "not_yet_due"
    assert early.value.details["kept_until"] == part["kept_until"]

    hold = await bank.holds.place(session, bank.teller, "court 12/2026")
    with pytest.raises(Conflict, match="held_already"):
        await bank.holds.place(session, bank.teller, "again")
    for early_too in (False, True):
        with pytest.raises(Conflict, match="legal_hold"):
            await bank.erasure.erase(session, "x", now=await bank.over(session), early=early_too)
    (listed,) = await bank.holds.all()
    assert (listed["session"], listed["reason"]) == (session, "court 12/2026")
    await bank.holds.lift(hold, bank.teller, "settled")
    with pytest.raises(NotFound):
        await bank.holds.lift(hold, bank.teller, "settled")
    with pytest.raises(NotFound):
        await bank.holds.place("nobody", bank.teller, "court")
    assert bank.read((await bank.parts(session))[0]) > 0
    for chain in (AUDIT, f"session:{session}"):
        told = await bank.told(chain)
        assert told.count("hold_placed") == told.count("hold_lifted") == 1
    await bank.erasure.erase(session, "now it may", now=await bank.over(session))
    with pytest.raises(Conflict, match="recording_erased"):
        await bank.holds.place(session, bank.teller, "too late")


async def test_erasure_takes_keys_files_and_personal_data(
    bank: Bank, config: Config, tmp_path: Path
) -> None:
    customer = await bank.customer()
    session = await bank.session(customer, parts=2)
    before = await bank.parts(session)
    copies = tmp_path / "elsewhere"
    shutil.copytree(config.data / "recordings", copies)
    wrapped = [(part["kek_id"], part["wrapped_dek"]) for part in before]
    export = tmp_path / "export.zip"
    export.write_bytes(b"zip")
    async with bank.db.write() as tx:
        await tx.execute(
            insert(t.exports).values(
                id=new_id(), session_id=session, asked_by=bank.teller, reason="court", asked_at=1,
                state="done", path=str(export),
            )
        )  # fmt: skip
    made = await bank.erasure.erase(session, "its time is over", now=await bank.over(session))

    after = await bank.parts(session)
    assert all(part["wrapped_dek"] is None and part["erasure_id"] == made for part in after)
    for part in after:
        with pytest.raises(UserError) as gone:
            bank.archive.dek(part)
        assert (gone.value.code, gone.value.details["certificate"]) == ("recording_erased", made)
    assert bank.archive.store.names() == [] and not export.exists()
    with pytest.raises(BlobMissing):
        await bank.blobs.get(f"findings/{session}/card.jpg")
    async with bank.db.read() as c:
        row = (await c.execute(select(t.sessions))).mappings().one()
        finding = (await c.execute(select(t.findings))).mappings().one()
        assert (await c.execute(select(t.chats))).first() is None
        person = (await c.execute(select(t.customers))).mappings().one()
    assert row["notes"] is None and (row["decision"], row["teller_id"]) == ("approved", bank.teller)
    assert (finding["verdict"], finding["score"], finding["pictures"]) == ("passed", 0.9, [])
    assert bank.secrets.decrypt(finding["values"], f"findings.values:{session}") == b"{}"
    card = await bank.customers.unmasked(customer)
    assert card == {"name": "张*", "phone": None, "id": None} and person["phone_key"] is None
    with pytest.raises(Conflict, match="recording_erased"):
        await bank.erasure.erase(session, "again", now=await bank.over(session))
    assert "erased" in await bank.told(AUDIT) and "erased" in await bank.told(f"session:{session}")
    assert set((await verify_all(bank.db)).values()) == {None}

    seal = await bank.archive.verify(session)
    assert [part["reason"] for part in seal["parts"]] == ["erased", "erased"]
    # A copy elsewhere still proves what it was, and opens for nobody who has the database only.
    for part in before:
        verdict = verify_part(LocalStore(copies), part["name"], Trust.load(bank.archive.trust_path))
        assert str(verdict.status) == "ok" and verdict.chain == part["chain"]
    database = Path(bank.db._url.database or "")
    await bank.db.close()
    kept = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    assert not any(key in kept for _, key in wrapped)
    assert "张三".encode() not in kept


async def test_the_certificate_can_be_checked_by_anyone(bank: Bank, tmp_path: Path) -> None:
    session = await bank.session(await bank.customer())
    (part,) = await bank.parts(session)
    made = await bank.erasure.erase(session, "over", by=bank.teller, now=await bank.over(session))
    text = await bank.erasure.certificate(made)
    said = certificate.check(text, Trust.load(bank.archive.trust_path))
    assert said["id"] == made and said["sessions"] == [session]
    assert said["by"] == f"staff:{bank.teller}" and said["keyring"] == "file"
    (named,) = said["parts"]
    assert (named["part_id"], named["chain"]) == (part["id"], part["chain"])
    assert named["file"] == "removed" and "aml_cn_10" in named["sources"]
    assert said["also_erased"]["pictures"] == 1 and said["also_erased"]["customers"] == 1
    assert "张" not in text and "13800138000" not in text
    with pytest.raises(NotFound):
        await bank.erasure.certificate("nobody")

    changed = json.loads(text)
    changed["statement"]["reason"] = "another"
    for wrong in (json.dumps(changed), "{}", "[]", "no", text[:-20], '{"statement":1.5}'):
        with pytest.raises(Damaged):
            certificate.check(wrong, Trust.load(bank.archive.trust_path))
    path = tmp_path / "certificate.json"
    for content, code in ((text, 0), (json.dumps(changed), 1)):
        path.write_text(content)
        command = [sys.executable, "-m", "recordings.certificate", str(path), "--trust"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, str(bank.archive.trust_path)],
            capture_output=True,
            timeout=30,
        )
        assert done.returncode == code, done.stderr
    assert certificate.main([str(path), "--trust", str(tmp_path / "none.pem")]) == 2


async def test_a_person_stays_while_another_session_of_theirs_is_kept(bank: Bank) -> None:
    customer = await bank.customer()
    first, second = await bank.session(customer), await bank.session(customer)
    await bank.erasure.erase(first, "over", now=await bank.over(first))
    assert (await bank.customers.unmasked(customer))["name"] == "张三"
    await bank.erasure.erase(second, "over", now=await bank.over(second))
    assert (await bank.customers.unmasked(customer))["name"] == "张*"


async def test_what_the_store_has_locked_loses_its_key_only(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bank.session(await bank.customer())
    (part,) = await bank.parts(session)

    def locked(name: str) -> None:
        raise PermissionError("object lock")

    monkeypatch.setattr(bank.archive.store, "delete", locked)
    made = await bank.erasure.erase(session, "over", now=await bank.over(session))
    said = json.loads(await bank.erasure.certificate(made))["statement"]
    assert [each["file"] for each in said["parts"]] == ["locked"]
    assert bank.archive.store.names() == [part["name"]]
    with pytest.raises(UserError):
        bank.archive.dek((await bank.parts(session))[0])


async def test_a_crash_half_way_is_finished_by_the_next_night(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bank.session(await bank.customer())
    over = await bank.over(session)

    async def crash(names: object) -> dict[str, str]:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(bank.archive, "remove", crash)
        with pytest.raises(RuntimeError):
            await bank.erasure.erase(session, "over", now=over)
    (part,) = await bank.parts(session)
    assert part["wrapped_dek"] is None and bank.archive.store.names() == [part["name"]]
    with pytest.raises(NotFound):
        await bank.erasure.certificate(part["erasure_id"])
    await bank.retention.night(over)
    assert bank.archive.store.names() == []
    with pytest.raises(BlobMissing):
        await bank.blobs.get(f"findings/{session}/card.jpg")
    text = await bank.erasure.certificate(part["erasure_id"])
    certificate.check(text, Trust.load(bank.archive.trust_path))


async def test_a_store_that_is_away_is_cleared_by_the_next_night(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bank.session(await bank.customer())
    over = await bank.over(session)

    def away(name: str) -> None:
        raise ConnectionError("no way to the bucket")

    with monkeypatch.context() as patched:
        patched.setattr(bank.archive.store, "delete", away)
        made = await bank.erasure.erase(session, "over", now=over)
    assert (await bank.parts(session))[0]["wrapped_dek"] is None  # which is what counts
    assert [each["finished"] for each in await bank.erasure.latest(9)] == [False]
    await bank.retention.night(over)
    assert bank.archive.store.names() == []
    assert [each["finished"] for each in await bank.erasure.latest(9)] == [True]
    assert json.loads(await bank.erasure.certificate(made))["statement"]["sessions"] == [session]


async def test_a_night_erases_what_is_due_and_leaves_what_is_held(bank: Bank) -> None:
    customer = await bank.customer()
    gone, held, later = [await bank.session(customer) for _ in range(3)]
    async with bank.db.write() as tx:
        await tx.execute(
            update(t.parts)
            .where(t.parts.c.session_id == later)
            .values(kept_until=t.parts.c.kept_until + 400 * DAY_US)
        )
    await bank.holds.place(held, bank.teller, "court 12/2026")
    over = await bank.over(held)
    old = (await bank.parts(held))[0]["kek_id"]
    before = [dict(part) for part in await bank.parts()]

    plan = await bank.retention.plan(over)
    assert [each.session for each in plan.erase] == [gone]
    assert [each.session for each in plan.held] == [held]
    assert plan.erase[0].source == "aml_cn_10"
    assert [dict(part) for part in await bank.parts()] == before  # looking changes nothing

    report = await bank.retention.night(over)
    assert set(report.erased) == {gone} and not report.failed
    assert bank.read((await bank.parts(held))[0]) > 0 and report.destroyed == []

    # The month ends: the held one moves on, and a week later the month's key goes.
    end = over + 40 * DAY_US
    report = await bank.retention.night(end)
    (moved,) = await bank.parts(held)
    assert moved["kek_id"] == f"bank/{month_of(end)}" != old
    assert bank.read(moved) > 0 and report.destroyed == []
    report = await bank.retention.night(end + DAY_US)
    assert report.destroyed == [old] and report.certificate
    statement = json.loads(await bank.erasure.certificate(report.certificate))["statement"]
    assert statement["keks"] == [old]
    # What a backup of the database from before still has opens nothing any more.
    for part in before:
        if part["kek_id"] == old:
            with pytest.raises(KeyUnavailable):
                bank.archive.keyring.unwrap(part["kek_id"], part["wrapped_dek"])
    assert bank.read((await bank.parts(held))[0]) > 0
    assert bank.read((await bank.parts(later))[0]) > 0
    told = await bank.told(AUDIT)
    assert told.count(RUN) == 3 and "keys_destroyed" in told


async def test_a_key_that_still_wraps_is_not_destroyed(bank: Bank) -> None:
    session = await bank.session(await bank.customer())
    (part,) = await bank.parts(session)
    await bank.holds.place(session, bank.teller, "court")
    with pytest.raises(Conflict) as refused:
        await bank.retention.wrappings.destroy(part["kek_id"])
    assert (refused.value.code, refused.value.details["held"]) == ("key_in_use", 1)
    assert bank.read(part) > 0


async def test_keys_are_rotated_while_recordings_are_read_and_begun(bank: Bank) -> None:
    customer = await bank.customer()
    session = await bank.session(customer, parts=2)
    before = await bank.parts(session)
    stop, seen, reads = asyncio.Event(), asyncio.Event(), 0

    async def replay() -> None:
        nonlocal reads
        while not stop.is_set():
            for part in await bank.parts(session):
                assert await asyncio.to_thread(bank.read, part) > 0
                reads += 1
                seen.set()

    async def calls() -> list[str]:
        return [await bank.session(customer) for _ in range(4)]

    watching, calling = asyncio.create_task(replay()), asyncio.create_task(calls())
    await seen.wait()
    destroyed = [each for _ in range(3) for each in await bank.retention.rotate("test")]
    begun = await calling
    stop.set()
    await watching
    assert reads > len(before) and before[0]["kek_id"] in destroyed and len(destroyed) == 3
    for part in before:
        with pytest.raises(KeyUnavailable):
            bank.archive.keyring.unwrap(part["kek_id"], part["wrapped_dek"])
    now = await bank.parts()
    assert len(now) == 2 + len(begun) and all(bank.read(part) > 0 for part in now)
    assert {part["wrapped_dek"] for part in before}.isdisjoint(p["wrapped_dek"] for p in now)
    assert {part["kek_id"] for part in now} == {f"{before[0]['kek_id']}.4"}


async def test_a_rotation_does_not_bring_an_erased_key_back(bank: Bank) -> None:
    session = await bank.session(await bank.customer())
    rows = await bank.retention.wrappings._under((await bank.parts(session))[0]["kek_id"], 10)
    await bank.erasure.erase(session, "over", now=await bank.over(session))
    assert await bank.retention.wrappings.move(rows, "2060-01") == 0
    assert (await bank.parts(session))[0]["wrapped_dek"] is None


async def test_a_longer_period_counts_at_once_a_shorter_one_when_told(
    bank: Bank, tmp_path: Path
) -> None:
    session = await bank.session(await bank.customer())
    (part,) = await bank.parts(session)

    async def with_months(months: int) -> None:
        own = tmp_path / "own.toml"
        own.write_text(f"[sources.aml_cn_10]\nmonths = {months}\n")
        bank.retention.policy = Policy.load(own)

    await with_months(240)
    await bank.retention.night()
    (longer,) = await bank.parts(session)
    assert longer["kept_until"] - part["kept_until"] > 3600 * DAY_US
    assert longer["kek_id"] == f"bank/{month_of(longer['kept_until'])}" and bank.read(longer) > 0
    await with_months(60)
    await bank.retention.night()
    assert (await bank.parts(session))[0]["kept_until"] == longer["kept_until"]
    assert (await bank.retention.plan()).shorter == 1
    assert await bank.retention.shorten("test") == 1
    assert (await bank.parts(session))[0]["kept_until"] < part["kept_until"]


async def test_recordings_of_the_time_before_are_taken_over(bank: Bank) -> None:
    """Rows as the version before wrote them: the key of the recording's own month, no period."""
    session = await bank.session(await bank.customer())
    (part,) = await bank.parts(session)
    this_month = bank.archive.keyring.kek("bank", month_of(now_us()))
    wrapped = bank.archive.keyring.wrap(bank.archive.dek(part), this_month)
    async with bank.db.write() as tx:
        await tx.execute(
            update(t.parts).values(kek_id=this_month, wrapped_dek=wrapped, kept_until=None)
        )
    await bank.retention.night()
    (taken,) = await bank.parts(session)
    assert taken["kept_until"] == part["kept_until"] and taken["kek_id"] == part["kek_id"]
    assert bank.read(taken) > 0


async def test_a_clock_that_leapt_erases_nothing(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bank.session(await bank.customer())
    over = await bank.over(session)
    async with bank.db.write() as tx:
        await Timeline().append(tx, AUDIT, "signed_in", "server", {})
    monkeypatch.setattr("video_bank.retention.now_us", lambda: over)
    await bank.retention._tonight()
    assert bank.read((await bank.parts(session))[0]) > 0 and RUN not in await bank.told(AUDIT)
    monkeypatch.setattr("video_bank.retention.now_us", lambda: now_us() + DAY_US)
    await bank.retention._tonight()
    assert RUN in await bank.told(AUDIT)


async def test_a_token_that_is_away_ends_no_call_in_silence(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bank.session(await bank.customer())

    def away(*_: object) -> str:
        raise KeyUnavailable("the token is away")

    with monkeypatch.context() as patched:
        patched.setattr(bank.archive.keyring, "kek", away)
        with pytest.raises(OSError, match="token is away"):
            await bank.archive.open(session, lambda error: None)
    monkeypatch.setattr(bank.archive.keyring, "unwrap", away)
    with pytest.raises(OSError, match="does not open"):
        await bank.archive.open(session, lambda error: None)
    assert len(await bank.parts(session)) == 1  # no row without a recording


async def test_the_command_says_what_it_would_do(
    bank: Bank, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    session = await bank.session(await bank.customer())
    async with bank.db.write() as tx:
        await tx.execute(update(t.parts).values(kept_until=1, sealed_at=1))

    async def command(*words: str) -> str:
        arguments = [*words, "--data", str(config.data), "--database-url", config.database_url]
        assert await asyncio.to_thread(retention.main, arguments) == 0
        return capsys.readouterr().out

    # Recorded in 1970, so 30 years and a little later it may go.
    said = f"would erase {session}: class default, 1 parts, over since"
    assert said in await command("--dry-run")
    assert (await bank.parts(session))[0]["wrapped_dek"]
    assert f"erased {session}: certificate" in await command()
    assert (await bank.parts(session))[0]["wrapped_dek"] is None
    assert "destroyed:" in await command("rotate")
    assert "0" in await command("shorten")
    assert retention.main(["rotate", "shorten"]) == 2
    assert retention.main(["--keyring", "pkcs11"]) == 2


async def test_compliance_sees_holds_and_erases_over_http(
    bank: Bank, config: Config, accounts: Accounts, admin: SignedIn
) -> None:
    customer = await bank.customer()
    due, held, young = [await bank.session(customer) for _ in range(3)]
    async with bank.db.write() as tx:
        past = update(t.parts).where(t.parts.c.session_id != young)
        await tx.execute(past.values(kept_until=1, sealed_at=1))
    app = web.Application(middlewares=[errors, identify])
    app[CONFIG], app[ACCOUNTS], app[PAGES] = config, accounts, Pages()
    app[RETENTION], app[ERASURE], app[HOLDS] = bank.retention, bank.erasure, bank.holds
    for route in views.routes:
        app.router.add_route(route.method, route.path, permitted(route))
    headers = {
        "Origin": "http://localhost:8080",
        "Cookie": f"{cookie_name(config)}={admin.cookie}",
        "X-CSRF-Token": admin.login.csrf,
    }
    async with TestClient(TestServer(app)) as client:

        async def post(path: str, **data: object) -> tuple[int, Any]:
            async with client.post(f"/api/retention{path}", json=data, headers=headers) as answer:
                said = await answer.json()
                return answer.status, said.get("error", {}).get("code") or said

        async def overview() -> Any:
            async with client.get("/api/retention", headers=headers) as answer:
                assert answer.status == 200
                return await answer.json()

        status, made = await post("/holds", session=held, reason="court 12/2026")
        assert status == 201
        assert await post("/holds", session=held, reason="court") == (409, "held_already")
        assert await post("/holds", session=due, reason="x") == (400, "text_length")
        assert await post("/holds", session=7, reason="court") == (400, "bad_request")
        assert await post("/holds", session="nobody", reason="court") == (404, "unknown_session")
        seen = await overview()
        assert [each["session"] for each in seen["plan"]["erase"]] == [due]
        assert [each["session"] for each in seen["plan"]["held"]] == [held]
        assert sum(each["held"] for each in seen["months"]) == 1 and seen["sessions"] == 3
        (deciding,) = [
            each
            for kept in seen["policy"]["classes"]
            for each in kept["sources"]
            if kept["id"] == "default" and each["decides"]
        ]
        assert deciding["id"] == "aml_cn_10" and deciding["citation"]

        why = {"reason": "its time is over"}
        wrong = {"session": due, "number": held[-6:]}
        assert await post("/erasures", **wrong, **why) == (400, "number_differs")
        for session, code in ((held, "legal_hold"), (young, "not_yet_due")):
            asked = {"session": session, "number": session[-6:]}
            assert await post("/erasures", **asked, **why) == (409, code)
            assert (await post("/erasures", **asked, **why, early=True))[0] == 403
        asked = {"session": due, "number": f" {due[-6:].lower()} "}
        status, erased = await post("/erasures", **asked, **why)
        assert status == 201
        path = f"/api/retention/erasures/{erased['certificate']}"
        async with client.get(path, headers=headers) as answer:
            assert "attachment" in answer.headers["Content-Disposition"]
            text = await answer.text()
        said = certificate.check(text, Trust.load(bank.archive.trust_path))
        assert said["by"] == f"staff:{admin.login.subject_id}"
        assert await post(f"/holds/{made['id']}/lift", reason="settled") == (200, {})
        assert await post(f"/holds/{made['id']}/lift", reason="settled") == (404, "unknown_hold")
        after = await overview()
        assert not after["holds"] and after["erasures"][0]["sessions"] == [due]
        async with client.get("/retention", headers=headers | {"Accept-Language": "en"}) as answer:
            assert "Legal holds" in await answer.text()


async def test_a_viewing_under_way_ends_with_the_erasure(bank: Bank) -> None:
    session = await bank.session(await bank.customer())
    replay = Replay(bank.archive)
    bank.erasure.on_erased = replay.forget
    (stream,) = await replay.streams(session, "viewing")
    part, records = stream["part"], int(stream["url"].rpartition("=")[2])
    view = await replay.view(session, part, stream["stream"], records)
    assert await replay.read(view, 0, 100)
    made = await bank.erasure.erase(session, "over", now=await bank.over(session))
    assert part not in replay._opened  # nor is its key in memory
    with pytest.raises(UserError) as gone:
        await replay.view(session, part, stream["stream"], records)
    assert (gone.value.code, gone.value.details["certificate"]) == ("recording_erased", made)
    assert await replay.streams(session, "viewing") == []


async def test_a_bank_moves_its_keys_into_a_token(
    bank: Bank, config: Config, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    customer = await bank.customer()
    session, erased = await bank.session(customer, parts=2), await bank.session(customer)
    await bank.erasure.erase(erased, "over", now=await bank.over(erased))
    before = await bank.parts(session)
    with pytest.raises(OperatorError):
        await bank.retention.adopt("test")
    arguments = ["--data", str(config.data), "--database-url", config.database_url]
    arguments += ["--keyring", "pkcs11", "--pkcs11-token", "bank"]
    arguments += ["--pkcs11-module", str(MODULE), "--pkcs11-pin-file", str(token / "pin")]
    said = []
    for _ in range(2):  # again, as after a crash: nothing is left to do
        assert await asyncio.to_thread(retention.main, ["adopt", *arguments]) == 0
        said.append(capsys.readouterr().out)
    assert said == ["keys taken over: 2\n", "keys taken over: 0\n"]
    assert bank.archive.keyring.keks() == []  # the file's
    for part in before:
        with pytest.raises(KeyUnavailable):
            bank.archive.dek(part)
    bank.archive.keyring = Pkcs11Keyring(MODULE, "bank", token / "pin")
    after = await bank.parts(session)
    assert [bank.read(part) > 0 for part in after] == [True, True]
    assert (await bank.parts(erased))[0]["wrapped_dek"] is None
    assert await bank.session(customer)  # new calls record with the token's keys
    assert "keys_adopted" in await bank.told(AUDIT)


async def test_erasing_by_hand_takes_two_where_the_bank_says_so(
    bank: Bank,
    config: Config,
    accounts: Accounts,
    admin: SignedIn,
) -> None:
    """The first only asks, however often; the second erases, and the certificate names both."""
    session = await bank.session(await bank.customer())
    app = web.Application(middlewares=[errors, identify])
    app[CONFIG] = replace(config, erasure_approval="second_person", early_erasure=True)
    app[ACCOUNTS], app[PAGES] = accounts, Pages()
    app[RETENTION], app[ERASURE], app[HOLDS] = bank.retention, bank.erasure, bank.holds
    for route in views.routes:
        app.router.add_route(route.method, route.path, permitted(route))
    other = await bank.erasure.asked()
    assert other == {}
    headers = {
        "Origin": "http://localhost:8080",
        "Cookie": f"{cookie_name(config)}={admin.cookie}",
        "X-CSRF-Token": admin.login.csrf,
    }
    said = {"session": session, "number": session[-6:], "reason": "by court", "early": True}
    async with TestClient(TestServer(app)) as client:
        for _ in range(2):
            async with client.post("/api/retention/erasures", json=said, headers=headers) as answer:
                assert (answer.status, await answer.json()) == (202, {"asked": True})
        async with client.get("/api/retention", headers=headers) as answer:
            assert (await answer.json())["asked"][session]["own"]
    assert (await bank.told(AUDIT)).count("erasure_asked") == 1
    assert (await bank.parts(session))[0]["erased_at"] is None
    asked = (await bank.erasure.asked())[session]
    assert asked["by"] == admin.login.subject_id and asked["reason"] == "by court"
    made = await bank.erasure.erase(session, "yes", by=bank.teller, early=True, asked=asked)
    text = json.loads(await bank.erasure.certificate(made))["statement"]
    assert text["by"] == f"staff:{bank.teller}"
    assert text["reason"] == f"yes (asked for by staff:{admin.login.subject_id}: by court)"
    with pytest.raises(Conflict, match="recording_erased"):
        await bank.erasure.ask(session, bank.teller, "again", early=True)


async def test_who_was_never_recorded_is_forgotten_in_time(bank: Bank) -> None:
    recorded, stranger = await bank.customer(), await bank.customer("13900139000", "李四")
    await bank.session(recorded)
    now = now_us()
    assert (await bank.retention.plan(now)).forget == []
    later = now + 181 * DAY_US
    plan = await bank.retention.plan(later)
    assert plan.forget == [stranger] and plan.view()["forget"] == 1
    dry = await bank.retention.night(later, erase=False)
    assert dry.forgotten == 0
    report = await bank.retention.night(later)
    assert report.forgotten == 1
    card = await bank.customers.card(stranger)
    assert card["name"] == card["name_masked"] and not card["id_masked"]
    async with bank.db.read() as c:
        row = (await c.execute(select(t.customers).where(t.customers.c.id == stranger))).one()
    assert row.phone is None and row.phone_key is None
    assert "customer_forgotten" in await bank.told(AUDIT)
    assert (await bank.retention.plan(later)).forget == []
    assert (await bank.customers.card(recorded))["name"] == "张三"
