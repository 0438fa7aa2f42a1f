"""Signed statements about recordings that are gone: certificates of erasure.

One JSON object: the statement, and the signature of whoever recorded over its canonical form
(FORMAT.md, Closing, has the same rule).  ``python -m recordings.certificate FILE --trust KEY``
checks one: exit code 0 it holds, 1 it does not, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import chain as chains
from .errors import Damaged
from .keys import Signer, Trust

LIMIT = 16 * 1024 * 1024


def certificate_text(statement: bytes) -> bytes:
    """What a certificate signs."""
    return b"VBR1 certificate\0" + sha256(statement).digest()


def sign(statement: dict[str, Any], signer: Signer) -> str:
    """The certificate over `statement`, as JSON; `ValueError` for floating-point numbers."""
    whole = {**statement, "signer": signer.key_id}
    signature = signer.sign(certificate_text(chains.canonical(whole)))
    return chains.canonical({"statement": whole, "signature": signature.hex()}).decode()


def check(text: str | bytes, trust: Trust) -> dict[str, Any]:
    """What a certificate states; `Damaged` unless a trusted signer signed exactly this."""
    try:
        whole = json.loads(text)
        statement, signature = whole["statement"], bytes.fromhex(whole["signature"])
        signed = certificate_text(chains.canonical(statement))
        if not trust.signed(str(statement["signer"]), signed, signature):
            raise Damaged("certificate_signature_wrong")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged("certificate_wrong", str(error)) from None
    return dict(statement)


def main(arguments: Sequence[str]) -> int:
    """The command; answers with its exit code."""
    parser = argparse.ArgumentParser(prog="python -m recordings.certificate", description=__doc__)
    parser.add_argument("file", type=Path, help="the certificate")
    parser.add_argument("--trust", type=Path, required=True, help="PEM file of the public keys")
    given = parser.parse_args(arguments)
    try:
        trust = Trust.load(given.trust)
        with given.file.open("rb") as file:
            text = file.read(LIMIT)
    except (OSError, ValueError) as error:
        print(f"cannot read: {error}", file=sys.stderr)
        return 2
    try:
        statement = check(text, trust)
    except Damaged as error:
        print(f"NOT OK: {error}")
        return 1
    print(f"ok: signed by {statement['signer']}")
    print(json.dumps(statement, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
