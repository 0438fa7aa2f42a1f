"""Bank cards: number, month, holder out of lines of text; issuers as data; nothing leaks."""

import datetime as dt

import numpy as np
import pytest

from kyc.check import Finding, Verdict
from kyc.document import bank_card, issuers
from kyc.instruments import Instruments
from kyc.ocr import Line, Word
from kyc.report import company_papers, papers, webcam
from tests.kyc.conftest import show, still

RIGHT = "6222021234567890128"  # a made-up number with a right sum


def line(*texts: str, level: int = 0) -> Line:
    """Words side by side."""
    words = []
    for place, text in enumerate(texts):
        left, top = 200 * place, 40 * level
        corners = [[left, top], [left + 180, top], [left + 180, top + 30], [left, top + 30]]
        words.append(Word(text, 0.95, np.array(corners, np.float32)))
    return Line(tuple(words))


@pytest.mark.parametrize(
    "lines",
    [
        [line("6222 0212 3456 7890 128")],
        [line("6222", "0212", "3456", "7890", "128")],
        [line("622202 1234567890128")],
        [line("6222O2 I234567890128")],
        [line(each, level=row) for row, each in enumerate("6222 0212 3456 7890 128".split())],
    ],
    ids=["one run", "groups", "six and the rest", "letters", "standing"],
)
def test_the_number_is_found_however_it_is_grouped(lines: list[Line]) -> None:
    face = bank_card.find([line("中国工商银行", level=9), *lines])
    assert face is not None and face.number == RIGHT and face.right


def test_month_and_holder() -> None:
    face = bank_card.find(
        [
            line(RIGHT),
            line("VALID FROM", "03/19", "VALID THRU", "03/29"),
            line("ZHANG SAN", "UnionPay"),
        ]
    )
    assert face is not None
    assert (face.valid_thru, face.holder) == ("2029-03", "ZHANG SAN")


def test_other_digits_are_no_card() -> None:
    assert bank_card.find([line("13800138000"), line("2026-11-22")]) is None
    assert bank_card.find([line("371102199002215210x")]) is None


@pytest.mark.parametrize("digit", range(19))
def test_a_wrong_digit_is_called_wrong(digit: int) -> None:
    wrong = RIGHT[:digit] + str((int(RIGHT[digit]) + 1) % 10) + RIGHT[digit + 1 :]
    face = bank_card.find([line(wrong)])
    assert face is not None and not face.right


def test_issuers_are_data() -> None:
    assert issuers.of(RIGHT) == issuers.Issuer("UnionPay", "中国工商银行", "debit", True)
    assert issuers.of("6200000000000005").bank == "unknown"
    assert issuers.of("2221000000000009").scheme == "Mastercard"
    assert issuers.of("9999999999999995") == issuers.Issuer()
    assert issuers.of("410062" + "0" * 10).bank == "招商银行"


def drawn(seed: int) -> tuple[company_papers.Drawn, np.random.Generator]:
    chance = np.random.default_rng(seed)
    try:
        return company_papers.bank_card(chance), chance
    except papers.FontMissing as missing:
        pytest.skip(str(missing))


def test_a_card_before_the_camera(instruments: Instruments) -> None:
    card, chance = drawn(11)
    picture = webcam.photograph(card.page, chance, webcam.Conditions(share=(0.5, 0.6)))
    finding, hints = show(instruments.open("bank_card", {"today": "2026-11-22"}), still(picture))
    read = {k: v["value"] for k, v in finding.values.items() if k != "checks"}
    assert read == card.fields
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "read")
    assert finding.values["checks"]["luhn"] == "ok"
    # The number stands in the values alone: no picture kept of it can be read.
    (kept,) = finding.pictures
    from kyc.image import decode

    again = instruments.open("bank_card", {}).read_stills([decode(kept.jpeg)])  # type: ignore[attr-defined]
    assert "number" not in again.values
    assert card.fields["number"] not in repr(hints)


def test_an_expired_card_fails(instruments: Instruments) -> None:
    card, chance = drawn(11)
    picture = webcam.photograph(card.page, chance, webcam.Conditions(share=(0.5, 0.6)))
    later = dt.date(2040, 1, 1).isoformat()
    finding = instruments.open("bank_card", {"today": later}).read_stills([picture])  # type: ignore[attr-defined]
    assert isinstance(finding, Finding)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "expired")
