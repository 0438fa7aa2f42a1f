"""A full disk, for real: a small tmpfs, and a limit on the size of files."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recordings import LocalStore, Status, recover, verify_part

from .parts import DEK, SIGNER
from .recording_child import child


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 10 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small tmpfs")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a tmpfs here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def told(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=60)
    return output.splitlines()


@pytest.mark.slow
def test_final_comes_from_the_reserve(small: Path) -> None:
    """2 MiB are left beside the reserve: seconds of a call. The part ends whole."""
    (small / "1.vbr.truth").symlink_to("/dev/null")
    lines = told(child(small, "1.vbr"))
    assert lines == ["recording", "failed 28", "sealed True ENOSPC"]
    found = verify_part(LocalStore(small), "1.vbr", SIGNER.trust(), dek=DEK)
    assert found.ok and found.reason == "writing_failed"
    assert found.bytes > 1_500_000


def test_no_room_for_the_reserve_is_known_before_the_call(small: Path) -> None:
    (small / "ballast").write_bytes(bytes(4 << 20))
    with pytest.raises(OSError, match="No space left"):
        LocalStore(small).create("1.vbr")
    assert LocalStore(small).names() == ["ballast"]


@pytest.mark.slow
def test_a_limit_that_no_reserve_lifts_leaves_a_part_to_close(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000_000, 9_000_000))

    (tmp_path / "1.vbr.truth").symlink_to("/dev/null")
    store, trust = LocalStore(tmp_path), SIGNER.trust()
    lines = told(child(tmp_path, "1.vbr", "40000", preexec_fn=limited))
    assert lines[-1] == "sealed False EFBIG"
    found = verify_part(store, "1.vbr", trust, dek=DEK)
    assert (found.status, found.reason) == (Status.INCOMPLETE, "record_cut")
    assert recover(store, "1.vbr", SIGNER, trust, cause="file too large", by="test", dek=DEK)
    assert verify_part(store, "1.vbr", trust).status is Status.RECOVERED
