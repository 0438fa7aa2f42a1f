"""Chinese business licences (营业执照): fields by their labels, the code by its check character.

The unified social credit code (统一社会信用代码, GB 32100-2015) has eighteen characters; the last
one is a sum modulo 31 over the others. The labels stand in two columns, each value right of its
label and running on below it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stdnum.cn import uscc

from kyc.check import Finding, Verdict
from kyc.document.checks import Desk
from kyc.document.fusion import Votes
from kyc.document.page import AGREE, Leaf, Paper, evidence
from kyc.document.resident import Value
from kyc.image import Frame
from kyc.ocr import Word, direction

FIELDS = (
    "code", "name", "type", "representative", "capital", "founded", "term", "address", "scope"
)  # fmt: skip
NEEDED = ("code", "name", "representative")
GIVE_UP = 4
ENOUGH_READS = 5  # readings after which fields seen once will do, those needed apart
_LABELS = {
    "名称": "name",
    "类型": "type",
    "法定代表人": "representative",
    "负责人": "representative",
    "经营者": "representative",
    "投资人": "representative",
    "执行事务合伙人": "representative",
    "注册资本": "capital",
    "成立日期": "founded",
    "注册日期": "founded",
    "营业期限": "term",
    "合伙期限": "term",
    "住所": "address",
    "经营场所": "address",
    "主要经营场所": "address",
    "营业场所": "address",
    "经营范围": "scope",
}
_ENDS = ("登记机关", "国家企业信用", "市场主体", "国家市场监督", "http", "www", "扫描", "副本号")
_CODE = re.compile(r"[0-9A-HJ-NP-RT-UW-Y]{18}")
# The code has no I, O, Z, S or V, so what a reader makes of a digit is known for one.
_IN_CODE = str.maketrans("IOZSV", "1025Y")
_DATE = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日")
_TYPE = re.compile(
    r"(?:其他)?(?:有限责任公司|股份有限公司)[(（]|个人独资企业|普通合伙|有限合伙企业|个体工商户"
)
_FORMS = {
    "type": _TYPE,
    "name": re.compile(r"^[\u3400-\u9fff()（）·]{4,}(?:公司|厂|店|中心|合作社|事务所|合伙)$"),
    "address": re.compile(r"^[\u3400-\u9fff]{2,}[市区县].+[路街道巷村镇].*[号室层楼]$"),
}
_BY_FORM = 0.8  # confidence in a value without its label
_LONG = ("长期", "永久", "无固定期限")


@dataclass
class Licence:
    """What one picture of a licence says."""

    fields: dict[str, Value] = field(default_factory=dict)
    rejected_code: str = ""
    "A code whose check character is wrong."


@dataclass(frozen=True)
class _Run:
    """A word laid straight: left end, middle height, right end, height."""

    text: str
    score: float
    left: float
    level: float
    right: float
    height: float


def find(words: Sequence[Word]) -> Licence | None:
    """The licence among the words of a page; None when it does not look like one."""
    runs = _straight(words)
    everything = "".join(run.text for run in runs)
    labels = [label for label in (_label(run) for run in runs) if label]
    if "营业执照" not in everything and "信用代码" not in everything and len(labels) < 3:
        return None
    licence = Licence()
    _find_code(runs, licence)
    for name, value in _values(runs).items():
        made = _checked(name, value.text)
        if made:
            licence.fields[name] = Value(made, value.confidence)
    return licence


def check_character_right(code: str) -> bool:
    """Whether form and check character are those of GB 32100."""
    return bool(uscc.is_valid(code))


def parse_date(text: str) -> dt.date | None:
    """A day as a licence prints it, 2015年03月09日; None when it is none."""
    match = _DATE.search(text)
    try:
        return dt.date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def parse_term(text: str) -> tuple[dt.date | None, dt.date | None] | None:
    """First and last day of the term of operation; the last is None for 长期. None: no term."""
    days = [dt.date(int(y), int(m), int(d)) for y, m, d in _DATE.findall(text) if _is_day(y, m, d)]
    if any(word in text for word in _LONG):
        return (days[0] if days else None), None
    return (days[0], days[1]) if len(days) == 2 and days[0] < days[1] else None


def _is_day(year: str, month: str, day: str) -> bool:
    return parse_date(f"{year}年{month}月{day}日") is not None


# -- layout ------------------------------------------------------------------------------------


def _straight(words: Sequence[Word]) -> list[_Run]:
    """The words on a page turned level, top to bottom."""
    tilt = direction(words)
    along = np.array([np.cos(tilt), np.sin(tilt)])
    down = np.array([-np.sin(tilt), np.cos(tilt)])
    runs = []
    for word in words:
        across, deep = word.corners @ along, word.corners @ down
        left, right = float(across[[0, 3]].mean()), float(across[[1, 2]].mean())
        text = re.sub(r"\s", "", word.text)
        runs.append(_Run(text, word.score, left, float(deep.mean()), right, word.height))
    return sorted(runs, key=lambda run: run.level)


def _label(run: _Run) -> tuple[str, str] | None:
    """The field a run begins with the label of, and what follows the label in the same run."""
    for label in sorted(_LABELS, key=len, reverse=True):
        if run.text.startswith(label):
            return _LABELS[label], run.text[len(label) :].lstrip(":：")
    return None


def _values(runs: Sequence[_Run]) -> dict[str, Value]:
    """Each label's value: what stands right of it on its line, and below that, up to the next."""
    labels = _with_split_labels(runs)
    used = {id(each) for _, _, parts in labels for each in parts}
    found: dict[str, Value] = {}
    for name, rest, parts in labels:
        head = parts[-1]
        others = [other for _, _, others in labels for other in others if other not in parts]
        right = _column_end(head, others, runs)
        beside = [
            run
            for run in runs
            if id(run) not in used
            and abs(run.level - head.level) < 0.7 * max(head.height, run.height)
            and head.left < run.left < right
        ]
        texts = ([(rest, head.score)] if rest else []) + [
            (run.text, run.score) for run in sorted(beside, key=lambda run: run.left)
        ]
        if not texts:
            continue
        start = min((run.left for run in beside), default=head.left)
        if name in ("address", "scope", "name", "type"):
            texts += _below(head, start, right, others, runs, used)
        if name not in found:
            found[name] = Value("".join(t for t, _ in texts), min(s for _, s in texts))
    _part_name_from_type(found)
    taken = "".join(value.text for value in found.values())
    for name, form in _FORMS.items():
        # Pale labels are passed over; some values show by their form what they are.
        fitting = [run for run in runs if form.search(run.text) and run.text not in taken]
        if name not in found and len(fitting) == 1 and not _label(fitting[0]):
            found[name] = Value(fitting[0].text, _BY_FORM * fitting[0].score)
    return found


def _part_name_from_type(found: dict[str, Value]) -> None:
    """A type whose label was passed over runs on below the name: it begins in few ways."""
    name = found.get("name")
    match = name and _TYPE.search(name.text, 4)
    if name and match and "type" not in found:
        found["type"] = Value(name.text[match.start() :], name.confidence)
        found["name"] = Value(name.text[: match.start()], name.confidence)


def _with_split_labels(runs: Sequence[_Run]) -> list[tuple[str, str, tuple[_Run, ...]]]:
    """Labels as (field, rest of the run, its runs); 名  称 and 住  所 are often read in two."""
    found: list[tuple[str, str, tuple[_Run, ...]]] = []
    for run in runs:
        label = _label(run)
        if label:
            found.append((*label, (run,)))
            continue
        for first, second in (("名", "称"), ("类", "型"), ("住", "所")):
            if run.text == first:
                near = [
                    other
                    for other in runs
                    if other.text.startswith(second)
                    and abs(other.level - run.level) < 0.6 * run.height
                    and 0 < other.left - run.right < 6 * run.height
                ]
                # Pale print: the second character may be passed over altogether.
                rest = near[0].text[1:].lstrip(":：") if near else ""
                found.append((_LABELS[first + second], rest, (run, *near[:1])))
    return found


def _column_end(head: _Run, others: Sequence[_Run], runs: Sequence[_Run]) -> float:
    """Where the column of ``head`` ends: before the nearest label well right of it."""
    beyond = [other.left for other in others if other.left > head.right + 2 * head.height]
    same_row = [
        other.left
        for other in others
        if other.left > head.right and abs(other.level - head.level) < 2.5 * head.height
    ]
    ends = same_row or beyond
    return min(ends) - 0.5 * head.height if ends else max(run.right for run in runs) + 1


def _below(
    head: _Run,
    start: float,
    right: float,
    others: Sequence[_Run],
    runs: Sequence[_Run],
    used: set[int],
) -> list[tuple[str, float]]:
    """Lines that go on with a value: same left edge, no gap, before the next label."""
    next_label = min(
        (
            other.level
            for other in others
            if other.level > head.level + 0.7 * head.height
            and other.left < right
            and other.right > head.left
        ),
        default=float("inf"),
    )
    found, level = [], head.level
    for run in runs:
        if run.level <= head.level + 0.7 * head.height or id(run) in used:
            continue
        if run.level > next_label - 0.5 * head.height or run.level - level > 2.2 * head.height:
            break
        if abs(run.left - start) > 2.5 * head.height or run.left >= right:
            continue
        if any(end in run.text for end in _ENDS):
            break
        found.append((run.text, run.score))
        level = run.level
    return found


# -- fields ------------------------------------------------------------------------------------


def _find_code(runs: Sequence[_Run], licence: Licence) -> None:
    """The code stands beside or below its label; any eighteen fitting characters will do."""
    candidates = []
    for run in runs:
        text = re.sub(r"^.*代码[:：]?", "", run.text).upper().translate(_IN_CODE)
        text = re.sub(r"[^0-9A-Z]", "", text)
        if _CODE.fullmatch(text):
            candidates.append(Value(text, run.score))
    right = [each for each in candidates if check_character_right(each.text)]
    if right:
        licence.fields["code"] = right[0]
    elif candidates:
        licence.rejected_code = candidates[0].text


def _checked(name: str, text: str) -> str:
    """A field in the form it can have, or nothing."""
    text = text.strip(":：·. ")
    if name == "founded":
        return text if parse_date(text) else ""
    if name == "term":
        return text if parse_term(text) else ""
    if name == "capital":
        return (
            text
            if re.search(r"[\d零壹贰叁肆伍陆柒捌玖拾佰仟万亿]", text) and len(text) >= 3
            else ""
        )
    least = {"representative": 2, "name": 4, "type": 4, "address": 6, "scope": 6}[name]
    return text if len(text) >= least else ""


class BusinessLicence(Paper):
    """A business licence, original or duplicate."""

    name = "business_licence"

    def __init__(self, desk: Desk, today: dt.date | None = None) -> None:
        super().__init__(desk)
        self.today = today or dt.date.today()
        self.votes = Votes()
        self._wrong: Counter[str] = Counter()
        self._strange = 0
        self._best: tuple[float, Frame, Leaf] | None = None

    def look(self, leaf: Leaf) -> Licence | None:
        return find(leaf.words)

    def take(self, leaf: Leaf, frame: Frame) -> None:
        licence: Licence | None = leaf.found
        if licence is None:
            self._strange += leaf.score > 0.8
            return
        self.votes.add(licence.fields)
        if licence.rejected_code:
            self._wrong[licence.rejected_code] += 1
        worth = len(licence.fields) + leaf.score
        if self._best is None or worth > self._best[0]:
            self._best = (worth, frame, leaf)

    def done(self) -> bool:
        if self.votes.count("code") == 0 and self._wrong:
            return max(self._wrong.values()) >= GIVE_UP
        # No licence prints every field; 营业期限 is gone since 2019's form where it is 长期.
        if self.votes.agreed(name for name in FIELDS if name != "term"):
            return True
        return self.reads >= ENOUGH_READS and self.votes.agreed(NEEDED)

    def share(self) -> float:
        return self.votes.share_agreed(NEEDED)

    def advice(self, leaf: Leaf) -> str | None:
        if leaf.found is None:
            return "wrong_document" if self._strange >= AGREE else "hold_still"
        return None if "code" in leaf.found.fields else "closer"

    def answer(self, media_time_us: int) -> Finding:
        known = self.votes.best()
        verdict, reason = self._judge(known)
        values: dict[str, Any] = {
            name: {"value": known[name].text, "confidence": round(known[name].confidence, 3)}
            for name in FIELDS
            if name in known
        }
        character = "ok" if "code" in known else "wrong" if self._wrong else "unread"
        values["checks"] = {"check_character": character, "frames": self.reads}
        needed = [known[name].confidence for name in NEEDED if name in known]
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(min(needed), 3) if len(needed) == len(NEEDED) else None,
            values=values,
            pictures=evidence(self._best[1], self._best[2]) if self._best else [],
            models=self._desk.text.models,
            media_time_us=self._best[1].media_time_us if self._best else media_time_us,
        )

    def _judge(self, known: Mapping[str, Value]) -> tuple[Verdict, str]:
        if self.reads == 0:
            return Verdict.NOT_CHECKED, "timeout"
        if "code" not in known and any(count >= AGREE for count in self._wrong.values()):
            return Verdict.FAILED, "code_wrong"
        if self._best is None and self._strange >= AGREE:
            return Verdict.FAILED, "wrong_document"
        if any(name not in known for name in NEEDED) or not self.votes.agreed(NEEDED):
            return Verdict.NOT_CHECKED, "incomplete"
        founded = parse_date(known["founded"].text) if "founded" in known else None
        if founded and founded > self.today and self.votes.agreed(["founded"]):
            return Verdict.FAILED, "not_yet_valid"
        term = parse_term(known["term"].text) if "term" in known else None
        if term and term[1] and term[1] < self.today and self.votes.agreed(["term"]):
            return Verdict.FAILED, "expired"
        return Verdict.PASSED, "read"
