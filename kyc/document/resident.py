"""What the lines of a Chinese resident identity card say.

Pure functions from lines of text to fields. A field is taken only in a form it can have, so a
half-read line gives no field instead of a wrong one; the frames that follow fill the gap.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from kyc.document import number, places
from kyc.ocr import Line

MENDED, UNLABELLED = 0.9, 0.8  # most confidence in what was mended, or stood without its label

Side = Literal["front", "back", "other", "nothing"]

FRONT_FIELDS = ("name", "sex", "nation", "birth", "address", "id")
BACK_FIELDS = ("authority", "valid")
NATIONS = (
    "汉 蒙古 回 藏 维吾尔 苗 彝 壮 布依 朝鲜 满 侗 瑶 白 土家 哈尼 哈萨克 傣 黎 傈僳 佤 畲 高山 "
    "拉祜 水 东乡 纳西 景颇 柯尔克孜 土 达斡尔 仫佬 羌 布朗 撒拉 毛南 仡佬 锡伯 阿昌 普米 塔吉克 "
    "怒 乌孜别克 俄罗斯 鄂温克 德昂 保安 裕固 京 塔塔尔 独龙 鄂伦春 赫哲 门巴 珞巴 基诺"
).split()

_HAN = r"\u3400-\u9fff\u3007"
_DATE = r"(\d{4})[.．·,，。-]?(\d{2})[.．·,，。-]?(\d{2})"
_PERIOD = re.compile(rf"{_DATE}[-—–一~至]+(?:{_DATE}|(长期))")
# Letters a reader makes of digits, in the number's line only.
_AS_DIGITS = str.maketrans({"O": "0", "o": "0", "D": "0", "I": "1", "l": "1", "|": "1", "x": "X"})


@dataclass(frozen=True)
class Value:
    """A field as read."""

    text: str
    confidence: float


@dataclass
class Reading:
    """What one picture of a card says."""

    side: Side
    fields: dict[str, Value] = field(default_factory=dict)
    rejected_number: str | None = None
    "A number whose check character or date is wrong."
    score: float = 0.0
    characters: int = 0


_FRONT_MARKS = ("姓名", "性别", "民族", "出生", "住址", "公民身份号码")
_BACK_MARKS = ("中华人民共和国", "居民身份证", "签发机关", "有效期限")


def read_lines(lines: Sequence[Line]) -> Reading:
    """Which side it is and its fields."""
    texts = "".join(line.text for line in lines)
    characters = len(texts)
    score = sum(line.score * len(line.text) for line in lines) / max(1, characters)
    fields: dict[str, Value]
    front, fields_front, rejected = 0, dict[str, Value](), None
    front = sum(mark in texts for mark in _FRONT_MARKS)
    back = sum(mark in texts for mark in _BACK_MARKS)
    fields_front, rejected = front_fields(lines)
    front += 2 * ("id" in fields_front or rejected is not None)
    fields_back = back_fields(lines)
    back += 2 * ("valid" in fields_back)
    side: Side
    if max(front, back) >= 2:
        side = "front" if front > back else "back"
    else:
        # Enough text, well read, and none of it an identity card's.
        side = "other" if characters >= 12 and score > 0.8 else "nothing"
    fields = fields_front if side == "front" else fields_back if side == "back" else {}
    return Reading(side, fields, rejected if side == "front" else None, score, characters)


def front_fields(lines: Sequence[Line]) -> tuple[dict[str, Value], str | None]:
    """Fields of the side with the portrait, and a number that failed its check, if any."""
    found: dict[str, Value] = {}
    rejected = None
    number_line = len(lines)
    for position, line in enumerate(lines):
        text = _number_text(line.text)
        if text is None:
            continue
        number_line = position
        if number.parse(text):
            found["id"] = Value(text, line.score)
        else:
            rejected = text
    body = [_plain(line) for line in lines[:number_line]]
    for position, (text, score) in enumerate(body):
        for name, value in _from_line(text).items():
            found.setdefault(name, Value(value, score))
        if "address" not in found and re.match(r"^(?:住址|住|址)", text):
            address = _address(body[position:])
            if address:
                found["address"] = address
    unlabelled = _unlabelled_name(body) if "name" not in found else None
    if unlabelled:
        found["name"] = unlabelled
    if "id" in found and "address" in found:
        address = found["address"]
        mended = places.mend(address.text, found["id"].text)
        if mended != address.text:
            found["address"] = Value(mended, min(address.confidence, MENDED))
    return found, rejected


def _unlabelled_name(body: Sequence[tuple[str, float]]) -> Value | None:
    """The line over 性别, where light on the plastic hid the label 姓名."""
    texts = [text for text, _ in body]
    marked = (at for at, text in enumerate(texts) if re.match(r"^.?性?别?[男女]|^性别", text))
    below = next(marked, 0)
    if below == 0 or not re.fullmatch(rf"[{_HAN}·]{{2,20}}", texts[below - 1]):
        return None
    if re.search(r"[姓名性别民族出生住址省市]{2}", texts[below - 1]):
        return None
    return Value(texts[below - 1], min(body[below - 1][1], UNLABELLED))


def back_fields(lines: Sequence[Line]) -> dict[str, Value]:
    """Issuing authority and period of validity."""
    found: dict[str, Value] = {}
    for position, line in enumerate(lines):
        match = re.search(rf"(?:签发机关|发机关|机关)[:：]?([{_HAN}]{{4,}})$", line.text)
        if match:
            authority = _authority(match[1], line.score, lines[position + 1 : position + 2])
            if authority:
                found.setdefault("authority", authority)
        match = _PERIOD.search(line.text)
        if match and parse_period(_period(match)):
            found.setdefault("valid", Value(_period(match), line.score))
    return found


def _authority(text: str, score: float, following: Sequence[Line]) -> Value | None:
    """A long name runs over to a second line."""
    for line in following:
        if re.fullmatch(rf"[{_HAN}]+", line.text) and not re.search(r"[有效期限]{2}", line.text):
            text, score = text + line.text, min(score, line.score)
    return Value(text, score) if re.search(r"[局所厅队]$", text) else None


def parse_period(text: str) -> tuple[dt.date, dt.date | None] | None:
    """First and last day of validity; the last is None for 长期. None when not a period."""
    match = re.fullmatch(r"(\d{4})\.(\d\d)\.(\d\d)-(?:(\d{4})\.(\d\d)\.(\d\d)|长期)", text)
    if not match:
        return None
    try:
        first = dt.date(*map(int, match.groups()[:3]))
        last = dt.date(*map(int, match.groups()[3:])) if match[4] else None
    except ValueError:
        return None
    return (first, last) if last is None or first < last else None


def parse_birth(text: str) -> dt.date | None:
    """A birth date as printed (1990年1月2日)."""
    match = re.fullmatch(r"(\d{4})年(\d{1,2})月(\d{1,2})日", text)
    try:
        return dt.date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def print_birth(date: dt.date) -> str:
    """A date as the card prints it."""
    return f"{date.year}年{date.month}月{date.day}日"


def _plain(line: Line) -> tuple[str, float]:
    return re.sub(r"[:：]", "", line.text), line.score


def _number_text(text: str) -> str | None:
    """The eighteen characters of the number's line, if it is that line."""
    tail = re.split(r"号码|身份证?号?码?", text)[-1].translate(_AS_DIGITS)
    match = re.search(r"(?<!\d)[1-9]\d{16}[\dX](?!\d)", tail)
    return match.group() if match else None


def _from_line(text: str) -> dict[str, str]:
    """Fields that stand on one line with their label."""
    found: dict[str, str] = {}
    match = re.match(rf"^.?(?:姓名|名)([{_HAN}·]{{2,20}})$", text)
    if match:
        found["name"] = match[1]
    if "族" in text or "性" in text or re.match(r"^别?[男女]", text):
        match = re.search(r"[男女]", text)
        if match:
            found["sex"] = match.group()
        match = re.search(r"(?:民族|族)(.+)$", text)
        nation = _nation(match[1]) if match else None
        if nation:
            found["nation"] = nation
    match = re.search(r"((?:19|20)\d\d)年?(\d{1,2})月(\d{1,2})日?", text)
    if match:
        birth = "{}年{}月{}日".format(*map(int, match.groups()))
        if parse_birth(birth):
            found["birth"] = birth
    return found


def _nation(text: str) -> str | None:
    if text in NATIONS:
        return text
    # One character is read right or it is another nation; longer names bear one mistake.
    near = difflib.get_close_matches(text, [n for n in NATIONS if len(n) > 1], 1, 0.6)
    return near[0] if near and len(text) > 1 else None


def _address(body: Sequence[tuple[str, float]]) -> Value | None:
    """The address runs over up to four lines, to the number."""
    first = re.sub(r"^(?:住址|住|址)", "", body[0][0])
    parts = [(first, body[0][1])]
    for text, score in body[1:4]:
        if re.search(r"公民|身份|号码|^[姓性民出]", text):
            break
        parts.append((text, score))
    address = re.sub(rf"[^{_HAN}A-Za-z0-9#()（）·-]", "", "".join(text for text, _ in parts))
    # An address names at least a county and ends in something one can stand before.
    if len(address) < 6 or not re.search(r"[省市区县州旗盟]", address):
        return None
    return Value(address, min(score for _, score in parts))


def _period(match: re.Match[str]) -> str:
    groups = match.groups()
    first = ".".join(groups[:3])
    return f"{first}-{groups[6] or '.'.join(groups[3:6])}"
