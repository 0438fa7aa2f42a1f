"""The codecs that are forwarded, each with what the streams must know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from signaling import h264, vp8
from signaling.frames import Depacketiser, OpusFrames
from signaling.rtp import Packet

VideoCodec = Literal["vp8", "h264"]


class Codec(NamedTuple):
    """One codec."""

    name: str
    rate: int
    "Ticks of its RTP clock in a second."
    begins_keyframe: Callable[[Packet], bool]
    "Whether decoding can begin with this packet."
    keyframe_size: Callable[[Packet], tuple[int, int] | None]
    "Width and height where a key frame starts with this packet and tells them."
    frames: Callable[[], Depacketiser]


VP8 = Codec("vp8", 90_000, vp8.begins_keyframe, vp8.keyframe_size, vp8.Vp8Frames)
H264 = Codec("h264", 90_000, h264.begins_keyframe, h264.keyframe_size, h264.H264Frames)
OPUS = Codec("opus", 48_000, lambda packet: True, lambda packet: None, OpusFrames)

CODECS = {codec.name: codec for codec in (VP8, H264, OPUS)}
"By the name in an SDP, in lower case."
