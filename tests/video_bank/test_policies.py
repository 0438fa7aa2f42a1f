"""Policies are data: what they ask for, and what is refused at the start."""

from pathlib import Path

import pytest

from kyc.check import Finding, Verdict
from video_bank.businesses import Businesses
from video_bank.errors import OperatorError
from video_bank.policies import BELOW, Policy, load

PASSED, FAILED = Verdict.PASSED, Verdict.FAILED


def policy(tmp_path: Path, table: str) -> Policy:
    path = tmp_path / "policies.toml"
    path.write_text(f'version = "1"\n[loan]\n{table}', encoding="utf-8")
    return load(path)["loan"]


def found(*checks: str, verdict: Verdict = PASSED) -> dict[str, Finding]:
    return {check: Finding(check, verdict, "read") for check in checks}


@pytest.mark.parametrize(
    ("table", "about"),
    [
        ("", "no checks"),
        ("checks = []", "no checks"),
        ('checks = ["palm_reading"]', "palm_reading"),
        ('checks = ["liveness", "liveness"]', "twice"),
        ('checks = ["liveness"]\nneeds = []', "empty"),
        ('checks = ["liveness"]\nneeds = ["all"]', "empty"),
        ('checks = ["liveness"]\nneeds = ["any", ["all"]]', "empty"),
        ('checks = ["liveness"]\nneeds = ["all", "bank_card"]', "nothing makes"),
        ('checks = ["liveness"]\nthresholds = { liveness = 2.0 }', "thresholds.liveness"),
        ('checks = ["liveness"]\nthresholds = { palm = 0.5 }', "palm"),
        ('checks = ["liveness"]\nfailures = { liveness = 0 }', "failures.liveness"),
        ('checks = ["liveness"]\nfailures = { liveness = true }', "failures.liveness"),
        ('checks = ["liveness"]\nprompts = []', "prompts"),
        ('checks = ["liveness"]\nprompts = [1]', "prompts"),
        ('checks = ["liveness"]\nby_eye = "perhaps"', "by_eye"),
        ('checks = ["liveness"]\nheed = ["palm"]', "palm"),
        ('checks = ["liveness"]\nlax = true', "lax"),
        ('checks = ["liveness"', "policies.toml"),
    ],
)
def test_what_cannot_be_meant_ends_the_start(tmp_path: Path, table: str, about: str) -> None:
    with pytest.raises(OperatorError, match=about):
        policy(tmp_path, table)


def test_every_product_has_a_policy_and_none_is_met_by_nothing(tmp_path: Path) -> None:
    for business in Businesses():
        judged = business.policy
        assert judged.judge({}).verdict is not PASSED
        assert judged.judge(found(*judged.checks)).verdict is PASSED
        assert judged.judge(found(*judged.checks, verdict=FAILED)).verdict is not PASSED
        for check in judged.checks:  # each one alone is not enough
            assert judged.judge(found(check)).verdict is not PASSED
    path = tmp_path / "policies.toml"
    path.write_text('[identification]\nchecks = ["liveness"]', encoding="utf-8")
    with pytest.raises(OperatorError, match="no policy for"):
        Businesses(policies=path)


def test_a_passport_stands_in_for_a_card_and_eyes_for_the_face_checks() -> None:
    policy = Businesses()["identification"].policy
    card = ("id_card_front", "id_card_back")
    face = ("face_match", "liveness")
    assert policy.judge(found("travel_document", *face)).verdict is PASSED
    assert policy.judge(found(*card, "seen_by_teller")).verdict is PASSED
    assert policy.judge(found("travel_document", "seen_by_teller")).verdict is PASSED
    assert policy.judge(found("id_card_front", "seen_by_teller")).verdict is not PASSED
    assert policy.judge(found(*face, "seen_by_teller")).verdict is not PASSED


def test_a_heeded_hint_bars_an_approval_only_when_it_speaks_against() -> None:
    policy = Businesses()["identification"].policy
    enough = found(*policy.checks)
    assert policy.judge(enough).verdict is PASSED
    changed = policy.judge({**enough, **found("continuity", verdict=FAILED)})
    assert changed.verdict is FAILED
    unseen = {**enough, **found("continuity", verdict=Verdict.NOT_CHECKED)}
    assert policy.judge(unseen).verdict is PASSED


def test_a_threshold_can_only_be_stricter(tmp_path: Path) -> None:
    strict = policy(tmp_path, 'checks = ["face_match"]\nthresholds = { face_match = 0.5 }')
    seen = Finding("face_match", PASSED, "matched", score=0.45, threshold=0.42)
    judged = strict.strict(seen)
    assert (judged.verdict, judged.reason, judged.threshold) == (FAILED, BELOW, 0.5)
    lax = policy(tmp_path, 'checks = ["face_match"]\nthresholds = { face_match = 0.1 }')
    refused = Finding("face_match", FAILED, "different_person", score=0.3, threshold=0.42)
    assert lax.strict(refused) is refused and lax.strict(seen) is seen


def test_the_hash_follows_what_is_asked(tmp_path: Path) -> None:
    one = policy(tmp_path, 'checks = ["liveness"]')
    assert one.hash == policy(tmp_path, '# the same\nchecks = [ "liveness" ]').hash
    assert one.hash != policy(tmp_path, 'checks = ["liveness"]\nprompts = [5]').hash
    assert one.most_failures("liveness") == 3


@pytest.mark.parametrize(("by_eye", "calm", "after"), [
    ("never", False, False), ("after_failure", False, True), ("always", True, True),
])  # fmt: skip
def test_when_a_second_person_must_look(
    tmp_path: Path, by_eye: str, calm: bool, after: bool
) -> None:
    judged = policy(tmp_path, f'checks = ["liveness"]\nby_eye = "{by_eye}"')
    assert judged.second_person({}) is calm
    assert judged.second_person(found("liveness", verdict=FAILED)) is after
