"""What every bus must do."""

import asyncio

import pytest

from video_bank.bus import LAGGED, Bus, Event, Subscription


async def take(subscription: Subscription, count: int) -> list[tuple[str, Event]]:
    taken: list[tuple[str, Event]] = []
    async with asyncio.timeout(5):
        async for item in subscription:
            taken.append(item)
            if len(taken) == count:
                break
    return taken


async def test_watchers_get_their_topics_in_order(bus: Bus) -> None:
    async with bus.subscribe("queue", "staff:1") as one, bus.subscribe("queue") as other:
        bus.publish("queue", {"n": 1})
        bus.publish("staff:1", {"n": 2})
        bus.publish("staff:2", {"n": 3})
        bus.publish("queue", {"n": 4})
        assert await take(one, 3) == [
            ("queue", {"n": 1}),
            ("staff:1", {"n": 2}),
            ("queue", {"n": 4}),
        ]
        assert await take(other, 2) == [("queue", {"n": 1}), ("queue", {"n": 4})]


async def test_nothing_from_before_or_after(bus: Bus) -> None:
    subscription = bus.subscribe("queue")
    bus.publish("queue", {"n": 1})
    async with subscription:
        bus.publish("queue", {"n": 2})
    bus.publish("queue", {"n": 3})
    assert await take(subscription, 9) == [("queue", {"n": 2})]


async def test_topics_come_and_go(bus: Bus) -> None:
    async with bus.subscribe("queue") as subscription:
        bus.publish("session:1", {"n": 1})
        subscription.add("session:1")
        bus.publish("session:1", {"n": 2})
        subscription.remove("session:1", "never")
        bus.publish("session:1", {"n": 3})
        bus.publish("queue", {"n": 4})
        assert await take(subscription, 2) == [("session:1", {"n": 2}), ("queue", {"n": 4})]


async def test_a_slow_watcher_loses_the_oldest_and_is_told(bus: Bus) -> None:
    async with bus.subscribe("queue") as slow, bus.subscribe("queue") as other:
        for n in range(8):
            bus.publish("queue", {"n": n})
        assert [event["n"] for _, event in await take(other, 8)] == list(range(8))
        for n in range(8, 12):
            bus.publish("queue", {"n": n})
        assert (await take(slow, 1))[0] == (LAGGED, {"dropped": 4})
        assert [event["n"] for _, event in await take(slow, 8)] == list(range(4, 12))
        assert [event["n"] for _, event in await take(other, 4)] == list(range(8, 12))


async def test_what_one_watcher_changes_no_other_sees(bus: Bus) -> None:
    event: Event = {"list": [1]}
    async with bus.subscribe("queue") as one, bus.subscribe("queue") as other:
        bus.publish("queue", event)
        event["list"].append(2)
        (await take(one, 1))[0][1]["list"].append(3)
        assert await take(other, 1) == [("queue", {"list": [1]})]


@pytest.mark.parametrize("value", [object(), b"bytes", float("nan")])
async def test_what_would_not_survive_a_wire_is_refused(bus: Bus, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        bus.publish("queue", {"value": value})


async def test_a_waiting_watcher_wakes(bus: Bus) -> None:
    async with bus.subscribe("queue") as subscription:
        waiting = asyncio.create_task(take(subscription, 1))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bus.publish("queue", {"n": 1})
        assert await waiting == [("queue", {"n": 1})]


async def test_closing_ends_the_watching(bus: Bus) -> None:
    async with bus.subscribe("queue") as subscription:
        waiting = asyncio.create_task(take(subscription, 9))
        await asyncio.sleep(0.01)
        bus.publish("queue", {"n": 1})
        await bus.close()
        assert await waiting == [("queue", {"n": 1})]
