"""Stills from the command line: each alone, several fused, both sides, poor ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kyc import __main__ as command
from kyc import commands
from kyc.document import still
from kyc.image import Bgr
from kyc.instruments import Instruments
from tests.kyc.document.test_cards import FIELDS, smaller

Cards = Callable[[str], Bgr]


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch, instruments: Instruments) -> None:
    monkeypatch.setattr(commands, "load", lambda _: instruments)


def read(data: Path, capsys: pytest.CaptureFixture[str], *names: str, each: bool = False) -> Any:
    pictures = [str(data / "id_cards" / f"{name}.jpg") for name in names]
    command.main(["id-card", *pictures, "--json", *(["--each"] if each else [])])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return lines if each else lines[0]


def test_each_picture_alone(
    test_data: Path, capsys: pytest.CaptureFixture[str], truth: dict[str, Any]
) -> None:
    front, back = read(test_data, capsys, "p04_front_frame", "p04_back_frame", each=True)
    assert (front["side"], back["side"]) == ("front", "back")
    for report, side in ((front, "front"), (back, "back")):
        assert {name: each["value"] for name, each in report["fields"].items()} == {
            field: truth["p04"][field] for field in FIELDS[side]
        }
        assert all(0 <= each["confidence"] <= 1 for each in report["fields"].values())
    assert front["checks"]["checksum"] == "ok"


def test_both_sides_of_one_card(test_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = read(test_data, capsys, "d13_front_frame", "d13_back_frame")
    assert report["side"] == "both"
    assert set(report["fields"]) == {*FIELDS["front"], *FIELDS["back"]}
    assert report["checks"]["belongs_together"] == "likely"


def test_a_small_card_alone(instruments: Instruments, card: Cards, truth: dict[str, Any]) -> None:
    far = smaller(card("d13_front_clean"), 0.45)
    finding = still.findings(instruments.desk, [far])["front"]
    assert finding.values["id"]["value"] == truth["d13"]["id"]


def test_a_wrong_number_is_shown_but_never_called_valid(
    tmp_path: Path, card: Cards, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = card("d13_front_clean").copy()
    step = (884 - 322) / 18
    a, b, width = int(322 + 14 * step), int(322 + 16 * step), int(step)
    swapped = forged[540:590, a : a + width].copy()
    forged[540:590, a : a + width] = forged[540:590, b : b + width]
    forged[540:590, b : b + width] = swapped
    cv2.imwrite(str(tmp_path / "forged.png"), np.asarray(forged))
    assert command.main(["id-card", str(tmp_path / "forged.png"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"], report["reason"]) == ("failed", "checksum_wrong")
    assert report["checks"]["checksum"] == "wrong"
    assert len(report["fields"]["id"]["value"]) == 18
    assert report["fields"]["id"]["confidence"] <= 0.5
    assert report["fields"]["name"]["value"]
