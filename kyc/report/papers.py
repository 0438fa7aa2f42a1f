"""Travel documents of people who do not exist, drawn for measuring what is read of them.

Passports, identity cards and visas with a machine readable zone in OCR-B. Everything is drawn from
the given generator, so a seed is a set of documents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from kyc.check import Error
from kyc.document import mrz
from kyc.image import Bgr

OCR_B = Path("/usr/share/fonts/opentype/ocr-b/OCRB.otf")
CJK = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
CJK_SERIF = Path("/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc")
PACKAGES = {OCR_B: "fonts-ocr-b", CJK: "fonts-noto-cjk", CJK_SERIF: "fonts-noto-cjk"}
SIZES: dict[mrz.Form, tuple[int, int]] = {
    "TD1": (856, 540),
    "TD2": (1050, 740),
    "TD3": (1250, 880),
    "MRV-A": (1200, 800),
    "MRV-B": (1050, 740),
}
"Ten pixels a millimetre."
_PITCH = 25.4  # of the zone: ten characters an inch
_ZONE = 192  # height of the zone's band, with the margin below it


class FontMissing(Error):
    """A typeface the drawing needs is not installed."""


@dataclass(frozen=True)
class Travel:
    """A drawn page and what is true of it."""

    page: Bgr
    lines: tuple[str, ...]
    names: tuple[str, str]
    "As printed, before they were made fit for the zone."
    number: str


@cache
def typeface(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """A font of Debian's; FontMissing names the package to install."""
    if not path.exists():
        raise FontMissing(f"no {path.name}: apt-get install {PACKAGES[path]}")
    # Index 2 of the collections is simplified Chinese.
    return ImageFont.truetype(str(path), size, index=2 if path.suffix == ".ttc" else 0)


_SURNAMES = (
    "ZHANG LI OUYANG WANG CHEN SMITH NAKAMURA KIM DUBOIS MÜLLER ØSTBY GRØNN ÅBERG JÄRVINEN WÓJCIK "
    "O'BRIEN BJÖRK KOVÁCS SILVA ÖZTÜRK NGUYEN ALEXANDROU BAGGIO QUINTERO ZWIEBEL FJELD HJORTH"
).split() + ["GARCIA LOPEZ", "VAN DER MEER", "SMITH-JONES", "DE LA CRUZ"]
_GIVEN = (
    "SAN XIAOMING WEI HARUKI MINJUN ANNE ZOË JOSÉ BEATRIX IGNACIO OLGA QI YU BOGDAN UWE JÖRG"
).split() + ["JOHN PAUL", "MARIA ELENA", "ANNA KATARZYNA", "JEAN-LUC", "LUIS JOSE MIGUEL"]
_STATES = "CHN GBR FRA JPN KOR ESP USA AUS NOR SWE FIN POL PRT TUR VNM GRC IRL NLD BRA MEX".split()
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_IN_ZONE = str.maketrans(
    {"Ü": "UE", "Ö": "OE", "Ä": "AE", "Ø": "OE", "Å": "AA", "Ó": "O", "Á": "A", "É": "E"}
    | {"Ë": "E", "'": "", "-": " "}
)
"Doc 9303 part 3, section 6."


def travel(form: mrz.Form, chance: Generator) -> Travel:
    """A page with a zone of this form, the name and the number printed above it."""
    names = pick(_SURNAMES, chance), pick(_GIVEN, chance)
    if chance.random() < 0.25:
        names = _invented(chance), names[1]
    number, state = _number(chance), pick(_STATES, chance)
    birth = dt.date(1945, 1, 1) + dt.timedelta(days=int(chance.integers(0, 23000)))
    expiry = dt.date(2027, 1, 1) + dt.timedelta(days=int(chance.integers(0, 3400)))
    sex = "MFX"[int(chance.choice(3, p=[0.48, 0.48, 0.04]))]
    room = {"TD3": 14, "MRV-A": 16, "MRV-B": 8, "TD2": 7, "TD1": 15}[form]
    optional = _characters(chance, int(chance.integers(4, room))) if chance.random() < 0.4 else ""
    first = {"TD1": "I", "TD2": "I", "TD3": "P", "MRV-A": "V", "MRV-B": "V"}[form]
    lines = mrz.compose(
        form,
        code=first + ("<" if chance.random() < 0.8 else pick("ADOS", chance)),
        issuer=state,
        names=(names[0].translate(_IN_ZONE), names[1].translate(_IN_ZONE)),
        number=number,
        nationality=state,
        birth=f"{birth:%y%m%d}",
        sex="<" if sex == "X" else sex,
        expiry=f"{expiry:%y%m%d}",
        optional=optional,
    )
    rows = [
        ("Surname / Nom", names[0]),
        ("Given names / Prénoms", names[1]),
        ("Document No. / No. du document", number),
        ("Date of birth / Date de naissance", _printed(birth)),
        ("Sex / Nationality", f"{sex}   {state}"),
        ("Date of expiry / Date d'expiration", _printed(expiry)),
    ]
    page = paper(SIZES[form], chance)
    _print_page(page, form, rows, lines, chance)
    return Travel(bgr(page), lines, names, number)


def _print_page(
    page: Image.Image,
    form: mrz.Form,
    rows: Sequence[tuple[str, str]],
    lines: Sequence[str],
    chance: Generator,
) -> None:
    pen = ImageDraw.Draw(page)
    width, height = page.size
    ink = tuple(int(each) for each in chance.integers(10, 60, 3))
    top = height - _ZONE
    step = (top - 110) / len(rows)
    title = {"TD3": "PASSPORT", "TD1": "IDENTITY CARD", "TD2": "IDENTITY CARD"}.get(form, "VISA")
    pen.text((60, 30), title, font=typeface(CJK, 34), fill=(60, 40, 90))
    small, large = typeface(CJK, int(min(17, step * 0.36))), typeface(CJK, int(min(26, step * 0.5)))
    for place, (label, value) in enumerate(rows):
        y = 90 + place * step
        pen.text((0.36 * width, y), label, font=small, fill=(90, 90, 120))
        pen.text((0.36 * width, y + step * 0.4), value, font=large, fill=ink)
    _portrait(pen, (60, 100, int(0.32 * width), top - 40), chance)
    letters = typeface(OCR_B, _ocr_b_size())
    margin = (width - len(lines[0]) * _PITCH) / 2
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            place_at = (margin + column * _PITCH, top + row * (150 / len(lines)))
            pen.text(place_at, character, font=letters, fill=ink)


@cache
def _ocr_b_size() -> int:
    """The size at which the typeface's own pitch is ten characters an inch."""
    return round(_PITCH * 100 / typeface(OCR_B, 100).getlength("0"))


def _portrait(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], chance: Generator) -> None:
    """A drawn head and shoulders: enough that the page looks like one, no face to be found."""
    left, top, right, bottom = box
    across, down = right - left, bottom - top
    pen.rectangle(box, fill=(205, 210, 214))
    coat = (left + 0.1 * across, top + 0.7 * down, right - 0.1 * across, bottom)
    pen.rectangle(coat, fill=(70, 80, 110))
    skin = tuple(int(each) for each in chance.integers(120, 215, 3))
    pen.ellipse(
        (left + 0.25 * across, top + 0.15 * down, right - 0.25 * across, top + 0.75 * down), skin
    )


def paper(size: tuple[int, int], chance: Generator) -> Image.Image:
    """Security paper: pale, with fine waves of colour."""
    width, height = size
    base = chance.uniform(222, 246, 3)
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.zeros((height, width, 3), np.float32)
    for channel in range(3):
        bend, pace = chance.uniform(3, 9), chance.uniform(0.15, 0.5)
        waves[:, :, channel] = np.sin(pace * (down + bend * np.sin(across / 40)))
    return Image.fromarray(np.clip(base + 5 * waves, 0, 255).astype(np.uint8), "RGB")


def _number(chance: Generator) -> str:
    """Up to nine characters as states write them; without O and I, as most leave them out."""
    way = chance.random()
    if way < 0.5:
        return pick("EGPKLABXZ", chance) + digits(chance, 8)
    if way < 0.7:
        return digits(chance, int(chance.integers(7, 10)))
    return "".join(pick("CFGHJKLMNPRTVWXYZ0123456789", chance) for _ in range(9))


def _invented(chance: Generator) -> str:
    """A name nobody bears, so that no reader can know it."""
    letters = [pick("BCDFGHJKLMNPQRSTVWXZ", chance) + pick("AEIOUY", chance) for _ in range(4)]
    return "".join(letters[: int(chance.integers(2, 5))]) + pick("NRSTKLM", chance)


def _characters(chance: Generator, count: int) -> str:
    return "".join(pick("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", chance) for _ in range(count))


def digits(chance: Generator, count: int) -> str:
    return "".join(str(each) for each in chance.integers(0, 10, count))


def _printed(day: dt.date) -> str:
    return f"{day.day:02d} {_MONTHS[day.month - 1]} {day.year}"


def pick(of: Sequence[str], chance: Generator) -> str:
    return of[int(chance.integers(len(of)))]


def bgr(page: Image.Image) -> Bgr:
    return np.ascontiguousarray(np.asarray(page.convert("RGB"))[:, :, ::-1])
