"""The server's own symmetric keys: fields encrypted in the database, look-ups by keyed hash.

One 32-byte root key lies in ``data/keys/server.key`` (mode 0600); every use has a key of its own
derived from it.  Losing the file means losing the personal data; it is backed up apart from the
database.
"""

import hashlib
import hmac
import os
from base64 import urlsafe_b64encode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from video_bank.errors import OperatorError

VERSION = b"\x01"
"""First byte of everything encrypted here: AES-256-GCM, 12-byte nonce, then the sealed bytes."""


class Undecryptable(Exception):
    """Bytes that this key never wrote for this place: damaged, moved, or another key's."""


class Secrets:
    """Encrypts, decrypts, signs and hashes with keys derived from one root key."""

    def __init__(self, root: bytes) -> None:
        if len(root) != 32:
            raise OperatorError("the server key must be 32 bytes")
        self._root = root
        self._fields = AESGCM(self.derive("fields"))
        self._lookups = self.derive("lookups")
        self._signatures = self.derive("signatures")

    @classmethod
    def load_or_create(cls, directory: Path) -> "Secrets":
        """The key in ``directory/server.key``, made on the first start.

        Raises :class:`OperatorError` when others than the owner may read it.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / "server.key"
        try:
            # O_EXCL: of two processes starting at once, one makes the key and both use it.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                raise OperatorError(
                    f"{path}: others may read it (chmod 600)"
                ) from None
            return cls(path.read_bytes())
        with os.fdopen(descriptor, "wb") as file:
            root = os.urandom(32)
            file.write(root)
            file.flush()
            os.fsync(descriptor)
        return cls(root)

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for ``purpose``, independent of those for other purposes."""
        # Expand alone is enough: the root key is uniform already.
        return HKDFExpand(SHA256(), 32, b"video bank " + purpose.encode()).derive(self._root)

    def encrypt(self, plain: bytes | str, place: str) -> bytes:
        """Seal ``plain`` for ``place`` (``table.column:row id``): elsewhere it does not open."""
        data = plain.encode() if isinstance(plain, str) else plain
        # Random nonces: with 2^32 fields under one key the chance of a repeat is still 2^-33.
        nonce = os.urandom(12)
        return VERSION + nonce + self._fields.encrypt(nonce, data, place.encode())

    def decrypt(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for ``place``.  Raises :class:`Undecryptable`."""
        if sealed[:1] != VERSION:
            raise Undecryptable(place)
        try:
            return self._fields.decrypt(sealed[1:13], sealed[13:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise Undecryptable(place) from error

    def decrypt_text(self, sealed: bytes, place: str) -> str:
        """:meth:`decrypt` for text."""
        return self.decrypt(sealed, place).decode()

    def lookup(self, kind: str, text: str) -> str:
        """A keyed hash to find equal values by (64 hex digits); tells nothing without the key."""
        return hmac.digest(self._lookups, f"{kind}\0{text}".encode(), hashlib.sha256).hex()

    def sign(self, kind: str, text: str) -> str:
        """A short signature for links: 22 URL-safe characters, 128 bits."""
        full = hmac.digest(self._signatures, f"{kind}\0{text}".encode(), hashlib.sha256)
        return urlsafe_b64encode(full[:16]).rstrip(b"=").decode()

    def signed(self, kind: str, text: str, signature: str) -> bool:
        """Whether :meth:`sign` made ``signature``; takes the same time either way."""
        return hmac.compare_digest(self.sign(kind, text).encode(), signature.encode())
