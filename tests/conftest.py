"""What every test may ask for, how the suite is split, and the account of what could not run."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
"Processes for the whole suite under ``-n auto``; more would measure each other."
TOGETHER = ("tests/faults", "tests/interop", "tests/kyc", "tests/network")
"Packages whose tests share what takes long to start: each runs in one process."
TURN = os.open(__file__, os.O_RDONLY)
"""Locked by tests of a split suite: shared, or by one that wants the machine to itself."""


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


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite is split; chosen tests run in this process, and print as they go."""
    return WORKERS if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Files go to whichever process is free, packages of TOGETHER as one, in their order."""
    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = _share
    return scheduler


def _share(test: str) -> str:
    file = PurePosixPath(test.partition("::")[0])
    return next((name for name in TOGETHER if file.is_relative_to(name)), str(file))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants the machine to itself comes last; else as written, in every process the same."""
    late = {_share(item.nodeid) for item in items if _alone(item)}

    def place(item: pytest.Item) -> tuple[bool, bool, Path, int, str]:
        # The name: parameters taken from a set come in an order of each process's own.
        line = item.location[1] or 0
        return _share(item.nodeid) in late, _alone(item), item.path, line, item.name

    items.sort(key=place)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the timeout: waiting is not the test's
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """In a split suite nothing runs beside tests that measure, or drive a browser."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    fcntl.flock(TURN, fcntl.LOCK_EX if _alone(item) else fcntl.LOCK_SH)
    try:
        return (yield)
    finally:
        # A file's browsers may run on until its last test.
        if not _alone(item) or nextitem is None or nextitem.path != item.path:
            fcntl.flock(TURN, fcntl.LOCK_UN)


def _alone(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("alone", "browser"))


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
        for name in sorted(names):
            terminalreporter.write_line(f"    {name}")
