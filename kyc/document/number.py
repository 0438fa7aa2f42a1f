"""The number of a Chinese resident identity card (GB 11643-1999): what it says and checks.

Eighteen characters: region (6), birth (8), sequence (3, odd for men), check character
(ISO 7064 MOD 11-2, ``X`` standing for ten).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from stdnum import numdb

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHARACTERS = "10X98765432"
# Nobody with a card was born before 1800; ordinary slips of reading are caught by this, too.
_FORM = re.compile(r"[1-9]\d{5}(?:18|19|20)\d{9}[\dX]")


@dataclass(frozen=True)
class Number:
    """A number whose check character and date are right."""

    text: str
    birth: dt.date
    sex: str
    "男 or 女"
    region: str | None
    "Province and county the code stands for; None when the code is not in the tables."


def check_character(digits: str) -> str:
    """The check character that belongs to the first seventeen digits."""
    total = sum(int(digit) * weight for digit, weight in zip(digits[:17], _WEIGHTS, strict=True))
    return _CHARACTERS[total % 11]


def well_formed(text: str) -> bool:
    """Whether it looks like a number at all; says nothing of the check character."""
    return _FORM.fullmatch(text) is not None


def parse(text: str) -> Number | None:
    """The number, or None when its form, check character or date is wrong."""
    if not well_formed(text) or check_character(text) != text[17]:
        return None
    try:
        birth = dt.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return None
    return Number(text, birth, "男" if int(text[16]) % 2 else "女", _region(text))


def _region(text: str) -> str | None:
    """Province and county of the code, whichever year the county had it.

    The card carries the code of where the number was given, often long after the birth, so the
    years in the tables say nothing against it.
    """
    place = {k: v for _, found in numdb.get("cn/loc").info(text[:6]) for k, v in found.items()}
    if not place.get("county"):
        return None
    county = re.sub(r"\[[^]]*\]", "", place["county"].split(",")[-1])
    return str(place.get("province", "")) + county
