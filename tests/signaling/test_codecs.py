"""Browsers that speak H264 only, with robots over UDP; and a viewer that cannot decode."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from signaling import forward
from signaling.room import EncodedFrame
from signaling.sample import sample
from tests.signaling.robot import Robot, stage, until


def only(robot: Robot, codec: str) -> None:
    """The robot's browser speaks no other video codec (written into the offer)."""
    original = robot.send

    async def send(kind: str, **fields: Any) -> None:
        if kind == "offer":
            other = "VP8" if codec == "H264" else "H264"
            fields["sdp"] = re.sub(f"(a=rtpmap:\\d+) {other}/", r"\1 none/", fields["sdp"])
        await original(kind, **fields)

    robot.send = send  # type: ignore[method-assign]


@pytest.mark.parametrize("path", ["fast", "parsed"])
async def test_two_that_speak_h264_only(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward._Chosen, "path", path)
    async with stage() as scene:
        frames: list[EncodedFrame] = []
        scene.room.subscribe("ann", frames.append)
        ann, bob = await scene.robot("ann", level=60), await scene.robot("bob", level=180)
        for robot in (ann, bob):
            only(robot, "H264")
            await robot.join()
        await asyncio.gather(ann.call(), bob.call())
        await ann.sees(180)
        await bob.sees(60)
        person = scene.room.participants["ann"].peer
        assert person is not None
        assert person.uplinks["video"].codec == "h264" and person.receivable == {"h264"}
        assert person.quality().width == 320 and person.quality().height == 240
        picture = await asyncio.wait_for(anext(sample(scene.room, "ann", fps=5)), 5)
        assert (picture.width, picture.height) == (320, 240)
        assert abs(sorted(picture.bgr[::997])[len(picture.bgr) // 997 // 2] - 60) < 25
        video = [one for one in frames if one.kind == "video"]
        assert {one.codec for one in video} == {"h264"}
        for one in video:
            kinds = [unit[0] & 31 for unit in one.data.split(b"\0\0\0\1")[1:]]
            assert (5 in kinds) == one.keyframe
            assert not one.keyframe or {7, 8} <= set(kinds)


async def test_who_cannot_decode_gets_nothing_and_says_so() -> None:
    async with stage() as scene:
        ann, bob = await scene.robot("ann", level=60), await scene.robot("bob", level=180)
        only(ann, "H264")
        only(bob, "VP8")
        for robot in (ann, bob):
            await robot.join()
        await asyncio.gather(ann.call(), bob.call())
        await until(lambda: "0" in ann.frames and "0" in bob.frames)
        peers = [scene.room.participants[name].peer for name in ("ann", "bob")]
        assert [peer.receivable for peer in peers if peer] == [{"h264"}, {"vp8"}]
        await asyncio.sleep(1)
        assert "1" not in ann.frames and "1" not in bob.frames
        assert peers[1] is not None
        (downlink,) = (pair["video"] for pair in peers[1].pairs)
        assert downlink.sent_octets == 0
