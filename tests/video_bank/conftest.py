"""A bank without its media: settings, database, people."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.buckets import _server, one_proxy, proxy, s3
from video_bank.accounts import Accounts, SignedIn
from video_bank.bus import LocalBus
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.delivery import DemoDelivery
from video_bank.evidence import Timeline
from video_bank.secrets import Secrets
from video_bank.storage import Database

__all__ = ["_server", "one_proxy", "proxy", "s3"]

PASSWORD = "correct horse battery"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings of a server of its own; many may sign in from one address."""
    return replace(Config(data=tmp_path), sign_in_rate=1000, walk_in_rate=1000)


@pytest.fixture
def secrets(config: Config) -> Secrets:
    return Secrets.load_or_create(config.keys)


@pytest.fixture
async def bus() -> AsyncIterator[LocalBus]:
    made = LocalBus()
    yield made
    await made.close()


@pytest.fixture
async def database(config: Config, bus: LocalBus) -> AsyncIterator[Database]:
    made = Database(config.database_url, bus)
    await made.migrate()
    yield made
    await made.close()


@pytest.fixture
async def accounts(
    database: Database, secrets: Secrets, config: Config, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Accounts]:
    monkeypatch.setattr("video_bank.accounts.REFUSAL_S", 0.0)
    made = Accounts(database, secrets, Timeline(), config)
    yield made
    made.close()


@pytest.fixture
def customers(database: Database, secrets: Secrets, config: Config) -> Customers:
    return Customers(database, secrets, Timeline(), config, DemoDelivery())


@pytest.fixture
async def teller(accounts: Accounts) -> SignedIn:
    """Wang Fang, signed in."""
    await accounts.staff.create("wangfang", "王芳", "teller", by="test", password=PASSWORD)
    return await accounts.sign_in("wangfang", PASSWORD, None, "192.0.2.1")


@pytest.fixture
async def admin(accounts: Accounts) -> SignedIn:
    """The administrator, signed in."""
    await accounts.staff.create("admin", "Admin", "admin", by="test", password=PASSWORD)
    return await accounts.sign_in("admin", PASSWORD, None, "192.0.2.2")
