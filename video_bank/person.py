"""What a person is known by: name, phone, ID number; made regular, and masked."""

import re
import unicodedata

from video_bank.errors import UserError

_CHINESE_MOBILE = re.compile(r"(?:\+?86)?(1[3-9]\d{9})")
_INTERNATIONAL = re.compile(r"\+[1-9]\d{6,14}")
_STAR = "*"


def clean_name(text: str) -> str:
    """A name as it is stored: one spelling, no control characters.  Raises ``name_invalid``."""
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not 1 <= len(name) <= 64 or any(unicodedata.category(c)[0] == "C" for c in name):
        raise UserError("name_invalid")
    if not any(c.isalpha() for c in name):
        raise UserError("name_invalid")
    return name


def clean_phone(text: str) -> str:
    """A phone number as it is stored: 11 digits in China, else ``+`` and digits.

    Raises ``phone_invalid``.
    """
    digits = re.sub(r"[\s().-]", "", unicodedata.normalize("NFKC", text))
    if not digits.isascii():
        raise UserError("phone_invalid")
    if match := _CHINESE_MOBILE.fullmatch(digits):
        return match[1]
    if not _INTERNATIONAL.fullmatch(digits):
        raise UserError("phone_invalid")
    return digits


def mask_name(name: str) -> str:
    """``张*``, ``欧**``, ``J*** S****``: the first letter of each word."""
    return " ".join(word[0] + _STAR * (len(word) - 1) for word in name.split())


def mask_phone(phone: str) -> str:
    """``138****5678``: the last four, and three before when there are enough."""
    ahead = 3 if len(phone) >= 11 else 0
    return phone[:ahead] + _STAR * (len(phone) - ahead - 4) + phone[-4:]


def mask_id_number(number: str) -> str:
    """``110***********1234``: three before and four behind of a long one, else two behind."""
    ahead, behind = (3, 4) if len(number) >= 15 else (0, 2)
    return number[:ahead] + _STAR * (len(number) - ahead - behind) + number[-behind:]
