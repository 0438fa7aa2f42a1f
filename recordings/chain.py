"""The hash chain of a part and the signed texts: pure functions over bytes (FORMAT.md, Chain)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

HASH = 32
SIGNATURE = 64

# The first byte keeps leaf and chain apart, as in RFC 9162: no record can pass for an inner value.
_LEAF, _LINK = b"\0", b"\1"


def digest(data: bytes) -> bytes:
    """H of suite 1."""
    return sha256(data).digest()


def leaf(header: bytes, body: bytes | memoryview) -> bytes:
    """Hash of one record."""
    state = sha256(_LEAF)
    state.update(header)
    state.update(body)
    return state.digest()


def link(chain: bytes, leaf: bytes) -> bytes:
    """Chain value behind the record with this leaf."""
    return sha256(_LINK + chain + leaf).digest()


def fold(chain: bytes, leaves: Iterable[bytes]) -> bytes:
    """Chain value behind all of `leaves`."""
    for one in leaves:
        chain = link(chain, one)
    return chain


def preamble_text(preamble_hash: bytes) -> bytes:
    """What the signature in a preamble signs."""
    return b"VBR1 preamble\0" + preamble_hash


def record_text(preamble_hash: bytes, header: bytes, body: bytes | memoryview) -> bytes:
    """What a CHECKPOINT or FINAL signs; `body` without its signature.

    The header is in it, so its type, place and time are signed and a CHECKPOINT can't pass for a
    FINAL; the hash of the preamble is in it, so it can't move to another part.
    """
    return b"VBR1 record\0" + preamble_hash + header + body


def close_text(statement: bytes) -> bytes:
    """What a closing signs."""
    return b"VBR1 close\0" + digest(statement)


def canonical(value: Any) -> bytes:
    """Canonical JSON of `value`; `ValueError` for floating-point numbers."""
    _refuse_floats(value)
    return compact(value)


def compact(value: Any) -> bytes:
    """JSON with sorted keys and no blanks; `ValueError` for NaN and infinities."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def parse_canonical(data: bytes) -> dict[str, Any]:
    """The object in `data`; `ValueError` unless it is canonical JSON of an object."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict) or canonical(value) != data:
        raise ValueError("not canonical JSON")
    return value


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError("floating-point numbers have no canonical form")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError("keys of an object are text")
            _refuse_floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_floats(inner)
