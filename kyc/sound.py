"""Sound files for the commands: judged before they are decoded, read within bounds, 16 kHz mono."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from kyc.check import BadInput
from kyc.speech import RATE

MAX_BYTES = 64 << 20
MAX_SECONDS = 120.0
MAX_CHANNELS = 8
MAX_RATE = 192_000

_MATROSKA, _FTYP = b"\x1a\x45\xdf\xa3", b"ftyp"


def read(path: Path) -> bytes:
    """Signed 16-bit little endian samples of the first sound track of a wav, ogg, webm or mp4 file.

    BadInput (`not_a_sound`, `no_sound`, `sound_too_large`, `sound_too_long`, `sound_damaged`) or
    OSError when it cannot be read.
    """
    kind = _kind(path)
    try:
        # The demuxer is named: nothing else is opened because a file says so.
        with av.open(str(path), format=kind, metadata_errors="ignore") as container:
            return _decoded(container, path)
    except FFmpegError as error:
        raise BadInput("sound_damaged", f"{path}: damaged or not what it claims") from error


def _kind(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise BadInput("sound_too_large", f"{path}: more than {MAX_BYTES >> 20} MB")
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == _MATROSKA:
        return "matroska"
    if head[4:8] == _FTYP:
        return "mp4"
    raise BadInput("not_a_sound", f"{path}: no wav, ogg, webm or mp4 file")


def _decoded(container: Any, path: Path) -> bytes:
    if not container.streams.audio:
        raise BadInput("no_sound", f"{path}: no sound in it")
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context.channels > MAX_CHANNELS or not 0 < (context.sample_rate or 0) <= MAX_RATE:
        raise BadInput("sound_damaged", f"{path}: {context.channels} channels")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pcm = bytearray()
    for frame in container.decode(stream):
        frame.pts = None
        for each in resampler.resample(frame):
            pcm += bytes(each.planes[0])[: each.samples * 2]
        if len(pcm) > MAX_SECONDS * RATE * 2:
            raise BadInput("sound_too_long", f"{path}: longer than {MAX_SECONDS:.0f} s")
    for each in resampler.resample(None):
        pcm += bytes(each.planes[0])[: each.samples * 2]
    if not pcm:
        raise BadInput("no_sound", f"{path}: no sound can be decoded")
    return bytes(pcm)
