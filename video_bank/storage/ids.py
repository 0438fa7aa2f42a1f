"""Identifiers and the clock of the rows."""

import secrets
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U

_last = (0, 0)


def now_us() -> int:
    """UTC now, in microseconds since the epoch."""
    return time.time_ns() // 1000


def new_id() -> str:
    """A new ULID: 26 characters that sort by time of making, 80 bits of chance.

    Two made within one millisecond by one process still sort in order of making.
    """
    global _last
    now_ms = time.time_ns() // 1_000_000
    last_ms, last_chance = _last
    if now_ms > last_ms:
        _last = (now_ms, secrets.randbits(80))
    else:
        # The clock stood still or went back: count on from the last one, never sort before it.
        _last = (last_ms, last_chance + 1 + secrets.randbits(32))
    number = (_last[0] << 80) + _last[1]
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5))


def new_token() -> str:
    """A new secret to hand out: 22 characters (URL-safe), 128 bits of chance."""
    return secrets.token_urlsafe(16)
