"""Canonical JSON and signed texts, as the verifier has them (FORMAT.md)."""

from .verify_recording import (
    SUITES,
    canonical,
    compact,
    parse_canonical,
    preamble_text,
    record_text,
)

__all__ = [
    "canonical",
    "compact",
    "digest",
    "leaf",
    "parse_canonical",
    "preamble_text",
    "record_text",
]

digest, leaf = SUITES[1].digest, SUITES[1].leaf
