"""H.264 packets: key frames, access units in any packing, sizes."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import h264
from signaling.frames import FRAME_BYTES, Frame
from signaling.rtp import Packet
from tests.signaling.test_rtp import packet

SPS = bytes.fromhex("6742c01fda014016ec0440000003004000000f03c60c9200")
PPS = bytes.fromhex("68ce3c80")
IDR = b"\x65" + b"idr" * 10
SLICE = b"\x41" + b"slice" * 5


def single(unit: bytes) -> list[bytes]:
    return [unit]


def fragments(unit: bytes, size: int) -> list[bytes]:
    """FU-A payloads."""
    parts = [unit[at : at + size] for at in range(1, len(unit), size)]
    last = len(parts) - 1
    return [
        bytes((unit[0] & 0xE0 | 28, (n == 0) << 7 | (n == last) << 6 | unit[0] & 31)) + part
        for n, part in enumerate(parts)
    ]


def together(*units: bytes) -> list[bytes]:
    """One STAP-A payload."""
    return [b"\x78" + b"".join(len(one).to_bytes(2, "big") + one for one in units)]


def film(pictures: list[list[bytes]], start: int = 65_500) -> list[Packet]:
    """Packets of access units, each given as its payloads."""
    packets, number = [], start
    for n, payloads in enumerate(pictures):
        for payload in payloads:
            last = payload is payloads[-1]
            packets.append(packet(number, n * 3000, payload, at=n / 30, marker=last))
            number += 1
    return packets


def frames(packets: list[Packet]) -> list[Frame]:
    taken = h264.H264Frames()
    return [frame for one in packets if (frame := taken.push(one)) is not None]


def units(data: bytes) -> list[bytes]:
    return data.split(h264.START_CODE)[1:]


KEY = together(SPS, PPS) + fragments(IDR, 7)


def test_every_packing_gives_the_same_access_unit() -> None:
    for picture in (KEY, [SPS, PPS, IDR], together(SPS, PPS, IDR), [SPS, *together(PPS, IDR)]):
        (frame,) = frames(film([picture]))
        assert units(frame.data) == [SPS, PPS, IDR] and frame.keyframe
        assert frame.timestamp == 0


def test_a_key_frame_begins_with_parameter_sets() -> None:
    assert h264.begins_keyframe(packet(0, 0, KEY[0]))
    assert h264.begins_keyframe(packet(0, 0, SPS))
    for payload in (PPS, IDR, SLICE, *fragments(IDR, 9), b"", b"\x78\xff\xff", b"\x78"):
        assert not h264.begins_keyframe(packet(0, 0, payload))


def test_parameter_sets_sent_once_are_put_before_later_key_frames() -> None:
    first, second, third = frames(film([KEY, [SLICE], fragments(IDR, 11)]))
    assert units(second.data) == [SLICE] and not second.keyframe
    assert units(third.data) == [SPS, PPS, IDR] and third.keyframe and first.keyframe


def test_nothing_before_parameter_sets() -> None:
    assert frames(film([[SLICE], fragments(IDR, 11), [SLICE]])) == []
    assert frames(film([KEY])[1:]) == []


picture = st.sampled_from(
    [KEY, [SPS, PPS, *fragments(IDR, 5)], [SLICE], fragments(SLICE, 3), together(SLICE, SLICE)]
)


@given(st.lists(picture, min_size=1, max_size=20), st.sets(st.integers(0, 60), max_size=4))
def test_after_a_loss_nothing_until_the_next_key_frame(
    pictures: list[list[bytes]], lost: set[int]
) -> None:
    packets = film(pictures)
    whole = {frame.timestamp: frame for frame in frames(packets)}
    got = frames([one for n, one in enumerate(packets) if n not in lost])
    broken = {packets[n].timestamp for n in lost if n < len(packets)}
    for frame in got:
        assert frame == whole[frame.timestamp], "never a changed frame"
        assert frame.timestamp not in broken
    keys = {n * 3000 for n, one in enumerate(pictures) if one[0] in (KEY[0], SPS)}
    since: int | None = None
    for stamp in sorted(frame.timestamp for frame in got):
        since = stamp if stamp in keys else since
        assert since is not None
        assert not any(since < one < stamp for one in broken), "a delta frame needs all before it"


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.integers(0, 3)), max_size=12))
def test_any_payload_is_survived(given_payloads: list[tuple[bytes, bool, int]]) -> None:
    taken = h264.H264Frames()
    for n, (payload, marker, stamp) in enumerate(given_payloads):
        one = packet(n, stamp, payload, marker=marker)
        h264.begins_keyframe(one)
        h264.keyframe_size(one)
        taken.push(one)


@given(st.binary(min_size=2, max_size=30))
def test_any_parameter_set_is_survived(rest: bytes) -> None:
    h264.keyframe_size(packet(0, 0, b"\x67" + rest))


def test_an_access_unit_without_an_end_is_given_up() -> None:
    taken = h264.H264Frames()
    taken.push(packet(0, 0, KEY[0]))
    for n in range(1, FRAME_BYTES // 50_000 + 2):
        flags = 0x85 if n == 1 else 5
        assert taken.push(packet(n, 0, bytes((0x7C, flags)) + b"x" * 50_000)) is None
    assert taken.waiting_for_keyframe and taken._size < 200_000


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (320, 180), (642, 362)])
def test_sizes_and_a_decoder_agree(width: int, height: int) -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate = Fraction(30)
    encoder.options = {"profile": "baseline", "tune": "zerolatency", "preset": "ultrafast"}
    picture = av.VideoFrame(width, height, "yuv420p")
    (made,) = encoder.encode(picture)
    data = bytes(made).replace(b"\0\0\0\1", b"\0\0\1")
    parts = [one for one in data.split(b"\0\0\1") if one]
    sent = [
        payload for one in parts for payload in (fragments(one, 800) if len(one) > 800 else [one])
    ]
    packets = film([sent])
    first = next(one for one in packets if h264.begins_keyframe(one))
    assert h264.keyframe_size(first) == (width, height)
    (frame,) = frames(packets)
    decoder = av.CodecContext.create("h264", "r")
    pictures = decoder.decode(av.Packet(frame.data)) + decoder.decode(None)
    assert [(one.width, one.height) for one in pictures] == [(width, height)]
