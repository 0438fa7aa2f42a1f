"""Command line: `python -m recordings verify PATH… --trust KEY [--json]`, `… inspect PATH`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from .container import RECORD_HEADER, Flag, Record, Type, read_preamble
from .errors import Damaged
from .keys import Trust
from .store import LocalStore
from .verify import ChainReport, Status, Verdict, verify_part, verify_session

OK, NOT_OK, WRONG_USE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 all is ok, 1 something is not, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m recordings", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="say whether parts are as they were recorded")
    verify.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="part or directory")
    verify.add_argument("--trust", required=True, type=Path, help="public keys of signers, PEM")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    inspect = commands.add_parser("inspect", help="show the anatomy of a part, without its key")
    inspect.add_argument("path", type=Path, metavar="PATH")
    inspect.add_argument("--records", action="store_true", help="list every record")
    options = parser.parse_args(arguments)
    try:
        if options.command == "inspect":
            return _inspect(options.path, options.records)
        return _verify(options.paths, Trust.load(options.trust), options.json)
    except (OSError, ValueError) as error:
        print(f"python -m recordings: {error}", file=sys.stderr)
        return WRONG_USE


def _verify(paths: list[Path], trust: Trust, as_json: bool) -> int:
    files = [file for path in paths for file in _parts(path)]
    if not files:
        raise ValueError("there is no part (*.vbr) under these paths")
    verdicts = [verify_file(file, trust) for file in files]
    sessions: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.session is not None:
            sessions[verdict.session].append(verdict)
    # A single part that was picked out says nothing about the others.
    reports = [verify_session(parts) for parts in sessions.values() if len(parts) > 1]
    if as_json:
        _print_json(verdicts, reports)
    else:
        for verdict in verdicts:
            print(_line(verdict))
        for report in reports:
            print(_chain_line(report))
    fine = all(verdict.ok for verdict in verdicts) and all(report.ok for report in reports)
    return OK if fine else NOT_OK


def verify_file(path: Path, trust: Trust) -> Verdict:
    """The verdict on the part in this file, with the closing beside it."""
    return verify_part(_Beside(path), str(path), trust)


class _Beside(LocalStore):
    """Files under whatever name they have: the names come from the command line."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)

    def path(self, name: str) -> Path:
        return Path(name)


def _parts(path: Path) -> list[Path]:
    return sorted(path.rglob("*.vbr")) if path.is_dir() else [path]


def _print_json(verdicts: list[Verdict], reports: list[ChainReport]) -> None:
    chains = [
        {"session": report.session, "ok": report.ok, "problems": report.problems}
        for report in reports
    ]
    parts = [verdict.to_json() for verdict in verdicts]
    print(json.dumps({"parts": parts, "sessions": chains}, ensure_ascii=False, indent=1))


def _line(verdict: Verdict) -> str:
    line = f"{verdict.name}: {verdict.status}"
    if verdict.status is Status.OK:
        tail = "" if verdict.reason == "finished" else f", {verdict.reason}"
        return f"{line} ({verdict.records} records, {_seconds(verdict.last_time_us)}{tail})"
    line += f": {verdict.reason}"
    if verdict.record is not None:
        line += f" at record {verdict.record}, {_seconds(verdict.time_us or 0)}"
    if verdict.detail:
        line += f" ({verdict.detail})"
    signed = f"signed to record {verdict.signed_records}, {_seconds(verdict.signed_time_us)}"
    return f"{line}; {signed}"


def _chain_line(report: ChainReport) -> str:
    parts = len(report.verdicts)
    said = "; ".join(report.problems) or "each part follows the one before it"
    return f"session {report.session}: {parts} parts: {said}"


def _seconds(time_us: int) -> str:
    return f"{time_us / 1e6:.3f} s"


def _inspect(path: Path, each: bool) -> int:
    with contextlib.closing(_Beside(path).open(str(path))) as source:
        try:
            preamble = read_preamble(source)
        except Damaged as error:
            print(f"{path}: {error}")
            return NOT_OK
        print(json.dumps(preamble.header, ensure_ascii=False, indent=1, sort_keys=True))
        print(f"preamble: {preamble.size} bytes, hash {preamble.hash.hex()}")
        counts: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        last: Record | None = None
        size, end = source.size(), preamble.size
        for record in _headers(source.read, end, size):
            kind = _kind(record)
            counts[kind] += 1
            sizes[kind] += record.length + RECORD_HEADER
            last, end = record, record.end
            if each:
                print(
                    f"{record.sequence:8} {_seconds(record.time_us):>12} "
                    f"at {record.offset:12} {record.length:8} {kind}"
                )
    for kind in sorted(counts):
        print(f"{kind:24} {counts[kind]:8} records {sizes[kind]:12} bytes")
    final = last is not None and last.type == Type.FINAL
    print("ends with FINAL" if final else "has no FINAL", end="")
    print(f", {size - end} bytes behind the last whole record")
    return OK


def _headers(read: Any, offset: int, size: int) -> Iterator[Record]:
    """Whole records from `offset` on, as far as their headers make sense."""
    with contextlib.suppress(Damaged):
        while offset + RECORD_HEADER <= size:
            record = Record.unpack(read(offset, RECORD_HEADER), offset)
            if record.end > size:
                return
            yield record
            offset = record.end


def _kind(record: Record) -> str:
    name = Type(record.type).name
    if record.type != Type.DATA:
        return name
    flags = "".join(f" {flag.name}" for flag in Flag if record.flags & flag)
    return f"{name} {record.stream}{flags}"


def run() -> NoReturn:
    """Run as a program."""
    sys.exit(main())


if __name__ == "__main__":
    run()
