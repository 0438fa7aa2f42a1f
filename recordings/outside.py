"""A signer outside of this process: a device or program behind a Unix socket, by a small protocol.

For each signature the server opens a connection, sends

    "VBS1"(4) ‖ length(4, big-endian) ‖ text

and reads 64 bytes, the signature as FORMAT.md has it for the suite of the key (SM2: r ‖ s of
GB/T 32918.2 over SM3(Z ‖ text), Z for the identity 1234567812345678). Whatever else comes, fewer
bytes, or nothing within the deadline, is no signature. `text` has at most 64 KiB and says by its
first word what it is for (`VBR1 record`, `VBR1 preamble`, …; heads of trees begin with their name).
Several connections are open at a time. Who may connect is the business of the socket's mode.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from pathlib import Path

from .errors import SignerAway
from .verify_recording import SIGNATURE, Trust, key_id, suite_of_key, trust_blocks

MAGIC = b"VBS1"
REQUEST = struct.Struct(">4sI")
TEXT_LIMIT = 64 * 1024
DEADLINE_S = 2.0
"""For one signature, from connecting to its last byte."""


class OutsideSigner:
    """Signs through the socket at `path`; its key is known by its public half alone.

    Every signature is checked before it is used: what a signer gets wrong must not be sealed into
    a recording. Safe for several threads.
    """

    outside = True

    def __init__(self, path: Path, der: bytes, deadline_s: float = DEADLINE_S) -> None:
        """`der`: public key (SubjectPublicKeyInfo); `ValueError` if it is of no suite."""
        self._path, self._der, self._deadline_s = path, der, deadline_s
        self.suite, self.key_id = suite_of_key(der).number, key_id(der)
        self._trust = Trust([der])

    @classmethod
    def load(cls, path: Path, public_key: Path, deadline_s: float = DEADLINE_S) -> OutsideSigner:
        """The public key from a PEM file that holds one; `ValueError`, `OSError`."""
        blocks = trust_blocks(public_key)
        if len(blocks) != 1:
            raise ValueError(f"{public_key} holds {len(blocks)} public keys, one is needed")
        return cls(path, blocks[0], deadline_s)

    def public_der(self) -> bytes:
        return self._der

    def sign(self, text: bytes) -> bytes:
        """64 bytes; `SignerAway` when there are none in time, or none that hold."""
        if len(text) > TEXT_LIMIT:
            raise ValueError(f"{len(text)} bytes to sign")
        try:
            signature = self._ask(REQUEST.pack(MAGIC, len(text)) + text)
        except TimeoutError:
            raise SignerAway(errno.ETIMEDOUT, "the signer did not answer in time") from None
        except OSError as error:
            raise SignerAway(error.errno or errno.EIO, f"signer: {error.strerror}") from None
        if not self._trust.signed(self.key_id, text, signature):
            raise SignerAway(errno.EBADMSG, "the signer's signature does not hold")
        return signature

    def _ask(self, request: bytes) -> bytes:
        until, answer = time.monotonic() + self._deadline_s, b""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as line:
            line.settimeout(self._deadline_s)
            line.connect(str(self._path))
            line.settimeout(_left(until))
            line.sendall(request)
            while len(answer) < SIGNATURE:
                line.settimeout(_left(until))
                piece = line.recv(SIGNATURE - len(answer))
                if not piece:
                    raise OSError(errno.EPROTO, "it refused")
                answer += piece
        return answer


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
