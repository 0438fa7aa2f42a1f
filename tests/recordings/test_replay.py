"""A stream of a sealed part as a WebM file, read by PyAV."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import av
import pytest

from recordings import Damaged, PartReader, WebmView, streams
from recordings.container import Flag, PartWriter, Type
from recordings.matroska import Muxer
from recordings.replay import Event, SignedReader, loudness

from . import media
from .parts import DEK, SIGNER, STRANGER, MemorySink, MemorySource, Wall, header, layout, sealed

SECONDS = 8


def part(packets: dict[str, list[media.Packet]], *, finish: bool = True) -> bytes:
    """A part with these streams, cluster by cluster."""
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(), dek=DEK, signer=SIGNER, wall=Wall())
    muxers = {label: Muxer(label) for label in packets}
    waiting = [(p.time_us, label, p) for label, some in packets.items() for p in some]
    order = list(packets)
    for time_us, label, p in sorted(waiting, key=lambda one: one[0]):
        now = time_us / 1e6
        for fragment in muxers[label].add(p.kind, p.time_us, p.data, p.keyframe, now, p.codec):
            flags = Flag.KEYFRAME * fragment.keyframe | Flag.INIT * fragment.init
            writer.data(1 + order.index(label), fragment.time_us, fragment.payload, Flag(flags))
    for label, muxer in muxers.items():
        for fragment in muxer.flush():
            flags = Flag.KEYFRAME * fragment.keyframe | Flag.INIT * fragment.init
            writer.data(1 + order.index(label), fragment.time_us, fragment.payload, Flag(flags))
    if finish:
        writer.finish()
    return bytes(sink.data)


@pytest.fixture(scope="module")
def two() -> bytes:
    return part(
        {
            "customer": media.call(SECONDS, width=360, height=640, start_us=12_345_000),
            "teller": media.call(4, start_us=15_000_000),
        }
    )


class File(io.RawIOBase):
    """A view as a seekable file."""

    def __init__(self, view: WebmView) -> None:
        self.view, self.at = view, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.view.read(self.at, self.view.size if size < 0 else size)
        self.at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.view.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at


def view(data: bytes, stream: int = 1) -> WebmView:
    return WebmView(PartReader(MemorySource(data), DEK), stream)


def test_length_size_and_every_picture(two: bytes) -> None:
    customer, teller = view(two, 1), view(two, 2)
    assert (customer.start_us, customer.duration_us) == (12_345_000, SECONDS * 1_000_000)
    assert (teller.start_us, teller.content_type) == (15_000_000, "video/webm")
    with av.open(File(customer), "r") as file:
        assert file.duration == pytest.approx(SECONDS * 1e6, abs=1000)
        assert (file.streams.video[0].width, file.streams.video[0].height) == (360, 640)
        times = [frame.time for frame in file.decode(video=0)]
    assert len(times) == SECONDS * 25 and times[0] == 0.0
    with av.open(File(teller), "r") as file:
        assert sum(1 for _ in file.decode(video=0)) == 100


@pytest.mark.parametrize("second", [0.0, 0.5, 1.0, 3.3, 5.99, 7.8])
def test_seeking_goes_to_the_key_frame_before(two: bytes, second: float) -> None:
    with av.open(File(view(two)), "r") as file:
        file.seek(int(second * 1e6))
        frame = next(file.decode(video=0))
        assert frame.key_frame and frame.time is not None
        assert second - 1.05 <= frame.time <= second + 0.001


def test_only_what_is_read_is_decrypted(two: bytes) -> None:
    source = MemorySource(two)
    made = WebmView(PartReader(source, DEK), 1)
    source.reads.clear()
    made.read(made.size // 2, 1000)
    data = [r for r in layout(two) if r.type == Type.DATA and r.stream == 1]
    assert 1 <= len(source.reads) <= 2
    assert all(any(at == r.offset for r in data) for at, _ in source.reads)


def test_any_piece_is_the_same_as_the_whole(two: bytes) -> None:
    made = view(two)
    whole = made.read(0, made.size)
    assert len(whole) == made.size
    chance = random.Random(7)
    for _ in range(300):
        at, length = chance.randrange(made.size + 10), chance.randrange(100_000)
        assert made.read(at, length) == whole[at : at + length]
    assert made.read(made.size, 1) == made.read(-5, 10) == made.read(5, 0) == b""


def test_a_part_that_was_cut_is_the_same_as_far_as_it_goes(two: bytes) -> None:
    records = layout(two)
    cut = two[: records[len(records) // 2].offset + 100]
    made = view(cut)
    assert not PartReader(MemorySource(cut), DEK).finished
    with av.open(File(made), "r") as file:
        times = [frame.time for frame in file.decode(video=0)]
        assert file.duration is not None and times[-1] is not None
        assert times[-1] <= file.duration / 1e6
    assert 50 < len(times) < SECONDS * 25
    with av.open(File(made), "r") as file:
        file.seek(2_000_000)
        frame = next(file.decode(video=0))
        assert frame.time == pytest.approx(2.0, abs=0.05)


def test_a_part_that_grows_is_as_it_was_when_opened(two: bytes) -> None:
    data = bytearray(two[: layout(two)[20].offset])
    made = WebmView(PartReader(MemorySource(data), DEK), 1)
    size, whole = made.size, made.read(0, made.size)
    data += two[len(data) :]
    assert (made.size, made.read(0, size * 2)) == (size, whole)


def test_sound_alone(two: bytes) -> None:
    made = view(part({"customer": list(media.sound(5))}))
    assert made.content_type == "audio/webm" and not made.pictures
    with av.open(File(made), "r") as file:
        assert not file.streams.video
        samples = sum(frame.samples for frame in file.decode(audio=0))
        assert samples == pytest.approx(5 * 48_000, abs=2000)
    with av.open(File(made), "r") as file:
        file.seek(3_000_000)
        packet = next(file.demux(audio=0))
        assert packet.pts is not None and packet.time_base is not None
        assert 1.5 < float(packet.pts * packet.time_base) <= 3.0


def test_pictures_that_came_later_are_there() -> None:
    later = [
        media.Packet(p.kind, p.time_us + 4_000_000, p.data, p.keyframe)
        for p in media.pictures(320, 240, 3)
    ]
    packets = sorted([*media.sound(7), *later], key=lambda p: p.time_us)
    data = part({"customer": packets})
    assert [s.pictures for s in streams(PartReader(MemorySource(data), DEK))] == [True]
    with av.open(File(view(data)), "r") as file:
        assert file.streams.video[0].width == 320
        times = [frame.time for frame in file.decode(video=0)]
    assert len(times) == 75 and times[0] == pytest.approx(4.0, abs=0.02)


def test_a_change_of_size_inside_a_stream() -> None:
    turned = [
        media.Packet(p.kind, p.time_us + 2_000_000, p.data, p.keyframe)
        for p in media.pictures(640, 360, 2)
    ]
    data = part({"customer": [*media.pictures(360, 640, 2), *turned]})
    with av.open(File(view(data)), "r") as file:
        sizes = [(frame.width, frame.height) for frame in file.decode(video=0)]
    assert sizes == [(360, 640)] * 50 + [(640, 360)] * 50


def test_damage_is_an_error_and_not_a_picture(two: bytes) -> None:
    data = bytearray(two)
    victim = [r for r in layout(two) if r.type == Type.DATA and r.stream == 1][10]
    data[victim.end - 30] ^= 1
    made = view(bytes(data))
    made.read(0, 1000)
    with pytest.raises(Damaged, match=f"record_not_openable at record {victim.sequence}"):
        made.read(0, made.size)


@pytest.mark.parametrize("wrong", [lambda two: view(two, 3), lambda two: view(part({"x": []}), 1)])
def test_streams_that_are_not_there(two: bytes, wrong: Callable[[bytes], WebmView]) -> None:
    with pytest.raises(KeyError):
        wrong(two)


# -- what is signed of a part that is being written -------------------------------------------


def running(data: bytes | bytearray) -> SignedReader:
    return SignedReader(MemorySource(data), DEK, SIGNER.trust())


def opened(reader: SignedReader) -> list[int]:
    """Numbers of the records that are given out, all of them opened."""
    records = [*reader.select(Type.DATA), *reader.select(Type.EVENT)]
    for record in records:
        reader.open(record)
    return sorted(record.sequence for record in records)


def test_of_a_running_part_what_is_signed_is_given_out_as_it_grows() -> None:
    whole = sealed(records=12, every=4, finish=False)
    records = layout(whole)
    kinds = [record.type for record in records]
    first, second = (n for n, kind in enumerate(kinds[:12]) if kind == Type.CHECKPOINT)
    data = bytearray(whole[: records[first + 3].offset])
    reader = running(data)
    assert opened(reader) == list(range(first)) and reader.signed == first
    unsigned = records[first + 1]
    with pytest.raises(Damaged, match="not_signed_yet"):
        reader.open(unsigned)
    data += whole[len(data) :]
    assert opened(reader) == list(range(first)), "as it was until it is told to look"
    reader.grow()
    assert second in range(reader.signed + 1)
    assert opened(reader) == [n for n in range(reader.signed) if kinds[n] != Type.CHECKPOINT]
    assert reader.signed_us == 1_100_000


def test_what_the_writer_did_not_sign_does_not_exist_for_a_viewer() -> None:
    whole = sealed(records=12, every=4, finish=False)
    records = layout(whole)
    with pytest.raises(Damaged, match="preamble_signature_wrong"):
        SignedReader(MemorySource(whole), DEK, STRANGER.trust())
    # One bit of a record, of a checkpoint's list, of its signature.
    checkpoint = next(record for record in records if record.type == Type.CHECKPOINT)
    for at, reason in (
        (records[1].end - 1, "record_altered"),
        (checkpoint.offset + 24 + 50, "signature_wrong"),
        (checkpoint.end - 1, "signature_wrong"),
    ):
        data = bytearray(whole)
        data[at] ^= 1
        reader = running(data)
        with pytest.raises(Damaged, match=reason):
            reader.open(reader[1])
        last = max(record.sequence for record in reader.select(Type.DATA))
        reader.open(reader[last])  # what others vouch for is not lost with it


@pytest.mark.parametrize(
    "body",
    [
        {"stream": 1, "from_us": 0, "step_ms": 200, "values": [128]},
        {"stream": -1, "from_us": 0, "step_ms": 200, "values": []},
        {"stream": 1, "from_us": True, "step_ms": 200, "values": [1]},
        {"stream": 1, "from_us": 0, "step_ms": 200, "values": "loud"},
        {},
    ],
)
def test_loudness_that_no_recorder_writes_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(Damaged, match="record_malformed"):
        loudness(Event(1, 0, {"kind": "levels", **body}))
    assert loudness(Event(1, 0, {"kind": "chat", **body})) is None
