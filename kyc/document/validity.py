"""What the dates and places of the two sides say about each other.

Periods: Law on Resident Identity Cards, article 5. A card issued at 16 to 25 is valid for ten
years, at 26 to 45 for twenty, from 46 on for good; under 16, where one is applied for, for five.
"""

from __future__ import annotations

import datetime as dt
import re

from kyc.document import number

Period = tuple[dt.date, dt.date | None]


def age_on(birth: dt.date, day: dt.date) -> int:
    """Completed years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def out_of_date(period: Period, today: dt.date) -> str | None:
    """expired, not_yet_valid, or None; the last day still counts."""
    first, last = period
    if first > today:
        return "not_yet_valid"
    return "expired" if last is not None and last < today else None


def usual(period: Period, birth: dt.date) -> str:
    """usual or unusual: whether the period is the one the law gives at that age.

    A hint for a person to look at, never a verdict: cards issued around a birthday and old rules
    make exceptions.
    """
    first, last = period
    age = age_on(birth, first)
    if age < 0:
        return "unusual"
    lawful = 5 if age < 16 else 10 if age < 26 else 20 if age < 46 else None
    years = None if last is None else round((last - first).days / 365.25)
    return "usual" if years == lawful else "unusual"


def same_place(authority: str, address: str, id_number: str) -> str:
    """likely or unclear: whether the authority's place is the address's or the number's.

    People move, so this too is a hint; unknown when one side is missing.
    """
    parsed = number.parse(id_number)
    places = address + (parsed.region or "" if parsed else "")
    if not authority or not places:
        return "unknown"
    seat = re.sub(r"(?:公安局?)?(?:分局|公安局|公安厅)*$", "", authority)
    names = re.findall(r"[^省市区县州旗盟]{2,}?(?:省|市|区|县|州|旗|盟)", seat) or [seat]
    return "likely" if any(name in places for name in names) else "unclear"
