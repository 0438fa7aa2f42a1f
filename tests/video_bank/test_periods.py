"""How long what is kept: the table, the bank's changes to it, the arithmetic."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from video_bank.businesses import Businesses
from video_bank.errors import OperatorError
from video_bank.periods import Policy, month_after, month_of


def us(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000


def own(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "own.toml"
    path.write_text(text)
    return Policy.load(path)


def test_the_longest_period_wins_and_says_why() -> None:
    policy = Policy.load()
    until, source = policy["default"].decides(us(2026, 11, 22))
    # 20 years assumed, counted from the end of that year, and ten more.
    assert (month_of(until), source.id) == ("2057-01", "aml_cn_10")
    until, source = policy["wealth"].decides(us(2026, 11, 22))
    assert (until, source.id) == (us(2051, 11, 22), "dual_record_20y")


def test_every_business_has_a_class_and_every_source_a_citation_in_two_languages() -> None:
    policy = Policy.load()
    assert {policy.of(each.id).id for each in Businesses()} <= set(policy.classes)
    for kept in policy.classes.values():
        assert set(kept.name) == {"zh", "en"}
        for source in kept.sources:
            assert source.citation and set(source.says) == {"zh", "en"}
            assert source.known in ("text", "secondary", "memory")


def test_a_bank_settles_what_is_disputed_and_where_it_is(tmp_path: Path) -> None:
    policy = own(tmp_path, "[sources.dual_record_20y]\napplies = false\n")
    _, source = policy["wealth"].decides(us(2026, 11, 22))
    assert source.id == "aml_cn_10"
    policy = own(tmp_path, 'jurisdictions = ["DE"]\n[classes.wealth]\nsources = ["gwg_5"]\n'
                 '[classes.insurance_short]\nsources = ["gwg_5"]\n'
                 '[classes.insurance_long]\nsources = ["gwg_5"]\nassumed_years = 0\n')  # fmt: skip
    until, source = policy["insurance_long"].decides(us(2026, 11, 22))
    assert (until, source.id) == (us(2032, 1, 1), "gwg_5")


def test_a_bank_adds_a_class(tmp_path: Path) -> None:
    policy = own(
        tmp_path,
        '[sources.house]\njurisdiction="CN"\nmonths=1\nafter="session"\ncitation="our rule"\n'
        'known="text"\nsays={zh="一个月",en="a month"}\n'
        '[classes.card]\nname={zh="卡",en="Card"}\nbusinesses=["card_activation"]\n'
        'sources=["house"]\nassumed_years=0\n',
    )
    kept = policy.of("card_activation")
    assert kept.id == "card" and policy.of("identification").id == "default"
    assert kept.until(us(2027, 1, 31)) == us(2027, 2, 28)
    assert kept.until(us(2028, 1, 31)) == us(2028, 2, 29)
    assert policy["no longer in the table"].id == "default"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('jurisdictions = ["FR"]', "none of its sources applies"),
        ("[sources.aml_cn_10]\nmonths = 0", "months"),
        ("[sources.aml_cn_10]\nmonths = 12.5", "months"),
        ("[sources.aml_cn_10]\nafter = 'lunch'", "after"),
        ("[classes.default]\nassumed_years = -1", "assumed_years"),
        ("[classes.default]\nsources = ['no_such']", "no_such"),
        ("[classes.default]\nbusinesses = ['a', 'a']", "two classes"),
        ("month = 3", "no such key"),
        ("[sources.aml_cn_10]\nyears = 3", "years"),
        ("not toml", "own.toml"),
    ],
)
def test_a_table_that_would_erase_too_soon_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(OperatorError, match=says):
        own(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="missing"):
        Policy.load(tmp_path / "missing.toml")


def test_months_follow_each_other() -> None:
    assert [month_after(each) for each in ("2026-12", "2027-01")] == ["2027-01", "2027-02"]
