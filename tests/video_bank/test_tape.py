"""What of a call goes into which stream of its recording."""

from dataclasses import dataclass
from typing import Any, Literal

from video_bank.tape import Codec, Tape


@dataclass(frozen=True)
class Frame:
    participant: str
    kind: Literal["audio", "video"] = "video"
    codec: str = "vp8"
    screen: bool = False
    data: bytes = b"-"
    time_us: int = 0
    keyframe: bool = True


class Reel:
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.frames: list[tuple[str, str, str]] = []

    def stream(self, label: str) -> int:
        self.labels.append(label)
        return len(self.labels)

    def frame(
        self, stream: int, kind: str, _time: int, _data: bytes, _key: bool, codec: Codec = "vp8"
    ) -> None:
        self.frames.append((self.labels[stream - 1], kind, codec))


def take(tape: Tape, role: str, *frames: Any) -> None:
    for frame in frames:
        tape.take(role, frame)


def test_one_stream_for_each_person_each_share_and_each_codec() -> None:
    reel = Reel()
    tape = Tape(reel)
    tape.begin("c", "customer")
    tape.begin("t", "teller")
    sound, picture = Frame("t", "audio", "opus"), Frame("t")
    take(tape, "teller", sound, picture, sound)
    take(tape, "customer", Frame("c", "audio", "opus"))
    assert reel.labels == ["customer", "teller"]
    # Another teller takes over; the first comes back later.
    take(tape, "teller", Frame("t2"), Frame("t2", "audio", "opus"), picture)
    assert reel.labels[2:] == ["teller 2"]
    # A screen is shared twice.
    shared = Frame("t2", screen=True)
    tape.screen_began("t2")
    take(tape, "teller", shared, shared)
    tape.screen_ended("t2")
    take(tape, "teller", shared)  # late: it makes no stream of its own
    assert reel.labels[3:] == ["teller screen"]
    tape.screen_began("t2")
    take(tape, "teller", shared)
    assert reel.labels[3:] == ["teller screen", "teller screen 2"]
    # The customer comes back with a browser that speaks H264 only: sound goes where pictures go.
    reel.frames.clear()
    take(tape, "customer", Frame("c"), Frame("c", codec="h264"), Frame("c", "audio", "opus"))
    assert reel.frames == [
        ("customer", "video", "vp8"),
        ("customer 2", "video", "h264"),
        ("customer 2", "audio", "vp8"),
    ]
