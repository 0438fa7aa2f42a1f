"""Lock-out by delay: each further wrong sign-in doubles the wait."""

from collections import OrderedDict
from dataclasses import dataclass

from video_bank.storage import now_us

FREE = 5
"""Wrong attempts before the first wait."""
FIRST_S = 30
LONGEST_S = 15 * 60
STRANGERS = 10_000


@dataclass(frozen=True)
class Failures:
    """How often in a row, and until when the name must wait."""

    count: int = 0
    locked_until: int | None = None

    def wait_s(self) -> int:
        """Seconds left to wait; 0 when one may try."""
        left = (self.locked_until or 0) - now_us()
        return max(0, -(-left // 1_000_000))

    def another(self) -> "Failures":
        """After one more wrong attempt."""
        count = self.count + 1
        wait = delay_s(count)
        return Failures(count, now_us() + wait * 1_000_000 if wait else None)


def delay_s(failures: int) -> int:
    """Seconds to wait after so many wrong attempts in a row."""
    if failures < FREE:
        return 0
    return min(LONGEST_S, FIRST_S << min(failures - FREE, 10))


class Strangers:
    """Failures of names that are nobody's, so that they lock exactly like real ones."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    def get(self, key: str) -> Failures:
        """What is remembered of ``key`` (a keyed hash of the name)."""
        return self._failures.get(key, Failures())

    def failed(self, key: str) -> Failures:
        """One more; the longest unused is forgotten when there are too many."""
        after = self._failures[key] = self.get(key).another()
        self._failures.move_to_end(key)
        while len(self._failures) > STRANGERS:
            self._failures.popitem(last=False)
        return after
