"""Suite 2 against OpenSSL, and what no signature of any suite may pass for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from recordings import PartReader, Status, Trust, recover, verify_part
from recordings.container import PartWriter, Type
from recordings.suites import Sm4Gcm
from recordings.verify_recording import SUITES, Damaged, Sm2Key, Sm3, key_id

from .parts import DEK, SIGNER, MemorySink, MemorySource, MemoryStore, header, of_type
from .sm2 import FixedSigner, OpensslSigner

FIXED = FixedSigner(b"\x05" * 32)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> OpensslSigner:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    return OpensslSigner(tmp_path_factory.mktemp("sm2"))


def test_sm3_and_sm4_are_the_standards() -> None:
    """GB/T 32905, example 1; RFC 8998, appendix A.1."""
    known = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert Sm3(b"abc").digest().hex() == known
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    nonce = bytes.fromhex("00001234567800000000abcd")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plain = b"".join(bytes([one]) * 8 for one in bytes.fromhex("aabbccddeeffeeaa"))
    sealed = Sm4Gcm(key).encrypt(nonce, plain, associated)
    assert sealed[-16:].hex() == "83de3541e4c2b58177e065a9bf7b62ec"
    assert Sm4Gcm(key).decrypt(nonce, memoryview(sealed), associated) == plain
    plainly = Cipher(algorithms.SM4(key), modes.GCM(nonce, sealed[-16:])).decryptor()
    plainly.authenticate_additional_data(associated)
    assert plainly.update(sealed[:-16]) + plainly.finalize() == plain


def test_sm2_is_the_standard() -> None:
    """GB/T 32918.5, A.2: signature over the standard curve for the usual identity."""
    key = Sm2Key(
        bytes.fromhex(
            "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
            "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
        )
    )
    signature = bytes.fromhex(
        "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
        "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
    )
    assert key.holds(b"message digest", signature)
    assert not key.holds(b"message digesu", signature)


def test_openssl_signs_and_we_verify(outside: OpensslSigner) -> None:
    trust = outside.trust()
    for number in range(20):
        text = bytes([number]) * number
        signature = outside.sign(text)
        assert trust.signed(outside.key_id, text, signature)
        assert not trust.signed(outside.key_id, text + b"x", signature)
        assert not FIXED.trust().signed(FIXED.key_id, text, signature)


def test_a_part_that_openssl_signs(outside: OpensslSigner, tmp_path: Path) -> None:
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(), dek=DEK, signer=outside)
    for number in range(5):
        writer.data(1, number, bytes([number]) * 100)
        writer.checkpoint()
    cut = bytes(sink.data)
    writer.finish()
    (tmp_path / "trust.pem").write_bytes(SIGNER.public_pem() + outside.public_pem())
    trust = Trust.load(tmp_path / "trust.pem")
    store = MemoryStore(p=bytes(sink.data), cut=cut)
    found = verify_part(store, "p", trust, dek=DEK)
    assert found.ok and found.suite == 2 and found.signer == outside.key_id
    reader = PartReader(MemorySource(sink.data), DEK)
    assert [reader.open(r) for r in reader.select(Type.DATA)][3] == b"\3" * 100
    with pytest.raises(Damaged, match="key_wrong"):
        PartReader(MemorySource(sink.data), bytes(32))
    assert recover(store, "cut", outside, trust, cause="killed", by="test", dek=DEK)
    assert verify_part(store, "cut", trust).status is Status.RECOVERED


def test_every_byte_of_a_signed_record_counts() -> None:
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(), dek=DEK, signer=FIXED)
    writer.data(1, 0, b"x")
    writer.finish()
    part, trust = bytes(sink.data), FIXED.trust()
    assert verify_part(MemoryStore(p=part), "p", trust).ok
    for place in range(of_type(part, Type.CHECKPOINT)[0].offset, len(part), 9):
        changed = part[:place] + bytes([part[place] ^ 8]) + part[place + 1 :]
        assert not verify_part(MemoryStore(p=changed), "p", trust).ok, place


def test_what_is_no_sm2_signature() -> None:
    """Numbers out of range, and sums that vanish, with which a careless verifier is fooled."""
    n = Sm2Key.N
    good = FIXED.sign(b"text")
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
    trust = FIXED.trust()
    assert trust.signed(FIXED.key_id, b"text", good)
    for wrong in [(0, s), (r, 0), (n, s), (r, n), (r, n - r), (0, 0), (1, n - 1), (s, r)]:
        signature = b"".join(number.to_bytes(32, "big") for number in wrong)
        assert not trust.signed(FIXED.key_id, b"text", signature)
    assert not trust.signed(FIXED.key_id, b"text", good + b"\0")
    assert not trust.signed(FIXED.key_id, b"text", good[:-1])


def test_keys_that_are_none() -> None:
    prefix = SUITES[2].key_prefix
    point = FIXED.der[len(prefix) :]
    for wrong in (point[:-1], point + b"\0", b"\2" + point[1:], point[:-1] + b"\0", b"\4" * 65):
        with pytest.raises(ValueError, match="SM2"):
            Trust([prefix + wrong])
    with pytest.raises(ValueError):
        Trust([SUITES[1].key_prefix + b"short"])
    with pytest.raises(ValueError):
        Trust([])


def test_a_key_counts_in_its_suite_only() -> None:
    """A header that names a signer of the other suite is refused before any signature."""
    both = Trust([FIXED.der, SIGNER.public_der()])
    assert (both.suite(FIXED.key_id), both.suite(SIGNER.key_id)) == (2, 1)
    assert key_id(FIXED.der) == SUITES[2].digest(FIXED.der).hex()
    sink = MemorySink(bytearray())
    PartWriter(sink, header=header(), dek=DEK, signer=FIXED).finish()
    part = bytes(sink.data).replace(b'"suite":2', b'"suite":1')
    assert verify_part(MemoryStore(p=part), "p", both).reason == "signer_unknown"
