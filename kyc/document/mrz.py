"""The machine readable zone of travel documents (ICAO Doc 9303, parts 3 to 7): form and sums.

Pure: two or three lines of ``A``–``Z``, ``0``–``9`` and ``<`` in, fields and check digits out, and
back again. Reading a zone with mistakes in it is :mod:`kyc.document.mrz_repair`.

A check digit is a sum modulo ten, so it cannot see a character replaced by one whose value differs
by ten or twenty: ``6`` and ``G``, ``1`` and ``L``, ``8`` and ``S`` are alike to it. And the name
stands under no digit at all. Both are compared with what the page prints.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

Form = Literal["TD1", "TD2", "TD3", "MRV-A", "MRV-B"]
Digit = Literal["ok", "wrong", "absent", "unsure"]
Span = tuple[int, int, int]
"Line, first column, column after the last; from 0."

FILLER = "<"
_VALUES = {each: value for value, each in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
_VALUES[FILLER] = 0
_WEIGHTS = (7, 3, 1)


@dataclass(frozen=True)
class Layout:
    """Where a form of document prints what."""

    form: Form
    rows: int
    width: int
    spans: Mapping[str, Span]
    digits: Mapping[str, tuple[tuple[int, int], tuple[Span, ...]]]
    "Name to the place of the check digit and what it is summed over."


def _two_lines(
    form: Form, width: int, optional: int, *, personal: bool = False, composite: bool = True
) -> Layout:
    spans: dict[str, Span] = {
        "code": (0, 0, 2),
        "issuer": (0, 2, 5),
        "name": (0, 5, width),
        "number": (1, 0, 9),
        "nationality": (1, 10, 13),
        "birth": (1, 13, 19),
        "sex": (1, 20, 21),
        "expiry": (1, 21, 27),
        "optional": (1, 28, optional),
    }
    digits: dict[str, tuple[tuple[int, int], tuple[Span, ...]]] = {
        name: ((1, spans[name][2]), (spans[name],)) for name in ("number", "birth", "expiry")
    }
    if personal:
        digits["optional"] = ((1, optional), (spans["optional"],))
    if composite:
        digits["composite"] = ((1, width - 1), ((1, 0, 10), (1, 13, 20), (1, 21, width - 1)))
    return Layout(form, 2, width, spans, digits)


_TD1 = Layout(
    "TD1",
    3,
    30,
    {
        "code": (0, 0, 2),
        "issuer": (0, 2, 5),
        "number": (0, 5, 14),
        "optional": (0, 15, 30),
        "birth": (1, 0, 6),
        "sex": (1, 7, 8),
        "expiry": (1, 8, 14),
        "nationality": (1, 15, 18),
        "optional2": (1, 18, 29),
        "name": (2, 0, 30),
    },
    {
        "number": ((0, 14), ((0, 5, 14),)),
        "birth": ((1, 6), ((1, 0, 6),)),
        "expiry": ((1, 14), ((1, 8, 14),)),
        "composite": ((1, 29), ((0, 5, 30), (1, 0, 7), (1, 8, 15), (1, 18, 29))),
    },
)
LAYOUTS: dict[Form, Layout] = {
    "TD1": _TD1,
    "TD2": _two_lines("TD2", 36, 35),
    "TD3": _two_lines("TD3", 44, 42, personal=True),
    "MRV-A": _two_lines("MRV-A", 44, 44, composite=False),
    "MRV-B": _two_lines("MRV-B", 36, 36, composite=False),
}
CODES = {"TD1": "ACI", "TD2": "ACIP", "TD3": "P", "MRV-A": "V", "MRV-B": "V"}
"What the first character may be. P on two short lines: some emergency passports."

Kind = Literal["digit", "date", "letter", "sex", "any", "check"]
_KINDS: dict[str, Kind] = {
    "code": "letter",
    "issuer": "letter",
    "name": "letter",
    "nationality": "letter",
    "birth": "date",
    "expiry": "date",
    "sex": "sex",
}
LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DIGITS = frozenset("0123456789")
ALLOWED: dict[Kind, frozenset[str]] = {
    "digit": DIGITS,
    "date": DIGITS | {FILLER},
    "check": DIGITS | {FILLER},
    "letter": LETTERS | {FILLER},
    "sex": frozenset("MFX<"),
    "any": LETTERS | DIGITS | {FILLER},
}


def kinds(layout: Layout) -> list[list[Kind]]:
    """What may stand at each place, line by line."""
    return _kinds(layout.form)


@cache
def _kinds(form: Form) -> list[list[Kind]]:
    layout = LAYOUTS[form]
    table: list[list[Kind]] = [["any"] * layout.width for _ in range(layout.rows)]
    for name, (row, start, end) in layout.spans.items():
        table[row][start:end] = [_KINDS.get(name, "any")] * (end - start)
    for name, ((row, column), _) in layout.digits.items():
        # A filler there: the number goes on in the optional data, or that data is empty.
        table[row][column] = "check" if name in ("number", "optional") else "digit"
    return table


def check_digit(text: str) -> str:
    """The check digit over ``text`` (part 3, 4.9): weights 7, 3, 1; ``A`` counts 10, ``<`` 0."""
    total = sum(_VALUES[each] * _WEIGHTS[place % 3] for place, each in enumerate(text))
    return str(total % 10)


@dataclass(frozen=True)
class Change:
    """One mending of what was read."""

    line: int
    column: int
    "From 0, in the mended line."
    read: str
    made: str
    why: Literal["filler", "position", "check_digit", "printed"]
    "Padding; what may stand there; the sums; what the page prints."


@dataclass(frozen=True)
class Zone:
    """A zone of a known form, with its sums done."""

    form: Form
    lines: tuple[str, ...]
    check_digits: dict[str, Digit]
    changes: tuple[Change, ...] = field(default=())
    "What had to be mended to come here; empty: as read."
    ambiguous: bool = False
    "There was more than one way to mend it, so it was not."

    @property
    def valid(self) -> bool:
        """Whether every check digit the form has is right. Says nothing of the name."""
        return not self.ambiguous and not {"wrong", "unsure"} & set(self.check_digits.values())

    def text(self, name: str) -> str:
        """The characters of a field, fillers and all; empty when the form has no such field."""
        row, start, end = LAYOUTS[self.form].spans.get(name, (0, 0, 0))
        return self.lines[row][start:end]

    @property
    def number(self) -> str:
        return _number(LAYOUTS[self.form], self.lines)[0]

    @property
    def names(self) -> tuple[str, str]:
        """Primary and secondary identifier, as a rule surname and given names."""
        primary, _, secondary = self.text("name").rstrip(FILLER).partition(FILLER * 2)
        return _words(primary), _words(secondary)

    def fields(self, today: dt.date) -> dict[str, str]:
        """Every field as people write it; dates as 1974-08-12, what is unknown of them left out.

        ``today`` decides the century: nobody is born in the future, no document expires more than
        fifty years from now or a hundred ago.
        """
        primary, secondary = self.names
        values = {
            "form": self.form,
            "code": self.text("code").strip(FILLER),
            "issuer": self.text("issuer").strip(FILLER),
            "surname": primary,
            "given_names": secondary,
            "number": self.number,
            "nationality": self.text("nationality").strip(FILLER),
            "birth": self._birth(today),
            "sex": self.text("sex").strip("<X"),
            "expiry": date(self.text("expiry"), today.year + 50),
            "optional": self._optional(),
            "optional2": _words(self.text("optional2")),
        }
        return {name: value for name, value in values.items() if value}

    def _birth(self, today: dt.date) -> str:
        text = self.text("birth")
        ahead = text[:2] == f"{today:%y}" and text > f"{today:%y%m%d}"
        return date(text, today.year - ahead)

    def _optional(self) -> str:
        text = self.text("optional")
        if continued(LAYOUTS[self.form], self.lines):
            _, _, text = text.partition(FILLER)
        return _words(text)


def parse(lines: Sequence[str]) -> Zone | None:
    """The zone exactly as it stands; None when length or characters fit no form."""
    layout = layout_of(lines)
    if layout is None or not fits(layout, lines):
        return None
    return Zone(layout.form, tuple(lines), sums(layout, lines))


def layout_of(lines: Sequence[str]) -> Layout | None:
    """The form of so many lines of this length that begin so."""
    for layout in LAYOUTS.values():
        if (
            len(lines) == layout.rows
            and all(len(line) == layout.width for line in lines)
            and lines[0][0] in CODES[layout.form]
        ):
            return layout
    return None


def fits(layout: Layout, lines: Sequence[str]) -> bool:
    """Whether every character may stand where it stands."""
    return all(
        character in ALLOWED[kind]
        for line, row in zip(lines, kinds(layout), strict=True)
        for character, kind in zip(line, row, strict=True)
    )


def sums(layout: Layout, lines: Sequence[str]) -> dict[str, Digit]:
    """Every check digit of the form: ok, wrong, or absent where the form allows a filler.

    A date that is none is wrong whatever its digit says.
    """
    found: dict[str, Digit] = {}
    for name, ((row, column), parts) in layout.digits.items():
        printed = lines[row][column]
        text = "".join(cut(lines, part) for part in parts)
        if name == "number":
            text, printed = _number(layout, lines)
        if printed == FILLER and name == "optional" and not text.strip(FILLER):
            found[name] = "absent"
        elif name in ("birth", "expiry") and not _date_form(text):
            found[name] = "wrong"
        else:
            found[name] = "ok" if printed == check_digit(text) else "wrong"
    return found


def cut(lines: Sequence[str], span: Span) -> str:
    row, start, end = span
    return lines[row][start:end]


def compose(
    form: Form,
    *,
    code: str,
    issuer: str,
    names: tuple[str, str],
    number: str,
    nationality: str,
    birth: str,
    sex: str,
    expiry: str,
    optional: str = "",
    optional2: str = "",
) -> tuple[str, ...]:
    """The lines of a zone, its check digits worked out; dates as YYMMDD.

    Names are words apart by spaces; what does not fit is cut off. A number of more than nine
    characters runs on into the optional data (TD1 and TD2 only).
    """
    layout = LAYOUTS[form]
    primary, secondary = (part.replace(" ", FILLER) for part in names)
    name = f"{primary}<<{secondary}" if secondary else primary
    texts = {
        "code": code,
        "issuer": issuer,
        "name": name,
        "number": number[:9],
        "nationality": nationality,
        "birth": birth,
        "sex": sex,
        "expiry": expiry,
        "optional": optional.replace(" ", FILLER),
        "optional2": optional2.replace(" ", FILLER),
    }
    if len(number) > 9:
        texts["optional"] = f"{number[9:]}{check_digit(number)}<{texts['optional']}"
    rows = [[FILLER] * layout.width for _ in range(layout.rows)]
    for each, (row, start, end) in layout.spans.items():
        rows[row][start:end] = texts[each][: end - start].ljust(end - start, FILLER)
    for each, ((row, column), parts) in layout.digits.items():
        text = "".join(cut(["".join(line) for line in rows], part) for part in parts)
        empty = each == "optional" and not text.strip(FILLER)
        rows[row][column] = FILLER if empty else check_digit(text)
        if each == "number" and len(number) > 9:
            rows[row][column] = FILLER
    return tuple("".join(line) for line in rows)


def date(text: str, latest: int) -> str:
    """YYMMDD as 1974-08-12, in the last century that keeps the year at or before ``latest``.

    Unknown parts are fillers and left out: 1974-08, 1974; empty when it is no date.
    """
    if not _date_form(text) or not text[:2].isdigit():
        return ""
    year = latest - (latest - int(text[:2])) % 100
    known = [each for each in (text[2:4], text[4:6]) if each.isdigit()]
    return "-".join([str(year), *known])


def _date_form(text: str) -> bool:
    """A date in six digits; a filler stands for what is not known (part 3, 4.8)."""
    year, month, day = text[:2], text[2:4], text[4:6]
    if not all(each == FILLER * 2 or each.isdigit() for each in (year, month, day)):
        return False
    if not month.isdigit():
        return not day.isdigit()
    if not day.isdigit():
        return 1 <= int(month) <= 12
    try:
        # A leap year: whether the year was one depends on a century not known yet.
        dt.date(2000 if not year.isdigit() or int(year) % 4 == 0 else 2001, int(month), int(day))
    except ValueError:
        return False
    return True


def weight(part_of: Sequence[Span], row: int, column: int) -> int:
    """How much a sum over these spans weighs a place; 0 when it does not cover it."""
    before = 0
    for at, start, end in part_of:
        if at == row and start <= column < end:
            return _WEIGHTS[(before + column - start) % 3]
        before += end - start
    return 0


def value(character: str) -> int:
    """What a character counts in a sum."""
    return _VALUES[character]


def continued(layout: Layout, lines: Sequence[str]) -> bool:
    """Whether the document number runs on into the optional data (TD1, TD2)."""
    row, column = layout.digits["number"][0]
    full = FILLER not in cut(lines, layout.spans["number"])
    rest = cut(lines, layout.spans["optional"]).partition(FILLER)[0]
    return (
        layout.form in ("TD1", "TD2")
        and lines[row][column] == FILLER
        and full
        and len(rest) >= 2
        and rest[-1].isdigit()
    )


def _number(layout: Layout, lines: Sequence[str]) -> tuple[str, str]:
    """The document number, to be summed as it stands, and its check digit as printed."""
    row, column = layout.digits["number"][0]
    number = cut(lines, layout.spans["number"])
    if not continued(layout, lines):
        return number.rstrip(FILLER), lines[row][column]
    rest = cut(lines, layout.spans["optional"]).partition(FILLER)[0]
    return number + rest[:-1], rest[-1]


def _words(text: str) -> str:
    return " ".join(text.replace(FILLER, " ").split())
