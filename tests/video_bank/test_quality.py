"""The series of quality: put together, bounded, kept."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.video_bank.test_sessions import Bank
from video_bank import quality as module
from video_bank.attendance import Attendee, seat
from video_bank.quality import Quality


@dataclass(frozen=True)
class Measured:
    level: int = 4
    kbps: float = 1500.0
    loss: float = 0.0
    rtt_ms: float | None = 20.0
    width: int = 1280
    height: int = 720
    fps: float = 25.0
    frozen_s: float = 0.0
    sound: float | None = 0.5


GOOD = Measured()
BAD = Measured(0, 100.0, 0.2, None, 320, 180, 5.0, 1.5, None)


async def test_ten_seconds_become_one_point(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    await bank.db.migrate()
    customer = await bank.customer()
    session = await bank.join(customer)
    async with bank.db.write() as tx:
        await seat(tx, session, Attendee.joined(customer, "customer", "customer"))
    quality = Quality(bank.db)
    for second, measure in [(1, GOOD), (3, BAD), (5, GOOD), (7, GOOD), (9, GOOD), (11, BAD)]:
        quality.take(session, customer, second * 1_000_000, measure)
    await quality.write()
    (series,) = await quality.of(session)
    assert (series["participant"], series["role"]) == (customer, "customer")
    assert series["points"] == [[0, 3, 1220.0, 0.04, 20.0, 1280, 720, 21.0, 1.5, 0.5]]
    await quality.finish(session)
    (series,) = await quality.of(session)
    assert series["points"][1] == [10, 0, 100.0, 0.2, None, 320, 180, 5.0, 1.5, None]
    await bank.db.close()


async def test_a_session_is_bounded_and_a_database_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 3)
    bank = Bank(tmp_path)
    quality = Quality(bank.db)  # without tables: every write fails
    for second in range(0, 100, 10):
        quality.take("s", "p", second * 1_000_000, replace(GOOD, kbps=float(second)))
    for _ in range(2):
        with pytest.raises(Exception, match="quality"):
            await quality.write()
    assert [point["kbps"] for point in quality._made] == [0.0, 10.0, 20.0]
    await bank.db.close()
