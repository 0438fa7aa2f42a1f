"""The log of seals behind the archive and the reviewer's page."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import update

from recordings.container import Ending, PartWriter
from recordings.keys import new_dek
from recordings.recorder import Head, Sealed
from recordings.timestamp import TestAuthority
from recordings.verify_recording import Examination
from tests.video_bank.cinema import Cinema, Reel, cinema, clip, write
from video_bank.config import Config
from video_bank.errors import OperatorError
from video_bank.evidence import Timeline
from video_bank.keys import NOTARY, SESSIONS
from video_bank.logins import Login
from video_bank.notary import Notary, authority_of
from video_bank.permissions import Role
from video_bank.running import Running
from video_bank.storage import now_us
from video_bank.storage import tables as t
from video_bank.views import notary

REELS = [Reel("customer", clip(64, 48, 2.0), seconds=2.0)]


@dataclass
class Desk:
    """A cinema with its log of seals."""

    cinema: Cinema
    running: Running
    notary: Notary
    teller: Login


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with cinema(tmp_path) as made:
        running = Running(made.db, Timeline())
        signer = made.archive.signer
        log = Notary(
            made.db, Timeline(), running, signer, made.archive.trust,
            origin="bank.example/recordings", authority=TestAuthority(tmp_path / "tsa.pem"),
        )  # fmt: skip
        made.archive.on_sealed, made.archive.known = log.add, running.known
        yield Desk(made, running, log, await made.staff("teller", Role.TELLER))


async def sealed(desk: Desk, session: str) -> tuple[dict[str, object], bytes, PartWriter]:
    """A part that was noted half way and sealed; header, data key and writer of it."""
    archive, dek = desk.cinema.archive, new_dek()
    header = await archive._enter(session, dek)
    assert header is not None
    writer = write(archive, f"{session}/001.vbr", header, dek, REELS, [], sealed=True)
    with_marks = Examination(
        archive.store.open(f"{session}/001.vbr"), archive.trust, marks=[7]
    )
    with_marks.verdict("", None)
    half = with_marks.chains[7]
    desk.running.parts = lambda: {writer.part_id: Head(7, half, 0)}
    await desk.running.note()
    async with desk.cinema.db.write() as tx:
        await tx.execute(
            update(t.parts).where(t.parts.c.id == writer.part_id).values(
                sealed_at=now_us(), chain=writer.chain.hex(), records=writer.records, verdict="ok"
            )
        )  # fmt: skip
    return header, dek, writer


async def test_a_recording_written_anew_with_the_stolen_key_differs_from_the_log(
    desk: Desk, tmp_path: Path
) -> None:
    archive = desk.cinema.archive
    session = await desk.cinema.session(desk.teller, 5)
    header, dek, _ = await sealed(desk, session)
    assert (await archive.verify(session))["verdict"] == "ok"
    forged = [Reel("customer", clip(96, 64, 2.0), seconds=2.0)]
    write(archive, "forged/001.vbr", header, dek, forged, [], sealed=True)
    directory = tmp_path / "recordings"
    (directory / "forged/001.vbr").replace(directory / f"{session}/001.vbr")
    found = await archive.verify(session)
    assert found["verdict"] == "tampered"
    assert found["parts"][0]["reason"] == "differs_from_log"
    # The signatures alone are good: it is the log that tells.
    archive.known = None
    assert (await archive.verify(session))["verdict"] == "ok"


class Broken:
    """A recorder whose part has no end, and who believes more is in it than there is."""

    def __init__(self, name: str, writer: PartWriter) -> None:
        self._name, self._writer = name, writer

    async def finish(self, ending: Ending) -> Sealed:
        return Sealed(
            self._name, self._writer.part_id, "ff" * 32, 999, 0, 0, complete=False, failure="EIO"
        )


async def test_a_part_without_its_end_is_entered_as_far_as_its_closing_says(desk: Desk) -> None:
    archive, dek = desk.cinema.archive, new_dek()
    session = await desk.cinema.session(desk.teller, 5)
    header = await archive._enter(session, dek)
    assert header is not None
    name = f"{session}/001.vbr"
    writer = write(archive, name, header, dek, REELS, [], sealed=False)
    writer.abandon()
    said = await archive.finish(session, Broken(name, writer))  # type: ignore[arg-type]
    assert (said["verdict"], said["chain"]) == ("closed by recovery", writer.chain.hex())
    (part,) = await archive.parts(session)
    assert (part["chain"], part["records"]) == (writer.chain.hex(), writer.records)
    assert (await archive.verify(session))["verdict"] == "closed by recovery"
    (proof,) = await desk.notary.at_once(session)
    assert proof["state"] == "test"


async def test_whoever_reviews_asks_for_the_proof_and_for_a_stamp(desk: Desk) -> None:
    session = await desk.cinema.session(desk.teller, 5)
    await sealed(desk, session)
    app = web.Application()
    app[NOTARY], app[SESSIONS] = desk.notary, desk.cinema.sessions
    for route in notary.routes:
        app.router.add_route(route.method, route.path, route.handler)
    async with TestClient(TestServer(app)) as client:
        first = await (await client.get(f"/api/reviews/{session}/proof")).json()
        assert [(each["number"], each["state"]) for each in first] == [(1, "waiting")]
        done = await (await client.post(f"/api/reviews/{session}/stamp")).json()
        assert [each["state"] for each in done] == ["test"]
        assert await (await client.get(f"/api/reviews/{session}/proof")).json() == done


def test_who_stamps_is_a_matter_of_settings(tmp_path: Path) -> None:
    assert authority_of(Config(data=tmp_path)) == (None, ())
    test, roots = authority_of(Config(data=tmp_path, unsafe_test_timestamps=True))
    assert test is not None and "not evidence" in test.name
    assert list(test.roots) == list(roots)
    # Later, with a real one, what the one for tests stamped is still read as what it is.
    pem = tmp_path / "roots.pem"
    pem.write_bytes((tmp_path / "keys" / "test-authority.pem").read_bytes())
    url = "https://tsa.example/rfc3161"
    real, earlier = authority_of(Config(data=tmp_path, timestamp_url=url, timestamp_roots=pem))
    assert real is not None and real.name == "tsa.example"
    assert list(earlier) == list(roots)
    with pytest.raises(OperatorError, match="timestamp_roots"):
        missing = tmp_path / "missing.pem"
        authority_of(Config(data=tmp_path, timestamp_url=url, timestamp_roots=missing))
    for wrong in ({"timestamp_url": url}, {"timestamp_roots": pem}, {"timestamp_url": "tsa"}):
        with pytest.raises(OperatorError, match="timestamp_"):
            Config(data=tmp_path, **wrong)
