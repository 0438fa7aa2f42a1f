"""Command line of the probe: one JSON object on standard output, progress on standard error.

Exit status 0: the session ran to a sealed end, whatever the checks said; 1: it did not.
"""

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path

from yarl import URL

from .run import Options, run


def parse(arguments: list[str] | None = None) -> tuple[Options, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m video_bank.probe",
        description="Run one whole session against a running server, with a robot customer and "
        "a robot teller, and print what came of it as one JSON object.",
        epilog="Exit status 0 when the session ran to a sealed end, whatever the checks said; "
        "1 when it did not.",
    )
    add = parser.add_argument
    add("--server", required=True, metavar="URL", type=URL, help="address of the running server")
    add("--teller", required=True, metavar="NAME", help="sign-in name of a teller")
    add("--password", required=True, help="the teller's password")
    add("--totp", metavar="SECRET", help="base32 secret of the teller's second factor")
    add("--customer-video", required=True, metavar="FILE", type=Path,
        help="the customer's face, looped")  # fmt: skip
    add("--id-front", required=True, metavar="IMG", type=Path, help="front of the ID card")
    add("--id-back", required=True, metavar="IMG", type=Path, help="back of the ID card")
    add("--customer-audio", metavar="WAV", type=Path,
        help="the customer's voice, looped (default: silence)")  # fmt: skip
    add("--business", metavar="ID", help="what the customer comes for (default: the first "
        "business that asks for an ID card)")  # fmt: skip
    add("--checks-timeout", metavar="SECONDS", type=float, default=300.0,
        help="longest wait for all checks together (default: %(default)g)")  # fmt: skip
    add("--json", action="store_true", help="no progress on standard error")
    add("--verbose", action="store_true", help="every message on standard error")
    args = parser.parse_args(arguments)
    if not args.server.is_absolute() or args.server.scheme not in ("http", "https"):
        parser.error("--server: an http or https address is needed")
    options = Options(
        server=args.server,
        teller=args.teller,
        password=args.password,
        totp=args.totp,
        customer_video=args.customer_video,
        id_front=args.id_front,
        id_back=args.id_back,
        customer_audio=args.customer_audio,
        business=args.business,
        checks_s=args.checks_timeout,
    )
    return options, args


def main() -> int:
    options, args = parse()
    logging.basicConfig(
        stream=sys.stderr, format="%(relativeCreated)6d ms  %(message)s", level=logging.WARNING
    )
    quiet = logging.WARNING if args.json else logging.INFO
    logging.getLogger("video_bank.probe").setLevel(logging.DEBUG if args.verbose else quiet)
    logging.getLogger("aiortc").setLevel(logging.ERROR)  # a lost frame is not worth a line
    report = asyncio.run(run(options))
    print(json.dumps(report.as_json(), ensure_ascii=False), flush=True)
    return 0 if report.sealed else 1


if __name__ == "__main__":
    sys.exit(main())
