"""`proof.json` as the notary hands it out, for parts made in tests.

A list with one object for each part of the session:

    part_id         32 hexadecimal digits
    day, position   which day's tree (UTC), which leaf of it, from 0; null while it has none
    size, root      of the head that is shown; null while there is none
    proof           hashes of the inclusion proof (RFC 9162, 2.1.3), hexadecimal
    checkpoint      the signed head (recordings/heads.py); null while there is none
    token           base64 of the authority's answer (RFC 3161 TimeStampResp) over SHA-256 of
                    `checkpoint` in UTF-8; null while it is not stamped
    authority, stamped_at, test_authority
                    what the token says: subject, UTC microseconds, whether it is a test

The leaf is `tree.part_leaf(part_id, chain)`: the part's id and its chain value (FORMAT.md).
"""

import base64
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from recordings import tree
from recordings.heads import sign_head
from recordings.keys import Signer
from recordings.timestamp import TestAuthority, check
from recordings.verify_recording import TreeHead

DAY = "2026-11-22"
ORIGIN = f"bank.example/recordings/{DAY}"


def proofs(
    parts: Sequence[tuple[str, str]],
    signer: Signer,
    authority: Path | None = None,
    *,
    others: int = 3,
) -> list[dict[str, Any]]:
    """Proofs for parts given as (part id, chain value), among `others` leaves before and after.

    With the path of an authority for tests (made when it is not there) the head is stamped.
    """
    strangers = [tree.leaf_hash(b"stranger %d" % n) for n in range(2 * others)]
    ours = [tree.part_leaf(*part) for part in parts]
    leaves = strangers[:others] + ours + strangers[others:]
    head = TreeHead(ORIGIN, len(leaves), tree.root(leaves), (f"audit 7 {'ab' * 32}",))
    checkpoint = sign_head(head, signer)
    stamp = _stamp(checkpoint, authority) if authority else _UNSTAMPED
    return [
        {
            "part_id": part_id,
            "day": DAY,
            "position": position,
            "size": len(leaves),
            "root": head.root.hex(),
            "proof": [each.hex() for each in tree.inclusion_proof(leaves, position)],
            "checkpoint": checkpoint,
            **stamp,
        }
        for position, (part_id, _) in enumerate(parts, others)
    ]


_UNSTAMPED = {"token": None, "authority": None, "stamped_at": None, "test_authority": False}


def _stamp(checkpoint: str, path: Path) -> dict[str, Any]:
    authority = TestAuthority(path)
    digest = sha256(checkpoint.encode()).digest()
    answer = authority.answer(digest, 1)
    stamped = check(answer, digest, authority.roots)
    return {
        "token": base64.b64encode(answer).decode(),
        "authority": stamped.authority,
        "stamped_at": stamped.at,
        "test_authority": stamped.test,
    }
