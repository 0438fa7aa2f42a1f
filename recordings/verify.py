"""Verifies parts in a store. What a verdict rests on stands in `verify_recording`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from .store import Store, read_all
from .suites import PartKeys
from .verify_recording import (
    ChainReport,
    Examination,
    Preamble,
    Status,
    Trust,
    Verdict,
    contradicted,
    verify_session,
)

__all__ = ["ChainReport", "Status", "Verdict", "verify_part", "verify_session"]


def verify_part(
    store: Store,
    name: str,
    trust: Trust,
    *,
    dek: bytes | None = None,
    known: Mapping[int, str] | None = None,
) -> Verdict:
    """The verdict on one part. Never raises for what is in the file; `OSError` if unreadable.

    With `dek` each record is opened, too. `known` holds chain values from the application's own
    log (number of records -> hexadecimal chain): a part that contradicts them is tampered with,
    even if its signatures hold.
    """

    def opener(preamble: Preamble) -> PartKeys:
        assert dek is not None
        return PartKeys.of(preamble, dek)

    with contextlib.closing(store.open(name)) as source:
        examination = Examination(
            source, trust, opener=opener if dek is not None else None, marks=known or ()
        )
        verdict = examination.verdict(name, read_all(store, name + ".close"))
    return contradicted(verdict, examination.chains, known or {})
