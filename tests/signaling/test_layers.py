"""Simulcast: layers told apart, one chosen for each viewer, and no seam in what goes out."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from signaling import rtcp, vp8
from signaling.frames import Frame, SenderClock
from signaling.rate import START_BPS
from signaling.rtp import Packet, sequence_delta, timestamp_delta
from signaling.sdp import checked_offer, simulcast_extensions, tuned_answer
from signaling.stream import MID_URI, RID_URI, Downlink, Link, Uplink
from tests.signaling.test_hostile import offer
from tests.signaling.test_stream import Clockwork, Wire

EXTENSIONS = {MID_URI: 1, RID_URI: 2}
SSRC = {"h": 11, "l": 22}


def layered(
    rid: str, sequence: int, frame: int, *, key: bool = False, part: int = 0, parts: int = 1
) -> bytes:
    """A VP8 packet of a simulcast layer with MID and RID; picture ids run per layer."""
    extension = b"\xbe\xde\x00\x01" + bytes((0x10, 0x30, 0x20)) + rid.encode()
    head = struct.pack(
        "!BBHII",
        0x90,
        (part == parts - 1) << 7 | 96,
        sequence & 0xFFFF,
        (frame * 3000 + SSRC[rid] * 1_000_000) & 0xFFFFFFFF,
        SSRC[rid],
    )
    picture = frame + SSRC[rid] * 100
    descriptor = bytes((0x90 if part == 0 else 0x80, 0xC0, 0x80 | picture >> 8, picture & 255))
    descriptor += bytes((frame & 255,))
    return head + extension + descriptor + bytes((not key,)) + rid.encode() * 20


class Call:
    """One publisher with two layers, one viewer."""

    def __init__(self) -> None:
        self.up, self.down, self.later = Wire(), Wire(), Clockwork()
        self.link = Link(lambda at: int(at * 1e6))
        self.source = self.link.uplinks["0"] = Uplink(
            "video",
            own_ssrc=99,
            wire=self.up,
            later=self.later,
            put_off=lambda work: work(),
            media_time=lambda at: int(at * 1e6),
            sender_clock=SenderClock(),
            on_started=lambda: None,
        )
        self.link.open_uplink("0", {96: "vp8"}, [5], EXTENSIONS)
        self.sink = Downlink(
            "video", mid="1", ssrc=500, sequence=65_000, timestamp=0, wire=self.down
        )
        self.sink.open({"vp8": 120}, {})
        self.sink.attach(self.source, 0)
        self.sequence = {"h": 65_500, "l": 40}

    def send(self, rid: str, frame: int, key: bool = False, parts: int = 2) -> None:
        for part in range(parts):
            data = layered(rid, self.sequence[rid], frame, key=key, part=part, parts=parts)
            self.sequence[rid] += 1
            self.link.received_rtp(data, frame / 30)

    def seen(self) -> str:
        """The layer of each packet that went out."""
        return "".join(chr(one.payload[-1]) for one in self.down.rtp)


def whole(packets: list[Packet]) -> None:
    """No seam: sequence, picture ids, and time go on."""
    for one, two in itertools.pairwise(packets):
        assert sequence_delta(two.sequence, one.sequence) == 1
        assert timestamp_delta(two.timestamp, one.timestamp) >= 0
        first, second = vp8.descriptor(one), vp8.descriptor(two)
        assert first and second
        step = picture(two) - picture(one) & 0x7FFF
        level = two.data[second.level_at] - one.data[first.level_at] & 255
        assert (step, level) == ((1, 1) if second.begins else (0, 0))


def picture(one: Packet) -> int:
    found = vp8.descriptor(one)
    assert found is not None
    return int.from_bytes(one.data[found.picture_at : found.picture_at + 2], "big") & 0x7FFF


def test_layers_are_told_apart_and_the_high_one_is_seen_and_recorded() -> None:
    call, frames = Call(), list[Frame]()
    call.source.tap(lambda frame, at: frames.append(frame), 0)
    for n in range(5):
        call.send("h", n, key=n == 0)
        call.send("l", n, key=n == 0)
    assert call.source.layered and set(call.link.layers) == {11, 22}
    assert call.seen() == "h" * 10
    assert {frame.data[-1:] for frame in frames} == {b"h"} and len(frames) == 5
    whole(call.down.rtp)


def test_a_narrow_line_asks_for_the_low_layer_and_goes_over_at_its_key_frame() -> None:
    call = Call()
    call.send("h", 0, key=True)
    wanted = [call.source.low_wanted]
    call.sink.limit(250_000, 0.1)
    wanted.append(call.source.low_wanted)
    assert wanted == [False, True], "what the room tells the page"
    call.sink.limit(float("inf"), 0.1)  # no pacing in this test
    call.send("h", 1)
    call.send("l", 1)
    call.source.care(0.1, None)
    assert [one.ssrc for one in call.up.rtcp if isinstance(one, rtcp.KeyframeRequest)][-1] == 22
    call.send("l", 2)
    call.send("h", 2)
    assert "l" not in call.seen()
    call.send("l", 3, key=True)
    call.send("h", 3)
    call.send("l", 4)
    assert call.seen() == "h" * 6 + "l" * 4
    whole(call.down.rtp)
    assert call.source.allowed_bps(0.2) > START_BPS, "the recording keeps its picture"


def test_it_goes_back_only_after_a_calm_time() -> None:
    call = Call()
    call.send("h", 0, key=True)
    call.sink.limit(200_000, 0)
    for tick in range(1, 80):
        call.sink.limit(800_000, tick / 2)
        if not call.sink.wants_low:
            break
    assert 9 <= tick / 2 <= 11
    call.sink.limit(200_000, tick / 2 + 3)
    for later in range(1, 80):
        call.sink.limit(800_000, tick / 2 + 3 + later / 2)
        if not call.sink.wants_low:
            break
    assert 19 <= later / 2 <= 21, "twice as long when it was wrong"


def test_without_a_low_layer_the_publisher_sends_less() -> None:
    call = Call()
    call.send("h", 0, key=True)
    call.sink.limit(200_000, 0)
    assert call.source.allowed_bps(0) > START_BPS, "it may still come"
    assert call.source.allowed_bps(4) == 200_000


def test_the_high_layer_dies_and_the_tap_takes_the_low_one() -> None:
    call, frames = Call(), list[Frame]()
    call.source.tap(lambda frame, at: frames.append(frame), 0)
    for n in range(30):
        call.send("h", n, key=n == 0)
    for n in range(20, 130):
        call.send("l", n, key=n % 30 == 0)
        if n % 15 == 0:
            call.source.care(n / 30, None)
    assert {frame.data[-1:] for frame in frames} == {b"h", b"l"}
    assert call.seen()[-10:] == "l" * 10
    whole(call.down.rtp)
    assert frames[30].keyframe and frames[30].data.endswith(b"l")


moves = st.lists(st.sampled_from(["h", "l", "pause", "lost"]), min_size=1, max_size=14)


@settings(max_examples=60)
@given(moves, st.randoms(use_true_random=False))
def test_no_seam_whatever_happens(moves: list[str], random) -> None:  # type: ignore[no-untyped-def]
    call = Call()
    frame = 0
    for move in moves:
        if move == "pause":
            call.sink.pause()
        elif move == "lost":  # a picture of each layer never comes
            frame += 1
        else:
            layer = call.source.main if move == "h" or not call.source.low else call.source.low
            call.sink.aim(layer, frame / 30)
        for _ in range(4):
            key = random.random() < 0.4
            for rid in "hl":
                call.send(rid, frame, key=key, parts=random.randint(1, 3))
            frame += 1
    sent = call.down.rtp
    for one, two in itertools.pairwise(sent):
        assert sequence_delta(two.sequence, one.sequence) == 1
        assert timestamp_delta(two.timestamp, one.timestamp) >= 0
        assert picture(two) - picture(one) & 0x7FFF <= 2
    assert len({one.sequence for one in sent}) == len(sent)


def test_a_new_stream_of_a_layer_takes_the_place_of_the_old() -> None:
    call = Call()
    call.send("h", 0, key=True)
    SSRC["h"], former = 33, SSRC["h"]
    try:
        call.send("h", 1, key=True)
        assert set(call.link.layers) == {33} and call.source.ssrc == 33
    finally:
        SSRC["h"] = former


def test_unknown_layers_are_refused() -> None:
    call = Call()
    data = layered("h", 1, 0).replace(b"\x20h", b"\x20x", 1)
    call.link.received_rtp(data, 0)
    assert not call.link.layers


async def test_the_offer_is_answered() -> None:
    plain = await offer()
    lines = "a=rid:h send\r\na=rid:l send max-width=320\r\na=simulcast:send h;~l\r\n"
    text = plain + f"a=extmap:9 {RID_URI}\r\n" + lines
    sections = checked_offer(text)
    assert sections[1].layers == ("h", "l") and sections[0].layers == ()
    assert sections[1].codecs == {"vp8", "h264"} and sections[0].codecs == {"opus"}
    assert simulcast_extensions(text) == {sections[1].mid: 9}
    answer = tuned_answer(f"m=video 9 X 96\r\na=mid:{sections[1].mid}\r\na=sendrecv", sections)
    assert answer.endswith("a=rid:h recv\r\na=rid:l recv\r\na=simulcast:recv h;l\r\na=sendrecv")
    for broken in (
        text.replace("send h;~l", "send h;l;m"),
        text.replace("send h;~l", "send h"),
        text.replace("a=rid:l send", "a=rid:q send"),
        text.replace(RID_URI, "urn:x"),
    ):
        assert checked_offer(broken)[1].layers == ()


def test_a_publisher_on_a_narrow_line_sends_one_layer() -> None:
    call = Call()
    call.send("h", 0, key=True)
    call.sink.limit(200_000, 0)
    wanted = [call.source.low_wanted]
    call.source.main.loss = 0.5
    call.source.allowed_bps(0.5)
    wanted.append(call.source.low_wanted)
    assert wanted == [True, False]
    assert call.source.allowed_bps(0.6) <= 200_000
