"""``python -m kyc bank-card``: number, month of expiry and issuer of a bank card."""

from __future__ import annotations

import argparse

from kyc.commands import Commands, documents


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    documents.add(parsers, shared, "bank-card", bank_card, __doc__)


def bank_card(options: argparse.Namespace) -> int:
    """``fields`` {number, valid_thru, holder}, ``checks`` {luhn, issuer, scheme …}."""
    return documents.report(documents.read(options, "bank_card"), options)
