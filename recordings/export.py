"""One video of a sealed session: everybody side by side, mixed sound, a clock burnt in.

`python -m recordings.export` reads one JSON object from its standard input and renders in a process
of its own, at the lowest priority and on one processor, so that live calls are not hurt:

    {"parts": [{"path": "…/001.vbr", "dek": "64 hexadecimal digits", "wall_us": 1795000000000000}],
     "out": "directory/video", "session": "S-1", "names": {"customer": "客户 Customer"},
     "offset_min": 480, "format": "mp4"}

A part may have `"open_us": [[from, to], …]`, the media times (µs) at which a supervisor spoke to
everybody. What supervisors say at other times is a whisper to a colleague and is left out of the
sound; without `open_us` all of it is.

`wall_us` is the wall clock at media time 0 (µs since 1970 UTC); with null it is taken from the
signed checkpoints, up to half a second late. Keys come this way only: never as an argument, in the
environment, in a log or in a core file. Nothing decrypted reaches a disk but the finished video.

It answers in JSON lines, {"progress": 0.25} at least once a second, at the end {"done": {…}} (see
`Rendered`) or {"failed": "reason"}, and exits with 0 or 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from .container import RECORD_HEADER, Checkpoint, PartReader, Type
from .errors import Damaged, RecordingError
from .playout import RATE, Playout
from .replay import streams
from .stage import Stage, is_screen
from .store import LocalSource, Source

FPS = 25
TICK_US = 1_000_000 // FPS
TICK_SAMPLES = RATE // FPS
LONGEST_US = 12 * 3600 * 1_000_000
"""No session lasts longer; a damaged time must not make a video that fills the disk."""
TELL_S = 0.5
NEAR_US = 30_000_000
"""Two clocks that say the same up to this much are one; setting up a call takes some of it."""
NICENESS = 15
JOB_LIMIT = 1 << 20
ALWAYS = ("customer", "teller")
"""Their places stay, with or without a picture; others have one while they are there."""
ORDER = ("customer", "teller", "co_customer")

Format = Literal["mp4", "mkv"]


class NothingRecorded(RecordingError):
    """No part has a stream that can be shown."""


@dataclass(frozen=True)
class Footage:
    """One part, ready to be read."""

    reader: PartReader
    source: Source
    wall_us: int | None = None
    """Wall clock at media time 0, if somebody knows it better than the part itself."""
    open_us: Sequence[tuple[int, int]] = ()
    """Media times at which a supervisor spoke to everybody; what is said else is a whisper."""


@dataclass(frozen=True)
class Rendered:
    """What was made."""

    file: str
    """Name of the file, without its directory."""
    start_us: int
    """Media time of its first picture."""
    duration_us: int
    video: str
    audio: str
    """Names of the codecs."""
    chinese: bool
    """Was there a font for Chinese? If not, names are written in Latin letters only."""
    unreadable: int
    """Records left out because they are not what was sealed."""
    whispers: bool
    """Is there a supervisor's stream, whose whispers are not in the sound?"""
    cpu_s: float


def render(
    footage: Sequence[Footage],
    out: Path,
    *,
    session: str,
    names: Mapping[str, str],
    offset_min: int = 0,
    format: Format | None = None,
    width: int = 1280,
    height: int = 720,
    progress: Callable[[float], None] = lambda done: None,
) -> Rendered:
    """Make `out` with the suffix of its format; a file that is only half made is removed.

    `format`: "mp4" is H.264 with AAC, "mkv" VP8 with Opus; None is the first one that the
    installed encoders can make. `NothingRecorded` if there is nothing to show.
    """
    footage = sorted(footage, key=lambda each: int(each.reader.preamble.header["part"]))
    by_part = [_playouts(each) for each in footage]
    if not any(by_part):
        raise NothingRecorded("no part has a stream")
    shifts = _shifts(footage, by_part)
    for some, shift_us in zip(by_part, shifts, strict=True):
        for track in some:
            track.move(shift_us)
    tracks = [track for some in by_part for track in some]
    start_us = min(track.start_us for track in tracks) // TICK_US * TICK_US
    end_us = max(track.end_us for track in tracks)
    if end_us - start_us > LONGEST_US:
        raise Damaged("record_malformed", f"lasts {(end_us - start_us) // 1_000_000} s")
    kind: Format = format or ("mp4" if _h264() else "mkv")
    file = out.with_name(f"{out.name}.{kind}")
    stage = Stage(width, height, names)
    clock = _Clock(footage, shifts, session, offset_min)
    try:
        with _Film(file, kind, stage) as film:
            ticks = -(-(end_us - start_us) // TICK_US)
            told = time.monotonic()
            for tick in range(ticks):
                at_us = start_us + tick * TICK_US
                _draw(stage, tracks, at_us)
                stage.tell_time(clock.line(at_us))
                film.add(stage.frame(), _mix(tracks, at_us))
                if time.monotonic() - told >= TELL_S:
                    told = time.monotonic()
                    progress(tick / ticks)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    unreadable = sum(track.unreadable for track in tracks)
    return Rendered(
        file.name, start_us, ticks * TICK_US, film.video_codec, film.audio_codec,
        stage.cjk, unreadable, any(track.confided for track in tracks), time.process_time(),
    )  # fmt: skip


def _playouts(footage: Footage) -> list[Playout]:
    found = []
    for each in streams(footage.reader):
        with contextlib.suppress(Damaged):
            found.append(Playout(footage.reader, each.number, each.label))
            if each.label.startswith("supervisor"):
                found[-1].confide(footage.open_us)
    return found


def _shifts(footage: Sequence[Footage], tracks: Sequence[Sequence[Playout]]) -> list[int]:
    """What is added to each part's media times. Normally nothing; if the clock of a part began
    anew, the part stands where it stood by the wall clock, never over the part before."""
    shifts: list[int] = []
    end_us, first_created = 0, int(footage[0].reader.preamble.header["created"])
    for each, mine in zip(footage, tracks, strict=True):
        since_us = int(each.reader.preamble.header["created"]) - first_created
        start_us = min((track.start_us for track in mine), default=end_us)
        anew = start_us < end_us or start_us + NEAR_US < since_us
        shifts.append(max(end_us - start_us, since_us) if anew and shifts else 0)
        end_us = max([end_us, *(track.end_us + shifts[-1] for track in mine)])
    return shifts


def _draw(stage: Stage, tracks: Sequence[Playout], at_us: int) -> None:
    stage.place(_present(tracks, at_us))
    pictures: dict[str, av.VideoFrame | None] = {}
    for track in tracks:
        if track.runs(at_us):
            pictures[track.label] = track.picture(at_us) or pictures.get(track.label)
    for label in stage.labels:
        stage.show(label, pictures.get(label))


def _present(tracks: Sequence[Playout], at_us: int) -> list[str]:
    """The labels to be seen at a moment: who is there, and the two who always have a place."""
    here = {track.label for track in tracks if track.runs(at_us)}
    for role in ALWAYS:
        same = [track for track in tracks if _role(track.label) == role]
        if same and not any(_role(label) == role for label in here):
            earlier = [track for track in same if track.start_us <= at_us]
            here.add((earlier[-1] if earlier else same[0]).label)
    return sorted(here, key=_rank)


def _role(label: str) -> str:
    """"customer" of "customer 2"; a screen is nobody's place."""
    return label if is_screen(label) else label.rstrip("0123456789 ")


def _rank(label: str) -> tuple[int, str]:
    role = _role(label)
    return (ORDER.index(role) if role in ORDER else len(ORDER), label)


def _mix(tracks: Sequence[Playout], at_us: int) -> av.AudioFrame:
    """Everybody's sound of one tick, added up; what is whispered is read and thrown away."""
    mix = np.zeros(TICK_SAMPLES, np.float32)
    first = at_us * RATE // 1_000_000
    for track in tracks:
        track.add_sound(mix if track.heard(at_us) else np.zeros_like(mix), first)
    np.clip(mix, -1, 1, out=mix)
    frame = av.AudioFrame.from_ndarray(mix[None, :], "fltp", "mono")
    frame.sample_rate = RATE
    return frame


class _Clock:
    """What the line above the pictures says."""

    def __init__(
        self, footage: Sequence[Footage], shifts: Sequence[int], session: str, offset_min: int
    ) -> None:
        self._zones = timezone(timedelta(minutes=offset_min))
        sign, minutes = "+-"[offset_min < 0], abs(offset_min)
        self._zone = f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}"
        self._session = session
        starts = []
        for each, shift_us in zip(footage, shifts, strict=True):
            times = [one.start_us for one in streams(each.reader)]
            wall = signed_wall_us(each) if each.wall_us is None else each.wall_us
            if times and wall is not None:
                starts.append((min(times) + shift_us, wall - shift_us))
        self._starts = sorted(starts)
        """(first media time of a part, wall clock at media time 0 by that part)"""

    def line(self, at_us: int) -> str:
        return f"{self._wall(at_us)}{_media_time(at_us)}   {self._session}"

    def _wall(self, at_us: int) -> str:
        earlier = [wall for start, wall in self._starts if start <= at_us] or [
            wall for _, wall in self._starts[:1]
        ]
        if not earlier:
            return ""
        utc = datetime.fromtimestamp((earlier[-1] + at_us) / 1e6, UTC)
        local = utc.astimezone(self._zones)
        tenth = utc.microsecond // 100_000
        return f"{utc:%Y-%m-%d %H:%M:%S}.{tenth} UTC   {local:%m-%d %H:%M:%S} {self._zone}   "


def _media_time(at_us: int) -> str:
    seconds, ms = divmod(at_us // 1000, 1000)
    return f"+{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def signed_wall_us(footage: Footage) -> int | None:
    """Wall clock at media time 0 by the signed checkpoints: what they say about a moment comes at
    most half a second after it, so the earliest answer is the best. None without a checkpoint."""
    best: int | None = None
    for record in footage.reader.select(Type.CHECKPOINT):
        if not record.time_us:
            continue
        raw = footage.source.read(record.offset + RECORD_HEADER, record.length)
        zero = Checkpoint.unpack(raw).wall_us - record.time_us
        best = zero if best is None else min(best, zero)
    return best


class _Film:
    """The file being written, with constant 25 pictures a second."""

    def __init__(self, file: Path, kind: Format, stage: Stage) -> None:
        options = {"movflags": "+faststart"} if kind == "mp4" else {}
        name = "mp4" if kind == "mp4" else "matroska"
        self._container = av.open(str(file), "w", format=name, container_options=options)
        self.video_codec = _h264() if kind == "mp4" else "libvpx"
        self.audio_codec = "aac" if kind == "mp4" else "libopus"
        pictures = self._container.add_stream(self.video_codec, rate=FPS)
        assert isinstance(pictures, av.VideoStream)
        context = pictures.codec_context
        context.width, context.height, context.pix_fmt = stage.width, stage.height, "yuv420p"
        context.time_base = Fraction(1, FPS)
        context.thread_count = 1
        context.gop_size = 5 * FPS
        context.colorspace = 6  # BT.601, as browsers encode VP8
        context.options = dict(ENCODING[self.video_codec])
        if self.video_codec != "libx264":
            context.bit_rate = 1_200_000
        sound = self._container.add_stream(self.audio_codec, rate=RATE, layout="mono")
        assert isinstance(sound, av.AudioStream)
        sound.bit_rate = 64_000
        self._pictures, self._sound = pictures, sound
        self._number = 0

    def __enter__(self) -> _Film:
        return self

    def add(self, picture: av.VideoFrame, sound: av.AudioFrame) -> None:
        """The next picture and what is heard with it."""
        picture.pts, picture.time_base = self._number, Fraction(1, FPS)
        sound.pts, sound.time_base = self._number * TICK_SAMPLES, Fraction(1, RATE)
        self._container.mux(self._pictures.encode(picture))
        self._container.mux(self._sound.encode(sound))
        self._number += 1

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._container.mux(self._pictures.encode(None))
            self._container.mux(self._sound.encode(None))
        self._container.close()


ENCODING: dict[str, dict[str, str]] = {
    "libx264": {"preset": "superfast", "crf": "25"},
    "libopenh264": {},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
}
"""How each encoder is told to be quick: an export shares the machine with live calls."""


def _h264() -> str:
    """The H.264 encoder there is, empty if none.

    x264 is under the GPL; it is in PyAV's wheel beside FFmpeg (LGPL), and is used here by its
    installed name only. Whoever hands on an image with it hands on a GPL library.
    """
    return next((name for name in ("libx264", "libopenh264") if name in av.codecs_available), "")


def main() -> int:
    """Do the job on the standard input; see the head of this file."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so the half file goes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold keys
    os.nice(NICENESS)
    os.umask(0o077)
    try:
        job = json.loads(sys.stdin.buffer.read(JOB_LIMIT))
        made = film(job, lambda done: _say({"progress": round(done, 4)}))
    except (RecordingError, OSError, ValueError, KeyError, av.FFmpegError) as error:
        _say({"failed": _reason(error)})
        return 1
    _say({"done": asdict(made)})
    return 0


def film(job: Mapping[str, Any], told: Callable[[float], None]) -> Rendered:
    """Render what `job` asks for (see the head of this file); all but `parts` and `out` may be
    left out."""
    footage = []
    for part in job["parts"]:
        source = LocalSource(Path(part["path"]))
        reader = PartReader(source, bytes.fromhex(part["dek"]))
        spans = [(int(since), int(until)) for since, until in part.get("open_us") or ()]
        footage.append(Footage(reader, source, part.get("wall_us"), spans))
    if not footage:
        raise NothingRecorded("no part has a stream")
    return render(
        footage,
        Path(job["out"]),
        session=str(job.get("session") or footage[0].reader.preamble.header["session"]),
        names=dict(job.get("names", {})),
        offset_min=int(job.get("offset_min", 0)),
        format=job.get("format"),
        width=int(job.get("width", 1280)),
        height=int(job.get("height", 720)),
        progress=told,
    )


def _reason(error: Exception) -> str:
    """What went wrong, without anything that was in the job."""
    if isinstance(error, RecordingError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
