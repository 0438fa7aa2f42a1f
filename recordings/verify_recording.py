"""Verifies sealed recordings with public keys alone. No key that opens them is needed.

    pip install cryptography
    python verify_recording.py PATH... --trust KEY.pem [--roots AUTHORITIES.pem] [--json]

PATH is a part (`*.vbr`, with its `.close` beside it), a directory of parts, or an exported bundle
(a directory with a `MANIFEST.json`). KEY.pem holds the public keys of the signers and comes from
the institution that recorded, not from whoever hands over the recording.

Answers for each part: `ok`, `closed by recovery`, `incomplete` or `tampered`, the last two with the
record, the second and the reason; for each session whether its parts follow one another; for a
bundle whether its files are those that were signed, and since when its parts have been what they
are. Exits 0 if all is ok, 1 if not, 2 if it was called wrongly.

This is one file that stands alone (Python 3.11 or newer, `cryptography`) and the only verifier
there is: the package `recordings` reads parts with the same code. FORMAT.md describes the bytes.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import io
import json
import re
import struct
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum, IntFlag, StrEnum
from hashlib import sha1, sha256, sha384, sha512
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    ExtendedKeyUsage,
    ExtensionNotFound,
    load_der_x509_certificate,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

# --- Errors ---------------------------------------------------------------------------------------


class RecordingError(Exception):
    """Base of all errors that the package `recordings` raises on purpose."""


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


# --- Suites: hash and signature -------------------------------------------------------------------

HASH = 32
SIGNATURE = 64
TAG = 16
"""Sizes in bytes, the same in all suites."""


class Hash(Protocol):
    """A hash being computed, with hashlib's manners."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class PublicKey(Protocol):
    """A public key whose signatures can be checked."""

    def holds(self, text: bytes, signature: bytes) -> bool:
        """Is `signature` (64 bytes) this key's signature of `text`?"""


class Sm3:
    """SM3 (GB/T 32905), as `hashlib` would have it."""

    def __init__(self, data: bytes = b"") -> None:
        self._state = hashes.Hash(hashes.SM3())
        self._state.update(data)

    def update(self, data: bytes | memoryview, /) -> None:
        self._state.update(data)

    def digest(self) -> bytes:
        return self._state.finalize()


class Ed25519Key:
    """Ed25519 (RFC 8032)."""

    def __init__(self, raw: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    def holds(self, text: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, text)
        except InvalidSignature:
            return False
        return True


Point = tuple[int, int, int]
"""Jacobian coordinates; z is 0 at infinity."""


class Sm2Key:
    """SM2 with SM3 (GB/T 32918.2) for the usual identity, r and s of 32 bytes each.

    Written out because `cryptography` has no SM2. Verifying works on public values alone, so it has
    nothing to give away by its timing; nothing here can sign.
    """

    IDENTITY = b"1234567812345678"
    P = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
    B = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
    N = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
    G = (
        0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7,
        0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0,
    )

    _of_g: ClassVar[list[list[Point]]] = []

    def __init__(self, raw: bytes) -> None:
        """From an uncompressed point, `04 x y`; `ValueError` if it is not on the curve."""
        x, y = int.from_bytes(raw[1:33], "big"), int.from_bytes(raw[33:], "big")
        on_curve = (y * y - x * x * x + 3 * x - self.B) % self.P == 0  # a is -3
        if len(raw) != 65 or raw[0] != 4 or max(x, y) >= self.P or not on_curve:
            raise ValueError("a public key is not a point of the SM2 curve")
        numbers = b"".join(n.to_bytes(32, "big") for n in (self.P - 3, self.B, *self.G, x, y))
        bits = (8 * len(self.IDENTITY)).to_bytes(2, "big")
        self._whose = Sm3(bits + self.IDENTITY + numbers).digest()
        self._rows = self._multiples((x, y, 1))

    def holds(self, text: bytes, signature: bytes) -> bool:
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        t = (r + s) % self.N
        if len(signature) != SIGNATURE or not (0 < r < self.N and 0 < s < self.N and t):
            return False
        e = int.from_bytes(Sm3(self._whose + text).digest(), "big")
        x, _, z = self._sum_of_multiples(s, t)
        return z != 0 and (e + x * pow(z, -2, self.P) % self.P) % self.N == r

    def _sum_of_multiples(self, s: int, t: int) -> Point:
        """s times G plus t times the key, four bits at a time."""
        if not Sm2Key._of_g:
            Sm2Key._of_g = self._multiples((*self.G, 1))
        total = (0, 1, 0)
        for number, rows in ((s, self._of_g), (t, self._rows)):
            for place, row in enumerate(rows):
                if digit := number >> 4 * place & 15:
                    total = self._add(total, row[digit])
        return total

    def _multiples(self, point: Point) -> list[list[Point]]:
        """A row for each four bits of a number: 0 to 15 times `point`, then 16 times as much …

        An hour's recording has 8,000 signatures, and no other library here that checks them.
        """
        rows = []
        for _ in range(64):
            row = [(0, 1, 0)]
            for _ in range(15):
                row.append(self._add(row[-1], point))
            rows.append(row)
            point = self._add(row[-1], point)
        return rows

    def _double(self, point: Point) -> Point:
        x, y, z = point
        p = self.P
        yy = y * y % p
        four = 4 * x * yy % p
        zz = z * z % p
        slope = 3 * (x - zz) * (x + zz) % p
        new_x = (slope * slope - 2 * four) % p
        return new_x, (slope * (four - new_x) - 8 * yy * yy) % p, 2 * y * z % p

    def _add(self, one: Point, other: Point) -> Point:
        p = self.P
        (x1, y1, z1), (x2, y2, z2) = one, other
        if not z1 or not z2:
            return one if z1 else other
        zz1, zz2 = z1 * z1 % p, z2 * z2 % p
        u1, s1 = x1 * zz2 % p, y1 * z2 * zz2 % p
        width, slope = (x2 * zz1 - u1) % p, (y2 * z1 * zz1 - s1) % p
        if not width:
            return (0, 1, 0) if slope else self._double(one)
        square = width * width % p
        cube, far = square * width % p, u1 * square % p
        x = (slope * slope - cube - 2 * far) % p
        return x, (slope * (far - x) - s1 * cube) % p, width * z1 * z2 % p


@dataclass(frozen=True)
class Suite:
    """What a verifier needs of a suite (FORMAT.md, Suites): its hash and its signatures."""

    number: int
    hash: Callable[[bytes], Hash]
    """Begins a hash with these bytes."""
    key_prefix: bytes
    """How its public keys begin as DER SubjectPublicKeyInfo; what follows is the key."""
    public_key: Callable[[bytes], PublicKey]
    note_type: bytes
    """Kind of its signatures in a signed note (C2SP)."""

    def digest(self, data: bytes) -> bytes:
        """H."""
        return self.hash(data).digest()

    # The first byte keeps leaf and chain apart, as in RFC 9162: no record can pass for an inner
    # value.
    def leaf(self, header: bytes, body: bytes | memoryview) -> bytes:
        """Hash of one record."""
        state = self.hash(b"\0")
        state.update(header)
        state.update(body)
        return state.digest()

    def link(self, chain: bytes, leaf: bytes) -> bytes:
        """Chain value behind the record with this leaf."""
        return self.digest(b"\1" + chain + leaf)

    def fold(self, chain: bytes, leaves: Iterable[bytes]) -> bytes:
        """Chain value behind all of `leaves`."""
        for one in leaves:
            chain = self.link(chain, one)
        return chain


SUITES = {
    1: Suite(1, sha256, bytes.fromhex("302a300506032b6570032100"), Ed25519Key, b"\x01"),
    # id-ecPublicKey over the curve 1.2.156.10197.1.301, point not compressed. Not certified.
    2: Suite(
        2,
        Sm3,
        bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200"),
        Sm2Key,
        b"\xffVBR1 SM2",  # C2SP has no number for SM2: what begins with ff names itself
    ),
}


def suite_of_key(der: bytes) -> Suite:
    """The suite whose signatures this public key (DER SubjectPublicKeyInfo) makes; `ValueError`."""
    for suite in SUITES.values():
        if der.startswith(suite.key_prefix):
            return suite
    raise ValueError("a public key is neither Ed25519 nor SM2")


def key_id(der: bytes) -> str:
    """Hexadecimal hash of a public key as DER SubjectPublicKeyInfo, by its suite."""
    return suite_of_key(der).digest(der).hex()


def trust_blocks(path: Path) -> list[bytes]:
    """The public keys of a PEM file as DER SubjectPublicKeyInfo; `ValueError` if there is none."""
    text = path.read_text("ascii", errors="replace")
    blocks = re.findall(r"-----BEGIN PUBLIC KEY-----(.*?)-----END PUBLIC KEY-----", text, re.S)
    if not blocks:
        raise ValueError(f"{path} holds no public key (PEM, BEGIN PUBLIC KEY)")
    return [base64.b64decode("".join(block.split()), validate=True) for block in blocks]


class Trust:
    """The public keys whose signatures count."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        """From DER SubjectPublicKeyInfo; `ValueError` for none, or for one of an unknown kind."""
        self._keys: dict[str, tuple[int, PublicKey]] = {}
        self._ders: dict[str, bytes] = {}
        for der in keys:
            suite = suite_of_key(der)
            key = suite.public_key(der[len(suite.key_prefix) :])
            self._keys[key_id(der)] = suite.number, key
            self._ders[key_id(der)] = der
        if not self._keys:
            raise ValueError("no public key to trust")

    @classmethod
    def load(cls, path: Path) -> Trust:
        """From a PEM file with one or more public keys; `ValueError` if there is none in it."""
        return cls(trust_blocks(path))

    def __contains__(self, signer: object) -> bool:
        return signer in self._keys

    def suite(self, signer: str) -> int | None:
        """Number of the suite of this signer's key; None for a signer not trusted."""
        return self._keys[signer][0] if signer in self._keys else None

    def __or__(self, other: Trust) -> Trust:
        """Trust in both."""
        return Trust([*self._ders.values(), *other._ders.values()])

    def signed_note(self, name: str, text: bytes, hint: bytes, signature: bytes) -> bool:
        """Did one of the trusted, at whom `hint` points, sign `text` under `name`?"""
        return any(
            hint == key_hint(name, der) and self._keys[signer][1].holds(text, signature)
            for signer, der in self._ders.items()
        )

    def signed(self, signer: str, text: bytes, signature: bytes | memoryview) -> bool:
        """Did the trusted `signer` sign `text`?"""
        return signer in self._keys and self._keys[signer][1].holds(text, bytes(signature))


# --- Canonical JSON and signed texts --------------------------------------------------------------


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


def preamble_text(preamble_hash: bytes) -> bytes:
    """What the signature in a preamble signs."""
    return b"VBR1 preamble\0" + preamble_hash


def record_text(preamble_hash: bytes, header: bytes, body: bytes | memoryview) -> bytes:
    """What a CHECKPOINT or FINAL signs; `body` without its signature.

    The header is in it, so its type, place and time are signed and a CHECKPOINT can't pass for a
    FINAL; the hash of the preamble is in it, so it can't move to another part.
    """
    return b"VBR1 record\0" + preamble_hash + header + body


def close_text(suite: Suite, statement: bytes) -> bytes:
    """What a closing signs."""
    return b"VBR1 close\0" + suite.digest(statement)


# --- Parts ----------------------------------------------------------------------------------------

MAGIC = b"VBR1\r\n\x1a\n"
HEADER_LIMIT = 65_536
BODY_LIMIT = 1_048_576 + TAG
PREFIX = struct.Struct(">8sI")
ENTRY = struct.Struct(">QIBBH")
CHECKPOINT = struct.Struct(f">{HASH}sQ")
INDEX = struct.Struct(f">QQ{HASH}s")
FINAL = struct.Struct(f">{HASH}sQQ{HASH}sH")
FINAL_BODY = FINAL.size + SIGNATURE
_RECORD = struct.Struct(">IBBHQQ")
RECORD_HEADER = _RECORD.size


class Type(IntEnum):
    DATA = 1
    EVENT = 2
    CHECKPOINT = 3
    INDEX = 4
    FINAL = 5


class Flag(IntFlag):
    NONE = 0
    KEYFRAME = 1
    INIT = 2


class Ending(IntEnum):
    """Why a part ends; stands in its FINAL."""

    FINISHED = 0
    WRITING_FAILED = 1
    STOPPED = 2


class Source(Protocol):
    """One part being read."""

    def size(self) -> int:
        """Bytes there now."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer than `length` only at the end."""


class Record(NamedTuple):
    """A record's clear header and where it stands in the file."""

    length: int
    """Bytes of the body."""
    type: int
    flags: int
    stream: int
    sequence: int
    time_us: int
    offset: int
    """Of the header in the file."""

    @classmethod
    def unpack(cls, header: bytes | bytearray | memoryview, offset: int) -> Record:
        """From the first 24 bytes of a record; `Damaged` if no writer makes such a header."""
        length, type, flags, stream, sequence, time_us = _RECORD.unpack_from(header)
        record = cls(length, type, flags, stream, sequence, time_us, offset)
        record._check()
        return record

    def pack(self) -> bytes:
        """The header as it stands in the file."""
        return _RECORD.pack(*self[:6])

    def entry(self) -> bytes:
        """The header as it stands in an INDEX."""
        return ENTRY.pack(self.time_us, self.length, self.type, self.flags, self.stream)

    @property
    def end(self) -> int:
        """Offset of the record behind this one."""
        return self.offset + RECORD_HEADER + self.length

    def _check(self) -> None:
        fine = self.length <= BODY_LIMIT
        if self.type == Type.DATA:
            fine = fine and self.flags < 4 and self.stream > 0 and self.length >= TAG
        else:
            fine = fine and not self.flags and not self.stream
        match self.type:
            case Type.DATA:
                pass
            case Type.EVENT:
                fine = fine and self.length >= TAG
            case Type.CHECKPOINT:
                leaves = self.length - CHECKPOINT.size - SIGNATURE
                fine = fine and leaves >= 0 and leaves % HASH == 0
            case Type.INDEX:
                entries = self.length - INDEX.size
                fine = fine and entries >= 0 and entries % ENTRY.size == 0
            case Type.FINAL:
                fine = fine and self.length == FINAL_BODY
            case _:
                fine = False
        if not fine:
            raise Damaged("record_malformed")


@dataclass(frozen=True)
class Preamble:
    """What stands in front of the first record."""

    header: dict[str, Any]
    text: bytes
    """Magic, length and header: what the keys depend on."""
    commitment: bytes
    signature: bytes

    @property
    def suite(self) -> Suite:
        return SUITES[self.header["suite"]]

    @property
    def hash(self) -> bytes:
        """hh: where the chain begins and what binds each record to this part."""
        return self.suite.digest(self.text + self.commitment)

    @property
    def size(self) -> int:
        """Offset of record 0."""
        return len(self.text) + HASH + SIGNATURE


@dataclass(frozen=True)
class Checkpoint:
    """Body of a CHECKPOINT, taken apart."""

    chain: bytes
    wall_us: int
    leaves: list[bytes]
    signed: bytes
    signature: bytes

    @classmethod
    def unpack(cls, body: bytes | memoryview) -> Checkpoint:
        signed, signature = bytes(body[:-SIGNATURE]), bytes(body[-SIGNATURE:])
        chain, wall_us = CHECKPOINT.unpack_from(signed)
        starts = range(CHECKPOINT.size, len(signed), HASH)
        leaves = [signed[at : at + HASH] for at in starts]
        return cls(chain, wall_us, leaves, signed, signature)


@dataclass(frozen=True)
class Final:
    """Body of a FINAL, taken apart."""

    chain: bytes
    wall_us: int
    index_offset: int
    index_leaf: bytes
    ending: int
    signed: bytes
    signature: bytes

    @classmethod
    def unpack(cls, body: bytes | memoryview) -> Final:
        signed, signature = bytes(body[:-SIGNATURE]), bytes(body[-SIGNATURE:])
        chain, wall_us, offset, leaf, ending = FINAL.unpack(signed)
        return cls(chain, wall_us, offset, leaf, ending, signed, signature)


def index_body(first: int, offset: int, leaf: bytes, entries: bytes | bytearray) -> bytes:
    """Body of an INDEX: its first record, offset and leaf of the INDEX before it, its entries."""
    return INDEX.pack(first, offset, leaf) + entries


def read_preamble(source: Source) -> Preamble:
    """The preamble of a part, not yet believed; `Damaged` if it is none."""
    start = source.read(0, PREFIX.size)
    if not MAGIC.startswith(start[: len(MAGIC)]):
        raise Damaged("not_a_recording")
    if len(start) < PREFIX.size:
        raise Damaged("preamble_cut")
    length = PREFIX.unpack(start)[1]
    if length > HEADER_LIMIT:
        raise Damaged("header_wrong", f"header of {length} bytes")
    rest = source.read(len(start), length + HASH + SIGNATURE)
    if len(rest) < length + HASH + SIGNATURE:
        raise Damaged("preamble_cut")
    try:
        header = parse_canonical(rest[:length])
        if header.get("format") == "VBR1" and not _is_suite(header.get("suite")):
            raise Damaged("suite_unknown", f"suite {header.get('suite')}")
        check_header(header)
    except ValueError as error:
        raise Damaged("header_wrong", str(error)) from None
    commitment = rest[length : length + HASH]
    return Preamble(header, start + rest[:length], commitment, rest[length + HASH :])


def check_header(header: Mapping[str, Any]) -> None:
    """`ValueError` unless all keys that FORMAT.md asks for are there and of their kind."""
    if header.get("format") != "VBR1":
        raise ValueError("format is not VBR1")
    for key in ("part_id", "session", "key_id", "signer"):
        if not isinstance(header.get(key), str):
            raise ValueError(f"{key} is missing or not text")
    for key in ("part", "created"):
        if type(header.get(key)) is not int or header[key] < 0:
            raise ValueError(f"{key} is missing or not a number")
    if not _is_hex(header["part_id"], 16):
        raise ValueError("part_id is not 32 hexadecimal digits")
    previous = header.get("previous", "")
    if previous is None:
        return
    if not isinstance(previous, Mapping) or previous.keys() != {"chain", "part_id"}:
        raise ValueError("previous is neither null nor a chain and a part_id")
    if not _is_hex(previous["part_id"], 16) or not _is_hex(previous["chain"], HASH):
        raise ValueError("previous is not hexadecimal")


def _is_suite(number: object) -> bool:
    return type(number) is int and number in SUITES


def _is_hex(value: object, size: int) -> bool:
    digits = set("0123456789abcdef")
    return isinstance(value, str) and len(value) == 2 * size and set(value) <= digits


# --- Closings -------------------------------------------------------------------------------------

CLOSING_MAGIC = b"VBRC\r\n\x1a\n"
CLOSING_LIMIT = 65_536


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
    suite: int
    """Of the signer, who may be of another suite than the part."""
    signature: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Closing:
        """Take a .close file apart, not yet believed; `Damaged` if it is none."""
        try:
            magic, length = PREFIX.unpack_from(data)
            statement = data[PREFIX.size : PREFIX.size + length]
            signature = data[PREFIX.size + length :]
            values = parse_canonical(statement)
            if magic != CLOSING_MAGIC or length > CLOSING_LIMIT or len(signature) != SIGNATURE:
                raise ValueError("not a closing")
            if values.pop("format", None) != "VBRC" or not _is_suite(values.get("suite")):
                raise ValueError("unknown kind of closing")
            kinds = {"opened": bool} | dict.fromkeys(_NUMBERS, int) | dict.fromkeys(_TEXTS, str)
            if {key: type(value) for key, value in values.items()} != kinds:
                raise ValueError("values are missing or of the wrong kind")
            if any(values[key] < 0 for key in _NUMBERS):
                raise ValueError("a number is negative")
        except (ValueError, struct.error) as error:
            raise Damaged("closing_wrong", str(error)) from None
        return cls(**values, signature=signature)

    def statement(self) -> dict[str, Any]:
        """What is signed, as JSON values."""
        values = asdict(self)
        del values["signature"]
        return {**values, "format": "VBRC"}

    def text(self) -> bytes:
        """What is signed."""
        return close_text(SUITES[self.suite], canonical(self.statement()))

    def holds(self, trust: Trust) -> bool:
        """Did a trusted signer say this?"""
        mine = trust.suite(self.signer) == self.suite
        return mine and trust.signed(self.signer, self.text(), self.signature)


_NUMBERS = [
    "records", "signed_records", "length", "file_length", "time_us", "closed", "suite",
]  # fmt: skip
_TEXTS = ["part_id", "session", "chain", "tail", "cause", "by", "signer"]


# --- The verdict on a part ------------------------------------------------------------------------

WINDOW = 4 * 1024 * 1024
SIGNATURE_TRIES = 4096
"""Places that look like a signed record and are tried after a break: an upper bound on work."""
LEAVES_PATIENCE, ENTRIES_PATIENCE = 4096, 1_000_000
"""Records without a CHECKPOINT, bytes of entries without an INDEX: no writer goes so far."""
_SIGNED_HEADER = re.compile(
    rb"\x00[\x00-\x10][\x00-\xff]{2}\x03\x00{3}|\x00{3}\x92\x05\x00{3}", re.DOTALL
)


class Status(StrEnum):
    OK = "ok"
    RECOVERED = "closed by recovery"
    INCOMPLETE = "incomplete"
    TAMPERED = "tampered"


@dataclass(frozen=True)
class Verdict:
    """What can be said about one part."""

    name: str
    status: Status
    reason: str
    """A code from FORMAT.md."""
    record: int | None = None
    """Where it stops being right."""
    time_us: int | None = None
    """Media time there."""
    detail: str = ""
    """A sentence for people."""
    session: str | None = None
    part: int | None = None
    part_id: str | None = None
    previous: Mapping[str, str] | None = None
    suite: int | None = None
    signer: str | None = None
    created: int | None = None
    records: int = 0
    """Whole records up to the place."""
    signed_records: int = 0
    """How many of them the writer's signature covers."""
    signed_time_us: int = 0
    last_time_us: int = 0
    bytes: int = 0
    """Of the file."""
    chain: str | None = None
    """Chain value of the part."""
    closing: Mapping[str, Any] | None = None
    """The statement of recovery, if the verdict rests on it."""

    @property
    def ok(self) -> bool:
        return self.status is Status.OK

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


MEANINGS = {
    "writing_failed": ("Writing failed (disk full?); what is here is whole.",
                       "写入失败（磁盘已满？）；已有内容完整。"),
    "stopped": ("The server was stopped; what is here is whole.", "服务器已停止；已有内容完整。"),
    "recovered": ("A crash cut it; recovery signed how far it goes.",
                  "因故障中断；恢复程序已签名确认其范围。"),
    "preamble_cut": ("It ends before anything was recorded.", "文件在录制开始之前就结束了。"),
    "no_final": ("It ends without its last record; recovery may not have closed it yet.",
                 "缺少结束记录；可能尚未由恢复程序封存。"),
    "record_cut": ("It ends inside a record, as after a crash or a copy that broke off.",
                   "文件在一条记录中间结束，如崩溃或复制中断。"),
    "end_damaged": ("Its end is damaged and nothing signed follows.",
                    "尾部损坏，其后没有已签名内容。"),
    "not_a_recording": ("This is no recording of this format.", "这不是本格式的录像文件。"),
    "header_wrong": ("Its header is not one that a recorder writes.", "文件头不是录制程序所写。"),
    "suite_unknown": ("It needs a newer verifier.", "需要更新版本的验证程序。"),
    "signer_unknown": ("No trusted key signed it: is --trust the right file?",
                       "签名者不受信任：--trust 指定的文件是否正确？"),
    "preamble_signature_wrong": ("Its header was changed.", "文件头被更改。"),
    "record_malformed": ("A record was changed or is damaged.", "有记录被更改或损坏。"),
    "records_missing": ("Records were taken out or changed places.", "有记录被删除或调换位置。"),
    "record_repeated": ("A record stands there twice.", "有记录重复出现。"),
    "record_altered": ("A record is not the one that was signed.", "有记录与签名时不一致。"),
    "signature_wrong": ("A signature is wrong.", "签名不正确。"),
    "index_wrong": ("Its index does not fit its records.", "索引与记录不符。"),
    "data_after_final": ("Something was appended to it.", "文件末尾被追加了内容。"),
    "differs_from_log": ("It is another one than the log knows.", "与日志所记载的不是同一份。"),
    "closing_wrong": ("It is not what recovery closed.", "与恢复程序封存时的内容不符。"),
    "key_wrong": ("This key is not the part's.", "密钥不属于该文件。"),
    "record_not_openable": ("A record does not open with the part's key.",
                            "有记录无法用密钥打开。"),
}  # fmt: skip
"""Reasons for people, in English and Chinese."""


class Opener(Protocol):
    """Opens records of one part; only who has the data key can bring one."""

    def open(self, sequence: int, sealed: bytes | memoryview, associated: bytes) -> bytes | None:
        """The plaintext, or None if it is not what was sealed."""


class _Break(Exception):
    """The walk through the records ends here."""

    def __init__(self, reason: str, record: int, *, structural: bool, detail: str = "") -> None:
        self.reason, self.record, self.detail = reason, record, detail
        self.structural = structural
        """Could a crash have left it, if nothing signed follows?"""


class Examination:
    """One walk through a part, in bounded memory."""

    def __init__(
        self,
        source: Source,
        trust: Trust,
        *,
        opener: Callable[[Preamble], Opener] | None = None,
        marks: Iterable[int] = (),
        stop: int | None = None,
    ) -> None:
        """With `stop` only as many records are looked at; with `opener` each must open, too.

        `opener` raises `Damaged` if the key is not the part's.
        """
        self._source, self._trust, self._opener = source, trust, opener
        self._stop = stop
        self._marks = set(marks)
        self.chains: dict[int, str] = {}
        """Chain after as many records, for each mark that was reached."""
        self.preamble: Preamble | None = None
        self.size = source.size()
        self.records = 0
        self.end = 0
        """Where the last whole record ends."""
        self.chain = b""
        self.last_us = 0
        self.signed, self.signed_us = 0, 0
        self.final: Final | None = None
        self._signed_chain = b""
        """Chain value in the last CHECKPOINT: the leaves in the next one fold from it."""
        self._leaves: list[tuple[bytes, int]] = []
        self._entries = bytearray()
        self._index = (0, 0, bytes(HASH))
        """First record of the next INDEX; offset and leaf of the last one."""
        self._types: tuple[int, int] = (0, 0)
        self._doubt: _Break | None = None
        self._keys: Opener | None = None

    def verdict(self, name: str, closing: bytes | None) -> Verdict:
        """Walk, then say what was found. `closing` is the content of the .close file."""
        statement = None
        if closing is not None:
            with contextlib.suppress(Damaged):
                statement = Closing.parse(closing)
        if statement:
            self._marks.add(statement.records)
        status, broken = self._outcome()
        if closing is not None and status is Status.INCOMPLETE:
            broken = self._agrees(statement)
            status = Status.RECOVERED if broken.reason == "recovered" else Status.TAMPERED
        return self._verdict(name, status, broken, statement)

    def _verdict(
        self, name: str, status: Status, broken: _Break, closing: Closing | None
    ) -> Verdict:
        header = self.preamble.header if self.preamble else {}
        recovered = closing if status is Status.RECOVERED else None
        fine = status in (Status.OK, Status.RECOVERED)
        return Verdict(
            name=name,
            status=status,
            reason=broken.reason,
            record=None if fine else broken.record,
            time_us=None if fine else self._time_of(broken.record),
            detail=broken.detail,
            session=header.get("session"),
            part=header.get("part"),
            part_id=header.get("part_id"),
            previous=header.get("previous"),
            suite=header.get("suite"),
            signer=header.get("signer"),
            created=header.get("created"),
            records=recovered.records if recovered else self.records,
            signed_records=self.signed,
            signed_time_us=self.signed_us,
            last_time_us=self.last_us,
            bytes=self.size,
            chain=recovered.chain if recovered else self.chain.hex() or None,
            closing=recovered.statement() if recovered else None,
        )

    def _time_of(self, record: int) -> int:
        """Media time of a record since the last CHECKPOINT, or the last one known before it."""
        place = record - (self.records - len(self._leaves))
        return self._leaves[place][1] if 0 <= place < len(self._leaves) else self.last_us

    def _outcome(self) -> tuple[Status, _Break]:
        try:
            self._begin()
            self._walk()
        except Damaged as error:
            cut = error.reason == "preamble_cut"
            broken = _Break(error.reason, 0, structural=cut, detail=error.detail)
            return (Status.INCOMPLETE if cut else Status.TAMPERED), broken
        except _Break as broken:
            return self._judge(broken)
        ending = self.final.ending if self.final else None
        reasons = {Ending.WRITING_FAILED: "writing_failed", Ending.STOPPED: "stopped"}
        reason = reasons.get(Ending(ending or 0), "finished")
        return Status.OK, _Break(reason, self.records, structural=False)

    def _begin(self) -> None:
        """1. The preamble."""
        preamble = self.preamble = read_preamble(self._source)
        signer = preamble.header["signer"]
        if self._trust.suite(signer) != preamble.suite.number:
            raise Damaged("signer_unknown", f"signed by {signer}")
        if not self._trust.signed(signer, preamble_text(preamble.hash), preamble.signature):
            raise Damaged("preamble_signature_wrong")
        if self._opener is not None:
            self._keys = self._opener(preamble)
        self._suite, self._hash, self._signer = preamble.suite, preamble.hash, signer
        self.chain = self._signed_chain = preamble.hash
        self.end = self._signed_end = preamble.size
        self._mark()

    def _walk(self) -> None:
        """2. Each record in order, up to FINAL or the end."""
        window = _Window(self._source, self.end)
        while self.final is None:
            if self.records == self._stop:
                raise _Break("no_final", self.records, structural=True)
            if len(self._leaves) > LEAVES_PATIENCE or len(self._entries) > ENTRIES_PATIENCE:
                raise _Break("record_malformed", self.records, structural=True)
            header = window.take(RECORD_HEADER)
            if not header:
                raise _Break("no_final", self.records, structural=True)
            if len(header) < RECORD_HEADER:
                raise _Break("record_cut", self.records, structural=True)
            record = self._plausible(header, window)
            body = window.take(record.length)
            if len(body) < record.length:
                raise _Break("record_cut", self.records, structural=True)
            self._count(record, bytes(header), body)
        if self.end != self.size:
            raise _Break("data_after_final", self.records, structural=False)

    def _plausible(self, header: memoryview, window: _Window) -> Record:
        try:
            record = Record.unpack(header, self.end)
        except Damaged:
            raise _Break("record_malformed", self.records, structural=True) from None
        if record.sequence == self.records:
            return record
        # Is this record's number alone wrong, or does the file go on from another place?
        reason = "records_missing" if record.sequence > self.records else "record_repeated"
        after = window.peek(record.length, RECORD_HEADER)
        with contextlib.suppress(Damaged):
            following = Record.unpack(after, record.end) if len(after) == RECORD_HEADER else None
            if following and following.sequence == self.records + 1:
                reason = "record_altered"
        detail = f"number {record.sequence} where {self.records} belongs"
        raise _Break(reason, self.records, structural=True, detail=detail)

    def _count(self, record: Record, header: bytes, body: memoryview) -> None:
        """3 to 5. What the type asks for, then leaf and chain."""
        leaf = self._suite.leaf(header, body)
        match record.type:
            case Type.CHECKPOINT:
                self._checkpoint(record, header, Checkpoint.unpack(body))
            case Type.INDEX:
                self._check_index(record, body, leaf)
            case Type.FINAL:
                self._finish(header, Final.unpack(body))
            case _ if self._keys is not None:
                if self._keys.open(record.sequence, body, self._hash + header) is None:
                    raise _Break("record_not_openable", record.sequence, structural=False)
        self.chain = self._suite.link(self.chain, leaf)
        self.records += 1
        self.end = record.end
        if record.type in (Type.DATA, Type.EVENT):
            self.last_us = max(self.last_us, record.time_us)
        if record.type in (Type.CHECKPOINT, Type.FINAL):
            self._leaves.clear()
            self.signed, self.signed_us = self.records, record.time_us
            self._signed_end = record.end
        self._leaves.append((leaf, record.time_us))
        self._entries += record.entry()
        self._types = self._types[1], record.type
        self._mark()

    def _mark(self) -> None:
        if self.records in self._marks:
            self.chains[self.records] = self.chain.hex()

    def _checkpoint(self, record: Record, header: bytes, body: Checkpoint) -> None:
        if not self._signed(header, body.signed, body.signature):
            raise _Break("signature_wrong", record.sequence, structural=_is_blank(body.signature))
        if body.chain != self.chain:
            altered = self._first_altered(body)
            raise _Break("record_altered", altered, structural=False)
        if self._doubt:
            raise self._doubt
        self._signed_chain = self.chain

    def _check_index(self, record: Record, body: memoryview, leaf: bytes) -> None:
        first, offset, earlier = self._index
        if index_body(first, offset, earlier, self._entries) != body:
            # Either the INDEX lies or something before it was altered: the next CHECKPOINT tells.
            self._doubt = _Break("index_wrong", record.sequence, structural=False)
        self._index = record.sequence, record.offset, leaf
        self._entries.clear()

    def _finish(self, header: bytes, body: Final) -> None:
        if not self._signed(header, body.signed, body.signature):
            raise _Break("signature_wrong", self.records, structural=_is_blank(body.signature))
        if body.chain != self.chain:
            raise _Break("record_altered", self.records - 1, structural=False)
        index = self._index[1:] == (body.index_offset, body.index_leaf)
        if not index or self._types != (Type.INDEX, Type.CHECKPOINT):
            raise _Break("index_wrong", self.records, structural=False)
        if body.ending not in list(Ending):
            raise _Break("record_malformed", self.records, structural=False)
        self._signed_chain = self.chain
        self.final = body

    def _signed(self, header: bytes, body: bytes, signature: bytes) -> bool:
        return self._trust.signed(self._signer, record_text(self._hash, header, body), signature)

    def _first_altered(self, later: Checkpoint) -> int:
        """The first record whose leaf is not the one that `later`, which is signed, lists."""
        base = self.records - len(self._leaves)
        if self._suite.fold(self._signed_chain, later.leaves) == later.chain:
            for place, (leaf, _) in enumerate(self._leaves):
                if place >= len(later.leaves) or leaf != later.leaves[place]:
                    return base + place
        return self.records

    def _judge(self, broken: _Break) -> tuple[Status, _Break]:
        """6 and 7. Is it an end that a crash leaves, or was something signed altered?"""
        if not broken.structural:
            return Status.TAMPERED, broken
        later = self._next_signed()
        if later is None:
            if broken.reason not in ("no_final", "record_cut"):
                detail = f"from record {broken.record} on nothing makes sense and nothing is signed"
                broken = _Break("end_damaged", broken.record, structural=True, detail=detail)
            return Status.INCOMPLETE, broken
        record, body = later
        place, reason = broken.record, broken.reason
        if reason in ("record_cut", "no_final"):
            reason = "record_malformed"
        if body is not None and (altered := self._first_altered(body)) < place:
            place, reason = altered, "record_altered"
        detail = f"what was signed goes on at record {record.sequence}"
        return Status.TAMPERED, _Break(reason, place, structural=False, detail=detail)

    def _next_signed(self) -> tuple[Record, Checkpoint | None] | None:
        """The first CHECKPOINT or FINAL of this part behind the break whose signature holds."""
        tries = 0
        # Not from the break on: if the length of the record before it was altered, what is signed
        # may begin earlier.
        start = self._signed_end
        while start < self.size and tries < SIGNATURE_TRIES:
            piece = self._source.read(start, WINDOW)
            for match in _SIGNED_HEADER.finditer(piece):
                tries += 1
                if found := self._signed_at(start + match.start()):
                    return found
                if tries >= SIGNATURE_TRIES:
                    return None
            start += max(1, len(piece) - 7)
        return None

    def _signed_at(self, offset: int) -> tuple[Record, Checkpoint | None] | None:
        header = self._source.read(offset, RECORD_HEADER)
        try:
            record = Record.unpack(header.ljust(RECORD_HEADER, b"\xff"), offset)
        except Damaged:
            return None
        body = self._source.read(offset + RECORD_HEADER, record.length)
        if len(body) < record.length or record.type not in (Type.CHECKPOINT, Type.FINAL):
            return None
        signed, signature = body[:-SIGNATURE], body[-SIGNATURE:]
        if not self._signed(header, signed, signature):
            return None
        return record, Checkpoint.unpack(body) if record.type == Type.CHECKPOINT else None

    def _agrees(self, closing: Closing | None) -> _Break:
        """Does the closing say what is here?"""
        wrong = _Break("closing_wrong", self.records, structural=False)
        if closing is None or self.preamble is None or not closing.holds(self._trust):
            return wrong
        header = self.preamble.header
        same = (
            (closing.part_id, closing.session) == (header["part_id"], header["session"])
            and self.signed <= closing.records <= self.records
            and closing.signed_records == self.signed
            and self.chains.get(closing.records) == closing.chain
            and closing.file_length == self.size
            and closing.length <= closing.file_length
            and tail_hash(SUITES[closing.suite], self._source, closing.length) == closing.tail
        )
        detail = f"{closing.cause}; closed by {closing.by}"
        return _Break("recovered", self.records, structural=False, detail=detail) if same else wrong


def tail_hash(suite: Suite, source: Source, offset: int) -> str:
    """Hexadecimal hash of what stands behind `offset`."""
    state = suite.hash(b"")
    while piece := source.read(offset, WINDOW):
        state.update(piece)
        offset += len(piece)
    return state.digest().hex()


class _Window:
    """Reads a source from front to back in large pieces."""

    def __init__(self, source: Source, offset: int) -> None:
        self._source, self._offset = source, offset
        self._piece = memoryview(b"")

    def take(self, length: int) -> memoryview:
        """The next bytes; fewer only at the end."""
        taken = self._ahead(length)[:length]
        self._piece = self._piece[len(taken) :]
        self._offset += len(taken)
        return taken

    def peek(self, skip: int, length: int) -> memoryview:
        """Bytes further on, without moving."""
        return self._ahead(skip + length)[skip : skip + length]

    def _ahead(self, length: int) -> memoryview:
        if len(self._piece) < length:
            self._piece = memoryview(self._source.read(self._offset, max(length, WINDOW)))
        return self._piece


def _is_blank(signature: bytes) -> bool:
    """A power loss leaves zeros where data was on its way; nobody signs with zeros."""
    return not any(signature[-16:])


def contradicted(verdict: Verdict, chains: Mapping[int, str], known: Mapping[int, str]) -> Verdict:
    """The verdict in the light of an application's own log: chain after as many records."""
    for records, chain in sorted(known.items()):
        if verdict.status is not Status.TAMPERED and chains.get(records) != chain:
            return replace(
                verdict,
                status=Status.TAMPERED,
                reason="differs_from_log",
                record=records,
                detail=f"the log knows another chain value after {records} records",
            )
    return verdict


# --- The parts of a session -----------------------------------------------------------------------


@dataclass(frozen=True)
class ChainReport:
    """Whether the given parts of one session belong together, one behind the other."""

    session: str
    ok: bool
    problems: list[str]
    verdicts: list[Verdict]


def verify_session(verdicts: Iterable[Verdict]) -> ChainReport:
    """Do these parts of one session follow one another without a gap?"""
    parts = sorted(verdicts, key=lambda verdict: verdict.part or 0)
    problems = []
    if len({verdict.session for verdict in parts}) != 1:
        problems.append("parts of several sessions")
    before: Verdict | None = None
    for place, verdict in enumerate(parts, 1):
        if verdict.part != place:
            problems.append(f"part {place} is missing or given twice")
            break
        expected = before and {"chain": before.chain, "part_id": before.part_id}
        if verdict.previous != expected:
            problems.append(f"part {place} does not follow the part before it")
        if not verdict.ok:
            problems.append(f"part {place} is {verdict.status}")
        before = verdict
    session = (parts[0].session if parts else None) or "unknown"
    return ChainReport(session, not problems, problems, parts)


# --- Day trees, their signed heads and stamps -----------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    """Hash of one entry of a tree (RFC 9162, section 2.1.1)."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node. The first byte keeps it apart from a leaf's."""
    return sha256(b"\1" + left + right).digest()


def part_leaf(part_id: str, chain: str) -> bytes:
    """Leaf hash of a sealed part: its id (16 bytes) and its chain value, both in hexadecimal.

    `ValueError` if they are not.
    """
    data = bytes.fromhex(part_id) + bytes.fromhex(chain)
    if len(data) != 16 + HASH:
        raise ValueError("a part id has 16 bytes and a chain value 32")
    return leaf_hash(data)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Is `leaf` the one at `index` of the tree with `size` leaves and this root? (2.1.3.2)"""
    if not 0 <= index < size or {len(each) for each in (leaf, root, *proof)} != {HASH}:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


PROOF = "proof.json"
TIMELINE, PICTURES = "timeline.json", "findings"


@dataclass(frozen=True)
class Proof:
    """What `proof.json` shows of one part."""

    part_id: str
    state: str
    """`stamped`, `test` (stamped, but by an authority for tests), `unstamped`, `waiting`
    (in no signed tree yet) or `wrong`."""
    said: str
    """A sentence for people."""
    stamped_at: int | None = None
    """UTC microseconds."""
    authority: str | None = None
    rooted: bool = False
    """Does the authority's certificate end in a root that was given?"""


def verify_proof(
    entry: Mapping[str, Any], chain: str | None, trust: Trust, roots: Sequence[Certificate]
) -> Proof:
    """Is the part with this chain value where its entry in `proof.json` says? Never raises."""
    part_id = str(entry.get("part_id"))
    try:
        if entry["checkpoint"] is None:
            return Proof(part_id, "waiting", "in no signed tree yet")
        day, size, root, place = (entry[key] for key in ("day", "size", "root", "position"))
        head = read_head(entry["checkpoint"], trust)
        said_day = head.origin.rpartition("/")[2]
        if (said_day, head.size, head.root) != (day, size, bytes.fromhex(root)):
            raise ValueError("its signed head is of another tree")
        path = [bytes.fromhex(each) for each in entry["proof"]]
        if not verify_inclusion(part_leaf(part_id, chain or ""), place, size, path, head.root):
            raise ValueError("it is not in the tree")
        said = f"in the tree of {day}, as one of {size}"
        if entry["token"] is None:
            return Proof(part_id, "unstamped", f"{said}, not yet stamped")
        token = base64.b64decode(entry["token"], validate=True)
        stamp = read_stamp(token, sha256(entry["checkpoint"].encode()).digest(), roots)
    except (Damaged, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        return Proof(part_id, "wrong", f"its proof does not hold: {error}")
    said += f", stamped at {utc(stamp.at)} by {stamp.authority}"
    if not stamp.rooted:
        said += " (whose certificate was not checked up to a root)"
    state = "test" if stamp.test else "stamped"
    said += ": test authority, not evidence" * stamp.test
    return Proof(part_id, state, said, stamp.at, stamp.authority, stamp.rooted)


HEAD_LIMIT = 4096
"""Characters of a signed head: several times what one has."""
_DASH = "\N{EM DASH} "
# Not "VBR1 …": what the same key signs elsewhere begins so, and can't pass for a head or the
# other way round, as no such text has a newline behind its first word.
_ORIGIN = re.compile(r"[A-Za-z0-9._~:/-]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class TreeHead:
    """What is said of a tree at one moment (C2SP tlog-checkpoint)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Lines of text, signed with the rest."""

    def text(self) -> str:
        """What is signed; `ValueError` if it can't be written as lines."""
        root = base64.b64encode(self.root).decode()
        lines = (self.origin, str(self.size), root, *self.extensions)
        if not _ORIGIN.fullmatch(self.origin) or len(self.root) != HASH or self.size < 0:
            raise ValueError(f"not a head: {self}")
        if any(not line or not line.isprintable() for line in lines):
            raise ValueError("an extension is one line of text")
        return "".join(line + "\n" for line in lines)


def head_note(head: TreeHead, signature: bytes, der: bytes) -> str:
    """The head with its signature by the key `der` (SubjectPublicKeyInfo), as it is kept."""
    signed = base64.b64encode(key_hint(head.origin, der) + signature).decode()
    return f"{head.text()}\n{_DASH}{head.origin} {signed}\n"


def key_hint(name: str, der: bytes) -> bytes:
    """The four bytes in front of a signature by a key under this name (C2SP signed-note): they
    tell keys apart and prove nothing."""
    suite = suite_of_key(der)
    raw = suite.note_type + der[len(suite.key_prefix) :]
    return sha256(name.encode() + b"\n" + raw).digest()[:4]


def read_head(note: str, trust: Trust) -> TreeHead:
    """The head in `note`, if somebody trusted signed it.

    Signatures of others (witnesses may add theirs) are passed over. `Damaged` with the reason
    `head_malformed`, or `head_not_signed` if nobody trusted signed it.
    """
    head, signatures = _head(note)
    text = head.text().encode()
    if any(trust.signed_note(head.origin, text, *each) for each in signatures):
        return head
    raise Damaged("head_not_signed", f"{head.origin} at {head.size}")


def _head(note: str) -> tuple[TreeHead, list[tuple[bytes, bytes]]]:
    """What is written, and (hint, signature) of each signature under the head's own name."""
    text, blank, below = note.partition("\n\n")
    if len(note) > HEAD_LIMIT or not blank or not below.endswith("\n"):
        raise Damaged("head_malformed", "not a signed text")
    try:
        origin, size, root, *extensions = text.split("\n")
        if not _SIZE.fullmatch(size):
            raise ValueError(f"not a size: {size!r}")
        head = TreeHead(origin, int(size), _base64(root), tuple(extensions))
        if head.text() != text + "\n":
            raise ValueError("written in another way than it is read")
        return head, [_note_signature(line, origin) for line in below[:-1].split("\n")]
    except ValueError as error:
        raise Damaged("head_malformed", str(error)) from None


def _note_signature(line: str, origin: str) -> tuple[bytes, bytes]:
    """Hint and signature; of another name, nothing that could match."""
    name, blank, signed = line.removeprefix(_DASH).rpartition(" ")
    if not line.startswith(_DASH) or not blank:
        raise ValueError("not a line with a signature")
    data = _base64(signed)
    return (data[:4], data[4:]) if name == origin else (b"", b"")


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


@dataclass(frozen=True)
class Stamp:
    """What a time stamp says that holds."""

    at: int
    """UTC microseconds."""
    authority: str
    test: bool
    rooted: bool


# Contents of object identifiers in DER.
_TEST_POLICY = bytes.fromhex("6983acebca92daa48effd4eeb4a49ba8ded7e84f")
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_CERTIFICATE_HASH = bytes.fromhex("2a864886f70d010910022f"), bytes.fromhex("2a864886f70d010910020c")
_DIGESTS: dict[bytes, hashes.HashAlgorithm] = {
    bytes.fromhex("608648016503040201"): hashes.SHA256(),
    bytes.fromhex("608648016503040202"): hashes.SHA384(),
    bytes.fromhex("608648016503040203"): hashes.SHA512(),
}
_BY_LENGTH = {20: sha1, 32: sha256, 48: sha384, 64: sha512}


def read_stamp(answer: bytes, digest: bytes, roots: Sequence[Certificate]) -> Stamp:
    """What a TimeStampResp (RFC 3161) proves about this SHA-256 hash; `ValueError` if nothing.

    Checked are the hash, the signature, and that the certificate in the answer was valid then and
    is for stamping alone; whether it ends in one of `roots` is told.
    """
    try:
        return _stamp(answer, digest, roots)
    except ValueError:
        raise
    except Exception as error:
        # Libraries raise what they like for certificates that are none: they prove nothing.
        raise ValueError(f"the stamp can't be read ({type(error).__name__})") from error


def _stamp(answer: bytes, digest: bytes, roots: Sequence[Certificate]) -> Stamp:
    ((_, response, _),) = _der(answer)
    (_, status, _), (_, token, _) = _der(response)
    if _der(status)[0][1] not in (b"\0", b"\1"):
        raise ValueError("the authority refused to stamp")
    ((_, signed, _),) = _der(_der(token)[1][1])
    fields = _der(signed)
    (_, kind, _), (_, wrapped, _) = _der(fields[2][1])
    if kind != _TST_INFO:
        raise ValueError("it is a stamp of another kind")
    ((_, info, _),) = _der(wrapped)
    ((_, signer, _),) = _der(fields[-1][1])
    listed = [one for tag, content, _ in fields[3:-1] if tag == 0xA0 for one in _der(content)]
    certificates = [load_der_x509_certificate(whole) for _, _, whole in listed]
    certificate = _signed_by(signer, info, certificates)
    ((_, facts, _),) = _der(info)
    (_, policy, _), (_, imprint, _), _, (_, moment, _) = _der(facts)[1:5]
    (_, algorithm, _), (_, stamped, _) = _der(imprint)
    if not isinstance(_DIGESTS.get(_der(algorithm)[0][1]), hashes.SHA256) or stamped != digest:
        raise ValueError("the stamp is of something else")
    form = "%Y%m%d%H%M%S.%fZ" if b"." in moment else "%Y%m%d%H%M%SZ"
    at = datetime.strptime(moment.decode("ascii"), form).replace(tzinfo=UTC)
    usage = certificate.extensions.get_extension_for_class(ExtendedKeyUsage)
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise ValueError("the stamp's certificate is not for stamping")
    if not _valid(certificate, at):
        raise ValueError("the stamp's certificate was not valid then")
    return Stamp(
        at=int(at.timestamp() * 1_000_000),
        authority=certificate.subject.rfc4514_string(),
        test=policy == _TEST_POLICY,
        rooted=_ends_in(roots, certificate, certificates, at),
    )


def _signed_by(signer: bytes, info: bytes, certificates: list[Certificate]) -> Certificate:
    """The certificate with which `info` was signed as SignerInfo says (RFC 5652, 5.3)."""
    _, (_, whose, _), (_, algorithm, _), (tag, listed, _), _, (_, signature, _) = _der(signer)[:6]
    hash = _DIGESTS.get(_der(algorithm)[0][1])
    if tag != 0xA0 or hash is None:
        raise ValueError("the stamp is signed in a way that is not understood here")
    attributes = {}
    for _, each, _ in _der(listed):
        (_, kind, _), (_, values, _) = _der(each)
        attributes[kind] = _der(values)[0][1]
    state = hashes.Hash(hash)
    state.update(info)
    if attributes[_MESSAGE_DIGEST] != state.finalize():
        raise ValueError("the stamp was altered")
    (_, _, issuer), (_, serial, _) = _der(whose)
    named = issuer, int.from_bytes(serial, "big", signed=True)
    for one in certificates:
        if (one.issuer.public_bytes(), one.serial_number) == named and _is_named(one, attributes):
            # Signed is the SET OF attributes, not the tagged one that is written (5.4).
            _check_signature(one, signature, b"\x31" + _length(listed) + listed, hash)
            return one
    raise ValueError("the stamp's certificate is not in it")


def _is_named(certificate: Certificate, attributes: Mapping[bytes, bytes]) -> bool:
    """Do the signed attributes name this certificate by its hash? (RFC 2634, RFC 5816)"""
    named = next(attributes[kind] for kind in _CERTIFICATE_HASH if kind in attributes)
    first = _der(_der(named)[0][1])[0][1]
    expected = next(content for tag, content, _ in _der(first) if tag == 4)
    state = _BY_LENGTH[len(expected)](certificate.public_bytes(Encoding.DER))
    return state.digest() == expected


def _check_signature(
    certificate: Certificate, signature: bytes, text: bytes, hash: hashes.HashAlgorithm
) -> None:
    key = certificate.public_key()
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, text, PKCS1v15(), hash)
        elif isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, text, ECDSA(hash))
        elif isinstance(key, Ed25519PublicKey):
            key.verify(signature, text)
        else:
            raise ValueError("the stamp's key is of a kind that is not understood here")
    except InvalidSignature:
        raise ValueError("the stamp's signature is wrong") from None


def _ends_in(
    roots: Sequence[Certificate], leaf: Certificate, others: list[Certificate], at: datetime
) -> bool:
    """Did one of `roots` issue the certificate, be it by others that are in the answer?"""
    current = leaf
    for _ in range(8):
        if any(_issued(root, current) and _valid(root, at) for root in roots):
            return True
        above = (one for one in others if one != current and _issued(one, current, authority=True))
        found = next((one for one in above if _valid(one, at)), None)
        if found is None:
            return False
        current = found
    return False


def _issued(above: Certificate, below: Certificate, *, authority: bool = False) -> bool:
    try:
        below.verify_directly_issued_by(above)
        return not authority or above.extensions.get_extension_for_class(BasicConstraints).value.ca
    except (InvalidSignature, ValueError, TypeError, ExtensionNotFound):
        return False


def _valid(certificate: Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _der(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """(tag, content, all of it) of the DER values one behind the other in `data`."""
    found, place = [], 0
    while place < len(data):
        begin, length, start = place, data[place + 1], place + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[place + 2 : start], "big")
        place = start + length
        if place > len(data):
            raise ValueError("a value of the stamp is cut off")
        found.append((data[begin], data[start:place], data[begin:place]))
    return found


def _length(content: bytes) -> bytes:
    """The length of a DER value."""
    size = len(content).to_bytes(4, "big").lstrip(b"\0") or b"\0"
    return size if len(content) < 0x80 else bytes([0x80 | len(size)]) + size


# --- Bundles --------------------------------------------------------------------------------------

MANIFEST = "MANIFEST.json"
MANIFEST_LIMIT = 16 << 20
_ENTRIES = 10_000
"""Files of a bundle, parts of a session: no bank's has so many."""


@dataclass(frozen=True)
class BundleReport:
    """Whether an exported bundle is as it was signed."""

    path: str
    ok: bool
    problems: list[str]
    session: str | None
    made: int | None
    """UTC microseconds, by the clock of who made it."""
    files: int
    pictures: int
    """Pictures of findings, each the one whose hash the timeline has."""
    proofs: list[Proof]
    verdicts: list[Verdict]


def manifest_text(suite: Suite, manifest: bytes) -> bytes:
    """What the signer of a manifest signs."""
    return b"VBR1 manifest\0" + suite.digest(manifest)


def verify_bundle(directory: Path, trust: Trust, roots: Sequence[Certificate] = ()) -> BundleReport:
    """The verdict on all of a bundle. `OSError` if something in it can't be read."""
    problems: list[str] = []
    manifest: dict[str, Any] = {}
    try:
        manifest = read_manifest(_small(directory / MANIFEST), trust)
        problems += _differing(directory, manifest["files"])
    except ValueError as error:
        problems.append(f"{MANIFEST}: {error}")
    verdicts = [verify_file(part, trust) for part in sorted(directory.rglob("*.vbr"))]
    if not verdicts:
        problems.append("there is no part in it")
    else:
        problems += verify_session(verdicts).problems
    if manifest and any(verdict.session != manifest["session"] for verdict in verdicts):
        problems.append("a part is of another session than the manifest")
    pictures = 0
    if (directory / TIMELINE).exists():
        try:
            pictures = _check_timeline(directory)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{TIMELINE}: {error}")
    proofs: list[Proof] = []
    if (directory / PROOF).exists():
        try:
            proofs = _proofs(_small(directory / PROOF), verdicts, trust, roots)
        except ValueError as error:
            problems.append(f"{PROOF}: {error}")
    for proof in proofs:
        if proof.state == "wrong":
            problems.append(f"part {proof.part_id}: {proof.said}")
    return BundleReport(
        path=str(directory),
        ok=not problems,
        problems=problems,
        session=manifest.get("session"),
        made=manifest.get("made"),
        files=len(manifest.get("files", ())),
        pictures=pictures,
        proofs=proofs,
        verdicts=verdicts,
    )


def read_manifest(data: bytes, trust: Trust) -> dict[str, Any]:
    """What `MANIFEST.json` says; `ValueError` unless somebody trusted signed it."""
    outer = parse_canonical(data)
    kinds = {key: type(value) for key, value in outer.items()}
    if kinds != {**dict.fromkeys(("format", "manifest", "signature", "signer"), str), "suite": int}:
        raise ValueError("not a manifest")
    if outer["format"] != "VBRM" or not _is_suite(outer["suite"]):
        raise ValueError("a manifest of an unknown kind")
    text, signer, suite = outer["manifest"].encode(), outer["signer"], SUITES[outer["suite"]]
    if trust.suite(signer) != suite.number:
        raise ValueError(f"signed by {signer}, who is not trusted")
    if not trust.signed(signer, manifest_text(suite, text), bytes.fromhex(outer["signature"])):
        raise ValueError("its signature is wrong")
    manifest = parse_canonical(text)
    files = manifest.get("files")
    if not isinstance(files, dict) or type(manifest.get("made")) is not int:
        raise ValueError("it lists no files")
    if not isinstance(manifest.get("session"), str) or len(files) > _ENTRIES:
        raise ValueError("it names no session")
    if not all(_is_hex(hash, 32) and _is_inside(name) for name, hash in files.items()):
        raise ValueError("it lists a file that can't be in a bundle")
    return manifest


def _is_inside(name: str) -> bool:
    pieces = name.split("/")
    return not {"", ".", ".."} & set(pieces) and not set(name) & set("\\:\0")


def _differing(directory: Path, files: Mapping[str, str]) -> Iterator[str]:
    """What is not as the manifest has it."""
    for name, hash in sorted(files.items()):
        path = directory / name
        if path.resolve() != directory.resolve() / name or not path.is_file():
            yield f"{name} is missing"
        else:
            with contextlib.closing(File(path)) as source:
                if tail_hash(SUITES[1], source, 0) != hash:
                    yield f"{name} was altered"
    there = {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    for name in sorted(there - files.keys() - {MANIFEST}):
        yield f"{name} was added"


def _check_timeline(directory: Path) -> int:
    """How many pictures of findings there are; `ValueError` unless the timeline is one whole chain
    of hashes and each picture is the one that an entry of it names.

    A row's `hash` is the SHA-256 of the row without it, in canonical JSON; `previous` is the hash
    of the row before.
    """
    said = json.loads(_small(directory / TIMELINE))
    previous = "0" * 64
    known: dict[str, str] = {}
    for number, row in enumerate(said["rows"], 1):
        body = {key: value for key, value in row.items() if key != "hash"}
        digest = sha256(canonical(body)).hexdigest()
        if (row["seq"], row["previous"], row["hash"]) != (number, previous, digest):
            raise ValueError(f"row {number} is not what was written")
        previous = digest
        if row["kind"] == "finding":
            data = json.loads(row["data"])
            for name, said_of in data["pictures"].items():
                known[f"{PICTURES}/{data['finding']}/{name}.jpg"] = said_of["sha256"]
    found = 0
    for path in sorted((directory / PICTURES).rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        name = path.relative_to(directory).as_posix()
        if known.get(name) != sha256(_small(path)).hexdigest():
            raise ValueError(f"{name} is not the picture of a finding in it")
        found += 1
    return found


def _proofs(
    data: bytes, verdicts: list[Verdict], trust: Trust, roots: Sequence[Certificate]
) -> list[Proof]:
    try:
        entries = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("not a list of proofs")
    chains = {verdict.part_id: verdict.chain for verdict in verdicts}
    given = [entry.get("part_id") for entry in entries]
    if len(entries) > _ENTRIES or {*map(str, given)} != {*map(str, chains)}:
        raise ValueError("it is not about the parts that are here")
    return [
        verify_proof(entry, chains[part_id], trust, roots)
        for entry, part_id in zip(entries, given, strict=True)
    ]


def _small(path: Path) -> bytes:
    """Content of a file that is small if it is what it should be."""
    with path.open("rb") as file:
        data = file.read(MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise ValueError("too long")
    return data


# --- Command line ---------------------------------------------------------------------------------

OK, NOT_OK, WRONG_USE = 0, 1, 2


class File:
    """A file being read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def size(self) -> int:
        return self._file.seek(0, 2)

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        self._file.close()


def verify_file(path: Path, trust: Trust) -> Verdict:
    """The verdict on the part in this file, with the closing beside it."""
    beside = path.with_name(path.name + ".close")
    closing = None
    if beside.exists():
        with beside.open("rb") as file:
            closing = file.read(2 * CLOSING_LIMIT)
    with contextlib.closing(File(path)) as source:
        return Examination(source, trust).verdict(str(path), closing)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line understands."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="part or directory")
    parser.add_argument("--trust", required=True, type=Path, help="public keys of signers, PEM")
    parser.add_argument("--roots", type=Path, help="certificates of time-stamp authorities, PEM")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Do what the command line says; the exit code. `OSError`, `ValueError` for wrong use."""
    trust = Trust.load(options.trust)
    roots = load_pem_x509_certificates(options.roots.read_bytes()) if options.roots else []
    bundles = [
        verify_bundle(path, trust, roots) for path in options.paths if (path / MANIFEST).is_file()
    ]
    files = [
        file
        for path in options.paths
        if not (path / MANIFEST).is_file()
        for file in (sorted(path.rglob("*.vbr")) if path.is_dir() else [path])
    ]
    if not files and not bundles:
        raise ValueError("there is no part (*.vbr) under these paths")
    loose = [verify_file(file, trust) for file in files]
    verdicts = [verdict for bundle in bundles for verdict in bundle.verdicts] + loose
    reports = sessions(loose)
    if options.json:
        _print_json(verdicts, reports, bundles)
    else:
        for verdict in verdicts:
            say(_line(verdict))
            for meaning in MEANINGS.get(verdict.reason, ()):
                say(f"    {meaning}")
        for report in reports:
            say(_chain_line(report))
        for bundle in bundles:
            for line in _bundle_lines(bundle):
                say(line)
    sound = [one.ok for one in verdicts] + [one.ok for one in reports]
    sound += [one.ok for one in bundles]
    return OK if all(sound) else NOT_OK


def sessions(verdicts: Iterable[Verdict]) -> list[ChainReport]:
    """A report for each session of which there are several parts.

    A single part that was picked out says nothing about the others.
    """
    parts: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.session is not None:
            parts[verdict.session].append(verdict)
    return [verify_session(some) for some in parts.values() if len(some) > 1]


def _print_json(
    verdicts: list[Verdict], reports: list[ChainReport], bundles: list[BundleReport]
) -> None:
    chains = [
        {"session": report.session, "ok": report.ok, "problems": report.problems}
        for report in reports
    ]
    shown = {
        "parts": [verdict.to_json() for verdict in verdicts],
        "sessions": chains,
        "bundles": [
            {name: value for name, value in asdict(bundle).items() if name != "verdicts"}
            for bundle in bundles
        ],
    }
    print(json.dumps(shown, ensure_ascii=False, indent=1))


def say(line: str) -> None:
    """Print it; what a file says of itself must not steer the terminal."""
    print("".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line))


def _line(verdict: Verdict) -> str:
    line = f"{verdict.name}: {verdict.status}"
    if verdict.suite == 2:
        line += " by suite 2 (SM4, SM3, SM2; not certified)"
    if verdict.status is Status.OK:
        tail = "" if verdict.reason == "finished" else f", {verdict.reason}"
        return f"{line} ({verdict.records} records, {seconds(verdict.last_time_us)}{tail})"
    line += f": {verdict.reason}"
    if verdict.record is not None:
        line += f" at record {verdict.record}, {seconds(verdict.time_us or 0)}"
    if verdict.detail:
        line += f" ({verdict.detail})"
    signed = f"signed to record {verdict.signed_records}, {seconds(verdict.signed_time_us)}"
    return f"{line}; {signed}"


def _chain_line(report: ChainReport) -> str:
    parts = len(report.verdicts)
    said = "; ".join(report.problems) or "each part follows the one before it"
    return f"session {report.session}: {parts} parts: {said}"


def _bundle_lines(bundle: BundleReport) -> Iterator[str]:
    for proof in bundle.proofs:
        yield f"part {proof.part_id}: {proof.said}"
    if bundle.ok and bundle.made is not None:
        said = f"ok ({bundle.files} files as signed {utc(bundle.made)})"
        yield f"bundle {bundle.path}: {said}"
        if bundle.pictures:
            yield f"bundle {bundle.path}: {bundle.pictures} pictures as its timeline has them"
    for problem in bundle.problems:
        yield f"bundle {bundle.path}: not ok: {problem}"


def utc(time_us: int) -> str:
    """For people."""
    try:
        return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{time_us} \N{MICRO SIGN}s after 1970"


def seconds(time_us: int) -> str:
    """For people."""
    return f"{time_us / 1e6:.3f} s"


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; the exit code."""
    parser = argparse.ArgumentParser(
        prog="verify_recording.py", description="Verify sealed recordings with public keys alone."
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # consoles without 汉字
    try:
        return run(options)
    except (OSError, ValueError) as error:
        print(f"verify_recording.py: {error}", file=sys.stderr)
        return WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
