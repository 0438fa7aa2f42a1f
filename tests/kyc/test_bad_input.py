"""Files that are no honest pictures: refused or read right, quickly and in little memory."""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kyc import __main__ as command
from kyc import commands
from kyc.check import BadInput
from kyc.image import MAX_BYTES, MAX_WHOLE, decode, open_still

SECONDS, MEGABYTES = 1.0, 200


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, rows: int, *more: bytes) -> bytes:
    """A PNG whose header claims one size and whose data holds so many grey rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\x00" * (width + 1) * rows, 9)
    chunks = (chunk(b"IHDR", header), *more, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def drawn(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Red above, white below: so that one sees which way up it is."""
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle((0, 0, size[0], size[1] // 2), fill=(200, 30, 30))
    return image.convert(mode)


def turned(orientation: int) -> bytes:
    """The picture stored otherwise, with the tag that says how it was held."""
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    image = drawn()
    for step in undo.get(orientation, []):
        image = image.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "JPEG", quality=95, exif=exif)


def polyglots() -> dict[str, bytes]:
    """Files that are two things at once: only the picture in front may count."""
    picture = encoded(drawn(), "JPEG")
    script = b"<script>alert(1)</script>"
    archive = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    return {
        "jpeg and zip": picture + archive,
        "jpeg and html": picture + script,
        "png and php": encoded(drawn()) + b"<?php system($_GET['c']); ?>",
    }


def refused() -> dict[str, bytes]:
    """What is no usable still."""
    jpeg, lossless = encoded(drawn(), "JPEG"), encoded(drawn())
    animated = [drawn(), drawn().rotate(180)]
    return {
        "empty": b"",
        "one byte": b"\xff",
        "zeros": bytes(100_000),
        "text": b"name,number\n" * 1000,
        "svg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>"
        b"<image href='file:///etc/passwd'/></svg>",
        "svg bomb": b"<!DOCTYPE svg [<!ENTITY a '" + b"a" * 1000 + b"'>]><svg>&a;&a;</svg>",
        "pdf renamed": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF",
        "pdf before jpeg": b"%PDF-1.4\n" + jpeg,
        "html before png": b"<html><!--" + lossless,
        "gif": encoded(drawn("P"), "GIF"),
        "bmp": encoded(drawn(), "BMP"),
        "tiff": encoded(drawn(), "TIFF"),
        "icon": encoded(drawn(size=(64, 64)), "ICO"),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n",
        "jpeg cut off": jpeg[: len(jpeg) // 2],
        "png cut off": lossless[:-40],
        "jpeg header alone": jpeg[:20],
        "png header alone": lossless[:33],
        "1 x 1": encoded(drawn(size=(1, 1))),
        "20,000 x 20,000": png(20_000, 20_000, 10),
        "20,000 x 40": png(20_000, 40, 40),
        "40 x 20,000": png(40, 20_000, 20_000),
        "two thousand million": png(2**31 - 1, 2**31 - 1, 0),
        "bomb of text": png(64, 48, 48, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26)))),
        "bomb of profile": png(
            64, 48, 48, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 26)))
        ),
        "webp cut off": encoded(drawn(), "WEBP")[:60],
        "moving webp": encoded(animated[0], "WEBP", save_all=True, append_images=animated[1:]),
        "moving png": encoded(animated[0], "PNG", save_all=True, append_images=animated[1:]),
        "too many bytes": jpeg + bytes(MAX_BYTES),
    }


def readable() -> dict[str, bytes]:
    """What is a still, however odd."""
    return {
        **{
            f"mode {mode}": encoded(drawn(mode))
            for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
        },
        **{
            f"jpeg {mode}": encoded(drawn(mode), "JPEG", quality=95)
            for mode in ("L", "RGB", "CMYK")
        },
        **{f"webp {mode}": encoded(drawn(mode), "WEBP", quality=95) for mode in ("RGB", "RGBA")},
        **{f"held {each}": turned(each) for each in range(1, 9)},
        "progressive": encoded(drawn(), "JPEG", progressive=True, quality=95),
        **polyglots(),
    }


def large() -> dict[str, bytes]:
    """The most that is let in, and what unpacks to far more than it says."""
    size = (4160, 3000)
    assert size[0] * size[1] <= MAX_WHOLE
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "twelve megapixels, turned": encoded(drawn(size=size), "JPEG", exif=exif),
        "progressive": encoded(drawn(size=size), "JPEG", progressive=True, subsampling=0),
        "transparent": encoded(drawn("RGBA", size), compress_level=1),
        "a JPEG as large as may be": encoded(drawn(size=(6000, 4000)), "JPEG", exif=exif),
        "more data than rows": png(64, 48, 500_000),
    }


REFUSED, READABLE = refused(), readable()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_still_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as refusal:
        decode(REFUSED[name])
    assert refusal.value.code in ("not_a_picture", "picture_too_large", "picture_too_small")


@pytest.mark.parametrize("name", READABLE)
def test_odd_stills_are_read_right_and_upright(name: str) -> None:
    picture = decode(READABLE[name])
    assert picture.shape == (48, 64, 3) and picture.dtype == np.uint8
    above, below = picture[4:20, 8:56].reshape(-1, 3), picture[30:44, 8:56].reshape(-1, 3)
    assert below.mean() > 230
    assert above.mean() < below.mean() - 60
    if name not in ("mode 1", "mode L", "mode LA", "mode I;16", "jpeg L"):
        blue, _, red = above.mean(axis=0)
        assert red > 150 and blue < 90


def test_time_and_memory_stay_small(tmp_path: Path) -> None:
    """All in one process without models: each under a second, all of them in 200 MB."""
    files = {**REFUSED, **READABLE, **large()}
    for place, data in enumerate(files.values()):
        (tmp_path / f"{place}").write_bytes(data)
    code = """
import json, sys, time
from pathlib import Path
from kyc.check import BadInput
from kyc.image import open_still
slowest = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    start = time.process_time()
    try:
        open_still(path)
    except BadInput:
        pass
    slowest[path.name] = time.process_time() - start
# Of this process alone: what getrusage says counts the one it was made from.
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps([slowest, peak]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    slowest, peak = json.loads(done.stdout)
    assert len(slowest) == len(files)
    names = list(files)
    slow = {names[int(place)]: took for place, took in slowest.items() if took > SECONDS}
    assert not slow
    assert peak < MEGABYTES


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        open_still(tmp_path)
    with pytest.raises(BadInput):
        open_still(Path("/dev/zero"))
    with pytest.raises(FileNotFoundError):
        open_still(tmp_path / "none.jpg")


COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "id-card": lambda path: ["id-card", path],
    "travel-document": lambda path: ["travel-document", path],
    "bank-card": lambda path: ["bank-card", path],
    "licence": lambda path: ["licence", path],
    "match": lambda path: ["match", path, path],
    "passive": lambda path: ["passive", path],
}


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize(
    "bad", ["pdf renamed", "20,000 x 20,000", "1 x 1", "jpeg cut off", "empty"]
)
def test_commands_say_it_in_one_line(
    verb: str, bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def refuse(_: object) -> None:
        raise BadInput("not_a_picture", "models were asked for before the picture was looked at")

    monkeypatch.setattr(commands, "load", refuse)
    path = tmp_path / "card.jpg"
    path.write_bytes(REFUSED[bad])
    assert command.main([*COMMANDS[verb](str(path)), "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and said.err.startswith("kyc: ")


@pytest.mark.parametrize("verb", COMMANDS)
def test_commands_refuse_a_directory(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "load", lambda _: pytest.fail("models asked for"))
    assert command.main([*COMMANDS[verb](str(tmp_path)), "--json"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
