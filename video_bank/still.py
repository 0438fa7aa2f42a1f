"""One picture as a JPEG, for evidence of what a person looked at.

The codec of PyAV, which the serving process has for calls anyway; it loads no numeric library.
"""

import asyncio
import contextlib
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from video_bank.feed import Camera, Feed, Picture

WAIT_S = 6.0
"""A key frame comes every five seconds at the latest, and is asked for here."""


async def take(camera: Camera, session: str) -> tuple[bytes, int] | None:
    """The customer's picture now as JPEG, and its media time; None when none comes in time."""
    feed = Feed(camera.pictures(session, 10.0, key_frames=True))
    async with contextlib.aclosing(feed):
        camera.look_again(session)
        picture = await feed.next(WAIT_S)
    if picture is None:
        return None
    return await asyncio.to_thread(jpeg, picture), picture.time_us


def jpeg(picture: Picture) -> bytes:
    """A picture (height × width × 3 bytes, blue green red) as JPEG."""
    frame = av.VideoFrame(picture.width, picture.height, "bgr24")
    plane, row = frame.planes[0], picture.width * 3
    if plane.line_size == row:
        plane.update(picture.bgr)
    else:  # the codec's rows are padded
        gap = bytes(plane.line_size - row)
        lines = (picture.bgr[at : at + row] for at in range(0, len(picture.bgr), row))
        plane.update(b"".join(line + gap for line in lines))
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = picture.width, picture.height
    context.pix_fmt, context.time_base = "yuvj420p", Fraction(1, 25)
    context.options = {"qscale": "3", "qmin": "3", "qmax": "3"}
    packets = [*context.encode(frame.reformat(format="yuvj420p")), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
