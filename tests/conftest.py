"""What every test may ask for, and the account of what could not run on this machine."""

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Faces, clips, cards that are not ours to ship: ``VIDEO_BANK_TEST_DATA`` or ../shared/data."""
    for place in (os.environ.get("VIDEO_BANK_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "videos").is_dir():
            return Path(place)
    pytest.skip("no test data: set VIDEO_BANK_TEST_DATA to its folder")


@pytest.fixture(scope="session")
def models(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models `make test` has prepared, or made here."""
    ready = root / "data" / "models"
    if not (ready / ".stamp").exists():
        ready = tmp_path_factory.mktemp("models")
        command = [sys.executable, "-m", "kyc", "setup", "--models", str(ready)]
        subprocess.run(command, cwd=root, check=True, timeout=300)
    return ready


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Debian's Chromium."""
    return _browser("chromium")


@pytest.fixture(scope="session")
def firefox() -> str:
    """Path of Debian's Firefox."""
    return _browser("firefox-esr")


def _browser(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name}: apt-get install {name}")
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name and count what was skipped: a green run says what it did not look at."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")].append(report.nodeid)
    if not reasons:
        terminalreporter.write_line("\nnothing was skipped")
        return
    count = sum(len(names) for names in reasons.values())
    terminalreporter.section(f"{count} not run on this machine")
    for reason, names in sorted(reasons.items()):
        terminalreporter.write_line(f"{reason} ({len(names)}):")
        for name in names:
            terminalreporter.write_line(f"    {name}")
