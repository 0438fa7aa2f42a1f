"""A machine readable zone as a reader of text gives it, and what mends it.

A reader drops fillers from long runs, takes ``O`` for ``0``, and here and there another character.
Three things mend that, each said in the zone's ``changes``:

* *filler*: a line is brought to the form's length in one of its runs of ``<``;
* *position*: a letter where only digits stand becomes the digit it looks like, and back;
* *check_digit*: characters under a wrong check digit are exchanged for ones they are mistaken for,
  at most two, until every sum is right.

The last one guesses, so it is believed only when one single way to do it exists and something else
agrees. The composite digit weighs the number and the personal number exactly as their own digits
do, and so tells nothing new of them: those are mended only to what the page prints. Dates it weighs
differently: they are mended by the two sums alone. All else stays wrong and is called so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from kyc.document import mrz, states
from kyc.document.mrz import FILLER, Change, Layout, Zone

MAX_PADDED = 24  # fillers a line may lack: a run at its end that was passed over
MAX_LOST = 3  # and elsewhere

_FILLERS = str.maketrans(dict.fromkeys("‹〈＜≤く（({[［", FILLER) | {"«": "<<", "《": "<<"})
_TO_DIGIT = dict(zip("OQDUILJTZSBGA", "0000111725864", strict=True))
_TO_LETTER = dict(zip("01256847", "OIZSGBAT", strict=True))
_TO_SEX = {"N": "M", "H": "M", "P": "F", "E": "F", "K": FILLER, "C": FILLER}
_MISTAKEN = (
    "0O 0Q 0D 0U 08 OQ OD OU 1I 1L 1J 17 1T IL IJ IT 2Z 27 7Z 7T 38 39 35 3B 4A 5S 56 6G 68 8B 8S "
    "89 9G BE BP BR CG EF FP KX KH MN MW MH NH PR UV VY WV XY K< C< X< DB"
).split()
"Pairs that are taken for each other."
_TWINS = frozenset("0OQD1IL2Z5S6G8B")


@dataclass(frozen=True)
class Reading:
    """The best zone found among the lines of a page."""

    zone: Zone
    rows: tuple[int, ...]
    "Which of the lines given hold it."


def read(texts: Sequence[str], printed: Collection[str] = ()) -> Reading | None:
    """The zone among ``texts``, lines of a page from top to bottom; None when there is none.

    ``printed`` holds what else the page says, each in capitals and digits without blanks.
    """
    likely = [(row, clean(text)) for row, text in enumerate(texts) if is_likely(text)]
    found = []
    for layout in mrz.LAYOUTS.values():
        for start in range(len(likely) - layout.rows + 1):
            rows, lines = zip(*likely[start : start + layout.rows], strict=True)
            zone = mend(layout, lines, printed)
            if zone is not None:
                found.append(Reading(doubted(zone, printed), rows))
    return min(found, key=_doubt, default=None)


def doubted(zone: Zone, printed: Collection[str]) -> Zone:
    """The zone with what no sum sees called unsure, unless the page prints it.

    That is a visa's optional data, under no check digit, where letters stand among digits that look
    like them; a ``6`` or ``G`` among letters in a number, which are the same to every sum; and
    a code of a state that does not exist: a letter lost there shifts nothing that is summed.
    """
    zone = replace(zone, check_digits=mrz.sums(mrz.LAYOUTS[zone.form], zone.lines))
    unsure = {}
    optional = zone.text("optional").strip(FILLER)
    if "composite" not in zone.check_digits and _mixed(optional) and set(optional) & _TWINS:
        unsure["optional"] = optional
    if _mixed(zone.number[1:]) and set(zone.number) & set("6G"):
        unsure["number"] = zone.number
    names = [name for name, text in unsure.items() if text not in printed]
    for name in ("issuer", "nationality"):  # two letters of one stand on many a page
        if zone.text(name).strip(FILLER) not in states.CODES:
            names.append(name)
    digits = dict(zone.check_digits)
    digits.update({name: "unsure" for name in names if digits.get(name) != "wrong"})
    return replace(zone, check_digits=digits) if names else zone


def _mixed(text: str) -> bool:
    return any(each in mrz.LETTERS for each in text) and any(each in mrz.DIGITS for each in text)


def _doubt(reading: Reading) -> tuple[bool, int, int]:
    zone = reading.zone
    return not zone.valid, _wrong(zone), sum(len(each.made) for each in zone.changes)


def is_likely(text: str) -> bool:
    """Whether a line of the page may belong to a zone: long, fillers or many digits, capitals."""
    line = clean(text)
    small = sum(each.islower() for each in text)
    telling = line.count(FILLER) + sum(each.isdigit() for each in line)
    return len(line) >= 14 and 5 * small <= len(line) and telling >= 4


def clean(text: str) -> str:
    """Only what a zone may hold."""
    return re.sub(r"[^A-Z0-9<]", "", text.translate(_FILLERS).upper())


def mend(layout: Layout, lines: Sequence[str], printed: Collection[str] = ()) -> Zone | None:
    """The zone that ``lines`` mean in this form; None when they cannot be of this form at all."""
    fitted = _fitted(layout, lines)
    zones = [zone for each in fitted if (zone := _by_position(layout, *each)) is not None]
    if not zones:
        return None
    right = _distinct(zone for zone in zones if zone.valid)
    if not right:
        right = _distinct(guess for zone in zones for guess in _guesses(layout, zone, printed))
    right = [zone for zone in right if known_states(zone)] or right
    # Several right ways: the page may say which number is meant, nothing else can.
    meant = [each for each in right if each.number in printed] if len(right) > 1 else right
    if len(meant) == 1:
        return meant[0]
    nearest = min(zones, key=lambda each: (_wrong(each), len(each.changes)))
    return replace(nearest, ambiguous=len(right) > 1)


def _wrong(zone: Zone) -> int:
    return sum(each == "wrong" for each in zone.check_digits.values())


def _distinct(zones: Iterable[Zone]) -> list[Zone]:
    """One zone for each text, the one with the fewest changes."""
    best: dict[tuple[str, ...], Zone] = {}
    for zone in zones:
        if zone.lines not in best or len(zone.changes) < len(best[zone.lines].changes):
            best[zone.lines] = zone
    return list(best.values())


# -- length ------------------------------------------------------------------------------------


def _fitted(
    layout: Layout, lines: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], tuple[Change, ...]]]:
    """Every way to bring the lines to the form's width."""
    name_row = layout.spans["name"][0]
    ways = [
        list(_fit(line, layout.width, row, only_at_end=row == name_row))
        for row, line in enumerate(lines)
    ]
    for chosen in product(*ways):
        yield (
            tuple(line for line, _ in chosen),
            tuple(change for _, change in chosen if change is not None),
        )


def _fit(
    line: str, width: int, row: int, *, only_at_end: bool
) -> Iterator[tuple[str, Change | None]]:
    """A line made ``width`` long in one of its runs of fillers; in a name at its end alone."""
    lack = width - len(line)
    if lack == 0:
        yield line, None
        return
    runs = [(run.start(), run.end()) for run in re.finditer("<+", line)]
    for start, end in runs:
        at_end = end == len(line) or (end - start >= 4 and len(line) - end <= 2)
        if (only_at_end and not at_end) or lack > (MAX_PADDED if at_end else MAX_LOST):
            continue
        if lack > 0:
            yield (
                line[:end] + FILLER * lack + line[end:],
                Change(row, end, "", FILLER * lack, "filler"),
            )
        elif -MAX_LOST <= lack and end - start > -lack:
            yield (
                line[:start] + line[start - lack :],
                Change(row, start, FILLER * -lack, "", "filler"),
            )
    if 0 < lack <= MAX_LOST and not line.endswith(FILLER):
        yield line + FILLER * lack, Change(row, len(line), "", FILLER * lack, "filler")


# -- position ----------------------------------------------------------------------------------


def _by_position(
    layout: Layout, lines: tuple[str, ...], changes: tuple[Change, ...]
) -> Zone | None:
    """Letters and digits as their places want them; None where that leaves something impossible."""
    made: list[str] = []
    for row, (line, wanted) in enumerate(zip(lines, mrz.kinds(layout), strict=True)):
        characters = list(line)
        for column, (read, kind) in enumerate(zip(line, wanted, strict=True)):
            if read not in mrz.ALLOWED[kind]:
                characters[column] = _alike(kind).get(read, read)
                changes += (Change(row, column, read, characters[column], "position"),)
        made.append("".join(characters))
    if made[0][0] not in mrz.CODES[layout.form] or not mrz.fits(layout, made):
        return None
    return Zone(layout.form, tuple(made), mrz.sums(layout, made), changes)


def _alike(kind: mrz.Kind) -> dict[str, str]:
    if kind == "sex":
        return _TO_SEX
    return _TO_LETTER if kind == "letter" else _TO_DIGIT


# -- check digits ------------------------------------------------------------------------------


def _guesses(layout: Layout, zone: Zone, printed: Collection[str]) -> list[Zone]:
    """Zones with every sum right, by the fewest exchanges that give any; one only if believable."""
    if mrz.continued(layout, zone.lines):
        return []
    for chosen in _exchanges(layout, zone):
        found = _distinct(guess for each in chosen if (guess := _made(layout, zone, each)).valid)
        vouched = [each for each in found if _vouched(each, printed)]
        if len(vouched) == 1:
            return vouched
        if len(found) == 1:
            return found if _weighed_twice(layout, found[0]) else []
        if found:
            return found
    return []


def _exchanges(layout: Layout, zone: Zone) -> Iterator[list[tuple[Change, ...]]]:
    """What brings every sum to its digit: single exchanges first, then pairs.

    Each exchange shifts each sum by its weight there times the difference of the values, so that
    the exchanges wanted are those whose shifts make up what the sums are off.
    """
    names = [name for name, state in zone.check_digits.items() if state != "absent"]
    wanted = tuple(_off(layout, zone, name) for name in names)
    by_shift: dict[tuple[int, ...], list[Change]] = defaultdict(list)
    for row, column in _suspects(layout, zone):
        read = zone.lines[row][column]
        for made in sorted(_mistaken(read) & mrz.ALLOWED[mrz.kinds(layout)[row][column]]):
            change = Change(row, column, read, made, "check_digit")
            by_shift[tuple(_shift(layout, name, change) for name in names)].append(change)
    yield [(change,) for change in by_shift.get(wanted, [])]
    pairs: list[tuple[Change, ...]] = []
    for shift, firsts in by_shift.items():
        rest = tuple((w - s) % 10 for w, s in zip(wanted, shift, strict=True))
        for first, second in product(firsts, by_shift.get(rest, [])):
            if (first.line, first.column) < (second.line, second.column):
                pairs.append((first, second))
    yield pairs


def _off(layout: Layout, zone: Zone, name: str) -> int:
    (row, column), parts = layout.digits[name]
    text = "".join(mrz.cut(zone.lines, part) for part in parts)
    return (mrz.value(zone.lines[row][column]) - int(mrz.check_digit(text))) % 10


def _shift(layout: Layout, name: str, change: Change) -> int:
    """By how much the change brings the sum nearer to its digit, modulo ten."""
    digit, parts = layout.digits[name]
    more = mrz.value(change.made) - mrz.value(change.read)
    weight = mrz.weight(parts, change.line, change.column)
    return (weight - ((change.line, change.column) == digit)) * more % 10


def _made(layout: Layout, zone: Zone, changes: Sequence[Change]) -> Zone:
    rows = [list(line) for line in zone.lines]
    for change in changes:
        rows[change.line][change.column] = change.made
    lines = tuple("".join(row) for row in rows)
    sums = mrz.sums(layout, lines)
    return Zone(zone.form, lines, sums, (*zone.changes, *changes))


def _mistaken(read: str) -> set[str]:
    return {each for pair in _MISTAKEN if read in pair for each in pair} - {read}


def _suspects(layout: Layout, zone: Zone) -> list[tuple[int, int]]:
    """Places under a wrong sum, the digit's own among them."""
    wrong = [name for name, state in zone.check_digits.items() if state == "wrong"]
    own = [name for name in wrong if name != "composite"] or wrong
    places = set()
    for name in own:
        digit, parts = layout.digits[name]
        places |= {digit, *((row, column) for row, a, b in parts for column in range(a, b))}
    return sorted(places | ({layout.digits["composite"][0]} if "composite" in wrong else set()))


def _weighed_twice(layout: Layout, zone: Zone) -> bool:
    """Whether all that was guessed stands under two sums that weigh it differently."""
    if "composite" not in layout.digits:
        return False
    dates = [layout.spans["birth"], layout.spans["expiry"]]
    digits = {place for place, _ in layout.digits.values()} if layout.form == "TD3" else set()
    return all(
        (change.line, change.column) in digits
        or any(change.line == row and a <= change.column <= b for row, a, b in dates)
        for change in _guessed(zone)
    )


def _guessed(zone: Zone) -> list[Change]:
    return [change for change in zone.changes if change.why == "check_digit"]


def _vouched(zone: Zone, printed: Collection[str]) -> bool:
    """Whether the page prints the mended number, and no other field was guessed."""
    row, start, end = mrz.LAYOUTS[zone.form].spans["number"]
    inside = all(each.line == row and start <= each.column < end for each in _guessed(zone))
    return inside and zone.number in printed


def known_states(zone: Zone) -> bool:
    """Whether issuer and nationality are codes that exist."""
    codes = {zone.text("issuer").strip(FILLER), zone.text("nationality").strip(FILLER)}
    return codes <= states.CODES
