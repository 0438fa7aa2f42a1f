"""Frames out of packets in any order, and media time out of timestamps and sender reports."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signaling.frames import (
    WAIT_S,
    MediaClock,
    OpusFrames,
    Reorder,
    SenderClock,
)
from signaling.rtp import Packet
from signaling.vp8 import Vp8Frames
from tests.signaling.test_rtp import packet


def film(frames: int, start: int = 65_530) -> list[Packet]:
    """Frames of three packets each, every tenth a key frame."""
    packets = []
    for n in range(frames):
        first = bytes([0x10, n % 10 and 1]) + b"%d:" % n
        for part, payload in enumerate((first, b"\x00b", b"\x00c")):
            number = start + 3 * n + part
            packets.append(packet(number, n * 3000, payload, at=n / 30, marker=part == 2))
    return packets


def decoded(packets: list[Packet]) -> list[tuple[int, bool]]:
    reorder, frames = Reorder(), Vp8Frames()
    out = []
    for one in packets:
        for ready in reorder.push(one):
            frame = frames.push(ready)
            if frame is not None:
                assert frame.data.endswith(b"bc")
                out.append((frame.timestamp // 3000, frame.keyframe))
    return out


def test_in_order() -> None:
    assert decoded(film(30)) == [(n, n % 10 == 0) for n in range(30)]


@given(st.data())
def test_little_disorder_changes_nothing(data: st.DataObject) -> None:
    packets = film(30)
    for at in range(3, len(packets) - 4, 4):
        packets[at : at + 4] = data.draw(st.permutations(packets[at : at + 4]))
    assert decoded(packets) == [(n, n % 10 == 0) for n in range(30)]


@given(st.sets(st.integers(3, 80), max_size=6))
def test_a_loss_costs_until_the_next_key_frame_and_no_more(lost: set[int]) -> None:
    got = dict(decoded([one for n, one in enumerate(film(60)) if n not in lost]))
    broken = {n // 3 for n in lost}
    for n in range(60):
        group = range(n - n % 10, n + 1)
        if n in got:
            assert not broken & set(group)
        elif n < 50:
            assert broken & set(group)


def test_nothing_before_a_key_frame() -> None:
    assert decoded(film(25)[6:])[0] == (10, True)


def test_waits_only_so_long() -> None:
    reorder = Reorder()
    assert len(reorder.push(packet(1, at=0.0))) == 1
    assert reorder.push(packet(3, at=0.01)) == []
    assert reorder.push(packet(4, at=0.02)) == []
    late = reorder.push(packet(5, at=0.02 + WAIT_S))
    assert [one.sequence for one in late] == [3, 4, 5]
    assert reorder.push(packet(2, at=1.0)) == []
    assert len(reorder.push(packet(30_000, at=1.1))) == 1, "a jump is a new stream"


def test_opus_passes_and_padding_does_not() -> None:
    frame = OpusFrames().push(packet(1, 960, b"opus"))
    assert frame is not None and frame.data == b"opus" and frame.keyframe
    assert OpusFrames().push(packet(1, 960, b"")) is None


def test_media_time_starts_at_arrival_and_wraps() -> None:
    clock = MediaClock(48_000)
    start = 0xFFFFFFFF - 48_000
    for n in range(200):
        assert clock.time_us((start + n * 960) & 0xFFFFFFFF, 5_000_000 + n * 20_000) == (
            5_000_000 + n * 20_000
        )


def test_sender_reports_bring_sound_and_picture_together() -> None:
    """The picture is captured with the sound but arrives 90 ms later."""
    shared = SenderClock()
    sound, picture = MediaClock(48_000), MediaClock(90_000)
    differences, last = [], (0, 0)
    for n in range(500):  # 20 ms each
        heard = sound.time_us(1000 + n * 960, 1_000_000 + n * 20_000)
        seen = picture.time_us(77 + n * 1800, 1_090_000 + n * 20_000)
        if n % 50 == 25:
            ntp = 9_000_000_000 + n * 20_000
            for clock, stamp in ((sound, 1000 + n * 960), (picture, 77 + n * 1800)):
                shared.add(ntp, 1_005_000 + n * 20_000)
                clock.sender_report(stamp, ntp + shared.offset_us)
        assert heard > last[0] and seen > last[1]
        last = heard, seen
        differences.append(abs(heard - seen))
    assert differences[0] == 90_000 and max(differences[150:]) < 1000


def test_a_late_first_packet_does_not_put_the_rest_into_the_future() -> None:
    clock = MediaClock(90_000)
    times = [clock.time_us(0, 1_300_000)]
    times += [clock.time_us(n * 3000, 1_000_000 + n * 33_333) for n in range(1, 90)]
    assert times == sorted(set(times))
    assert abs(times[-1] - (1_000_000 + 89 * 33_333)) < 100


def test_timestamp_at_is_the_way_back() -> None:
    clock = MediaClock(90_000)
    assert clock.timestamp_at(0) is None
    clock.time_us(4_294_967_000, 1_000_000)
    for n in range(1, 100):
        stamp = (4_294_967_000 + n * 3000) & 0xFFFFFFFF
        at = clock.time_us(stamp, 1_000_000 + n * 33_333)
        found = clock.timestamp_at(at)
        assert found is not None and abs(found - stamp) <= 1


def test_a_clock_that_was_set_is_believed_again() -> None:
    shared = SenderClock()
    shared.add(1_000_000, 5_000_000)
    shared.add(60_000_000, 6_000_000)
    assert shared.offset_us == -54_000_000
