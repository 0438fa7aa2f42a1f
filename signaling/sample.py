"""Pictures on demand: a participant's video, decoded in a thread while somebody wants it.

    async for picture in sample(room, "customer", fps=5):
        ...

Only the newest picture is given; a slow taker misses some and delays nobody. Nothing is
decoded before the first and after the last step of the iteration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import av
from av.video.codeccontext import VideoCodecContext

from signaling.room import EncodedFrame, Room

log = logging.getLogger(__name__)

BACKLOG_FRAMES = 300
"Frames waiting for the decoder before it skips to the next key frame."


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture."""

    width: int
    height: int
    bgr: bytes
    "width * height * 3 bytes, rows from the top, blue green red."
    time_us: int
    "Media time of the frame in the room."


class Decoder:
    """Encoded frames to pictures; used from one thread at a time."""

    def __init__(self) -> None:
        self._codec = ""
        self._context: VideoCodecContext | None = None

    def _open(self, codec: str) -> VideoCodecContext:
        if self._context is None or codec != self._codec:
            context = av.CodecContext.create(codec, "r")
            assert isinstance(context, VideoCodecContext)
            context.thread_count = 1  # further threads would hold pictures back
            self._codec, self._context = codec, context
        return self._context

    def decode(self, frames: list[EncodedFrame]) -> Picture | None:
        """Decode all frames, in order, and give the last picture; None if none came out.

        Raises av.FFmpegError for data that is not of its codec; the next key frame starts anew.
        """
        last: tuple[av.VideoFrame, int] | None = None
        for frame in frames:
            for decoded in self._open(frame.codec).decode(av.Packet(frame.data)):
                last = decoded, frame.time_us
        return _picture(*last) if last is not None else None


def _picture(frame: av.VideoFrame, time_us: int) -> Picture:
    """Convert to BGR without padding between the rows."""
    plane = frame.reformat(format="bgr24").planes[0]
    data, row = bytes(plane), frame.width * 3
    if plane.line_size != row:
        starts = range(0, plane.line_size * frame.height, plane.line_size)
        data = b"".join(data[start : start + row] for start in starts)
    return Picture(frame.width, frame.height, data[: row * frame.height], time_us)


class _Backlog:
    """Frames between the event loop and the decoder thread, always decodable from the front."""

    def __init__(self, request_keyframe: Callable[[], None], *, key_frames: bool = False) -> None:
        self._request_keyframe = request_keyframe
        self._key_frames = key_frames
        self._frames: list[EncodedFrame] = []
        self._starving = True
        self.filled = asyncio.Event()

    def put(self, frame: EncodedFrame) -> None:
        """Subscriber of the room."""
        if frame.kind != "video" or frame.screen:
            return
        if frame.keyframe:
            self._frames.clear()
            self._starving = False
        elif self._key_frames:
            return
        elif len(self._frames) >= BACKLOG_FRAMES:
            self.restart()
        if not self._starving:
            self._frames.append(frame)
            self.filled.set()

    def restart(self) -> None:
        """Wait for a key frame."""
        self._frames.clear()
        self._starving = True
        self._request_keyframe()

    async def take(self) -> list[EncodedFrame]:
        """All frames there are, at least one."""
        while not self._frames:
            self.filled.clear()
            await self.filled.wait()
        frames, self._frames = self._frames, []
        return frames


async def sample(
    room: Room, participant: str, fps: float, *, key_frames: bool = False
) -> AsyncGenerator[Picture, None]:
    """At most `fps` pictures a second of the participant's video, each the newest there is.

    `key_frames`: only these are decoded, which costs little; they come when somebody asks for
    them. Goes on over reconnects and pauses; ends when the taker stops iterating.
    """
    loop = asyncio.get_running_loop()
    backlog = _Backlog(lambda: room.request_keyframe(participant), key_frames=key_frames)
    unsubscribe = room.subscribe(participant, backlog.put)
    executor = ThreadPoolExecutor(1, thread_name_prefix="sample")
    decoder = Decoder()
    due = loop.time()
    try:
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            frames = await backlog.take()
            try:
                picture = await loop.run_in_executor(executor, decoder.decode, frames)
            except av.FFmpegError as error:
                log.info("x picture of %s cannot be decoded: %s", participant, error)
                backlog.restart()
                continue
            if picture is not None:
                due = max(due + 1 / fps, loop.time() - 1 / fps)
                yield picture
    finally:
        unsubscribe()
        executor.shutdown(wait=False)
