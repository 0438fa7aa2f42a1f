"""Place names that the number's region code vouches for (GB/T 2260)."""

from __future__ import annotations

from functools import lru_cache

from stdnum import numdb


def mend(text: str, id_number: str) -> str:
    """``text`` with one misread character of its county put right, where nothing else fits.

    Rare characters stand in place names (浈江区), and a reader takes them for common ones. The
    county the number's code names is put in the place of a stretch that differs from it in one
    character, unless that stretch is itself a county of the same city: people move.
    """
    for county in _counties(id_number[:4]).get(id_number[:6], ()):
        if len(county) < 3 or county in text:
            return text
        for start in range(len(text) - len(county) + 1):
            part = text[start : start + len(county)]
            if sum(a != b for a, b in zip(part, county, strict=True)) != 1:
                continue
            neighbours = _counties(id_number[:4]).values()
            if part[-1] != county[-1] or any(part in names for names in neighbours):
                return text
            return text[:start] + county + text[start + len(county) :]
    return text


@lru_cache(maxsize=64)
def _counties(city: str) -> dict[str, tuple[str, ...]]:
    """Code to the names its county has had, of all counties of a city's four digits."""
    table, found = numdb.get("cn/loc"), {}
    for number in range(1, 100):
        code = f"{city}{number:02d}"
        levels = [each for _, each in table.info(code) if each]
        if len(levels) == 2 and "county" in levels[1]:
            names = levels[1]["county"].split(",")
            found[code] = tuple(name.rpartition("]")[2] for name in names)
    return found
