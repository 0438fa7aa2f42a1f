"""How long recordings are kept: the classes, their sources, the bank's own changes to them.

Data from ``retention.toml``, whose head says how to read it.  Not legal advice.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from video_bank.errors import OperatorError

HERE = Path(__file__).parent
DEFAULT = "default"
"The class of every business that no class names."
COUNTED_FROM = ("session", "relation", "contract")


@dataclass(frozen=True)
class Source:
    """One law, rule or opinion that asks for a period."""

    id: str
    jurisdiction: str
    months: int
    after: str
    "What the period begins with: the end of the session, the relation or the contract."
    year_end: bool
    "Whether it begins with the end of that calendar year."
    disputed: bool
    "Whether another source of the table says otherwise about the same."
    applies: bool
    citation: str
    known: str
    "How it was read for this table: text, secondary, memory."
    says: Mapping[str, str]
    "In a sentence by language: zh, en."

    def until(self, ended: datetime, assumed_years: int) -> datetime:
        """When the period is over for a session that ended then."""
        start = ended if self.after == "session" else _later(ended, 12 * assumed_years)
        if self.year_end:
            start = datetime(start.year + 1, 1, 1, tzinfo=UTC)
        return _later(start, self.months)


@dataclass(frozen=True)
class Class:
    """A kind of business whose recordings are kept equally long."""

    id: str
    name: Mapping[str, str]
    businesses: tuple[str, ...]
    sources: tuple[Source, ...]
    assumed_years: int
    "How long a relation or contract lasts after the session, as the server is not told."
    applying: tuple[Source, ...]
    "The sources that count at this bank; at least one."

    def decides(self, ended_us: int) -> tuple[int, Source]:
        """Until when a session that ended then is kept, and the source that asks for it."""
        ended = datetime.fromtimestamp(ended_us / 1e6, UTC)
        until, source = max(
            ((each.until(ended, self.assumed_years), each) for each in self.applying),
            key=lambda pair: pair[0],
        )
        return int(until.timestamp()) * 1_000_000, source

    def until(self, ended_us: int) -> int:
        """Until when a session that ended then is kept, in microseconds."""
        return self.decides(ended_us)[0]


class Policy:
    """Every class, by its id."""

    def __init__(self, version: str, jurisdictions: tuple[str, ...], classes: list[Class]) -> None:
        self.version, self.jurisdictions = version, jurisdictions
        self.classes = {each.id: each for each in classes}
        self._by_business = {name: each for each in classes for name in each.businesses}

    @classmethod
    def load(cls, own: Path | None = None) -> Self:
        """The table with the bank's ``own`` laid over it.

        Raises:
            OperatorError: it cannot be read, or leaves a class without any period.
        """
        raw = _toml(HERE / "retention.toml")
        if own is not None:
            raw = _over(raw, _toml(own))
        try:
            return cls(*_parsed(raw))
        except (KeyError, TypeError, ValueError) as error:
            raise OperatorError(f"{own or 'retention.toml'}: {error}") from error

    def __getitem__(self, name: str) -> Class:
        """The class of that name; the default one for a name that is no longer in the table."""
        return self.classes.get(name, self.classes[DEFAULT])

    def of(self, business: str) -> Class:
        """The class of a business."""
        return self._by_business.get(business, self.classes[DEFAULT])


def month_of(us: int) -> str:
    """The UTC month of a time in microseconds: ``2036-11``."""
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m")


def month_after(month: str) -> str:
    """``2036-12`` → ``2037-01``."""
    return _later(datetime.strptime(month, "%Y-%m"), 1).strftime("%Y-%m")


def _later(moment: datetime, months: int) -> datetime:
    """The same time ``months`` later, on the month's last day where it has no such day."""
    years, month = divmod(moment.month - 1 + months, 12)
    first = moment.replace(year=moment.year + years, month=month + 1, day=1)
    day = moment.day
    while True:
        try:
            return first.replace(day=day)
        except ValueError:
            day -= 1


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OperatorError(f"{path}: {error}") from error


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` laid over ``below``, table by table."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            value = _over(under, value)
        merged[key] = value
    return merged


def _parsed(raw: dict[str, Any]) -> tuple[str, tuple[str, ...], list[Class]]:
    if unknown := sorted(raw.keys() - {"version", "jurisdictions", "sources", "classes"}):
        raise ValueError(f"no such key: {', '.join(unknown)}")
    here = tuple(raw["jurisdictions"])
    sources = {key: _source(key, each) for key, each in raw["sources"].items()}
    classes = [_class(key, each, sources, here) for key, each in raw["classes"].items()]
    taken = [name for each in classes for name in each.businesses]
    if len(set(taken)) < len(taken):
        raise ValueError("a business is in two classes")
    if DEFAULT not in raw["classes"]:
        raise ValueError(f"there is no class {DEFAULT}")
    return raw["version"], here, classes


def _source(key: str, raw: dict[str, Any]) -> Source:
    usual: dict[str, Any] = {"year_end": False, "disputed": False, "applies": True}
    source = Source(key, **(usual | raw))
    # A period of nothing would erase tonight what was recorded today.
    if type(source.months) is not int or not 1 <= source.months <= 1200:
        raise ValueError(f"sources.{key}: months must be 1 to 1200")
    if source.after not in COUNTED_FROM:
        raise ValueError(f"sources.{key}: after must be one of {', '.join(COUNTED_FROM)}")
    return source


def _class(
    key: str, raw: dict[str, Any], sources: dict[str, Source], here: tuple[str, ...]
) -> Class:
    mine = tuple(sources[name] for name in raw["sources"])
    applying = tuple(each for each in mine if each.applies and each.jurisdiction in here)
    if not applying:
        raise ValueError(f"classes.{key}: none of its sources applies, so nothing would be kept")
    years = raw["assumed_years"]
    if type(years) is not int or not 0 <= years <= 100:
        raise ValueError(f"classes.{key}: assumed_years must be 0 to 100")
    return Class(key, raw["name"], tuple(raw["businesses"]), mine, years, applying)
