"""A bank with short patience, shared by all tests that leave it running."""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.people import Branch
from tests.interop.bank import Bank

SETTINGS = {
    "ring_s": "4",
    "teller_gone_s": "8",
    "customer_gone_s": "60",
    "check_s": "30",
    "sign_in_rate": "10000",
    "walk_in_rate": "10000",
}
"""Robots come faster than people, and tests wait less long."""


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of 24 MiB at a directory; skips where none can be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "recordings", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no small disk: mounting one needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="session")
def bank(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A demo bank."""
    with Bank(tmp_path_factory.mktemp("bank") / "data", models, **SETTINGS) as running:
        yield running


@pytest.fixture(scope="session")
def no_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For banks whose checks are not the question: without models, they answer "not checked"."""
    return tmp_path_factory.mktemp("no-models")


@pytest.fixture
async def branch(bank: Bank) -> AsyncIterator[Branch]:
    """Nobody yet; who comes in a test is gone after it."""
    async with Branch(bank) as people:
        yield people
