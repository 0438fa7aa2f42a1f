"""Digits out of words: what was said is found, other digits never pass for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyc.speech import sounds
from kyc.spoken import digits_in, likeliest, most_digits, says, shown

CHINESE = str.maketrans("0123456789", "零一二三四五六七八九")
WORDS = "zero one two three four five six seven eight nine".split()


def said(expected: str, text: str) -> bool:
    return says(expected, digits_in(text, sounds(text)))


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("4719", "4719"),
        ("4719", "四七一九。"),
        ("4719", "4、7、1、9"),
        ("4719", "肆柒幺玖"),
        ("2002", "兩〇零两"),
        ("4719", "我的号码是四七一九"),
        ("4719", "4 7 1 就"),
        ("0856", "零八五六，谢谢"),
        ("4719", "Four seven one nine."),
        ("2483", "Two for eight three"),
        ("0210", "oh two one zero"),
    ],
)
def test_these_say_it(expected: str, text: str) -> None:
    assert said(expected, text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("4719", "4718"),
        ("4719", "47190"),
        ("4719", "04719"),
        ("4719", "471"),
        ("4719", "四千七百一十九"),
        ("4719", "四七 不对 一九"),
        ("4719", "是起以就"),
        ("4444", "是是是是"),
        ("4719", "我同意"),
        ("2222", "to too to two"),
        ("4719", "forty-seven nineteen"),
        ("4719", ""),
    ],
)
def test_these_do_not(expected: str, text: str) -> None:
    assert not said(expected, text)


def test_all_spellings_of_the_same_digits_count_together() -> None:
    written = [("471", -0.9), ("4719", -1.2), ("4 7 1 9", -1.3), ("四七一�", -0.1), ("", -0.1)]
    assert likeliest(written) == "4719"
    assert likeliest(written[:2]) == "471"
    assert likeliest([("我同意", -0.1)]) == likeliest([]) == ""


@given(st.text("0123456789", min_size=4, max_size=6), st.text("0123456789", min_size=4, max_size=6))
def test_only_the_same_digits_match(asked: str, read: str) -> None:
    for text in (read, read.translate(CHINESE), " ".join(WORDS[int(each)] for each in read)):
        assert said(asked, text) == (asked == read)


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    heard = digits_in(text, sounds(text))
    assert most_digits(heard) <= len(heard)
    assert len(shown(heard)) == len(heard)
    assert len(sounds(text)) == len(text)
