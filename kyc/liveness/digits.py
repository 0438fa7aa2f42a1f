"""Digits to be read aloud: drawn at random, asked for, heard, compared.

A state machine without models: it takes utterances as they are written down and says what the
person should do next, until it can say what was established. A recogniser mishears, so there are
several rounds, each with new digits; what is right in one round is right.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from kyc.check import Finding, Guidance, Verdict
from kyc.speech import LANGUAGES, Utterance
from kyc.spoken import Digit, digits_in, most_digits, says, shown

if TYPE_CHECKING:
    from kyc.speech import Recogniser

CHECK = "spoken_digits"
COUNTS = (4, 5, 6)
_CHANCE = random.SystemRandom()

ROUNDS = 3
ROUND_S = 12.0
LEAD_US = 400_000
"An utterance's sound begins this long before the voice: shorter than anybody's reaction."
JOINED = 4
"Pauses between digits may cut them into so many utterances."
_CLOSE = ("17", "71", "69", "96")
"yī/qī and liù/jiǔ sound alike over a bad line when they follow each other."


def draw(count: int | None = None, chance: random.Random = _CHANCE) -> str:
    """Random digits: no digit twice in a row, no counting, no neighbours that sound alike."""
    count = count or chance.choice(COUNTS)
    while True:
        digits = "".join(chance.choice("0123456789") for _ in range(count))
        if _clear(digits):
            return digits


def _clear(digits: str) -> bool:
    steps = [int(b) - int(a) for a, b in zip(digits, digits[1:], strict=False)]
    counting = any(a == b and abs(a) == 1 for a, b in zip(steps, steps[1:], strict=False))
    return 0 not in steps and not counting and not any(pair in digits for pair in _CLOSE)


@dataclass
class Round:
    """One set of digits asked for."""

    digits: str
    asked_us: int
    heard: list[Utterance] = field(default_factory=list)

    @property
    def most(self) -> int:
        """How many digits the last utterances hold, as if said in one breath."""
        return most_digits(_joined(self.heard[-JOINED:]))

    @property
    def match(self) -> list[Utterance]:
        """The utterances, up to the newest, that are the digits; empty when they are not."""
        for count in range(1, min(JOINED, len(self.heard)) + 1):
            if said_in(self.digits, self.heard[-count:]):
                return self.heard[-count:]
        return []


class SpokenDigits:
    """The check: ask, hear, compare, perhaps ask again."""

    def __init__(
        self,
        media_time_us: int,
        language: str,
        models: Mapping[str, str],
        *,
        rounds: int = ROUNDS,
        round_s: float = ROUND_S,
        digits: str | None = None,
    ) -> None:
        self._language, self._models = language, dict(models)
        self._most, self._round_s = rounds, round_s
        self._voice = False
        self.rounds = [Round(digits or draw(), media_time_us)]

    @property
    def round(self) -> Round:
        """What is asked now."""
        return self.rounds[-1]

    def guidance(self, media_time_us: int, *, listening: bool = False) -> Guidance:
        """What the person should do; ``listening``: a voice is heard or being understood."""
        left = self._round_s - (media_time_us - self.round.asked_us) / 1e6
        return Guidance(
            "say_again" if len(self.rounds) > 1 and not listening else "say_digits",
            progress=(len(self.rounds) - 1) / self._most,
            prompt=" ".join(self.round.digits),
            deadline_s=max(0.0, round(left, 1)),
        )

    def hear(self, utterance: Utterance) -> Finding | None:
        """One more utterance; the Finding when it ends the check."""
        if utterance.from_us < self.round.asked_us - LEAD_US:
            return None  # said before this was asked
        self.round.heard.append(utterance)
        if said := self.round.match:
            return self._finding(Verdict.PASSED, "digits_heard", said)
        if most_digits(understood(utterance)) >= len(self.round.digits):
            return self._again(utterance.to_us)
        return None

    def tick(self, media_time_us: int, *, busy: bool) -> Finding | None:
        """Time has passed. ``busy``: a voice is heard or being understood, so wait for it."""
        over_us = media_time_us - self.round.asked_us - int(self._round_s * 1e6)
        if over_us < 0 or busy and over_us < self._round_s * 1e6:
            return None
        return self._again(media_time_us)

    def expire(self, reason: str = "timeout") -> Finding:
        """Time is up, or ``reason`` stands in the way."""
        heard = [said for each in self.rounds for said in each.heard]
        if reason != "timeout":
            return self._finding(Verdict.NOT_CHECKED, reason, heard)
        if any(each.most >= len(each.digits) - 1 for each in self.rounds):
            return self._finding(Verdict.FAILED, "other_digits", heard)
        missing = "not_understood" if heard else "nothing_heard"
        return self._finding(Verdict.NOT_CHECKED, missing, heard)

    def _again(self, media_time_us: int) -> Finding | None:
        if len(self.rounds) >= self._most:
            return self.expire()
        others = {each.digits for each in self.rounds}
        digits = next(each for each in iter(draw, None) if each not in others)
        self.rounds.append(Round(digits, media_time_us))
        return None

    def _finding(self, verdict: Verdict, reason: str, said: list[Utterance]) -> Finding:
        values: dict[str, Any] = {
            "asked": self.round.digits,
            "language": self._language,
            "heard": [_shown(each) for round_ in self.rounds for each in round_.heard],
            "rounds": [
                {
                    "asked": each.digits,
                    "asked_us": each.asked_us,
                    "heard": [_shown(utterance) for utterance in each.heard],
                }
                for each in self.rounds
            ],
        }
        if said:
            values |= {"from_us": said[0].from_us, "to_us": said[-1].to_us}
        return Finding(
            CHECK,
            verdict,
            reason,
            score=min((each.confidence for each in said), default=None)
            if verdict is Verdict.PASSED
            else None,
            values=values,
            models=self._models,
            media_time_us=said[0].from_us if said else self.round.asked_us,
        )


def judge(recogniser: Recogniser, pcm: bytes, digits: str, language: str | None) -> Finding:
    """Whether these digits are said in a recording (16 kHz mono s16le); None: either language."""
    cutter = recogniser.cutter()
    cuts = cutter.feed(pcm, 0) + cutter.finish()
    spoken = language or (recogniser.language(cuts[0]) if cuts else LANGUAGES[0])
    check = SpokenDigits(0, spoken, recogniser.models, rounds=1, digits=digits)
    for cut in cuts:
        if finding := check.hear(recogniser.write(cut, spoken, digits=True)):
            return finding
    return check.expire()


def said_in(digits: str, utterances: Sequence[Utterance]) -> bool:
    """Whether these utterances, as if said in one breath, are exactly these digits.

    More than half of the ways they were written must say so: in Mandarin two of three (freely,
    held to Arabic digits, held to Chinese characters), in English the only one. One wrong guess
    lets nothing through, and one right guess too few is made good by the two others.
    """
    ways = zip_longest(*(each.held for each in utterances), fillvalue="")
    held = ["".join(way) for way in ways]
    agreeing = says(digits, _joined(utterances)) + held.count(digits)
    return 2 * agreeing > 1 + len(held)


def _joined(utterances: Sequence[Utterance]) -> list[Digit | None]:
    return [each for said in utterances for each in understood(said)]


def understood(utterance: Utterance) -> list[Digit | None]:
    """The digits of an utterance, breaks between what does not belong together."""
    return digits_in(utterance.text, utterance.sounds)


def _shown(utterance: Utterance) -> dict[str, Any]:
    return {
        "text": utterance.text,
        "digits": shown(understood(utterance)),
        "held": utterance.held,
        "from_us": utterance.from_us,
        "to_us": utterance.to_us,
        "confidence": utterance.confidence,
    }
