"""Frames to fragments."""

from __future__ import annotations

import io
import struct

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings import h264
from recordings.container import BODY_LIMIT
from recordings.matroska import (
    CUE_SIZE,
    FRAME_LIMIT,
    SEGMENT,
    TRACKS,
    VIDEO,
    Block,
    Codec,
    Fragment,
    Muxer,
    Picture,
    blocks,
    cues,
    elements,
    find,
    init_segment,
    vp8_size,
)

from . import media


def key(width: int = 320, height: int = 240, size: int = 200) -> bytes:
    """The start of a VP8 key frame."""
    return b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(size)


DELTA = b"\x11" + bytes(100)
SOUND = b"\xfc" + bytes(60)


def tracks_of(fragment: Fragment) -> list[tuple[int, int] | str]:
    assert fragment.init
    tracks = find(fragment.payload, SEGMENT, TRACKS)
    assert tracks is not None
    found: list[tuple[int, int] | str] = []
    for _, start, end in elements(tracks):
        picture = find(tracks[start:end], b"\xe0")
        if picture is None:
            found.append("sound")
        else:
            width, height = find(picture, b"\xb0"), find(picture, b"\xba")
            found.append((int.from_bytes(width or b""), int.from_bytes(height or b"")))
    return found


def frames(fragments: list[Fragment]) -> list[Block]:
    return [block for f in fragments if not f.init for block in blocks(f.payload)]


def test_size_of_a_key_frame() -> None:
    assert vp8_size(key(720, 1280)) == (720, 1280)
    assert vp8_size(DELTA) is None and vp8_size(b"") is None
    assert vp8_size(media.pictures(360, 640, 1)[0].data) == (360, 640)
    assert vp8_size(media.pictures(360, 640, 1)[1].data) is None


def test_the_first_key_frame_begins_the_stream_with_its_size() -> None:
    muxer = Muxer("customer")
    assert muxer.add("audio", 1_000_000, SOUND, False, 0) == []
    assert muxer.add("video", 1_005_000, DELTA, False, 0) == []
    assert muxer.left_out == 1
    init, sound = muxer.add("video", 1_010_000, key(720, 1280), True, 0)
    assert tracks_of(init) == [(720, 1280), "sound"]
    assert [block.time_ms for block in frames([sound])] == [1000]
    assert not sound.keyframe
    (picture,) = muxer.flush()
    assert picture.keyframe and picture.time_us == 1_010_000


def test_sound_alone_goes_on_after_two_seconds_and_pictures_may_follow() -> None:
    muxer = Muxer("teller")
    done: list[Fragment] = []
    for number in range(150):
        done += muxer.add("audio", number * 20_000, SOUND, False, number * 0.02)
    assert done[0].init and tracks_of(done[0]) == ["sound"]
    assert len(list(blocks(done[1].payload))) == 100
    done = muxer.add("video", 3_000_000, key(), True, 3)
    assert [fragment.init for fragment in done] == [False, True]
    assert tracks_of(done[1]) == [(320, 240), "sound"]


def test_what_waits_comes_out_by_the_clock_when_nothing_follows() -> None:
    muxer = Muxer("customer")
    muxer.add("audio", 0, SOUND, False, 10.0)
    assert muxer.due(11.9) == []
    assert [fragment.init for fragment in muxer.due(12.0)] == [True, False]
    muxer.add("audio", 20_000, SOUND, False, 20.0)
    assert muxer.due(20.1) == []
    assert len(muxer.due(20.25)) == 1
    assert muxer.due(30.0) == [] and muxer.flush() == []


def test_clusters_stay_short_and_small() -> None:
    muxer = Muxer("customer")
    done = muxer.add("video", 0, key(), True, 0)
    for number in range(1, 200):
        data = b"\x11" + bytes(30_000 if 50 < number < 60 else 900)
        done += muxer.add("video", number * 40_000, data, False, number / 25)
    for fragment in done[1:]:
        times = [block.time_ms for block in blocks(fragment.payload)]
        assert times[-1] - times[0] < 250
        assert len(fragment.payload) <= 65_536 + 1000
    assert len(frames(done + muxer.flush())) == 200


def test_a_jump_begins_a_new_cluster() -> None:
    """A reconnect: minutes pass, or the sound is far behind the pictures."""
    muxer = Muxer("customer")
    done = muxer.add("video", 0, key(), True, 0)
    done += muxer.add("audio", 300_000_000, SOUND, False, 1)
    done += muxer.add("video", 290_000_000, DELTA, False, 1)
    done += muxer.add("video", 301_000_000, key(640, 480), True, 1)
    done += muxer.flush()
    assert [f.init for f in done] == [True, False, False, False, False]
    times = {block.track: block.time_ms for block in frames(done)}
    assert times == {1: 301_000, 2: 300_000}


def test_after_a_gap_pictures_wait_for_a_key_frame() -> None:
    muxer = Muxer("customer")
    done = muxer.add("video", 0, key(), True, 0)
    muxer.gap()
    done += muxer.add("video", 40_000, DELTA, False, 0)
    done += muxer.add("audio", 50_000, SOUND, False, 0)
    done += muxer.add("video", 80_000, key(), True, 0)
    done += muxer.flush()
    assert [f.init for f in done].count(True) == 1
    assert [block.time_ms for block in frames(done)] == [0, 50, 80]


def test_frames_that_no_record_could_hold_are_left_out() -> None:
    muxer = Muxer("customer")
    muxer.add("video", 0, key(size=FRAME_LIMIT), True, 0)
    muxer.add("audio", 0, bytes(FRAME_LIMIT + 1), False, 0)
    muxer.add("audio", 0, b"", False, 0)
    assert muxer.left_out == 3 and muxer.flush() == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["audio", "video", "key"]),
            st.integers(0, 2**40) | st.integers(0, 3_000_000),
            st.integers(0, 200) | st.sampled_from([70_000, 999_000, 1_100_000]),
        ),
        max_size=40,
    )
)
def test_whatever_comes_fits_and_grows(sequence: list[tuple[str, int, int]]) -> None:
    muxer = Muxer("customer")
    done: list[Fragment] = []
    for number, (kind, time_us, size) in enumerate(sequence):
        if kind == "audio":
            done += muxer.add("audio", time_us, bytes(size), False, number / 50)
        else:
            data = key(size=size) if kind == "key" else b"\x11" + bytes(size)
            done += muxer.add("video", time_us, data, kind == "key", number / 50)
    done += muxer.flush()
    last = {1: -1, 2: -1}
    for fragment in done:
        assert len(fragment.payload) <= BODY_LIMIT - 16
        for block in [] if fragment.init else blocks(fragment.payload):
            assert block.time_ms > last[block.track]
            last[block.track] = block.time_ms
    assert len(frames(done)) + muxer.left_out == len(sequence)
    starts = [fragment.time_us for fragment in done if not fragment.init]
    assert starts == sorted(starts)


def test_cues_have_the_size_that_is_told() -> None:
    assert len(cues([(1, 2)] * 3, VIDEO)) - len(cues([], VIDEO)) == 3 * CUE_SIZE


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_reading_rubbish_ends(data: bytes) -> None:
    list(elements(data))
    find(data, SEGMENT, TRACKS)


def test_late_sound_keeps_its_time() -> None:
    """It waited for a lost packet, while pictures went on."""
    muxer = Muxer("customer")
    done = muxer.add("video", 1_000_000, key(), True, 0)
    for number in range(1, 12):
        done += muxer.add("video", 1_000_000 + number * 40_000, DELTA, False, number / 25)
    for number in range(8):
        done += muxer.add("audio", 1_020_000 + number * 20_000, SOUND, False, 0.5)
    done += muxer.add("audio", 900_000, SOUND, False, 0.5)
    done += muxer.flush()
    sounds = [block.time_ms for block in frames(done) if block.track == 2]
    assert sounds == [*range(1020, 1180, 20), 1161]
    starts = [fragment.time_us for fragment in done if not fragment.init]
    assert starts == sorted(starts)


@pytest.mark.parametrize("size", [(360, 640), (640, 360), (322, 182)])
def test_h264_begins_with_its_parameters(size: tuple[int, int]) -> None:
    first = media.pictures(*size, 1, codec="h264")[0].data
    sets = h264.parameter_sets(first)
    assert sets is not None and h264.size(sets[0]) == size
    muxer = Muxer("customer")
    assert muxer.add("video", 0, first, True, 0, "h264") == [muxer_init(size, sets)]
    assert muxer.add("video", 40_000, key(), True, 0) == [] and muxer.left_out == 1


def muxer_init(size: tuple[int, int], sets: tuple[bytes, bytes]) -> Fragment:
    picture = Picture(b"V_MPEG4/ISO/AVC", h264.configuration(*sets), *size)
    return Fragment(0, init_segment("customer", picture), init=True)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40).map(lambda unit: unit.rstrip(b"\0"))))
def test_units_come_out_with_their_lengths(units: list[bytes]) -> None:
    units = [unit for unit in units if unit and b"\0\0\1" not in unit]
    data = b"".join(b"\0\0\0\1" + unit for unit in units)
    assert list(h264.units(data)) == units
    packed = h264.prefixed(data)
    found = []
    while packed:
        end = 4 + int.from_bytes(packed[:4])
        found.append(packed[4:end])
        packed = packed[end:]
    assert found == units


@settings(deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_rubbish_is_no_h264(data: bytes, keyframe: bool) -> None:
    h264.size(b"\x67" + data)
    muxer = Muxer("customer")
    done = muxer.add("video", 0, b"\0\0\1\x67" + data, keyframe, 0, "h264")
    assert len(done) + muxer.left_out == 1


@pytest.mark.parametrize("codec", ["vp8", "h264"])
@pytest.mark.parametrize("size", [(360, 640), (640, 360)])
def test_a_live_file_is_a_file(size: tuple[int, int], codec: Codec) -> None:
    muxer = Muxer("customer")
    done: list[Fragment] = []
    for p in media.call(2, width=size[0], height=size[1], start_us=5_000_000, codec=codec):
        done += muxer.add(p.kind, p.time_us, p.data, p.keyframe, p.time_us / 1e6, p.codec)
    done += muxer.flush()
    whole = b"".join(fragment.payload for fragment in done)
    with av.open(io.BytesIO(whole), "r") as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == size
        assert file.streams.audio[0].rate == 48_000
        assert sum(1 for _ in file.decode(video=0)) == 50
    with av.open(io.BytesIO(whole), "r") as file:
        decoded = sum(frame.samples for frame in file.decode(audio=0))
        assert decoded == pytest.approx(96_000, abs=2000)
