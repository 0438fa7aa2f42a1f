"""Pictures: bounded decoding, encoding, and how good they are to read.

A picture in memory is a ``uint8`` array of shape (height, width, 3), blue first.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A small PNG can claim gigabytes of pixels; this bound must stand before cv2 is first imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 25))

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kyc.check import BadInput

Bgr = NDArray[np.uint8]
Gray = NDArray[np.uint8]
Points = NDArray[np.float32]

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 24_000_000  # of a plain JPEG, decoded at half its size
MAX_WHOLE = 12_500_000  # of anything else: a phone's picture
_BAND = 128  # rows converted at once
MAX_SIDE = 12_000
MIN_SIDE = 32
MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Frame:
    """One picture of the call's video."""

    bgr: Bgr
    media_time_us: int

    @classmethod
    def of(cls, width: int, height: int, bgr: bytes, media_time_us: int) -> Frame:
        """From packed rows; raises BadInput when the size does not fit."""
        if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
            raise BadInput("picture_size")
        if len(bgr) != width * height * 3:
            raise BadInput("picture_size", "bytes do not match width × height × 3")
        return cls(np.frombuffer(bgr, np.uint8).reshape(height, width, 3), media_time_us)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.bgr.shape[1], self.bgr.shape[0]


def decode(data: bytes) -> Bgr:
    """Decode a still upright, in colour, without alpha; raises BadInput for all else.

    The header is judged before any pixel is decoded, so a bomb costs nothing. What is let in takes
    less than a second and, above what is loaded anyway, 150 MB. Of a file that is a picture and
    something else besides, only the picture in front counts.
    """
    if len(data) > MAX_BYTES:
        raise BadInput("picture_too_large")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _judge_header(image)
                ImageOps.exif_transpose(image, in_place=True)
                return _pixels(image)
    except BadInput:
        raise
    except Image.DecompressionBombError as error:
        raise BadInput("picture_too_large") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Warning) as error:
        raise BadInput("not_a_picture") from error


def _judge_header(image: Image.Image) -> None:
    """BadInput for a picture too large, too small or moving; a large JPEG is set to be halved."""
    width, height = image.size
    # The decoder of a plain JPEG can leave out every other pixel; any other file is decoded whole.
    halved = image.format == "JPEG" and not image.info.get("progressive")
    if width * height > (MAX_PIXELS if halved else MAX_WHOLE) or max(width, height) > MAX_SIDE:
        raise BadInput("picture_too_large")
    if min(width, height) < MIN_SIDE:
        raise BadInput("picture_too_small")
    # A JPEG may hold more pictures (a phone's preview, a depth map): the first is the still.
    if image.format != "JPEG" and getattr(image, "is_animated", False):
        raise BadInput("not_a_picture", "a moving picture is no still")
    if width * height > MAX_WHOLE:
        image.draft("RGB", (width // 2, height // 2))


def _pixels(image: Image.Image) -> Bgr:
    """Blue first, band by band: a copy of the whole in between would double the memory."""
    width, height = image.size
    bgr = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):
        band = image.crop((0, top, width, min(height, top + _BAND)))
        band.info = image.info
        bgr[top : top + _BAND] = np.asarray(_opaque(band))[:, :, ::-1]
    return bgr


def open_still(path: Path) -> Bgr:
    """Decode the file at ``path``; never reads more than a picture may have. BadInput, OSError."""
    # A pipe or a device would be read for ever, or wait for somebody to write.
    if path.exists() and not path.is_file():
        raise BadInput("not_a_picture", f"{path} is no file")
    with path.open("rb") as file:
        return decode(file.read(MAX_BYTES + 1))


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes white paper."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def jpeg(bgr: Bgr, quality: int = 92) -> bytes:
    """Encode as JPEG."""
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise BadInput("picture_size")
    return bytes(data)


def gray(bgr: Bgr) -> Gray:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)


def shrink(picture: Any, longest: int) -> tuple[Any, float]:
    """Scale down so that the longer side is at most ``longest``; also the scale used."""
    scale = min(1.0, longest / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, 1.0
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale


def crop(bgr: Bgr, box: Sequence[float], margin: float = 0.0) -> tuple[Bgr, tuple[int, int]]:
    """Cut ``box`` (x, y, width, height) out with a margin in shares of its size; also its origin.

    What lies outside the picture is left out, so the result may be smaller, never empty.
    """
    x, y, w, h = box
    left = int(max(0, min(x - margin * w, bgr.shape[1] - 1)))
    top = int(max(0, min(y - margin * h, bgr.shape[0] - 1)))
    right = int(min(bgr.shape[1], max(x + w + margin * w, left + 1)))
    bottom = int(min(bgr.shape[0], max(y + h + margin * h, top + 1)))
    return bgr[top:bottom, left:right], (left, top)


def relative(points: Any, size: tuple[int, int]) -> list[list[float]]:
    """Points in pixels as shares of the picture, inside 0..1."""
    shares = np.asarray(points, np.float32).reshape(-1, 2) / np.array(size, np.float32)
    return [[round(float(v), 4) for v in point] for point in np.clip(shares, 0, 1)]


def corners(box: Sequence[float]) -> Points:
    """A box (x, y, width, height) as four corners, clockwise from the top left."""
    x, y, w, h = box
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)


def sharpness(bgr: Bgr, across: int = 320) -> float:
    """Variance of the Laplacian over the variance of the picture, at a fixed width.

    Dividing makes it the share of contrast that sits in fine detail, which hardly depends on the
    light; the fixed width makes near and far comparable. Blurred: < 0.02; sharp: > 0.1.
    """
    small, _ = shrink(gray(bgr), across)
    contrast = float(small.std()) ** 2
    return float(cv2.Laplacian(small, cv2.CV_32F).var()) / (contrast + 20.0)


def brightness(bgr: Bgr) -> float:
    """Mean luminance, 0..255."""
    small, _ = shrink(bgr, 160)
    return float(gray(small).mean())


def glare(bgr: Bgr) -> float:
    """Share of the picture that is blown out to white."""
    small, _ = shrink(bgr, 320)
    return float((small.min(axis=2) >= 250).mean())
