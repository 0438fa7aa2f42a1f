"""The signed statement beside a part that a crash cut short (FORMAT.md, Closing)."""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass, fields
from typing import Any

from . import chain as chains
from .errors import Damaged
from .keys import SUITE, Signer, Trust

MAGIC = b"VBRC\r\n\x1a\n"
_PREFIX = struct.Struct(">8sI")
_LIMIT = 65_536


@dataclass(frozen=True)
class Closing:
    """How far an unfinished part goes, by whom it was looked at, and why it ended."""

    part_id: str
    session: str
    records: int
    signed_records: int
    chain: str
    length: int
    file_length: int
    tail: str
    time_us: int
    opened: bool
    cause: str
    by: str
    closed: int
    signer: str
    signature: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Closing:
        """Take a .close file apart, not yet believed; `Damaged` if it is none."""
        try:
            magic, length = _PREFIX.unpack_from(data)
            statement = data[_PREFIX.size : _PREFIX.size + length]
            signature = data[_PREFIX.size + length :]
            values = chains.parse_canonical(statement)
            if magic != MAGIC or length > _LIMIT or len(signature) != chains.SIGNATURE:
                raise ValueError("not a closing")
            if (values.pop("format", None), values.pop("suite", None)) != ("VBRC", SUITE):
                raise ValueError("unknown kind of closing")
            kinds = {"opened": bool} | dict.fromkeys(_NUMBERS, int) | dict.fromkeys(_TEXTS, str)
            if {key: type(value) for key, value in values.items()} != kinds:
                raise ValueError("values are missing or of the wrong kind")
        except (ValueError, struct.error) as error:
            raise Damaged("closing_wrong", str(error)) from None
        return cls(**values, signature=signature)

    def statement(self) -> dict[str, Any]:
        """What is signed, as JSON values."""
        values = asdict(self)
        del values["signature"]
        return {**values, "format": "VBRC", "suite": SUITE}

    def sign(self, signer: Signer) -> bytes:
        """The .close file."""
        statement = chains.canonical(self.statement())
        signature = signer.sign(chains.close_text(statement))
        return _PREFIX.pack(MAGIC, len(statement)) + statement + signature

    def holds(self, trust: Trust) -> bool:
        """Did a trusted signer say this?"""
        text = chains.close_text(chains.canonical(self.statement()))
        return trust.signed(self.signer, text, self.signature)


_NUMBERS = ["records", "signed_records", "length", "file_length", "time_us", "closed"]
_TEXTS = ["part_id", "session", "chain", "tail", "cause", "by", "signer"]
assert {*_NUMBERS, *_TEXTS, "opened", "signature"} == {one.name for one in fields(Closing)}
