"""What of a call goes into which stream of its recording.

One stream for each person's camera and microphone, over all reconnects, and one for each time a
screen is shared.  A stream speaks one video codec: when the codec changes, a new one begins.

How loud everybody spoke goes beside it, as events of the kind ``levels``: the waveform of a replay
is drawn from them without opening an hour of sound.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Codec = Literal["vp8", "h264"]
Key = tuple[str, str, bool]
"Person, role, screen."
STEP_MS = 200
"One value of loudness for so long: a syllable."
STEPS = 50
"Values in one event: one is written each ten seconds of sound."
SILENCE = 127
"In -dBov (RFC 6464); also what a browser says that does not measure."


class Frame(Protocol):
    """One encoded frame of a participant."""

    @property
    def participant(self) -> str: ...
    @property
    def kind(self) -> Literal["audio", "video"]: ...
    @property
    def codec(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def time_us(self) -> int: ...
    @property
    def keyframe(self) -> bool: ...
    @property
    def screen(self) -> bool: ...
    @property
    def level(self) -> int: ...


class Recorder(Protocol):
    """What writes the streams down."""

    def stream(self, label: str) -> int:
        """A new stream; its number."""

    def frame(
        self,
        stream: int,
        kind: Literal["audio", "video"],
        time_us: int,
        data: bytes,
        keyframe: bool,
        codec: Codec = "vp8",
    ) -> None:
        """The stream's next frame; ``codec`` of its pictures."""

    def event(self, time_us: int, body: Mapping[str, object]) -> None:
        """Something that happened."""


@dataclass
class Stream:
    """A stream that is being written."""

    number: int
    codec: str | None = None
    "Of its pictures; None before the first."
    first: int = 0
    "Step of the media time at which the loudness below begins."
    loudest: list[int] = field(default_factory=list)
    "Of each step since then, not yet written, in -dBov."
    heard_us: int = 0
    "Media time of the newest sound."


class Tape:
    """The streams of one call."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._streams: dict[Key, Stream] = {}
        self._labels: Counter[str] = Counter()
        self._sharing: set[str] = set()

    def begin(self, participant: str, role: str) -> None:
        """Make a person's stream before the first frame, so that it has the lowest number."""
        self._streams[participant, role, False] = self._open(role)

    def take(self, role: str, frame: Frame) -> None:
        """Write a frame of somebody who is there in this role."""
        if frame.screen and frame.participant not in self._sharing:
            return  # what was on its way when the share ended
        key = (frame.participant, role, frame.screen)
        stream = self._streams.get(key)
        if stream is None or _speaks_another(stream, frame):
            if stream is not None:
                self._note(stream)
            stream = self._open(f"{role} screen" if frame.screen else role)
            self._streams[key] = stream
        if frame.kind == "video":
            stream.codec = frame.codec
        else:
            self._hear(stream, frame)
        codec: Codec = "h264" if frame.codec == "h264" else "vp8"
        self._recorder.frame(
            stream.number, frame.kind, frame.time_us, frame.data, frame.keyframe, codec
        )

    def screen_began(self, participant: str) -> None:
        """This person shares a screen: a stream of its own begins with the first frame."""
        self._sharing.add(participant)

    def screen_ended(self, participant: str) -> None:
        """The share is over, and its stream too."""
        self._sharing.discard(participant)
        for key in [key for key in self._streams if key[0] == participant and key[2]]:
            self._note(self._streams.pop(key))

    def finish(self) -> None:
        """Write down what was heard last; the recorder ends next."""
        for stream in self._streams.values():
            self._note(stream)

    def _hear(self, stream: Stream, frame: Frame) -> None:
        step = frame.time_us // (STEP_MS * 1000)
        if step >= stream.first + STEPS:
            self._note(stream)
        if not stream.loudest:
            stream.first = step
        place = step - stream.first
        if place < 0:
            return  # late, and its step is written down already
        silent = place + 1 - len(stream.loudest)
        stream.loudest += [SILENCE] * silent
        stream.loudest[place] = min(stream.loudest[place], frame.level)
        stream.heard_us = frame.time_us

    def _note(self, stream: Stream) -> None:
        """An event of the loudness so far; where nothing was heard, there is none."""
        values, stream.loudest = stream.loudest, []
        if min(values, default=SILENCE) == SILENCE:
            return
        body = {
            "kind": "levels",
            "stream": stream.number,
            "from_us": stream.first * STEP_MS * 1000,
            "step_ms": STEP_MS,
            "values": values,
        }
        self._recorder.event(stream.heard_us, body)

    def _open(self, label: str) -> Stream:
        self._labels[label] += 1
        number = self._labels[label]
        return Stream(self._recorder.stream(label if number == 1 else f"{label} {number}"))


def _speaks_another(stream: Stream, frame: Frame) -> bool:
    return frame.kind == "video" and stream.codec not in (None, frame.codec)
