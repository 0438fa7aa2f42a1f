"""What one signal says about a face or a camera's stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kyc.check import Verdict


@dataclass(frozen=True)
class Sign:
    """One answer, with the measure it rests on."""

    verdict: Verdict
    reason: str
    "Stable code in snake_case; pages translate it."
    score: float | None = None
    threshold: float | None = None
    hint: bool = True
    "Only something for a person to look at: it never decides by itself."
    values: dict[str, Any] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        """For ``values.signals`` of the finding."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "score": self.score,
            "threshold": self.threshold,
            "hint": self.hint,
            **self.values,
        }


@dataclass(frozen=True)
class Signal(Sign):
    """A passive signal's answer."""

    name: str = field(kw_only=True)

    @classmethod
    def measured(
        cls,
        name: str,
        score: float,
        threshold: float,
        reasons: tuple[str, str],
        *,
        hint: bool,
        values: dict[str, Any],
        most: bool = False,
    ) -> Signal:
        """Passed when the score is at least the threshold (``most``: at most); ``reasons`` are for
        passed and for failed.
        """
        passed = score <= threshold if most else score >= threshold
        verdict = Verdict.PASSED if passed else Verdict.FAILED
        reason = reasons[0 if passed else 1]
        return cls(verdict, reason, round(score, 4), threshold, hint, values, name=name)

    @classmethod
    def missing(cls, name: str, reason: str, *, hint: bool, **values: Any) -> Signal:
        """Not checked, and why."""
        return cls(Verdict.NOT_CHECKED, reason, hint=hint, values=values, name=name)
