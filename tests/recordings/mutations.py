"""Ways to spoil a part, drawn at random: what a thief, a careless copy or a bad disk may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from .parts import layout


@dataclass(frozen=True)
class Spoiled:
    """A part that is no longer what was written."""

    how: str
    data: bytes


class Spoiler:
    """Spoils one part; `other` is a part of another session whose pieces it takes."""

    def __init__(self, part: bytes, other: bytes, chance: Random) -> None:
        self._part, self._chance = part, chance
        self._records = layout(part)
        self._pieces = [part[record.offset : record.end] for record in self._records]
        self._theirs = [other[record.offset : record.end] for record in layout(other)]
        self._front = part[: self._records[0].offset]
        self._their_front = other[: layout(other)[0].offset]

    def spoil(self) -> Spoiled:
        """One more, always different from the part itself."""
        ways = [
            self.flip,
            self.cut,
            self.swap,
            self.delete,
            self.repeat,
            self.append,
            self.exchange,
        ]
        while True:
            spoiled = self._chance.choice(ways)()
            if spoiled.data != self._part:
                return spoiled

    def flip(self) -> Spoiled:
        """One to eight bits turned."""
        data = bytearray(self._part)
        for _ in range(self._chance.choice([1, 1, 1, 2, 8])):
            bit = self._chance.randrange(len(data) * 8)
            data[bit // 8] ^= 1 << bit % 8
        return Spoiled("flipped", bytes(data))

    def cut(self) -> Spoiled:
        """Shorter, or with a hole, or with zeros at the end as a power loss leaves them."""
        start, end = sorted(self._chance.randrange(len(self._part) + 1) for _ in range(2))
        rest = self._chance.choice([b"", self._part[end:], bytes(end - start)])
        return Spoiled("cut", self._part[:start] + rest)

    def swap(self) -> Spoiled:
        """Two records change places."""
        pieces, (one, other) = list(self._pieces), self._two()
        pieces[one], pieces[other] = pieces[other], pieces[one]
        return self._of("swapped", pieces)

    def delete(self) -> Spoiled:
        """Some records one behind the other are gone, be it all up to the end."""
        first = self._chance.randrange(len(self._pieces))
        last = first + self._chance.choice([1, 1, 2, 7, len(self._pieces)])
        return self._of("deleted", self._pieces[:first] + self._pieces[last:])

    def repeat(self) -> Spoiled:
        """A record stands twice: behind itself or elsewhere."""
        pieces, (one, other) = list(self._pieces), self._two()
        pieces.insert(self._chance.choice([one + 1, other]), self._pieces[one])
        return self._of("repeated", pieces)

    def append(self) -> Spoiled:
        """Something follows the end."""
        more = self._chance.choice(
            [self._pieces, self._theirs, [self._chance.randbytes(60), b"\0"]]
        )
        return self._of("appended", [*self._pieces, self._chance.choice(more)])

    def exchange(self) -> Spoiled:
        """Records, or all of them, or the preamble, are another session's."""
        at = self._chance.randrange(min(len(self._pieces), len(self._theirs)))
        swapped = [*self._pieces[:at], self._theirs[at], *self._pieces[at + 1 :]]
        rest = [*self._pieces[:at], *self._theirs[at:]]
        choice = self._chance.randrange(4)
        if choice == 3:
            return Spoiled("exchanged", self._their_front + b"".join(self._pieces))
        # What two parts have in common (an INDEX of the same layout) is no exchange.
        return self._of("exchanged", [swapped, rest, self._theirs][choice])

    def _of(self, how: str, pieces: Sequence[bytes]) -> Spoiled:
        return Spoiled(how, self._front + b"".join(pieces))

    def _two(self) -> tuple[int, int]:
        one, other = self._chance.sample(range(len(self._pieces)), 2)
        return one, other
