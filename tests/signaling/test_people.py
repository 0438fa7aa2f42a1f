"""More than two in a room: six people, a supervisor, hold, shared screens, another teller."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from signaling import forward
from signaling.room import EncodedFrame, Room
from signaling.stream import Uplink
from tests.signaling.robot import Robot, Stage, shows, stage, until

WHISPER = 1000.0


async def enter(scene: Stage, levels: dict[str, int], **tones: float) -> dict[str, Robot]:
    """Robots by name, each with a brightness and perhaps a tone, all in the room and connected."""
    robots = {
        name: await scene.robot(name, level=level, hertz=tones.get(name, 450))
        for name, level in levels.items()
    }
    for robot in robots.values():
        await robot.join()
    pairs = max(1, len(robots) - 2)
    calls = (robot.call(extra_pairs=pairs, screen=True) for robot in robots.values())
    await asyncio.gather(*calls)
    return robots


async def test_six_see_each_other() -> None:
    levels = {f"person{n}": 25 + 40 * n for n in range(6)}
    async with stage() as scene:
        robots = await enter(scene, levels)
        for viewer, source in itertools.permutations(levels, 2):
            await robots[viewer].sees(levels[source], scene.mid(viewer, source), wait=15)
        taken = [scene.mid("person0", other) for other in levels if other != "person0"]
        assert len(set(taken)) == 5


async def test_a_supervisor_listens_whispers_and_joins() -> None:
    async with stage() as scene:
        people = await enter(scene, {"cara": 60, "tom": 180}, cara=450, tom=600)
        cara, tom = people["cara"], people["tom"]
        confidants = frozenset({"tom"})
        scene.gate.presence["sue"] = {"presence": "listening", "confidants": confidants}
        sue = await scene.robot("sue", level=120, hertz=WHISPER)
        cara.messages.clear()
        await sue.join()
        await sue.call(extra_pairs=2)
        await asyncio.gather(
            sue.sees(60, scene.mid("sue", "cara")), sue.sees(180, scene.mid("sue", "tom"))
        )
        seen = await tom.expect("participants", lambda m: len(m["participants"]) == 3)
        assert seen["participants"][2]["presence"] == "listening"
        assert scene.mid("tom", "sue", "audio") == "", "nothing to hear yet"
        assert [one["id"] for one in scene.room.view("cara")] == ["cara", "tom"]

        scene.room.appear("sue", "whispering")
        ear = scene.mid("tom", "sue", "audio")
        await until(lambda: abs((tom.hears(ear) or 0) - WHISPER) < 20)
        assert scene.mid("cara", "sue", "audio") == ""
        assert abs((cara.hears("0") or 0) - 600) < 20, "the teller, and no whisper"
        assert "2" not in cara.frames, "nor anywhere else"
        assert not any(
            shows(frame, 120) for _, frame in tom.frames.get(scene.mid("tom", "sue"), [])
        )
        assert "sue" not in str(cara.messages), "no list, silence or quality gives her away"

        scene.room.appear("sue", "joined")
        await cara.expect("participants", lambda m: len(m["participants"]) == 3)
        await cara.sees(120, scene.mid("cara", "sue"))
        await until(
            lambda: abs((cara.hears(scene.mid("cara", "sue", "audio")) or 0) - WHISPER) < 20
        )

        scene.room.appear("sue", "listening", announced=True)
        told = await cara.expect(
            "participants", lambda m: m["participants"][2]["presence"] == "listening"
        )
        assert told["participants"][2]["audio_mid"] is None


async def test_others_confer_while_one_is_held() -> None:
    async with stage() as scene:
        people = await enter(scene, {"cara": 60, "tom": 120, "eve": 180})
        for viewer, source in itertools.permutations(people, 2):
            await people[viewer].sees(people[source].level, scene.mid(viewer, source))
        scene.room.hold(frozenset({"cara"}))
        await asyncio.sleep(0.4)
        held = {mid: len(frames) for mid, frames in people["cara"].frames.items()}
        of_cara = scene.mid("tom", "cara")
        count = len(people["tom"].frames[of_cara])
        conferring = people["tom"].frames[scene.mid("tom", "eve")]
        before = len(conferring)
        await until(lambda: len(conferring) > before + 10)
        assert held == {mid: len(frames) for mid, frames in people["cara"].frames.items()}
        assert len(people["tom"].frames[of_cara]) == count
        scene.room.hold(frozenset())
        await until(lambda: len(people["tom"].frames[of_cara]) > count)


@pytest.mark.parametrize("path", ["fast", "parsed"])
async def test_one_screen_at_a_time(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward._Chosen, "path", path)
    told: list[tuple[str, bool]] = []
    room = Room("room", on_screen=lambda who, on: told.append((who, on)))
    async with stage(room) as scene:
        frames: list[EncodedFrame] = []
        room.subscribe("tom", frames.append)
        people = await enter(scene, {"cara": 60, "tom": 120})
        cara, tom = people["cara"], people["tom"]
        await tom.share(200)
        view = await cara.expect("participants", lambda m: m["participants"][1]["screen"])
        mid = view["participants"][1]["screen_mid"]
        assert cara.screen is not None and mid == cara.screen.mid
        await cara.sees(200, mid)
        since = len(cara.frames["1"])
        await until(lambda: len(cara.frames["1"]) > since + 3)
        await cara.share(90)
        assert (await cara.expect("error"))["code"] == "screen_taken"
        await until(lambda: any(one.screen and one.keyframe for one in frames))
        times = [one.time_us for one in frames if one.screen]
        assert times == sorted(set(times))
        await tom.share(None)
        await cara.expect("participants", lambda m: not m["participants"][1]["screen"])
        await cara.share(90)
        assert tom.screen is not None
        await tom.sees(90, str(tom.screen.mid))
        await cara.send("leave")
        await tom.expect("participants", lambda m: len(m["participants"]) == 1)
        assert told == [("tom", True), ("tom", False), ("cara", True), ("cara", False)]


async def test_a_share_ends_with_its_page() -> None:
    told: list[tuple[str, bool]] = []
    room = Room("room", on_screen=lambda who, on: told.append((who, on)))
    async with stage(room) as scene:
        first = await scene.robot("tom")
        await first.join()
        await first.send("screen", on=True)
        await until(lambda: told == [("tom", True)])
        await first.join()
        assert room.sharer == "tom", "the same page came back"
        second = await scene.robot("tom")
        await second.join()
        assert told == [("tom", True), ("tom", False)]
        for on in [True, False] * 8:
            await second.send("screen", on=on)
        await second.expect("error", lambda m: m["code"] == "too_many_messages")
        await second.send("screen", on=False)
        await until(lambda: room.sharer is None)
        assert len(told) <= 14
        third = await scene.robot("tom")
        await third.join()
        room.appear("tom", "listening")
        await third.send("screen", on=True)
        assert (await third.expect("error"))["code"] == "not_joined"
        room.appear("tom", "joined")
        room.share("tom", True)
        room._watch_share(time.monotonic() + 9)
        assert room.sharer == "tom"
        room._watch_share(time.monotonic() + 11)
        assert room.sharer is None, "no connection for too long"


async def test_a_transfer_is_one_stream_for_the_customer() -> None:
    async with stage() as scene:
        people = await enter(scene, {"cara": 60, "tom": 120})
        cara = people["cara"]
        await cara.sees(120)
        connection, peer = cara.connection, scene.room.participants["cara"].peer
        await people["tom"].send("leave")
        await cara.expect("participants", lambda m: len(m["participants"]) == 1)
        tina = await scene.robot("tina", level=200)
        await tina.join()
        await tina.call(extra_pairs=1, screen=True)
        up = time.monotonic()
        seen = await cara.sees(200)
        await tina.sees(60)
        assert scene.mid("cara", "tina") == "1", "in the place that became free"
        assert seen - up < 1.5
        count = len(cara.frames["1"])
        await until(lambda: len(cara.frames["1"]) > count + 10)
        times = [at for at, _ in cara.frames["1"] if at >= seen]
        assert max(b - a for a, b in itertools.pairwise(times)) < 1.5
        assert cara.connection is connection and cara.calls == 1
        assert scene.room.participants["cara"].peer is peer
        shown = [frame.pts for _, frame in cara.frames["1"]]
        assert shown == sorted(shown), "one line of time over both tellers"


async def test_the_room_changes_its_codec_when_all_others_can() -> None:
    async with stage() as scene:
        ann, bob = await scene.robot("ann", level=60), await scene.robot("bob", level=180)
        await ann.join()
        await ann.call()
        assert scene.room.participants["ann"].peer is not None
        await bob.join()
        await bob.call(video=["H264"])
        assert (await ann.expect("renew"))["reason"] == "codec"
        await ann.call()
        await asyncio.gather(ann.sees(180), bob.sees(60))
        peers = [person.peer for person in scene.room.participants.values()]
        assert [peer.uplinks["video"].codec for peer in peers if peer] == ["h264", "h264"]
        old = await scene.robot("old", level=120)
        await old.join()
        await old.call(extra_pairs=1, video=["VP8"])
        await old.expect("participants", lambda m: all(p["connected"] for p in m["participants"]))
        assert scene.room.video_codec == "h264", "one who cannot does not take it from two who can"
        assert not any(m["type"] == "renew" for m in [*ann.messages, *bob.messages])


async def test_a_page_is_asked_for_its_small_layer_while_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = False
    monkeypatch.setattr(Uplink, "low_wanted", property(lambda _: wanted))
    async with stage() as scene:
        ann = await scene.robot("ann")
        await ann.join()
        await ann.call()
        wanted = True
        assert (await ann.expect("layers"))["low"] is True
        wanted = False
        assert (await ann.expect("layers"))["low"] is False
