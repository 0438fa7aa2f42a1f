"""``python -m kyc setup``: verify the models and make them ready; says what is there."""

from __future__ import annotations

import argparse

from kyc.commands import Commands


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    command = commands.add_parser("setup", parents=[shared], help=__doc__)
    command.set_defaults(run=setup)


def setup(options: argparse.Namespace) -> int:
    from kyc.models import ModelRefused, prepare

    models = list(prepare(options.models).models.values())
    try:
        models += prepare(options.models, "hearing").models.values()
    except ModelRefused as error:  # only what is heard does without
        print(f'hearing is left out, spoken digits will be "not checked": {error}')
    for model in models:
        print(f"{model.name:18} {model.sha256[:12]}  {model.licence:11} {model.origin}")
    return 0
