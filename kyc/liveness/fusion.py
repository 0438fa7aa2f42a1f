"""Is a living person before the camera? All parts of the answer in one, each still visible.

Rules, not weights: five recorded people are too few to measure how likely each outcome of each
part is for honest people and for attackers, and a product of invented likelihoods would only look
exact. So:

1. A part that may decide and has failed fails the whole. It is named in ``values.failed``.
2. Enough independent parts have to pass: the prompts followed (``liveness``), and one more of
   what looks at something else: the screen's colours on the skin, the spoken digits, depth from
   movement, the face compared with the portrait throughout. One of the passive signals that are
   hints never counts, however many there are.
3. What did not run is "not checked", never passed; with too few parts the whole is not checked.
4. A person decides: ``values.hints`` holds what they should look at. There is always another way
   than by face.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyc.check import Finding, Verdict

ACTIVE = "liveness"
PARTS = frozenset({ACTIVE, "passive", "screen_colours", "spoken_digits", "injection", "continuity"})
"The checks whose findings are parts of the answer."
COUNTED = ("screen_colours", "spoken_digits", "passive")
"Parts that count beside the prompts; each looks at something the others do not."
NEEDED = 2
# A camera's name, its timing and its codec prove nothing alone: a part-time failure of `injection`
# is told to the person who decides; frames that come again are not.
DECISIVE_INJECTION = ("looped", "frozen")


def fuse(findings: Mapping[str, Finding]) -> Finding:
    """The finding ``live_person`` from the latest finding of each check, by name.

    ``score`` is the number of counted parts that passed, ``threshold`` the number needed.
    """
    parts = {name: findings[name] for name in sorted(PARTS & findings.keys())}
    failed = [name for name, finding in parts.items() if _fails(finding)]
    passed = [
        name
        for name in (ACTIVE, *COUNTED)
        if name in parts and parts[name].verdict is Verdict.PASSED
    ]
    enough = len(passed) >= NEEDED and ACTIVE in passed
    if failed:
        verdict, reason = Verdict.FAILED, "part_failed"
    elif enough:
        verdict, reason = Verdict.PASSED, "enough_signs"
    else:
        verdict, reason = Verdict.NOT_CHECKED, "not_enough_signs"
    times = [each.media_time_us for each in parts.values() if each.media_time_us is not None]
    return Finding(
        check="live_person",
        verdict=verdict,
        reason=reason,
        score=float(len(passed)),
        threshold=float(NEEDED),
        values={
            "parts": {name: _view(findings.get(name)) for name in sorted(PARTS)},
            "passed": passed,
            "failed": failed,
            "hints": _hints(parts),
        },
        models={name: sha for each in parts.values() for name, sha in each.models.items()},
        media_time_us=max(times, default=None),
    )


def _fails(finding: Finding) -> bool:
    if finding.verdict is not Verdict.FAILED:
        return False
    return finding.check != "injection" or finding.reason in DECISIVE_INJECTION


def _signals(finding: Finding) -> Mapping[str, Any]:
    signals = finding.values.get("signals", {})
    return signals if isinstance(signals, Mapping) else {}


def _view(finding: Finding | None) -> dict[str, Any]:
    if finding is None:
        return {"verdict": Verdict.NOT_CHECKED, "reason": "not_run"}
    return {
        "verdict": finding.verdict,
        "reason": finding.reason,
        "score": finding.score,
        "threshold": finding.threshold,
    }


def _hints(parts: Mapping[str, Finding]) -> list[dict[str, str]]:
    """What failed without deciding, for the person who does."""
    found = []
    for name, finding in parts.items():
        if finding.verdict is Verdict.FAILED and not _fails(finding):
            found.append({"part": name, "signal": name, "reason": finding.reason})
        for signal, view in _signals(finding).items():
            if view.get("verdict") == Verdict.FAILED and view.get("hint"):
                found.append({"part": name, "signal": signal, "reason": str(view["reason"])})
    return found
