"""Whose bank card a number is: ``issuers.toml``, read once and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("issuers.toml")


@dataclass(frozen=True)
class Issuer:
    """What the first digits tell."""

    scheme: str = "unknown"
    bank: str = "unknown"
    kind: str = "unknown"
    "debit or credit, where the table says."
    certain: bool = False
    "Whether the bank's prefix is marked certain in the table."


def of(number: str) -> Issuer:
    """The scheme and the bank of a card number, by the longest prefixes that fit."""
    schemes = (name for prefix, name, lengths in _schemes() if _fits(number, prefix, lengths))
    scheme = next(schemes, "")
    for prefix, bank, kind, certain in _banks():
        if number.startswith(prefix):
            return Issuer(scheme or "unknown", bank, kind, certain)
    return Issuer(scheme or "unknown")


def _fits(number: str, prefix: str, lengths: frozenset[int]) -> bool:
    return number.startswith(prefix) and len(number) in lengths


@cache
def _schemes() -> list[tuple[str, str, frozenset[int]]]:
    rows = [
        (prefix, str(row["name"]), frozenset(int(each) for each in row["lengths"]))
        for row in tomllib.loads(TABLE.read_text("utf-8"))["scheme"]
        for span in row["prefixes"]
        for prefix in _span(span)
    ]
    return sorted(rows, key=lambda row: -len(row[0]))


@cache
def _banks() -> list[tuple[str, str, str, bool]]:
    rows = [
        (prefix, str(row["name"]), str(row["kind"]), bool(row["certain"]))
        for row in tomllib.loads(TABLE.read_text("utf-8"))["issuer"]
        for span in row["prefixes"]
        for prefix in _span(span)
    ]
    return sorted(rows, key=lambda row: -len(row[0]))


def _span(text: str) -> Iterator[str]:
    """A prefix, or every one from ``first-last``."""
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not (last.isdigit() and len(last) == len(first))):
        raise ValueError(f"issuers.toml: {text!r} is no prefix")
    yield from (str(each) for each in range(int(first), int(last or first) + 1))
