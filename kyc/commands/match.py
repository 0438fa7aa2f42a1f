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

CLIP_FPS = 4.0  # pictures a second looked at in a clip
MAX_PAIRS = 100_000


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("match", parents=[shared], help=__doc__)
    command.set_defaults(run=match)
    command.add_argument(
        "images",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="a picture, a card's picture (its portrait counts) or a video clip",
    )
    command.add_argument("--pairs", type=Path, metavar="CSV", help="columns same,a,b")
    command.add_argument("--dir", type=Path, metavar="DIR", help="where the pictures of CSV are")


def match(options: argparse.Namespace) -> int:
    """Two pictures or clips, or a list of pairs of pictures."""
    if (options.pairs is None) != (len(options.images) == 2) or (options.pairs and not options.dir):
        raise BadInput("parameters", "match takes two pictures or clips, or --pairs with --dir")
    if options.pairs:
        rows = read_pairs(options.pairs, options.dir)
        instruments = commands.load(options)
        commands.show(_measure(instruments, rows, options.dir), options.json)
        return 0
    looks = [_Look(path) for path in options.images]
    instruments = commands.load(options)
    a, b = (look.describe(instruments) for look in looks)
    score, threshold = float(a @ b), instruments.full.threshold
    same = score >= threshold
    report = {
        "score": round(score, 4),
        "threshold": threshold,
        "verdict": Verdict.PASSED if same else Verdict.FAILED,
    }
    commands.show(report, options.json)
    return 0 if same else 1


class _Look:
    """One of the two files: judged at once, described when the models are loaded."""

    def __init__(self, path: Path) -> None:
        from kyc.clip import Clip
        from kyc.image import decode

        self._path = path
        self._clip: Clip | None = None
        try:
            self._clip = Clip.open(path)
        except BadInput as error:
            if error.code != "not_a_video":
                raise
            self._still = decode(path.read_bytes())

    def describe(self, instruments: Instruments) -> Embedding:
        """BadInput when there is no face to be compared."""
        from kyc.face_match import describe, describe_frames

        faces, full = instruments.faces, instruments.full
        if self._clip is None:
            described = describe(faces, full, self._still)
        else:
            described = describe_frames(faces, full, self._clip.frames(CLIP_FPS))
        if described is None:
            raise BadInput("no_face", f"{self._path}: no face found that could be compared")
        return described


def read_pairs(pairs: Path, directory: Path) -> list[tuple[bool, str, str]]:
    """Rows of a CSV with columns same (1 or 0), a, b; BadInput when it is none or one is missing.

    A name must lie inside ``directory``.
    """
    try:
        with pairs.open(encoding="utf-8", newline="") as file:
            rows = [(row["same"], row["a"], row["b"]) for row in csv.DictReader(file)]
    except (KeyError, ValueError, csv.Error) as error:
        raise BadInput("pairs", f"{pairs}: no list of pairs with columns same,a,b") from error
    if not 1 <= len(rows) <= MAX_PAIRS or any(same not in ("0", "1") for same, _, _ in rows):
        raise BadInput("pairs", f"{pairs}: 1 to {MAX_PAIRS} rows, same is 1 or 0")
    for name in {each for _, *two in rows for each in two}:
        if not name or Path(name).name != name:
            raise BadInput("pairs", f"{pairs}: {name!r} is no file's name")
        if not (directory / name).is_file():
            raise BadInput("pairs", f"{directory / name} is missing")
    if len({same for same, _, _ in rows}) < 2:
        raise BadInput("pairs", f"{pairs}: pairs of both kinds are needed")
    return [(same == "1", a, b) for same, a, b in rows]


def _measure(
    instruments: Instruments, rows: list[tuple[bool, str, str]], directory: Path
) -> dict[str, Any]:
    """Accuracy over labelled pairs; a face not found counts as different."""
    from kyc.measure import describe_all, rates

    names = sorted({name for _, *two in rows for name in two})
    described = describe_all(instruments, [directory / name for name in names])
    return rates(
        [(same, described[a], described[b]) for same, a, b in rows],
        {name: embedding for name, embedding in described.items() if embedding is not None},
        instruments.full.threshold,
    )
