"""Prepared media: a moving picture as VP8 and a sound as Opus, encoded once and kept."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

FPS = 25
SOUND_S = 0.02
SECONDS = 5
PIECE_BYTES = 1160
"What goes into one RTP packet, as in a browser."
VERSION = 4
"Grows when the pictures change, so that no older clip is taken."


class Clip(NamedTuple):
    """A loop of media, ready to be put into packets."""

    pictures: list[list[bytes]]
    "Pieces of each VP8 frame; the first frame is the only key frame."
    sounds: list[bytes]
    "Opus packets of 20 ms."


def clip(width: int = 1280, height: int = 720, bps: int = 1_500_000) -> Clip:
    """The loop of this size; encoding it takes some seconds the first time."""
    name = f"video-bank-clip-{VERSION}-{width}x{height}-{bps}-{os.getuid()}.bin"
    path = Path(tempfile.gettempdir()) / name
    if not path.exists():
        frames = [*_pictures(width, height, bps)]
        _keep(path, [struct.pack("!I", len(frames)), *frames, *_sounds()])
    count, *parts = _kept(path.read_bytes())
    (pictures,) = struct.unpack("!I", count)
    return Clip([pieces(frame) for frame in parts[:pictures]], parts[pictures:])


def pieces(frame: bytes) -> list[bytes]:
    """A frame in nearly equal pieces that fit into packets."""
    count = -(-len(frame) // PIECE_BYTES)
    size = -(-len(frame) // count)
    return [frame[at : at + size] for at in range(0, len(frame), size)]


def _pictures(width: int, height: int, bps: int) -> Iterator[bytes]:
    """A coarse pattern that drifts under fine noise: as costly as a face before a bookcase."""
    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    context.bit_rate, context.thread_count, context.gop_size = bps, 2, 10_000
    context.options = {
        "deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0", "auto-alt-ref": "0",
        "minrate": str(bps), "maxrate": str(bps), "bufsize": str(bps // 2),
        "max-intra-rate": "400",
    }  # fmt: skip
    chance = np.random.default_rng(7)
    coarse = chance.integers(40, 200, (height // 4, width // 4), np.uint8)
    pattern = coarse.repeat(4, 0).repeat(4, 1)
    noise = chance.integers(0, 32, (height, width), np.uint8)
    for number in range(SECONDS * FPS):
        frame = av.VideoFrame(width, height, "yuv420p")
        grey = np.roll(pattern, (number, 3 * number), (0, 1))
        grey = grey + np.roll(noise, number * 7919, (0, 1)[number % 2])
        fill(frame.planes[0], grey)
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts = number
        yield from (bytes(packet) for packet in context.encode(frame))
    yield from (bytes(packet) for packet in context.encode(None))


def fill(plane: av.video.plane.VideoPlane, grey: NDArray[np.uint8]) -> None:
    """Put a grey picture into a plane."""
    rows = np.zeros((plane.height, plane.line_size), np.uint8)
    rows[:, : plane.width] = grey
    plane.update(rows.tobytes())


def _sounds() -> Iterator[bytes]:
    """Noise that swells and fades like syllables, so that no two packets are the same."""
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48_000, "mono", "s16"
    context.bit_rate = 32_000
    chance = np.random.default_rng(8)
    for number in range(int(SECONDS / SOUND_S)):
        loud = 1500 + 1400 * np.sin(number / 4)
        wave = (chance.standard_normal(960) * loud).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None, :], "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, number * 960
        yield from (bytes(packet) for packet in context.encode(frame))


def _keep(path: Path, parts: Iterable[bytes]) -> None:
    """Whole or not at all: two benchmarks may begin at once."""
    data = b"".join(struct.pack("!I", len(part)) + part for part in parts)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(data)
    fresh.replace(path)


def _kept(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("!I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size
