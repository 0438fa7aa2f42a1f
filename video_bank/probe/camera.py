"""What the robots show, say and see: clips encoded once, a voice, and a viewer that measures.

A clip is encoded before the session starts and its packets are sent as they are, so that two
robots cost a busy machine next to nothing and no frame is late because of an encoder.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.audio.resampler import AudioResampler
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

FPS = 25
WIDTH, HEIGHT = 1280, 720
BLACK, GREY, WHITE = 16, 128, 235
"Levels of brightness; colour planes are grey at 128."
LONGEST_S = 10
"Longer videos are cut here; clips loop anyway."
BIT_RATE = 2_000_000
"Bits a second: the small print of a card stays readable, as in a good camera's picture."
KEY_FRAME_EVERY = FPS
"A key frame a second: whoever begins to look sees a picture within a second, unasked."

Picture = NDArray[np.uint8]
"One picture in I420: height × 1.5 rows of width bytes, as encoders want it."


class Clip:
    """Encoded VP8 frames of one loop; the first is a key frame."""

    def __init__(self, pictures: Iterable[Picture], width: int, height: int, bit_rate: int) -> None:
        encoder = av.CodecContext.create("libvpx", "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.framerate, encoder.time_base = Fraction(FPS), Fraction(1, FPS)
        encoder.bit_rate, encoder.gop_size = bit_rate, KEY_FRAME_EVERY
        encoder.thread_count = 1  # two threads spin: twice the processor time for less wall time
        encoder.options = {
            "deadline": "realtime",
            "cpu-used": "12",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "error-resilient": "1",
            # A key frame leaves in one burst: four times a frame fits into socket buffers.
            "max-intra-rate": "400",
        }
        self.frames: list[bytes] = []
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, encoder.time_base
            self.frames += [bytes(packet) for packet in encoder.encode(frame)]
        self.frames += [bytes(packet) for packet in encoder.encode(None)]
        if not self.frames:
            raise ValueError("no picture in it")


def video_clip(path: Path) -> Clip:
    """The video at ``path``, letterboxed to 1280×720 at 25 frames a second.

    Raises ValueError when there is no picture in it, OSError when it cannot be read.
    """
    return Clip(_video_pictures(path), WIDTH, HEIGHT, BIT_RATE)


def still_clip(path: Path) -> Clip:
    """The picture at ``path``, letterboxed, for two seconds."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            return Clip([_letterboxed(frame)] * (2 * FPS), WIDTH, HEIGHT, BIT_RATE)
    raise ValueError(f"{path}: no picture in it")


def teller_clip() -> Clip:
    """A plain moving pattern, 640×360: the robot teller has no face."""
    ramp = np.linspace(BLACK, WHITE, 640, dtype=np.uint8)

    def pictures() -> Iterator[Picture]:
        for number in range(2 * FPS):
            picture = np.full((540, 640), GREY, np.uint8)
            picture[:360] = np.roll(ramp, number * 640 // (2 * FPS))
            yield picture

    return Clip(pictures(), 640, 360, 300_000)


def _video_pictures(path: Path) -> Iterator[Picture]:
    with av.open(str(path)) as container:
        shown = 0
        for frame in container.decode(video=0):
            due = min(int((frame.time or 0.0) * FPS), LONGEST_S * FPS)
            if shown <= due:
                picture = _letterboxed(frame)
            while shown <= due:
                yield picture
                shown += 1
            if due == LONGEST_S * FPS:
                return


def _letterboxed(frame: av.VideoFrame) -> Picture:
    turned = frame.rotation % 180 != 0
    width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
    scale = min(WIDTH / width, HEIGHT / height)
    width, height = _even(width * scale), _even(height * scale)
    left, top = _even((WIDTH - width) / 2), _even((HEIGHT - height) / 2)
    size = (height, width) if turned else (width, height)
    small = frame.reformat(width=size[0], height=size[1], format="yuv420p")
    canvas = np.full((HEIGHT * 3 // 2, WIDTH), GREY, np.uint8)
    canvas[:HEIGHT] = BLACK
    for target, source in zip(_planes(canvas), _planes(small.to_ndarray()), strict=True):
        part = HEIGHT // target.shape[0]  # colour has half the resolution
        upright = np.rot90(source, k=frame.rotation // 90)
        target[top // part :, left // part :][: height // part, : width // part] = upright
    return canvas


def _even(length: float) -> int:
    return int(length) // 2 * 2


def _planes(picture: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Views of Y, U and V of an I420 picture."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    u, v = picture[height:].reshape(2, height // 2, width // 2)
    return picture[:height], u, v


class _Clock:
    """Sleeps until each next tick of a steady rate; a late tick is not made up for."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next: float | None = None

    async def tick(self) -> None:
        now = time.monotonic()
        self._next = now if self._next is None else max(self._next + self._interval_s, now - 0.2)
        await asyncio.sleep(max(0.0, self._next - now))


class Camera(MediaStreamTrack):
    """Sends one of several clips and changes between them at any time."""

    kind = "video"

    def __init__(self, clips: dict[str, Clip], first: str) -> None:
        super().__init__()
        self._clips = clips
        self._clip, self._position, self._sent = clips[first], 0, 0
        self._clock = _Clock(1 / FPS)

    def show(self, name: str) -> None:
        """Go over to the clip ``name`` from its key frame on."""
        if self._clip is not self._clips[name]:
            self._clip, self._position = self._clips[name], 0

    async def recv(self) -> "Packet[Any]":
        if self.readyState != "live":
            raise MediaStreamError
        await self._clock.tick()
        packet: Packet[Any] = Packet(self._clip.frames[self._position])
        packet.pts, packet.time_base = self._sent * 90_000 // FPS, Fraction(1, 90_000)
        self._position = (self._position + 1) % len(self._clip.frames)
        self._sent += 1
        return packet


class Microphone(MediaStreamTrack):
    """Loops a sound, or is quiet."""

    kind = "audio"
    RATE = 48_000
    SAMPLES = RATE // 50

    def __init__(self, sound: NDArray[np.int16] | None = None) -> None:
        super().__init__()
        self._sound = np.zeros(self.SAMPLES, np.int16) if sound is None else sound
        self._sent = 0
        self._clock = _Clock(0.02)

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await self._clock.tick()
        where = np.arange(self._sent, self._sent + self.SAMPLES) % len(self._sound)
        frame = av.AudioFrame.from_ndarray(self._sound[None, where], format="s16", layout="mono")
        frame.sample_rate, frame.pts = self.RATE, self._sent
        frame.time_base = Fraction(1, self.RATE)
        self._sent += self.SAMPLES
        return frame


def sound(path: Path) -> NDArray[np.int16]:
    """The sound at ``path`` as 48 kHz mono samples; ValueError when there is none."""
    resampler = AudioResampler(format="s16", layout="mono", rate=Microphone.RATE)
    pieces = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    if not sum(map(len, pieces)):
        raise ValueError(f"{path}: no sound in it")
    return np.concatenate(pieces)


@dataclass
class Viewer:
    """Watches one incoming video and remembers what it saw."""

    width: int = 0
    height: int = 0
    frames: int = 0
    first_s: float | None = None
    "Monotonic seconds of the first decoded picture."
    last_s: float = 0.0
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    "Set with the first picture."

    @property
    def fps(self) -> float:
        """Pictures a second between the first and the last one."""
        if self.first_s is None or self.last_s <= self.first_s:
            return 0.0
        return (self.frames - 1) / (self.last_s - self.first_s)

    async def watch(self, track: MediaStreamTrack) -> None:
        """Read ``track`` to its end: aiortc queues what nobody reads without a bound."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if isinstance(frame, av.VideoFrame):
                self.width, self.height = frame.width, frame.height
                self.frames += 1
                self.last_s = time.monotonic()
                self.first_s = self.first_s or self.last_s
                self.seen.set()
