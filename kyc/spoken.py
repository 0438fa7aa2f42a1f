"""Digits out of what a recogniser wrote, strictly: what is not a digit is never taken for one.

Chinese characters, Arabic digits and English words are certain. A recogniser also writes characters
of the same sound (是 for 四, "for" for "four"): those count as digits of the second rank, by their
pinyin without tone, may make up less than half of an answer, and are left out at its ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_CHARACTERS = {
    **dict(zip("零一二三四五六七八九", "0123456789", strict=True)),
    **dict(zip("〇壹贰叁肆伍陆柒捌玖", "0123456789", strict=True)),
    **dict(zip("○Ｏ幺两兩貳參陸", "00122236", strict=True)),
    **dict(zip("０１２３４５６７８９", "0123456789", strict=True)),
}
_SOUNDS = {
    "ling": "0", "yi": "1", "yao": "1", "er": "2", "liang": "2", "san": "3", "si": "4", "shi": "4",
    "wu": "5", "liu": "6", "qi": "7", "ba": "8", "jiu": "9",
}  # fmt: skip
_COUNTS = "十百千万萬亿億拾佰仟点點"
"Numerals, but no digits: 四十七 is not 四七."
_WORDS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_LIKE_WORDS = {
    "oh": "0", "o": "0", "won": "1", "to": "2", "too": "2", "tree": "3", "for": "4", "fore": "4",
    "sicks": "6", "ate": "8",
}  # fmt: skip
_PIECES = re.compile(r"[0-9]|[A-Za-z']+|[^\W\d_]|[０-９○]")
BROKEN = "\ufffd"
"Stands for half a character: 零 and 幺 are written in two steps."
_LONGEST = 400
"Characters looked at: nobody says more in one breath."


@dataclass(frozen=True)
class Digit:
    """One digit heard."""

    digit: str
    certain: bool
    "Written as a digit, not as something of its sound."


Break = None
"A word that is no digit: what stands on its two sides does not belong together."


def digits_in(text: str, sounds: Sequence[str] = ()) -> list[Digit | None]:
    """The digits of a text in order, with a break (None) for each other word.

    ``sounds``: the pinyin of each character of ``text``, as of :class:`kyc.speech.Utterance`.
    """
    return [
        _digit(piece[0], sounds[piece.start()] if piece.start() < len(sounds) else "")
        for piece in _PIECES.finditer(text[:_LONGEST])
    ]


def shown(heard: Iterable[Digit | None]) -> str:
    """What was understood, for a person: digits, and a dot for each other word."""
    return "".join(each.digit if each else "·" for each in heard)


def says(expected: str, heard: Sequence[Digit | None]) -> bool:
    """Whether exactly these digits were said, in one run without another digit beside them."""
    return any(_is(expected, run) for run in _runs(heard))


def likeliest(written: Iterable[tuple[str, float]]) -> str:
    """The digits with most probability over all their spellings; empty when none are only digits.

    ``written``: what may have been said, with the natural logarithm of its probability.
    """
    shares: dict[str, float] = {}
    for text, logarithm in written:
        digits = shown(digits_in(text))
        if digits.isdecimal() and BROKEN not in text:
            shares[digits] = shares.get(digits, 0.0) + math.exp(logarithm)
    return max(shares, key=lambda digits: shares[digits], default="")


def most_digits(heard: Sequence[Digit | None]) -> int:
    """Length of the longest run."""
    return max((len(run) for run in _runs(heard)), default=0)


def _digit(piece: str, sound: str) -> Digit | None:
    if piece.isascii() and piece.isdigit():
        return Digit(piece, True)
    if piece in _CHARACTERS:
        return Digit(_CHARACTERS[piece], True)
    word = piece.lower()
    if word in _WORDS:
        return Digit(_WORDS[word], True)
    if word in _LIKE_WORDS:
        return Digit(_LIKE_WORDS[word], False)
    if piece in _COUNTS or piece.isascii():
        return Break
    return Digit(_SOUNDS[sound], False) if sound in _SOUNDS else Break


def _runs(heard: Sequence[Digit | None]) -> list[list[Digit]]:
    runs: list[list[Digit]] = [[]]
    for each in heard:
        if each is None:
            runs.append([])
        else:
            runs[-1].append(each)
    return [run for run in runs if run]


def _is(expected: str, run: list[Digit]) -> bool:
    """The run as it is, or with words at its ends (我的号码是 四七一九) left out."""
    first = next((at for at, each in enumerate(run) if each.certain), len(run))
    last = len(run) - next((at for at, each in enumerate(reversed(run)) if each.certain), len(run))
    for start in range(first + 1):
        for end in range(max(last, start), len(run) + 1):
            part = run[start:end]
            likely = sum(each.certain for each in part)
            if "".join(each.digit for each in part) == expected and 2 * likely > len(part):
                return True
    return False
