"""One answer from all parts; what is missing never helps."""

from typing import Any

import pytest

from kyc.check import Finding, Verdict
from kyc.liveness.fusion import PARTS, fuse

PASSED, FAILED, OPEN = Verdict.PASSED, Verdict.FAILED, Verdict.NOT_CHECKED


def part(check: str, verdict: Verdict, reason: str = "x", **signals: Any) -> Finding:
    values = {"signals": signals} if signals else {}
    return Finding(check, verdict, reason, values=values, media_time_us=5)


def depth(verdict: Verdict) -> dict[str, Any]:
    return {"verdict": verdict, "reason": "x", "hint": False}


def fused(*findings: Finding) -> Finding:
    return fuse({finding.check: finding for finding in findings})


def test_nothing_looked_at_is_not_checked() -> None:
    finding = fuse({})
    assert (finding.verdict, finding.reason) == (OPEN, "not_enough_signs")
    assert set(finding.values["parts"]) == PARTS
    assert {each["verdict"] for each in finding.values["parts"].values()} == {OPEN}


def test_the_prompts_and_one_other_independent_part_pass() -> None:
    prompts, colours = part("liveness", PASSED), part("screen_colours", PASSED)
    assert fused(prompts).verdict is OPEN
    assert fused(colours, part("spoken_digits", PASSED)).verdict is OPEN
    finding = fused(prompts, colours)
    assert (finding.verdict, finding.score, finding.threshold) == (PASSED, 2.0, 2.0)
    assert finding.values["passed"] == ["liveness", "screen_colours"]


@pytest.mark.parametrize("check", sorted(PARTS - {"injection"}))
def test_any_part_that_failed_fails_the_whole(check: str) -> None:
    good = [part(name, PASSED, depth=depth(PASSED)) for name in PARTS - {check}]
    finding = fused(*good, part(check, FAILED))
    assert (finding.verdict, finding.values["failed"]) == (FAILED, [check])


def test_a_cameras_name_is_a_hint_and_a_loop_is_a_failure() -> None:
    good = [part("liveness", PASSED), part("screen_colours", PASSED)]
    named = fused(*good, part("injection", FAILED, "virtual_camera"))
    assert named.verdict is PASSED
    assert named.values["hints"] == [
        {"part": "injection", "signal": "injection", "reason": "virtual_camera"}
    ]
    assert fused(*good, part("injection", FAILED, "looped")).verdict is FAILED


def test_hints_are_shown_and_never_decide() -> None:
    pattern = {"verdict": FAILED, "reason": "pattern", "hint": True}
    watched = part("passive", PASSED, "round", depth=depth(PASSED), screen=pattern)
    finding = fused(part("liveness", PASSED), watched)
    assert finding.verdict is PASSED
    assert {"part": "passive", "signal": "screen", "reason": "pattern"} in finding.values["hints"]
    assert finding.media_time_us == 5
