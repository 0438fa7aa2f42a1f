"""Business licences: fields by label and place, the code by its check character."""

import datetime as dt

import numpy as np
import pytest

from kyc.check import Verdict
from kyc.document import licence
from kyc.document.page import Paper
from kyc.instruments import Instruments
from kyc.ocr import Word
from kyc.report import company_papers, papers, webcam

CODE = "91110000600037341L"  # python-stdnum's own example


def word(text: str, left: float, top: float) -> Word:
    right, bottom = left + 26 * len(text), top + 26
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return Word(text, 0.95, np.array(corners, np.float32))


def words(code: str = CODE) -> list[Word]:
    return [
        word("营业执照", 600, 20),
        word("统一社会信用代码", 60, 60),
        word(code, 60, 95),
        word("名称", 60, 200), word("北京远帆科技有限公司", 240, 200),
        word("注册资本", 900, 200), word("壹佰万元整", 1080, 200),
        word("类型", 60, 250), word("有限责任公司(法人独资)", 240, 250),
        word("成立日期", 900, 250), word("2015年03月09日", 1080, 250),
        word("法定代表人", 60, 300), word("王芳", 240, 300),
        word("营业期限", 900, 300), word("2015年03月09日至长期", 1080, 300),
        word("经营范围", 60, 350), word("技术开发；会议服务；", 240, 350),
        word("住所", 900, 350), word("北京市中山东路5号", 1080, 350),
        word("食品销售。", 240, 390),
        word("登记机关", 900, 600),
    ]  # fmt: skip


def test_every_field_is_found_beside_its_label() -> None:
    found = licence.find(words())
    assert found is not None
    assert {name: value.text for name, value in found.fields.items()} == {
        "code": CODE, "name": "北京远帆科技有限公司", "type": "有限责任公司(法人独资)",
        "representative": "王芳", "capital": "壹佰万元整", "founded": "2015年03月09日",
        "term": "2015年03月09日至长期", "address": "北京市中山东路5号",
        "scope": "技术开发；会议服务；食品销售。",
    }  # fmt: skip


@pytest.mark.parametrize("place", range(18))
def test_a_wrong_character_of_the_code_is_never_right(place: int) -> None:
    for made in "0123456789ABCDEFGHJKLMNPQRTUWXY":
        wrong = CODE[:place] + made + CODE[place + 1 :]
        found = licence.find(words(wrong))
        assert found is not None
        read = found.fields["code"].text if "code" in found.fields else None
        assert read is None or read == wrong
        assert (read is None) == (not licence.check_character_right(wrong))
        if wrong != CODE and place not in (0, 1):
            assert read is None


def test_labels_passed_over_are_made_up_for_by_form() -> None:
    kept = [each for each in words() if each.text not in ("名称", "类型", "住所")]
    found = licence.find(kept)
    assert found is not None
    assert found.fields["name"].text == "北京远帆科技有限公司"
    assert found.fields["type"].text == "有限责任公司(法人独资)"
    assert found.fields["address"].confidence < 0.8


def test_terms_and_dates() -> None:
    assert licence.parse_term("2015年03月09日至长期") == (dt.date(2015, 3, 9), None)
    assert licence.parse_term("2015年03月09日至2035年03月08日") == (
        dt.date(2015, 3, 9), dt.date(2035, 3, 8)
    )  # fmt: skip
    assert licence.parse_term("2035年03月09日至2015年03月08日") is None
    assert licence.parse_date("2015年13月09日") is None


def test_other_pages_are_no_licence() -> None:
    assert licence.find([word("中国工商银行", 0, 0), word(CODE, 0, 50)]) is None


def test_a_licence_before_the_camera(instruments: Instruments) -> None:
    chance = np.random.default_rng(2)
    try:
        drawn = company_papers.licence(chance)
    except papers.FontMissing as missing:
        pytest.skip(str(missing))
    picture = webcam.photograph(drawn.page, chance, webcam.Conditions(share=(0.85, 0.9)))
    paper = instruments.open("business_licence", {"today": "2026-11-22"})
    assert isinstance(paper, Paper)
    finding = paper.read_stills([picture])
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "read")
    read = {name: each["value"] for name, each in finding.values.items() if name != "checks"}
    wrong = {name for name in drawn.fields if read.get(name) != drawn.fields[name]}
    assert len(wrong) <= 1 and not wrong & {"code", "name"}
    assert finding.values["checks"]["check_character"] == "ok"
