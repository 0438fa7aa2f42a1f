"""One sealed stream decoded forwards, in little memory: picture and sound at any media time."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence

import av
import numpy as np
from numpy.typing import NDArray

from . import matroska
from .container import Flag, PartReader, Record, Type
from .errors import Damaged

RATE = 48_000
"""Samples a second, which is Opus's own clock."""
AHEAD_US = 1_200_000
"""How far records are read ahead: sound may stand up to 1 s before its cluster (FORMAT.md)."""
HOLD_US = 3_000_000
"""A picture older than this is no picture: the camera is off, or nothing arrives. A screen on
which nothing moves is sent once a second."""
TOLERANCE = RATE * 20 // 1000
"""Samples. Sound whose time is off by less follows the sound before it without a seam."""

Samples = NDArray[np.float32]


class Playout:
    """One stream of one part. Times only ever grow from call to call."""

    def __init__(self, reader: PartReader, number: int, label: str) -> None:
        """`Damaged` if the stream has nothing in it, or its ends can't be opened."""
        self._reader = reader
        mine, columns = reader.numbers(Type.DATA, number), reader.columns()
        inits = [each for each in mine if columns.flags[each] & Flag.INIT]
        # Numbers and times in arrays: an hour's records as objects take 30 times as much.
        self._clusters = array("Q", (each for each in mine if not columns.flags[each] & Flag.INIT))
        self._times_us = array("Q", (columns.times_us[each] for each in self._clusters))
        self._place = 0
        "Of the next cluster."
        if not inits or not self._clusters:
            raise Damaged("record_malformed", f"stream {number} has nothing in it")
        self.label = label
        self.start_us = self._times_us[0]
        self.end_us = _end_us(reader, reader[self._clusters[-1]])
        self._shift_us = 0
        self._open: Sequence[tuple[int, int]] | None = None
        self.unreadable = 0
        """Records that are not what was sealed."""
        self._pictures: deque[matroska.Block] = deque()
        self._sounds: deque[matroska.Block] = deque()
        self._video = _video_decoder(reader.open(reader[inits[-1]]))
        self._audio = av.AudioCodecContext.create("libopus", "r")
        self._audio.sample_rate, self._audio.layout = RATE, "stereo"
        self._frame: av.VideoFrame | None = None
        self._frame_us = 0
        self._ready: deque[tuple[int, Samples]] = deque()
        """Decoded sound: (number of the first sample since media time 0, samples)."""
        self._next_sample = 0

    def move(self, shift_us: int) -> None:
        """Lie later by so much, before anything is looked at: parts share one time line."""
        self._shift_us += shift_us
        self.start_us += shift_us
        self.end_us += shift_us

    def confide(self, open_us: Sequence[tuple[int, int]]) -> None:
        """Be heard only from and to these media times of its part: else it was said to some."""
        self._open = open_us

    @property
    def confided(self) -> bool:
        """Is it not always heard?"""
        return self._open is not None

    def heard(self, at_us: int) -> bool:
        """Was everybody meant to hear it at this time?"""
        at_us -= self._shift_us
        return self._open is None or any(since <= at_us < until for since, until in self._open)

    def runs(self, at_us: int) -> bool:
        """Was the stream being written at this time?"""
        return self.start_us <= at_us < self.end_us

    def picture(self, at_us: int) -> av.VideoFrame | None:
        """What was to be seen at `at_us`: the same object for as long as it is the same picture."""
        runs = self.runs(at_us)
        at_us -= self._shift_us
        self._read(at_us)
        while self._pictures and self._pictures[0].time_ms * 1000 <= at_us:
            self._see(self._pictures.popleft())
        if self._frame is None or not runs or at_us - self._frame_us > HOLD_US:
            return None
        return self._frame

    def add_sound(self, mix: Samples, first: int) -> None:
        """Add what was to be heard to `mix`, whose first sample is number `first`."""
        first -= self._shift_us * RATE // 1_000_000
        end = first + len(mix)
        self._read(end * 1_000_000 // RATE)
        while self._sounds and _sample_at(self._sounds[0]) < end:
            self._hear(self._sounds.popleft())
        while self._ready and self._ready[0][0] < end:
            start, samples = self._ready[0]
            taken = samples[max(0, first - start) : end - start]
            at = max(start, first) - first
            mix[at : at + len(taken)] += taken
            if start + len(samples) > end:
                return  # the rest of it belongs to the next call
            self._ready.popleft()

    def _read(self, at_us: int) -> None:
        end = len(self._clusters)
        while self._place < end and self._times_us[self._place] <= at_us + AHEAD_US:
            self._place += 1
            try:
                cluster = self._reader.open(self._reader[self._clusters[self._place - 1]])
            except Damaged:
                self.unreadable += 1  # a gap, like any other; what can be shown is shown
                continue
            for block in matroska.blocks(cluster):
                kept = self._pictures if block.track == matroska.VIDEO else self._sounds
                kept.append(block)

    def _see(self, block: matroska.Block) -> None:
        packet = av.Packet(block.data)
        packet.pts = block.time_ms
        if self._video is None:
            return
        try:
            for frame in self._video.decode(packet):
                self._frame, self._frame_us = frame, block.time_ms * 1000
        except av.FFmpegError:
            return  # a browser may send what no decoder takes; the next key frame mends it

    def _hear(self, block: matroska.Block) -> None:
        try:
            frames = self._audio.decode(av.Packet(block.data))
        except av.FFmpegError:
            return  # silence, as everybody in the call had it
        start = _sample_at(block)
        if abs(start - self._next_sample) <= TOLERANCE:
            start = self._next_sample
        for frame in frames:
            samples = _mono(frame)
            # Sound that lies over the sound before it would be heard twice.
            samples = samples[max(0, self._next_sample - start) :]
            start = max(start, self._next_sample)
            if len(samples):
                self._ready.append((start, samples))
                start = self._next_sample = start + len(samples)


def _video_decoder(init: bytes) -> av.VideoCodecContext | None:
    """The decoder an init segment asks for; None for a stream of sound alone."""
    tracks = matroska.find(init, matroska.SEGMENT, matroska.TRACKS) or b""
    for _, start, end in matroska.elements(tracks):
        entry = tracks[start:end]
        codec = matroska.find(entry, b"\x86")
        if codec not in (b"V_VP8", b"V_MPEG4/ISO/AVC"):
            continue
        made = av.CodecContext.create("vp8" if codec == b"V_VP8" else "h264", "r")
        assert isinstance(made, av.VideoCodecContext)
        made.extradata = matroska.find(entry, b"\x63\xa2")
        made.thread_count = 1  # calls under way need the other processors
        made.flags |= av.codec.context.Flags.low_delay
        return made
    return None


def _end_us(reader: PartReader, last: Record) -> int:
    """Media time at which the last frame of a stream is over."""
    end = last.time_us
    for block in matroska.blocks(reader.open(last)):
        kind: matroska.Kind = "video" if block.track == matroska.VIDEO else "audio"
        end = max(end, block.time_ms * 1000 + matroska.FRAME_US[kind])
    return end


def _sample_at(block: matroska.Block) -> int:
    return block.time_ms * RATE // 1000


def _mono(frame: av.AudioFrame) -> Samples:
    """One channel between -1 and 1."""
    data = frame.to_ndarray()
    if data.dtype == np.int16:
        data = data.astype(np.float32) / 32_768
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    mixed: Samples = data.mean(axis=0, dtype=np.float32)
    return mixed
