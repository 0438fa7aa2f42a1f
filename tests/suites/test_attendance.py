"""Who takes part in a session, and the series of quality, on every database."""

import asyncio

from sqlalchemy import insert

from tests.suites.test_storage import person
from tests.video_bank.test_quality import GOOD
from video_bank.attendance import Attendee, admit, attendees, change, dismiss, seat
from video_bank.quality import Quality
from video_bank.storage import Database, now_us
from video_bank.storage.tables import customers, sessions, staff

SESSION = {
    "id": "s", "customer_id": "c", "teller_id": "t", "business": "identification",
    "language": "zh", "state": "talking", "consent_face": True, "consent_version": "1",
    "created_at": 1, "queued_at": 1,
}  # fmt: skip


async def prepared(database: Database) -> None:
    async with database.write() as tx:
        await tx.execute(insert(staff).values(person("t")))
        await tx.execute(insert(staff).values(person("e") | {"name": "e"}))
        await tx.execute(insert(customers).values(id="c", name=b"-", created_at=now_us()))
        await tx.execute(insert(sessions).values(SESSION))


async def here(database: Database) -> list[str]:
    async with database.read() as reader:
        people = await attendees(reader, "s")
    return [f"{each.role} {each.presence}" for each in people if each.here]


async def test_people_come_and_go_and_come_again(database: Database) -> None:
    await prepared(database)
    expert = Attendee("e", "staff", "expert", "joined", False)
    async with database.write() as tx:
        await seat(tx, "s", Attendee.joined("c", "customer", "customer"))
        await seat(tx, "s", expert, invited_by="t")
    assert await here(database) == ["customer joined"]
    for _ in range(2):
        async with database.write() as tx:
            await admit(tx, "s", "e")
        assert await here(database) == ["customer joined", "expert joined"]
        async with database.write() as tx:
            await dismiss(tx, "s", "e")
        assert await here(database) == ["customer joined"]
        async with database.write() as tx:
            await seat(tx, "s", expert, invited_by="t")
    async with database.write() as tx:
        await seat(tx, "s", Attendee("e", "staff", "supervisor", "listening", True))
        assert await change(tx, "s", "e", presence="whispering")
        assert not await change(tx, "s", "nobody", presence="joined")
    assert await here(database) == ["customer joined", "supervisor whispering"]


async def test_two_at_once_are_one_row(database: Database) -> None:
    await prepared(database)

    async def come() -> None:
        async with database.write() as tx:
            await seat(tx, "s", Attendee.joined("c", "customer", "customer"))

    await asyncio.gather(*(come() for _ in range(5)))
    assert await here(database) == ["customer joined"]


async def test_quality_is_kept_with_the_session(database: Database) -> None:
    await prepared(database)
    async with database.write() as tx:
        await seat(tx, "s", Attendee.joined("c", "customer", "customer"))
    quality = Quality(database)
    for second in range(0, 40, 2):
        quality.take("s", "c", second * 1_000_000, GOOD)
    await quality.finish("s")
    (series,) = await quality.of("s")
    assert series["role"] == "customer"
    assert [point[0] for point in series["points"]] == [0, 10, 20, 30]
    assert series["points"][0][1:] == [4, 1500.0, 0.0, 20.0, 1280, 720, 25.0, 0.0, 0.5]
