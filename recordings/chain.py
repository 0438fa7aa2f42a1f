"""Canonical JSON, as everything signed beside a part is written (FORMAT.md, Terminology)."""

from .verify_recording import canonical, compact, parse_canonical

__all__ = ["canonical", "compact", "parse_canonical"]
