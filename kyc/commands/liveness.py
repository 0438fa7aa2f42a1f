"""``python -m kyc liveness``: does a clip show what was asked for, in that order?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kyc import commands
from kyc.check import BadInput, Verdict
from kyc.commands import Commands
from kyc.liveness.challenge import PROMPTS, unusable

MAX_PROMPTS = 12
PICTURES_PER_SECOND = 30.0  # a mouth may be open for a tenth of a second
_NOT_CHECKED = ("no_face", "several_faces")


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("liveness", parents=[shared], help=__doc__)
    command.set_defaults(run=liveness)
    command.add_argument("video", type=Path, metavar="VIDEO")
    command.add_argument("--prompts", required=True, help="comma between: " + ", ".join(PROMPTS))
    command.add_argument(
        "--deadline", type=float, default=8.0, metavar="S", help="seconds for each prompt (8)"
    )


def liveness(options: argparse.Namespace) -> int:
    """One clip, one list of prompts."""
    prompts = [prompt.strip() for prompt in options.prompts.split(",")]
    if trouble := unusable(prompts, options.deadline):
        raise BadInput("prompts", trouble)
    if len(prompts) > MAX_PROMPTS:
        raise BadInput("prompts", f"at most {MAX_PROMPTS} prompts")
    from kyc.clip import Clip

    clip = Clip.open(options.video)  # before the models are loaded: bad input is told at once
    report = read(commands.load(options), clip, prompts, options.deadline)
    _show(report, options.json)
    return 0 if report["verdict"] is Verdict.PASSED else 1


def read(instruments: Any, clip: Any, prompts: list[str], deadline_s: float) -> dict[str, Any]:
    """The report on one clip."""
    from kyc.liveness.recorded import follow
    from kyc.liveness.watching import Watching

    watching = Watching(instruments.faces, instruments.encoder, instruments.landmarks)
    reading = follow(watching.trace(clip.frames(PICTURES_PER_SECOND)), prompts, deadline_s)
    verdict = Verdict.PASSED if reading.passed else Verdict.FAILED
    if reading.reason in _NOT_CHECKED and not any(reading.seen_us):
        verdict = Verdict.NOT_CHECKED
    return {
        "verdict": verdict,
        "reason": reading.reason,
        "prompts": [
            {"prompt": prompt, "seen_at": None if at is None else round(at / 1e6, 3)}
            for prompt, at in zip(prompts, reading.seen_us, strict=True)
        ],
        "seconds": round(clip.seconds, 3),
        "deadline": deadline_s,
    }


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        commands.show(report, as_json)
        return
    print(f"{report['verdict']}: {report['reason']}")
    for each in report["prompts"]:
        at = each["seen_at"]
        print(f"{each['prompt']:18} {'not seen' if at is None else f'{at:.2f} s'}")
