"""Two robot browsers over loopback: real ICE, DTLS, SRTP, VP8 and Opus."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import threading
import time
from functools import partial

import pytest
from aiortc import RTCPeerConnection

from signaling import forward, peer
from signaling.room import EncodedFrame, Room
from signaling.sample import sample
from signaling.stream import Downlink, Uplink
from tests.signaling.robot import Robot, Stage, shows, stage, until


async def pair(scene: Stage) -> tuple[Robot, Robot]:
    """Ann (dark) and Bob (bright) in a call, each seeing the other."""
    ann, bob = await scene.robot("ann", level=60), await scene.robot("bob", level=180)
    await ann.join()
    await bob.join()
    await asyncio.gather(ann.call(), bob.call())
    await ann.sees(180)
    await bob.sees(60)
    return ann, bob


@pytest.mark.parametrize("path", ["fast", "parsed"])
async def test_two_see_and_hear_each_other(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward._Chosen, "path", path)
    started: list[tuple[str, str]] = []
    room = Room("room", on_media=lambda who, kind: started.append((who, kind)))
    async with stage(room) as scene:
        ann, bob = await pair(scene)
        await until(lambda: len(ann.frames.get("0", [])) > 20 and len(bob.frames["0"]) > 20)
        assert sorted(started) == [
            (who, kind) for who in ("ann", "bob") for kind in ("audio", "video")
        ]
        view = await ann.expect(
            "participants", lambda m: all(p["connected"] for p in m["participants"])
        )
        bob_view = next(p for p in view["participants"] if p["id"] == "bob")
        assert (bob_view["audio_mid"], bob_view["video_mid"]) == ("0", "1")
        decoders = [one for one in threading.enumerate() if one.name.endswith("-decoder")]
        assert len(decoders) == 4, "the robots' own; the server decodes nothing"
        quality = await ann.expect("quality", lambda m: m["participant"] == "bob")
        assert quality["level"] >= 1 and quality["kbps"] > 5


async def test_a_recorder_gets_everything_in_order() -> None:
    async with stage() as scene:
        frames: list[EncodedFrame] = []
        end = scene.room.subscribe("ann", frames.append)
        await pair(scene)
        await asyncio.sleep(2.5)
        end()
        count = len(frames)
        await asyncio.sleep(0.3)
        assert len(frames) == count, "ended"
        video = [one for one in frames if one.kind == "video"]
        audio = [one for one in frames if one.kind == "audio"]
        assert video[0].keyframe and len(video) > 25 and len(audio) > 90
        assert {one.codec for one in video} == {"vp8"} and {one.codec for one in audio} == {"opus"}
        for stream in (video, audio):
            times = [one.time_us for one in stream]
            assert times == sorted(set(times))
        steps = [b.time_us - a.time_us for a, b in zip(audio[50:], audio[51:], strict=False)]
        assert 17_000 < sorted(steps)[len(steps) // 2] < 23_000
        assert abs(video[-1].time_us - audio[-1].time_us) < 400_000
        assert abs(scene.room.time_us - video[-1].time_us) < 1_500_000


async def test_samples_are_pictures_of_the_moment() -> None:
    async with stage() as scene:
        await pair(scene)
        pictures = []
        began = time.monotonic()
        async for picture in sample(scene.room, "ann", fps=5):
            pictures.append(picture)
            assert (picture.width, picture.height) == (320, 240)
            assert len(picture.bgr) == 320 * 240 * 3
            assert abs(sorted(picture.bgr[::997])[len(picture.bgr) // 997 // 2] - 60) < 25
            assert -300_000 < scene.room.time_us - picture.time_us < 1_500_000
            if len(pictures) == 6:
                break
        assert time.monotonic() - began > 0.9, "five a second"
        times = [one.time_us for one in pictures]
        assert times == sorted(set(times))
        person = scene.room.participants["ann"]
        await until(lambda: person.peer and not person.peer.uplinks["video"].tapped)
        await until(lambda: not any(t.name.startswith("sample") for t in threading.enumerate()))


async def test_a_new_connection_takes_the_place_of_the_old() -> None:
    changes: list[tuple[str, bool]] = []
    room = Room("room", on_connection=lambda who, up: changes.append((who, up)))
    async with stage(room) as scene:
        frames: list[EncodedFrame] = []
        scene.room.subscribe("bob", frames.append)
        ann, bob = await pair(scene)
        first = scene.room.participants["bob"].peer
        before = len(frames)
        bob.level = 120
        came = time.monotonic()
        await bob.call()
        assert await ann.sees(120) - came < 4
        assert scene.room.participants["bob"].peer is not first
        assert first is not None and first.closed
        await until(lambda: any(one.keyframe and one.kind == "video" for one in frames[before:]))
        times = [one.time_us for one in frames if one.kind == "video"]
        assert times == sorted(set(times)), "one line of time over both connections"
        await bob.sees(60)


async def test_a_reloaded_page_comes_back_into_its_place() -> None:
    async with stage() as scene:
        ann, bob = await pair(scene)
        assert bob.connection is not None
        await bob.connection.close()
        await bob.socket.close()
        gone = await ann.expect(
            "participants", lambda m: any(not p["connected"] for p in m["participants"])
        )
        assert len(gone["participants"]) == 2, "still a participant"
        again = await scene.robot("bob", level=120)
        await again.join()
        await again.call()
        await ann.sees(120)
        await again.sees(60)


async def test_a_second_page_of_the_same_person_ends_the_first() -> None:
    async with stage() as scene:
        first = await scene.robot("ann")
        await first.join()
        second = await scene.robot("ann")
        await second.join()
        assert (await first.expect("bye"))["reason"] == "elsewhere"
        await until(lambda: first.socket.closed)
        assert list(scene.room.participants) == ["ann"]
        await until(lambda: scene.gate.gone == ["ann"])
        await second.send("ping", t=5)
        assert (await second.expect("pong"))["t"] == 5


async def test_hold_stops_what_others_get_and_not_the_recording() -> None:
    async with stage() as scene:
        frames: list[EncodedFrame] = []
        scene.room.subscribe("ann", frames.append)
        ann, bob = await pair(scene)
        await until(lambda: "0" in ann.frames and "0" in bob.frames)
        scene.room.hold(frozenset({"ann"}))
        await asyncio.sleep(0.5)
        counts = [len(robot.frames[mid]) for robot in (ann, bob) for mid in ("0", "1")]
        recorded = len(frames)
        await asyncio.sleep(1)
        assert counts == [len(robot.frames[mid]) for robot in (ann, bob) for mid in ("0", "1")]
        assert len(frames) > recorded + 40
        scene.room.hold(frozenset())
        since = len(bob.frames["1"])
        await until(
            lambda: len(bob.frames["1"]) > since + 5 and len(ann.frames["1"]) > counts[1] + 5
        )
        assert shows(bob.frames["1"][-1][1], 60)


async def test_the_server_mutes_one_kind_of_one_person() -> None:
    async with stage() as scene:
        ann, bob = await pair(scene)
        await until(lambda: "0" in ann.frames and "0" in bob.frames)
        scene.room.mute("ann", "audio", True)
        view = await bob.expect("participants", lambda m: not m["participants"][0]["microphone"])
        assert view["participants"][0]["camera"] and view["participants"][1]["microphone"]
        await asyncio.sleep(0.5)
        heard, seen, other = len(bob.frames["0"]), len(bob.frames["1"]), len(ann.frames["0"])
        await asyncio.sleep(0.7)
        assert len(bob.frames["0"]) == heard
        assert len(bob.frames["1"]) > seen and len(ann.frames["0"]) > other
        scene.room.mute("ann", "audio", False)
        await until(lambda: len(bob.frames["0"]) > heard + 5)


async def test_three_see_each_other() -> None:
    async with stage() as scene:
        levels = {"ann": 60, "bob": 120, "eve": 180}
        robots = {name: await scene.robot(name, level=level) for name, level in levels.items()}
        for robot in robots.values():
            await robot.join()
        await asyncio.gather(*(robot.call(extra_pairs=1) for robot in robots.values()))
        for name, robot in robots.items():
            view = scene.room.view(name)
            mids = {str(person["id"]): str(person["video_mid"]) for person in view}
            assert mids.pop(name) == "None"
            assert sorted(mids.values()) == ["1", "3"]
            for other, mid in mids.items():
                await robot.sees(levels[other], mid, wait=15)
        await robots["eve"].send("leave")
        await robots["ann"].expect("participants", lambda m: len(m["participants"]) == 2)


async def test_without_a_camera_one_still_sees() -> None:
    async with stage() as scene:
        ann, bob = await scene.robot("ann"), await scene.robot("bob", level=180)
        await ann.join()
        await bob.join()
        await asyncio.gather(ann.call(sends=False), bob.call())
        await ann.sees(180)


async def test_silence_is_told_and_its_end() -> None:
    told: list[tuple[str, object]] = []
    room = Room(
        "room",
        on_silence=lambda who, seconds: told.append((who, seconds)),
        on_resumed=lambda who: told.append((who, None)),
    )
    async with stage(room) as scene:
        ann, bob = await pair(scene)
        assert ann.connection is not None
        senders = ann.connection.getSenders()
        tracks = [sender.track for sender in senders]
        for sender in senders:
            sender.replaceTrack(None)
        silence = await bob.expect("silence", wait=7)
        assert silence["participant"] == "ann" and 3 <= silence["seconds"] <= 5
        for sender, track in zip(senders, tracks, strict=True):
            sender.replaceTrack(track)
        assert (await bob.expect("resumed"))["participant"] == "ann"
        assert [who for who, _ in told] == ["ann", "ann"]


async def test_a_lossy_line_loses_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each twentieth datagram is lost on the way in; the recording still gets the frames."""
    dice = random.Random(7)
    async with stage() as scene:
        ann, bob = await pair(scene)
        assert ann.connection is not None
        transport = ann.connection.getTransceivers()[0].sender.transport.transport
        ice = transport._connection._nominated[1].protocol
        deliver = ice.send_data

        async def lossy(data: bytes, address: tuple[str, int]) -> None:
            if dice.random() > 0.05:
                await deliver(data, address)

        monkeypatch.setattr(ice, "send_data", lossy)
        frames: list[EncodedFrame] = []
        scene.room.subscribe("ann", frames.append)
        await asyncio.sleep(4)
        video = [one.time_us for one in frames if one.kind == "video"]
        gaps = [b - a for a, b in itertools.pairwise(video)]
        assert len(video) > 40 and max(gaps) < 1_000_000
        seen = [at for at, _ in bob.frames["1"] if at > time.monotonic() - 3]
        assert max(b - a for a, b in itertools.pairwise(seen)) < 1.5


async def test_nothing_is_left_after_calls() -> None:
    for _ in range(3):
        async with stage() as scene:
            await pair(scene)
        del scene
    await asyncio.sleep(0.1)
    gc.collect()
    ours = (peer.Peer, Uplink, Downlink, forward.ForwardingConnection, Room)
    assert [one for one in gc.get_objects() if isinstance(one, ours)] == []


async def test_everything_is_closed_at_the_end() -> None:
    async with stage() as scene:
        ann, bob = await pair(scene)
        assert len(peer._open) == 2
        await peer.close_all()
        assert len(peer._open) == 0
        await until(lambda: not any(p.connected for p in scene.room.participants.values()))
        for robot in (ann, bob):
            assert robot.connection is not None
            await until(partial(_is_closed, robot.connection))
    tasks = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith("room") for name in tasks)


async def test_the_way_is_chosen_by_what_the_libraries_have(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert forward.missing_names() == []
    monkeypatch.setattr(forward._Chosen, "path", None)
    assert forward.check() == "fast"
    monkeypatch.setattr(forward._Chosen, "path", None)
    monkeypatch.setattr(forward, "missing_names", lambda: ["fast ice._nominated"])
    assert forward.check() == "parsed"
    assert "_nominated" in caplog.text
    monkeypatch.setattr(forward._Chosen, "path", None)
    monkeypatch.setattr(forward, "missing_names", lambda: ["dtls._send_rtp"])
    with pytest.raises(forward.Unsupported):
        forward.check()


def _is_closed(connection: RTCPeerConnection) -> bool:
    return bool(connection.connectionState == "closed")
