"""Sound on demand: right pitch, right time, nothing decoded while nobody listens."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from signaling import listen as module
from signaling.listen import RATE, Decoder, Sound, listen
from signaling.room import EncodedFrame


def packets(seconds: float, hertz: float = 440.0) -> list[bytes]:
    """A tone as Opus packets of 20 ms at 24 kb/s."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoder.bit_rate = 24_000
    encoder.open()
    wave = 9000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * 48_000)) / 48_000)
    made: list[bytes] = []
    for start in range(0, len(wave) - 959, 960):
        block = wave[None, start : start + 960].astype(np.int16)
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        made += [bytes(packet) for packet in encoder.encode(frame)]
    return made


def frames(data: list[bytes], start_us: int = 1_000_000) -> list[EncodedFrame]:
    return [
        EncodedFrame("c", "audio", "opus", each, start_us + at * 20_000, True)
        for at, each in enumerate(data)
    ]


def pitch(sound: Sound) -> float:
    samples = np.frombuffer(sound.pcm, np.int16).astype(float)
    spectrum = abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE / len(samples))


class StubRoom:
    """What `listen` uses of a room."""

    def __init__(self) -> None:
        self.subscriber: Callable[[EncodedFrame], None] | None = None

    def subscribe(
        self, participant: str, subscriber: Callable[[EncodedFrame], None]
    ) -> Callable[[], None]:
        self.subscriber = subscriber

        def unsubscribe() -> None:
            self.subscriber = None

        return unsubscribe


def test_a_tone_keeps_its_pitch_length_and_time() -> None:
    (sound,) = Decoder().decode(frames(packets(1.0)))
    assert sound.time_us == 1_000_000
    assert abs(len(sound.pcm) / 2 / RATE - 1.0) < 0.03
    assert abs(pitch(sound) - 440) < 3


def test_a_gap_ends_a_piece_and_one_lost_packet_does_not() -> None:
    made = frames(packets(1.0))
    lost = made[:10] + made[11:25] + made[40:]
    first, second = Decoder().decode(lost)
    assert first.time_us == 1_000_000
    assert second.time_us == 1_000_000 + 40 * 20_000


def test_what_is_no_opus_is_left_out() -> None:
    made = frames(packets(0.4))
    broken = [made[0]._replace(data=b"\xff\xff\xff"), *made[1:]]
    pieces = Decoder().decode(broken)
    assert abs(sum(len(each.pcm) for each in pieces) / 2 / RATE - 0.4) < 0.06


async def test_it_listens_only_while_somebody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_S", 0.01)
    room: Any = StubRoom()
    sounds = listen(room, "c")
    assert room.subscriber is None
    coming = asyncio.ensure_future(anext(sounds))
    await asyncio.sleep(0)
    take: Any = room.subscriber
    for frame in frames(packets(0.2)):
        take(frame)
        take(frame._replace(kind="video"))
    sound = await coming
    assert abs(len(sound.pcm) / 2 / RATE - 0.2) < 0.03
    await sounds.aclose()
    assert room.subscriber is None


def test_a_second_of_sound_costs_little() -> None:
    made = frames(packets(5.0))
    decoder = Decoder()
    began = time.thread_time()
    decoder.decode(made)
    assert (time.thread_time() - began) / 5 < 0.05
