"""python -m recordings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recordings.__main__ import main

from .parts import SIGNER, STRANGER, layout, sealed
from .test_verify import linked

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trust(tmp_path: Path) -> str:
    path = tmp_path / "trust.pem"
    path.write_bytes(SIGNER.public_pem())
    return str(path)


def put(path: Path, part: bytes) -> str:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(part)
    return str(path)


def test_ok(tmp_path: Path, trust: str, capsys: pytest.CaptureFixture[str]) -> None:
    part = put(tmp_path / "any name.bin", sealed())
    assert main(["verify", part, "--trust", trust]) == 0
    assert capsys.readouterr().out == f"{part}: ok (18 records, 1.100 s)\n"


def test_what_is_wrong_is_said(
    tmp_path: Path, trust: str, capsys: pytest.CaptureFixture[str]
) -> None:
    part = bytearray(sealed())
    part[layout(bytes(part))[6].end - 1] ^= 1
    path = put(tmp_path / "1.vbr", bytes(part))
    assert main(["verify", path, "--trust", trust]) == 1
    out = capsys.readouterr().out
    assert "tampered: record_altered at record 6, 0.500 s" in out
    assert "signed to record 5" in out
    assert main(["verify", put(tmp_path / "2.vbr", sealed()[:-1]), "--trust", trust]) == 1
    assert "incomplete: record_cut" in capsys.readouterr().out


def test_a_directory_and_its_session(
    tmp_path: Path, trust: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, part in enumerate(linked(3), 1):
        put(tmp_path / "rec" / "S-1" / f"{number}.vbr", part)
    assert main(["verify", str(tmp_path / "rec"), "--trust", trust, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert [part["status"] for part in out["parts"]] == ["ok"] * 3
    assert out["sessions"] == [{"session": "S-1", "ok": True, "problems": []}]
    (tmp_path / "rec" / "S-1" / "2.vbr").unlink()
    assert main(["verify", str(tmp_path / "rec"), "--trust", trust]) == 1
    assert "part 2 is missing or given twice" in capsys.readouterr().out


def test_wrong_use(tmp_path: Path, trust: str, capsys: pytest.CaptureFixture[str]) -> None:
    part = put(tmp_path / "1.vbr", sealed())
    assert main(["verify", str(tmp_path / "none.vbr"), "--trust", trust]) == 2
    assert main(["verify", part, "--trust", part]) == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["verify", str(empty), "--trust", trust]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["verify", part])
    assert caught.value.code == 2
    capsys.readouterr()


def test_inspect_needs_no_key(
    tmp_path: Path, trust: str, capsys: pytest.CaptureFixture[str]
) -> None:
    part = put(tmp_path / "1.vbr", sealed(signer=STRANGER))
    assert main(["inspect", part, "--records"]) == 0
    out = capsys.readouterr().out
    assert '"session": "S-1"' in out and "ends with FINAL" in out and "CHECKPOINT" in out
    assert main(["inspect", put(tmp_path / "x", b"no part")]) == 1
    assert main(["inspect", put(tmp_path / "y", sealed()[:-30])]) == 0
    assert "has no FINAL, 140 bytes behind" in capsys.readouterr().out


def test_as_a_program(tmp_path: Path, trust: str) -> None:
    part = put(tmp_path / "1.vbr", sealed())
    command = [sys.executable, "-m", "recordings", "verify", part, "--trust", trust]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
