"""From lines of text to fields: what is half read gives no field."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyc.document import resident
from kyc.document.fusion import Votes
from kyc.document.resident import NATIONS, Value, parse_birth, parse_period, read_lines
from kyc.ocr import Line, Word, lines

FRONT = [
    "姓名冯伟超",
    "性别男民族哈尼",
    "出生1990年2月21日",
    "住址山东省日照市东港区中山",
    "东路750号25栋2单",
    "元1818室",
    "公民身份号码371102199002215210",
]
BACK = [
    "中华人民共和国",
    "居民身份证",
    "签发机关日照市东港区公安局分局",
    "有效期限2010.08.12-2030.08.12",
]


def line(text: str, score: float = 0.99) -> Line:
    return Line((Word(text, score, np.zeros((4, 2), np.float32)),))


def fields(texts: list[str]) -> dict[str, str]:
    return {name: value.text for name, value in read_lines([line(t) for t in texts]).fields.items()}


def without(place: int, text: str | None = None) -> list[str]:
    return FRONT[:place] + ([text] if text else []) + FRONT[place + 1 :]


def test_the_front() -> None:
    assert fields(FRONT) == {
        "name": "冯伟超",
        "sex": "男",
        "nation": "哈尼",
        "birth": "1990年2月21日",
        "address": "山东省日照市东港区中山东路750号25栋2单元1818室",
        "id": "371102199002215210",
    }


def test_the_back() -> None:
    assert read_lines([line(text) for text in BACK]).side == "back"
    assert fields(BACK) == {
        "authority": "日照市东港区公安局分局",
        "valid": "2010.08.12-2030.08.12",
    }


@pytest.mark.parametrize(
    ("texts", "name", "expected"),
    [
        (without(2, "出生19902月21日"), "birth", "1990年2月21日"),
        (without(2, "出生1990年13月21日"), "birth", None),
        (without(2, "出生1990年2月"), "birth", None),
        (without(1, "性别男民族哈泥"), "nation", None),
        (without(1, "性别男民族维吾儿"), "nation", "维吾尔"),
        (without(1, "性别男民族X"), "nation", None),
        (without(0, "姓名冯"), "name", None),
        (without(0, "姓名阿卜杜拉·买买提"), "name", "阿卜杜拉·买买提"),
        (without(6, "公民身份号码37110219900221521O"), "id", "371102199002215210"),
        (without(6, "公民身份号码3711021990022152"), "id", None),
        (without(6, "公民身份号码371102199002215211"), "id", None),
        ([FRONT[0], "住址山东", FRONT[6]], "address", None),
    ],
)
def test_a_field_is_taken_only_in_a_form_it_can_have(
    texts: list[str], name: str, expected: str | None
) -> None:
    assert fields(texts).get(name) == expected


def test_a_wrong_number_is_reported_as_one() -> None:
    reading = read_lines([line(t) for t in without(6, "公民身份号码371102199002215211")])
    assert reading.side == "front"
    assert reading.rejected_number == "371102199002215211"


@pytest.mark.parametrize(
    ("texts", "side"),
    [
        ([], "nothing"),
        (["你好"], "nothing"),
        (["PASSPORT", "P<CHNZHANG<<SAN<<<<<<<<", "E123456784CHN9001018M3001012"], "other"),
        (["中国农业银行", "6228480402564890018", "银联"], "other"),
        (FRONT[:2], "front"),
    ],
)
def test_which_side_it_is(texts: list[str], side: str) -> None:
    assert read_lines([line(text) for text in texts]).side == side


@given(st.lists(st.text(max_size=30), max_size=10))
def test_no_text_at_all_breaks_it(texts: list[str]) -> None:
    reading = read_lines([line(text) for text in texts])
    assert set(reading.fields) <= {"name", "sex", "nation", "birth", "address", "id"} | {
        "authority",
        "valid",
    }


@given(st.dates())
def test_a_birth_date_survives_printing(date: object) -> None:
    import datetime as dt

    assert isinstance(date, dt.date)
    assert parse_birth(f"{date.year:04}年{date.month}月{date.day}日") == date


@pytest.mark.parametrize("text", ["2010.02.30-2030.02.28", "2030.01.01-2010.01.01", "长期", ""])
def test_an_impossible_period_is_none(text: str) -> None:
    assert parse_period(text) is None


def test_all_nations_are_there() -> None:
    assert len(NATIONS) == len(set(NATIONS)) == 56


def word(text: str, x: float, y: float, width: float, turn: float = 0.0) -> Word:
    box = np.array([[x, y], [x + width, y], [x + width, y + 20], [x, y + 20]], np.float32)
    cos, sin = np.cos(turn), np.sin(turn)
    return Word(text, 0.9, np.asarray(box @ np.array([[cos, sin], [-sin, cos]]), np.float32))


@pytest.mark.parametrize("turn", [0.0, 0.3, -0.4])
def test_words_side_by_side_are_one_line_whatever_the_tilt(turn: float) -> None:
    words = [word("男", 200, 52, 20, turn), word("姓名", 50, 0, 60, turn)]
    words += [word("性别", 50, 50, 60, turn), word("冯伟超", 200, 3, 90, turn)]
    assert [each.text for each in lines(words)] == ["姓名冯伟超", "性别男"]


def test_two_frames_must_agree() -> None:
    votes = Votes()
    votes.add({"name": Value("冯伟超", 0.99)})
    assert not votes.agreed(["name"])
    assert votes.best()["name"].confidence <= 0.9
    votes.add({"name": Value("冯伟起", 0.7)})
    assert not votes.agreed(["name"])
    votes.add({"name": Value("冯伟超", 0.97)})
    assert votes.agreed(["name"])
    assert votes.best()["name"].text == "冯伟超"
    assert votes.best()["name"].confidence == pytest.approx((0.99 + 0.97) / 3)


def test_as_many_against_as_for_is_no_agreement() -> None:
    votes = Votes()
    for text in ("甲", "乙", "甲", "乙"):
        votes.add({"name": Value(text, 0.9)})
    assert not votes.agreed(["name"])


def test_a_long_authority_runs_over_two_lines() -> None:
    read = resident.back_fields(
        [
            line("签发机关玉溪市元江哈尼族彝族"),
            line("傣族自治县公安局"),
            line("有效期限2022.08.08-2032.08.08"),
        ]
    )
    assert read["authority"].text == "玉溪市元江哈尼族彝族傣族自治县公安局"


def test_a_name_whose_label_is_lost_stands_over_the_sex() -> None:
    read, _ = resident.front_fields([line("谭旭浩"), line("性别男民族汉"), line("1947年12月12日")])
    assert read["name"].text == "谭旭浩"
    assert read["name"].confidence <= resident.UNLABELLED
    read, _ = resident.front_fields([line("住址"), line("性别男民族汉")])
    assert "name" not in read
