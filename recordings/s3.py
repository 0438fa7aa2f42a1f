"""Parts in an S3 bucket, by way of a local spool: a call never waits for the network.

A part is always written to the spool, by LocalStore and with all that goes with it. When it is
over, `move` takes it to the bucket and deletes the spool's copy once the bucket's has been read
back and is the same. `move` keeps no notes: killed at any point, it is called again and goes on.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from .bucket import PIECE, Bucket, BucketError
from .store import LocalSink, LocalSource, LocalStore, Lock, Source

BLOCK = 64 * 1024
"""What is fetched at least: a fragment of a stream is at most as long, as a rule."""
AHEAD = 16
"""Blocks fetched when a reader goes on where it was: 1 MiB, some seconds of one call."""
FETCHERS = 8
"""Requests at a time for what is expected, of one reader."""
CLOSE = ".close"
"""What recovery writes beside a part follows it: the part is the first to leave the spool."""
KEPT_BLOCKS = 512
"""Blocks kept in memory for all readers together: 32 MiB, of ciphertext."""
LONG = 1024 * 1024
"""Longer reads go past the cache: somebody reads all of it."""


class S3Store:
    """Named parts, each in the spool or in the bucket, for a moment in both."""

    def __init__(self, spool: LocalStore, bucket: Bucket) -> None:
        self.spool, self.bucket = spool, bucket
        self._blocks = _Blocks(bucket)
        self._open: weakref.WeakSet[S3Source] = weakref.WeakSet()
        self._lock = threading.Lock()

    def create(self, name: str) -> LocalSink:
        """Start a part in the spool. The bucket is not asked, for it may be away: a name that is
        taken there is found when the part is moved, and nothing is overwritten."""
        return self.spool.create(name)

    def open(self, name: str) -> S3Source:
        try:
            source = S3Source(name, self._blocks, self.spool.open(name), 0)
        except FileNotFoundError:
            if name.endswith(CLOSE) and self.spool.path(name.removesuffix(CLOSE)).exists():
                raise  # and the end of a call needs no network
            source = S3Source(name, self._blocks, None, self.bucket.size(name))
        with self._lock:
            self._open.add(source)
        return source

    def being_written(self, name: str) -> bool:
        try:
            return self.spool.being_written(name)
        except FileNotFoundError:
            self.bucket.size(name)
            return False

    def put(self, name: str, data: bytes) -> None:
        self.spool.put(name, data)

    def discard(self, name: str) -> None:
        self.spool.discard(name)

    def delete(self, name: str) -> None:
        self.spool.path(name)  # refuses what is no name
        # The bucket first: if it refuses, or is away, everything is as it was.
        self.bucket.delete(name)
        self.spool.delete(name)
        self._blocks.forget(name)

    def guard(self, name: str, lock: Lock) -> None:
        """Lock the bucket's object and the closing beside it; of a part still in the spool, `move`
        will."""
        for each in (name, name + CLOSE):
            with contextlib.suppress(FileNotFoundError):
                self.bucket.guard(each, lock)

    def names(self) -> list[str]:
        return sorted({*self.spool.names(), *self.bucket.names()})

    def where(self, name: str) -> str:
        path = self.spool.path(name)
        return self.spool.where(name) if path.exists() else self.bucket.where(name)

    def waiting(self) -> dict[str, int]:
        """What is in the spool: names with their sizes, parts under way among them."""
        sizes = {}
        for name in self.spool.names():
            with contextlib.suppress(FileNotFoundError):
                sizes[name] = self.spool.path(name).stat().st_size
        return sizes

    def move(self, name: str, lock: Lock, stopped: Callable[[], bool] = lambda: False) -> None:
        """Take a finished part, and its closing if there is one, to the bucket; afterwards they
        are there, locked, and only there.

        `BucketError` when that cannot be now, `differs` among its reasons when the bucket has
        another object of this name: the spool's copy stays. `FileNotFoundError` if the spool has
        none. Nobody may write the part any more (`EBUSY`), nor two threads move it at once.
        """
        there = [each for each in (name, name + CLOSE) if self.spool.path(each).exists()]
        if not there:
            raise FileNotFoundError(name)
        for each in there:
            with contextlib.closing(self.spool.open(each)) as local:
                self._move(each, local, lock, stopped)

    def _move(self, name: str, local: LocalSource, lock: Lock, stopped: Callable[[], bool]) -> None:
        if local.locked():
            raise OSError(errno.EBUSY, f"{name} is being written")
        if not self._is_there(name):
            with contextlib.suppress(FileExistsError):
                self.bucket.upload(name, local, lock, stopped)
        self._compare(name, local, stopped)
        self.bucket.guard(name, lock)
        with self._lock:
            for source in [each for each in self._open if each.name == name]:
                source.moved(local.size())
        self.spool.delete(name)

    def _is_there(self, name: str) -> bool:
        try:
            return self.bucket.size(name) >= 0
        except FileNotFoundError:
            return False

    def _compare(self, name: str, local: Source, stopped: Callable[[], bool]) -> None:
        """Read the bucket's object back, all of it: byte for byte what is in the spool?"""
        size = self.bucket.size(name)
        if size != local.size():
            raise BucketError("differs", f"{self.bucket.where(name)} has {size} bytes")
        for offset in range(0, size, PIECE):
            if stopped():
                raise BucketError("stopped", f"{name}: compared again later")
            if self.bucket.read(name, offset, PIECE) != local.read(offset, PIECE):
                raise BucketError("differs", f"{self.bucket.where(name)} from byte {offset} on")


class S3Source:
    """Reads a part where it is: from the spool, and when it was moved meanwhile, the bucket."""

    def __init__(self, name: str, blocks: _Blocks, local: LocalSource | None, size: int) -> None:
        self.name = name
        self._blocks, self._local, self._size = blocks, local, size

    def size(self) -> int:
        local = self._local
        return local.size() if local else self._size

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise ValueError((offset, length))
        local = self._local
        if local:
            return local.read(offset, length)
        return self._blocks.read(self.name, self._size, offset, length)

    def expect(self, spans: Iterable[tuple[int, int]]) -> None:
        if self._local is None:
            self._blocks.fetch(self.name, self._size, spans)

    def moved(self, size: int) -> None:
        """The part is in the bucket. The file is not closed here but when its last reader lets it
        go, for a thread may just now be reading it."""
        self._size, self._local = size, None

    def close(self) -> None:
        local = self._local
        if local:
            local.close()


class _Blocks:
    """Ranges of the bucket's objects, the latest kept in memory. For several threads."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, name: str, size: int, offset: int, length: int) -> bytes:
        end = min(offset + length, size)
        if end <= offset:
            return b""
        if end - offset > LONG:
            return self._bucket.read(name, offset, end - offset)
        first = offset // BLOCK
        blocks = self._run(name, size, first, -(-end // BLOCK))
        return blocks[offset - first * BLOCK : end - first * BLOCK]

    def fetch(self, name: str, size: int, spans: Iterable[tuple[int, int]]) -> None:
        """Get what is missing of these spans, as far as there is room for it. What can't be had
        now is asked for again, and told, when it is read."""
        wanted: dict[int, None] = {}
        for offset, length in spans:
            wanted |= dict.fromkeys(range(offset // BLOCK, -(-min(offset + length, size) // BLOCK)))
        with self._lock:
            missing = [each for each in wanted if (name, each) not in self._kept]

        def get(block: int) -> None:
            with contextlib.suppress(OSError):
                self._run(name, size, block, block + 1, ahead=False)

        if missing:
            with ThreadPoolExecutor(FETCHERS, "bucket") as threads:
                list(threads.map(get, missing[:KEPT_BLOCKS]))

    def forget(self, name: str) -> None:
        """It is deleted."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == name]:
                del self._kept[key]

    def _run(self, name: str, size: int, first: int, stop: int, *, ahead: bool = True) -> bytes:
        """Blocks `first` to `stop`, those that are missing in one request; `ahead`: and more, if
        the reader goes on where it was."""
        with self._lock:
            found = {each: self._kept.get((name, each)) for each in range(first, stop)}
            for each, kept in found.items():
                if kept is not None:
                    self._kept.move_to_end((name, each))
            missing = [each for each, kept in found.items() if kept is None]
            # A reader of one stream skips the others' fragments, so it goes on with gaps.
            goes_on = (
                ahead
                and missing
                and any((name, missing[0] - gap) in self._kept for gap in range(1, AHEAD // 4))
            )
        if missing:
            last = max(missing[-1], missing[0] + AHEAD - 1 if goes_on else 0)
            start, end = missing[0] * BLOCK, min((last + 1) * BLOCK, size)
            data = self._bucket.read(name, start, end - start)
            if len(data) != end - start:
                raise BucketError("differs", f"{self._bucket.where(name)} is shorter than it was")
            with self._lock:
                for each in range(missing[0], -(-end // BLOCK)):
                    at = each * BLOCK - start
                    found[each] = self._kept[name, each] = data[at : at + BLOCK]
                    self._kept.move_to_end((name, each))
                while len(self._kept) > KEPT_BLOCKS:
                    self._kept.popitem(last=False)
        return b"".join(found[each] or b"" for each in range(first, stop))
