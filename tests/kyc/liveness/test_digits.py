"""The check as a state machine, and the mouth beside it."""

from kyc.check import Finding, Verdict
from kyc.liveness.digits import ROUNDS, SpokenDigits, draw, said_in
from kyc.liveness.mouth import THRESHOLD, moved
from kyc.speech import Utterance

S = 1_000_000


def check(digits: str = "4719") -> SpokenDigits:
    return SpokenDigits(10 * S, "zh", {"speech_recognition": "ab"}, digits=digits)


def said(text: str, from_s: float = 11, confidence: float = 0.8) -> Utterance:
    return Utterance(text, "zh", int(from_s * S), int(from_s * S) + 2 * S, confidence)


def test_drawn_digits_are_easy_to_say_and_hard_to_guess() -> None:
    drawn = {draw() for _ in range(500)}
    assert len(drawn) > 450
    for digits in drawn:
        assert 4 <= len(digits) <= 6
        assert all(a != b for a, b in zip(digits, digits[1:], strict=False))
        assert "123" not in digits
        assert "987" not in digits
        assert "17" not in digits


def test_the_right_digits_pass_with_their_time() -> None:
    spoken = check()
    guidance = spoken.guidance(11 * S)
    assert (guidance.hint, guidance.prompt, guidance.deadline_s) == ("say_digits", "4 7 1 9", 11.0)
    finding = spoken.hear(said("四七一九"))
    assert finding is not None
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "digits_heard")
    assert finding.values["asked"] == "4719"
    assert finding.values["from_us"] == finding.media_time_us == 11 * S
    assert finding.values["rounds"][0]["heard"][0]["text"] == "四七一九"
    assert finding.score == 0.8


def test_pauses_between_digits_are_allowed() -> None:
    spoken = check()
    assert spoken.hear(said("四七", 11)) is None
    assert spoken.hear(said("一九", 14)) is not None


def written(free: str, *held: str) -> Utterance:
    return Utterance(free, "zh", 11 * S, 13 * S, 0.8, held=list(held))


def test_two_of_three_ways_of_writing_must_agree() -> None:
    for ways in (("4719", "4719", "471"), ("4719", "5", "4719"), ("是起幺就", "4719", "4719")):
        assert said_in("4719", [written(*ways)])
    for ways in (("4719", "471", "4710"), ("四七", "4719", "471"), ("4718", "4719", "4·19")):
        assert not said_in("4719", [written(*ways)])


def test_no_two_answers_pass_for_one_reading() -> None:
    said = [written("四七", "47", "41"), written("一九", "79", "79")]
    assert [digits for digits in ("4719", "4779", "4179") if said_in(digits, said)] == []
    assert said_in("4719", [written("四七", "47", "41"), written("一九", "19", "79")])


def test_an_utterance_without_words_changes_nothing() -> None:
    said = [written("四七", "47", "41"), written(""), written("一九", "19", "79")]
    assert said_in("4719", said)
    assert not said_in("4719", [written(""), written("4719", "5", "5")])


def test_what_was_said_before_it_was_asked_does_not_count() -> None:
    assert check().hear(said("四七一九", 9)) is None


def test_other_digits_are_asked_anew_and_fail_in_the_end() -> None:
    spoken, finding = check(), None
    for number in range(ROUNDS):
        asked = spoken.round.digits
        assert finding is None
        assert len(spoken.rounds) == number + 1
        wrong = "".join(str((int(each) + 5) % 10) for each in asked)
        finding = spoken.hear(said(wrong, 11 + 3 * number))
    assert isinstance(finding, Finding)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "other_digits")
    assert len({each["asked"] for each in finding.values["rounds"]}) == ROUNDS


def test_the_answer_to_an_earlier_round_is_late() -> None:
    spoken = check()
    spoken.hear(said("5555"))
    assert spoken.guidance(14 * S).hint == "say_again"
    assert spoken.hear(said("4719", 15)) is None


def test_silence_and_words_without_digits_are_not_checked() -> None:
    for text, reason in ((None, "nothing_heard"), ("你好", "not_understood")):
        spoken, finding = check(), None
        if text:
            spoken.hear(said(text))
        for second in range(11, 120):
            finding = finding or spoken.tick(second * S, busy=False)
        assert finding is not None
        assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, reason)


def test_a_voice_under_way_is_waited_for() -> None:
    spoken = check()
    spoken.tick(23 * S, busy=True)
    assert len(spoken.rounds) == 1
    spoken.tick(23 * S, busy=False)
    assert len(spoken.rounds) == 2


def test_a_mouth_that_moves_and_one_that_does_not() -> None:
    moving = [(at * 100_000, 0.1 + 0.05 * (at % 2)) for at in range(40)]
    still = [(at * 100_000, 0.1 + 0.002 * (at % 2)) for at in range(40)]
    spoken = moved(moving, S, 3 * S)
    assert (spoken["verdict"], spoken["reason"]) == (Verdict.PASSED, "moved")
    assert spoken["score"] > spoken["threshold"] == THRESHOLD
    assert moved(still, S, 3 * S)["verdict"] is Verdict.FAILED
    assert moved([], S, 3 * S)["reason"] == "no_pictures"
    assert moved(moving, 9 * S, 10 * S)["reason"] == "no_face"
    assert moved(moving, S, S + 400_000)["reason"] == "too_short"
