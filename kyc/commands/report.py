"""``python -m kyc report``: measure how often the checks err, and write the biometric report."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kyc import commands
from kyc.check import BadInput
from kyc.commands import Commands

SECTIONS = ("cards", "travel", "faces", "prompts", "attacks", "digits")
PAGE = Path("docs/reports/biometrics.md")


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    command = parsers.add_parser("report", parents=[shared], help=__doc__)
    command.set_defaults(run=report)
    command.add_argument("--data", type=Path, required=True, metavar="DIR")
    command.add_argument("--only", action="append", choices=SECTIONS, metavar="NAME")
    command.add_argument("--out", type=Path, default=PAGE, metavar="FILE")


def report(options: argparse.Namespace) -> int:
    """Each section is measured in turn; those not asked for stay as they stand in the file.

    ``--json`` prints one object: the file, and each section made.
    """
    from kyc.models import manifest
    from kyc.report import page

    modules = {name: _module(name) for name in options.only or SECTIONS}
    _need(options.data, modules)
    instruments = commands.load(options)
    made = {}
    for name, module in modules.items():
        began = time.process_time()
        print(f"report: {name} …", file=sys.stderr, flush=True)
        made[name] = module.section(options.data, instruments)
        spent = time.process_time() - began
        print(f"report: {name} took {spent:.0f} CPU-s", file=sys.stderr, flush=True)
    head = page.head("python -m kyc report --data DIR", manifest(options.models).values())
    page.write(options.out, made, SECTIONS, head)
    if options.json:
        sections = {name: _plain(asdict(section)) for name, section in made.items()}
        print(json.dumps({"file": str(options.out), "sections": sections}, ensure_ascii=False))
    else:
        print(options.out)
    return 0


def _module(name: str) -> Any:
    return importlib.import_module(f"kyc.report.{name}")


def _need(data: Path, modules: dict[str, Any]) -> None:
    """A section's ``NEEDS`` names what it reads under the data's folder."""
    missing = {
        need
        for module in modules.values()
        for need in getattr(module, "NEEDS", ())
        if not (data / need).exists()
    }
    if missing or not data.is_dir():
        names = ", ".join(sorted(missing)) or "the folder itself"
        raise BadInput("data_missing", f"{data}: missing {names}")


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
