"""Connections, transactions, and events that wait for the commit."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from video_bank.bus import Bus, Event
from video_bank.errors import OperatorError
from video_bank.storage import migrations

# The driver logs every statement with its values when debugging is on; none may reach a log.
logging.getLogger("aiosqlite").setLevel(logging.WARNING)

BUSY_S = 10
"""How long a writer waits for another process's write before it gives up, in seconds."""

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Tx:
    """A write transaction: statements, and events published once it is committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.events: list[tuple[str, Event]] = []

    async def execute(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> CursorResult[Any]:
        """Run a statement; sees what this transaction wrote so far."""
        return await self.connection.execute(statement, parameters)

    def publish(self, topic: str, event: Event) -> None:
        """Publish after the commit; never, if the transaction fails."""
        self.events.append((topic, event))


Reader = AsyncConnection | Tx
"""Anything rows can be read from: a read connection or a running write transaction."""


class Database:
    """The one database of the process."""

    def __init__(self, url: str, bus: Bus) -> None:
        """``url``: ``sqlite:///file`` or ``postgresql://…``; ``bus`` gets the events."""
        self._bus = bus
        self._url = _with_driver(url)
        self._lock = asyncio.Lock()
        if self.dialect == "sqlite":
            self._readers, self._writer = _sqlite(self._url)
        else:
            self._readers, self._writer = _postgresql(self._url)

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._url.get_backend_name()

    async def migrate(self) -> None:
        """Bring the schema to this version's; does nothing when it is there already.

        Raises :class:`OperatorError` when the schema was made by a newer version.
        """
        async with self._lock, self._migrator() as connection:
            await connection.run_sync(migrations.upgrade)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one moment of the database and cannot write."""
        async with self._readers.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        """The write transaction; committed when the block ends, undone when it raises.

        Blocks that run at once wait for each other, so keep slow work (hashing, sending, media)
        outside.  Do not open one inside another.
        """
        async with self._lock:
            async with self._writer.begin() as connection:
                tx = Tx(connection)
                yield tx
        for topic, event_ in tx.events:
            self._bus.publish(topic, event_)

    async def close(self) -> None:
        """Close every connection."""
        await self._readers.dispose()
        if self._writer is not self._readers:
            await self._writer.dispose()

    @asynccontextmanager
    async def _migrator(self) -> AsyncIterator[AsyncConnection]:
        if self.dialect == "postgresql":
            async with self._writer.begin() as connection:
                yield connection
            return
        # SQLite changes a table by building it anew, which foreign keys would forbid; they can
        # be switched off only outside a transaction, so this connection is born without them.
        engine = _sqlite_engine(self._url, "BEGIN IMMEDIATE", foreign_keys=False)
        try:
            async with engine.begin() as connection:
                yield connection
                broken = (await connection.execute(text("PRAGMA foreign_key_check"))).first()
                if broken is not None:
                    raise OperatorError(f"the migration left a broken reference: {broken}")
        finally:
            await engine.dispose()


def _with_driver(url: str) -> URL:
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise OperatorError("an SQLite database needs a file: sqlite:////path/bank.sqlite3")
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise OperatorError(f"database_url: {other} is not supported (sqlite, postgresql)")


def _sqlite(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    readers = _sqlite_engine(url, "BEGIN", query_only=True)
    writer = _sqlite_engine(url, "BEGIN IMMEDIATE", pool_size=1)
    return readers, writer


def _sqlite_engine(
    url: URL,
    begin: str,
    *,
    foreign_keys: bool = True,
    query_only: bool = False,
    pool_size: int = 4,
) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=pool_size, max_overflow=0, hide_parameters=True)

    def connected(connection: Any, _record: object) -> None:
        # The driver must not begin transactions of its own; `began` below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # a committed decision survives a power cut
        cursor.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten in the file
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        cursor.execute(f"PRAGMA query_only = {'ON' if query_only else 'OFF'}")
        cursor.close()

    def began(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", began)
    return engine


def _postgresql(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    # hide_parameters, here as there: an error's text goes to the log, people's data must not.
    engine = create_async_engine(
        url, pool_size=8, max_overflow=8, pool_pre_ping=True, hide_parameters=True
    )
    readers = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    writer = engine.execution_options(isolation_level="READ COMMITTED")

    def began(connection: Connection) -> None:
        # One writer, across all processes: the rules are written once, for one writer.  A writer
        # that hangs loses its transaction, so the others wait at most BUSY_S.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_S}s'")
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{BUSY_S}s'")
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtext('video_bank ' || current_schema()))"
        )

    event.listen(writer.sync_engine, "begin", began)
    return readers, writer
