"""Keys around a recording: the keyring that wraps data keys, the signer that signs parts."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from .errors import KeyUnavailable
from .suites import DEK
from .verify_recording import Trust as Trust
from .verify_recording import key_id


def new_dek() -> bytes:
    """A data key for one part."""
    return os.urandom(DEK)


def new_part_id() -> str:
    """A random id for one part: keep the wrapped data key under it before recording begins."""
    return os.urandom(16).hex()


class Signer(Protocol):
    """Signs for the institution that records. Called from writer threads."""

    @property
    def suite(self) -> int:
        """Number of the suite that its key belongs to, and with it the parts it signs."""

    @property
    def key_id(self) -> str:
        """Hexadecimal hash of the public key: `verify_recording.key_id`."""

    @property
    def outside(self) -> bool:
        """Does somebody else sign, who has to be waited for?"""

    def sign(self, text: bytes) -> bytes:
        """64 bytes: Ed25519, or SM2's r and s; `OSError` if there is no signature to be had."""

    def public_der(self) -> bytes:
        """The public key as DER SubjectPublicKeyInfo."""


class FileSigner:
    """An Ed25519 key in a file of mode 0600."""

    suite = 1
    outside = False

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = key_id(self.public_der())

    @classmethod
    def load_or_create(cls, directory: Path) -> FileSigner:
        """The key of `signing.key`, made when there is none; its public half is in `trust.pem`."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / "signing.key"
        with _locked(directory / "signing.lock"):
            if not path.exists():
                key = Ed25519PrivateKey.generate()
                _replace(path, _private_pem(key), 0o600)
            _refuse_readable_by_others(path)
            loaded = serialization.load_pem_private_key(path.read_bytes(), None)
            if not isinstance(loaded, Ed25519PrivateKey):
                raise ValueError(f"{path} is not an Ed25519 key")
            signer = cls(loaded)
            trust = directory / "trust.pem"
            if not trust.exists():
                _replace(trust, signer.public_pem(), 0o644)
        return signer

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text)

    def public_pem(self) -> bytes:
        """The public key, as `trust.pem` holds it."""
        return self._public(serialization.Encoding.PEM)

    def public_der(self) -> bytes:
        """The same as DER SubjectPublicKeyInfo."""
        return self._public(serialization.Encoding.DER)

    def trust(self) -> Trust:
        """Trust in this signer alone."""
        return Trust([self.public_der()])

    def _public(self, encoding: serialization.Encoding) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(encoding, form)


def trusted(path: Path, signer: Signer) -> Trust:
    """Trust in the keys of the trust file, which has the signer's from now on."""
    ours = Trust([signer.public_der()])
    with _locked(path.with_name("signing.lock")):
        known = Trust.load(path) if path.exists() else None
        if known is None or signer.key_id not in known:
            text = base64.encodebytes(signer.public_der()).decode().replace("\n", "")
            lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
            block = f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"
            before = path.read_bytes() if known is not None else b""
            _replace(path, before + block.encode(), 0o644)
    return ours if known is None else known | ours


class Keyring(Protocol):
    """Key-encryption keys (KEKs): for each tenant and month one, or after renewals several.

    A month is the one in which what its key wraps may be erased, so destroying the key then makes
    every copy of it unreadable for good, old backups of the wrapped keys included. A destroyed
    key's name stays known: no key ever comes back under it unnoticed. Called from threads.
    """

    name: str
    """What keeps the keys, for certificates: `file`, `pkcs11`."""

    def kek(self, tenant: str, month: str) -> str:
        """Id of the newest key for `tenant` and `month` (`2026-11`), made when there is none.

        `KeyUnavailable` if it was destroyed, `ValueError` for what is no tenant or month.
        """

    def renew(self, tenant: str, month: str) -> str:
        """Id of a further key for the month, from now on its newest."""

    def keks(self) -> list[str]:
        """Ids of all keys that can still unwrap, sorted."""

    def wrap(self, dek: bytes, kek_id: str) -> bytes:
        """`dek` under the key `kek_id` (AES key wrap, RFC 3394)."""

    def unwrap(self, kek_id: str, wrapped: bytes) -> bytes:
        """The data key again; `KeyUnavailable` if `kek_id` is unknown, destroyed or not its key."""

    def destroy(self, kek_id: str) -> None:
        """Make everything wrapped with `kek_id` unreadable, for good.

        `KeyUnavailable` if there never was such a key; nothing happens to a destroyed one.
        """


def kek_name(tenant: str, month: str, generation: int = 1) -> str:
    """`bank/2026-11`, renewed `bank/2026-11.2`; `ValueError` for what is no tenant or month."""
    months = re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", tenant) or not months:
        raise ValueError("a tenant is letters, digits, _ -, and a month is YYYY-MM")
    return f"{tenant}/{month}" + (f".{generation}" if generation > 1 else "")


def kek_parts(kek_id: str) -> tuple[str, str, int]:
    """Tenant, month and generation of a key's id; `ValueError` if it is none."""
    tenant, _, rest = kek_id.partition("/")
    month, _, generation = rest.partition(".")
    number = int(generation or 1)
    if kek_name(tenant, month, number) != kek_id:
        raise ValueError(f"not the id of a key: {kek_id!r}")
    return tenant, month, number


def newest(kek_ids: Iterable[str], tenant: str, month: str) -> int:
    """Generation of the newest key for the month among `kek_ids`; 0 if there is none."""
    known = (kek_parts(each) for each in kek_ids)
    return max((number for *place, number in known if place == [tenant, month]), default=0)


class FileKeyring:
    """Keys in one file of mode 0600.

    Destroying a key replaces the file; that the medium forgets the old one, and that no copy of
    it is kept longer than the promise to erase, is up to whoever runs it. A token keeps its own
    (:class:`recordings.pkcs11.Pkcs11Keyring`).
    """

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def kek(self, tenant: str, month: str) -> str:
        kek_name(tenant, month)
        with self._locked():
            keys = self._read()
            kek_id = kek_name(tenant, month, max(newest(keys, tenant, month), 1))
            if kek_id not in keys:
                self._write({**keys, kek_id: os.urandom(32).hex()})
            elif keys[kek_id] is None:
                raise KeyUnavailable(f"{kek_id} was destroyed")
        return kek_id

    def renew(self, tenant: str, month: str) -> str:
        kek_name(tenant, month)
        with self._locked():
            keys = self._read()
            kek_id = kek_name(tenant, month, newest(keys, tenant, month) + 1)
            self._write({**keys, kek_id: os.urandom(32).hex()})
        return kek_id

    def keks(self) -> list[str]:
        with self._locked():
            return sorted(kek_id for kek_id, key in self._read().items() if key is not None)

    def wrap(self, dek: bytes, kek_id: str) -> bytes:
        return aes_key_wrap(self._key(kek_id), dek)

    def unwrap(self, kek_id: str, wrapped: bytes) -> bytes:
        try:
            return aes_key_unwrap(self._key(kek_id), wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise KeyUnavailable(f"{kek_id} does not unwrap this") from error

    def destroy(self, kek_id: str) -> None:
        with self._locked():
            keys = self._read()
            if kek_id not in keys:
                raise KeyUnavailable(f"{kek_id} is not in the keyring")
            self._write({**keys, kek_id: None})

    def _key(self, kek_id: str) -> bytes:
        with self._locked():
            key = self._read().get(kek_id)
        if key is None:
            raise KeyUnavailable(f"{kek_id} is not in the keyring or was destroyed")
        return bytes.fromhex(key)

    def _locked(self) -> Any:
        return _locked(self._path.with_name(self._path.name + ".lock"))

    def _read(self) -> dict[str, str | None]:
        if not self._path.exists():
            return {}
        _refuse_readable_by_others(self._path)
        keys: dict[str, str | None] = json.loads(self._path.read_bytes())
        return keys

    def _write(self, keys: Mapping[str, str | None]) -> None:
        _replace(self._path, json.dumps(keys, indent=1, sort_keys=True).encode(), 0o600)


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _refuse_readable_by_others(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PermissionError(f"{path} can be read by others; give it mode 0600")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes and threads out while a key file is read and replaced."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Put `data` in place of `path`, whole or not at all, also when the power fails."""
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(f"short write to {new}")
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
