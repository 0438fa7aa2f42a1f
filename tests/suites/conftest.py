"""Every backend there is, one after another."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from video_bank.blobs import Blobs, LocalBlobs
from video_bank.bus import Bus, LocalBus
from video_bank.storage import Database

DEFAULT = "postgresql://postgres@127.0.0.1/test"


def postgresql_schema() -> Iterator[str]:
    """A URL into an empty schema of its own, dropped afterwards."""
    url = make_url(os.environ.get("DATABASE_URL", DEFAULT)).set(drivername="postgresql")
    plain = url.render_as_string(hide_password=False)
    name = f"test_{secrets.token_hex(6)}"
    try:
        connection = psycopg.connect(plain, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL: set DATABASE_URL=postgresql://user@host/name")
    with connection:
        connection.execute(f"CREATE SCHEMA {name}")
        try:
            own = url.update_query_dict({"options": f"-csearch_path={name}"})
            yield own.render_as_string(hide_password=False)
        finally:
            connection.execute("SET client_min_messages = warning")
            connection.execute(f"DROP SCHEMA {name} CASCADE")
    connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bank.sqlite3'}"
    else:
        yield from postgresql_schema()


@pytest.fixture(params=["local"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """A bus that holds 8 events for a slow watcher."""
    made = LocalBus(limit=8)
    yield made
    await made.close()


@pytest.fixture
async def database(database_url: str, bus: Bus) -> AsyncIterator[Database]:
    """The database, with its tables."""
    made = Database(database_url, bus)
    await made.migrate()
    yield made
    await made.close()


@pytest.fixture(params=["local"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """Where blobs are kept."""
    return LocalBlobs(tmp_path / "blobs", bytes(32))
