"""``python -m kyc id-card``: read a Chinese resident identity card, from one picture or several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kyc import commands
from kyc.check import Finding, Verdict
from kyc.commands import Commands


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("id-card", parents=[shared], help=__doc__)
    command.set_defaults(run=id_card)
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")


def id_card(options: argparse.Namespace) -> int:
    """One card, from one picture or several pictures of it."""
    from kyc.image import Frame, decode

    frames = [Frame(decode(path.read_bytes()), 0) for path in options.images]
    instruments = commands.load(options)
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
    commands.show(report, options.json)
    return 0 if finding.verdict is Verdict.PASSED else 1


def _look_at_stills(check: Any, frames: Sequence[Any]) -> Finding:
    """Each still is seen twice, so that one alone can agree with itself."""
    from kyc.image import Frame

    for time_us, frame in enumerate([*frames, *frames]):
        answer = check.see(Frame(frame.bgr, time_us))
        if isinstance(answer, Finding):
            return answer
    return check.expire(0)  # type: ignore[no-any-return]
