"""Writing and reading one part."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recordings import (
    Damaged,
    Ending,
    LocalStore,
    PartReader,
    Trust,
    container,
    suites,
    verify_part,
)
from recordings.container import Flag, PartWriter, Type

from .parts import DEK, SIGNER, MemorySink, MemorySource, MemoryStore, Wall, header, layout, sealed


def writer(sink: MemorySink, **changes: object) -> PartWriter:
    return PartWriter(sink, header=header(**changes), dek=DEK, signer=SIGNER, wall=Wall())


def trust() -> Trust:
    return SIGNER.trust()


def test_what_was_sealed_opens() -> None:
    sink = MemorySink(bytearray())
    part = writer(sink)
    part.data(1, 5, b"init", Flag.INIT)
    part.event(7, b'{"kind":"joined"}')
    part.checkpoint()
    part.data(2, 9, b"", Flag.KEYFRAME)
    part.finish()
    reader = PartReader(MemorySource(sink.data), DEK)
    assert reader.finished
    assert [record.type for record in reader] == [1, 2, 3, 1, 4, 3, 5]
    assert reader.open(reader[0]) == b"init"
    assert reader.open(reader[1]) == b'{"kind":"joined"}'
    assert reader.open(reader[3]) == b""
    assert [record.sequence for record in reader.select(Type.DATA, 2)] == [3]
    assert sink.closed and sink.syncs == 3  # the checkpoint, before FINAL, FINAL


def test_opens_by_standard_primitives_alone() -> None:
    """A second implementation of FORMAT.md's Keys and Record, in ten lines."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    part = sealed()
    text = part[: 12 + int.from_bytes(part[8:12], "big")]
    digest = hashes.Hash(hashes.SHA256())
    digest.update(text)
    okm = HKDFExpand(hashes.SHA256(), 76, b"VBR1\x01" + digest.finalize()).derive(DEK)
    assert okm[44:] == part[len(text) : len(text) + 32]
    digest = hashes.Hash(hashes.SHA256())
    digest.update(part[: len(text) + 32])
    whole = digest.finalize()
    third = layout(part)[3]
    record = part[third.offset : third.end]
    nonce = (int.from_bytes(okm[32:44], "big") ^ 3).to_bytes(12, "big")
    assert AESGCM(okm[:32]).decrypt(nonce, record[24:], whole + record[:24]) == b"\3" * 60


def test_a_stolen_file_shows_neither_labels_nor_events() -> None:
    sink = MemorySink(bytearray())
    part = writer(sink)
    part.event(1, b'{"kind":"decided","name":"Wang Wei"}')
    part.data(1, 1, b"label of a customer", Flag.INIT)
    part.finish()
    assert b"decided" not in sink.data and b"label" not in sink.data


def test_another_key_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(Damaged, match="key_wrong"):
        PartReader(MemorySource(sealed()), bytes(32))


def test_a_record_in_another_place_does_not_open() -> None:
    part = bytearray(sealed(size=60))
    first, second = layout(part)[:2]
    assert first.length == second.length
    part[first.offset + 24 : first.end] = part[second.offset + 24 : second.end]
    reader = PartReader(MemorySource(part), DEK)
    with pytest.raises(Damaged, match="record_not_openable at record 0"):
        reader.open(reader[0])
    assert reader.open(reader[1]) == b"\1" * 60


def test_no_nonce_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many parts under one data key, ended by faults at every place."""
    used: set[tuple[bytes, bytes]] = set()

    class Spy:
        def __init__(self, key: bytes) -> None:
            self.key, self.inner = key, AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, associated: bytes, /) -> bytes:
            assert (self.key, nonce) not in used
            used.add((self.key, nonce))
            return self.inner.encrypt(nonce, data, associated)

    spied = replace(suites._SEALING[1], aead=Spy)  # type: ignore[arg-type]
    monkeypatch.setitem(suites._SEALING, 1, spied)
    for run in range(1000):
        limit = 200 + run * 7

        def fault(size: int, data: bytes, limit: int = limit) -> int | None:
            return max(0, limit - size) if size + len(data) > limit else None

        sink = MemorySink(bytearray(), fault=fault, reserve=0 if run % 2 else 1 << 20)
        part = None
        try:
            part = writer(sink, part_id=os.urandom(16).hex())
            for number in range(50):
                part.data(1, number, b"x" * 100)
            part.finish()
        except OSError:
            if part is not None and not run % 2:
                part.rescue()
    assert len(used) > 20_000


@pytest.mark.parametrize("limit", [700, 1000, 1023, 2000, 3333, 3400, 3500, 3600, 3700, 3800])
def test_a_full_disk_leaves_a_part_that_verifies(limit: int) -> None:
    """Wherever the medium ends, the reserve completes the torn record and FINAL follows."""

    def fault(size: int, data: bytes) -> int | None:
        return max(0, limit - size) if size + len(data) > limit else None

    store = MemoryStore()
    store.options = {"fault": fault}
    part = PartWriter(store.create("p"), header=header(), dek=DEK, signer=SIGNER, wall=Wall())
    with pytest.raises(OSError):
        for number in range(20):
            part.data(1, number, b"x" * 100)
            if number % 5 == 4:
                part.checkpoint()
        part.finish()
        raise AssertionError("the fault was not met")
    part.rescue()
    verdict = verify_part(store, "p", trust(), dek=DEK)
    assert verdict.ok and verdict.chain == part.chain.hex()
    assert verdict.reason in ("writing_failed", "finished")


def test_without_a_reserve_the_part_stays_unfinished() -> None:
    store = MemoryStore()
    store.options = {"fault": lambda size, data: 10 if size > 1000 else None, "reserve": 0}
    part = PartWriter(store.create("p"), header=header(), dek=DEK, signer=SIGNER)
    with pytest.raises(OSError):
        for number in range(20):
            part.data(1, number, b"x" * 100)
    with pytest.raises(OSError):
        part.rescue()
    assert verify_part(store, "p", trust()).reason == "record_cut"
    assert verify_part(store, "p", trust()).status == "incomplete"


def test_a_failing_sync_ends_the_part() -> None:
    def broken(count: int) -> None:
        if count == 2:
            raise OSError(errno.EIO, "Input/output error")

    store = MemoryStore()
    store.options = {"sync_fault": broken}
    part = PartWriter(store.create("p"), header=header(), dek=DEK, signer=SIGNER)
    part.checkpoint()
    part.data(1, 1, b"x")
    with pytest.raises(OSError):
        part.checkpoint()
    part.rescue()
    assert verify_part(store, "p", trust()).reason == "writing_failed"


def test_many_records_are_signed_and_indexed_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "INDEX_LIMIT", 700)
    store = MemoryStore()
    part = PartWriter(store.create("p"), header=header(), dek=DEK, signer=SIGNER)
    for number in range(5000):
        part.data(1, number, b"x")
    assert part.records - part.signed <= container.LEAVES_LIMIT
    part.finish(Ending.STOPPED)
    verdict = verify_part(store, "p", trust())
    assert verdict.ok and verdict.reason == "stopped"
    source = store.open("p")
    reader = PartReader(source, DEK)
    assert len(reader) == part.records == verdict.records
    assert [record.pack() for record in reader] == [
        record.pack() for record in layout(bytes(source.data))
    ]
    assert len(source.reads) < 40, "the index was not used"
    cut = PartReader(MemorySource(source.data[:-1]), DEK)
    assert len(cut) == len(reader) - 1 and not cut.finished


def test_an_index_that_lies_is_not_believed() -> None:
    part = bytearray(sealed())
    index = next(record for record in layout(part) if record.type == Type.INDEX)
    part[index.offset + 24 + 48 + 9] ^= 1
    reader = PartReader(MemorySource(part), DEK)
    assert [record.pack() for record in reader] == [record.pack() for record in layout(part)]


def test_limits() -> None:
    part = writer(MemorySink(bytearray()))
    part.data(1, 0, bytes(1 << 20))
    with pytest.raises(ValueError):
        part.data(1, 0, bytes((1 << 20) + 1))
    with pytest.raises(struct.error):
        part.data(70_000, 0, b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"part_id": "xyz"},
        {"part_id": "A" * 32},
        {"part": -1},
        {"part": True},
        {"part": "1"},
        {"session": 7},
        {"previous": {}},
        {"previous": {"part_id": "0" * 32, "chain": "0"}},
        {"about": 1.5},
        {"about": {"deep": [1.5]}},
        {"signer": "me"},
        {"about": "x" * 70_000},
    ],
)
def test_headers_that_no_reader_would_take(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        writer(MemorySink(bytearray()), **changes)


class TestLocalStore:
    def test_a_part_is_made_once(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path, reserve=4096)
        sink = store.create("S/1.vbr")
        with pytest.raises(FileExistsError):
            store.create("S/1.vbr")
        sink.append(b"abc")
        assert store.being_written("S/1.vbr")
        sink.close()
        assert not store.being_written("S/1.vbr")
        with pytest.raises(FileExistsError):
            store.create("S/1.vbr")
        assert (tmp_path / "S/1.vbr").stat().st_mode & 0o777 == 0o600

    def test_the_reserve_takes_room_and_gives_it_back(self, tmp_path: Path) -> None:
        before = os.statvfs(tmp_path)
        sink = LocalStore(tmp_path, reserve=64 << 20).create("1.vbr")
        during = os.statvfs(tmp_path)
        assert (before.f_bfree - during.f_bfree) * before.f_frsize > 32 << 20
        sink.append(b"abc")
        sink.close()
        assert (tmp_path / "1.vbr").read_bytes() == b"abc"
        assert [path.name for path in tmp_path.iterdir()] == ["1.vbr"]

    def test_small_objects_are_whole_and_never_replaced(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path)
        store.put("S/1.vbr.close", b"first")
        with pytest.raises(FileExistsError):
            store.put("S/1.vbr.close", b"second")
        assert store.names() == ["S/1.vbr.close"]
        assert store.open("S/1.vbr.close").read(0, 99) == b"first"

    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "", "a//b", "a b", "a\n"])
    def test_names_stay_inside(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError):
            LocalStore(tmp_path).create(name)

    def test_sources_that_nobody_holds_are_closed(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path, reserve=0)
        store.put("1.vbr", sealed())
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            reader = PartReader(store.open("1.vbr"), DEK)
        assert len(os.listdir("/proc/self/fd")) == before + 1
        assert reader.finished

    def test_a_short_write_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sink = LocalStore(tmp_path, reserve=0).create("1.vbr")
        real = os.write
        monkeypatch.setattr("recordings.store.os.write", lambda fd, data: real(fd, data[:4]))
        with pytest.raises(OSError) as caught:
            sink.append(b"0123456789")
        assert caught.value.errno == errno.ENOSPC
        sink.complete()
        sink.close()
        assert (tmp_path / "1.vbr").read_bytes() == b"0123456789"
