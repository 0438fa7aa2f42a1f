"""The way of a part from the spool to the bucket, when everything goes wrong on it."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.recordings import write
from recordings import PartReader, Status, WebmView, bucket, recover, s3, verify_part
from recordings.bucket import BucketError, Locked
from recordings.keys import FileSigner
from recordings.s3 import S3Store
from recordings.store import LocalStore, Lock, read_all

from .buckets import ROOT, Proxy, Server, behind, new_bucket, new_store
from .parts import SIGNER, sealed

NAME = "S-1/001.vbr"
PIECE = 65_536
DATA = random.Random(4).randbytes(3 * PIECE + 5000)
KILLS = int(os.environ.get("S3_KILLS", "1"))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of 200 KB goes in four pieces, as one of 30 MB does otherwise."""
    for module in (bucket, s3):
        monkeypatch.setattr(module, "PIECE", PIECE)


@pytest.fixture
def store(server: Server, proxy: Proxy, tmp_path: Path) -> S3Store:
    """A store that asks its bucket through the proxy, with one part in its spool."""
    store = new_store(behind(proxy, new_bucket(server), server), tmp_path)
    store.spool.put(NAME, DATA)
    return store


def direct(store: S3Store, server: Server, tmp_path: Path) -> S3Store:
    """The same bucket without the proxy, and nothing in the spool."""
    other = new_bucket(server, store.bucket.mode)
    other.prefix = store.bucket.prefix
    return new_store(other, tmp_path / "direct")


def held(store: S3Store) -> bytes | None:
    return read_all(store, NAME, len(DATA) + 1)


def versions(store: S3Store) -> int:
    """How often the part is in the bucket, old versions among it."""
    key = {"Bucket": store.bucket.name, "Prefix": store.bucket.prefix + NAME}
    return len(store.bucket._client.list_object_versions(**key).get("Versions", []))


def test_a_part_goes_in_pieces(store: S3Store, proxy: Proxy) -> None:
    store.move(NAME, Lock())
    assert proxy.seen["PUT"] == 4 and proxy.seen["POST"] == 2
    assert held(store) == DATA and not store.waiting()


@pytest.mark.parametrize(
    ("fault", "methods", "least"),
    [("lost", "HEAD GET PUT POST", 10), ("cut", "PUT POST", 4)],
)
def test_an_end_at_any_request_is_made_good(
    fault: str, methods: str, least: int, store: S3Store, proxy: Proxy
) -> None:
    """As if the server was killed there: what comes after knows only the spool and the bucket.

    `lost`: the request at which it ends arrived, and nobody heard the answer. `cut`: it did not.
    """
    data = DATA[: PIECE + 1000]
    for end in range(99):
        store.delete(NAME)
        store.spool.put(NAME, data)
        count = 0

        def ending(method: str, path: str, end: int = end) -> str | None:
            nonlocal count
            count += method in methods
            return None if count <= end else fault if count == end + 1 else "503"

        proxy.fault = ending
        try:
            S3Store(store.spool, store.bucket).move(NAME, Lock())
        except BucketError as error:
            assert error.reason in ("unreachable", "busy")
            assert store.spool.names() == [NAME], "not deleted before it was read back"
        else:
            break
        proxy.fault = lambda method, path: None
        S3Store(store.spool, store.bucket).move(NAME, Lock())
        assert read_all(store, NAME, len(DATA)) == data and versions(store) == 1
        assert not store.waiting()
    assert end >= least, "as many as there are requests"


def test_pieces_that_are_there_are_not_sent_again(store: S3Store, proxy: Proxy) -> None:
    proxy.fault = lambda method, path: "cut" if "partNumber=3" in path else None
    with pytest.raises(BucketError, match="unreachable"):
        store.move(NAME, Lock())
    proxy.fault = lambda method, path: None
    proxy.seen.clear()
    store.move(NAME, Lock())
    assert proxy.seen["PUT"] == 2 and held(store) == DATA


def test_pieces_of_something_else_are_sent_again(store: S3Store, proxy: Proxy) -> None:
    proxy.fault = lambda method, path: "cut" if "partNumber=4" in path else None
    with pytest.raises(BucketError):
        store.move(NAME, Lock())
    other = DATA[: PIECE + 1] + b"!" + DATA[PIECE + 2 :]
    store.spool.delete(NAME)
    store.spool.put(NAME, other)
    proxy.fault = lambda method, path: None
    proxy.seen.clear()
    store.move(NAME, Lock())
    assert proxy.seen["PUT"] == 2 and held(store) == other


def test_twenty_times_busy(store: S3Store, proxy: Proxy) -> None:
    busy = iter(["503"] * 20)
    proxy.fault = lambda method, path: next(busy, None)
    for _ in range(20):
        with pytest.raises(BucketError, match="busy"):
            store.move(NAME, Lock())
        assert held(store) == DATA, "read from the spool meanwhile"
    store.move(NAME, Lock())
    assert held(store) == DATA and not store.waiting()


def test_a_slow_bucket_holds_up_nobody(store: S3Store, proxy: Proxy) -> None:
    proxy.delay_s = 0.15
    moving = threading.Thread(target=store.move, args=(NAME, Lock()))
    moving.start()
    while proxy.seen.total() < 2:
        time.sleep(0.005)
    with contextlib.closing(store.create("S-2/001.vbr")) as sink:
        for _ in range(50):
            sink.append(b"x" * 1000)
        sink.sync()
    assert moving.is_alive(), "it goes on beside"
    moving.join()
    assert set(store.waiting()) == {"S-2/001.vbr"} and held(store) == DATA


def test_no_bucket_no_server_no_credentials(
    store: S3Store, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says what it is; the part stays, and can be read and written as before."""
    nowhere = bucket.Bucket("b", endpoint="http://127.0.0.1:9", credentials=server.credentials)
    missing = bucket.Bucket(
        "no-such-bucket", endpoint=server.endpoint, credentials=server.credentials
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "empty").touch()
    nobody = bucket.Bucket("b", endpoint=server.endpoint, credentials=tmp_path / "empty")
    for each, reason in [(nowhere, "unreachable"), (missing, "no_bucket"), (nobody, "refused")]:
        lost = S3Store(store.spool, each)
        with pytest.raises(BucketError) as caught:
            lost.move(NAME, Lock())
        assert caught.value.reason == reason
        assert held(lost) == DATA
        lost.create(f"S-{reason}/001.vbr").close()


def test_a_taken_name_is_not_written_over(
    store: S3Store, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    for other in (DATA[:-1], DATA[:-1] + b"!", b"small"):
        theirs = direct(store, server, tmp_path)
        theirs.spool.put(NAME, other)
        theirs.move(NAME, Lock())
        with pytest.raises(BucketError, match="differs"):
            store.move(NAME, Lock())
        assert held(store) == DATA and held(theirs) == other and versions(store) == 1
        theirs.delete(NAME)


def test_two_at_once_make_one(store: S3Store, server: Server, proxy: Proxy, tmp_path: Path) -> None:
    """Somebody else completes the same name while ours is under way: If-None-Match sees it."""
    theirs = direct(store, server, tmp_path)
    theirs.spool.put(NAME, b"quicker")

    def overtaking(method: str, path: str) -> str | None:
        if method == "POST" and "uploadId" in path and theirs.waiting():
            theirs.move(NAME, Lock())
        return None

    proxy.fault = overtaking
    with pytest.raises(BucketError, match="differs"):
        store.move(NAME, Lock())
    assert held(theirs) == b"quicker" and versions(store) == 1 and store.waiting()
    uploads = theirs.bucket._client.list_multipart_uploads(Bucket=theirs.bucket.name)
    assert not [each for each in uploads.get("Uploads", []) if each["Key"].endswith(NAME)]


def test_what_comes_back_different_is_not_believed(store: S3Store, proxy: Proxy) -> None:
    proxy.fault = lambda method, path: "flip" if method == "GET" and "?" not in path else None
    with pytest.raises(BucketError, match="differs"):
        store.move(NAME, Lock())
    assert store.spool.names() == [NAME]


def test_a_part_being_written_is_not_moved(store: S3Store) -> None:
    with contextlib.closing(store.create("S-2/001.vbr")):
        with pytest.raises(OSError, match="being written"):
            store.move("S-2/001.vbr", Lock())
    with pytest.raises(FileNotFoundError):
        store.move("S-3/001.vbr", Lock())


def test_it_stops_between_pieces(store: S3Store, proxy: Proxy) -> None:
    asked = iter([False, False, True])
    with pytest.raises(BucketError, match="stopped"):
        store.move(NAME, Lock(), lambda: next(asked))
    assert proxy.seen["PUT"] == 2
    store.move(NAME, Lock())
    assert proxy.seen["PUT"] == 4


def test_a_reader_goes_on_while_the_part_moves(store: S3Store, proxy: Proxy) -> None:
    source = store.open(NAME)
    assert source.read(10, 100) == DATA[10:110] and not proxy.seen
    store.move(NAME, Lock())
    assert source.size() == len(DATA) and source.read(70_000, 100) == DATA[70_000:70_100]
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    files = [os.readlink(link) for link in links if os.path.lexists(link)]
    assert not [file for file in files if file.endswith("001.vbr (deleted)")], "its room is free"
    source.close()


def test_little_is_fetched_and_less_is_kept(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "BLOCK", 10_000)
    monkeypatch.setattr(s3, "AHEAD", 1)
    monkeypatch.setattr(s3, "KEPT_BLOCKS", 5)
    store.move(NAME, Lock())
    proxy.seen.clear()
    source = store.open(NAME)
    for start, gets in [(25_000, 1), (25_100, 1), (29_990, 2), (5_000, 3), (25_000, 3)]:
        assert source.read(start, 20) == DATA[start : start + 20]
        assert proxy.seen["GET"] == gets
    for start in range(0, len(DATA), 9_000):
        assert source.read(start, 9_000) == DATA[start : start + 9_000]
        assert len(store._blocks._kept) <= 5


def test_who_goes_on_gets_more_at_once(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "BLOCK", 1_000)
    store.move(NAME, Lock())
    source = store.open(NAME)
    proxy.seen.clear()
    for start in range(50_000, 100_000, 800):  # with gaps, as of one stream among others
        assert source.read(start, 500) == DATA[start : start + 500]
    assert proxy.seen["GET"] <= 5


def test_what_is_expected_comes_together(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty places, a tenth of a second each: not two seconds."""
    monkeypatch.setattr(s3, "BLOCK", 1_000)
    store.move(NAME, Lock())
    source = store.open(NAME)
    proxy.seen.clear()
    proxy.delay_s = 0.1
    spans = [(start, 30) for start in range(100, 190_000, 9_000)]
    begun = time.monotonic()
    source.expect(spans)
    assert time.monotonic() - begun < 1.8 and proxy.seen["GET"] == len(spans) >= 20
    for start, length in spans:
        assert source.read(start, length) == DATA[start : start + length]
    assert proxy.seen["GET"] == len(spans)
    proxy.fault = lambda method, path: "503"
    source.expect([(195_000, 10)])
    with pytest.raises(BucketError, match="busy"):
        source.read(195_000, 10)


def test_an_answer_that_breaks_off_is_asked_for_again(store: S3Store, proxy: Proxy) -> None:
    store.move(NAME, Lock())
    broken = iter(["cut"])
    proxy.fault = lambda method, path: next(broken, None) if method == "GET" else None
    assert held(store) == DATA
    proxy.fault = lambda method, path: "cut" if method == "GET" else None
    store._blocks.forget(NAME)
    with pytest.raises(BucketError, match="unreachable"):
        held(store)


def in_days(days: float) -> int:
    return int((time.time() + days * 86_400) * 1e6)


@pytest.mark.parametrize("data", [DATA, b"small"], ids=["pieces", "whole"])
def test_a_lock_holds_against_everybody(data: bytes, server: Server, tmp_path: Path) -> None:
    store = new_store(new_bucket(server, "compliance"), tmp_path)
    store.spool.put(NAME, data)
    store.move(NAME, Lock(in_days(400), hold=True))
    found = store.bucket._head(NAME)
    assert found["ObjectLockMode"] == "COMPLIANCE" and found["ObjectLockLegalHoldStatus"] == "ON"
    assert found["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(399)
    with pytest.raises(Locked, match="legal hold"):
        store.delete(NAME)
    store.guard(NAME, Lock(in_days(30)))
    with pytest.raises(PermissionError, match="locked until 20"):
        store.delete(NAME)
    assert store.names() == [NAME] and read_all(store, NAME, len(data)) == data
    later = store.bucket._head(NAME)["ObjectLockRetainUntilDate"]
    assert later == found["ObjectLockRetainUntilDate"], "a date does not come nearer"
    store.guard(NAME, Lock(in_days(500)))
    assert store.bucket._head(NAME)["ObjectLockRetainUntilDate"] > later


def test_what_is_over_can_be_deleted(server: Server, tmp_path: Path) -> None:
    """With no date, or one that is past, every version goes."""
    store = new_store(new_bucket(server, "compliance"), tmp_path)
    store.spool.put(NAME, DATA)
    store.move(NAME, Lock(in_days(-1)))
    store.bucket._client.delete_object(**store.bucket._key(NAME))  # leaves a marker and a version
    assert versions(store) == 1
    store.delete(NAME)
    assert versions(store) == 0 and store.names() == []
    left = store.bucket._client.list_object_versions(
        Bucket=store.bucket.name, Prefix=store.bucket.prefix
    )
    assert not left.get("DeleteMarkers")


def test_an_outage_keeps_a_deletion_from_being_half(store: S3Store, proxy: Proxy) -> None:
    proxy.fault = lambda method, path: "503"
    with pytest.raises(BucketError, match="busy"):
        store.delete(NAME)
    assert held(store) == DATA


def test_the_end_of_a_call_needs_no_network(store: S3Store, proxy: Proxy) -> None:
    """Sealing, verifying, closing and discarding a part of the spool ask the bucket nothing."""
    store.spool.put("S-2/001.vbr", sealed())
    assert verify_part(store, "S-2/001.vbr", SIGNER.trust()).status is Status.OK
    assert not store.being_written("S-2/001.vbr")
    store.spool.put("S-3/001.vbr", sealed(finish=False))
    closing = recover(store, "S-3/001.vbr", SIGNER, SIGNER.trust(), cause="killed", by="test")
    found = verify_part(store, "S-3/001.vbr", SIGNER.trust())
    assert closing is not None and found.status is Status.RECOVERED
    store.discard("S-2/001.vbr")
    assert not proxy.seen

    store.move("S-3/001.vbr", Lock())
    assert verify_part(store, "S-3/001.vbr", SIGNER.trust()).status is Status.RECOVERED
    assert set(store.waiting()) == {NAME}


def test_a_closing_that_stayed_behind_follows(store: S3Store, proxy: Proxy) -> None:
    store.spool.put(NAME + ".close", b"statement")
    proxy.fault = lambda method, path: "503" if ".close" in path else None
    with pytest.raises(BucketError, match="busy"):
        store.move(NAME, Lock())
    assert set(store.waiting()) == {NAME + ".close"} and held(store) == DATA
    proxy.fault = lambda method, path: None
    store.move(NAME, Lock())
    assert not store.waiting() and read_all(store, NAME + ".close") == b"statement"


def test_no_secret_is_told(store: S3Store, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    proxy.fault = lambda method, path: "503" if method == "POST" else None
    with pytest.raises(BucketError) as caught:
        store.move(NAME, Lock())
    told = f"{caught.value} {caught.value.__cause__!r} {store.bucket!r} {caplog.text}"
    assert "hush" not in told and "AKTEST" not in told


def test_a_part_whose_copy_here_is_gone_opens_and_seeks(
    server: Server, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes of two streams: few requests for opening, one or two for each second asked."""
    monkeypatch.setattr(bucket, "PIECE", 8 << 20)
    store = new_store(behind(proxy, new_bucket(server), server), tmp_path)
    signer, dek = FileSigner.load_or_create(tmp_path / "keys"), bytes(32)
    write(store.spool, NAME, signer, dek, 120, 4_000)
    store.move(NAME, Lock())
    assert not any(store.spool.directory.iterdir())
    proxy.seen.clear()
    view = WebmView(PartReader(store.open(NAME), dek), 1)
    assert proxy.seen["GET"] <= 5 and view.duration_us > 119_000_000
    for second in (7, 110, 31, 60):
        proxy.seen.clear()
        at = view.size * second // 120
        assert len(view.read(at, 40_000)) == 40_000
        assert proxy.seen["GET"] <= 3
    assert verify_part(store, NAME, signer.trust()).status is Status.OK


def test_a_changed_part_in_the_bucket_is_found(store: S3Store) -> None:
    part = bytearray(sealed(records=40, size=3000))
    part[60_000] ^= 1
    store.spool.put("S-2/001.vbr", bytes(part))
    store.move("S-2/001.vbr", Lock())
    assert verify_part(store, "S-2/001.vbr", SIGNER.trust()).status is Status.TAMPERED


@pytest.mark.slow
def test_killed_while_it_moves(server: Server, tmp_path: Path) -> None:
    """A process of its own moves parts and is killed; the next goes on. S3_KILLS: how often."""
    target = new_bucket(server)
    chance = random.Random(20_261_122)
    store = new_store(target, tmp_path)
    parts = {f"S-{number}/001.vbr": chance.randbytes(400_000) for number in range(KILLS * 4)}
    for name, data in parts.items():
        store.spool.put(name, data)
    command = [sys.executable, "-m", "tests.recordings.move_child", str(store.spool.directory)]
    command += [server.endpoint, str(server.credentials), target.name, target.prefix, str(PIECE)]
    died = 0
    for _ in range(KILLS):
        mover = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert mover.stdout is not None and mover.stdout.readline() == "moving\n"
        time.sleep(chance.random() * 0.25)
        mover.send_signal(signal.SIGKILL)
        mover.stdout.close()
        died += mover.wait() == -signal.SIGKILL
        for name, data in parts.items():
            assert read_all(S3Store(store.spool, target), name, len(data)) == data
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert died and not store.waiting()
    assert target.names() == sorted(parts)
    there = S3Store(LocalStore(tmp_path / "nothing"), target)
    assert all(read_all(there, name, len(data)) == data for name, data in parts.items())
