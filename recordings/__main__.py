"""Command line: `python -m recordings verify PATH… --trust KEY [--json]`, `… inspect PATH`, and
`… export PATH… --out FILE`, which reads the data keys from its standard input."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .anatomy import anatomy
from .verify_recording import NOT_OK, OK, WRONG_USE, Damaged, add_arguments, run, say


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 all is ok, 1 something is not, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m recordings", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="say whether parts are as they were recorded")
    add_arguments(verify)
    inspect = commands.add_parser("inspect", help="show the anatomy of a part, without its key")
    inspect.add_argument("path", type=Path, metavar="PATH")
    inspect.add_argument("--records", action="store_true", help="list every record")
    export = commands.add_parser(
        "export",
        help="make one video of a session's parts; their data keys come on the standard input,"
        " a line of 64 hexadecimal digits each, in the order of the paths",
    )
    export.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    export.add_argument("--out", required=True, type=Path, help="the video, without its suffix")
    options = parser.parse_args(arguments)
    try:
        if options.command == "export":
            return _export(options.paths, options.out)
        if options.command == "verify":
            return run(options)
        for line in anatomy(options.path, each=options.records):
            say(line)
        return OK
    except Damaged as error:
        say(f"{options.path}: {error}")
        return NOT_OK
    except (OSError, ValueError) as error:
        print(f"python -m recordings: {error}", file=sys.stderr)
        return WRONG_USE


def _export(paths: list[Path], out: Path) -> int:
    # Here: it loads codecs, which nobody who verifies needs.
    from .export import NothingRecorded, film

    keys = [line.strip() for line in sys.stdin if line.strip()]
    if len(keys) != len(paths):
        raise ValueError(f"{len(paths)} parts and {len(keys)} data keys")
    parts = [{"path": str(path), "dek": key} for path, key in zip(paths, keys, strict=True)]
    try:
        made = film({"parts": parts, "out": str(out)}, lambda done: print(f"{done:.0%}"))
    except (NothingRecorded, Damaged) as error:
        say(str(error))
        return NOT_OK
    say(f"{out.with_name(made.file)}: {made.duration_us / 1e6:.3f} s, {made.video}, {made.audio}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
