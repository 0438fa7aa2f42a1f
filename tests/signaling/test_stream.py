"""Uplinks and downlinks without a network: what goes out when what comes in."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import pytest

from signaling import rtcp
from signaling.frames import Frame, SenderClock
from signaling.rate import START_BPS
from signaling.rtp import Packet, sequence_delta
from signaling.stream import SEND_TIME_URI, WALL_CLOCK, Downlink, Link, Uplink
from tests.signaling.test_rtp import packet


class Wire:
    def __init__(self) -> None:
        self.rtp: list[Packet] = []
        self.rtcp: list[rtcp.Report] = []

    def send_rtp(self, packets: Sequence[bytes]) -> None:
        self.rtp += [Packet(data, 0.0) for data in packets]

    def send_rtcp(self, data: bytes) -> None:
        self.rtcp += rtcp.parse(data)


class Clockwork:
    """Runs what was put off."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, object]] = []

    def __call__(self, delay: float, call: object) -> None:
        self.waiting.append((delay, call))

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, call in waiting:
            call()  # type: ignore[operator]


def uplink(wire: Wire, later: Clockwork, kind: str = "video") -> Uplink:
    made = Uplink(
        kind,
        own_ssrc=99,
        wire=wire,
        later=later,
        put_off=lambda work: work(),
        media_time=lambda at: int(at * 1e6),
        sender_clock=SenderClock(),
        on_started=lambda: None,
    )
    made.open({96: "vp8" if kind == "video" else "opus"}, {})
    return made


def give(source: Uplink, packet: Packet) -> None:
    """The packet comes in on the uplink's main stream."""
    layer = source.stream(packet.ssrc)
    assert layer is not None
    layer.receive((packet,))


def viewer(wire: Wire, extensions: dict[str, int] | None = None) -> Downlink:
    made = Downlink("video", mid="1", ssrc=500, sequence=1000, timestamp=0, wire=wire)
    made.open({"vp8": 120}, extensions or {})
    return made


def frames(start: int, count: int, key: int = 0) -> list[Packet]:
    return [
        packet(start + n, n * 3000, bytes([0x10, n != key]) + b"data", at=n / 30, marker=1)
        for n in range(count)
    ]


def test_forwarding_starts_with_a_key_frame_and_patches_the_header() -> None:
    up, down = Wire(), Wire()
    source, sink = uplink(up, Clockwork()), viewer(down, {SEND_TIME_URI: 4})
    sink.attach(source, 0)
    for one in frames(50, 10, key=3):
        give(source, one)
    assert [one.sequence for one in down.rtp] == list(range(1000, 1007))
    assert {(one.ssrc, one.payload_type) for one in down.rtp} == {(500, 120)}
    assert [list(one.extensions())[0][0] for one in down.rtp] == [4] * 7
    assert down.rtp[0].payload == b"\x10\x00data"


def test_nack_is_answered_with_the_same_bytes() -> None:
    down = Wire()
    source, sink = uplink(Wire(), Clockwork()), viewer(down, {SEND_TIME_URI: 4})
    sink.attach(source, 0)
    for one in frames(65_530, 20):
        give(source, one)
    sent = {one.sequence: one.data for one in down.rtp}
    down.rtp.clear()
    sink.resend([1003, 1010, 1200, 900], 1.0)
    assert {one.sequence: one.data for one in down.rtp} == {n: sent[n] for n in (1003, 1010)}


def test_resending_has_a_budget() -> None:
    down = Wire()
    source, sink = uplink(Wire(), Clockwork()), viewer(down)
    sink.attach(source, 0)
    for one in frames(0, 20):
        give(source, one)
    down.rtp.clear()
    for _ in range(100):
        sink.resend(list(range(1000, 1020)), 1.0)
    assert len(down.rtp) == 100


def test_missing_packets_are_asked_for_and_forwarded_when_they_come() -> None:
    up, down, later = Wire(), Wire(), Clockwork()
    source, sink = uplink(up, later), viewer(down)
    sink.attach(source, 0)
    now = time.monotonic() - 1
    packets = frames(0, 10)
    for one in packets:
        one.arrival += now
    for one in packets[:4] + packets[6:]:
        give(source, one)
    later.run()
    (asked,) = (one for one in up.rtcp if isinstance(one, rtcp.Nack))
    assert list(asked.lost) == [4, 5]
    for one in packets[4:6]:
        give(source, one)
    assert sorted(one.sequence for one in down.rtp) == list(range(1000, 1010))
    later.run()
    assert not later.waiting, "nothing missing, nothing left to do"


def test_key_frames_are_asked_for_at_most_twice_a_second() -> None:
    up, later = Wire(), Clockwork()
    source = uplink(up, later)
    give(source, frames(0, 1)[0])
    for _ in range(20):
        source.request_keyframe(time.monotonic())
    assert sum(isinstance(one, rtcp.KeyframeRequest) for one in up.rtcp) == 1
    assert [round(delay, 1) for delay, _ in later.waiting] == [0.5], "one more is kept for later"
    later.run()
    assert sum(isinstance(one, rtcp.KeyframeRequest) for one in up.rtcp) == 2


def test_a_change_of_source_leaves_no_gap() -> None:
    down = Wire()
    first, second = uplink(Wire(), Clockwork()), uplink(Wire(), Clockwork())
    sink = viewer(down)
    sink.attach(first, 0)
    for one in frames(10, 5):
        give(first, one)
    sink.attach(second, 1)
    for one in frames(40_000, 8, key=3):
        give(second, one)
    give(first, frames(10, 7)[6])
    numbers = [one.sequence for one in down.rtp]
    assert all(sequence_delta(b, a) == 1 for a, b in itertools.pairwise(numbers))
    assert len(numbers) == 10


def test_the_tap_gives_frames_with_media_time() -> None:
    up, got = Wire(), list[tuple[Frame, int]]()
    source = uplink(up, Clockwork())
    for one in frames(0, 5):
        give(source, one)
    source.tap(lambda frame, at: got.append((frame, at)), 0.2)
    assert any(isinstance(one, rtcp.KeyframeRequest) for one in up.rtcp)
    for one in frames(0, 12, key=7)[5:]:
        give(source, one)
    assert [frame.keyframe for frame, _ in got] == [True] + [False] * 4
    assert [at for _, at in got] == [233_333, 266_666, 300_000, 333_333, 366_666]


def test_reports_keep_sound_and_picture_on_one_clock() -> None:
    link, wire = Link(lambda at: int(at * 1e6)), Wire()
    link.name = "someone"
    shared = SenderClock()
    for kind, rate, ssrc in (("audio", 48_000, 1), ("video", 90_000, 2)):
        source = Uplink(
            kind,
            own_ssrc=99,
            wire=wire,
            later=Clockwork(),
            put_off=lambda work: work(),
            media_time=lambda at: int(at * 1e6),
            sender_clock=shared,
            on_started=lambda: None,
        )
        link.uplinks[kind] = source
        link.open_uplink(kind, {96: "opus" if kind == "audio" else "vp8"}, [7], {})
        down = Downlink(kind, mid=kind, ssrc=ssrc, sequence=0, timestamp=ssrc * 1000, wire=wire)
        down.open({source.codec: 111}, {})
        link.downlinks[ssrc] = down
        down.attach(source, 0)
        for n in range(30):
            give(source, packet(n, n * rate // 50, b"\x10\0x", at=1 + n * 0.02, marker=1))
    reports = list(rtcp.parse(link.reports(99, 1.58)))
    senders = {one.ssrc: one for one in reports if isinstance(one, rtcp.SenderReport)}
    assert senders[1].ntp == senders[2].ntp
    assert abs(senders[1].timestamp - 1000 - 48_000 * 0.58) < 2
    assert abs(senders[2].timestamp - 2000 - 90_000 * 0.58) < 2
    (remb,) = (one for one in reports if isinstance(one, rtcp.Remb))
    assert remb.bitrate == START_BPS
    (receiver,) = (one for one in reports if isinstance(one, rtcp.ReceiverReport))
    assert {one.ssrc for one in receiver.blocks} == {7}


def test_a_microphone_that_stopped_for_a_moment_is_no_queue() -> None:
    link, wire = Link(lambda at: int(at * 1e6)), Wire()
    for kind in ("audio", "video"):
        link.uplinks[kind] = Uplink(
            kind, own_ssrc=99, wire=wire, later=Clockwork(), put_off=lambda work: work(),
            media_time=lambda at: int(at * 1e6), sender_clock=SenderClock(),
            on_started=lambda: None,
        )  # fmt: skip
    link.open_uplink("audio", {111: "opus"}, [7], {})
    link.open_uplink("video", {96: "vp8"}, [8], {})
    sound, picture = link.uplinks["audio"].stream(7), link.uplinks["video"].stream(8)
    assert sound is not None and picture is not None
    for n in range(150):
        late = 0.3 if n > 50 else 0.0
        data = bytes((0x80, 111)) + packet(n, n * 960, b"x", at=0).data[2:]
        sound.receive((Packet(data, 1 + n * 0.02 + late),))
        picture.receive((packet(n, n * 1800, b"\x10\0x", at=1 + n * 0.02, marker=1),))
        if n > 60:
            link.allowance(99, 1 + n * 0.02)
    assert link.backlog_at(3.99) > 0.2
    (answer,) = rtcp.parse(link.allowance(99, 4.0))
    assert isinstance(answer, rtcp.Remb) and answer.bitrate > 2_000_000


def test_a_first_report_that_queued_moves_nothing_to_and_fro() -> None:
    """Pictures queue 0.3 s behind the sound, the report 0.5 s: soon both are right."""
    link, wire, shared = Link(lambda at: int(at * 1e6)), Wire(), SenderClock()
    kinds = {"audio": (48_000, 50, 7, 0.0), "video": (90_000, 25, 8, 0.3)}
    for kind in kinds:
        link.uplinks[kind] = Uplink(
            kind, own_ssrc=99, wire=wire, later=Clockwork(), put_off=lambda work: work(),
            media_time=lambda at: int(at * 1e6), sender_clock=shared, on_started=lambda: None,
        )  # fmt: skip
        link.open_uplink(kind, {96: "opus" if kind == "audio" else "vp8"}, [kinds[kind][2]], {})

    def send(start: float, end: float, queued: float) -> None:
        for kind, (rate, per_s, ssrc, late) in kinds.items():
            layer = link.uplinks[kind].stream(ssrc)
            assert layer is not None
            for n in range(round(start * per_s), round(end * per_s)):
                at = 1 + n / per_s + late * queued
                layer.receive((packet(n, n * rate // per_s, b"\x10\0x", at=at, marker=1),))

    def taken(kind: str, at: float) -> float:
        timestamp = link.uplinks[kind].clock.timestamp_at(int(at * 1e6))
        assert timestamp is not None
        return timestamp / kinds[kind][0]

    send(0, 1, queued=1.0)
    report = b"".join(
        rtcp.sender_report(rtcp.SenderReport(ssrc, rtcp.ntp_time(2e9), rate, 1, 1))
        for rate, _, ssrc, _ in kinds.values()
    )
    link.received_rtcp(report, 2.5)
    assert taken("audio", 2.5) == pytest.approx(1.5, abs=0.01), "the sound stays where it is"
    send(1, 3, queued=0.0)
    assert taken("video", 4) == pytest.approx(3, abs=0.01) == taken("audio", 4)


def test_camera_and_screen_get_one_answer_while_they_send() -> None:
    link, wire = Link(lambda at: int(at * 1e6)), Wire()
    for mid, ssrc in (("1", 7), ("9", 8)):
        link.uplinks[mid] = uplink(wire, Clockwork())
        link.open_uplink(mid, {96: "vp8"}, [ssrc], {})

    def answers(now: float) -> list[rtcp.Remb]:
        return [one for one in rtcp.parse(link.reports(99, now)) if isinstance(one, rtcp.Remb)]

    give(link.uplinks["1"], packet(0, 0, b"\x10\0x", at=1, marker=1))
    (alone,) = answers(1.1)
    assert alone.ssrcs == (7,), "a screen that is not shared has no say"
    screen = link.uplinks["9"].stream(8)
    assert screen is not None
    screen.receive((packet(0, 0, b"\x10\0x", at=1.2, marker=1),))
    (both,) = answers(1.3)
    assert both.ssrcs == (7, 8) and both.bitrate > 1.5 * alone.bitrate


def test_round_trip_from_a_report_block() -> None:
    link = Link(lambda at: int(at * 1e6))
    sink = link.downlinks[500] = viewer(Wire())
    now = time.monotonic()
    sent = rtcp.ntp_time(now - 0.25 + WALL_CLOCK) >> 16 & 0xFFFFFFFF
    block = rtcp.Block(500, 64, 10, 1, 1, sent, int(0.1 * 65536))
    link.received_rtcp(rtcp.receiver_report(rtcp.ReceiverReport(3, [block])), now)
    assert sink.round_trip_s is not None and abs(sink.round_trip_s - 0.15) < 0.001
    assert sink.loss == 0.125


def test_an_unknown_ssrc_finds_its_stream() -> None:
    link, wire = Link(lambda at: int(at * 1e6)), Wire()
    source = link.uplinks["1"] = uplink(wire, Clockwork())
    link.open_uplink("1", {96: "vp8"}, [], {})
    assert not link.is_stream(7)
    link.received_rtp(frames(0, 1)[0].data, 0)
    assert link.is_stream(7) and source.ssrc == 7
    link.received_rtp(b"\x80\x62" + b"\0" * 20, 0)
    link.received_rtp(b"\x80", 0)
    assert source.ssrc == 7
