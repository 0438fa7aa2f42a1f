"""The door policy, without sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.guard import Budget, Guard

FRIEND, STRANGER = ("192.0.2.1", 5000), ("198.51.100.9", 6000)
MEDIA = b"\x80\x60\0\1\0\0\0\1" + (7).to_bytes(4, "big") + b"load"
OTHER_MEDIA = MEDIA[:8] + (8).to_bytes(4, "big") + b"load"
CHECK = b"\0\1\0\x08\x21\x12\xa4\x42" + b"t" * 12 + b"\0\6\0\6" + b"ours:theirs"
ANSWER = b"\1\1\0\0\x21\x12\xa4\x42" + b"q" * 12
RECORD = b"\x16\xfe\xfd" + b"\0" * 20


def guard() -> Guard:
    return Guard(
        "ours",
        is_peer=lambda address: address == FRIEND,
        is_transaction=lambda number: number == b"q" * 12,
        is_stream=lambda ssrc: ssrc == 7,
    )


@pytest.mark.parametrize("datagram", [MEDIA, OTHER_MEDIA, CHECK, ANSWER, RECORD])
def test_what_belongs_to_the_call_comes_in(datagram: bytes) -> None:
    assert guard().admits(datagram, FRIEND, 0)


@pytest.mark.parametrize(
    ("datagram", "source", "reason"),
    [
        (b"", FRIEND, "empty"),
        (b"", STRANGER, "empty"),
        (MEDIA, STRANGER, "foreign"),
        (RECORD, STRANGER, "foreign"),
        (CHECK.replace(b"ours", b"hers"), FRIEND, "foreign"),
        (ANSWER[:8] + b"z" * 12, FRIEND, "foreign"),
        (CHECK[:12], FRIEND, "malformed"),
        (b"\x80", FRIEND, "malformed"),
        (MEDIA + b"x" * 3000, FRIEND, "malformed"),
        (RECORD + b"x" * 3000, FRIEND, "oversized"),
        (b"\x40" + b"x" * 30, FRIEND, "unknown"),
        (b"\xff" * 30, FRIEND, "unknown"),
    ],
)
def test_what_does_not_stays_out(datagram: bytes, source: tuple[str, int], reason: str) -> None:
    door = guard()
    assert not door.admits(datagram, source, 0)
    assert door.dropped == {reason: 1}


def test_a_check_may_come_from_anywhere() -> None:
    assert guard().admits(CHECK, STRANGER, 0)


def test_a_flood_of_one_kind_leaves_room_for_the_others() -> None:
    door = guard()
    for flood in (OTHER_MEDIA, CHECK, RECORD, b"\x80\xc8" + b"\0" * 20):
        for _ in range(2000):
            door.admits(flood, FRIEND, 1.0)
    assert door.dropped["flood"] > 6000
    assert all(door.admits(MEDIA, FRIEND, 1.0 + n / 300) for n in range(300))
    for _ in range(20_000):
        door.admits(MEDIA, STRANGER, 2.0)
    assert door.admits(MEDIA, FRIEND, 2.0)


@given(st.binary(max_size=40), st.sampled_from([FRIEND, STRANGER]))
def test_any_bytes(data: bytes, source: tuple[str, int]) -> None:
    assert guard().admits(data, source, 0) in (True, False)


def test_budget() -> None:
    budget = Budget(10, 2)
    assert [budget.spend(0) for _ in range(4)] == [True, True, False, False]
    assert not budget.spend(0.25) and budget.spend(0.5)


def through(door: Guard, now: float) -> bool:
    """Whether a packet of the known stream passes, as the socket asks."""
    if door.credit > 0:
        door.credit -= 1
        return True
    return door.admits(MEDIA, FRIEND, now)


def test_forged_media_does_not_use_up_the_budget_of_the_peer() -> None:
    door = guard()
    for n in range(40_000):
        assert through(door, n / 20_000)
        door.forged(n / 20_000)
    assert sum(through(door, 2.0) for _ in range(9000)) < 3100, "what is authentic is held to it"
