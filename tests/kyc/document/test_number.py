"""The number's form, check character, date, sex and region."""

from hypothesis import given
from hypothesis import strategies as st

from kyc.document import number

DIGITS = st.text("0123456789", min_size=17, max_size=17)
GOOD = "371102199002215210"


def test_a_right_number_says_birth_sex_and_region() -> None:
    parsed = number.parse(GOOD)
    assert parsed is not None
    assert parsed.birth.isoformat() == "1990-02-21"
    assert parsed.sex == "男"
    assert parsed.region == "山东省东港区"


def test_ten_is_written_x() -> None:
    parsed = number.parse("65010219680112422X")
    assert parsed is not None and parsed.sex == "女"


@given(st.integers(0, 17), st.sampled_from("0123456789X"))
def test_no_single_wrong_character_is_called_right(place: int, other: str) -> None:
    changed = GOOD[:place] + other + GOOD[place + 1 :]
    assert (number.parse(changed) is not None) == (changed == GOOD)


@given(st.integers(0, 16))
def test_no_exchange_of_neighbours_is_called_right(place: int) -> None:
    a, b = GOOD[place], GOOD[place + 1]
    changed = GOOD[:place] + b + a + GOOD[place + 2 :]
    assert (number.parse(changed) is not None) == (a == b)


@given(DIGITS)
def test_what_parses_has_a_real_date(digits: str) -> None:
    parsed = number.parse(digits + number.check_character(digits))
    if parsed:
        assert parsed.birth.strftime("%Y%m%d") == digits[6:14]


def test_impossible_dates_and_forms_are_refused() -> None:
    for digits in ("37110219900230521", "37110219901301521"):
        assert number.parse(digits + number.check_character(digits)) is None
    for text in ("", "37110219900221521", GOOD + "0", GOOD.lower() + "x", "X" * 18):
        assert number.parse(text) is None


def test_an_unknown_region_is_none() -> None:
    digits = "99999919900221521"
    parsed = number.parse(digits + number.check_character(digits))
    assert parsed is not None and parsed.region is None
