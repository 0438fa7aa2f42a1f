"""python -m recordings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from recordings import recover
from recordings.__main__ import main

from .mutations import Spoiler
from .parts import SIGNER, STRANGER, MemoryStore, Wall, layout, sealed
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


def test_inspect_needs_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = put(tmp_path / "1.vbr", sealed(signer=STRANGER))
    assert main(["inspect", part, "--records"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["session", "S-1"] in lines and ["previous", "none"] in lines
    assert "1: AES-256-GCM, SHA-256, Ed25519" in out and "ends with FINAL: finished (0)" in out
    # Every record has its line, and the sums are theirs.
    listed = [line for line in lines if line and line[0].isdigit()]
    assert len(listed) == len(layout(sealed())) == 18
    assert "CHECKPOINT over 4 records" in out
    assert "signatures    4, at most 0.400 s of media and 5 records apart" in out
    assert main(["inspect", put(tmp_path / "x", b"no part")]) == 1
    assert main(["inspect", put(tmp_path / "y", sealed()[:-30])]) == 0
    out = capsys.readouterr().out
    assert "has no FINAL" in out and "140 bytes behind the last whole record" in out


def test_inspect_shows_the_closing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore(p=sealed(finish=False)[:-3])
    recover(store, "p", SIGNER, SIGNER.trust(), cause="power loss", by="start-up", wall=Wall())
    part = put(tmp_path / "1.vbr", bytes(store.parts["p"]))
    (tmp_path / "1.vbr.close").write_bytes(store.parts["p.close"])
    assert main(["inspect", part]) == 0
    assert "power loss; by start-up" in capsys.readouterr().out
    (tmp_path / "1.vbr.close").write_bytes(b"VBRC")
    assert main(["inspect", part]) == 0
    assert "is none" in capsys.readouterr().out


def test_inspect_stands_whatever_is_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiler = Spoiler(sealed(), sealed(part_id="e" * 32), Random(5))
    for _ in range(200):
        part = put(tmp_path / "1.vbr", spoiler.spoil().data)
        assert main(["inspect", part, "--records"]) in (0, 1)
    capsys.readouterr()


def test_as_a_program(tmp_path: Path, trust: str) -> None:
    part = put(tmp_path / "1.vbr", sealed())
    command = [sys.executable, "-m", "recordings", "verify", part, "--trust", trust]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
