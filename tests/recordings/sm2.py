"""Signers of suite 2 for tests: OpenSSL's command line, and one whose signatures never change."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from recordings.verify_recording import SUITES, Sm2Key, Sm3, Trust, key_id

PREFIX = SUITES[2].key_prefix


class OpensslSigner:
    """An SM2 key in a file, used by `openssl` as a bank's device would be used: from outside."""

    suite = 2
    outside = False

    def __init__(self, directory: Path) -> None:
        self._key = directory / "sm2.pem"
        _openssl("genpkey", "-algorithm", "SM2", "-out", str(self._key))
        self.der = _openssl("pkey", "-in", str(self._key), "-pubout", "-outform", "DER")
        self.key_id = key_id(self.der)

    def sign(self, text: bytes) -> bytes:
        identity = f"distid:{Sm2Key.IDENTITY.decode()}"
        command = ["dgst", "-sm3", "-sign", str(self._key), "-sigopt", identity]
        return raw_signature(_openssl(*command, text=text))

    def public_pem(self) -> bytes:
        return _openssl("pkey", "-in", str(self._key), "-pubout")

    def public_der(self) -> bytes:
        return self.der

    def trust(self) -> Trust:
        return Trust([self.der])


def raw_signature(der: bytes) -> bytes:
    """r and s, 32 bytes each, of SEQUENCE { INTEGER r, INTEGER s }."""
    assert der[0] == 0x30 and der[1] == len(der) - 2 and der[2] == 2
    r, rest = der[4 : 4 + der[3]], der[4 + der[3] :]
    assert rest[0] == 2 and rest[1] == len(rest) - 2
    return b"".join(int.from_bytes(n, "big").to_bytes(32, "big") for n in (r, rest[2:]))


def _openssl(*arguments: str, text: bytes | None = None) -> bytes:
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, check=True)
    return done.stdout


class FixedSigner:
    """SM2 from a number everybody knows, for vectors: never a way to sign anything real."""

    suite = 2
    outside = False

    def __init__(self, secret: bytes) -> None:
        self._d = int.from_bytes(secret, "big") % (Sm2Key.N - 1) or 1
        x, y = _times(self._d)
        point = b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
        self._public = Sm2Key(point)
        self.der = PREFIX + point
        self.key_id = key_id(self.der)

    def sign(self, text: bytes) -> bytes:
        n = Sm2Key.N
        k = int.from_bytes(Sm3(self._d.to_bytes(32, "big") + text).digest(), "big") % n
        e = int.from_bytes(Sm3(self._public._whose + text).digest(), "big")
        r = (e + _times(k)[0]) % n
        s = pow(1 + self._d, -1, n) * (k - r * self._d) % n
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def public_der(self) -> bytes:
        return self.der

    def trust(self) -> Trust:
        return Trust([self.der])


def _times(k: int) -> tuple[int, int]:
    """k times G."""
    g = Sm2Key(b"\4" + b"".join(n.to_bytes(32, "big") for n in Sm2Key.G))
    x, y, z = g._sum_of_multiples(k, 0)
    inverse = pow(z, -1, Sm2Key.P)
    return x * inverse**2 % Sm2Key.P, y * inverse**3 % Sm2Key.P


@contextlib.contextmanager
def outside(directory: Path, secret: bytes = b"\5" * 32) -> Iterator[tuple[Path, Path]]:
    """A signer in a process of its own: its socket, and its public key as a PEM file."""
    path, public = directory / "signer.sock", directory / "signer.pem"
    der = base64.encodebytes(FixedSigner(secret).der).decode()
    public.write_text(f"-----BEGIN PUBLIC KEY-----\n{der}-----END PUBLIC KEY-----\n")
    command = [sys.executable, "-m", "tests.recordings.signer_child", str(path), secret.hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            yield path, public
        finally:
            child.kill()
            path.unlink(missing_ok=True)
