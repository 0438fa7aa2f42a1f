"""Who is served next, and by whom: the pure rule of the waiting line.

Nothing here knows of databases, sockets or clocks.  Times are UTC microseconds and are passed in,
so every decision can be replayed from its arguments.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

AGEING_US = 120_000_000
"Two minutes of waiting weigh as much as one class of priority: nobody waits for ever."


@dataclass(frozen=True)
class Waiting:
    """One place in the line."""

    session: str
    business: str
    language: str
    queued_at: int
    priority: int = 0
    "Classes above the ordinary customer; 0 is ordinary."
    passed_over: frozenset[str] = frozenset()
    "Tellers who declined this session or let it ring out."

    def weight(self, now: int) -> float:
        """Priority classes after ageing."""
        return self.priority + (now - self.queued_at) / AGEING_US


@dataclass(frozen=True)
class Ready:
    """A teller who would take a customer now."""

    teller: str
    ready_since: int
    skills: frozenset[str] = frozenset()
    "Businesses and languages this teller serves; empty means all of them."

    def serves(self, waiting: Waiting) -> bool:
        return not self.skills or {waiting.business, waiting.language} <= self.skills


@dataclass(frozen=True)
class Match:
    """The answer of :func:`choose`."""

    session: str
    teller: str


def order(waiting: Iterable[Waiting], now: int) -> list[Waiting]:
    """The line as it stands: heaviest first, then the longest wait, then the id (a total order)."""
    return sorted(waiting, key=lambda each: (-each.weight(now), each.queued_at, each.session))


def choose(waiting: Iterable[Waiting], ready: Sequence[Ready], now: int) -> Match | None:
    """The next pair, or None when nobody can be served.

    The first customer in the line whom anybody ready can serve goes to the teller who has been
    idle longest.  A teller who passed a customer over is asked again only when no other one is
    ready, so that a lone teller who missed a ring does not leave the customer waiting for ever.
    """
    for each in order(waiting, now):
        able = [teller for teller in ready if teller.serves(each)]
        fresh = [teller for teller in able if teller.teller not in each.passed_over]
        if able:
            idlest = min(fresh or able, key=lambda teller: (teller.ready_since, teller.teller))
            return Match(each.session, idlest.teller)
    return None


def place(waiting: Iterable[Waiting], session: str, now: int) -> int | None:
    """The session's place in the line, 1 being next; None when it does not wait."""
    for number, each in enumerate(order(waiting, now), start=1):
        if each.session == session:
            return number
    return None


def estimate_s(place: int, tellers: int, average_s: float) -> int | None:
    """Seconds until a teller is expected for this place; None when no teller works at all.

    With ``tellers`` at work, one of them becomes free every ``average_s / tellers`` seconds.
    Rounded up to half minutes: a promise to the second would not be kept.
    """
    if tellers < 1:
        return None
    seconds = place * average_s / tellers
    return int(-(-seconds // 30) * 30)
