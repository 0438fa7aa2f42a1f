"""The robots' media: what is encoded decodes to what was shown, at the pace of a camera."""

import asyncio
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from PIL import Image

from video_bank.probe.camera import (
    FPS,
    HEIGHT,
    WIDTH,
    Camera,
    Clip,
    Microphone,
    Viewer,
    still_clip,
    teller_clip,
    video_clip,
)


def decoded(frames: list[bytes]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("vp8", "r")
    assert isinstance(decoder, VideoCodecContext)
    return [picture for data in frames for picture in decoder.decode(Packet(data))]


def is_key_frame(data: bytes) -> bool:
    return not data[0] & 1


def picture_file(path: Path, colour: tuple[int, int, int], size: tuple[int, int]) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_a_still_is_letterboxed(tmp_path: Path) -> None:
    clip = still_clip(picture_file(tmp_path / "tall.png", (250, 20, 20), (300, 600)))
    picture = decoded(clip.frames)[-1].to_ndarray(format="rgb24")
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture[HEIGHT // 2, WIDTH // 2, 0] > 200, "the picture is in the middle"
    assert picture[HEIGHT // 2, 40].max() < 40, "black beside it"


def test_a_clip_begins_with_a_key_frame_and_has_one_each_second() -> None:
    frames = teller_clip().frames
    assert [n for n, data in enumerate(frames) if is_key_frame(data)] == [0, FPS]


def test_a_video_is_resampled_to_the_rate(tmp_path: Path) -> None:
    path = tmp_path / "ten.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(10):
            grey = np.full((240, 320, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    assert abs(len(video_clip(path).frames) - 0.9 * FPS) <= 1


def test_an_empty_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture"):
        Clip([], 64, 48, 100_000)


async def test_the_camera_changes_picture_at_a_key_frame(tmp_path: Path) -> None:
    red = still_clip(picture_file(tmp_path / "r.png", (250, 0, 0), (320, 180)))
    blue = still_clip(picture_file(tmp_path / "b.png", (0, 0, 250), (320, 180)))
    camera = Camera({"face": red, "card_front": blue}, "face")
    sent = [bytes(await camera.recv()) for _ in range(3)]
    camera.show("card_front")
    sent += [bytes(await camera.recv()) for _ in range(2)]
    assert is_key_frame(sent[3])
    colours = [p.to_ndarray(format="rgb24")[HEIGHT // 2, WIDTH // 2] for p in decoded(sent)]
    assert colours[2][0] > 200 and colours[3][2] > 200


async def test_tracks_keep_the_pace() -> None:
    camera, microphone = Camera({"pattern": teller_clip()}, "pattern"), Microphone()
    began_s = time.monotonic()
    for _ in range(10):
        await asyncio.gather(camera.recv(), microphone.recv(), microphone.recv())
    assert 0.3 < time.monotonic() - began_s < 0.8


async def test_an_aiortc_viewer_sees_it() -> None:
    """What is packed by one aiortc arrives and decodes in another."""
    sender, receiver = (RTCPeerConnection(RTCConfiguration([])) for _ in range(2))
    viewer = Viewer()
    watching: list[asyncio.Task[None]] = []
    receiver.on("track", lambda track: watching.append(asyncio.create_task(viewer.watch(track))))
    sender.addTrack(Camera({"pattern": teller_clip()}, "pattern"))
    try:
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        await sender.setRemoteDescription(receiver.localDescription)
        async with asyncio.timeout(20):
            await viewer.seen.wait()
            await asyncio.sleep(1.5)
    finally:
        await asyncio.gather(sender.close(), receiver.close())
        await asyncio.gather(*watching)
    assert (viewer.width, viewer.height) == (640, 360)
    assert 18 < viewer.fps < 32
