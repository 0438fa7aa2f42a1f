"""Dates and places of the two sides."""

import datetime as dt

import pytest

from kyc.document import validity
from kyc.document.resident import parse_period

TODAY = dt.date(2026, 11, 22)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2010.08.12-2030.08.12", None),
        ("2006.11.22-2026.11.22", None),
        ("2006.11.21-2026.11.21", "expired"),
        ("2026.11.22-2036.11.22", None),
        ("2026.11.23-2036.11.23", "not_yet_valid"),
        ("2017.01.28-长期", None),
        ("2027.01.28-长期", "not_yet_valid"),
    ],
)
def test_the_last_day_still_counts(text: str, reason: str | None) -> None:
    period = parse_period(text)
    assert period is not None
    assert validity.out_of_date(period, TODAY) == reason


@pytest.mark.parametrize(
    ("birth", "text", "expected"),
    [
        ("1990-02-21", "2010.08.12-2020.08.12", "usual"),
        ("1990-02-21", "2010.08.12-2030.08.12", "unusual"),
        ("1972-05-06", "2010.01.25-2030.01.25", "usual"),
        ("1960-05-06", "2010.01.25-长期", "usual"),
        ("1972-05-06", "2010.01.25-长期", "unusual"),
        ("2012-05-06", "2020.01.25-2025.01.25", "usual"),
        ("2022-05-06", "2020.01.25-2025.01.25", "unusual"),
    ],
)
def test_the_period_follows_the_age(birth: str, text: str, expected: str) -> None:
    period = parse_period(text)
    assert period is not None
    assert validity.usual(period, dt.date.fromisoformat(birth)) == expected


def test_age_is_completed_years() -> None:
    birth = dt.date(2000, 2, 29)
    assert validity.age_on(birth, dt.date(2018, 2, 28)) == 17
    assert validity.age_on(birth, dt.date(2018, 3, 1)) == 18


def test_the_authority_sits_where_the_address_or_the_number_says() -> None:
    same = validity.same_place
    number = "371102199002215210"
    assert same("日照市东港区公安局分局", "山东省日照市东港区中山东路750号", number) == "likely"
    assert same("日照市公安局东港分局", "山东省日照市东港区中山东路750号", number) == "likely"
    assert same("锡林浩特市公安局", "山东省日照市东港区中山东路750号", number) == "unclear"
    assert same("东港区公安局", "北京市海淀区中关村大街1号", number) == "likely"  # moved away
    assert same("", "山东省", number) == "unknown"
    assert same("日照市公安局", "", "") == "unknown"
