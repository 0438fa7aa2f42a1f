"""The package used alone, from the command line."""

import json
from pathlib import Path

import pytest

from kyc import __main__ as command
from kyc import commands
from kyc.instruments import Instruments


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Commands that need models get the ones the tests have loaded."""
    if "instruments" in request.fixturenames:
        instruments = request.getfixturevalue("instruments")
        monkeypatch.setattr(commands, "load", lambda _: instruments)


def test_setup_names_every_model(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["setup", "--models", str(models_dir)]) == 0
    shown = capsys.readouterr().out
    assert "face_residual" in shown and "YuNet" in shown and "Apache-2.0" in shown


def test_id_card_prints_the_fields(
    instruments: Instruments, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = test_data / "id_cards" / "d13_front_frame.jpg"
    assert command.main(["id-card", str(picture), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["side"], report["reason"]) == ("front", "read")
    assert report["fields"]["id"]["value"] == "371102199002215210"
    assert report["checks"]["checksum"] == "ok"


def test_id_card_without_a_card_says_so(
    instruments: Instruments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "plain.png"), np.full((400, 600, 3), 90, np.uint8))
    assert command.main(["id-card", str(tmp_path / "plain.png"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["side"] is None


def test_match_tells_one_person_from_two(
    instruments: Instruments, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = test_data / "faces"
    names = ("Aaron_Peirsol_0003.jpg", "Aaron_Peirsol_0004.jpg", "Aaron_Sorkin_0001.jpg")
    first, same, other = (str(faces / name) for name in names)
    assert command.main(["match", first, same, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "passed"
    assert command.main(["match", first, other, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "failed" and report["score"] < report["threshold"]


def test_match_takes_a_card_and_a_clip(
    instruments: Instruments, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = str(test_data / "id_cards" / "d18_front_frame.jpg")
    for clip, status in (("d18", 0), ("d20", 1)):
        arguments = ["match", card, str(test_data / "videos" / f"{clip}.mp4"), "--json"]
        assert command.main(arguments) == status
        assert json.loads(capsys.readouterr().out)["verdict"] == ("passed", "failed")[status]


def test_match_measures_a_list_of_pairs(
    instruments: Instruments,
    test_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = (test_data / "faces" / "pairs.csv").read_text("utf-8").splitlines()
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n".join([rows[0], *rows[1:7], *rows[-6:]]) + "\n", "utf-8")
    arguments = ["match", "--pairs", str(pairs), "--dir", str(test_data / "faces"), "--json"]
    assert command.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n"] == 12
    assert report["accuracy"] >= 0.9
    assert report["fmr_95"][0] <= report["fmr"] <= report["fmr_95"][1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["match", "one.jpg"],
        ["match", "--pairs", "pairs.csv"],
        ["match", "--pairs", __file__, "--dir", "."],
        ["report", "--data", "no-such-folder", "--only", "faces"],
        ["id-card", "no-such-file.jpg"],
        ["id-card", __file__],
    ],
)
def test_bad_input_is_said_in_one_line(
    instruments: Instruments, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("kyc: ") and len(said.err.splitlines()) == 1
