"""What can be wrong with a recording, sorted by what the caller does about it."""

from __future__ import annotations

from .verify_recording import Damaged, RecordingError

__all__ = ["Damaged", "KeyUnavailable", "RecordingError", "RecoveryRefused", "SignerAway"]


class KeyUnavailable(RecordingError):
    """The key is not in the keyring, was destroyed, or does not unwrap this."""


class RecoveryRefused(RecordingError):
    """Recovery must not sign for this part; the message says why."""


class SignerAway(OSError):
    """A signer outside gave no signature: away, late, or what came does not hold."""
