"""Command line: `python -m recordings verify PATH… --trust KEY [--json]`, `… inspect PATH`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .verify_recording import (
    NOT_OK,
    OK,
    RECORD_HEADER,
    WRONG_USE,
    Damaged,
    File,
    Flag,
    Record,
    Type,
    add_arguments,
    read_preamble,
    run,
    seconds,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 all is ok, 1 something is not, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m recordings", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="say whether parts are as they were recorded")
    add_arguments(verify)
    inspect = commands.add_parser("inspect", help="show the anatomy of a part, without its key")
    inspect.add_argument("path", type=Path, metavar="PATH")
    inspect.add_argument("--records", action="store_true", help="list every record")
    options = parser.parse_args(arguments)
    try:
        if options.command == "inspect":
            return _inspect(options.path, options.records)
        return run(options)
    except (OSError, ValueError) as error:
        print(f"python -m recordings: {error}", file=sys.stderr)
        return WRONG_USE


def _inspect(path: Path, each: bool) -> int:
    with contextlib.closing(File(path)) as source:
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
                    f"{record.sequence:8} {seconds(record.time_us):>12} "
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


if __name__ == "__main__":
    sys.exit(main())
