"""Identity checks from the command line.

    python -m kyc setup --models DIR        verify the models and make them ready
    python -m kyc id-card IMAGE [IMAGE …]   read a Chinese resident identity card
    python -m kyc travel-document IMAGE     machine readable zone of a passport, visa or card
    python -m kyc bank-card IMAGE           number, expiry and issuer of a bank card
    python -m kyc licence IMAGE             fields of a Chinese business licence
    python -m kyc match A B                 are these two faces one person? (pictures, cards, clips)
    python -m kyc match --pairs CSV --dir DIR
    python -m kyc liveness VIDEO --prompts blink,mouth,…
                                            does a clip show these actions, in this order?
    python -m kyc passive FILE [FILE …]     passive liveness signals of clips and stills
    python -m kyc digits SOUND --expect 4719
                                            are these digits said, in Mandarin or English?
    python -m kyc report --data DIR         measure the error rates, write the biometric report

Exit status: 0 done (match: same person), 1 not (card not read, another person), 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kyc.check import BadInput, Error
from kyc.commands import (
    bank_card,
    digits,
    id_card,
    licence,
    liveness,
    match,
    passive,
    report,
    setup,
    travel_document,
)

DEFAULT_MODELS = Path.home() / ".cache" / "video-bank" / "models"
COMMANDS = (
    setup,
    id_card,
    travel_document,
    bank_card,
    licence,
    match,
    liveness,
    passive,
    digits,
    report,
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BadInput as error:
        print(f"kyc: {error.diagnostics()} ({error.code})", file=sys.stderr)
    except (Error, OSError) as error:
        print(f"kyc: {error}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--models", type=Path, default=DEFAULT_MODELS, metavar="DIR")
    shared.add_argument("--threads", type=int, default=2)
    shared.add_argument("--json", action="store_true", help="print one JSON object")
    parser = argparse.ArgumentParser(
        prog="python -m kyc", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parsers = parser.add_subparsers(required=True)
    for command in COMMANDS:
        command.add(parsers, shared)
    return parser


if __name__ == "__main__":
    sys.exit(main())
