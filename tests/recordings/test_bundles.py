"""A bundle is what was signed, or its verifier says what is not."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from recordings.chain import compact
from recordings.keys import Signer
from recordings.timestamp import TestAuthority, load_roots, request
from recordings.verify_recording import (
    MANIFEST,
    SUITES,
    Trust,
    main,
    manifest_text,
    read_stamp,
    verify_bundle,
)

from .authority import OpensslAuthority
from .parts import SIGNER, STRANGER, layout, sealed
from .proofs import proofs
from .sm2 import FixedSigner
from .test_verify import linked

TRUST = SIGNER.trust()


def signed(directory: Path, signer: Signer = SIGNER, **changes: object) -> None:
    """Write the manifest of what is there."""
    files = {
        path.relative_to(directory).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }
    text = compact({"files": files, "made": 1_795_000_000_000_000, "session": "S-1", **changes})
    outer = {
        "format": "VBRM",
        "manifest": text.decode(),
        "signature": signer.sign(manifest_text(SUITES[signer.suite], text)).hex(),
        "signer": signer.key_id,
        "suite": signer.suite,
    }
    (directory / MANIFEST).write_bytes(compact(outer))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Three parts, stamped by the authority for tests."""
    directory = tmp_path / "bundle"
    (directory / "parts").mkdir(parents=True)
    (directory / "documents").mkdir()
    parts = []
    for number, part in enumerate(linked(3), 1):
        (directory / "parts" / f"{number:03}.vbr").write_bytes(part)
        parts.append((f"{number:032x}", chain_of(part)))
    shown = proofs(parts, SIGNER, tmp_path / "authority.pem")
    (directory / "proof.json").write_text(json.dumps(shown))
    (directory / "documents" / "consent.pdf").write_bytes(b"%PDF")
    (directory / "trust.pem").write_bytes(SIGNER.public_pem())
    signed(directory)
    return directory


def chain_of(part: bytes) -> str:
    """Chain value of a whole part, computed by hand."""
    suite, records = SUITES[1], layout(part)
    front = records[0].offset
    chain = sha256(part[: front - 64]).digest()
    for record in records:
        body = part[record.offset + 24 : record.end]
        chain = suite.link(chain, suite.leaf(part[record.offset : record.offset + 24], body))
    return chain.hex()


def test_as_it_was_signed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = verify_bundle(bundle, TRUST)
    assert report.ok and report.session == "S-1" and report.files == 6
    assert [proof.state for proof in report.proofs] == ["test"] * 3
    trust = str(bundle / "trust.pem")
    assert main([str(bundle), "--trust", trust]) == 0
    out = capsys.readouterr().out
    assert "test authority, not evidence" in out and "ok (6 files" in out
    assert main([str(bundle), "--trust", trust, "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["bundles"]
    assert shown["ok"] and len(shown["proofs"]) == 3


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "documents/consent.pdf").write_bytes(b"%PDG"), "consent.pdf was altered"),
        (lambda d: (d / "documents/consent.pdf").unlink(), "consent.pdf is missing"),
        (lambda d: (d / "documents/more.pdf").write_bytes(b""), "documents/more.pdf was added"),
        (lambda d: (d / "parts/002.vbr").unlink(), "part 2 is missing"),
        (lambda d: (d / "proof.json").write_text("[]"), "not about the parts"),
        (lambda d: (d / "proof.json").write_text("{"), "proof.json"),
        (lambda d: (d / "proof.json").write_text("[" * 100_000), "nested too deep"),
        (lambda d: signed(d, STRANGER), "not trusted"),
        (lambda d: signed(d, session="S-2"), "another session"),
        (lambda d: signed(d, files={"../trust.pem": "0" * 64}), "can't be in a bundle"),
        (lambda d: signed(d, files={"/etc/passwd": "0" * 64}), "can't be in a bundle"),
        (lambda d: signed(d, files=[]), "lists no files"),
        (lambda d: (d / MANIFEST).write_bytes(b"{}"), "not a manifest"),
        (lambda d: (d / MANIFEST).write_bytes(b"\xff" * 40), "MANIFEST.json"),
    ],
)
def test_what_was_changed_is_said(bundle: Path, spoil: Spoil, says: str) -> None:
    spoil(bundle)
    report = verify_bundle(bundle, TRUST)
    assert not report.ok and any(says in problem for problem in report.problems), report.problems


def test_every_byte_of_the_manifest_counts(bundle: Path) -> None:
    good = (bundle / MANIFEST).read_bytes()
    for place in range(0, len(good), 7):
        (bundle / MANIFEST).write_bytes(good[:place] + bytes([good[place] ^ 2]) + good[place + 1 :])
        assert not verify_bundle(bundle, TRUST).ok, place


def test_a_link_out_of_the_bundle_is_not_followed(bundle: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"%PDF")
    (bundle / "documents/consent.pdf").unlink()
    os.symlink(secret, bundle / "documents/consent.pdf")
    assert "documents/consent.pdf is missing" in verify_bundle(bundle, TRUST).problems


def test_a_part_alone_is_not_the_session(bundle: Path) -> None:
    for name in ("001", "003"):
        (bundle / f"parts/{name}.vbr").unlink()
    signed(bundle)
    problems = verify_bundle(bundle, TRUST).problems
    assert "part 1 is missing or given twice" in problems


def altered(bundle: Path, **changes: object) -> Any:
    entries = json.loads((bundle / "proof.json").read_text())
    entries[1].update(changes)
    (bundle / "proof.json").write_text(json.dumps(entries))
    signed(bundle)
    return verify_bundle(bundle, TRUST)


@pytest.mark.parametrize(
    "changes",
    [
        {"position": 3},
        {"position": -1},
        {"position": "4"},
        {"size": 99},
        {"day": "2026-11-23"},
        {"root": "00" * 32},
        {"root": None},
        {"proof": []},
        {"proof": ["00" * 32] * 4},
        {"proof": ["zz"]},
        {"checkpoint": "bank/2026-11-22\n9\nAA==\n\n"},
        {"checkpoint": 7},
        {"token": "AAAA"},
        {"token": ""},
        {"token": base64.b64encode(bytes([0x30, 0x84]) + b"\xff" * 60).decode()},
    ],
)
def test_a_proof_that_does_not_hold(bundle: Path, changes: dict[str, object]) -> None:
    report = altered(bundle, **changes)
    assert [proof.state for proof in report.proofs] == ["test", "wrong", "test"]
    assert not report.ok and any("does not hold" in problem for problem in report.problems)


def test_what_is_not_there_yet_is_said_and_no_fault(bundle: Path) -> None:
    report = altered(bundle, token=None)
    assert report.ok and "not yet stamped" in report.proofs[1].said
    report = altered(bundle, checkpoint=None)
    assert report.ok and report.proofs[1].state == "waiting"


def test_a_bundle_of_suite_2(tmp_path: Path) -> None:
    signer = FixedSigner(b"\x09" * 32)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/001.vbr").write_bytes(sealed(signer=signer))
    signed(tmp_path, signer)
    assert verify_bundle(tmp_path, signer.trust()).ok
    assert not verify_bundle(tmp_path, TRUST).ok
    assert verify_bundle(tmp_path, Trust([signer.der, SIGNER.public_der()])).ok


# --- stamps


def test_a_stamp_of_openssl(tmp_path: Path) -> None:
    """A chain of three certificates, which the answer lists in no order."""
    authority = OpensslAuthority(tmp_path)
    digest = sha256(b"head").digest()
    answer = authority.reply(request(digest, 7))
    roots = load_roots(authority.roots)
    stamp = read_stamp(answer, digest, roots)
    assert stamp.rooted and not stamp.test and "Clock of tests" in stamp.authority
    assert not read_stamp(answer, digest, []).rooted
    assert not read_stamp(answer, digest, strangers(tmp_path)).rooted
    with pytest.raises(ValueError, match="something else"):
        read_stamp(answer, sha256(b"tail").digest(), roots)


def strangers(tmp_path: Path) -> list[Certificate]:
    return list(TestAuthority(tmp_path / "strange.pem").roots)


def test_no_bit_of_a_stamp_is_idle(tmp_path: Path) -> None:
    """Whichever is turned: refused, or it says the very same (certificates not needed, say)."""
    authority = TestAuthority(tmp_path / "authority.pem")
    digest = sha256(b"head").digest()
    answer = authority.answer(digest, 5)
    good = read_stamp(answer, digest, authority.roots)
    assert good.test and good.rooted
    refused = 0
    for place in range(len(answer)):
        wrong = answer[:place] + bytes([answer[place] ^ 4]) + answer[place + 1 :]
        try:
            found = read_stamp(wrong, digest, authority.roots)
        except ValueError:
            refused += 1
        else:
            assert found == good, place
    assert refused > len(answer) * 0.9
    assert authority.roots[0].public_bytes(Encoding.DER)
