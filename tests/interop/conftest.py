"""The models and a running bank for tests that use the product from outside."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.bank import Bank


@pytest.fixture(scope="session")
def models(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models `make test` has prepared, or made here."""
    ready = root / "data" / "models"
    if not (ready / ".stamp").exists():
        ready = tmp_path_factory.mktemp("models")
        command = [sys.executable, "-m", "kyc", "setup", "--models", str(ready)]
        subprocess.run(command, cwd=root, check=True, timeout=300)
    return ready


@pytest.fixture(scope="module")
def bank(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A demo bank; checks get more time than usual because tests share a busy machine."""
    with Bank(tmp_path_factory.mktemp("bank") / "data", models, check_s="120") as running:
        yield running
