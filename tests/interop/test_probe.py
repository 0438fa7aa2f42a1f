"""A whole session by the robots, against the real server, with a real face and real cards."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.bank import Bank

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(420)]


def session(bank: Bank, root: Path, data: Path, face: str, card: str) -> tuple[int, dict[str, Any]]:
    """Run the probe; its exit status and report."""
    teller = bank.accounts["teller"]
    answer = subprocess.run(
        [
            sys.executable, "-m", "video_bank.probe", "--server", bank.url,
            "--teller", teller.name, "--password", teller.password,
            "--customer-video", str(data / "videos" / f"{face}.mp4"),
            "--id-front", str(data / "id_cards" / f"{card}_front_frame.jpg"),
            "--id-back", str(data / "id_cards" / f"{card}_back_frame.jpg"),
        ],
        cwd=root, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    print(answer.stderr, answer.stdout, bank.log[-3000:], sep="\n")
    report: dict[str, Any] = json.loads(answer.stdout)
    return answer.returncode, report


def truth(data: Path, card: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = json.loads((data / "id_cards" / "truth.json").read_text("utf-8"))
    return {row["card"]: row for row in rows}[card]


def test_own_card(bank: Bank, root: Path, test_data: Path) -> None:
    status, report = session(bank, root, test_data, "d13", "d13")
    assert report["errors"] == []
    assert status == 0
    assert report["connected_ms"] < 10_000 and report["first_picture_ms"] < 15_000
    assert (report["video"]["width"], report["video"]["height"]) == (1280, 720)
    assert report["video"]["fps"] > 20
    known = truth(test_data, "d13")
    for name in ("name", "sex", "nation", "address", "id", "authority", "valid"):
        assert report["id_card"][name] == known[name], name
    assert report["face_match"]["verdict"] == "passed"
    assert report["face_match"]["score"] >= report["face_match"]["threshold"]
    # A canned video cannot follow prompts nobody knew when it was made.
    assert report["liveness"]["verdict"] != "passed"
    assert report["decision"] == "refused"
    recording = report["recording"]
    assert recording["verdict"] == "ok" and recording["paths"]
    verify = [sys.executable, "-m", "recordings", "verify", *recording["paths"]]
    verify += ["--trust", recording["trust"]]
    checked = subprocess.run(verify, cwd=root, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_somebody_elses_card(bank: Bank, root: Path, test_data: Path) -> None:
    status, report = session(bank, root, test_data, "d13", "d9")
    assert status == 0
    assert report["id_card"]["id"] == truth(test_data, "d9")["id"]
    assert report["face_match"]["verdict"] == "failed"
    assert report["face_match"]["score"] < report["face_match"]["threshold"]
    assert report["decision"] == "refused"
