"""``python -m kyc digits``: are these digits said in a sound file, in Mandarin or English?"""

from __future__ import annotations

import argparse
from pathlib import Path

from kyc import commands
from kyc.check import BadInput, Verdict
from kyc.commands import Commands


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("digits", parents=[shared], help=__doc__)
    command.set_defaults(run=digits)
    command.add_argument("sound", type=Path, metavar="SOUND", help="wav, ogg, webm or mp4")
    command.add_argument("--expect", required=True, metavar="DIGITS", help="such as 4719")
    command.add_argument("--language", choices=("zh", "en"), help="heard by itself when left out")


def digits(options: argparse.Namespace) -> int:
    """The verdict on one recording; exit status 0 only when exactly these digits were said."""
    from kyc.liveness.digits import judge
    from kyc.models import prepare
    from kyc.sound import read
    from kyc.speech import Recogniser

    expected = options.expect.replace(" ", "")
    if not (expected.isascii() and expected.isdigit() and 3 <= len(expected) <= 12):
        raise BadInput("parameters", "--expect takes 3 to 12 digits")
    pcm = read(options.sound)
    recogniser = Recogniser(prepare(options.models, "hearing"), options.threads)
    finding = judge(recogniser, pcm, expected, options.language)
    report = {
        "verdict": finding.verdict,
        "reason": finding.reason,
        "expected": expected,
        "language": finding.values["language"],
        "confidence": finding.score,
        "heard": finding.values["heard"],
    }
    commands.show(report, options.json)
    return 0 if finding.verdict is Verdict.PASSED else 1
