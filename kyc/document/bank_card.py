"""Bank cards: number, month of expiry, holder; the issuer by the first digits.

The number is 13 to 19 digits whose last is the Luhn sum (ISO/IEC 7812-1, annex B). It is sensitive:
it stands in the finding's values, and the picture kept of the card has its middle digits covered.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from stdnum import luhn

from kyc.check import Finding, Picture, Verdict
from kyc.document import issuers, resident
from kyc.document.checks import Desk
from kyc.document.fusion import Votes
from kyc.document.page import AGREE, Leaf, Paper
from kyc.document.resident import Value
from kyc.image import Bgr, Frame, jpeg
from kyc.ocr import Line, Word

SHORTEST, LONGEST = 13, 19
GIVE_UP = 4  # readings of one wrong number after which no other is waited for
_AS_DIGITS = str.maketrans("OoDQIl|BSZ", "0000111852")
_THRU = re.compile(r"(?<!\d)(0[1-9]|1[0-2])\s*[/／]\s*(?:20)?(\d\d)(?!\d)")
_NOT_A_HOLDER = re.compile(
    r"BANK|CARD|VALID|THRU|FROM|DEBIT|CREDIT|UNION|PAY|VISA|MASTER|GOLD|PLATINUM|MONTH|YEAR|GOOD"
    r"|MEMBER|SINCE|EXPRESS|AUTHORI[SZ]ED|SIGNATURE|CHINA|CLASSIC|ELECTRONIC|ATM"
)


@dataclass(frozen=True)
class Face:
    """What the front of a card says."""

    number: str
    "As read: its sum may be wrong."
    right: bool
    valid_thru: str
    "2029-08, or empty."
    holder: str
    score: float
    places: tuple[Word, ...]
    "Where the number stands."


def find(lines: Sequence[Line]) -> Face | None:
    """The front of a bank card among lines of text; None when no number stands there."""
    candidates = [found for start in range(len(lines)) for found in _numbers(lines, start)]
    if not candidates:
        return None
    # A right sum is worth more than length: a date beside the number makes a longer, wrong one.
    number, words, score = max(candidates, key=lambda each: (luhn.is_valid(each[0]), len(each[0])))
    if not luhn.is_valid(number) and len(number) < 15:
        return None  # a telephone number, or an order's
    thru = next((found for line in lines if (found := _valid_thru(line))), "")
    return Face(number, luhn.is_valid(number), thru, _holder(lines), score, words)


def _numbers(lines: Sequence[Line], start: int) -> list[tuple[str, tuple[Word, ...], float]]:
    """Numbers on this line, or in groups of four over the four or five lines from here."""
    found = []
    line = lines[start]
    number = _digits(line.words)
    if SHORTEST <= len(number) <= LONGEST:
        found.append((number, line.words, line.score))
    for word in line.words:
        number = _digits([word])
        if SHORTEST <= len(number) <= LONGEST and len(line.words) > 1:
            found.append((number, (word,), word.score))
    for count in (4, 5):
        rows = lines[start : start + count]
        groups = [_digits(row.words) for row in rows]
        if len(rows) == count and all(3 <= len(group) <= 4 for group in groups):
            words = tuple(word for row in rows for word in row.words)
            found.append(("".join(groups), words, min(row.score for row in rows)))
    return [each for each in found if SHORTEST <= len(each[0]) <= LONGEST]


def _digits(words: Sequence[Word]) -> str:
    """The digits of runs that hold hardly anything else."""
    text = re.sub(r"[\s.·-]", "", "".join(word.text for word in words))
    # Letters are taken for digits only where the rest is digits.
    if sum(each.isdigit() for each in text) < 0.8 * len(text):
        return ""
    text = text.translate(_AS_DIGITS)
    return text if re.fullmatch(r"[0-9]+", text) else ""


def _valid_thru(line: Line) -> str:
    """The last month on the line: VALID FROM stands before VALID THRU."""
    text = " ".join(word.text for word in line.words)
    months = [(int(year), month) for month, year in _THRU.findall(text)]
    if not months:
        return ""
    year, month = max(months)
    return f"20{year:02d}-{month}"


def _holder(lines: Sequence[Line]) -> str:
    runs = [word.text.strip() for line in lines for word in line.words]
    for text in reversed(runs):
        if re.fullmatch(r"[A-Z][A-Z.'/ -]{3,25}", text) and not _NOT_A_HOLDER.search(text):
            return text
    return ""


def covered(bgr: Bgr, places: Sequence[Word], number: str) -> Bgr:
    """The picture with the number's digits under bars, all but about the last four."""
    picture = bgr.copy()
    total, before = len(number), 0
    for word in places:
        digits = max(1, len(_digits([word])))
        last = min(digits, total - 4 - before)
        if last > 0:
            a, b, c, d = (corner.astype(np.float64) for corner in word.corners)
            lift = (a - d) * 0.25
            left, right = -0.02, last / digits
            bar = [
                a + (b - a) * left + lift,
                a + (b - a) * right + lift,
                d + (c - d) * right - lift,
                d + (c - d) * left - lift,
            ]
            cv2.fillConvexPoly(picture, np.asarray(bar, np.int32), (0, 0, 0))
        before += digits
    return picture


class BankCard(Paper):
    """The side of a bank card that bears the number."""

    name = "bank_card"
    min_words = 2

    def __init__(self, desk: Desk, today: dt.date | None = None) -> None:
        super().__init__(desk)
        self.today = today or dt.date.today()
        self.votes = Votes()
        self._wrong: Counter[str] = Counter()
        self._resident = 0
        self._best: tuple[float, Frame, Leaf] | None = None

    def look(self, leaf: Leaf) -> Face | None:
        # Sixteen or more digits on an identity card may pass the sum by chance.
        if resident.read_lines(leaf.lines).side in ("front", "back"):
            return None
        return find(leaf.lines)

    def take(self, leaf: Leaf, frame: Frame) -> None:
        face: Face | None = leaf.found
        if face is None:
            self._resident += resident.read_lines(leaf.lines).side in ("front", "back")
            return
        if not face.right:
            self._wrong[face.number] += 1
            return
        fields = {"number": face.number, "valid_thru": face.valid_thru, "holder": face.holder}
        self.votes.add({k: Value(v, face.score) for k, v in fields.items() if v})
        worth = face.score + bool(face.valid_thru)
        if self._best is None or worth > self._best[0]:
            self._best = (worth, frame, leaf)

    def done(self) -> bool:
        if self._wrong and self.votes.count("number") == 0:
            return max(self._wrong.values()) >= GIVE_UP
        # Not every card prints a month: it is waited for, but not for ever.
        wanted = ["number", "valid_thru"] if self.reads < GIVE_UP else ["number"]
        return self.votes.agreed(wanted)

    def share(self) -> float:
        return self.votes.share_agreed(["number", "valid_thru"])

    def advice(self, leaf: Leaf) -> str | None:
        if self._resident and leaf.found is None:
            return "wrong_document"
        return None if leaf.found is not None and leaf.found.right else "hold_still"

    def answer(self, media_time_us: int) -> Finding:
        known = self.votes.best()
        verdict, reason = self._judge(known)
        number = known["number"].text if "number" in known else ""
        issuer = issuers.of(number)
        luhn_says = "ok" if number else "wrong" if self._wrong else "unread"
        values: dict[str, Any] = {
            name: {"value": each.text, "confidence": round(each.confidence, 3)}
            for name, each in known.items()
        }
        values["checks"] = {
            "luhn": luhn_says,
            "scheme": issuer.scheme,
            "issuer": issuer.bank,
            "kind": issuer.kind,
            "issuer_certain": issuer.certain,
            "frames": self.reads,
        }
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(known["number"].confidence, 3) if number else None,
            values=values,
            pictures=self._pictures(),
            models=self._desk.text.models,
            media_time_us=self._best[1].media_time_us if self._best else media_time_us,
        )

    def _judge(self, known: dict[str, Value]) -> tuple[Verdict, str]:
        if self.reads == 0:
            return Verdict.NOT_CHECKED, "timeout"
        if "number" not in known:
            if any(count >= AGREE for count in self._wrong.values()):
                return Verdict.FAILED, "luhn_wrong"
            if self._resident >= AGREE:
                return Verdict.FAILED, "wrong_document"
            return Verdict.NOT_CHECKED, "incomplete"
        if not self.votes.agreed(["number"]):
            return Verdict.NOT_CHECKED, "incomplete"  # one frame's word is not enough
        if "valid_thru" in known and self.votes.agreed(["valid_thru"]):
            year, month = map(int, known["valid_thru"].text.split("-"))
            if dt.date(year, month, calendar.monthrange(year, month)[1]) < self.today:
                return Verdict.FAILED, "expired"
        return Verdict.PASSED, "read"

    def _pictures(self) -> list[Picture]:
        """Only the page with the number covered: the frame itself would show it."""
        if self._best is None:
            return []
        _, frame, leaf = self._best
        face: Face = leaf.found
        picture = covered(leaf.upright, face.places, face.number)
        return [Picture("card", jpeg(picture), frame.media_time_us)]
