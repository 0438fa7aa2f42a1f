"""Merkle trees: the published example, an independent calculation, proofs that must not hold."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import tree

EIGHT = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
"""The entries that implementations of RFC 6962 publish the roots of."""
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

sizes = st.integers(1, 70)


def naive(entries: list[bytes]) -> bytes:
    """MTH of the RFC, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\x01" + naive(entries[:k]) + naive(entries[k:])).digest()


def leaves(size: int) -> list[bytes]:
    return [tree.leaf_hash(b"entry %d" % n) for n in range(size)]


def test_the_published_roots() -> None:
    hashes = [tree.leaf_hash(entry) for entry in EIGHT]
    assert tree.root([]).hex() == EMPTY
    for size, expected in enumerate(ROOTS, 1):
        assert tree.root(hashes[:size]).hex() == naive(EIGHT[:size]).hex() == expected


@settings(deadline=None)
@given(sizes, st.data())
def test_every_leaf_is_shown_to_be_in_its_tree(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    assert tree.root(hashes) == naive([b"entry %d" % n for n in range(size)])
    proof, root = tree.inclusion_proof(hashes, index), tree.root(hashes)
    assert tree.verify_inclusion(hashes[index], index, size, proof, root)
    assert len(proof) <= (size - 1).bit_length()


@settings(deadline=None)
@given(sizes, st.data())
def test_an_inclusion_proof_shows_nothing_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    leaf, proof, root = hashes[index], tree.inclusion_proof(hashes, index), tree.root(hashes)
    other = data.draw(st.integers(0, size + 3).filter(lambda n: n != index))
    assert not tree.verify_inclusion(leaf, other, size, proof, root)
    assert not tree.verify_inclusion(leaf, -1, size, proof, root)
    assert not tree.verify_inclusion(tree.leaf_hash(b"another"), index, size, proof, root)
    assert not tree.verify_inclusion(leaf, index, size, [*proof, root], root)
    assert not tree.verify_inclusion(leaf, index, size, proof, tree.leaf_hash(root))
    if proof:
        assert not tree.verify_inclusion(leaf, index, size, proof[:-1], root)
        place = data.draw(st.integers(0, len(proof) - 1))
        wrong = [*proof[:place], tree.leaf_hash(proof[place]), *proof[place + 1 :]]
        assert not tree.verify_inclusion(leaf, index, size, wrong, root)
        short = [*proof[:place], proof[place][:-1], *proof[place + 1 :]]
        assert not tree.verify_inclusion(leaf, index, size, short, root)


@settings(deadline=None)
@given(sizes, st.data())
def test_a_tree_that_only_grew_is_shown_to_have(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, size))
    hashes = leaves(size)
    earlier, later = tree.root(hashes[:first]), tree.root(hashes)
    proof = tree.consistency_proof(hashes, first)
    assert tree.verify_consistency(first, size, earlier, later, proof)
    assert not tree.verify_consistency(first, size, tree.leaf_hash(earlier), later, proof)
    assert not tree.verify_consistency(first, size, earlier, tree.leaf_hash(later), proof)
    assert not tree.verify_consistency(first, size, earlier, later, [*proof, later])
    if proof:
        assert not tree.verify_consistency(first, size, earlier, later, proof[:-1])


@settings(deadline=None)
@given(st.integers(2, 70), st.data())
def test_a_tree_whose_past_was_changed_is_not_consistent(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, first - 1))
    before = leaves(first)
    after = [*leaves(size)]
    after[changed] = tree.leaf_hash(b"rewritten")
    proof = tree.consistency_proof(after, first)
    assert not tree.verify_consistency(first, size, tree.root(before), tree.root(after), proof)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(-3, 90), st.integers(-3, 90))
def test_what_comes_from_outside_never_breaks_it(
    proof: list[bytes], index: int, size: int
) -> None:
    root = tree.root(leaves(3))
    assert not tree.verify_inclusion(tree.leaf_hash(b""), index, size, proof, root)
    assert not tree.verify_consistency(index, size, root, tree.leaf_hash(b""), proof)


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    for index in (-1, 3):
        with pytest.raises(IndexError):
            tree.inclusion_proof(leaves(3), index)
    for first in (0, 4):
        with pytest.raises(IndexError):
            tree.consistency_proof(leaves(3), first)


def test_the_leaf_of_a_part() -> None:
    part, chain = bytes(range(16)), bytes(range(32))
    assert tree.part_leaf(part.hex(), chain.hex()) == tree.leaf_hash(part + chain)
    for wrong in (("00", chain.hex()), (part.hex(), "00"), ("xx", chain.hex())):
        with pytest.raises(ValueError):
            tree.part_leaf(*wrong)
