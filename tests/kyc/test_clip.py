"""Video files are read within bounds, upright, or refused with a reason."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from kyc import clip
from kyc.check import BadInput
from kyc.clip import Clip


def made(
    path: Path, *, pictures: int = 12, size: tuple[int, int] = (96, 64), codec: str = "libx264"
) -> Path:
    """A clip whose left half is white, 10 pictures a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        picture[:, : size[0] // 2] = 255
        for _ in range(pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        if pictures:
            container.mux(stream.encode(None))
        else:
            container.start_encoding()
    return path


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
    return path


def turned(path: Path) -> Path:
    """The same bytes, the track's display matrix saying: a quarter clockwise."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version, flags and times; then nine numbers 16.16
    quarter = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[place : place + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in quarter)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")]
)
def test_a_clip_is_read(tmp_path: Path, name: str, codec: str) -> None:
    opened = Clip.open(made(tmp_path / name, codec=codec))
    assert (opened.width, opened.height, opened.pictures) == (96, 64, 12)
    assert opened.seconds == pytest.approx(1.2, abs=0.11)
    frames = list(opened.frames())
    assert [frame.media_time_us for frame in frames] == [100_000 * n for n in range(12)]
    assert frames[3].bgr[:, :40].mean() > 230 and frames[3].bgr[:, 56:].mean() < 25


def test_fewer_pictures_a_second_may_be_wanted(tmp_path: Path) -> None:
    opened = Clip.open(made(tmp_path / "a.mp4"))
    assert [frame.media_time_us for frame in opened.frames(5)] == [200_000 * n for n in range(6)]
    assert len(list(opened.frames(60))) == 12


def test_a_turned_clip_comes_upright(tmp_path: Path) -> None:
    opened = Clip.open(turned(made(tmp_path / "a.mp4")))
    assert (opened.width, opened.height) == (64, 96)
    picture = next(opened.frames()).bgr
    assert picture[:40].mean() > 230  # the left has become the top
    assert picture[56:].mean() < 25


def bad(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    whole = made(tmp_path / "whole.mp4", pictures=40).read_bytes()
    matroska = made(tmp_path / "whole.webm", pictures=40, codec="libvpx").read_bytes()
    contents = {
        "text.mp4": (b"not a video at all\n" * 50, "not_a_video"),
        "empty.mp4": (b"", "not_a_video"),
        "list.mp4": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "not_a_video"),
        "noise.mp4": (b"\0\0\0\x20ftypisom" + bytes(range(256)) * 40, "not_a_video"),
        "noise.webm": (matroska[:40] + bytes(range(256)) * 40, "not_a_video"),
        "cut.mp4": (whole[: len(whole) // 2], "not_a_video"),  # its index is at the end
        "cut.webm": (matroska[:300], "not_a_video"),
    }
    for name, (data, code) in contents.items():
        (tmp_path / name).write_bytes(data)
        yield tmp_path / name, code
    yield sound(tmp_path / "sound.mkv"), "no_pictures"
    yield made(tmp_path / "none.mkv", pictures=0), "not_a_video"
    yield made(tmp_path / "large.mp4", pictures=1, size=(2600, 64)), "video_too_large"
    yield made(tmp_path / "small.mp4", size=(16, 16)), "picture_too_small"


def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path) -> None:
    said = {}
    for path, code in bad(tmp_path):
        with pytest.raises(BadInput) as refused:
            Clip.open(path)
        said[path.name] = (refused.value.code, code)
        assert "\n" not in refused.value.diagnostics()
    assert {name: codes for name, codes in said.items() if codes[0] != codes[1]} == {}


def test_a_clip_cut_off_behind_its_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    target: Any = io.BytesIO(made(tmp_path / "a.mp4", pictures=40).read_bytes())
    source: Any = av.open(target)
    with source, av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[:-60])
    with pytest.raises(BadInput) as refused:
        Clip.open(path)
    assert refused.value.code == "video_truncated"


def test_long_clips_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "a.mp4")
    monkeypatch.setattr(clip, "MAX_SECONDS", 1.0)
    with pytest.raises(BadInput) as refused:
        Clip.open(path)
    assert refused.value.code == "video_too_long"
    monkeypatch.setattr(clip, "MAX_BYTES", 100)
    with pytest.raises(BadInput) as refused:
        Clip.open(path)
    assert refused.value.code == "video_too_large"


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Clip.open(tmp_path / "nothing.mp4")
