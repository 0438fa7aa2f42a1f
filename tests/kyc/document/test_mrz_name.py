"""The name in the zone against the name on the page."""

import pytest

from kyc.document import mrz, mrz_name


def zone(surname: str, given: str, form: mrz.Form = "TD3") -> mrz.Zone:
    lines = mrz.compose(
        form,
        code="P",
        issuer="UTO",
        names=(surname, given),
        number="L898902C3",
        nationality="UTO",
        birth="740812",
        sex="F",
        expiry="320415",
    )
    found = mrz.parse(lines)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("surname", "given", "printed"),
    [
        ("ERIKSSON", "ANNA MARIA", ["UTOPIA", "ERIKSSON", "ANNA MARIA"]),
        ("ERIKSSON", "ANNA MARIA", ["ERIKSSONANNAMARIA"]),
        ("ERIKSSON", "ANNA MARIA", ["Eriksson, Anna Maria"]),
        ("MUELLER", "JOERG", ["MÜLLER", "JÖRG"]),
        ("MUELLER", "JOERG", ["MULLER", "JORG"]),  # the reader lost the dots
        ("MUXXLLER", "JORG", ["MÜLLER", "JÖRG"]),
        ("OBRIEN", "SEAN", ["O'BRIEN", "SEÁN"]),
        ("SMITH JONES", "JEAN LUC", ["SMITH-JONES", "JEAN-LUC"]),
        ("ZHANG", "SAN", ["姓名/Name", "张三", "ZHANG, SAN"]),
        ("GARCIA LOPEZ", "LUIS", ["GARCIA", "LOPEZ", "LUIS"]),
        ("OESTBY", "QI", ["ØSTBY", "QI"]),
        ("ERIKSSON", "OLGA", ["ERIKSS0N", "0LGA"]),
    ],
)
def test_the_same_name_written_otherwise(surname: str, given: str, printed: list[str]) -> None:
    assert mrz_name.compare(zone(surname, given), printed) == "confirmed"


@pytest.mark.parametrize(
    ("printed", "match"),
    [
        (["ERIKSSEN", "ANNA MARIA"], "differs"),
        (["ERIKSSON", "ANNE MARIA"], "differs"),
        (["UTOPIA", "PASSPORT", "L898902C3"], "unseen"),
        ([], "unseen"),
    ],
)
def test_another_name_or_none(printed: list[str], match: str) -> None:
    assert mrz_name.compare(zone("ERIKSSON", "ANNA MARIA"), printed) == match


def test_a_short_name_is_not_found_inside_a_word() -> None:
    assert mrz_name.compare(zone("LI", "YU"), ["NATIONALITY", "YUGOSLAVIA"]) != "confirmed"


def test_a_name_cut_off_by_the_line_is_compared_as_far_as_it_goes() -> None:
    long = zone("PAPANDROPOULOUS", "JONATHON ALEXANDER FITZGERALD")
    assert not long.text("name").endswith("<")
    printed = ["PAPANDROPOULOUS", "JONATHON ALEXANDER FITZGERALD"]
    assert mrz_name.compare(long, printed) == "confirmed"


def test_a_lost_filler_between_the_names_is_put_back_by_the_page() -> None:
    lost = zone("ERIKSSON ANNA MARIA", "")
    found = mrz_name.parted(lost, ["Surname", "ERIKSSON", "ANNA MARIA"])
    assert found.names == ("ERIKSSON", "ANNA MARIA") and len(found.lines[0]) == 44
    assert [change.why for change in found.changes] == ["printed"]
    assert mrz_name.parted(lost, ["ERIKSSON ANNA MARIA"]) is lost
