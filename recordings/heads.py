"""Signed heads of day trees, as C2SP checkpoints (c2sp.org: tlog-checkpoint, signed-note).

A *head* says how many leaves a tree has and what its root is, in lines of text with a signature
below, so that anybody can check it with a public key:

    bank.example/recordings/2026-11-22          origin: name of the tree, and of the key
    1234                                        size
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    root hash, base64
    audit 7 1f3a…                               further lines, each signed like the rest
                                                (an empty line)
    — origin base64(key hint(4) ‖ signature(64))

Signed is the text up to the empty line, its last newline included, by the signer's suite. The key
hint is the beginning of SHA-256(origin ‖ 0a ‖ kind ‖ public key); kind is 01 for Ed25519 and
`ff` ‖ "VBR1 SM2" for SM2 (FORMAT.md, Day tree). Heads are read by `verify_recording.read_head`.
"""

from .keys import Signer
from .verify_recording import TreeHead, head_note


def sign_head(head: TreeHead, signer: Signer) -> str:
    """The head as it is kept; `ValueError` if it can't be written, `OSError` from the signer."""
    return head_note(head, signer.sign(head.text().encode()), signer.public_der())
