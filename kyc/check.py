"""What a check is, what it answers, and how answers combine into a policy.

A check looks at frames one after another. It answers each with :class:`Guidance` (what the
person should do now) until it can answer with a :class:`Finding` (what was established, on
which evidence). A policy says which findings are needed; a policy that asks for nothing fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kyc.image import Frame


class Error(Exception):
    """Base of everything this package raises on purpose."""

    def diagnostics(self) -> str:
        """What to tell the person who has to mend it."""
        return str(self)


class BadInput(Error):
    """A picture or a parameter that cannot be used; ``code`` is stable, for programs."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.code = code


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Picture:
    """Evidence: a JPEG and the moment of the session it was seen."""

    name: str
    jpeg: bytes
    media_time_us: int


@dataclass(frozen=True)
class Finding:
    """The answer of one check."""

    check: str
    verdict: Verdict
    reason: str
    "Stable code in snake_case; pages translate it."
    score: float | None = None
    threshold: float | None = None
    values: dict[str, Any] = field(default_factory=dict)
    "JSON-able; a field read from a document is {'value': text, 'confidence': 0..1}."
    pictures: list[Picture] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    "Model name to SHA-256, for every model that had a part in the answer."
    media_time_us: int | None = None
    "When in the session it was seen, microseconds."
    also: list[Finding] = field(default_factory=list)
    "What else the same pictures established: findings of their own, kept beside this one."
    template: bytes | None = None
    "The live face described (float32, little endian): for whoever may keep it, never shown."


@dataclass(frozen=True)
class Guidance:
    """What the person before the camera should do now."""

    hint: str
    "Stable code in snake_case; pages translate it."
    progress: float = 0.0
    "0..1, never falls within one check."
    prompt: str | None = None
    "The action asked for, in a liveness challenge."
    deadline_s: float | None = None
    "Seconds left for the prompt."
    quad: list[list[float]] | None = None
    "Corners of the card or face in the picture, 0..1, clockwise from the top left."


class Check(Protocol):
    """A question about the person or the document in the picture."""

    def see(self, frame: Frame) -> Guidance | Finding:
        """Look at one more frame; a Finding ends the check."""

    def expire(self, media_time_us: int) -> Finding:
        """Time is up: answer with what has been seen so far."""


@dataclass(frozen=True)
class Judgement:
    """What a policy says about a set of findings."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    "Why it is not passed: 'check: reason' of each finding that stands in the way."


class Policy(Protocol):
    """Which findings are needed."""

    def judge(self, findings: Mapping[str, Finding]) -> Judgement:
        """Judge the latest finding of each check, by the check's name."""


@dataclass(frozen=True)
class Passed:
    """The named check has passed."""

    check: str

    def judge(self, findings: Mapping[str, Finding]) -> Judgement:
        finding = findings.get(self.check)
        if finding is None:
            return Judgement(Verdict.NOT_CHECKED, (f"{self.check}: not_checked",))
        if finding.verdict is Verdict.PASSED:
            return Judgement(Verdict.PASSED)
        return Judgement(finding.verdict, (f"{self.check}: {finding.reason}",))


# An empty list of needs would be met by everybody. Nobody means that, so it fails.
_EMPTY = Judgement(Verdict.FAILED, ("empty_policy",))


@dataclass(frozen=True)
class AllOf:
    """Every need is met."""

    needs: Sequence[Policy]

    def judge(self, findings: Mapping[str, Finding]) -> Judgement:
        if not self.needs:
            return _EMPTY
        judgements = [need.judge(findings) for need in self.needs]
        reasons = tuple(reason for each in judgements for reason in each.reasons)
        for verdict in (Verdict.FAILED, Verdict.NOT_CHECKED):
            if any(each.verdict is verdict for each in judgements):
                return Judgement(verdict, reasons)
        return Judgement(Verdict.PASSED)


@dataclass(frozen=True)
class AnyOf:
    """At least one need is met."""

    needs: Sequence[Policy]

    def judge(self, findings: Mapping[str, Finding]) -> Judgement:
        if not self.needs:
            return _EMPTY
        judgements = [need.judge(findings) for need in self.needs]
        if any(each.verdict is Verdict.PASSED for each in judgements):
            return Judgement(Verdict.PASSED)
        reasons = tuple(reason for each in judgements for reason in each.reasons)
        if any(each.verdict is Verdict.NOT_CHECKED for each in judgements):
            return Judgement(Verdict.NOT_CHECKED, reasons)
        return Judgement(Verdict.FAILED, reasons)
