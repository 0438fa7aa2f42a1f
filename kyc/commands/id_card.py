"""``python -m kyc id-card``: read a Chinese resident identity card, from one picture or several."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kyc import commands
from kyc.check import Finding, Verdict
from kyc.commands import Commands

WRONG = 0.5  # most confidence in a number whose check character is wrong


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("id-card", parents=[shared], help=__doc__)
    command.set_defaults(run=id_card)
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    command.add_argument(
        "--each", action="store_true", help="read each picture alone, one report a picture"
    )


def id_card(options: argparse.Namespace) -> int:
    """One card from all pictures, or one from each."""
    from kyc.document import still
    from kyc.image import decode

    pictures = [decode(path.read_bytes()) for path in options.images]
    desk = commands.load(options).desk
    groups = [[each] for each in pictures] if options.each else [pictures]
    passed = True
    for path, group in zip(options.images, groups, strict=False):
        report = _report(still.findings(desk, group))
        passed = passed and report["verdict"] == Verdict.PASSED
        commands.show({"image": str(path), **report} if options.each else report, options.json)
    return 0 if passed else 1


def _report(found: Mapping[Any, Finding]) -> dict[str, Any]:
    """What the sides that were seen say; the worse verdict of two counts."""
    worst = min(found.values(), key=lambda each: _ORDER.index(each.verdict))
    seen = [side for side, finding in found.items() if finding.values["checks"]["frames"]]
    fields = {k: v for finding in found.values() for k, v in finding.values.items()}
    checks = {k: v for finding in found.values() for k, v in finding.values["checks"].items()}
    del fields["checks"]
    # A number that fails is shown as read, with little confidence and its checksum called wrong.
    if text := checks.pop("number_read", None):
        fields["id"] = {"value": text, "confidence": WRONG}
    hints = [hint for finding in found.values() for hint in finding.also]
    return {
        "side": "both" if len(seen) == 2 else seen[0] if seen else None,
        "verdict": worst.verdict,
        "reason": worst.reason,
        "fields": fields,
        "checks": checks,
        "hints": {hint.check: f"{hint.verdict}: {hint.reason}" for hint in hints},
    }


_ORDER = (Verdict.FAILED, Verdict.NOT_CHECKED, Verdict.PASSED)
