"""Who should not be there: a second process on a part, and a thief with the file alone."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from recordings import LocalStore, PartReader, RecoveryRefused, Status, recover, verify_part
from recordings.__main__ import main
from recordings.container import Flag, PartWriter, Type
from recordings.matroska import Picture, init_segment
from tests.recordings.parts import DEK, SIGNER, MemorySink, header, layout
from tests.recordings.recording_child import child


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Path]:
    """A directory in which another process writes `1.vbr`."""
    process = child(tmp_path, "1.vbr")
    try:
        assert process.stdout is not None and process.stdout.readline() == "recording\n"
        yield tmp_path
    finally:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused(writing: Path) -> None:
    second = child(writing, "1.vbr", stderr=subprocess.PIPE)
    _, complaint = second.communicate(timeout=60)
    assert second.returncode == 1 and "FileExistsError" in complaint
    store = LocalStore(writing)
    with pytest.raises(FileExistsError):
        store.create("1.vbr")
    assert store.being_written("1.vbr")
    with pytest.raises(RecoveryRefused, match="being written"):
        recover(store, "1.vbr", SIGNER, SIGNER.trust(), cause="none", by="test")
    assert verify_part(store, "1.vbr", SIGNER.trust()).status is Status.INCOMPLETE
    assert "1.vbr.close" not in store.names()


SECRETS = (b"Wang Wei", b"622202", b"approved", b"customer", b"V_VP8", b"A_OPUS", b"picture of")


def stolen(tmp_path: Path) -> Path:
    """A part full of what nobody else may know."""
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(), dek=DEK, signer=SIGNER)
    writer.data(
        1, 0, init_segment("customer Wang Wei", Picture(b"V_VP8", b"", 640, 360)), Flag.INIT
    )
    for number in range(200):
        picture = b"picture of Wang Wei, card 622202 " * 30
        writer.data(1, number * 200_000, picture, Flag(number % 10 == 0))
        if number % 20 == 0:
            writer.event(number * 200_000, b'{"kind":"decided","verdict":"approved"}')
    writer.finish()
    path = tmp_path / "stolen.vbr"
    path.write_bytes(sink.data)
    return path


def test_a_stolen_file_shows_sizes_and_times_alone(tmp_path: Path) -> None:
    path = stolen(tmp_path)
    part = path.read_bytes()
    for secret in SECRETS:
        assert secret not in part
    # What is clear: the header as FORMAT.md lists it, record headers, hashes, signatures.
    length = int.from_bytes(part[8:12], "big")
    assert json.loads(part[12 : 12 + length]).keys() == {
        "created", "format", "key_id", "part", "part_id", "previous", "session", "signer", "suite",
    }  # fmt: skip
    sealed = [r for r in layout(part) if r.type in (Type.DATA, Type.EVENT)]
    bodies = [part[record.offset + 24 : record.end] for record in sealed]
    # Two hundred times the same picture: without the key nothing repeats and nothing compresses.
    assert len({body[at : at + 8] for body in bodies for at in (0, 16, 32)}) == 3 * len(bodies)
    together = b"".join(bodies)
    assert len(zlib.compress(together, 9)) > 0.99 * len(together)
    with pytest.raises(ValueError):
        PartReader(LocalStore(tmp_path).open(path.name), b"guess")


def test_what_inspecting_it_tells(tmp_path: Path) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["inspect", str(stolen(tmp_path)), "--records"]) == 0
    for secret in SECRETS:
        assert secret.decode() not in out.getvalue()
