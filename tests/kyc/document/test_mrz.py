"""Machine readable zones: form, sums, and mending that never passes off a wrong line as right."""

import datetime as dt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kyc.document import mrz, mrz_repair

TODAY = dt.date(2026, 11, 22)
SPECIMENS = {
    # Doc 9303 parts 4 to 7, their own examples.
    "TD3": "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<|"
    "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    "TD2": "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<|D231458907UTO7408122F1204159<<<<<<<6",
    "TD1": "I<UTOD231458907<<<<<<<<<<<<<<<|7408122F1204159UTO<<<<<<<<<<<6|"
    "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
    "TD1 long number": "I<UTOD23145890<7349<<<<<<<<<<<|3407127M9507122UTO<<<<<<<<<<<2|"
    "STEVENSON<<PETER<JOHN<<<<<<<<<",
    "MRV-A": "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<|"
    "L8988901C4XXX4009078F96121096ZE184226B<<<<<<",
    "MRV-B": "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<|L8988901C4XXX4009078F9612109<<<<<<<<",
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALNUM = LETTERS + "0123456789"

words = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=3).map(" ".join)


@st.composite
def zones(draw: st.DrawFn) -> mrz.Zone:
    """A zone of any form, as a state would print it."""
    form = draw(st.sampled_from(list(mrz.LAYOUTS)))
    dates = st.dates(dt.date(1930, 1, 1), dt.date(2026, 1, 1)).map(lambda day: f"{day:%y%m%d}")
    longest = 13 if form == "TD1" else 9
    lines = mrz.compose(
        form,
        code=draw(st.sampled_from(mrz.CODES[form])),
        issuer=draw(st.text(LETTERS, min_size=3, max_size=3)),
        names=(draw(words), draw(st.one_of(words, st.just("")))),
        number=draw(st.text(ALNUM, min_size=6, max_size=longest)),
        nationality=draw(st.text(LETTERS, min_size=3, max_size=3)),
        birth=draw(dates),
        sex=draw(st.sampled_from("MF<")),
        expiry=draw(dates),
        optional=draw(st.text(ALNUM, max_size=6)) if form != "TD1" else "",
    )
    zone = mrz.parse(lines)
    assert zone is not None
    return zone


@pytest.mark.parametrize("name", SPECIMENS)
def test_the_specimens_of_the_standard_are_right(name: str) -> None:
    zone = mrz.parse(SPECIMENS[name].split("|"))
    assert zone is not None and zone.valid and zone.form == name.split(" ")[0]
    assert set(zone.check_digits.values()) == {"ok"}


def test_the_fields_of_a_passport() -> None:
    zone = mrz.parse(SPECIMENS["TD3"].split("|"))
    assert zone is not None
    assert zone.fields(TODAY) == {
        "form": "TD3", "code": "P", "issuer": "UTO", "surname": "ERIKSSON",
        "given_names": "ANNA MARIA", "number": "L898902C3", "nationality": "UTO",
        "birth": "1974-08-12", "sex": "F", "expiry": "2012-04-15", "optional": "ZE184226B",
    }  # fmt: skip


def test_a_long_number_runs_on_into_the_optional_data() -> None:
    zone = mrz.parse(SPECIMENS["TD1 long number"].split("|"))
    assert zone is not None and zone.number == "D23145890734"
    assert zone.fields(TODAY)["birth"] == "1934-07-12"


def test_a_date_may_be_known_in_part_only() -> None:
    assert mrz.date("7408<<", 2026) == "1974-08"
    assert mrz.date("74<<<<", 2026) == "1974"
    assert mrz.date("741301", 2026) == mrz.date("740230", 2026) == mrz.date("74<<12", 2026) == ""


def test_a_birth_is_never_put_into_the_future() -> None:
    lines = SPECIMENS["TD2"].replace("7408122", "2612017").split("|")
    zone = mrz.parse(lines)
    assert zone is not None and zone.fields(TODAY)["birth"] == "1926-12-01"


@given(zones())
@settings(max_examples=80, deadline=None)
def test_what_is_composed_is_parsed(zone: mrz.Zone) -> None:
    assert zone.valid
    reading = mrz_repair.read(zone.lines)
    assert reading is not None and reading.zone.lines == zone.lines
    assert not reading.zone.changes


@given(zones(), st.data())
@settings(max_examples=300, deadline=None)
def test_one_wrong_character_under_a_sum_is_never_called_valid(
    zone: mrz.Zone, data: st.DataObject
) -> None:
    """Except one whose value differs by ten or twenty, which no sum modulo ten can see."""
    layout = mrz.LAYOUTS[zone.form]
    summed = {
        (row, column)
        for (row, at), parts in layout.digits.values()
        for row, column in [(row, at), *((r, c) for r, a, b in parts for c in range(a, b))]
    }
    row, column = data.draw(st.sampled_from(sorted(summed)))
    read, made = zone.lines[row][column], data.draw(st.sampled_from(ALNUM + "<"))
    assume((mrz._VALUES[read] - mrz._VALUES[made]) % 10 != 0)
    lines = list(zone.lines)
    lines[row] = lines[row][:column] + made + lines[row][column + 1 :]
    wrong = mrz.parse(lines)
    assert wrong is None or not wrong.valid
    reading = mrz_repair.read(lines)
    if reading is not None and reading.zone.valid:
        # Mended: then to something else than what was read, and it says where.
        assert reading.zone.lines != tuple(lines)
        told = list(reading.zone.lines)
        for change in reversed(reading.zone.changes):
            if change.why != "filler":
                told[change.line] = (
                    told[change.line][: change.column]
                    + change.read
                    + told[change.line][change.column + 1 :]
                )
                assert change.made != change.read
        if all(change.why != "filler" for change in reading.zone.changes):
            assert told == lines


@given(zones(), st.data())
@settings(max_examples=80, deadline=None)
def test_a_guess_at_a_number_needs_the_page(zone: mrz.Zone, data: st.DataObject) -> None:
    """The composite digit weighs the number as its own digit does: it confirms nothing."""
    row, start, end = mrz.LAYOUTS[zone.form].spans["number"]
    column = data.draw(st.integers(start, end - 1))
    made = data.draw(st.sampled_from(ALNUM))
    read = zone.lines[row][column]
    assume((mrz._VALUES[read] - mrz._VALUES[made]) % 10 != 0)
    lines = list(zone.lines)
    lines[row] = lines[row][:column] + made + lines[row][column + 1 :]
    reading = mrz_repair.read(lines)
    if reading is not None and reading.zone.valid:
        guessed = [each for each in reading.zone.changes if each.why == "check_digit"]
        assert not any(each.line == row and start <= each.column < end for each in guessed)


def broken(name: str, line: int, column: int, made: str) -> list[str]:
    lines = SPECIMENS[name].split("|")
    lines[line] = lines[line][:column] + made + lines[line][column + 1 :]
    return lines


@pytest.mark.parametrize("name", SPECIMENS)
def test_zero_and_o_are_told_apart_by_their_place(name: str) -> None:
    lines = SPECIMENS[name].split("|")
    read = [line.replace("O", "0") for line in lines]
    zone = mrz_repair.mend(mrz.LAYOUTS[name.split(" ")[0]], read)  # type: ignore[index]
    assert zone is not None and zone.lines == tuple(lines) and zone.valid
    assert {change.why for change in zone.changes} == {"position"}


def test_what_no_sum_sees_is_unsure_unless_the_page_prints_it() -> None:
    lines = SPECIMENS["MRV-A"].split("|")
    reading = mrz_repair.read(lines)  # the optional data of a visa: 6ZE184226B
    assert reading is not None and reading.zone.check_digits["optional"] == "unsure"
    assert not reading.zone.valid
    reading = mrz_repair.read(lines, {"6ZE184226B"})
    assert reading is not None and reading.zone.valid
    number = mrz.compose(
        "TD3", code="P", issuer="UTO", names=("A", "B"), number="C6G4XK2L1", nationality="UTO",
        birth="740812", sex="F", expiry="320415",
    )  # fmt: skip
    assert mrz.check_digit("C6G4XK2L1") == mrz.check_digit("CGG4XK2L1")
    reading = mrz_repair.read(number)
    assert reading is not None and reading.zone.check_digits["number"] == "unsure"


def test_lost_fillers_are_put_back() -> None:
    first, second = SPECIMENS["TD3"].split("|")
    reading = mrz_repair.read([first.rstrip("<") + "<<<<<", second.replace("<<<<<", "<<<")])
    assert reading is not None and reading.zone.lines == (first, second) and reading.zone.valid
    assert [(c.why, c.made) for c in reading.zone.changes] == [
        ("filler", "<" * 14), ("filler", "<<")
    ]  # fmt: skip


def test_a_date_is_mended_by_two_sums_and_says_so() -> None:
    reading = mrz_repair.read(broken("TD3", 1, 15, "3"))  # 7408122 read as 7438122
    assert reading is not None and not reading.zone.valid  # no such month
    reading = mrz_repair.read(broken("TD3", 1, 16, "B"))  # a letter among digits
    assert reading is not None and reading.zone.valid
    assert [(c.read, c.made, c.why) for c in reading.zone.changes] == [("B", "8", "position")]
    reading = mrz_repair.read(broken("TD3", 1, 17, "7"))  # 7408122 read as 7408722
    assert reading is not None and reading.zone.valid
    assert [(c.read, c.made, c.why) for c in reading.zone.changes] == [("7", "1", "check_digit")]


def test_what_could_be_mended_in_two_ways_is_not() -> None:
    lines = broken("TD3", 1, 18, "7")  # 740812 read as 740817; 240817 has the same sums
    reading = mrz_repair.read(lines)
    assert reading is not None and reading.zone.ambiguous and not reading.zone.valid
    assert reading.zone.lines == tuple(lines)


def test_a_number_is_mended_to_what_the_page_prints_only() -> None:
    lines = broken("TD3", 1, 3, "B")  # L898902C3 read as L89B902C3: 8 and B are alike
    alone = mrz_repair.read(lines)
    assert alone is not None and not alone.zone.valid
    assert alone.zone.check_digits["number"] == "wrong"
    on_page = mrz_repair.read(lines, {"L898902C3", "ERIKSSON"})
    assert on_page is not None and on_page.zone.valid and on_page.zone.number == "L898902C3"
    assert [(c.line, c.column, c.read, c.made) for c in on_page.zone.changes] == [(1, 3, "B", "8")]


def test_other_text_is_no_zone() -> None:
    page = ["UTOPIA", "Date of birth / Date de naissance", "ZE 184226 B", "6222 0212 3456 7890 123"]
    assert mrz_repair.read(page) is None
    assert mrz.parse(["P<UTO"]) is None


def test_the_zone_is_found_among_the_page() -> None:
    page = ["PASSPORT", "L898902C3", "ERIKSSON", *SPECIMENS["TD3"].split("|"), "12"]
    reading = mrz_repair.read(page)
    assert reading is not None and reading.rows == (3, 4)


@pytest.mark.parametrize(("read", "known"), [("ESP", True), ("ES", False), ("D", True)])
def test_a_letter_lost_from_a_state_is_never_called_valid(read: str, known: bool) -> None:
    lines = mrz.compose(
        "TD1", code="I", issuer="ESP", names=("A", "B"), number="048177186", nationality="ESP",
        birth="690218", sex="F", expiry="330301",
    )  # fmt: skip
    lines = (lines[0], lines[1].replace("ESP", read), lines[2])
    found = mrz_repair.read(lines, {"ES", "048177186"})
    assert found is not None and found.zone.valid is known
    assert found.zone.check_digits.get("nationality") == (None if known else "unsure")
