"""What of a call goes into which stream of its recording."""

from collections.abc import Mapping
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
    level: int = 127


class Reel:
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.frames: list[tuple[str, str, str]] = []
        self.events: list[tuple[int, Mapping[str, Any]]] = []

    def stream(self, label: str) -> int:
        self.labels.append(label)
        return len(self.labels)

    def frame(
        self, stream: int, kind: str, _time: int, _data: bytes, _key: bool, codec: Codec = "vp8"
    ) -> None:
        self.frames.append((self.labels[stream - 1], kind, codec))

    def event(self, time_us: int, body: Mapping[str, Any]) -> None:
        self.events.append((time_us, body))


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


def speak(start_us: int, seconds: float, level: int) -> list[Frame]:
    """Packets of 20 ms."""
    times = range(start_us, start_us + int(seconds * 1e6), 20_000)
    return [Frame("c", "audio", "opus", time_us=time, level=level) for time in times]


def test_who_spoke_how_loud_goes_beside_the_streams() -> None:
    reel = Reel()
    tape = Tape(reel)
    take(tape, "customer", *speak(1_000_000, 4, 30), *speak(5_000_000, 1, 127))
    assert reel.events == [], "ten seconds go into one event"
    # A knock of one packet is heard in its step; nothing comes for 3 s; then the next ten seconds.
    take(tape, "customer", *speak(6_000_000, 0.02, 5), *speak(9_000_000, 2.5, 40))
    ((time_us, body),) = reel.events
    assert time_us == 10_980_000
    values = body.pop("values")  # type: ignore[attr-defined]
    assert body == {"kind": "levels", "stream": 1, "from_us": 1_000_000, "step_ms": 200}
    assert values == [30] * 20 + [127] * 5 + [5] + [127] * 14 + [40] * 10
    tape.finish()
    assert reel.events[1][1]["from_us"] == 11_000_000 and reel.events[1][1]["values"] == [40] * 3


def test_of_silence_and_of_browsers_that_do_not_measure_there_is_nothing() -> None:
    reel = Reel()
    tape = Tape(reel)
    take(tape, "customer", *speak(0, 12, 127), *speak(3_000_000, 0.1, 10))
    tape.finish()
    assert reel.events == [], "the loud one was late: its ten seconds were over"
