"""Matroska of one participant: frames in, self-standing fragments out (FORMAT.md, Stream). Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from . import h264

Kind = Literal["audio", "video"]
Codec = Literal["vp8", "h264"]

VIDEO, AUDIO = 1, 2
CLUSTER_US = 200_000
"""Media time after which a cluster ends: with a writer's tick of 50 ms it stays below 250 ms."""
CLUSTER_BYTES = 65_536
FRAME_LIMIT = 1_000_000
"""Bytes of one frame; the cluster around it must fit into a record of 1 MiB."""
PICTURE_WAIT_US = 2_000_000
"""How long sound is kept for the first key frame."""
JUMP_US = 1_000_000
"""A frame this much before the others of its cluster begins a new one."""
FRAME_US: dict[Kind, int] = {"audio": 20_000, "video": 40_000}
"""How long the last frame of a file is taken to last."""

EBML, SEGMENT, INFO, TRACKS, CUES, CLUSTER = (
    b"\x1a\x45\xdf\xa3",
    b"\x18\x53\x80\x67",
    b"\x15\x49\xa9\x66",
    b"\x16\x54\xae\x6b",
    b"\x1c\x53\xbb\x6b",
    b"\x1f\x43\xb6\x75",
)
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
TIMESTAMP_AT = len(CLUSTER) + 8 + 2
"""Offset of a cluster's timestamp (8 bytes): sizes are written in full width, so it is fixed."""
_SIMPLE_BLOCK = b"\xa3"
_TIMESTAMP = b"\xe7\x88"


@dataclass(frozen=True)
class Fragment:
    """What becomes one DATA record."""

    time_us: int
    payload: bytes
    keyframe: bool = False
    init: bool = False


@dataclass(frozen=True)
class Block:
    """One frame inside a cluster, as read back."""

    track: int
    time_ms: int
    keyframe: bool
    data: bytes


def element(id: bytes, body: bytes) -> bytes:
    """An EBML element with a size of 8 bytes."""
    return id + size8(len(body)) + body


def size8(size: int) -> bytes:
    """An EBML size in 8 bytes."""
    return (1 << 56 | size).to_bytes(8, "big")


def size4(size: int) -> bytes:
    """An EBML size in 4 bytes."""
    return (1 << 28 | size).to_bytes(4, "big")


def uint(id: bytes, value: int, width: int = 8) -> bytes:
    """An EBML element that holds a number."""
    return id + bytes([0x80 | width]) + value.to_bytes(width, "big")


def vp8_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height if `frame` is a VP8 key frame (RFC 6386, 9.1), else None."""
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        return None
    width, height = struct.unpack_from("<HH", frame, 6)
    return width & 0x3FFF, height & 0x3FFF


class Picture(NamedTuple):
    """What the init segment says of the pictures."""

    codec: bytes
    """Matroska's name of the codec."""
    private: bytes
    """What a decoder wants to know before the first frame; may be empty."""
    width: int
    height: int


def vp8_picture(frame: bytes) -> Picture | None:
    """Of a VP8 key frame."""
    size = vp8_size(frame)
    return None if size is None else Picture(b"V_VP8", b"", *size)


def h264_picture(frame: bytes) -> Picture | None:
    """Of an H264 key frame in Annex B form, with its parameter sets."""
    sets = h264.parameter_sets(frame)
    size = None if sets is None else h264.size(sets[0])
    if sets is None or size is None:
        return None
    return Picture(b"V_MPEG4/ISO/AVC", h264.configuration(*sets), *size)


_PICTURES: dict[Codec, Callable[[bytes], Picture | None]] = {
    "vp8": vp8_picture,
    "h264": h264_picture,
}


def document(tracks: bytes) -> bytes:
    """DocType for this body of Tracks: WebM is for VP8 only."""
    return b"matroska" if b"V_MPEG4/ISO/AVC" in tracks else b"webm"


def ebml_header(document: bytes = b"webm") -> bytes:
    """The header of a file."""
    return element(
        EBML,
        uint(b"\x42\x86", 1, 1)
        + uint(b"\x42\xf7", 1, 1)
        + uint(b"\x42\xf2", 4, 1)
        + uint(b"\x42\xf3", 8, 1)
        + element(b"\x42\x82", document)
        + uint(b"\x42\x87", 4, 1)
        + uint(b"\x42\x85", 2, 1),
    )


def info(duration_ms: float | None = None) -> bytes:
    """Info: one unit is 1 ms."""
    body = uint(b"\x2a\xd7\xb1", 1_000_000, 4)
    body += element(b"\x4d\x80", b"video bank") + element(b"\x57\x41", b"video bank")
    if duration_ms is not None:
        body += b"\x44\x89\x88" + struct.pack(">d", duration_ms)
    return element(INFO, body)


def tracks(label: str, picture: Picture | None) -> bytes:
    """Tracks: Opus, and the pictures if there are any."""
    name = element(b"\x53\x6e", label.encode())
    entries = b""
    if picture is not None:
        private = element(b"\x63\xa2", picture.private) if picture.private else b""
        size = uint(b"\xb0", picture.width, 2) + uint(b"\xba", picture.height, 2)
        rest = name + private + element(b"\xe0", size)
        entries += _track(VIDEO, 1, picture.codec, rest)
    # OpusHead (RFC 7845, 5.1): version 1, 2 channels, no samples to skip, 48 kHz, no gain.
    head = b"OpusHead" + struct.pack("<BBHIHB", 1, 2, 0, 48_000, 0, 0)
    sound = b"\xb5\x88" + struct.pack(">d", 48_000.0) + uint(b"\x9f", 2, 1)
    opus = element(b"\x63\xa2", head) + uint(b"\x56\xaa", 0) + uint(b"\x56\xbb", 80_000_000)
    entries += _track(AUDIO, 2, b"A_OPUS", name + opus + element(b"\xe1", sound))
    return element(TRACKS, entries)


def _track(number: int, type: int, codec: bytes, rest: bytes) -> bytes:
    body = uint(b"\xd7", number, 1) + uint(b"\x73\xc5", number, 1) + uint(b"\x83", type, 1)
    body += uint(b"\x9c", 0, 1) + element(b"\x86", codec) + rest
    return element(b"\xae", body)


def init_segment(label: str, picture: Picture | None) -> bytes:
    """The front of a live file: everything before the first cluster."""
    entries = tracks(label, picture)
    return ebml_header(document(entries)) + SEGMENT + _UNKNOWN_SIZE + info() + entries


_CUE_POINT = struct.Struct(">2s2sQ2s3s2sQ")


def cues(points: list[tuple[int, int]], track: int) -> bytes:
    """Cues for (time in ms, offset of the cluster inside the segment's body)."""
    which = b"\xf7\x81" + bytes([track])
    body = b"".join(
        _CUE_POINT.pack(b"\xbb\x99", b"\xb3\x88", time_ms, b"\xb7\x8d", which, b"\xf1\x88", at)
        for time_ms, at in points
    )
    return element(CUES, body)


CUES_SIZE = len(CUES) + 8
CUE_SIZE = _CUE_POINT.size


def elements(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(id, start, end of the body) of the elements that follow one another in `data`.

    An unknown size reaches to the end. Stops at what is no element.
    """
    at = 0
    while at < len(data):
        id_length = 9 - data[at].bit_length()
        size_at = at + id_length
        if id_length > 4 or size_at >= len(data):
            return
        size_length = 9 - data[size_at].bit_length()
        if size_length > 8:
            return
        size = int.from_bytes(data[size_at : size_at + size_length], "big")
        size &= (1 << 7 * size_length) - 1
        start = size_at + size_length
        end = len(data) if size == (1 << 7 * size_length) - 1 else start + size
        yield data[at:size_at], start, min(end, len(data))
        at = end


def find(data: bytes, *path: bytes) -> bytes | None:
    """Body of the first element along `path` of ids, or None."""
    for id in path:
        bodies = (data[start:end] for found, start, end in elements(data) if found == id)
        body = next(bodies, None)
        if body is None:
            return None
        data = body
    return data


def blocks(cluster: bytes) -> Iterator[Block]:
    """The frames of a cluster that `Muxer` made."""
    (base,) = struct.unpack_from(">Q", cluster, TIMESTAMP_AT)
    for id, start, end in elements(cluster[TIMESTAMP_AT + 8 :]):
        if id == _SIMPLE_BLOCK:
            body = cluster[TIMESTAMP_AT + 8 + start : TIMESTAMP_AT + 8 + end]
            (offset,) = struct.unpack_from(">h", body, 1)
            yield Block(body[0] & 0x7F, base + offset, bool(body[3] & 0x80), body[4:])


_BLOCK = struct.Struct(">BIBhB")


@dataclass
class _Cluster:
    """Frames that wait to become one cluster."""

    since: float
    """Clock of the caller when the first one came."""
    first_us: int
    """Earliest media time."""
    frames: list[tuple[int, int, bool, bytes]] = field(default_factory=list)
    """(media time in µs, track, key frame, data)"""
    bytes: int = 0

    def pack(self, floor_us: int) -> Fragment:
        """The cluster; its timestamp is not before `floor_us`, its blocks may be a little."""
        self.frames.sort(key=lambda frame: frame[0])
        first_us = max(floor_us, self.frames[0][0])
        base = first_us // 1000
        pieces = [_TIMESTAMP, struct.pack(">Q", base)]
        for time_us, track, keyframe, data in self.frames:
            size, flags = 1 << 28 | len(data) + 4, 0x80 if keyframe else 0
            pieces.append(_BLOCK.pack(0xA3, size, 0x80 | track, time_us // 1000 - base, flags))
            pieces.append(data)
        pictures = [keyframe for _, track, keyframe, _ in self.frames if track == VIDEO]
        return Fragment(first_us, element(CLUSTER, b"".join(pieces)), pictures[:1] == [True])


class Muxer:
    """Makes fragments from the frames of one participant.

    `now` is the caller's monotonic clock in seconds: sound and pictures wait by media time, but a
    cluster must also end when no further frame comes.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._cluster: _Cluster | None = None
        self._last_us = {VIDEO: -1000, AUDIO: -1000}
        self._start_us = self._floor_us = 0
        self._begun = False
        self._codec: Codec | None = None
        """Of the pictures, since the first key frame."""
        self._awaits_keyframe = True
        self.left_out = 0
        """Frames not recorded: oversized, of another codec than the stream's, or pictures that no
        key frame goes before."""

    def add(
        self,
        kind: Kind,
        time_us: int,
        data: bytes,
        keyframe: bool,
        now: float,
        codec: Codec = "vp8",
    ) -> list[Fragment]:
        """Take one frame; the fragments that are complete through it."""
        video = kind == "video"
        picture = _PICTURES[codec](data) if video and keyframe else None
        if video and codec == "h264":
            data = h264.prefixed(data)
        if not self._wants(video, codec, data, picture):
            self.left_out += 1
            return []
        done: list[Fragment] = []
        if picture:
            self._awaits_keyframe = False
            done = self.flush() if self._codec else self._begin(picture)
            self._codec = codec
        elif self._cluster and self._ends_before(self._cluster, time_us, len(data)):
            done = self.flush()
        track = VIDEO if video else AUDIO
        # Sound that waited for a lost packet comes after pictures it belongs before. It keeps its
        # time, so that lips and voice stay together; nothing stands before the stream's start.
        time_us = max(
            time_us, self._start_us, self._floor_us - JUMP_US, self._last_us[track] + 1000
        )
        self._last_us[track] = time_us
        cluster = self._cluster
        if cluster is None:
            cluster = self._cluster = _Cluster(now, time_us)
        cluster.first_us = min(cluster.first_us, time_us)
        cluster.frames.append((time_us, track, picture is not None or not video, data))
        cluster.bytes += len(data)
        return done

    def gap(self) -> None:
        """Frames before this point were lost: no picture can be shown until a key frame."""
        self._awaits_keyframe = True

    def _wants(self, video: bool, codec: Codec, data: bytes, picture: Picture | None) -> bool:
        if not data or len(data) > FRAME_LIMIT:
            return False
        if video and self._codec not in (None, codec):
            return False
        return not video or picture is not None or not self._awaits_keyframe

    def due(self, now: float) -> list[Fragment]:
        """Fragments whose time is over although nothing came."""
        wait_us = CLUSTER_US if self._begun else PICTURE_WAIT_US
        if self._cluster is None or (now - self._cluster.since) * 1e6 < wait_us:
            return []
        return self.flush()

    def flush(self) -> list[Fragment]:
        """Everything that was kept; called at the end, too."""
        if self._cluster is None:
            return []
        begin = [] if self._begun else [self._init(None)]
        return begin + self._close()

    def _begin(self, picture: Picture) -> list[Fragment]:
        """Init segment for the first key frame, in front of the sound that waited for it."""
        before = self._close() if self._begun else []
        return [*before, self._init(picture), *self._close()]

    def _init(self, picture: Picture | None) -> Fragment:
        self._begun = True
        first_us = self._floor_us
        if self._cluster is not None:
            first_us = self._cluster.frames[0][0]
        return Fragment(first_us, init_segment(self._label, picture), init=True)

    def _close(self) -> list[Fragment]:
        if self._cluster is None:
            return []
        fragment = self._cluster.pack(self._floor_us)
        self._start_us = self._start_us or fragment.time_us
        self._floor_us = fragment.time_us
        self._cluster = None
        return [fragment]

    def _ends_before(self, cluster: _Cluster, time_us: int, size: int) -> bool:
        """Must the cluster end before a frame of this time and size?"""
        longest_us = CLUSTER_US if self._begun else PICTURE_WAIT_US
        # Sound and pictures may come a little out of order. More than a second is a jump, and a
        # block can stand at most 32 s from its cluster's timestamp.
        jumps_back = cluster.first_us - time_us > JUMP_US
        too_big = cluster.bytes + size > CLUSTER_BYTES
        return too_big or jumps_back or time_us - cluster.first_us >= longest_us
