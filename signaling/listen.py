"""Sound on demand: a participant's voice, decoded in a thread while somebody listens.

    async for sound in listen(room, "customer"):
        ...

Pieces of a fifth of a second, 16 kHz mono, in order. Nothing is decoded before the first and after
the last step of the iteration; a slow taker loses the oldest sound and delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import av
from av.audio.codeccontext import AudioCodecContext

from signaling.room import EncodedFrame, Room

log = logging.getLogger(__name__)

RATE = 16_000
PIECE_S = 0.2
"How much is decoded at a time: a thread's turn costs more than a packet's decoding."
BACKLOG_PACKETS = 500
"Ten seconds of sound that nobody has taken."
_GAP_US = 60_000


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of sound without a gap in it."""

    pcm: bytes
    "Signed 16-bit little endian, mono, 16 kHz."
    time_us: int
    "Media time in the room of the first sample."


class Decoder:
    """Opus packets (RFC 6716) to sound; used from one thread at a time."""

    def __init__(self) -> None:
        self._context: AudioCodecContext | None = None
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        self._next_us: int | None = None

    def decode(self, packets: list[EncodedFrame]) -> list[Sound]:
        """Decode packets in order; a piece ends where packets are missing."""
        pieces: list[Sound] = []
        pcm, start_us = b"", 0
        for packet in packets:
            gap = self._next_us is None or abs(packet.time_us - self._next_us) > _GAP_US
            if gap and pcm:
                pieces.append(Sound(pcm, start_us))
                pcm = b""
            if not pcm:
                start_us = packet.time_us
            try:
                sound = self._one(packet)
            except av.FFmpegError as error:
                log.info("x sound of %s cannot be decoded: %s", packet.participant, error)
                self._context, sound = None, b""
            pcm += sound
            self._next_us = packet.time_us + len(sound) // 2 * 1_000_000 // RATE
        return [*pieces, Sound(pcm, start_us)] if pcm else pieces

    def _one(self, packet: EncodedFrame) -> bytes:
        if self._context is None:
            context = av.CodecContext.create("libopus", "r")
            assert isinstance(context, AudioCodecContext)
            context.sample_rate, context.thread_count = 48_000, 1
            self._context = context
        sound = b""
        for frame in self._context.decode(av.Packet(packet.data)):
            frame.pts = None  # the resampler would fill gaps by itself
            for each in self._resampler.resample(frame):
                sound += bytes(each.planes[0])[: each.samples * 2]
        return sound


async def listen(room: Room, participant: str) -> AsyncGenerator[Sound, None]:
    """The participant's sound from now on, over reconnects; while muted nothing comes."""
    loop = asyncio.get_running_loop()
    packets: deque[EncodedFrame] = deque(maxlen=BACKLOG_PACKETS)
    filled = asyncio.Event()

    def take(frame: EncodedFrame) -> None:
        if frame.kind == "audio":
            packets.append(frame)
            filled.set()

    unsubscribe = room.subscribe(participant, take)
    executor = ThreadPoolExecutor(1, thread_name_prefix="listen")
    decoder = Decoder()
    try:
        while True:
            await filled.wait()
            await asyncio.sleep(PIECE_S)
            filled.clear()
            taken = list(packets)
            packets.clear()
            for sound in await loop.run_in_executor(executor, decoder.decode, taken):
                yield sound
    finally:
        unsubscribe()
        executor.shutdown(wait=False)
