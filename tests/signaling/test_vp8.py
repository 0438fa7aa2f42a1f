"""VP8 descriptors, sizes, and picture ids that run on over changes of source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signaling import vp8
from signaling.frames import FRAME_BYTES
from signaling.rtp import Packet, patched
from tests.signaling.test_rtp import packet

KEY = bytes([0x10]) + b"\x00key"
DELTA = bytes([0x10]) + b"\x01delta"


def frame(
    sequence: int, picture: int, level: int, *, wide: bool = True, key: bool = False
) -> Packet:
    """A one-packet frame with picture id and TL0PICIDX."""
    number = (0x8000 | picture).to_bytes(2, "big") if wide else bytes((picture,))
    head = b"\x90\xe0" + number + bytes((level, 0x20))
    return packet(sequence, sequence * 3000, head + bytes((not key,)) + b"data", marker=1)


def numbers(one: Packet) -> tuple[int, int]:
    found = vp8.descriptor(one)
    assert found is not None
    data, at = one.data, found.picture_at
    wide = data[at] & 0x80
    picture = (data[at] & 0x7F) << 8 | data[at + 1] if wide else data[at]
    return picture, data[found.level_at]


def test_descriptors() -> None:
    assert vp8.descriptor(packet(1, 0, KEY)) == (True, 13, 0, 0)
    assert vp8.descriptor(packet(1, 0, b"\x90\x80\x81\x02" + b"\x00")) == (True, 16, 14, 0)
    assert vp8.descriptor(packet(1, 0, b"\x90\xe0\x01\x02\x03\x00")) == (True, 17, 14, 15)
    assert vp8.descriptor(packet(1, 0, b"\x00\x00")) == (False, 13, 0, 0)
    assert vp8.descriptor(packet(1, 0, b"\x91\x80")) is None
    assert vp8.begins_keyframe(packet(1, 0, KEY))
    assert not vp8.begins_keyframe(packet(1, 0, DELTA))
    picture = packet(1, 0, b"\x10\x10\x00\x00\x9d\x01\x2a\x00\x05\xd0\x02")
    assert vp8.keyframe_size(picture) == (1280, 720)
    assert vp8.keyframe_size(packet(1, 0, KEY)) is None


@given(st.binary(max_size=40))
def test_any_payload_is_survived(payload: bytes) -> None:
    one = packet(1, 0, payload, marker=1)
    vp8.begins_keyframe(one)
    vp8.keyframe_size(one)
    vp8.Vp8Frames().push(one)
    ids = vp8.PictureIds()
    ids.begin(frame(1, 5, 5))
    ids.leave(frame(2, 900, 77))
    ids.begin(one)
    assert len(ids.rewrite(one)) == len(payload)


pieces = st.one_of(
    st.sampled_from([b"\x90\x80\x81\x02", b"\x80\x80\x81\x02", b"\x10", b"\0", b"\x81\x80\x05"]),
    st.binary(max_size=6),
)


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(pieces, st.binary(max_size=4)), max_size=5), st.booleans()),
        max_size=8,
    ),
    st.sets(st.integers(0, 40), max_size=3),
)
def test_a_frame_taken_as_a_whole_is_the_same(
    runs: list[tuple[list[tuple[bytes, bytes]], bool]], lost: set[int]
) -> None:
    """What `whole` says of a run is what pushing each of its packets says, or it says nothing."""
    one, other = vp8.Vp8Frames(), vp8.Vp8Frames()
    number = 0
    for stamp, (payloads, ends) in enumerate(runs):
        run = []
        for place, (head, body) in enumerate(payloads, 1):
            number += 1 + (number in lost)
            marker = int(ends and place == len(payloads))
            run.append(packet(number, stamp * 3000, head + body, marker=marker))
        expected = [frame for each in run if (frame := other.push(each)) is not None]
        found = one.whole(run) if run else None
        taken = [found] if found is not None else [f for each in run if (f := one.push(each))]
        assert taken == expected
        assert one.waiting_for_keyframe == other.waiting_for_keyframe


def test_a_frame_without_an_end_is_given_up() -> None:
    frames = vp8.Vp8Frames()
    frames.push(packet(0, 0, b"\x10\x00" + b"x" * 60_000))
    for n in range(1, FRAME_BYTES // 60_000 + 2):
        assert frames.push(packet(n, 0, b"\x00" + b"x" * 60_000)) is None
    assert frames.waiting_for_keyframe and not frames._parts


source = st.tuples(st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(1, 5))


@given(st.lists(source, min_size=1, max_size=6), st.booleans())
def test_ids_run_on_over_any_changes_of_source(
    sources: list[tuple[int, int, int]], wide: bool
) -> None:
    ids, width = vp8.PictureIds(), 0x7FFF if wide else 0x7F
    out: list[tuple[int, int]] = []
    for picture, level, count in sources:
        packets = [
            frame(n, (picture + n) & width, (level + n) & 255, wide=wide, key=n == 0)
            for n in range(count)
        ]
        ids.begin(packets[0])
        for one in packets:
            payload = ids.rewrite(one) if ids.shifted else None
            sent = Packet(patched(one, 96, 1, 2, 3, b"", payload), 0)
            assert sent.payload[-5:] == one.payload[-5:]
            out.append(numbers(sent))
        ids.leave(packets[-1])
        if len(out) == count:
            assert not ids.shifted, "a first source is passed on as it is"
    for (a, x), (b, y) in zip(out, out[1:], strict=False):
        assert (b - a) & width == 1 and (y - x) & 255 == 1
