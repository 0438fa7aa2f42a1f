"""County names that the number's region code vouches for."""

import pytest

from kyc.document import places

NUMBER = "440204199001011234"  # 浈江区


@pytest.mark.parametrize(
    ("read", "mended"),
    [
        ("广东省韶关市淡江区学府路684号", "广东省韶关市浈江区学府路684号"),
        ("广东省韶关市浈江区学府路684号", "广东省韶关市浈江区学府路684号"),
        ("广东省韶关市武江区学府路684号", "广东省韶关市武江区学府路684号"),  # a county too
        ("北京市朝阳区建国路1号", "北京市朝阳区建国路1号"),  # moved away
    ],
)
def test_one_misread_character_is_put_right(read: str, mended: str) -> None:
    assert places.mend(read, NUMBER) == mended


def test_an_unknown_code_mends_nothing() -> None:
    assert places.mend("广东省韶关市淡江区", "999999199001011234") == "广东省韶关市淡江区"
