"""Identity checks from the command line.

    python -m kyc setup --models DIR        verify the models and make them ready
    python -m kyc read IMAGE [IMAGE …]      read a Chinese resident identity card
    python -m kyc match A B                 are these two faces one person?
    python -m kyc match --pairs CSV --dir DIR

Exit status: 0 done (match: same person), 1 not (card not read, another person), 2 bad input.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kyc.check import BadInput, Error, Finding, Verdict

DEFAULT_MODELS = Path.home() / ".cache" / "video-bank" / "models"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BadInput as error:
        print(f"kyc: {error.diagnostics()} ({error.code})", file=sys.stderr)
    except (Error, OSError) as error:
        print(f"kyc: {error}", file=sys.stderr)
    return 2


def setup(options: argparse.Namespace) -> int:
    """Verify and convert; says what is there."""
    from kyc.models import prepare

    prepared = prepare(options.models)
    for model in prepared.models.values():
        print(f"{model.name:18} {model.sha256[:12]}  {model.licence:11} {model.origin}")
    return 0


def read(options: argparse.Namespace) -> int:
    """One card, from one picture or several pictures of it."""
    from kyc.image import Frame, decode

    frames = [Frame(decode(path.read_bytes()), 0) for path in options.images]
    instruments = _load(options)
    findings = {}
    for side in ("id_card_front", "id_card_back"):
        findings[side] = _look_at_stills(instruments.open(side, {}), frames)
        if findings[side].verdict is Verdict.PASSED:
            break
    seen = [name for name, finding in findings.items() if finding.values["checks"]["frames"]]
    side = seen[0] if seen else "id_card_front"
    finding = findings[side]
    report = {
        "side": side.removeprefix("id_card_") if seen else None,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "fields": {k: v for k, v in finding.values.items() if k != "checks"},
        "checks": finding.values["checks"],
    }
    _print(report, options.json)
    return 0 if finding.verdict is Verdict.PASSED else 1


def match(options: argparse.Namespace) -> int:
    """Two pictures, or a list of pairs."""
    if (options.pairs is None) != (len(options.images) == 2) or (options.pairs and not options.dir):
        raise BadInput("parameters", "match takes two pictures, or --pairs with --dir")
    instruments = _load(options)
    if options.pairs:
        _print(_measure(instruments, options.pairs, options.dir), options.json)
        return 0
    score = _likeness(instruments, *options.images)
    same = score >= instruments.encoder.threshold
    _print(
        {
            "score": round(score, 4),
            "threshold": instruments.encoder.threshold,
            "verdict": Verdict.PASSED if same else Verdict.FAILED,
        },
        options.json,
    )
    return 0 if same else 1


def _look_at_stills(check: Any, frames: Sequence[Any]) -> Finding:
    """Each still is seen twice, so that one alone can agree with itself."""
    from kyc.image import Frame

    for time_us, frame in enumerate([*frames, *frames]):
        answer = check.see(Frame(frame.bgr, time_us))
        if isinstance(answer, Finding):
            return answer
    return check.expire(0)  # type: ignore[no-any-return]


def _describe(instruments: Any, path: Path) -> Any:
    from kyc.face_match import describe
    from kyc.image import decode

    return describe(instruments.faces, instruments.encoder, decode(path.read_bytes()))


def _likeness(instruments: Any, a: Path, b: Path) -> float:
    from kyc.face import likeness

    described = [_describe(instruments, path) for path in (a, b)]
    for path, embedding in zip((a, b), described, strict=True):
        if embedding is None:
            raise BadInput("no_face", f"{path}: no face found")
    return likeness(*described)


def _measure(instruments: Any, pairs: Path, directory: Path) -> dict[str, Any]:
    """Accuracy over labelled pairs (columns same, a, b); a face not found counts as different."""
    from kyc.measure import rates

    with pairs.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row[column] for row in rows for column in ("a", "b")})
    described = {name: _describe(instruments, directory / name) for name in names}
    return rates(
        [(row["same"] == "1", described[row["a"]], described[row["b"]]) for row in rows],
        {name: embedding for name, embedding in described.items() if embedding is not None},
        instruments.encoder.threshold,
    )


def _load(options: argparse.Namespace) -> Any:
    from kyc.instruments import AtOnce, Instruments

    return Instruments.load(options.models, threads=options.threads, reading=AtOnce())


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    for name, value in report.items():
        if isinstance(value, dict):
            for inner, each in value.items():
                shown = each["value"] if isinstance(each, dict) and "value" in each else each
                print(f"{inner:18} {shown}")
        else:
            print(f"{name:18} {value}")


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--models", type=Path, default=DEFAULT_MODELS, metavar="DIR")
    shared.add_argument("--threads", type=int, default=2)
    shared.add_argument("--json", action="store_true", help="print one JSON object")
    parser = argparse.ArgumentParser(
        prog="python -m kyc", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("setup", parents=[shared])
    command.set_defaults(run=setup)
    command = commands.add_parser("read", parents=[shared])
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    command.set_defaults(run=read)
    command = commands.add_parser("match", parents=[shared])
    command.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    command.add_argument("--pairs", type=Path, metavar="CSV", help="columns same,a,b")
    command.add_argument("--dir", type=Path, metavar="DIR", help="where the pictures of CSV are")
    command.set_defaults(run=match)
    return parser


if __name__ == "__main__":
    sys.exit(main())
