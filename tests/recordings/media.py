"""Real VP8, H264 and Opus, made by PyAV: a moving picture with a tone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Literal

import av
import numpy as np

from recordings.matroska import Codec


@dataclass(frozen=True)
class Packet:
    kind: Literal["audio", "video"]
    time_us: int
    data: bytes
    keyframe: bool
    codec: Codec = "vp8"
    """Of the picture."""


_ENCODERS: dict[Codec, tuple[str, dict[str, str]]] = {
    "vp8": (
        "libvpx",
        {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"},
    ),
    "h264": (
        "libx264",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "x264-params": "scenecut=0",
        },
    ),
}


@cache
def pictures(
    width: int,
    height: int,
    seconds: float,
    *,
    fps: int = 25,
    keyframe_every: int = 25,
    codec: Codec = "vp8",
) -> tuple[Packet, ...]:
    """Frames of a grey picture whose brightness grows with time; times from 0."""
    name, options = _ENCODERS[codec]
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, fps)
    context.bit_rate, context.thread_count = 300_000, 1
    context.gop_size = keyframe_every
    context.options = dict(options)
    packets: list[Packet] = []
    noise = np.random.default_rng(1).integers(0, 8, (height, width), dtype=np.uint8)
    for number in range(int(seconds * fps)):
        level = int(20 + 200 * number / max(1, int(seconds * fps)))
        grey = (noise + level).astype(np.uint8)
        grey[:, (number * 4) % width :][:, :8] = 250
        frame = av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), "rgb24")
        frame.pts = number
        for packet in context.encode(frame):
            time_us = number * 1_000_000 // fps
            packets.append(Packet("video", time_us, bytes(packet), packet.is_keyframe, codec))
    return tuple(packets)


@cache
def sound(seconds: float) -> tuple[Packet, ...]:
    """Opus packets of 20 ms with a tone; times from 0."""
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48_000, "stereo", "s16"
    context.bit_rate = 32_000
    packets: list[Packet] = []
    for number in range(int(seconds * 50)):
        at = (np.arange(960) + number * 960) / 48_000
        tone = (np.sin(2 * np.pi * 440 * at) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None, :], "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, number * 960
        packets += [
            Packet("audio", len(packets) * 20_000 + i * 20_000, bytes(packet), False)
            for i, packet in enumerate(context.encode(frame))
        ]
    return tuple(packets)


def call(
    seconds: float,
    *,
    width: int = 320,
    height: int = 240,
    start_us: int = 0,
    codec: Codec = "vp8",
    **options: int,
) -> list[Packet]:
    """Both, in the order a room hands them out: by time, sound a little late."""
    packets = [*pictures(width, height, seconds, codec=codec, **options), *sound(seconds)]
    packets.sort(key=lambda p: p.time_us + (15_000 if p.kind == "audio" else 0))
    return [replace(p, time_us=p.time_us + start_us) for p in packets]
