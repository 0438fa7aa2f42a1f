"""What every database must do."""

import asyncio
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from video_bank.bus import Bus, LocalBus
from video_bank.errors import OperatorError
from video_bank.storage import Database, migrations, now_us
from video_bank.storage.tables import customers, metadata, sessions, staff, timeline


def person(key: str, **values: Any) -> dict[str, Any]:
    row = {
        "id": key,
        "name": key,
        "display_name": "王芳",
        "role": "teller",
        "password_hash": "",
        "created_at": now_us(),
    }
    return row | values


async def count(database: Database) -> int:
    async with database.read() as reader:
        return len((await reader.execute(select(staff.c.id))).all())


async def test_the_migrations_make_the_tables(database: Database) -> None:
    def difference(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.read() as reader:
        assert await reader.run_sync(difference) == []


async def test_migrating_twice_is_migrating_once(database: Database) -> None:
    async with database.write() as tx:
        await tx.execute(staff.insert().values(person("a")))
    await database.migrate()
    assert await count(database) == 1


async def test_a_database_of_the_first_version_keeps_its_rows(database_url: str) -> None:
    older = Database(database_url, LocalBus())
    try:
        async with older._migrator() as connection:
            await connection.run_sync(
                lambda plain: command.upgrade(migrations.settings(plain), "v0001")
            )
            for row in FIRST_ROWS:
                await connection.execute(text(row))
        await older.migrate()
        async with older.read() as reader:
            kept = (await reader.execute(select(sessions))).mappings().one()
            assert (kept["state"], kept["transfer_to"]) == ("talking", None)
            assert (await reader.execute(text("SELECT session_id FROM parts"))).scalar() == "s"
    finally:
        await older.close()


FIRST_ROWS = (
    "INSERT INTO staff (id, name, display_name, role, password_hash, password_one_time, failures,"
    " disabled, skills, created_at) VALUES ('t', 't', 't', 'teller', '', false, 0, false, '[]', 1)",
    "INSERT INTO customers (id, name, created_at) VALUES ('c', 'c', 1)",
    "INSERT INTO sessions (id, customer_id, teller_id, business, language, priority, state,"
    " consent_face, consent_version, created_at, queued_at, passed_over, on_hold) VALUES"
    " ('s', 'c', 't', 'b', 'zh', 0, 'talking', true, '1', 1, 1, '[]', false)",
    "INSERT INTO parts (id, session_id, number, name, kek_id, started_at) VALUES"
    " ('p', 's', 1, 'p', 'k', 1)",
)


async def test_a_newer_schema_is_refused(database: Database) -> None:
    async with database.write() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))
    with pytest.raises(OperatorError, match="v9999"):
        await database.migrate()


async def test_values_come_back_as_they_were(database: Database) -> None:
    values = person(
        "a",
        display_name="阿卜杜拉·𠮷田 😀",
        totp_secret=bytes(range(256)),
        locked_until=2**62,
        skills=["贷款", {"level": 1.5}],
        disabled=True,
    )
    async with database.write() as tx:
        await tx.execute(staff.insert().values(values))
    async with database.read() as reader:
        row = (await reader.execute(select(staff))).mappings().one()
    assert {key: row[key] for key in values} == values
    assert row["password_one_time"] is False


async def test_a_failed_block_leaves_nothing_and_says_nothing(
    database: Database, bus: Bus
) -> None:
    async with bus.subscribe("staff:a") as events:
        with pytest.raises(ZeroDivisionError):
            async with database.write() as tx:
                await tx.execute(staff.insert().values(person("a")))
                tx.publish("staff:a", {"n": 1})
                raise ZeroDivisionError
        await bus.close()
        assert [event async for event in events] == []
    assert await count(database) == 0


async def test_events_come_after_the_commit_in_order(database: Database, bus: Bus) -> None:
    seen = []
    async with bus.subscribe("staff:a") as events:
        async with database.write() as tx:
            await tx.execute(staff.insert().values(person("a")))
            tx.publish("staff:a", {"n": 1})
            tx.publish("staff:a", {"n": 2})
        async for _, event in events:
            seen.append((event["n"], await count(database)))
            if len(seen) == 2:
                break
    assert seen == [(1, 1), (2, 1)]


async def test_a_reader_sees_one_moment(database: Database) -> None:
    async with database.read() as reader:
        assert (await reader.execute(select(staff))).all() == []
        async with database.write() as tx:
            await tx.execute(staff.insert().values(person("a")))
        assert (await reader.execute(select(staff))).all() == []
    assert await count(database) == 1


async def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    async with database.write() as tx:
        await tx.execute(staff.insert().values(person("a")))
        async with asyncio.timeout(2):
            assert await count(database) == 0


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as reader:
            await reader.execute(staff.insert().values(person("a")))
    assert await count(database) == 0


async def test_a_writer_sees_its_own_rows(database: Database) -> None:
    async with database.write() as tx:
        await tx.execute(staff.insert().values(person("a")))
        assert (await tx.execute(select(staff.c.id))).scalars().all() == ["a"]


async def test_references_hold(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as tx:
            await tx.execute(
                sessions.insert().values(
                    id="s",
                    customer_id="nobody",
                    business="loan",
                    language="zh",
                    state="waiting",
                    consent_face=True,
                    consent_version="1",
                    created_at=1,
                    queued_at=1,
                )
            )


@pytest.mark.parametrize("processes", [1, 2])
async def test_writers_come_one_after_another(
    database: Database, database_url: str, processes: int
) -> None:
    """Check-then-act inside one block is safe, also against another process."""
    async with database.write() as tx:
        await tx.execute(staff.insert().values(person("a", failures=0)))
    others = [Database(database_url, LocalBus()) for _ in range(processes - 1)]

    async def count_up(through: Database) -> None:
        async with through.write() as tx:
            failures = (await tx.execute(select(staff.c.failures))).scalar_one()
            await asyncio.sleep(0.002)
            await tx.execute(staff.update().values(failures=failures + 1))

    try:
        await asyncio.gather(*(count_up(each) for each in (database, *others) for _ in range(10)))
    finally:
        for other in others:
            await other.close()
    async with database.read() as reader:
        assert (await reader.execute(select(staff.c.failures))).scalar_one() == 10 * processes


async def test_a_cancelled_writer_lets_the_next_one_in(database: Database) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        async with database.write() as tx:
            await tx.execute(staff.insert().values(person("a")))
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5), database.write() as tx:
        await tx.execute(staff.insert().values(person("b")))
    assert await count(database) == 1


async def test_many_readers_at_once(database: Database) -> None:
    async with database.write() as tx:
        await tx.execute(customers.insert().values(id="c", name=b"x", created_at=1))
    assert await asyncio.gather(*(count(database) for _ in range(40))) == [0] * 40


async def test_a_chain_of_rows_has_no_two_of_one_number(database: Database) -> None:
    row = {"chain": "audit", "seq": 1, "at": 1, "kind": "k", "actor": "a", "data": "{}"}
    with pytest.raises(IntegrityError):
        async with database.write() as tx:
            for _ in range(2):
                await tx.execute(timeline.insert().values(**row, previous="", hash=""))


async def test_a_failed_statement_does_not_tell_its_values(database: Database) -> None:
    """Its text goes to the log."""
    with pytest.raises(IntegrityError) as failed:
        async with database.write() as tx:
            for _ in range(2):
                await tx.execute(staff.insert().values(person("a", password_hash="a secret")))
    assert "a secret" not in str(failed.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/bank"])
def test_what_cannot_keep_the_promises_is_refused(url: str) -> None:
    with pytest.raises(OperatorError):
        Database(url, LocalBus())
