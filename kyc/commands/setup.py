"""``python -m kyc setup``: verify the models and make them ready; says what is there."""

from __future__ import annotations

import argparse

from kyc.commands import Commands


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    command = commands.add_parser("setup", parents=[shared], help=__doc__)
    command.set_defaults(run=setup)


def setup(options: argparse.Namespace) -> int:
    from kyc.models import prepare

    prepared = prepare(options.models)
    for model in prepared.models.values():
        print(f"{model.name:18} {model.sha256[:12]}  {model.licence:11} {model.origin}")
    return 0
