"""Sealing and opening records: what a suite needs besides its hash and signature (FORMAT.md)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .verify_recording import HASH, SUITES, TAG, Damaged, Preamble, Suite

DEK = 32
"""Bytes of a data key, whatever key of the suite's cipher is derived from it."""
_NONCE = 12


class Aead(Protocol):
    """Authenticated encryption with associated data."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, /) -> bytes:
        """`InvalidTag` if it is not what was encrypted."""


class Sm4Gcm:
    """SM4-GCM (RFC 8998) as `cryptography` has AES-GCM. Not certified, and not constant-time."""

    def __init__(self, key: bytes) -> None:
        self._cipher = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        encryptor = Cipher(self._cipher, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data)
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, /) -> bytes:
        if len(data) < TAG:
            raise InvalidTag
        decryptor = Cipher(self._cipher, modes.GCM(nonce, bytes(data[-TAG:]))).decryptor()
        decryptor.authenticate_additional_data(associated_data)
        return decryptor.update(data[:-TAG]) + decryptor.finalize()


@dataclass(frozen=True)
class _Sealing:
    """The half of a suite that needs secrets."""

    key: int
    """Bytes of the cipher's key."""
    aead: Callable[[bytes], Aead]
    hash: hashes.HashAlgorithm
    """Of HKDF."""


_SEALING = {
    1: _Sealing(32, AESGCM, hashes.SHA256()),
    2: _Sealing(16, Sm4Gcm, hashes.SM3()),
}
assert _SEALING.keys() == SUITES.keys()


@dataclass(frozen=True)
class PartKeys:
    """What seals and opens the records of one part."""

    commitment: bytes
    _aead: Aead = field(repr=False)
    _base: int = field(repr=False)

    @classmethod
    def derive(cls, suite: Suite, dek: bytes, header: bytes) -> PartKeys:
        """Keys for the part whose preamble begins with `header` (up to the commitment)."""
        if len(dek) != DEK:
            raise ValueError(f"a data key has {DEK} bytes")
        sealing = _SEALING[suite.number]
        info = b"VBR1" + bytes([suite.number]) + suite.digest(header)
        okm = HKDFExpand(sealing.hash, sealing.key + _NONCE + HASH, info).derive(dek)
        key, rest = okm[: sealing.key], okm[sealing.key :]
        return cls(rest[_NONCE:], sealing.aead(key), int.from_bytes(rest[:_NONCE], "big"))

    @classmethod
    def of(cls, preamble: Preamble, dek: bytes) -> PartKeys:
        """Keys for this part; `Damaged` if it was not sealed with `dek`."""
        keys = cls.derive(preamble.suite, dek, preamble.text)
        # GCM alone lets a holder of keys make one ciphertext that opens in two ways.
        if not hmac.compare_digest(keys.commitment, preamble.commitment):
            raise Damaged("key_wrong")
        return keys

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
