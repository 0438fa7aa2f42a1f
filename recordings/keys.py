"""Keys of a recording: derivation for one part, the keyring that wraps, the signer that signs."""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from .chain import digest
from .errors import KeyUnavailable

DEK = 32
TAG = 16
SUITE = 1
_KEY, _NONCE, _COMMITMENT = 32, 12, 32


def new_dek() -> bytes:
    """A data key for one part."""
    return os.urandom(DEK)


def new_part_id() -> str:
    """A random id for one part: keep the wrapped data key under it before recording begins."""
    return os.urandom(16).hex()


@dataclass(frozen=True)
class PartKeys:
    """What seals and opens the records of one part."""

    commitment: bytes
    _aead: AESGCM = field(repr=False)
    _base: int = field(repr=False)

    @classmethod
    def derive(cls, dek: bytes, header: bytes) -> PartKeys:
        """Keys for the part whose preamble begins with `header` (up to the commitment)."""
        if len(dek) != DEK:
            raise ValueError(f"a data key has {DEK} bytes")
        info = b"VBR1" + bytes([SUITE]) + digest(header)
        okm = HKDFExpand(hashes.SHA256(), _KEY + _NONCE + _COMMITMENT, info).derive(dek)
        base = int.from_bytes(okm[_KEY : _KEY + _NONCE], "big")
        return cls(okm[_KEY + _NONCE :], AESGCM(okm[:_KEY]), base)

    def commits_to(self, commitment: bytes) -> bool:
        """Is this the key that the part was sealed with?"""
        return hmac.compare_digest(self.commitment, commitment)

    def seal(self, sequence: int, plaintext: bytes, associated: bytes) -> bytes:
        """Ciphertext and tag of the record with this number; each number is used once only."""
        return self._aead.encrypt(self._nonce(sequence), plaintext, associated)

    def open(self, sequence: int, sealed: bytes | memoryview, associated: bytes) -> bytes | None:
        """The plaintext, or None if it is not what was sealed."""
        try:
            return self._aead.decrypt(self._nonce(sequence), sealed, associated)
        except InvalidTag:
            return None

    def _nonce(self, sequence: int) -> bytes:
        return (self._base ^ sequence).to_bytes(_NONCE, "big")


class Signer(Protocol):
    """Signs for the institution that records. Called from writer threads."""

    @property
    def key_id(self) -> str:
        """Hexadecimal hash of the public key."""

    def sign(self, text: bytes) -> bytes:
        """64 bytes."""


class Trust:
    """The public keys whose signatures count."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}
        if not self._keys:
            raise ValueError("no public key to trust")

    @classmethod
    def load(cls, path: Path) -> Trust:
        """From a PEM file with one or more public keys; `ValueError` if there is none in it."""
        text = path.read_text("ascii", errors="replace")
        blocks = re.findall(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", text, re.S)
        keys = [serialization.load_pem_public_key(block.encode()) for block in blocks]
        if not all(isinstance(key, Ed25519PublicKey) for key in keys):
            raise ValueError(f"{path} holds a public key that is not Ed25519")
        return cls(key for key in keys if isinstance(key, Ed25519PublicKey))

    def __contains__(self, signer: object) -> bool:
        return signer in self._keys

    def signed(self, signer: str, text: bytes, signature: bytes | memoryview) -> bool:
        """Did the trusted `signer` sign `text`?"""
        try:
            self._keys[signer].verify(bytes(signature), text)
        except (KeyError, InvalidSignature):
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """Hexadecimal SHA-256 of the key as DER SubjectPublicKeyInfo."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return digest(der).hex()


class FileSigner:
    """An Ed25519 key in a file of mode 0600."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = key_id(key.public_key())

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
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def trust(self) -> Trust:
        """Trust in this signer alone."""
        return Trust([self._key.public_key()])


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
