"""Sealed parts on a disk with pictures that flash and sound that beeps at the same moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from recordings.container import Flag, PartWriter
from recordings.matroska import Fragment, Muxer
from recordings.store import LocalStore

from .media import Packet
from .parts import DEK, SIGNER, header

WALL = 1_795_000_000_000_000
"""Wall clock at media time 0, µs."""
FLASH_S = 0.2


def record(path: Path, takes: Mapping[str, Sequence[Packet]], **changes: object) -> str:
    """Write a part with one stream for each label; its chain value."""
    now_us = 0
    writer = PartWriter(
        LocalStore(path.parent).create(path.name),
        header=header(**changes),
        dek=DEK,
        signer=SIGNER,
        wall=lambda: WALL + now_us,
    )
    muxers = {label: Muxer(label) for label in takes}
    numbers = {label: number for number, label in enumerate(takes, 1)}

    def seal(label: str, fragments: list[Fragment]) -> None:
        for each in fragments:
            flags = Flag.KEYFRAME if each.keyframe else Flag.NONE
            flags |= Flag.INIT if each.init else Flag.NONE
            writer.data(numbers[label], each.time_us, each.payload, flags)

    arrived = sorted(
        ((packet, label) for label, packets in takes.items() for packet in packets),
        key=lambda each: each[0].time_us + (15_000 if each[0].kind == "audio" else 0),
    )
    signed_us = 0
    for p, label in arrived:
        now_us = p.time_us
        seal(label, muxers[label].add(p.kind, p.time_us, p.data, p.keyframe, now_us / 1e6, p.codec))
        if now_us - signed_us > 440_000:
            writer.checkpoint()
            signed_us = now_us
    for label, muxer in muxers.items():
        seal(label, muxer.flush())
    writer.finish()
    return writer.chain.hex()


def take(seconds: float, *flashes: float, start_us: int = 0, fps: int = 25) -> list[Packet]:
    """Both, black and silent but for `FLASH_S` from each of `flashes`, in seconds from its start.

    The media times are `start_us` later.
    """
    packets = [*_pictures(seconds, flashes, fps), *_sound(seconds, flashes)]
    return [replace(each, time_us=each.time_us + start_us) for each in packets]


@cache
def _pictures(seconds: float, flashes: tuple[float, ...], fps: int) -> tuple[Packet, ...]:
    context = av.CodecContext.create("libvpx", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 160, 120, "yuv420p"
    context.time_base, context.thread_count = Fraction(1, fps), 1
    context.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    packets = []
    for number in range(round(seconds * fps)):
        bright = any(at <= number / fps < at + FLASH_S for at in flashes)
        grey = np.full((180, 160), 128, np.uint8)
        grey[:120] = 230 if bright else 40
        frame = av.VideoFrame.from_ndarray(grey, "yuv420p")
        frame.pts = number
        for packet in context.encode(frame):
            time_us = number * 1_000_000 // fps
            packets.append(Packet("video", time_us, bytes(packet), packet.is_keyframe))
    return tuple(packets)


@cache
def _sound(seconds: float, flashes: tuple[float, ...]) -> tuple[Packet, ...]:
    context = av.CodecContext.create("libopus", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = 48_000, "stereo", "s16"
    packets: list[Packet] = []
    for number in range(round(seconds * 50)):
        at = (np.arange(960) + number * 960) / 48_000
        loud = np.zeros(960)
        for flash in flashes:
            loud[(at >= flash) & (at < flash + FLASH_S)] = 12_000
        tone = (np.sin(2 * np.pi * 1000 * at) * loud).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None, :], "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, number * 960
        for packet in context.encode(frame):
            packets.append(Packet("audio", len(packets) * 20_000, bytes(packet), False))
    return tuple(packets)
