"""A publisher with a real encoder that heeds what it is told, as a browser's does.

Each picture carries its number as a row of black and white squares, and once a second the sound
beeps: so a recording tells by itself how far picture and sound have come apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.client import Client
from benchmarks.clip import fill, pieces
from recordings import LocalStore, PartReader, WebmView
from signaling.rate import START_BPS
from signaling.rtcp import Block

FPS = 25
LADDER = (
    (100_000, 320, 192), (160_000, 320, 192), (230_000, 320, 192), (330_000, 480, 272),
    (500_000, 640, 352), (750_000, 640, 352), (1_100_000, 640, 352),
)  # fmt: skip
"Rates of the encoder with their pictures, as a browser shrinks pictures on a narrow line."
CLIMB_S = 2.0
"So long the line must allow a higher rate before it is taken."
OPENING_S = 2.0
"So long browsers take a higher rate at once, unless something was lost."
BITS = 12
BEEP_S, BEEP_HERTZ = 0.06, 1000
_SOUND_SAMPLES = 960


class Robot:
    """Sends its camera and microphone until cancelled."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.pictures = self.sounds = 0
        "Sent so far."
        self.late_s = 0.0
        "How far behind its time the microphone was at worst: the machine was busy."
        self.rate_bps = max(rate for rate, _, _ in LADDER if rate <= START_BPS)
        "The answer asks browsers to start so (x-google-start-bitrate)."
        self._remb_bps = float(LADDER[-1][0])
        self._loss_bps = float(LADDER[-1][0])
        self._allowed_since = 0.0
        self._lossless = True
        self._start = 0.0
        self._encoder: av.VideoCodecContext | None = None
        self._key_frame = True
        client.on_key_frame_wanted = self._want_key_frame
        client.on_remb = self._remb
        client.on_report = self._report

    def _want_key_frame(self) -> None:
        self._key_frame = True

    def _remb(self, bps: int) -> None:
        self._remb_bps = bps

    def _report(self, block: Block) -> None:
        """The loss rule of browsers: below 2 % lost go up, above 10 % go down."""
        if block.ssrc != self.client.video.ssrc:
            return
        loss = block.fraction_lost / 256
        self._lossless = self._lossless and not loss
        if loss > 0.10:
            self._loss_bps = max(50_000.0, self._loss_bps * (1 - 0.5 * loss))
        elif loss < 0.02:
            self._loss_bps = min(2e6, self._loss_bps * 1.05)

    async def run(self) -> None:
        """Both at once."""
        start = self._start = time.monotonic()
        await asyncio.gather(self._see(start), self._speak(start), self._drain())

    async def _drain(self) -> None:
        while True:
            await asyncio.sleep(0.004)
            self.client.drain(1, time.monotonic())

    async def _speak(self, start: float) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate, context.layout, context.format = 48_000, "mono", "s16"
        context.bit_rate = 32_000
        chance = np.random.default_rng(9)
        while True:
            taken = start + self.sounds * 0.02
            ahead = taken + 0.02 - time.monotonic()
            self.late_s = max(self.late_s, -ahead)
            await asyncio.sleep(max(0.0, ahead))
            at = (np.arange(_SOUND_SAMPLES) + self.sounds * _SOUND_SAMPLES) / 48_000
            wave = chance.standard_normal(_SOUND_SAMPLES) * 60
            wave += np.where(at % 1 < BEEP_S, 12_000 * np.sin(2 * np.pi * BEEP_HERTZ * at), 0)
            frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None, :], "s16", "mono")
            frame.sample_rate, frame.pts = 48_000, self.sounds * _SOUND_SAMPLES
            for packet in context.encode(frame):
                self.client.send_sound(bytes(packet), 960, time.monotonic(), taken)
            self.client.report(time.monotonic())
            self.sounds += 1

    async def _see(self, start: float) -> None:
        while True:
            taken = start + self.pictures / FPS
            await asyncio.sleep(max(0.0, taken - time.monotonic()))
            self._choose_rate(time.monotonic())
            frame = await asyncio.to_thread(self._encode, self.pictures)
            if frame:
                self.client.send_picture(pieces(frame), 3600, time.monotonic(), taken)
            self.pictures += 1

    def _choose_rate(self, now: float) -> None:
        allowed = min(self._remb_bps, self._loss_bps)
        fitting = [rate for rate, _, _ in LADDER if rate <= allowed] or [LADDER[0][0]]
        if fitting[-1] <= self.rate_bps:
            self._allowed_since = now
        opening = self._lossless and now - self._start < OPENING_S
        if fitting[-1] < self.rate_bps or opening or now - self._allowed_since > CLIMB_S:
            if fitting[-1] != self.rate_bps:
                self._encoder = None
            self.rate_bps = fitting[-1]
            self.client.resend_bps = float(self.rate_bps)

    def _encode(self, number: int) -> bytes:
        _, width, height = next(rung for rung in LADDER if rung[0] == self.rate_bps)
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = _encoder(self.rate_bps, width, height)
        frame = av.VideoFrame(width, height, "yuv420p")
        fill(frame.planes[0], marked(width, height, number))
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts = number
        if self._key_frame:
            self._key_frame = False
            frame.pict_type = av.video.frame.PictureType.I
        return b"".join(bytes(packet) for packet in encoder.encode(frame))


def _encoder(bps: int, width: int, height: int) -> av.VideoCodecContext:
    context = av.CodecContext.create("libvpx", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    context.bit_rate, context.thread_count, context.gop_size = bps, 1, 10_000
    context.options = {
        "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0",
        "minrate": str(bps), "maxrate": str(bps), "bufsize": str(bps * 6 // 10),
        "max-intra-rate": "300", "undershoot-pct": "95",
    }  # fmt: skip
    return context


_PATTERN = np.random.default_rng(3).integers(60, 180, (90, 160), np.uint8).repeat(8, 0).repeat(8, 1)


def marked(width: int, height: int, number: int) -> NDArray[np.uint8]:
    """A drifting pattern with the number in squares along the top."""
    grey = np.roll(_PATTERN, (number, 2 * number), (0, 1))[:height, :width].copy()
    side = width // 16
    for bit in range(BITS):
        level = 235 if number >> bit & 1 else 16
        grey[: side * 2, (bit + 2) * side : (bit + 3) * side] = level
    return grey


def number_of(grey: NDArray[np.uint8]) -> int:
    """The number in a picture."""
    side = grey.shape[1] // 16
    number = 0
    for bit in range(BITS):
        left = (bit + 2) * side
        inner = grey[side // 2 : side * 3 // 2, left + side // 4 : left + side * 3 // 4]
        number |= int(inner.mean() > 125) << bit
    return number


class Recorded:
    """What a recording of a robot holds: times in seconds from the start of its stream."""

    def __init__(self, directory: Path, part: str, dek: str) -> None:
        with closing(LocalStore(directory).open(part)) as source:
            view = WebmView(PartReader(source, bytes.fromhex(dek)), 1)
            path = directory / f"{part}.webm"
            path.write_bytes(view.read(0, view.size))
        self.pictures = list(_pictures(path))
        "(media time, number of the picture)"
        self.beeps = list(_beeps(path))
        "Media times at which a beep begins."
        path.unlink()

    def skews(self) -> list[float]:
        """At each beep: how much later the sound is than the pictures taken with it, in seconds."""
        found = []
        for beep in self.beeps:
            near = [at - number / FPS for at, number in self.pictures if abs(at - beep) < 0.5]
            if near:
                apart = beep - float(np.median(near))
                found.append(apart - round(apart))  # beeps come at whole seconds
        return found


def _pictures(path: Path) -> Iterator[tuple[float, int]]:
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            grey = frame.to_ndarray(format="gray").astype(np.uint8)
            if frame.time is not None:
                yield frame.time, number_of(grey)


def _beeps(path: Path) -> Iterator[float]:
    last = -1.0
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(np.float64)).max(axis=0)
            loud = np.flatnonzero(wave > 0.12 * (32_768 if wave.max() > 2 else 1))
            if len(loud) and frame.time is not None:
                at = frame.time + int(loud[0]) / 48_000
                if at - last > 0.5:
                    yield at
                last = at
