"""Closing parts that a crash cut."""

from __future__ import annotations

import pytest

from recordings import Closing, LocalStore, RecoveryRefused, Status, recover, verify_part
from recordings.container import Type
from recordings.store import Store

from .parts import DEK, SIGNER, STRANGER, MemoryStore, Wall, layout, of_type, sealed

TRUST = SIGNER.trust()
PART = sealed(records=30, finish=False)


def close(store: Store, **options: object) -> Closing | None:
    return recover(
        store,
        "p",
        SIGNER,
        TRUST,
        cause="the server was killed",
        by="start-up",
        wall=Wall(),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("cut", [0, 1, 23, 24, 25, 50, 80, 120])
def test_a_cut_part_is_closed_and_not_touched(cut: int) -> None:
    part = PART[: len(PART) - cut]
    store = MemoryStore(p=part)
    closing = close(store, dek=DEK)
    assert closing is not None and store.parts["p"] == part
    found = verify_part(store, "p", TRUST)
    assert (found.status, found.reason) == (Status.RECOVERED, "recovered")
    assert found.chain == closing.chain and found.records == closing.records
    assert found.closing is not None and found.closing["cause"] == "the server was killed"
    assert close(store) == closing, "a second time changes nothing"


def test_a_finished_part_needs_no_closing() -> None:
    store = MemoryStore(p=sealed())
    assert close(store) is None and store.names() == ["p"]


def test_a_part_that_is_written_is_left_alone() -> None:
    store = MemoryStore(p=PART)
    store.live.add("p")
    with pytest.raises(RecoveryRefused, match="being written"):
        close(store)


def test_nobody_vouches_for_a_tampered_part() -> None:
    part = bytearray(PART)
    part[layout(PART)[2].end - 1] ^= 1
    with pytest.raises(RecoveryRefused, match="record_altered"):
        close(MemoryStore(p=bytes(part)))


def test_nobody_vouches_for_a_part_without_a_preamble() -> None:
    with pytest.raises(RecoveryRefused, match="preamble_cut"):
        close(MemoryStore(p=PART[:100]))


def test_with_the_key_the_unsigned_end_must_open() -> None:
    last = of_type(PART, Type.DATA)[-1]
    assert last.sequence > of_type(PART, Type.CHECKPOINT)[-1].sequence
    part = bytearray(PART)
    part[last.end - 1] ^= 1
    store = MemoryStore(p=bytes(part))
    closing = close(store, dek=DEK)
    assert closing is not None and closing.opened and closing.records == last.sequence
    assert verify_part(store, "p", TRUST).status is Status.RECOVERED
    store = MemoryStore(p=bytes(part))
    closing = close(store)
    assert closing is not None and not closing.opened
    assert closing.records == len(layout(PART))
    with pytest.raises(RecoveryRefused):
        close(MemoryStore(p=PART), dek=bytes(32))


def test_every_byte_counts_after_closing() -> None:
    store = MemoryStore(p=PART[:-10])
    close(store)
    good = bytes(store.parts["p"]), bytes(store.parts["p.close"])
    tail = len(good[0]) - 200
    for place in [*range(0, 400, 7), *range(tail, len(good[0]))]:
        part = bytearray(good[0])
        part[place] ^= 4
        store.parts["p"] = part
        assert verify_part(store, "p", TRUST).status is Status.TAMPERED, place
    store.parts["p"] = good[0]
    for place in range(len(good[1])):
        closing = bytearray(good[1])
        closing[place] ^= 4
        store.parts["p.close"] = closing
        found = verify_part(store, "p", TRUST)
        assert (found.status, found.reason) == (Status.TAMPERED, "closing_wrong"), place


@pytest.mark.parametrize("change", [b"", b"\0", b"more"])
def test_neither_cut_nor_grown_after_closing(change: bytes) -> None:
    store = MemoryStore(p=PART)
    close(store)
    store.parts["p"] = PART + change if change else PART[:-1]
    assert verify_part(store, "p", TRUST).reason == "closing_wrong"


def test_a_closing_is_for_one_part_and_from_a_known_signer() -> None:
    store, other = MemoryStore(p=PART), MemoryStore(p=sealed(part_id="e" * 32, finish=False))
    close(store)
    other.parts["p.close"] = store.parts["p.close"]
    assert verify_part(other, "p", TRUST).reason == "closing_wrong"
    store = MemoryStore(p=PART)
    recover(store, "p", STRANGER, TRUST, cause="", by="")
    assert verify_part(store, "p", TRUST).reason == "closing_wrong"


def test_a_closing_beside_a_finished_part_means_nothing() -> None:
    store = MemoryStore(p=PART)
    close(store)
    store.parts["p"] = sealed(records=30)
    assert verify_part(store, "p", TRUST).status is Status.OK


def test_a_live_file_is_locked(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = LocalStore(tmp_path_factory.mktemp("parts"), reserve=0)
    sink = store.create("p")
    sink.append(PART)
    with pytest.raises(RecoveryRefused, match="being written"):
        close(store)
    sink.close()
    assert close(store) is not None
    assert verify_part(store, "p", TRUST).status is Status.RECOVERED
