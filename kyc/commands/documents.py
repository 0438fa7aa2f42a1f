"""What the commands that read one document share: pictures in, one report out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyc import commands
from kyc.check import Finding, Verdict
from kyc.commands import Commands

if TYPE_CHECKING:
    from collections.abc import Callable


def add(
    parsers: Commands,
    shared: argparse.ArgumentParser,
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str | None,
) -> None:
    """A command that takes pictures of one document."""
    command = parsers.add_parser(name, parents=[shared], help=about)
    command.set_defaults(run=run)
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")


def read(options: argparse.Namespace, check: str) -> Finding:
    """The finding of ``check`` on the pictures named; BadInput and OSError for unusable ones."""
    from kyc.document.page import Paper
    from kyc.image import open_still

    pictures = [open_still(path) for path in options.images]
    paper = commands.load(options).open(check, {})
    assert isinstance(paper, Paper)
    return paper.read_stills(pictures)


def report(finding: Finding, options: argparse.Namespace, *own: str) -> int:
    """Print verdict, reason, the values in ``own`` as they are, and the fields; 0 when passed."""
    values = finding.values
    shown: dict[str, Any] = {name: values[name] for name in own}
    shown |= {
        "fields": {k: v for k, v in values.items() if k not in (*own, "checks")},
        "verdict": finding.verdict,
        "reason": finding.reason,
        "checks": values["checks"],
    }
    commands.show(shown, options.json)
    return 0 if finding.verdict is Verdict.PASSED else 1
