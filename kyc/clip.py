"""Video files for the commands: judged before they are decoded, read within bounds, upright.

What a file claims is not believed. Its kind is told by its first bytes and the demuxer is named,
so that no text file becomes a playlist and nothing else is opened because a file says so; all
packets are counted without decoding any; the decoder itself refuses larger pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from kyc.check import BadInput
from kyc.image import MIN_SIDE, Bgr, Frame

MAX_BYTES = 256 << 20
MAX_SECONDS = 300.0
MAX_PICTURES = 18_000  # five minutes at 60 a second
MAX_PIXELS = 2560 * 1440
MAX_SIDE = 2560
CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg")

_EBML, _FTYP = b"\x1a\x45\xdf\xa3", b"ftyp"
_OPTIONS = {"max_pixels": str(MAX_PIXELS), "threads": "1"}


@dataclass(frozen=True)
class Clip:
    """A video file that can be read."""

    path: Path
    width: int
    "As shown: turned as the file says."
    height: int
    pictures: int
    "Counted, not claimed."
    seconds: float
    "From the first picture to the end of the last."

    @classmethod
    def open(cls, path: Path) -> Clip:
        """Judge a file; BadInput (`not_a_video`, `no_pictures`, `video_too_large`,
        `video_too_long`, `video_truncated`, `video_codec`) or OSError when it cannot be read.

        Nothing but the first picture is decoded: well under a second.
        """
        kind = _kind(path)
        with _opened(path, kind) as container:
            pictures, seconds = _packets(container, _stream(container, path), path)
        with _opened(path, kind) as container:
            first = next(_decoded(container, _stream(container, path), path), None)
            if first is None:
                raise BadInput("no_pictures", f"{path}: no picture can be decoded")
            height, width = _upright(first[1]).shape[:2]
        return cls(path, width, height, pictures, seconds)

    def frames(self, fps: float | None = None) -> Iterator[Frame]:
        """The pictures from the start, at most ``fps`` a second; the first one's time is 0.

        BadInput when the file turns out damaged on the way.
        """
        due_us = 0.0
        with _opened(self.path, _kind(self.path)) as container:
            for time_us, shown in _decoded(container, _stream(container, self.path), self.path):
                if fps is not None and time_us + 1 < due_us:
                    continue
                due_us = max(due_us + 1e6 / fps, time_us) if fps is not None else 0.0
                yield Frame(_upright(shown), time_us)


def _kind(path: Path) -> str:
    """The demuxer for the file, by its first bytes."""
    if path.stat().st_size > MAX_BYTES:
        raise BadInput("video_too_large", f"{path}: more than {MAX_BYTES >> 20} MB")
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == _FTYP:
        return "mp4"
    if head[:4] == _EBML:
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    raise BadInput("not_a_video", f"{path}: neither MP4 nor Matroska, WebM or AVI")


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Any]:
    """The container; whatever the library says of bad data becomes BadInput."""
    with path.open("rb") as file:
        try:
            # An open file, not a name: names can hold protocols.
            with av.open(file, format=kind, options=_OPTIONS) as container:
                yield container
        except (FFmpegError, ValueError, OverflowError) as error:
            raise BadInput("not_a_video", f"{path}: damaged, or not a video") from error


def _stream(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise BadInput("no_pictures", f"{path}: sound only, no pictures")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None or context.name not in CODECS:
        raise BadInput("video_codec", f"{path}: its codec is not one of {', '.join(CODECS)}")
    _fits(context.width, context.height, path)
    return stream


def _fits(width: int, height: int, path: Path) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise BadInput("video_too_large", f"{path}: pictures of more than {MAX_PIXELS} pixels")
    if min(width, height) < MIN_SIDE:
        raise BadInput("picture_too_small", f"{path}: pictures of less than {MIN_SIDE} pixels")


def _packets(container: Any, stream: Any, path: Path) -> tuple[int, float]:
    """How many pictures there are and how long they last, in seconds."""
    count, first, last = 0, None, 0.0
    for packet in container.demux(stream):
        if packet.size == 0:  # the end's flush
            continue
        if packet.is_corrupt:
            raise BadInput("video_truncated", f"{path}: the file is cut off")
        count += 1
        if packet.pts is not None:
            at = float(packet.pts * packet.time_base)
            first = at if first is None else min(first, at)
            last = max(last, at + float((packet.duration or 0) * packet.time_base))
        if count > MAX_PICTURES or last - (first or 0.0) > MAX_SECONDS:
            raise BadInput("video_too_long", f"{path}: longer than {MAX_SECONDS:.0f} s")
    if not count:
        raise BadInput("no_pictures", f"{path}: no pictures in it")
    if count < stream.frames:  # what the header counted; 0 where it does not
        raise BadInput("video_truncated", f"{path}: the file is cut off")
    return count, last - (first or 0.0)


def _decoded(container: Any, stream: Any, path: Path) -> Iterator[tuple[int, Any]]:
    """Time since the first picture, microseconds, always growing; the picture as decoded."""
    first, last = None, -1
    for count, frame in enumerate(container.decode(stream)):
        if count >= MAX_PICTURES:
            raise BadInput("video_too_long", f"{path}: more than {MAX_PICTURES} pictures")
        _fits(frame.width, frame.height, path)  # may change on the way
        at = frame.time if frame.time is not None else count / float(stream.average_rate or 25)
        first = at if first is None else first
        time_us = round((at - first) * 1e6)
        if time_us <= last:
            continue
        last = time_us
        yield time_us, frame


def _upright(frame: Any) -> Bgr:
    bgr = frame.to_ndarray(format="bgr24")
    # Its display matrix turns the picture against the clock.
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(bgr, turns) if turns else bgr)
