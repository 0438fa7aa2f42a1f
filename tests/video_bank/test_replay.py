"""What a viewing shows of a session's recording, and that it is on record before the first byte."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import func, insert, select, update

from tests.video_bank.cinema import Cinema, Reel, cinema, clip
from video_bank.accounts import LOGIN
from video_bank.errors import NotAllowed, NotFound
from video_bank.keys import APPROVALS, ARCHIVE, REVIEWS
from video_bank.logins import Login
from video_bank.permissions import Role
from video_bank.storage import new_id, now_us
from video_bank.storage import tables as t
from video_bank.views import approvals, reviews
from video_bank.views.guard import errors

SMALL = clip(160, 120, 2)
CUSTOMER = Reel("customer", SMALL, 300_000, 2, 2, speaks=((0.5, 2), (3, 4)))
TELLER = Reel("teller", SMALL, 100_000, 2, 2, speaks=((2, 3),))
ACCEPTED = (0, {"kind": "accepted", "actor": "staff:x", "data": {}})
DECIDED = (3_000_000, {"kind": "decided", "actor": "staff:x", "data": {"decision": "approved"}})


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Cinema]:
    async with cinema(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def reviewer(made: Cinema) -> Login:
    return await made.staff("reviewer", Role.REVIEWER)


@pytest.fixture
async def teller(made: Cinema) -> Login:
    return await made.staff("teller", Role.TELLER)


Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client(made: Cinema, reviewer: Login) -> AsyncIterator[Client]:
    """A reviewer's browser, already signed in; everything behind the permissions is real."""

    @web.middleware
    async def signed_in(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        request[LOGIN] = reviewer
        return await handler(request)

    app = web.Application(middlewares=[errors, signed_in])
    app[REVIEWS], app[APPROVALS], app[ARCHIVE] = made.reviews, made.approvals, made.archive
    for route in (*reviews.routes, *approvals.routes):
        app.router.add_route(route.method, route.path, route.handler)
    async with TestClient(TestServer(app)) as opened:
        yield opened


def seconds(webm: bytes) -> float:
    """Length of the pictures in a file."""
    with av.open(io.BytesIO(webm), "r") as file:
        times = [frame.time for frame in file.decode(video=0)]
    assert times and times[-1] is not None
    return times[-1]


async def test_streams_chapters_and_voices_of_a_session(
    made: Cinema, reviewer: Login, teller: Login, client: Client
) -> None:
    session = await made.session(teller, 1)
    await made.part(session, [CUSTOMER, TELLER], [ACCEPTED, DECIDED])
    answer = await client.post(f"/api/reviews/{session}/viewings", json={"reason": "complaint"})
    assert answer.status == 201
    opened = await answer.json()
    assert [(one["label"], one["start_us"]) for one in opened["streams"]] == [
        ("customer", 300_000), ("teller", 100_000),
    ]  # fmt: skip
    assert (opened["live"], opened["erased"], opened["seal"]["verdict"]) == (None, None, "ok")
    assert [(one["kind"], one["media_time_us"], one["sealed"]) for one in opened["timeline"]] == [
        ("accepted", 0, True), ("decided", 3_000_000, True),
    ]  # fmt: skip
    levels = await (await client.get(f"/api/viewings/{opened['viewing']}/levels")).json()
    assert [(one["label"], one["from_us"], len(one["values"])) for one in levels] == [
        ("teller", 100_000, 20), ("customer", 300_000, 20),
    ]  # fmt: skip
    url = opened["streams"][0]["url"]
    whole = await client.get(url)
    body = await whole.read()
    assert whole.status == 200 and seconds(body) == pytest.approx(4, abs=0.1)
    piece = await client.get(url, headers={"Range": "bytes=1000-1999"})
    assert piece.status == 206 and await piece.read() == body[1000:2000]
    beyond = await client.get(url, headers={"Range": f"bytes={len(body)}-"})
    assert beyond.status == 416
    for wrong in (f"{url}9999", url.replace("/1?", "/7?"), url.replace("/1?", "/x?")):
        refused = await client.get(wrong)
        assert refused.status in (400, 404) and (await refused.json())["error"]["code"]


async def test_no_byte_without_an_entry_in_the_audit_log(
    made: Cinema, reviewer: Login, teller: Login, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await made.session(teller, 1)
    await made.part(session, [CUSTOMER])
    read: list[object] = []
    reader = made.archive.reader

    def watched(part: Any) -> Any:
        read.append(part)
        return reader(part)

    monkeypatch.setattr(made.archive, "reader", watched)

    async def broken(*_: object, **__: object) -> None:
        raise OSError("the audit log cannot be written")

    working = made.timeline.append
    monkeypatch.setattr(made.timeline, "append", broken)
    answer = await client.post(f"/api/reviews/{session}/viewings", json={"reason": "complaint"})
    assert answer.status == 500 and b"url" not in await answer.read()
    async with made.db.read() as c:
        assert (await c.execute(select(func.count()).select_from(t.viewings))).scalar_one() == 0
    assert read == [], "nothing was opened, let alone decrypted"
    # With the log back it opens; a viewing that was never entered there does not.
    monkeypatch.setattr(made.timeline, "append", working)
    opened = await made.reviews.open(session, reviewer, "complaint")
    url = opened["streams"][0]["url"]
    assert (await client.get(url)).status == 200
    assert (await client.get(url.replace(opened["viewing"], new_id()))).status == 404


async def test_parts_lie_one_after_another_on_one_time_line(
    made: Cinema, reviewer: Login, teller: Login
) -> None:
    session = await made.session(teller, 10)
    began = now_us() - 600_000_000
    await made.part(session, [CUSTOMER, TELLER], [ACCEPTED], started_at=began)
    # After a restart the clock began anew, 20 s after the first part had begun.
    event = (500_000, {"kind": "reconnected", "actor": "server", "data": {}})
    await made.part(session, [CUSTOMER], [event], started_at=began + 20_000_000)
    # The third one's clock went on with the session's.
    later = Reel("customer", SMALL, 90_000_000, 1, 2)
    await made.part(session, [later], [], started_at=began + 90_000_000)
    opened = await made.reviews.open(session, reviewer, "complaint")
    assert [(one["number"], one["start_us"]) for one in opened["streams"]] == [
        (1, 300_000), (1, 100_000), (2, 20_300_000), (3, 90_000_000),
    ]  # fmt: skip
    times = {one["kind"]: one["media_time_us"] for one in opened["timeline"]}
    assert times == {"accepted": 0, "reconnected": 20_500_000}
    voices = await made.reviews.replay.levels(session)
    assert [one["from_us"] for one in voices if one["label"] == "customer"] == [300_000, 20_300_000]


async def test_what_stands_in_the_seal_alone_is_shown_and_what_does_not_is_told(
    made: Cinema, reviewer: Login, teller: Login
) -> None:
    session = await made.session(teller, 1)
    await made.part(session, [CUSTOMER], [ACCEPTED, DECIDED])
    async with made.db.write() as tx:
        await made.timeline.append(
            tx, f"session:{session}", "rated", "customer:y", {"stars": 5}, None
        )
        # Somebody takes an entry out of the database.
        where = (t.timeline.c.chain == f"session:{session}") & (t.timeline.c.kind == "decided")
        await tx.execute(t.timeline.delete().where(where))
    opened = await made.reviews.open(session, reviewer, "complaint")
    assert [(one["kind"], one["seq"], one["sealed"]) for one in opened["timeline"]] == [
        ("accepted", 1, True), ("decided", None, True), ("rated", 3, False),
    ]  # fmt: skip


async def test_an_erased_session_says_when_and_by_which_certificate(
    made: Cinema, reviewer: Login, teller: Login, client: Client
) -> None:
    session = await made.session(teller, 1)
    await made.part(session, [CUSTOMER], [ACCEPTED])
    before = await made.reviews.open(session, reviewer, "complaint")
    erasure = new_id()
    async with made.db.write() as tx:
        await tx.execute(
            insert(t.erasures).values(
                id=erasure, at=1_700_000_000_000_000, reason="kept long enough",
                sessions=[session], parts=[], keks=[], certificate="{}",
            )
        )  # fmt: skip
        await tx.execute(
            update(t.parts)
            .where(t.parts.c.session_id == session)
            .values(erased_at=1_700_000_000_000_000, erasure_id=erasure, wrapped_dek=None)
        )
    opened = await made.reviews.open(session, reviewer, "complaint")
    assert opened["streams"] == [] and opened["timeline"][0]["sealed"] is False
    assert opened["erased"] == {
        "at": 1_700_000_000_000_000, "certificate": erasure, "reason": "kept long enough",
    }  # fmt: skip
    # A player that had it open gets nothing more: the key is not kept in memory either.
    answer = await client.get(before["streams"][0]["url"])
    assert answer.status >= 400 and (await answer.json())["error"]["code"]


class Running:
    """Says that the media of every session is there."""

    now_us = 4_500_000

    def media_time_us(self, session: str) -> int | None:
        return self.now_us

    def saw(self, *_: Any) -> None: ...


async def test_a_supervisor_looks_back_into_a_call_that_goes_on_and_no_other(
    made: Cinema, teller: Login
) -> None:
    supervisor = await made.staff("supervisor", Role.SUPERVISOR)
    over = await made.session(teller, 5)
    await made.part(over, [CUSTOMER])
    with pytest.raises(NotAllowed, match="viewing_running_only"):
        await made.reviews.open(over, supervisor, "who is it")
    session = await made.session(teller, 1, state="talking")
    name = await made.part(session, [CUSTOMER, TELLER], [ACCEPTED], sealed=False)
    made.sessions.witness = Running()
    opened = await made.reviews.open(session, supervisor, "long silence")
    live = opened["live"]
    assert live["now_us"] == 4_500_000 and 3_400_000 < live["edge_us"] <= 4_100_000
    assert opened["seal"]["verdict"] is None and opened["findings"] == []
    # Nothing behind the last signature is given out.
    row = (await made.archive.parts(session))[0]
    whole = made.archive.reader({**row, "sealed_at": 1})  # type: ignore[arg-type]
    stream = opened["streams"][0]
    view = await made.reviews.replay.view(session, row["id"], 1, int(stream["url"].split("=")[1]))
    assert view.start_us + view.duration_us <= live["edge_us"] + 200_000
    assert len(whole) > int(stream["url"].split("=")[1])
    with pytest.raises(NotFound):
        await made.reviews.replay.view(session, row["id"], 1, len(whole))
    # The call is over: for a minute still, so that the last seconds can be seen.
    assert await made.reviews.viewing(opened["viewing"], supervisor) == session
    async with made.db.write() as tx:
        ended = {"state": "closed", "ended_at": now_us() - 61_000_000}
        await tx.execute(update(t.sessions).where(t.sessions.c.id == session).values(**ended))
    with pytest.raises(NotFound, match="viewing_over"):
        await made.reviews.viewing(opened["viewing"], supervisor)
    assert name.endswith("001.vbr")


async def test_a_recording_is_followed_while_it_grows(
    made: Cinema, reviewer: Login, teller: Login
) -> None:
    session = await made.session(teller, 1, state="talking")
    recorder = await made.archive.open(session, lambda error: None)
    stream = recorder.stream("customer")
    replay, made.sessions.witness = made.reviews.replay, Running()
    lengths: list[int] = []
    records: list[int] = []
    for turn in range(3):
        for packet in SMALL:
            at = packet.time_us + turn * 2_000_000
            recorder.frame(stream, packet.kind, at, packet.data, packet.keyframe)
        signed_us, deadline = turn * 2_000_000 + 1_500_000, time.monotonic() + 20
        while (await replay.edge(session) or 0) < signed_us:
            assert time.monotonic() < deadline, "not signed"
            await asyncio.sleep(0.1)
        if turn == 0:
            opened = await made.reviews.open(session, reviewer, "complaint")
        now = await made.reviews.moving(session, opened["viewing"])
        (one,) = now["streams"]
        lengths.append(one["duration_us"])
        records.append(int(one["url"].partition("=")[2]))
    part = now["streams"][0]["part"]
    assert lengths == sorted(set(lengths)) and 5_000_000 < lengths[-1] <= 6_000_000
    earlier = await replay.view(session, part, stream, records[0])
    assert earlier.duration_us == lengths[0], "a player goes on reading what it began with"
    await made.archive.finish(session, recorder)
    sealed = await made.reviews.moving(session, opened["viewing"])
    (one,) = sealed["streams"]
    assert (sealed["live"], one["running"]) == (None, False)
    assert one["duration_us"] == pytest.approx(6_000_000, abs=100_000)
    assert (await replay.view(session, part, stream, records[0])).duration_us == lengths[0]
