"""Policies: what is not shown to be passed is not passed."""

from hypothesis import given
from hypothesis import strategies as st

from kyc.check import AllOf, AnyOf, Finding, Passed, Policy, Verdict

VERDICTS = st.sampled_from(Verdict)
NAMES = ("id_card_front", "face_match", "liveness")


def finding(check: str, verdict: Verdict, reason: str = "because") -> Finding:
    return Finding(check, verdict, reason)


def test_an_empty_policy_fails() -> None:
    for policy in (AllOf([]), AnyOf([])):
        judgement = policy.judge({"liveness": finding("liveness", Verdict.PASSED)})
        assert judgement.verdict is Verdict.FAILED
        assert judgement.reasons == ("empty_policy",)


def test_an_empty_policy_fails_inside_another() -> None:
    passed = {"liveness": finding("liveness", Verdict.PASSED)}
    assert AllOf([Passed("liveness"), AllOf([])]).judge(passed).verdict is Verdict.FAILED


def test_a_missing_finding_is_not_checked() -> None:
    judgement = AllOf([Passed("face_match")]).judge({})
    assert judgement.verdict is Verdict.NOT_CHECKED
    assert judgement.reasons == ("face_match: not_checked",)


@given(st.lists(VERDICTS, min_size=1, max_size=3))
def test_all_of_passes_only_when_all_passed(verdicts: list[Verdict]) -> None:
    findings = {n: finding(n, v) for n, v in zip(NAMES, verdicts, strict=False)}
    policy: Policy = AllOf([Passed(name) for name in findings])
    judgement = policy.judge(findings)
    assert (judgement.verdict is Verdict.PASSED) == all(v is Verdict.PASSED for v in verdicts)
    assert (judgement.verdict is Verdict.FAILED) == (Verdict.FAILED in verdicts)
    assert len(judgement.reasons) == sum(v is not Verdict.PASSED for v in verdicts)


@given(st.lists(VERDICTS, min_size=1, max_size=3))
def test_any_of_passes_when_one_passed(verdicts: list[Verdict]) -> None:
    findings = {n: finding(n, v) for n, v in zip(NAMES, verdicts, strict=False)}
    judgement = AnyOf([Passed(name) for name in findings]).judge(findings)
    assert (judgement.verdict is Verdict.PASSED) == (Verdict.PASSED in verdicts)
    assert (judgement.verdict is Verdict.FAILED) == all(v is Verdict.FAILED for v in verdicts)
