"""The probe's command line: what it prints and answers when there is no server to talk to."""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

FIELDS = {
    "session", "connected_ms", "first_picture_ms", "video", "id_card", "face_match", "liveness",
    "checks", "decision", "recording", "errors",
}  # fmt: skip


def probe(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "video_bank.probe", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


def test_no_server_is_said_in_the_report(root: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.png"
    Image.new("RGB", (320, 200), (90, 120, 150)).save(card)
    answer = probe(
        root, "--server", "http://127.0.0.1:9", "--teller", "t", "--password", "p",
        "--customer-video", str(card), "--id-front", str(card), "--id-back", str(card), "--json",
    )  # fmt: skip
    assert answer.returncode == 1
    assert answer.stderr == ""
    report = json.loads(answer.stdout)
    assert set(report) == FIELDS
    assert report["session"] is None and report["recording"]["verdict"] is None
    assert report["face_match"]["verdict"] == report["liveness"]["verdict"] == "not checked"
    assert len(report["errors"]) == 1 and "127.0.0.1" in report["errors"][0]


def test_a_missing_file_is_named(root: Path, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.mp4")
    answer = probe(
        root, "--server", "http://127.0.0.1:9", "--teller", "t", "--password", "p",
        "--customer-video", absent, "--id-front", absent, "--id-back", absent,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "absent.mp4" in json.loads(answer.stdout)["errors"][0]


def test_a_wrong_address_is_refused(root: Path) -> None:
    answer = probe(
        root, "--server", "localhost", "--teller", "t", "--password", "p",
        "--customer-video", "a", "--id-front", "b", "--id-back", "c",
    )  # fmt: skip
    assert answer.returncode == 2
    assert "--server" in answer.stderr
