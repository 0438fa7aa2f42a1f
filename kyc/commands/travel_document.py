"""``python -m kyc travel-document``: the machine readable zone of a passport, visa or card."""

from __future__ import annotations

import argparse

from kyc.commands import Commands, documents


def add(parsers: Commands, shared: argparse.ArgumentParser) -> None:
    documents.add(parsers, shared, "travel-document", travel_document, __doc__)


def travel_document(options: argparse.Namespace) -> int:
    """``mrz`` [lines], ``check_digits``, ``repaired``, ``fields``, verdict; several pictures are
    frames or sides of one document."""
    finding = documents.read(options, "travel_document")
    return documents.report(finding, options, "mrz", "check_digits", "repaired")
