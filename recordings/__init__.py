"""Sealed, encrypted, publicly verifiable recordings of video sessions (see FORMAT.md)."""

from .container import Ending, PartReader
from .errors import Damaged, KeyUnavailable, RecordingError, RecoveryRefused
from .keys import FileKeyring, FileSigner, Keyring, Signer, Trust, new_dek, new_part_id
from .recorder import Head, Recorder, Sealed
from .recovery import recover
from .replay import Event, StreamInfo, WebmView, events, streams
from .store import LocalStore, Sink, Source, Store
from .verify import ChainReport, Status, Verdict, verify_part, verify_session
from .verify_recording import Closing

__all__ = [
    "ChainReport",
    "Closing",
    "Damaged",
    "Ending",
    "Event",
    "FileKeyring",
    "FileSigner",
    "Head",
    "KeyUnavailable",
    "Keyring",
    "LocalStore",
    "PartReader",
    "Recorder",
    "RecordingError",
    "RecoveryRefused",
    "Sealed",
    "Signer",
    "Sink",
    "Source",
    "Status",
    "Store",
    "StreamInfo",
    "Trust",
    "Verdict",
    "WebmView",
    "events",
    "new_dek",
    "new_part_id",
    "recover",
    "streams",
    "verify_part",
    "verify_session",
]
