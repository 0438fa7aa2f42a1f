"""A signer in another process: suite 2 from a recorder to the verifier that stands alone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recordings import LocalStore, Recorder, recorder, verify_part, verify_recording
from recordings.errors import SignerAway
from recordings.keys import FileSigner, trusted
from recordings.outside import TEXT_LIMIT, OutsideSigner
from recordings.verify_recording import Trust

from . import media
from .parts import DEK, MemoryStore, header
from .parts import SIGNER as FILE_SIGNER
from .sm2 import FixedSigner, outside
from .test_recorder import begin, feed, until


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    with outside(tmp_path_factory.mktemp("signer")) as found:
        yield found


@pytest.fixture
def signer(places: tuple[Path, Path]) -> OutsideSigner:
    return OutsideSigner.load(*places, deadline_s=0.5)


async def record(
    store: LocalStore | MemoryStore, signer: OutsideSigner
) -> tuple[Recorder, list[OSError]]:
    failures: list[OSError] = []
    made = await Recorder.open(
        store, "p", header=header(), dek=DEK, signer=signer, on_failure=failures.append
    )
    return made, failures


def test_it_signs_and_what_is_no_signature_is_not_used(signer: OutsideSigner) -> None:
    key = FixedSigner(b"\5" * 32)
    assert (signer.suite, signer.key_id) == (2, key.key_id)
    assert key.trust().signed(key.key_id, b"text", signer.sign(b"text"))
    for text in (b"refuse", b"wrong", b"hang"):
        began = time.monotonic()
        with pytest.raises(SignerAway):
            signer.sign(text)
        assert time.monotonic() - began < 2
    with pytest.raises(ValueError):
        signer.sign(bytes(TEXT_LIMIT + 1))
    with pytest.raises(SignerAway):
        OutsideSigner(Path("/nowhere.sock"), key.der).sign(b"text")


async def test_a_call_is_sealed_and_anybody_verifies_it(
    signer: OutsideSigner, tmp_path: Path
) -> None:
    """With nothing but `cryptography` and the one file: SM2 is written out in it."""
    store = LocalStore(tmp_path / "parts", reserve=4096)
    made, failures = await record(store, signer)
    feed(made, made.stream("customer"), media.call(2))
    made.event(1_000_000, {"kind": "accepted"})
    await until(lambda: made.head.records > 3)
    assert (await made.finish()).complete and not failures
    trust = trusted(tmp_path / "trust.pem", signer)
    assert signer.key_id in Trust.load(tmp_path / "trust.pem")
    found = verify_part(store, "p", trust, dek=DEK)
    assert found.ok and found.suite == 2
    shutil.copy(verify_recording.__file__, tmp_path / "alone.py")
    part, key = tmp_path / "parts" / "p", tmp_path / "trust.pem"
    command = [sys.executable, "-I", *map(str, (tmp_path / "alone.py", part, "--trust", key))]
    alone = await asyncio.to_thread(
        lambda: subprocess.run(command, capture_output=True, text=True, check=False)
    )
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert "not certified" in alone.stdout


async def test_a_signer_that_hangs_holds_nobody_else_up(
    signer: OutsideSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own recording ends with an alarm; the event loop, the clerk and the others go on."""
    monkeypatch.setattr(recorder, "UNSIGNED_S", 0.6)
    store, other = MemoryStore(), MemoryStore()
    made, failures = await record(store, signer)
    second, fine = await begin(other)
    monkeypatch.setattr(signer, "_path", Path("/nowhere.sock"))
    made.event(1, {"kind": "never signed"})
    second.event(1_000_000, {"kind": "accepted"})
    await until(lambda: second.head.time_us == 1_000_000)
    assert (await second.finish()).complete and not fine
    await until(lambda: bool(failures), 8)
    sealed = await made.finish()
    assert not sealed.complete and isinstance(failures[0], SignerAway)
    assert not verify_part(store, "p", signer._trust).ok


async def test_a_signer_away_for_a_moment_costs_nothing(
    signer: OutsideSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    made, failures = await record(store, signer)
    path = signer._path
    monkeypatch.setattr(signer, "_path", Path("/nowhere.sock"))
    feed(made, made.stream("customer"), media.call(1))
    await asyncio.sleep(1)
    monkeypatch.setattr(signer, "_path", path)
    assert (await made.finish()).complete and not failures
    found = verify_part(store, "p", signer._trust, dek=DEK)
    assert found.ok and found.last_time_us >= 700_000


def test_earlier_keys_stay_trusted(tmp_path: Path, signer: OutsideSigner) -> None:
    """A bank that changes to suite 2 still verifies what it sealed before."""
    before = FileSigner.load_or_create(tmp_path)
    both = trusted(tmp_path / "trust.pem", signer)
    assert both.suite(before.key_id) == 1 and both.suite(signer.key_id) == 2
    text = (tmp_path / "trust.pem").read_bytes()
    trusted(tmp_path / "trust.pem", signer)
    assert (tmp_path / "trust.pem").read_bytes() == text
    assert FILE_SIGNER.key_id not in both
