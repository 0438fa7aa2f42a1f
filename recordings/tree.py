"""Merkle tree hashing and proofs (RFC 9162, section 2.1): pure functions over hashes.

A tree is given by the list of its leaf hashes, 32 bytes each, in the order in which they were
added. Proofs are lists of hashes, from the leaf's neighbour up. Nothing is kept between calls: the
tree of a day has some thousands of leaves, and its root takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from .verify_recording import HASH, leaf_hash, node_hash, part_leaf, verify_inclusion

__all__ = ["consistency_proof", "inclusion_proof", "leaf_hash", "part_leaf", "root"]
__all__ += ["verify_consistency", "verify_inclusion"]


def root(leaves: Sequence[bytes]) -> bytes:
    """Hash of the whole tree; of an empty one, the hash of nothing."""
    if not leaves:
        return sha256().digest()
    level = list(leaves)
    # Pairing level by level and carrying an odd last one up gives the same tree as splitting at
    # the largest power of two, without recursion.
    while len(level) > 1:
        pairs = [
            node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What shows that the leaf at `index` is in the tree (section 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """What shows that the tree of the first `first` leaves only grew into this one (2.1.4.1)."""
    if not 0 < first <= len(leaves):
        raise IndexError(f"{first} of {len(leaves)} leaves")
    return _subproof(leaves, first, whole=True)


def _subproof(leaves: Sequence[bytes], first: int, *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        # `whole`: this very node is the earlier root, which the verifier has.
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if first <= split:
        return [*_subproof(leaves[:split], first, whole=whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], first - split, whole=False), root(leaves[:split])]


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Is the tree of `second` leaves an extension of the one of `first` leaves? (2.1.4.2)"""
    if not 0 < first <= second or not _are_hashes(first_root, second_root, *proof):
        return False
    if first == second:
        return not proof and compare_digest(first_root, second_root)
    # A whole earlier tree is a node of the later one, and the proof begins with its neighbour.
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and compare_digest(before, first_root) and compare_digest(after, second_root)


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH for value in values)
