"""Several frames of one card, field by field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kyc.document.resident import Value

AGREE = 2  # frames that must say the same before a field is believed


@dataclass
class Votes:
    """What was read for each field, and how often."""

    _confidences: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, fields: Mapping[str, Value]) -> None:
        """One more frame."""
        for name, value in fields.items():
            self._confidences[name][value.text].append(value.confidence)

    def count(self, name: str) -> int:
        """How many frames say what :meth:`best` says."""
        texts = self._confidences.get(name)
        return len(texts[self._winner(texts)]) if texts else 0

    def agreed(self, names: Iterable[str]) -> bool:
        """Whether each of these fields was read alike in two frames, and more often than not."""
        return all(self._settled(name) for name in names)

    def share_agreed(self, names: Iterable[str]) -> float:
        """How much of the agreement is reached, 0..1."""
        counts = [min(AGREE, self.count(name)) for name in names]
        return sum(counts) / (AGREE * max(1, len(counts)))

    def best(self) -> dict[str, Value]:
        """The reading of each field that most frames share, the surer one among equals.

        Confidence: mean score of the frames that agree, times their share of all frames that read
        the field; a field seen once keeps at most 0.9.
        """
        found = {}
        for name, texts in self._confidences.items():
            text = self._winner(texts)
            scores, reads = texts[text], sum(map(len, texts.values()))
            confidence = sum(scores) / reads
            found[name] = Value(text, min(confidence, 0.9) if len(scores) == 1 else confidence)
        return found

    def _settled(self, name: str) -> bool:
        texts = self._confidences.get(name)
        if not texts:
            return False
        winner = len(texts[self._winner(texts)])
        return winner >= AGREE and 2 * winner > sum(map(len, texts.values()))

    @staticmethod
    def _winner(texts: Mapping[str, list[float]]) -> str:
        return max(texts, key=lambda text: (len(texts[text]), sum(texts[text])))
