"""Exports: a real database, recording and renderer, and the bundle's own verifier."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import insert, select, update

from kyc.check import Finding, Picture, Verdict
from recordings.keys import Signer
from recordings.timestamp import TestAuthority
from recordings.verify_recording import SUITES, compact, manifest_text
from tests.recordings.sm2 import outside
from tests.recordings.takes import take
from video_bank.accounts import Accounts, Login
from video_bank.archive import Archive, signer_of
from video_bank.attendance import Attendee, seat
from video_bank.blobs import LocalBlobs
from video_bank.businesses import Businesses, load_consents
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.dossier import Dossier, _open
from video_bank.errors import Conflict, NotFound, OperatorError, TooMany
from video_bank.evidence import AUDIT, Entry, Timeline, verify
from video_bank.exports import WAITING, Exports
from video_bank.findings import Findings
from video_bank.keys import ACCOUNTS, CONFIG, EXPORTS, REVIEWS
from video_bank.logins import cookie_name
from video_bank.notary import Notary
from video_bank.pages import Pages
from video_bank.reviews import Reviews
from video_bank.running import Running
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t
from video_bank.views import exports as views
from video_bank.views.guard import errors, identify, permitted

from .conftest import PASSWORD

JPEG = b"\xff\xd8 a picture \xff\xd9"
REASON = "法院调取 2026-118"


class Office:
    """A bank with one sealed session of a second and a half."""

    def __init__(
        self,
        config: Config,
        db: Database,
        secrets: Secrets,
        customers: Customers,
        signer: Signer | None = None,
    ) -> None:
        self.config, self.db, self.customers = config, db, customers
        self.timeline = Timeline()
        self.sessions = Sessions(
            db, self.timeline, secrets, Businesses(), load_consents(), queue_limit=9
        )
        blobs = LocalBlobs(config.data / "blobs", b"b" * 32)
        self.findings = Findings(db, blobs, secrets, self.sessions)
        self.archive = Archive(db, config.data / "recordings", config.keys, signer=signer)
        self.notary = Notary(
            db,
            self.timeline,
            Running(db, self.timeline),
            self.archive.signer,
            self.archive.trust,
            origin="bank.example/recordings",
            authority=TestAuthority(config.keys / "test-authority.pem"),
        )
        self.spool = config.data / "exports"
        self.session = ""

    def exports(self, hours: int = 24) -> Exports:
        dossier = Dossier(
            self.db,
            self.timeline,
            self.sessions,
            self.customers,
            self.findings,
            self.archive,
            Businesses(),
            Pages(),
            self.notary,
        )
        return Exports(
            self.db,
            self.timeline,
            self.archive,
            dossier,
            spool=self.spool,
            hours=hours,
            video="h264",
        )

    async def staff(self, name: str, role: str) -> str:
        key = new_id()
        async with self.db.write() as tx:
            await tx.execute(
                insert(t.staff).values(
                    id=key,
                    name=new_id().lower(),
                    display_name=name,
                    role=role,
                    password_hash="-",
                    created_at=now_us(),
                )
            )
        return key

    async def talk(self) -> None:
        """One session from the line to its seal."""
        code = await self.customers.walk_in("张三", "13800138000", "zh", "192.0.2.1")
        customer = await self.customers.confirm(code.id, code.demo_code or "", "192.0.2.1")
        who = customer.login.subject_id
        teller = await self.staff("王芳", "teller")
        self.session = session = await self.sessions.join(
            who, "identification", "zh", recording=True, face=True, version=load_consents().version
        )
        await self.sessions.offer(session, teller)
        recorder = await self.archive.open(session, lambda error: None)
        await self.sessions.accept(session, teller)
        for label in ("customer", "teller"):
            recorder.stream(label)
        for number, start_us in ((1, 0), (2, 400_000)):
            for p in take(1.0, 0.5, start_us=start_us):
                recorder.frame(number, p.kind, p.time_us, p.data, p.keyframe)
        recorder.event(800_000, {"kind": "accepted", "actor": "server", "data": {}})
        pictures = [Picture("frame", JPEG, 850_000), Picture("gone", JPEG + b"2", 860_000)]
        finding = Finding(
            "liveness", Verdict.PASSED, "passed", media_time_us=900_000, pictures=pictures
        )
        await self.findings.record(session, finding, "0" * 64)
        await self.sessions.end(session, f"staff:{teller}", "teller_ended")
        sealed = await self.archive.finish(session, recorder)
        await self.sessions.seal(session, sealed.pop("verdict"), **sealed)

    async def audit(self) -> list[Entry]:
        async with self.db.read() as c:
            entries = await self.timeline.read(c, AUDIT)
        assert verify(entries) is None
        return entries


@pytest.fixture
async def office(
    config: Config, database: Database, secrets: Secrets, customers: Customers
) -> Office:
    made = Office(config, database, secrets, customers)
    await made.talk()
    (gone,) = (config.data / "blobs").rglob("*gone*")
    gone.unlink()
    return made


@pytest.fixture
async def exports(office: Office) -> AsyncIterator[Exports]:
    """Working."""
    made = office.exports()
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def ended(exports: Exports, made: str, reviewer: str) -> dict[str, Any]:
    """The export's last state; what was said of it meanwhile only ever grew."""
    progress = 0.0
    async with asyncio.timeout(60):
        while (state := await exports.state(made, reviewer))["state"] in ("waiting", "working"):
            assert progress <= state["progress"] <= 1
            progress = state["progress"]
            await asyncio.sleep(0.02)
    return state


def verified(directory: Path) -> tuple[int, str]:
    """What the bundle's own verifier says, as the report tells people to call it."""
    command = [sys.executable, "-I", "verify_recording.py", ".", "--trust", "trust.pem"]
    command += ["--roots", "certificates/authorities.pem"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        for _ in range(10_000):
            if await true():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("not within 10,000 looks")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments and environment of every process that was started."""
    seen: list[str] = []
    real = asyncio.create_subprocess_exec

    async def spy(*command: str, **options: Any) -> asyncio.subprocess.Process:
        seen.extend([*command, *options["env"], *options["env"].values()])
        return await real(*command, **options)

    monkeypatch.setattr("recordings.rendering.asyncio.create_subprocess_exec", spy)
    return seen


async def test_a_bundle_that_anybody_can_verify(
    office: Office,
    exports: Exports,
    tmp_path: Path,
    commands: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    reviewer = await office.staff("赵敏", "reviewer")
    made = await exports.ask("V-1", office.session, reviewer, REASON)
    assert await exports.ask("V-1", office.session, reviewer, REASON) == made
    asked = (await office.audit())[-1]
    assert (asked.kind, asked.actor) == ("exported", f"staff:{reviewer}")
    assert asked.body["reason"] == REASON and asked.body["export"] == made
    state = await ended(exports, made, reviewer)
    assert (state["state"], state["failure"], state["progress"]) == ("done", None, 1.0)
    path, name = await exports.fetch(made, reviewer)
    assert name == f"session-{office.session}.zip"
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size == state["bytes"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == state["sha256"]
    kinds = [entry.kind for entry in await office.audit() if entry.kind.startswith("export")]
    assert kinds == ["exported", "export_fetched"]

    async def tidy() -> bool:
        return list(office.spool.iterdir()) == [path]

    await until(tidy)

    # The key that opens the recording reached the renderer by its input, and nothing else has it.
    async with office.db.read() as c:
        dek = office.archive.dek((await c.execute(select(t.parts))).mappings().one()).hex()
    assert commands and dek not in " ".join(commands) and dek not in caplog.text
    assert os.fsencode(dek) not in path.read_bytes()

    with zipfile.ZipFile(path) as packed:
        packed.extractall(tmp_path / "out")
    (directory,) = (tmp_path / "out").iterdir()
    names = {
        each.relative_to(directory).as_posix() for each in directory.rglob("*") if each.is_file()
    }
    picture = next(name for name in names if name.startswith("findings/"))
    assert (directory / picture).read_bytes() == JPEG
    assert names == {
        picture, "certificates/authorities.pem", "parts/001.vbr", "timeline.json", "proof.json",
        "trust.pem", "video.mp4", "report.html", "verify_recording.py", "MANIFEST.json",
    }  # fmt: skip
    signed = json.loads((directory / "MANIFEST.json").read_text())
    files = json.loads(signed["manifest"])["files"]
    assert files == {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest()
        for name in names - {"MANIFEST.json"}
    }
    code, said = await asyncio.to_thread(verified, directory)
    assert code == 0 and "test authority, not evidence" in said, said
    assert "not checked up to a root" not in said
    assert "1 pictures as its timeline has them" in said

    timeline = json.loads((directory / "timeline.json").read_text())
    assert timeline["whole"] and verify([Entry(**row) for row in timeline["rows"]]) is None
    report = (directory / "report.html").read_text()
    for told in (
        "张三",
        "王芳",
        REASON,
        "真人检测",
        "Live person",
        files["video.mp4"],
        "完好",
        "不作为证据",
    ):
        assert told in report, told
    assert "<script" not in report and "http://" not in report and "https://" not in report
    with av.open(str(directory / "video.mp4")) as film:
        assert film.duration is not None and abs(film.duration / 1e6 - 1.4) < 0.1

    assert f'src="{picture}"' in report

    # Another picture in its place, under a manifest that the bank itself signs anew.
    (directory / picture).write_bytes(JPEG + b"2")
    files[picture] = hashlib.sha256(JPEG + b"2").hexdigest()
    manifest = compact(json.loads(signed["manifest"]) | {"files": files})
    signature = office.archive.signer.sign(manifest_text(SUITES[1], manifest)).hex()
    forged = signed | {"manifest": manifest.decode(), "signature": signature}
    (directory / "MANIFEST.json").write_bytes(compact(forged))
    code, said = await asyncio.to_thread(verified, directory)
    assert code == 1 and f"{picture} is not the picture of a finding" in said, said

    part = directory / "parts" / "001.vbr"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    code, said = await asyncio.to_thread(verified, directory)
    assert code == 1, said


async def test_an_export_is_its_askers_alone(office: Office) -> None:
    exports = office.exports()
    mine, other = [await office.staff(name, "reviewer") for name in ("赵敏", "李明")]
    made = await exports.ask("V-1", office.session, mine, REASON)
    for verb in (exports.state, exports.fetch, exports.stop):
        with pytest.raises(NotFound):
            await verb(made, other)
    assert await exports.latest(office.session, other) is None
    latest = await exports.latest(office.session, mine)
    assert latest is not None and latest["id"] == made


async def test_stopped_it_leaves_nothing(office: Office, exports: Exports) -> None:
    reviewer = await office.staff("赵敏", "reviewer")
    made = await exports.ask("V-1", office.session, reviewer, REASON)

    async def begun() -> bool:
        state: str = (await exports.state(made, reviewer))["state"]
        return state == "working"

    async def gone() -> bool:
        return exports._working is None and not list(office.spool.iterdir())

    await until(begun)
    await exports.stop(made, reviewer)
    assert (await exports.state(made, reviewer))["state"] == "stopped"
    await until(gone)
    assert await gone()
    with pytest.raises(NotFound):
        await exports.fetch(made, reviewer)


async def test_after_its_hours_the_file_goes(office: Office) -> None:
    exports, reviewer = office.exports(hours=24), await office.staff("赵敏", "reviewer")
    made = await exports.ask("V-1", office.session, reviewer, REASON)
    path = office.spool / f"{made}.zip"
    path.parent.mkdir()
    path.write_bytes(b"zip")
    for hours, stays in ((23, True), (25, False)):
        ended_at = now_us() - hours * 3_600_000_000
        async with office.db.write() as tx:
            done = {"state": "done", "path": str(path), "ended_at": ended_at}
            await tx.execute(update(t.exports).values(**done))
        await exports._expire()
        assert path.exists() is stays
        state = await exports.state(made, reviewer)
        assert state["state"] == "done" and (state["until"] is not None) is stays
    with pytest.raises(NotFound):
        await exports.fetch(made, reviewer)


async def test_a_restart_says_what_became_of_it(office: Office) -> None:
    reviewer = await office.staff("赵敏", "reviewer")
    exports = office.exports()
    made = await exports.ask("V-1", office.session, reviewer, REASON)
    async with office.db.write() as tx:
        await tx.execute(update(t.exports).values(state="working", progress=0.4))
    (office.spool / made / "session").mkdir(parents=True)
    (office.spool / "left.zip").write_bytes(b"left")
    await exports._begin()
    state = await exports.state(made, reviewer)
    assert (state["state"], state["failure"]) == ("failed", "restarted")
    assert list(office.spool.iterdir()) == []


async def test_what_cannot_be_exported(office: Office) -> None:
    exports, reviewer = office.exports(), await office.staff("赵敏", "reviewer")
    before = len(await office.audit())
    async with office.db.write() as tx:
        await tx.execute(update(t.parts).values(sealed_at=None))
    with pytest.raises(Conflict, match="export_not_sealed"):
        await exports.ask("V-1", office.session, reviewer, REASON)
    async with office.db.write() as tx:
        await tx.execute(update(t.parts).values(sealed_at=now_us(), erased_at=now_us()))
    with pytest.raises(Conflict, match="export_erased"):
        await exports.ask("V-1", office.session, reviewer, REASON)
    assert len(await office.audit()) == before


async def test_the_line_is_bounded(office: Office) -> None:
    exports = office.exports()
    for _ in range(WAITING):
        await exports.ask("V-1", office.session, await office.staff("赵敏", "reviewer"), REASON)
    one_more = await office.staff("李明", "reviewer")
    with pytest.raises(TooMany):
        await exports.ask("V-1", office.session, one_more, REASON)


async def test_without_room_it_fails_and_says_so(
    office: Office, exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_bank.exports.SPARE", 1 << 60)
    reviewer = await office.staff("赵敏", "reviewer")
    made = await exports.ask("V-1", office.session, reviewer, REASON)
    assert (await ended(exports, made, reviewer))["failure"] == "no_space"


async def test_a_renderer_that_dies_is_told(
    office: Office, exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = asyncio.create_subprocess_exec

    async def shot(*command: str, **options: Any) -> asyncio.subprocess.Process:
        process = await real(*command, **options)
        process.kill()
        return process

    monkeypatch.setattr("recordings.rendering.asyncio.create_subprocess_exec", shot)
    reviewer = await office.staff("赵敏", "reviewer")
    made = await exports.ask("V-1", office.session, reviewer, REASON)
    assert (await ended(exports, made, reviewer))["failure"] == "renderer"
    assert list(office.spool.iterdir()) == []  # failed is said when nothing is left


async def test_nothing_of_an_erased_session_comes_out(office: Office, exports: Exports) -> None:
    """Erased after it was asked for, before it was made."""
    reviewer = await office.staff("赵敏", "reviewer")
    made = await exports.ask("V-1", office.session, reviewer, REASON)
    async with office.db.write() as tx:
        await tx.execute(update(t.parts).values(wrapped_dek=None, erased_at=now_us()))
    assert (await ended(exports, made, reviewer))["failure"] == "erased"


async def test_another_guest_has_no_name_that_is_not_certain(office: Office) -> None:
    async with office.db.write() as tx:
        for name in ("甲", "乙"):
            person = await office.customers._find_or_create(tx, name, None)
            await seat(tx, office.session, Attendee.joined(person, "customer", "co_customer"))
    dossier = office.exports()._dossier
    names = (await dossier.of(office.session)).names
    assert names["customer"] == "客户 张三 · Customer"
    assert names["teller screen"] == "柜员的屏幕 王芳 · Teller's screen"
    assert names["co_customer 2"] == "共同借款人 2 · Second borrower"


class Desk:
    """Stands for the reviews: one viewing, of one reviewer."""

    def __init__(self, session: str) -> None:
        self._session = session

    async def viewing(self, viewing: str, login: Login) -> str:
        if viewing != "V-1":
            raise NotFound("viewing_over")
        return self._session


@pytest.fixture
async def client(
    config: Config, accounts: Accounts, office: Office
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """Nobody works on what is asked for."""
    app = web.Application(middlewares=[errors, identify])
    app[CONFIG], app[ACCOUNTS], app[EXPORTS] = config, accounts, office.exports()
    app[REVIEWS] = cast(Reviews, Desk(office.session))
    for route in views.routes:
        app.router.add_route(route.method, route.path, permitted(route))
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def test_over_http(
    office: Office,
    accounts: Accounts,
    client: TestClient[web.Request, web.Application],
) -> None:
    await accounts.staff.create("zhao", "赵敏", "reviewer", by="test", password=PASSWORD)
    login = await accounts.sign_in("zhao", PASSWORD, None, "192.0.2.1")
    cookie = f"{cookie_name(office.config)}={login.cookie}"
    token = {"Origin": "http://localhost:8080", "X-CSRF-Token": login.login.csrf, "Cookie": cookie}

    async def call(method: str, path: str, **data: str) -> tuple[int, Any]:
        body = data if method == "POST" else None
        async with client.request(method, path, json=body, headers=token) as answer:
            return answer.status, await answer.json()

    at = "/api/viewings/V-1/exports"
    assert await call("GET", at) == (200, {"export": None})
    assert (await call("POST", at, reason="x"))[0] == 400
    assert (await call("POST", "/api/viewings/V-2/exports", reason=REASON))[0] == 404
    status, reply = await call("POST", at, reason=REASON)
    assert status == 201
    mine = f"/api/exports/{reply['id']}"
    assert (await call("GET", f"{mine}/file"))[0] == 404
    assert (await call("GET", at))[1]["export"]["id"] == reply["id"]
    path = office.spool / "done.zip"
    path.parent.mkdir()
    path.write_bytes(b"PK")
    async with office.db.write() as tx:
        done = {"state": "done", "path": str(path), "ended_at": now_us()}
        await tx.execute(update(t.exports).values(**done))
    async with client.get(f"{mine}/file", headers=token) as answer:
        assert answer.content_type == "application/zip"
        named = f'attachment; filename="session-{office.session}.zip"'
        assert answer.headers["Content-Disposition"] == named
        assert await answer.read() == b"PK"
    assert (await call("GET", "/api/exports/nobodys"))[0] == 404
    assert (await call("DELETE", mine))[0] == 200 and not path.exists()
    assert (await call("GET", f"{mine}/file"))[0] == 404
    assert (await call("GET", mine))[1]["until"] is None


def test_when_a_supervisor_spoke_to_everybody() -> None:
    """By the timeline, also over a change of parts; a whisper before and after is none of it."""

    def said(at: int, media_us: int, mode: str) -> Any:
        body = {"mode": mode}
        return SimpleNamespace(at=at, media_time_us=media_us, kind="supervised", body=body)

    parts: Any = [{"number": 1, "started_at": 100}, {"number": 2, "started_at": 200}]
    entries = [
        said(110, 10, "whispering"), said(120, 20, "joined"), said(130, 30, "whispering"),
        said(140, 40, "joined"), said(210, 50, "listening"),
    ]  # fmt: skip
    assert _open(parts, entries) == {1: [(20, 30), (40, 1 << 62)], 2: [(0, 50)]}


async def test_all_of_it_in_suite_2(
    config: Config, database: Database, secrets: Secrets, customers: Customers, tmp_path: Path
) -> None:
    """By the settings: sealed, entered, stamped, exported and verified with a signer outside."""
    config.keys.mkdir(parents=True, exist_ok=True)
    with outside(tmp_path) as (socket, public):
        settings = replace(config, signer="socket", signer_socket=socket, signer_public_key=public)
        signer = await asyncio.to_thread(signer_of, settings)
        office = Office(config, database, secrets, customers, signer)
        await office.talk()
        exports = office.exports()
        task = asyncio.create_task(exports.run())
        reviewer = await office.staff("赵敏", "reviewer")
        made = await exports.ask("V-1", office.session, reviewer, REASON)
        assert (await ended(exports, made, reviewer))["state"] == "done"
        path, _ = await exports.fetch(made, reviewer)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    found = await office.archive.verify(office.session)
    assert (found["verdict"], found["parts"][0]["suite"]) == ("ok", 2)
    with zipfile.ZipFile(path) as packed:
        packed.extractall(tmp_path / "out")
    (directory,) = (tmp_path / "out").iterdir()
    code, said = await asyncio.to_thread(verified, directory)
    assert code == 0 and "not certified" in said and "stamped at" in said, said
    assert "not certified" in (directory / "report.html").read_text()
    assert json.loads((directory / "MANIFEST.json").read_text())["suite"] == 2
    with pytest.raises(OperatorError, match="signer"):
        await asyncio.to_thread(signer_of, settings)  # it is gone
