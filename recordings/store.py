"""Where parts are kept: the Store protocol and the local directory that satisfies it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

RESERVE = 8 * 1024 * 1024
"""Bytes kept free on the medium for each part being written: an INDEX and FINAL always fit."""

_NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


@dataclass(frozen=True)
class Lock:
    """What the medium itself shall hold against whoever asks it to delete an object."""

    until_us: int | None = None
    """Not before this time (µs since 1970); None: no such time is known."""
    hold: bool = False
    """Not as long as this stands, whatever the time (legal hold)."""


class Sink(Protocol):
    """One part being written. Used by one thread at a time; `sync` may run beside `append`."""

    def append(self, data: bytes) -> None:
        """Write all of `data` at the end, or raise `OSError` and remember how much is missing."""

    def sync(self) -> None:
        """Return when everything appended is on the medium."""

    def complete(self) -> None:
        """After a failed append: give up the reserve and write what is missing of it."""

    def close(self) -> None:
        """Free the reserve and the file."""


class Source(Protocol):
    """One part being read. Several threads may read at once."""

    def size(self) -> int:
        """Bytes there now; grows while the part is being written."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer than `length` only at the end."""

    def expect(self, spans: Iterable[tuple[int, int]]) -> None:
        """These (offset, length) are read next: from far away they are fetched together."""

    def close(self) -> None: ...


class Store(Protocol):
    """Named parts. Synchronous: callers use it from threads, never from an event loop."""

    def create(self, name: str) -> Sink:
        """Start a part; `FileExistsError` if there is one, another `OSError` if it can't be."""

    def open(self, name: str) -> Source:
        """Read a part; `FileNotFoundError` if there is none."""

    def being_written(self, name: str) -> bool:
        """Is a live writer at work on this part?"""

    def put(self, name: str, data: bytes) -> None:
        """Keep a small object whole or not at all; `FileExistsError` if the name is taken."""

    def discard(self, name: str) -> None:
        """Drop a part that was begun and is not wanted: it never left this machine."""

    def delete(self, name: str) -> None:
        """Delete every copy; none is fine, too. `PermissionError` if the medium has it locked."""

    def guard(self, name: str, lock: Lock) -> None:
        """Have the medium refuse to delete it, as far as it can."""

    def names(self) -> list[str]:
        """All names, sorted."""

    def where(self, name: str) -> str:
        """Where people find it: a path, or an address such as `s3://bucket/name`."""


def read_all(store: Store, name: str, limit: int = 1 << 20) -> bytes | None:
    """The small object `name`, or None if there is none; at most `limit` bytes of it."""
    try:
        source = store.open(name)
    except FileNotFoundError:
        return None
    with contextlib.closing(source):
        return source.read(0, limit)


class LocalSink:
    """Appends to a file that this process made and holds locked."""

    def __init__(self, path: Path, reserve: int) -> None:
        self._fd = _new_file(path, os.O_APPEND)
        self._reserve: int | None = None
        self._missing = b""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._reserve = _reserved_space(path.parent, reserve)
            _sync_directory(path.parent)
        except OSError:
            self.close()
            path.unlink()
            raise

    def append(self, data: bytes) -> None:
        self._missing = data
        written = os.write(self._fd, data)
        self._missing = data[written:]
        if self._missing:
            # A short write says that something is wrong, the next write says what. If that one
            # goes through after all, the record is whole, but the medium is full in all likelihood.
            rest = os.write(self._fd, self._missing)
            self._missing = self._missing[rest:]
            raise OSError(errno.ENOSPC, "short write")

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def complete(self) -> None:
        self._release()
        while self._missing:
            written = os.write(self._fd, self._missing)
            if not written:
                raise OSError(errno.EIO, "nothing written")
            self._missing = self._missing[written:]

    def close(self) -> None:
        self._release()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _release(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


class LocalSource:
    """Reads a file at any offset, from any thread. Closed at the latest when nobody holds it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # A view may live in a cache and be dropped there; it must not keep a descriptor for ever.
        self._close = weakref.finalize(self, os.close, self._fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        pieces = []
        while length > 0:
            piece = os.pread(self._fd, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def expect(self, spans: Iterable[tuple[int, int]]) -> None:
        """Nothing: it is here."""

    def close(self) -> None:
        self._close()
        self._fd = -1

    def locked(self) -> bool:
        """Does another descriptor hold the writer's lock?"""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


class LocalStore:
    """Parts as files below one directory, mode 0600."""

    def __init__(self, directory: Path, *, reserve: int = RESERVE) -> None:
        self.directory = directory
        self._reserve = reserve

    def path(self, name: str) -> Path:
        """The file of `name`; `ValueError` for a name that could lead out of the directory."""
        if not _NAME.fullmatch(name) or ".." in PurePosixPath(name).parts:
            raise ValueError(f"not a name of a part: {name!r}")
        return self.directory / name

    def create(self, name: str) -> LocalSink:
        return LocalSink(self.path(name), self._reserve)

    def open(self, name: str) -> LocalSource:
        return LocalSource(self.path(name))

    def being_written(self, name: str) -> bool:
        with contextlib.closing(self.open(name)) as source:
            return source.locked()

    def put(self, name: str, data: bytes) -> None:
        path = self.path(name)
        temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
        with _exclusive(temporary) as fd:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "short write")
            os.fsync(fd)
            os.link(temporary, path)
        _sync_directory(path.parent)

    def delete(self, name: str) -> None:
        path = self.path(name)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            _sync_directory(path.parent)
        if path.parent != self.directory:
            with contextlib.suppress(OSError):  # it holds other parts, or is gone
                path.parent.rmdir()

    def discard(self, name: str) -> None:
        self.delete(name)

    def guard(self, name: str, lock: Lock) -> None:
        """Nothing: a directory knows no lock that its owner could not lift."""

    def where(self, name: str) -> str:
        return str(self.path(name).absolute())

    def names(self) -> list[str]:
        if not self.directory.is_dir():
            return []
        files = (f for f in self.directory.rglob("*") if f.is_file() and f.suffix != ".new")
        return sorted(str(f.relative_to(self.directory)) for f in files)


def _new_file(path: Path, flags: int = 0) -> int:
    """Descriptor of a file that was not there, in a directory that may not have been either."""
    flags |= os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        # Just now the directory went with its last part; with a new one in it, it stays.
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, flags, 0o600)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[int]:
    """A new file that is gone afterwards."""
    fd = _new_file(path)
    try:
        yield fd
    finally:
        os.close(fd)
        path.unlink()


def _reserved_space(directory: Path, size: int) -> int | None:
    """Descriptor of a nameless file of `size` real bytes: closing it, or dying, frees them.

    It is a file of its own because space reserved behind the end of the part would be used up by
    the part's own growth. Nameless, it cannot be left behind by a crash.
    """
    if not size:
        return None
    path = directory / f".reserve-{os.getpid()}-{os.urandom(8).hex()}"
    fd = _new_file(path)
    path.unlink()
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.close(fd)
        raise
    return fd


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
