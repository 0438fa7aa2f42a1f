"""Pictures from outside are bounded, upright, in colour; all else is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kyc.check import BadInput
from kyc.image import MAX_BYTES, Frame, crop, decode, glare, jpeg, relative, sharpness


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not_a_picture"),
        (b"GIF89a", "not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_a_picture"),
        (bomb(60_000, 60_000), "picture_too_large"),
        (bomb(20_000, 100), "picture_too_large"),
        (bomb(200, 200), "not_a_picture"),
        (encoded(Image.new("RGB", (1, 1))), "picture_too_small"),
        (encoded(Image.new("RGB", (64, 64)), "JPEG")[:300], "not_a_picture"),
        (encoded(Image.new("RGB", (64, 64)), "BMP"), "not_a_picture"),
        (b"\xff" * (MAX_BYTES + 1), "picture_too_large"),
    ],
    ids=["empty", "gif", "svg", "bomb", "long", "short data", "1x1", "cut off", "bmp", "bytes"],
)
def test_what_is_no_usable_picture_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        decode(data)
    assert refusal.value.code == code


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_colour(mode: str) -> None:
    image = Image.new("RGB", (48, 40), (200, 30, 30)).convert(mode)
    picture = decode(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert picture.shape == (40, 48, 3)
    assert picture.dtype == np.uint8


def test_the_order_of_colours_is_blue_first() -> None:
    picture = decode(encoded(Image.new("RGB", (40, 40), (200, 30, 10))))
    assert picture[0, 0].tolist() == [10, 30, 200]


def test_what_is_transparent_becomes_white() -> None:
    assert decode(encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)))).min() == 255


def test_a_turned_picture_is_set_upright() -> None:
    image = Image.new("RGB", (60, 40))
    exif = image.getexif()
    exif[0x0112] = 6
    assert decode(encoded(image, "JPEG", exif=exif)).shape == (60, 40, 3)


def test_a_frame_must_be_as_large_as_it_says() -> None:
    assert Frame.of(64, 48, bytes(64 * 48 * 3), 5).size == (64, 48)
    for width, height in ((64, 47), (0, 0), (-64, -48), (100_000, 100_000)):
        with pytest.raises(BadInput):
            Frame.of(width, height, bytes(64 * 48 * 3), 5)


def test_a_crop_stays_inside() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    part, origin = crop(picture, (50, 30, 100, 100), 0.5)
    assert part.size and origin == (0, 0)
    part, _ = crop(picture, (500, 500, 10, 10))
    assert part.size


def test_relative_points_stay_within_the_picture() -> None:
    assert relative([[-5, 30], [120, 30]], (60, 60)) == [[0.0, 0.5], [1.0, 0.5]]


def test_blur_lowers_sharpness_and_light_does_not() -> None:
    import cv2

    chance = np.random.default_rng(3)
    sharp = chance.integers(60, 200, (200, 320, 3), np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 3), np.uint8)
    darker = np.asarray(sharp * 0.6, np.uint8)
    assert sharpness(blurred) < sharpness(sharp) / 5
    assert sharpness(darker) == pytest.approx(sharpness(sharp), rel=0.1)


def test_glare_is_the_share_blown_out() -> None:
    picture = np.full((100, 100, 3), 128, np.uint8)
    picture[:50, :20] = 255
    assert glare(picture) == pytest.approx(0.1, abs=0.01)
    assert jpeg(picture).startswith(b"\xff\xd8")
