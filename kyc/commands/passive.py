"""``python -m kyc passive``: the passive signals of clips and stills, and the fused answer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyc import commands
from kyc.check import BadInput, Finding, Verdict
from kyc.commands import Commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kyc.image import Frame
    from kyc.instruments import Instruments

FPS = 10.0
STILLS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("passive", parents=[shared], help=__doc__)
    command.set_defaults(run=passive)
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")


def passive(options: argparse.Namespace) -> int:
    """One object for one file, one JSON line a file for several."""
    for path in options.files:  # judged before the models are loaded
        _judge(path)
    instruments = commands.load(options)
    several = len(options.files) > 1
    passed = True
    for path in options.files:
        finding = _look(instruments, path)
        passed &= finding.verdict is Verdict.PASSED
        report = _report(finding)
        if several:
            report = {"file": str(path), **report}
        if options.json:
            print(json.dumps(report, ensure_ascii=False))
        else:
            _show(report)
    return 0 if passed else 1


def _is_still(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start.startswith(STILLS) and (start[:4] != b"RIFF" or start[8:] == b"WEBP")


def _judge(path: Path) -> None:
    from kyc.clip import Clip
    from kyc.image import decode

    if _is_still(path):
        decode(path.read_bytes())
    else:
        Clip.open(path)


def _frames(path: Path) -> Iterator[Frame]:
    from kyc.clip import Clip
    from kyc.image import Frame, decode

    if _is_still(path):
        yield Frame(decode(path.read_bytes()), 0)
    else:
        yield from Clip.open(path).frames(FPS)


def _look(instruments: Instruments, path: Path) -> Finding:
    from kyc.liveness.passive import Passive

    watching, last = Passive(instruments.prepared.sha256("face_detection")), 0
    for frame in _frames(path):
        watching.see(frame, instruments.faces.find(frame.bgr))
        last = frame.media_time_us
    if watching.pictures == 0:
        raise BadInput("no_pictures", f"{path}: no picture can be decoded")
    return watching.finding(last)


def _report(finding: Finding) -> dict[str, Any]:
    """``fused``: what these signals alone add to :mod:`kyc.liveness.fusion`'s answer."""
    return {
        "verdict": finding.verdict,
        "reason": finding.reason,
        "score": finding.score,
        "threshold": finding.threshold,
        "signals": finding.values["signals"],
        "pictures": finding.values["pictures"],
        "faces": finding.values["faces"],
    }


def _show(report: dict[str, Any]) -> None:
    if "file" in report:
        print(report["file"])
    print(f"{'verdict':10} {report['verdict']} ({report['reason']})")
    for name, signal in report["signals"].items():
        score = "" if signal["score"] is None else f"{signal['score']:g} of {signal['threshold']:g}"
        print(f"{name:10} {signal['verdict']:12} {signal['reason']:16} {score}")
