"""Policies as data: what each product asks of a customer, read once from `policies.toml`.

A policy that cannot be understood, names a check nobody knows or asks for nothing ends the start:
an approval under it would say "verified" of a stranger.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kyc.check import AllOf, AnyOf, Finding, Judgement, Passed, Verdict
from kyc.check import Policy as Need
from video_bank.errors import OperatorError
from video_bank.looks import BESIDE, BY_EYE, FACE_CHECKS, KNOWN, LOOKS

HERE = Path(__file__).parent
FIELDS = frozenset(
    {"checks", "instead", "needs", "thresholds", "failures", "prompts", "heed", "by_eye"}
)
BELOW = "below_policy"
"""The reason of a check that passed by its own threshold but not by the product's."""
SECOND_PERSON = ("never", "after_failure", "always")
PROMPT_COUNTS = range(2, 9)
DEFAULT_FAILURES = 3


@dataclass(frozen=True)
class NotAgainst:
    """The named hint does not speak against the customer; that it was not seen is no obstacle."""

    check: str

    def judge(self, findings: Mapping[str, Finding]) -> Judgement:
        finding = findings.get(self.check)
        if finding is None or finding.verdict is not Verdict.FAILED:
            return Judgement(Verdict.PASSED)
        return Judgement(Verdict.FAILED, (f"{self.check}: {finding.reason}",))


@dataclass(frozen=True)
class Policy:
    """What one product asks for."""

    product: str
    checks: tuple[str, ...]
    "Run by themselves, in order."
    instead: Mapping[str, tuple[str, ...]]
    "What a teller may start, and which checks it takes the place of."
    needs: Need
    thresholds: Mapping[str, float]
    failures: Mapping[str, int]
    prompts: tuple[int, ...]
    heed: tuple[str, ...]
    by_eye: str
    hash: str
    "SHA-256 over the version and the product's table as canonical JSON."

    @property
    def runnable(self) -> tuple[str, ...]:
        """Every check that may be run for this product."""
        return (*self.checks, *(each for each in self.instead if each not in self.checks))

    def most_failures(self, check: str) -> int:
        """After so many failed tries only a person can go on."""
        return self.failures.get(check, self.failures.get("default", DEFAULT_FAILURES))

    def strict(self, finding: Finding) -> Finding:
        """The finding under this product's threshold, where that is the stricter one."""
        wanted = self.thresholds.get(finding.check)
        if wanted is None or finding.score is None or wanted <= (finding.threshold or 0.0):
            return finding
        if finding.verdict is Verdict.PASSED and finding.score < wanted:
            return replace(finding, verdict=Verdict.FAILED, reason=BELOW, threshold=wanted)
        return replace(finding, threshold=wanted)

    def judge(self, findings: Mapping[str, Finding]) -> Judgement:
        """Whether an approval may be given on these findings, the newest of each check."""
        heeded = [NotAgainst(check) for check in self.heed]
        return AllOf([self.needs, *heeded]).judge(findings)

    def second_person(self, findings: Mapping[str, Finding]) -> bool:
        """Whether what a teller compares by eye now must be confirmed by somebody else."""
        if self.by_eye == "after_failure":
            faces = (each for name, each in findings.items() if name in FACE_CHECKS)
            return any(each.verdict is Verdict.FAILED for each in faces)
        return self.by_eye == "always"


def load(path: Path = HERE / "policies.toml") -> dict[str, Policy]:
    """Every product's policy.

    Raises:
        OperatorError: the file cannot be read as policies; the text names product and field.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OperatorError(f"{path.name}: {error}") from error
    version = str(raw.pop("version", ""))
    try:
        return {product: _policy(product, version, table) for product, table in raw.items()}
    except ValueError as error:
        raise OperatorError(f"{path.name}: {error}") from error


def _policy(product: str, version: str, table: Any) -> Policy:
    if not isinstance(table, dict) or (unknown := table.keys() - FIELDS):
        raise ValueError(f"{product}: unknown {sorted(unknown) if isinstance(table, dict) else ''}")
    checks = _names(product, table.get("checks", []), LOOKS)
    instead = {
        name: _names(product, replaced, LOOKS)
        for name, replaced in dict(table.get("instead", {})).items()
    }
    _names(product, list(instead), LOOKS)
    if not checks:
        raise ValueError(f"{product}: no checks")
    made = {*checks, *instead, *BESIDE, BY_EYE}
    prompts = tuple(table.get("prompts", (4, 5)))
    if not prompts or any(count not in PROMPT_COUNTS for count in prompts):
        raise ValueError(f"{product}: prompts must be numbers from 2 to 8")
    by_eye = table.get("by_eye", "always")
    if by_eye not in SECOND_PERSON:
        raise ValueError(f"{product}: by_eye must be one of {', '.join(SECOND_PERSON)}")
    canonical = json.dumps([version, product, table], sort_keys=True, ensure_ascii=False)
    return Policy(
        product,
        checks,
        instead,
        _need(product, table.get("needs", ["all", *checks]), made),
        _numbers(product, "thresholds", table.get("thresholds", {}), KNOWN, -1.0, 1.0),
        _counts(product, table.get("failures", {})),
        prompts,
        _names(product, table.get("heed", []), KNOWN),
        by_eye,
        hashlib.sha256(canonical.encode()).hexdigest(),
    )


def _need(product: str, wanted: Any, made: set[str]) -> Need:
    """A tree of ``"check"``, ``["all", …]`` and ``["any", …]``."""
    if isinstance(wanted, str):
        if wanted not in made:
            raise ValueError(f"{product}: needs {wanted!r}, which nothing makes")
        return Passed(wanted)
    if not isinstance(wanted, list) or len(wanted) < 2 or wanted[0] not in ("all", "any"):
        raise ValueError(f"{product}: needs must be a check, ['all', …] or ['any', …], not empty")
    branches = [_need(product, each, made) for each in wanted[1:]]
    return AllOf(branches) if wanted[0] == "all" else AnyOf(branches)


def _names(product: str, wanted: Any, known: Any) -> tuple[str, ...]:
    names = tuple(wanted)
    for name in names:
        if name not in known:
            raise ValueError(f"{product}: unknown check {name!r}")
    if len(set(names)) != len(names):
        raise ValueError(f"{product}: a check is named twice")
    return names


def _numbers(
    product: str, what: str, wanted: Any, known: Any, least: float, most: float
) -> dict[str, float]:
    _names(product, list(wanted), known)
    for name, value in wanted.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least < value < most:
            raise ValueError(f"{product}: {what}.{name} must lie between {least} and {most}")
    return {name: float(value) for name, value in wanted.items()}


def _counts(product: str, wanted: Any) -> dict[str, int]:
    numbers = _numbers(product, "failures", wanted, {*LOOKS, "default"}, 0, 100)
    return {name: int(value) for name, value in numbers.items()}
