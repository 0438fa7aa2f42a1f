"""What can be wrong with a recording, sorted by what the caller does about it."""

from __future__ import annotations


class RecordingError(Exception):
    """Base of all errors that this package raises on purpose."""


class Damaged(RecordingError):
    """A part, or the piece of it that was asked for, is not what was written.

    `reason` is a code from FORMAT.md, `record` the sequence number if one is known.
    """

    def __init__(self, reason: str, detail: str = "", record: int | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.record = record
        place = "" if record is None else f" at record {record}"
        super().__init__(f"{reason}{place}" + (f": {detail}" if detail else ""))


class KeyUnavailable(RecordingError):
    """The key is not in the keyring, was destroyed, or does not unwrap this."""


class RecoveryRefused(RecordingError):
    """Recovery must not sign for this part; the message says why."""
