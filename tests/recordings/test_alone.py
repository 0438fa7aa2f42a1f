"""`verify_recording.py` as an outsider has it: one file, Python, `cryptography`, no more."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from random import Random
from typing import Any

import pytest

from recordings import LocalStore, Trust, verify_part
from tests.vectors.make_recordings import HERE

from .mutations import Spoiler
from .parts import SIGNER, sealed
from .test_verify import linked

FILE = Path(__file__).resolve().parents[2] / "recordings" / "verify_recording.py"
NEEDED = ("cryptography", "cffi", "pycparser")
"`cryptography` and what it is installed with."


class Outsider:
    """The file, copied away from ours, run by a Python that finds nothing else."""

    def __init__(self, directory: Path) -> None:
        self._file = Path(shutil.copy(FILE, directory))
        self._packages = directory / "packages"
        self._packages.mkdir()
        for name in NEEDED:
            self._install(name)
        self._directory = directory

    def _install(self, name: str) -> None:
        try:
            files = metadata.distribution(name).files or []
        except metadata.PackageNotFoundError:
            return
        for top in {Path(file.parts[0]) for file in files if ".." not in file.parts}:
            place = Path(str(metadata.distribution(name).locate_file(str(top))))
            link = self._packages / top.name
            if not link.exists():
                link.symlink_to(place)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        code = (
            "import runpy, sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p];"
            f"sys.path.append({str(self._packages)!r});"
            f"sys.argv = [{str(self._file)!r}, *sys.argv[1:]];"
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        command = [sys.executable, "-I", "-S", "-c", code, *map(str, arguments)]
        return subprocess.run(
            command, cwd=self._directory, capture_output=True, text=True, timeout=100
        )

    def verdicts(self, *paths: Path, trust: Path) -> list[dict[str, Any]]:
        done = self.run(*paths, "--trust", trust, "--json")
        assert done.returncode in (0, 1), done.stderr
        shown: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
        return shown["parts"]


@pytest.fixture(scope="module")
def outsider(tmp_path_factory: pytest.TempPathFactory) -> Outsider:
    return Outsider(tmp_path_factory.mktemp("outsider"))


def without_name(verdict: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in verdict.items() if key != "name"}


def test_nothing_of_ours_is_there(outsider: Outsider) -> None:
    code = "import recordings"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=FILE.parent, capture_output=True, text=True
    )
    assert "ModuleNotFoundError" in done.stderr
    done = outsider.run("--help")
    assert done.returncode == 0 and "--trust" in done.stdout


def test_the_same_verdict_on_every_vector(outsider: Outsider) -> None:
    trust = HERE / "trust.pem"
    found = outsider.verdicts(HERE, trust=trust)
    assert len(found) > 50
    store, keys = LocalStore(HERE), Trust.load(trust)
    for verdict in found:
        ours = verify_part(store, Path(verdict["name"]).name, keys).to_json()
        assert without_name(verdict) == without_name(ours), verdict["name"]


def test_the_same_verdict_on_spoiled_parts(outsider: Outsider, tmp_path: Path) -> None:
    part, other = sealed(records=30, every=5), sealed(records=30, session="S-2", part_id="e" * 32)
    spoiler = Spoiler(part, other, Random(4))
    trust = tmp_path / "trust.pem"
    trust.write_bytes(SIGNER.public_pem())
    for number in range(300):
        (tmp_path / f"{number:03}.vbr").write_bytes(spoiler.spoil().data)
    found = outsider.verdicts(tmp_path, trust=trust)
    assert len(found) == 300
    store = LocalStore(tmp_path)
    for verdict in found:
        ours = verify_part(store, Path(verdict["name"]).name, SIGNER.trust()).to_json()
        assert without_name(verdict) == without_name(ours)


def test_exit_codes(outsider: Outsider, tmp_path: Path) -> None:
    trust = tmp_path / "trust.pem"
    trust.write_bytes(SIGNER.public_pem())
    for number, part in enumerate(linked(3), 1):
        (tmp_path / f"{number}.vbr").write_bytes(part)
    done = outsider.run(tmp_path, "--trust", trust)
    assert (done.returncode, done.stderr) == (0, "")
    assert "session S-1: 3 parts: each part follows the one before it" in done.stdout
    (tmp_path / "2.vbr").unlink()
    done = outsider.run(tmp_path, "--trust", trust)
    assert done.returncode == 1 and "part 2 is missing or given twice" in done.stdout
    assert outsider.run(tmp_path).returncode == 2
    assert outsider.run(tmp_path / "none", "--trust", trust).returncode == 2
    done = outsider.run(tmp_path, "--trust", tmp_path / "1.vbr")
    assert done.returncode == 2 and "no public key" in done.stderr


def test_what_a_file_says_of_itself_does_not_steer_the_terminal(
    outsider: Outsider, tmp_path: Path
) -> None:
    trust = tmp_path / "trust.pem"
    trust.write_bytes(SIGNER.public_pem())
    for number in (1, 2):
        part = sealed(session="S\x9b2J\u202e", part=number)
        (tmp_path / f"{number}.vbr").write_bytes(part)
    done = outsider.run(tmp_path, "--trust", trust)
    assert "session S\N{REPLACEMENT CHARACTER}2J" in done.stdout
    assert "\x9b" not in done.stdout and "\u202e" not in done.stdout
