"""Closes parts that a crash cut short. It never writes into a part."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from .container import PartReader, wall_clock
from .errors import RecoveryRefused
from .keys import Signer
from .store import Source, Store, read_all
from .verify_recording import (
    CLOSING_MAGIC,
    PREFIX,
    SUITES,
    Closing,
    Damaged,
    Examination,
    Status,
    Trust,
    Type,
    canonical,
    tail_hash,
)


def recover(
    store: Store,
    name: str,
    signer: Signer,
    trust: Trust,
    *,
    cause: str,
    by: str,
    dek: bytes | None = None,
    wall: Callable[[], int] = wall_clock,
) -> Closing | None:
    """Write `NAME.close` for an unfinished part and return it; None for a finished part.

    A part that was closed before keeps its closing, which is returned. With `dek` the records past
    the last signature must open, too: the first that does not and all behind it are left out.
    `RecoveryRefused` for a part that is still being written, that was tampered with, or that ends
    in its preamble: for those nothing can be vouched.
    """
    if store.being_written(name):
        raise RecoveryRefused(f"{name} is being written")
    with contextlib.closing(store.open(name)) as source:
        examination = Examination(source, trust)
        verdict = examination.verdict(name, read_all(store, name + ".close"))
        if verdict.ok:
            return None
        if verdict.status is Status.RECOVERED:
            return Closing.parse(read_all(store, name + ".close") or b"")
        if verdict.status is not Status.INCOMPLETE or examination.preamble is None:
            raise RecoveryRefused(f"{name} is {verdict.status}: {verdict.reason}")
        if dek is not None:
            examination = _as_far_as_it_opens(source, trust, examination, dek)
        closing = Closing(
            part_id=verdict.part_id or "",
            session=verdict.session or "",
            records=examination.records,
            signed_records=examination.signed,
            chain=examination.chain.hex(),
            length=examination.end,
            file_length=source.size(),
            tail=tail_hash(SUITES[signer.suite], source, examination.end),
            time_us=examination.last_us,
            opened=dek is not None,
            cause=cause,
            by=by,
            closed=wall(),
            signer=signer.key_id,
            suite=signer.suite,
        )
        signed = _sign(closing, signer)
    store.put(name + ".close", signed)
    return Closing.parse(signed)


def _sign(closing: Closing, signer: Signer) -> bytes:
    """The .close file."""
    statement = canonical(closing.statement())
    return PREFIX.pack(CLOSING_MAGIC, len(statement)) + statement + signer.sign(closing.text())


def _as_far_as_it_opens(
    source: Source, trust: Trust, examination: Examination, dek: bytes
) -> Examination:
    try:
        reader = PartReader(source, dek)
    except Damaged as error:
        raise RecoveryRefused(f"the data key is not this part's: {error}") from error
    for record in (reader[n] for n in range(examination.signed, examination.records)):
        try:
            if record.type in (Type.DATA, Type.EVENT):
                reader.open(record)
        except Damaged:
            shorter = Examination(source, trust, stop=record.sequence)
            shorter.verdict("", None)
            return shorter
    return examination
