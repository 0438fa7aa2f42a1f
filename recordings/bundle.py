"""The evidence bundle: everything a third party needs to verify a session without the bank.

```
parts/001.vbr  parts/001.vbr.close …    the sealed parts as they are, still encrypted
timeline.json  proof.json  trust.pem    the session's chain, proofs of the day tree, public key
certificates/authorities.pem            in which time stamps end, where there are any
documents/                              where there are any
video.mp4 or video.mkv                  everybody side by side (see `export`)
report.html                             all of this for people, in Chinese and English
verify_recording.py                     the verifier, one file
MANIFEST.json                           the SHA-256 of each of them, signed
```

`MANIFEST.json` is canonical JSON: format "VBRM", `manifest` (the signed text), `signature`
(hexadecimal), `signer` (key id), `suite`. The text is canonical JSON too: `files` (path → SHA-256),
`made` (µs since 1970 UTC), `session`. Signed is `"VBR1 manifest\\0" ‖ H(text)`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2

from .chain import compact
from .keys import Signer
from .store import Store, read_all
from .verify_recording import SUITES

MANIFEST = "MANIFEST.json"
REPORT = "report.html"
VERIFIER = "verify_recording.py"
AUTHORITIES = "certificates/authorities.pem"
PIECE = 1 << 20
_HERE = Path(__file__).parent
_PACKED = {".vbr", ".close", ".mp4", ".mkv", ".pdf"}
"""What is encrypted or compressed already goes into the zip as it is."""

Words = tuple[str, str]
"""The same in Chinese and in English."""


@dataclass(frozen=True)
class PartReport:
    """What the report says of one part."""

    number: int
    file: str
    part_id: str
    verdict: Words
    good: bool | None
    """None: neither whole nor altered."""
    reason: Words
    where: str
    """The first place that is wrong, empty if nothing is."""
    records: int
    duration_us: int
    chain: str
    signer: str
    suite: int
    """Of the cryptography; 2 is not certified."""
    stamp: Words
    """Stamped, not yet stamped, or by a test authority."""
    stamped: str
    """By whom and when; empty while it is not."""


@dataclass(frozen=True)
class FindingReport:
    """What the report says of one finding."""

    check: Words
    attempt: int
    verdict: Words
    good: bool | None
    reason: Words
    score: str
    at_us: int | None
    part: int | None
    """Number of the part in which it is to be seen."""
    values: Sequence[tuple[str, str, str]]
    """(field, as read, as corrected and by whom)"""
    pictures: Sequence[str]
    """Paths in the bundle; their hashes stand in the timeline."""


@dataclass(frozen=True)
class EntryReport:
    """One row of the timeline."""

    seq: int
    at: int
    media_time_us: int | None
    what: Words
    who: Words
    hash: str


@dataclass
class Report:
    """Everything the report says, in the order in which it says it."""

    session: str
    made: int
    """UTC microseconds."""
    offset_min: int
    """Of the bank's local time from UTC."""
    facts: list[tuple[Words, Words]]
    people: list[tuple[Words, str, str, str]]
    """(role, name, from, to)"""
    verdict: Words
    good: bool | None
    parts: list[PartReport]
    findings: list[FindingReport]
    timeline: list[EntryReport]
    video: Words
    trusted: str
    """Key id of the signer."""
    files: list[tuple[str, int, str]] = field(default_factory=list)
    """(path, bytes, SHA-256), filled in by `finish`."""


def copy_part(store: Store, name: str, number: int, directory: Path) -> Path:
    """Put a part and its closing under `parts/`, byte for byte; the part's file.

    `FileNotFoundError` if the store has no such part.
    """
    path = directory / "parts" / f"{number:03d}.vbr"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.closing(store.open(name)) as source, _new(path) as out:
        at, size = 0, source.size()
        while at < size:
            piece = source.read(at, min(PIECE, size - at))
            if not piece:
                raise OSError(f"{name} became shorter while it was copied")
            out.write(piece)
            at += len(piece)
    closing = read_all(store, name + ".close")
    if closing is not None:
        put(path.with_name(path.name + ".close"), closing)
    return path


def put(path: Path, data: bytes) -> None:
    """A new small file that others cannot read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _new(path) as out:
        out.write(data)


def write_json(path: Path, value: Any) -> None:
    """`value` for people and programs."""
    put(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n")


def finish(directory: Path, report: Report, signer: Signer) -> None:
    """Add the verifier, the report and, last, the signed manifest of all files."""
    put(directory / VERIFIER, (_HERE / VERIFIER).read_bytes())
    report.files = [(name, path.stat().st_size, hash_of(path)) for name, path in _files(directory)]
    put(directory / REPORT, render(report).encode())
    hashes = {name: digest for name, _, digest in report.files}
    hashes[REPORT] = hash_of(directory / REPORT)
    text = compact({"files": hashes, "made": report.made, "session": report.session})
    signed = {
        "format": "VBRM",
        "manifest": text.decode(),
        "signature": signer.sign(b"VBR1 manifest\0" + SUITES[signer.suite].digest(text)).hex(),
        "signer": signer.key_id,
        "suite": signer.suite,
    }
    put(directory / MANIFEST, compact(signed))


def pack(
    directory: Path, out: Path, told: Callable[[float], None] = lambda done: None
) -> tuple[int, str]:
    """One zip of mode 0600 out of `directory`, whose files go as they are packed; (bytes, SHA-256).

    So the disk holds everything once, and one file twice for a moment.
    """
    sizes = {path: path.stat().st_size for _, path in _files(directory)}
    whole, done = max(1, sum(sizes.values())), 0
    root = Path(directory.name)
    with _new(out) as file, zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, path in _files(directory):
            kind = zipfile.ZIP_STORED if path.suffix in _PACKED else zipfile.ZIP_DEFLATED
            info = zipfile.ZipInfo(str(root / name), datetime.now(UTC).timetuple()[:6])
            info.compress_type, info.external_attr = kind, 0o600 << 16
            info.file_size = sizes[path]
            with path.open("rb") as source, archive.open(info, "w") as target:
                while piece := source.read(PIECE):
                    target.write(piece)
                    done += len(piece)
                    told(done / whole)
            path.unlink()
    shutil.rmtree(directory)
    return out.stat().st_size, hash_of(out)


def render(report: Report) -> str:
    """The report as one HTML page without scripts, for screen and paper."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        utc=_utc, media=media_time, local=lambda us: _local(us, report.offset_min)
    )
    return environment.get_template(REPORT).render(
        r=report,
        verifier=VERIFIER,
        authorities=AUTHORITIES if any(name == AUTHORITIES for name, *_ in report.files) else "",
    )


def media_time(us: int | None) -> str:
    """`0:01:02.345` after the session began; a dash if nothing was on the air."""
    if us is None:
        return "–"
    seconds, ms = divmod(us // 1000, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def hash_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    state = sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            state.update(piece)
    return state.hexdigest()


def _utc(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _local(us: int, offset_min: int) -> str:
    moment = datetime.fromtimestamp(us / 1e6 + offset_min * 60, UTC)
    sign = "-" if offset_min < 0 else "+"
    zone = f"UTC{sign}{abs(offset_min) // 60:02d}:{abs(offset_min) % 60:02d}"
    return f"{moment:%Y-%m-%d %H:%M:%S} {zone}"


def _files(directory: Path) -> list[tuple[str, Path]]:
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    return [(path.relative_to(directory).as_posix(), path) for path in found]


def _new(path: Path) -> Any:
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "w+b")
