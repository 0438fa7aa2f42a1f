"""Travel documents before the camera: specimens, and drawn ones as a webcam sees them."""

import json
from pathlib import Path

import numpy as np
import pytest

from kyc import __main__ as command
from kyc import commands
from kyc.check import Finding, Verdict
from kyc.document import mrz
from kyc.document.page import Paper
from kyc.image import Bgr, decode, jpeg, open_still
from kyc.instruments import Instruments
from kyc.report import papers, webcam
from tests.kyc.conftest import show, still

TODAY = "2026-11-22"


def stills(instruments: Instruments, *pictures: Bgr, today: str = TODAY) -> Finding:
    paper = instruments.open("travel_document", {"today": today})
    assert isinstance(paper, Paper)
    return paper.read_stills(pictures)


@pytest.fixture(scope="module")
def passport() -> tuple[papers.Travel, Bgr]:
    """A drawn passport and a webcam picture of it."""
    chance = np.random.default_rng(8)
    try:
        drawn = papers.travel("TD3", chance)
    except papers.FontMissing as missing:
        pytest.skip(str(missing))
    return drawn, webcam.photograph(drawn.page, chance, webcam.Conditions(share=(0.7, 0.75)))


def test_specimens_are_read_exactly(instruments: Instruments, test_data: Path) -> None:
    """The smallest and the largest; the report reads all of them, and turned as well."""
    folder = test_data / "travel_documents"
    rows = json.loads((folder / "truth.json").read_text("utf-8"))
    chosen = ("mrz_passports_ICAO_Example.png", "passporteye_passport-td2.png")
    for row in (row for row in rows if row["file"] in chosen):
        finding = stills(instruments, open_still(folder / row["file"]))
        assert "|".join(finding.values["mrz"]) == row["mrz"], row["file"]
        assert (finding.verdict, finding.reason) == (Verdict.FAILED, "expired")
        assert finding.values["checks"]["name"] == "confirmed"
        portrait = decode({each.name: each.jpeg for each in finding.pictures}["portrait"])
        assert len(instruments.faces.find(portrait)) == 1


def test_the_command_prints_zone_fields_and_check_digits(
    instruments: Instruments,
    passport: tuple[papers.Travel, Bgr],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "load", lambda _: instruments)
    drawn, picture = passport
    (tmp_path / "page.jpg").write_bytes(jpeg(picture))
    assert command.main(["travel-document", str(tmp_path / "page.jpg"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert tuple(report["mrz"]) == drawn.lines
    assert set(report["check_digits"].values()) <= {"ok", "absent"}
    assert report["fields"]["number"] == {
        "value": drawn.number,
        "confidence": report["fields"]["surname"]["confidence"],
    }
    assert (report["verdict"], report["reason"]) == ("passed", "read")


def test_a_passport_upside_down(
    instruments: Instruments, passport: tuple[papers.Travel, Bgr]
) -> None:
    drawn, picture = passport
    finding, hints = show(
        instruments.open("travel_document", {"today": TODAY}),
        still(np.ascontiguousarray(np.rot90(picture, 2))),
    )
    assert tuple(finding.values["mrz"]) == drawn.lines
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "read")
    assert "turn_document" in hints
    assert finding.values["number"]["value"] == drawn.number
    assert {each.name for each in finding.pictures} >= {"frame", "card"}


def test_a_card_whose_name_is_on_the_other_side(instruments: Instruments) -> None:
    """Zone on the back, name on the front: shown one after the other."""
    chance = np.random.default_rng(21)
    try:
        drawn = papers.travel("TD1", chance)
    except papers.FontMissing as missing:
        pytest.skip(str(missing))
    back, front = drawn.page.copy(), drawn.page.copy()
    back[: drawn.page.shape[0] - 195] = 235
    front[drawn.page.shape[0] - 195 :] = 235
    alone = stills(instruments, back)
    assert tuple(alone.values["mrz"]) == drawn.lines
    # Its number has a 6 among letters, which no sum tells from a G: the front prints that too.
    assert (alone.verdict, alone.reason) == (Verdict.NOT_CHECKED, "ambiguous")
    both = stills(instruments, back, front)
    assert (both.verdict, both.reason) == (Verdict.PASSED, "read")


def test_a_wrong_digit_fails(instruments: Instruments, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document printed with a check digit that is not its own."""
    chance, compose = np.random.default_rng(5), mrz.compose

    def forged(form: mrz.Form, **fields: str) -> tuple[str, ...]:
        first, second = compose(form, **fields)  # type: ignore[arg-type]
        number = "1" if second[0] != "1" else "2"
        return first, number + second[1:]

    monkeypatch.setattr(mrz, "compose", forged)
    try:
        drawn = papers.travel("TD3", chance)
    except papers.FontMissing as missing:
        pytest.skip(str(missing))
    finding = stills(instruments, drawn.page)
    assert finding.verdict is not Verdict.PASSED
    assert finding.reason in ("check_digit_wrong", "ambiguous")


def test_a_resident_card_is_the_wrong_document(instruments: Instruments, test_data: Path) -> None:
    card = open_still(test_data / "id_cards" / "d13_front_frame.jpg")
    finding = stills(instruments, card)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "wrong_document")


def test_nothing_before_the_camera(instruments: Instruments) -> None:
    plain = np.full((720, 1280, 3), 120, np.uint8)
    finding, hints = show(instruments.open("travel_document", {}), still(plain))
    assert set(hints) == {"no_document"}
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "timeout")
