"""Keyring, signer, trust."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from recordings import FileKeyring, FileSigner, Trust, new_dek
from recordings.suites import PartKeys
from recordings.verify_recording import SUITES


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_key_files_that_others_can_read_are_refused(tmp_path: Path) -> None:
    ring = FileKeyring(tmp_path / "keyring.json")
    ring.kek("bank", "2026-11")
    os.chmod(tmp_path / "keyring.json", 0o640)
    with pytest.raises(PermissionError):
        ring.kek("bank", "2026-11")
    FileSigner.load_or_create(tmp_path)
    os.chmod(tmp_path / "signing.key", 0o644)
    with pytest.raises(PermissionError):
        FileSigner.load_or_create(tmp_path)


def test_writers_at_once_lose_no_key(tmp_path: Path) -> None:
    def add(number: int) -> None:
        ring = FileKeyring(tmp_path / "keyring.json")
        for month in range(1, 9):
            ring.kek(f"bank-{number}", f"2026-{month:02}")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring = FileKeyring(tmp_path / "keyring.json")
    for number in range(4):
        for month in range(1, 9):
            ring.wrap(new_dek(), f"bank-{number}/2026-{month:02}")


def test_the_signer_stays_the_same(tmp_path: Path) -> None:
    first = FileSigner.load_or_create(tmp_path / "keys")
    again = FileSigner.load_or_create(tmp_path / "keys")
    assert first.key_id == again.key_id
    assert mode(tmp_path / "keys" / "signing.key") == 0o600
    trust = Trust.load(tmp_path / "keys" / "trust.pem")
    assert first.key_id in trust
    assert trust.signed(first.key_id, b"text", again.sign(b"text"))
    assert not trust.signed(first.key_id, b"texT", again.sign(b"text"))
    assert not trust.signed("0" * 64, b"text", again.sign(b"text"))


def test_trust_needs_a_key_of_the_right_kind(tmp_path: Path) -> None:
    path = tmp_path / "trust.pem"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="no public key"):
        Trust.load(path)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    path.write_bytes(
        other.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(ValueError, match="neither Ed25519 nor SM2"):
        Trust.load(path)


def test_keys_do_not_show_in_a_representation() -> None:
    keys = PartKeys.derive(SUITES[1], bytes(32), b"header")
    assert "aead" not in repr(keys) and "base" not in repr(keys)
    with pytest.raises(ValueError):
        PartKeys.derive(SUITES[1], b"short", b"header")
