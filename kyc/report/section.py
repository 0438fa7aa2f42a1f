"""One section of the biometric report, and a rate with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

_Z = 1.959964  # 97.5 % point of the standard normal: two-sided 95 %


@dataclass(frozen=True)
class Rate:
    """``count`` of ``of``, with its two-sided 95 % interval (Wilson 1927)."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """0..1, NaN where nothing was tried."""
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """0..1 each; nothing tried says nothing: 0 to 1."""
        if not self.of:
            return 0.0, 1.0
        share, n = self.value, self.of
        middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        low = 0.0 if self.count == 0 else max(0.0, middle - half)
        return low, 1.0 if self.count == n else min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = (f"{100 * each:.3g}" for each in self.interval)
        return f"{self.count} of {self.of}: {100 * self.value:.3g} % ({low}–{high} %)"


@dataclass(frozen=True)
class Table:
    """Rows under a heading each; cells are text."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Curve:
    """A drawn line: FNMR over FMR and its like."""

    title: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]
    logarithmic: bool = False
    "Of both axes."


@dataclass(frozen=True)
class Section:
    """What one measurement has to say."""

    title: str
    data: str
    "On which data, how many, from where; whether anything was tuned on it."
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    curves: Sequence[Curve] = ()
    untested: Sequence[str] = field(default=())
    "Plainly, what this measurement does not show."
