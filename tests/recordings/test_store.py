"""What every store must do: the directory, the bucket before and after a part is moved there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from recordings import LocalStore, PartReader, Status, verify_part
from recordings.s3 import S3Store
from recordings.store import Lock, Store, read_all

from .buckets import new_bucket, new_store
from .parts import DEK, SIGNER, sealed

NO_LOCK = Lock()
Settle = Callable[[], None]


@pytest.fixture(params=["local", "spool", "bucket"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    if kind == "local":
        return LocalStore(tmp_path / "parts", reserve=4096)
    return new_store(new_bucket(request.getfixturevalue("s3")), tmp_path)


@pytest.fixture
def settle(kind: str, store: Store) -> Settle:
    """Bring what was written to where it stays: `bucket` moves it."""

    def move() -> None:
        if kind == "bucket":
            assert isinstance(store, S3Store)
            for name in {name.removesuffix(".close") for name in store.waiting()}:
                store.move(name, NO_LOCK)
            assert not store.waiting() and not any(store.spool.directory.iterdir())

    return move


def write(store: Store, name: str, data: bytes) -> None:
    with contextlib.closing(store.create(name)) as sink:
        for start in range(0, len(data), 7000):
            sink.append(data[start : start + 7000])
        sink.sync()


def test_what_was_written_is_read(store: Store, settle: Settle) -> None:
    data = bytes(range(256)) * 3000
    write(store, "S-1/001.vbr", data)
    settle()
    with contextlib.closing(store.open("S-1/001.vbr")) as source:
        assert source.size() == len(data)
        source.expect([(0, 12), (500_000, 10), (len(data), 5)])
        for offset, length in [
            (0, 1),
            (0, 12),
            (262_000, 1000),
            (700_000, 300_000),
            (500, 768_000),
        ]:
            assert source.read(offset, length) == data[offset : offset + length]
        assert source.read(len(data) - 3, 10) == data[-3:]
        assert source.read(len(data), 10) == source.read(len(data) + 9, 1) == b""
        assert source.read(5, 0) == b""


def test_names_are_listed_sorted(store: Store, settle: Settle) -> None:
    assert store.names() == []
    write(store, "S-2/001.vbr", b"x")
    settle()
    write(store, "S-1/002.vbr", b"y")
    store.put("S-1/002.vbr.close", b"z")
    assert store.names() == ["S-1/002.vbr", "S-1/002.vbr.close", "S-2/001.vbr"]
    assert "S-2/001.vbr" in store.where("S-2/001.vbr")


def test_nothing_is_written_over(store: Store) -> None:
    write(store, "S-1/001.vbr", b"first")
    store.put("S-1/001.vbr.close", b"closed")
    for again in (lambda: store.create("S-1/001.vbr"), lambda: store.put("S-1/001.vbr.close", b"")):
        with pytest.raises(FileExistsError):
            again()
    assert read_all(store, "S-1/001.vbr") == b"first"
    assert read_all(store, "S-1/001.vbr.close") == b"closed"


def test_what_is_not_there(store: Store) -> None:
    for ask in (store.open, store.being_written):
        with pytest.raises(FileNotFoundError):
            ask("S-1/001.vbr")
    assert read_all(store, "S-1/001.vbr") is None
    store.delete("S-1/001.vbr")


def test_a_writer_is_seen(store: Store, settle: Settle) -> None:
    with contextlib.closing(store.create("S-1/001.vbr")) as sink:
        sink.append(b"x")
        assert store.being_written("S-1/001.vbr")
    assert not store.being_written("S-1/001.vbr")
    settle()
    assert not store.being_written("S-1/001.vbr")


def test_what_is_deleted_is_gone_and_the_name_is_free(store: Store, settle: Settle) -> None:
    write(store, "S-1/001.vbr", b"first")
    store.put("S-1/001.vbr.close", b"closed")
    settle()
    store.delete("S-1/001.vbr")
    assert store.names() == ["S-1/001.vbr.close"]
    with pytest.raises(FileNotFoundError):
        store.open("S-1/001.vbr")
    store.delete("S-1/001.vbr.close")
    assert store.names() == []
    write(store, "S-1/001.vbr", b"second")
    settle()
    assert read_all(store, "S-1/001.vbr") == b"second"


def test_what_was_begun_is_discarded(store: Store) -> None:
    write(store, "S-1/001.vbr", b"ringing")
    store.discard("S-1/001.vbr")
    assert store.names() == []


def test_a_lock_is_no_error(store: Store, settle: Settle) -> None:
    """Where there is none, as here, nothing happens."""
    write(store, "S-1/001.vbr", b"first")
    settle()
    store.guard("S-1/001.vbr", Lock(4_000_000_000_000_000, hold=True))
    store.guard("S-1/404.vbr", Lock())
    store.delete("S-1/001.vbr")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", "a//b", "a b"])
def test_a_name_does_not_lead_elsewhere(store: Store, name: str) -> None:
    calls: list[Callable[[str], object]] = [store.create, store.open, store.delete, store.where]
    for call in calls:
        with pytest.raises(ValueError, match="not a name"):
            call(name)


def test_a_sealed_part_opens_and_verifies(store: Store, settle: Settle) -> None:
    part = sealed(records=400, size=9000)
    write(store, "S-1/001.vbr", part)
    settle()
    assert verify_part(store, "S-1/001.vbr", SIGNER.trust(), dek=DEK).status is Status.OK
    reader = PartReader(store.open("S-1/001.vbr"), DEK)
    assert reader.finished and reader.open(reader[0]) == bytes(9000)


def test_many_threads_read_one_part(store: Store, settle: Settle) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(300_000))
    write(store, "S-1/001.vbr", data)
    settle()
    source = store.open("S-1/001.vbr")
    wrong = []

    def read(start: int) -> None:
        for offset in range(start * 1000, len(data), 200_000):
            if source.read(offset, 5000) != data[offset : offset + 5000]:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    source.close()
    assert not wrong
