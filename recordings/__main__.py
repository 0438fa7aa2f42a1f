"""Command line: `python -m recordings verify PATH… --trust KEY [--json]`, `… inspect PATH`."""

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
    options = parser.parse_args(arguments)
    try:
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


if __name__ == "__main__":
    sys.exit(main())
