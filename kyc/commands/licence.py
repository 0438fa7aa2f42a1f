"""``python -m kyc licence``: the fields of a Chinese business licence (营业执照)."""

from __future__ import annotations

import argparse

from kyc.commands import Commands, documents


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    documents.add(parsers, shared, "licence", licence, __doc__)


def licence(options: argparse.Namespace) -> int:
    """``fields`` {code, name, type, representative …}, ``checks`` {check_character}."""
    return documents.report(documents.read(options, "business_licence"), options)
