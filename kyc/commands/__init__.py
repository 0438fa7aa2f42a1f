"""One module a command of ``python -m kyc``; each has ``add(commands, shared)`` and its verb."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kyc.instruments import Instruments

Commands = Any
"What ``ArgumentParser.add_subparsers`` gives; argparse names its type privately."


def load(options: argparse.Namespace) -> Instruments:
    """The models, verified and loaded; made ready first where they are not."""
    from kyc.instruments import AtOnce, Instruments

    return Instruments.load(options.models, threads=options.threads, reading=AtOnce())


def show(report: dict[str, Any], as_json: bool) -> None:
    """Print one report: an object of JSON, or a line for each of its values."""
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
