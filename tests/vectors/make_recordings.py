"""Makes the vectors of the sealed recording format: `python -m tests.vectors.make_recordings`.

Each is a part `NAME.vbr`, its closing `NAME.vbr.close` if it has one, and `NAME.expect`: lines
`expect: VERDICT`, then what else a verifier must find, and a comment. Everything in them follows
from fixed keys and clocks, so making them again gives the same bytes. The keys are for tests only:
the data key is SHA-256("vector data key"), the signer's private key SHA-256("vector signer"),
that of suite 2 the same as a number.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recordings import Ending, FileSigner, Signer, Trust, recover
from recordings.container import Flag, PartWriter, Record, Type
from recordings.matroska import Muxer
from recordings.verify_recording import key_id
from tests.recordings.parts import MemorySink, MemoryStore, Wall, layout
from tests.recordings.sm2 import FixedSigner

HERE = Path(__file__).parent / "recordings"
DEK = sha256(b"vector data key").digest()


def signer(name: str = "vector signer") -> FileSigner:
    """The signer of the vectors, or another one."""
    return FileSigner(Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()))


SIGNER = signer()
SM_SIGNER = FixedSigner(sha256(b"vector signer").digest())
PART_ID = sha256(b"vector part").hexdigest()[:32]
KEY_FRAME = b"\x10\x02\x00\x9d\x01\x2a" + (360).to_bytes(2, "little") + (640).to_bytes(2, "little")


@dataclass
class Vector:
    name: str
    part: bytes
    expect: str
    says: str
    """One line for people."""
    facts: dict[str, object] = field(default_factory=dict)
    closing: bytes | None = None

    def text(self) -> str:
        lines = [f"expect: {self.expect}"]
        lines += [f"{key}: {value}" for key, value in self.facts.items()]
        return "\n".join([*lines, f"comment: {self.says}", ""])


def write(fill: Callable[[PartWriter], None], by: Signer = SIGNER, **changes: object) -> bytes:
    """A part with this content."""
    header = {
        "part_id": PART_ID,
        "session": "vector-session",
        "part": 1,
        "previous": None,
        "key_id": "vector/2026-11",
        **changes,
    }
    sink = MemorySink(bytearray())
    fill(PartWriter(sink, header=header, dek=DEK, signer=by, wall=Wall()))
    return bytes(sink.data)


def call(writer: PartWriter) -> None:
    """Three seconds of one participant, made-up frames, and two events; not finished."""
    muxer = Muxer("customer")
    writer.checkpoint()
    writer.event(1_000_000, b'{"kind":"joined","who":"customer"}')
    for number in range(150):
        time_us = 1_000_000 + number * 20_000
        fragments = muxer.add("audio", time_us, b"\xfc" + bytes([number]) * 16, False, 0)
        if number % 2 == 0:
            key = number % 50 == 0
            data = (KEY_FRAME if key else b"\x11") + bytes([number]) * 24
            fragments += muxer.add("video", time_us, data, key, 0)
        for fragment in fragments:
            flags = Flag.KEYFRAME * fragment.keyframe | Flag.INIT * fragment.init
            writer.data(1, fragment.time_us, fragment.payload, Flag(flags))
        if number % 25 == 24:
            writer.checkpoint()
    for fragment in muxer.flush():
        writer.data(1, fragment.time_us, fragment.payload)
    writer.event(4_000_000, b'{"kind":"decided","verdict":"approved"}')


def h264(writer: PartWriter) -> None:
    """A second of H264: SPS, PPS, IDR in the key frame, made-up slices after it."""
    sets = b"\0\0\0\1" + bytes.fromhex("6742c00dda05016840000003004000000c83c50ae0")
    sets += b"\0\0\0\1" + bytes.fromhex("68ce3c80")
    muxer = Muxer("customer")
    for number in range(25):
        slice = b"\0\0\1" + (b"\x41" if number else b"\x65") + bytes([number + 1]) * 24
        data = slice if number else sets + slice
        for fragment in muxer.add("video", number * 40_000, data, not number, 0, "h264"):
            flags = Flag.KEYFRAME * fragment.keyframe | Flag.INIT * fragment.init
            writer.data(1, fragment.time_us, fragment.payload, Flag(flags))
    for fragment in muxer.flush():
        writer.data(1, fragment.time_us, fragment.payload)
    writer.finish()


def finished(writer: PartWriter, ending: Ending = Ending.FINISHED) -> None:
    call(writer)
    writer.finish(ending)


def empty(writer: PartWriter) -> None:
    writer.finish()


def liar(writer: PartWriter) -> None:
    """Signed, but the INDEX hides a key frame."""
    call(writer)
    writer._entries[16 * 4] ^= 1
    writer.finish()


def vectors() -> Iterator[Vector]:
    """All of them."""
    good = write(finished)
    records = layout(good)
    facts: dict[str, object] = {"records": len(records), "bytes": len(good)}
    reader_facts = {"dek": DEK.hex(), "plaintext-sha256": plaintext_hash(good)}
    yield Vector("finished", good, "ok", "a whole part", {**facts, **reader_facts})
    pictures = write(h264)
    told: dict[str, object] = {"dek": DEK.hex(), "plaintext-sha256": plaintext_hash(pictures)}
    yield Vector("h264", pictures, "ok", "pictures in H264: a Matroska file", told)
    yield Vector("empty", write(empty), "ok", "nothing but INDEX, CHECKPOINT, FINAL")
    failed = write(lambda writer: finished(writer, Ending.WRITING_FAILED))
    yield Vector("disk-full", failed, "ok", "ended early", {"reason": "writing_failed"})
    yield from cut(good, records)
    yield from changed(good, records)
    yield from preambles(good)
    yield from closed()
    yield from suite_2()


def plaintext_hash(part: bytes) -> str:
    """SHA-256 over the plaintext of all DATA records, one behind the other."""
    from recordings import PartReader
    from tests.recordings.parts import MemorySource

    reader = PartReader(MemorySource(part), DEK)
    return sha256(b"".join(map(reader.open, reader.select(Type.DATA)))).hexdigest()


def cut(good: bytes, records: list[Record]) -> Iterator[Vector]:
    """What crashes leave."""
    middle = records[len(records) // 2]
    for name, end, reason in [
        ("cut-nothing", 0, "preamble_cut"),
        ("cut-in-preamble", 200, "preamble_cut"),
        ("cut-between-records", middle.offset, "no_final"),
        ("cut-in-record-header", middle.offset + 10, "record_cut"),
        ("cut-in-record", middle.offset + 100, "record_cut"),
        ("cut-last-byte", len(good) - 1, "record_cut"),
    ]:
        yield Vector(name, good[:end], "incomplete", "a crash", {"reason": reason})
    zeros = good[: middle.offset + 100] + bytes(4096)
    facts: dict[str, object] = {"reason": "end_damaged"}
    yield Vector("cut-with-zeros", zeros, "incomplete", "what a power loss leaves", facts)


def changed(good: bytes, records: list[Record]) -> Iterator[Vector]:
    """What somebody did to a finished part."""

    def tampered(name: str, part: bytes, reason: str, record: int, says: str = "altered") -> Vector:
        return Vector(name, part, "tampered", says, {"reason": reason, "record": record})

    def flipped(at: int) -> bytes:
        return good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]

    def piece(number: int) -> bytes:
        return good[records[number].offset : records[number].end]

    data = [r.sequence for r in records if r.type == Type.DATA]
    ten = data[9]
    at = records[ten].offset
    yield tampered("altered-body", flipped(records[ten].end - 1), "record_altered", ten)
    yield tampered("altered-length", flipped(at + 3), "record_altered", ten)
    yield tampered("altered-type", flipped(at + 4), "record_malformed", ten)
    yield tampered("altered-keyframe-flag", flipped(at + 5), "record_altered", ten)
    yield tampered("altered-stream", flipped(at + 7), "record_malformed", ten)
    yield tampered("altered-sequence", flipped(at + 15), "record_altered", ten)
    yield tampered("altered-time", flipped(at + 23), "record_altered", ten)
    event = next(r for r in records if r.type == Type.EVENT)
    yield tampered("altered-event", flipped(event.offset + 30), "record_altered", event.sequence)
    point = [r for r in records if r.type == Type.CHECKPOINT][2]
    number = point.sequence
    yield tampered("altered-checkpoint", flipped(point.offset + 40), "signature_wrong", number)
    yield tampered("altered-signature", flipped(point.end - 40), "signature_wrong", number)
    index = next(r for r in records if r.type == Type.INDEX)
    yield tampered("altered-index", flipped(index.end - 9), "record_altered", index.sequence)
    last = records[-1]
    final = last.offset
    yield tampered("altered-final", flipped(final + 30), "signature_wrong", last.sequence)
    deleted = good[:at] + good[records[ten].end :]
    yield tampered("deleted", deleted, "records_missing", ten, "one record taken out")
    swapped = good[:at] + piece(ten + 1) + piece(ten) + good[records[ten + 1].end :]
    yield tampered("swapped", swapped, "records_missing", ten, "two records changed places")
    twice = good[: records[ten].end] + piece(ten) + good[records[ten].end :]
    yield tampered("repeated", twice, "record_repeated", ten + 1, "one record twice")
    more = good + piece(ten)
    yield tampered("after-final", more, "data_after_final", last.sequence + 1, "a record too many")
    yield tampered("after-final-byte", good + b"\0", "data_after_final", last.sequence + 1)
    other = write(finished, part_id=sha256(b"another part").hexdigest()[:32])
    theirs = layout(other)[ten]
    mixed = good[:at] + other[theirs.offset : theirs.end] + good[records[ten].end :]
    yield tampered("from-another-part", mixed, "record_altered", ten, "a record of another part")
    unfinished = good[: index.offset]
    moved = unfinished + other[final:]
    facts: dict[str, object] = {"reason": "end_damaged"}
    yield Vector("final-of-another-part", moved, "incomplete", "FINAL does not fit", facts)
    lying = write(liar)
    yield tampered("index-lies", lying, "index_wrong", index.sequence, "signed, yet not true")


def preambles(good: bytes) -> Iterator[Vector]:
    """Wrong from the first byte."""

    def wrong(name: str, part: bytes, reason: str) -> Vector:
        return Vector(name, part, "tampered", "the preamble", {"reason": reason})

    yield wrong("not-a-recording", b"RIFF" + good[4:], "not_a_recording")
    yield wrong("suite-3", good.replace(b'"suite":1', b'"suite":3'), "suite_unknown")
    yield wrong("suite-of-another-key", good.replace(b'"suite":1', b'"suite":2'), "signer_unknown")
    yield wrong("header-blank", good.replace(b'"part":1', b'"part": '), "header_wrong")
    unsorted = good.replace(b'"format":"VBR1","key_id"', b'"key_id":"VBR1","format"')
    yield wrong("header-unsorted", unsorted, "header_wrong")
    huge = good[:8] + b"\xff\xff\xff\xff" + good[12:]
    yield wrong("header-huge", huge, "header_wrong")
    renamed = good.replace(b"vector-session", b"victim-session")
    yield wrong("session-renamed", renamed, "preamble_signature_wrong")
    commitment = 12 + int.from_bytes(good[8:12], "big")
    other = good[:commitment] + bytes(32) + good[commitment + 32 :]
    yield wrong("commitment-altered", other, "preamble_signature_wrong")
    yield wrong("signer-unknown", write(finished, signer("a stranger")), "signer_unknown")


def closed() -> Iterator[Vector]:
    """Crashed, and closed by recovery."""
    unfinished = write(call)
    part = unfinished[:-20]
    store = MemoryStore(p=part)
    trust: Trust = SIGNER.trust()
    recover(store, "p", SIGNER, trust, cause="power loss", by="vectors", dek=DEK, wall=Wall())
    closing = bytes(store.parts["p.close"])
    facts: dict[str, object] = {"reason": "recovered"}
    yield Vector("closed", part, "closed by recovery", "a good closing", facts, closing)
    wrong: dict[str, object] = {"reason": "closing_wrong"}

    def refused(name: str, part: bytes, closing: bytes, says: str) -> Vector:
        return Vector(name, part, "tampered", says, wrong, closing)

    yield refused("closed-then-cut", part[:-1], closing, "a byte less than when it was closed")
    yield refused("closed-then-grown", unfinished, closing, "bytes more than when it was closed")
    yield refused("closing-altered", part, closing.replace(b"power", b"solar"), "another cause")
    yield refused("closing-cut", part, closing[:-1], "half a signature")
    store = MemoryStore(p=part)
    recover(store, "p", signer("a stranger"), trust, cause="power loss", by="vectors", wall=Wall())
    theirs = bytes(store.parts["p.close"])
    yield refused("closing-by-stranger", part, theirs, "signed by nobody who is trusted")


def suite_2() -> Iterator[Vector]:
    """SM4-GCM, SM3, SM2: the same structure, other primitives."""
    good = write(finished, SM_SIGNER)
    told: dict[str, object] = {"suite": 2, "dek": DEK.hex()}
    told["plaintext-sha256"] = plaintext_hash(good)
    yield Vector("sm-finished", good, "ok", "a whole part of suite 2", told)
    records = layout(good)

    def tampered(name: str, place: int, reason: str, record: int) -> Vector:
        part = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        facts: dict[str, object] = {"reason": reason, "record": record}
        return Vector(name, part, "tampered", "one bit turned", facts)

    ten = next(r for r in records[10:] if r.type == Type.DATA)
    yield tampered("sm-altered-body", ten.end - 20, "record_altered", ten.sequence)
    point = [r for r in records if r.type == Type.CHECKPOINT][2]
    yield tampered("sm-altered-signature", point.end - 40, "signature_wrong", point.sequence)
    preamble = records[0].offset
    yield tampered("sm-altered-preamble", preamble - 10, "preamble_signature_wrong", 0)
    part = write(call, SM_SIGNER)[:-20]
    facts: dict[str, object] = {"reason": "record_cut"}
    yield Vector("sm-cut", part, "incomplete", "inside a record", facts)
    recovered: dict[str, object] = {"reason": "recovered"}
    for name, by in (("sm-closed", SM_SIGNER), ("sm-closed-by-suite-1", SIGNER)):
        store = MemoryStore(p=part)
        trust = SM_SIGNER.trust()
        recover(store, "p", by, trust, cause="power loss", by="vectors", dek=DEK, wall=Wall())
        closing = bytes(store.parts["p.close"])
        yield Vector(name, part, "closed by recovery", "a good closing", recovered, closing)


def trusted() -> bytes:
    """The trust file: a key of each suite."""
    lines = base64.b64encode(SM_SIGNER.der).decode()
    lines = f"{lines[:64]}\n{lines[64:]}"
    pem = f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"
    return SIGNER.public_pem() + f"suite 2, {key_id(SM_SIGNER.der)}\n{pem}".encode()


def files() -> dict[str, bytes]:
    """Name and content of all files."""
    made = {"trust.pem": trusted()}
    for vector in vectors():
        made[f"{vector.name}.vbr"] = vector.part
        made[f"{vector.name}.expect"] = vector.text().encode()
        if vector.closing is not None:
            made[f"{vector.name}.vbr.close"] = vector.closing
    return made


def main() -> None:
    """Write them, and remove what is no vector any more."""
    HERE.mkdir(exist_ok=True)
    made = files()
    for old in HERE.iterdir():
        if old.name not in made:
            old.unlink()
    for name, content in made.items():
        (HERE / name).write_bytes(content)
    print(f"{len(made)} files, {sum(map(len, made.values()))} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
