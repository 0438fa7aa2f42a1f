"""Pictures and other bytes too large for a row, written once, encrypted at rest."""

import asyncio
import os
import re
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"VBB1"
"""First bytes of a blob's file: AES-256-GCM, 12-byte nonce, then the sealed bytes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,127}){0,7}")


class BlobMissing(Exception):
    """There is no blob of this name (any more)."""


class BlobExists(Exception):
    """The name is taken; blobs are never overwritten."""


class BlobDamaged(Exception):
    """The bytes are not those that were put under this name."""


class Blobs(Protocol):
    """Bytes by name.  A name is up to 8 plain words joined by ``/``; others: ``ValueError``."""

    async def put(self, name: str, data: bytes) -> None:
        """Keep ``data``; there in full or not at all.  Raises :class:`BlobExists`."""
        ...

    async def get(self, name: str) -> bytes:
        """What was put.  Raises :class:`BlobMissing`, :class:`BlobDamaged`."""
        ...

    async def delete(self, name: str) -> None:
        """Remove it; nothing happens when it is not there."""
        ...


class LocalBlobs:
    """Blobs as files below one directory."""

    def __init__(self, directory: Path, key: bytes) -> None:
        """``key``: 32 bytes for AES-256-GCM; a blob opens only under the name it was put as."""
        self._directory = directory
        self._cipher = AESGCM(key)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def put(self, name: str, data: bytes) -> None:
        """Keep ``data`` and wait until it is on the disk."""
        await asyncio.to_thread(self._put, self._path(name), name, data)

    async def get(self, name: str) -> bytes:
        """What was put under ``name``."""
        return await asyncio.to_thread(self._get, self._path(name), name)

    async def delete(self, name: str) -> None:
        """Remove the file."""
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError("not a blob name")
        return self._directory / name

    def _put(self, path: Path, name: str, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A name of its own beside the target; the dot keeps it from ever being a blob's name.
        draft = path.with_name(f".{secrets.token_hex(8)}")
        nonce = os.urandom(12)
        sealed = MAGIC + nonce + self._cipher.encrypt(nonce, data, name.encode())
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # unlike rename, fails when the name is taken
        except FileExistsError:
            raise BlobExists(name) from None
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(path.parent)

    def _get(self, path: Path, name: str) -> bytes:
        try:
            sealed = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise BlobMissing(name) from None
        if not sealed.startswith(MAGIC):
            raise BlobDamaged(name)
        try:
            return self._cipher.decrypt(sealed[4:16], sealed[16:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise BlobDamaged(name) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
