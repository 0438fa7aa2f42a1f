"""The models and a running bank for tests that use the product from outside."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.bank import Bank


@pytest.fixture(scope="module")
def bank(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A demo bank; checks get more time than usual because tests share a busy machine."""
    with Bank(tmp_path_factory.mktemp("bank") / "data", models, check_s="240") as running:
        yield running
