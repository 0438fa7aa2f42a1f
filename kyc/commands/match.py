"""``python -m kyc match``: are these two faces one person? Or the error rates over listed pairs."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyc import commands
from kyc.check import BadInput, Verdict
from kyc.commands import Commands

if TYPE_CHECKING:
    from kyc.face import Embedding
    from kyc.instruments import Instruments


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("match", parents=[shared], help=__doc__)
    command.set_defaults(run=match)
    command.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    command.add_argument("--pairs", type=Path, metavar="CSV", help="columns same,a,b")
    command.add_argument("--dir", type=Path, metavar="DIR", help="where the pictures of CSV are")


def match(options: argparse.Namespace) -> int:
    """Two pictures, or a list of pairs."""
    if (options.pairs is None) != (len(options.images) == 2) or (options.pairs and not options.dir):
        raise BadInput("parameters", "match takes two pictures, or --pairs with --dir")
    instruments = commands.load(options)
    if options.pairs:
        commands.show(_measure(instruments, options.pairs, options.dir), options.json)
        return 0
    score = _likeness(instruments, *options.images)
    same = score >= instruments.encoder.threshold
    report = {
        "score": round(score, 4),
        "threshold": instruments.encoder.threshold,
        "verdict": Verdict.PASSED if same else Verdict.FAILED,
    }
    commands.show(report, options.json)
    return 0 if same else 1


def _describe(instruments: Instruments, path: Path) -> Embedding | None:
    from kyc.face_match import describe
    from kyc.image import decode

    return describe(instruments.faces, instruments.encoder, decode(path.read_bytes()))


def _likeness(instruments: Instruments, a: Path, b: Path) -> float:
    from kyc.face import likeness

    described = []
    for path in (a, b):
        embedding = _describe(instruments, path)
        if embedding is None:
            raise BadInput("no_face", f"{path}: no face found")
        described.append(embedding)
    return likeness(*described)


def _measure(instruments: Instruments, pairs: Path, directory: Path) -> dict[str, Any]:
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
