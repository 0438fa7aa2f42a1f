"""Signed heads of a day's tree: C2SP checkpoints (c2sp.org: tlog-checkpoint, signed-note).

```
origin                       which tree, e.g. bank.example/recordings/2026-11-22
size                         how many leaves it has, decimal
root                         its root hash, base64
extension*                   further lines that are signed with it
                             (an empty line)
— origin base64(key hint(4) ‖ Ed25519 signature(64))
```

Signed is the text up to the empty line, its last newline included. The key hint is the beginning
of SHA-256(origin ‖ 0a ‖ 01 ‖ public key): it tells keys apart and proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import Damaged
from .keys import Signer

LIMIT = 4096
"""Characters of a signed head: several times what one has."""
_ED25519 = b"\x01"
_DASH = "\N{EM DASH} "
# Not "VBR1 …": what the same key signs elsewhere begins so, and can't pass for a head or the
# other way round, as no such text has a newline behind its first word.
_ORIGIN = re.compile(r"[A-Za-z0-9._~:/-]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class TreeHead:
    """What is said of a tree at one moment."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Lines of text, signed with the rest."""

    def text(self) -> str:
        """What is signed; `ValueError` if it can't be written as lines."""
        root = base64.b64encode(self.root).decode()
        lines = (self.origin, str(self.size), root, *self.extensions)
        if not _ORIGIN.fullmatch(self.origin) or len(self.root) != 32 or self.size < 0:
            raise ValueError(f"not a head: {self}")
        if any(not line or not line.isprintable() for line in lines):
            raise ValueError("an extension is one line of text")
        return "".join(line + "\n" for line in lines)

    def sign(self, signer: Signer, public_key: Ed25519PublicKey) -> str:
        """The checkpoint, signed by `signer`, whose public half `public_key` is."""
        text = self.text()
        signed = key_hint(self.origin, public_key) + signer.sign(text.encode())
        return f"{text}\n{_DASH}{self.origin} {base64.b64encode(signed).decode()}\n"


def read_head(note: str, trusted: Iterable[Ed25519PublicKey]) -> TreeHead:
    """The head in `note`, if one of the `trusted` keys signed it.

    Signatures of others (witnesses may add theirs) are passed over. `Damaged` with the reason
    `head_malformed`, or `head_not_signed` if none of the trusted signed it.
    """
    head, signatures = _parse(note)
    text = head.text().encode()
    for key in trusted:
        for hint, signature in signatures:
            if hint == key_hint(head.origin, key) and _holds(key, signature, text):
                return head
    raise Damaged("head_not_signed", f"{head.origin} at {head.size}")


def public_keys(pem: str) -> list[Ed25519PublicKey]:
    """The Ed25519 keys in the text of a trust file; keys of other kinds sign no heads."""
    blocks = re.findall(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", pem, re.DOTALL)
    keys = [serialization.load_pem_public_key(block.encode()) for block in blocks]
    return [key for key in keys if isinstance(key, Ed25519PublicKey)]


def key_hint(name: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes that stand before a signature by `key` under this name."""
    return sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:4]


def _parse(note: str) -> tuple[TreeHead, list[tuple[bytes, bytes]]]:
    text, blank, below = note.partition("\n\n")
    if len(note) > LIMIT or not blank or not below.endswith("\n"):
        raise Damaged("head_malformed", "not a signed text")
    try:
        origin, size, root, *extensions = text.split("\n")
        if not _SIZE.fullmatch(size):
            raise ValueError(f"not a size: {size!r}")
        head = TreeHead(origin, int(size), _decode(root), tuple(extensions))
        if head.text() != text + "\n":
            raise ValueError("written in another way than it is read")
        return head, [_signature(line, origin) for line in below[:-1].split("\n")]
    except ValueError as error:
        raise Damaged("head_malformed", str(error)) from None


def _signature(line: str, origin: str) -> tuple[bytes, bytes]:
    """Hint and signature; of another name, nothing that could match."""
    name, blank, signed = line.removeprefix(_DASH).rpartition(" ")
    if not line.startswith(_DASH) or not blank:
        raise ValueError("not a line with a signature")
    data = _decode(signed)
    return (data[:4], data[4:]) if name == origin else (b"", b"")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _holds(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True
