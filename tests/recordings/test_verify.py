"""Nothing can be changed in a part without a verifier saying so. None of this needs its key."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings import Status, Trust, Verdict, verify_part, verify_session
from recordings.container import PartWriter, Type

from .parts import (
    DEK,
    SIGNER,
    STRANGER,
    MemorySink,
    MemoryStore,
    Wall,
    header,
    layout,
    of_type,
    sealed,
)

TRUST = SIGNER.trust()
PART = sealed(records=40, every=6)
RECORDS = layout(PART)
OTHER = sealed(records=40, every=6, part_id="f" * 32)


def verdict(part: bytes, **options: object) -> Verdict:
    return verify_part(MemoryStore(p=part), "p", TRUST, **options)  # type: ignore[arg-type]


def piece(part: bytes, number: int) -> bytes:
    record = layout(part)[number]
    return part[record.offset : record.end]


def replaced(number: int, new: bytes, old: int = 1) -> bytes:
    """The part with `old` records from `number` on replaced by these bytes."""
    return PART[: RECORDS[number].offset] + new + PART[RECORDS[number + old - 1].end :]


def test_an_untouched_part_is_ok() -> None:
    found = verdict(PART)
    assert found.ok and found.reason == "finished" and found.record is None
    assert found.records == found.signed_records == len(RECORDS)
    assert found.last_time_us == 3_900_000
    assert verdict(PART, dek=DEK).ok


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(PART) * 8 - 1))
def test_every_bit_counts(bit: int) -> None:
    changed = bytearray(PART)
    changed[bit // 8] ^= 1 << bit % 8
    found = verdict(bytes(changed))
    assert found.status in (Status.TAMPERED, Status.INCOMPLETE)
    inside = [r.sequence for r in RECORDS if r.offset <= bit // 8 < r.end]
    if inside and RECORDS[inside[0]].type in (Type.DATA, Type.EVENT, Type.INDEX):
        assert (found.status, found.record) == (Status.TAMPERED, inside[0])


def test_every_byte_of_what_is_not_ciphertext_counts() -> None:
    """Preamble, record headers, CHECKPOINT and FINAL, byte by byte."""
    places = set(range(RECORDS[0].offset))
    for record in RECORDS:
        clear = record.type in (Type.CHECKPOINT, Type.FINAL)
        places.update(range(record.offset, record.end if clear else record.offset + 24))
    for place in sorted(places):
        changed = bytearray(PART)
        changed[place] ^= 0x41
        assert not verdict(bytes(changed)).ok, place


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(PART) - 1))
def test_a_part_that_was_cut_is_incomplete(length: int) -> None:
    found = verdict(PART[:length])
    assert found.status is Status.INCOMPLETE
    assert found.reason in ("preamble_cut", "no_final", "record_cut")
    whole = [r for r in RECORDS if r.end <= length]
    assert found.records == len(whole)
    signed = [r.sequence + 1 for r in whole if r.type == Type.CHECKPOINT]
    assert found.signed_records == (signed[-1] if signed else 0)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(RECORDS) - 2), st.integers(0, len(RECORDS) - 2))
def test_records_can_not_change_places(first: int, second: int) -> None:
    first, second = sorted((first, second))
    if first == second:
        return
    between = PART[RECORDS[first].end : RECORDS[second].offset]
    swapped = piece(PART, second) + between + piece(PART, first)
    found = verdict(replaced(first, swapped, second - first + 1))
    assert (found.status, found.record) == (Status.TAMPERED, first)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(RECORDS) - 2), st.integers(1, 20))
def test_records_can_not_be_taken_out(number: int, count: int) -> None:
    count = min(count, len(RECORDS) - 1 - number)
    found = verdict(replaced(number, b"", count))
    assert (found.status, found.reason) == (Status.TAMPERED, "records_missing")
    assert found.record == number


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(RECORDS) - 1))
def test_records_can_not_be_repeated(number: int) -> None:
    found = verdict(replaced(number, piece(PART, number) * 2))
    reason = "data_after_final" if number == len(RECORDS) - 1 else "record_repeated"
    assert (found.status, found.reason) == (Status.TAMPERED, reason)
    assert found.record == number + 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(RECORDS) - 1))
def test_records_of_another_part_do_not_fit(number: int) -> None:
    # Two parts of the same layout have the same INDEX: it holds nothing but that layout.
    if RECORDS[number].type != Type.INDEX:
        assert verdict(replaced(number, piece(OTHER, number))).status is Status.TAMPERED


@pytest.mark.parametrize("more", [b"\0", b"x" * 24, piece(PART, 3), PART])
def test_nothing_may_follow_final(more: bytes) -> None:
    found = verdict(PART + more)
    assert (found.status, found.reason) == (Status.TAMPERED, "data_after_final")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400))
def test_rubbish_is_no_part(data: bytes) -> None:
    assert not verdict(data).ok
    assert not verdict(PART[:12] + data).ok
    assert not verdict(PART[: RECORDS[5].offset] + data).ok


def test_the_altered_record_is_named_with_its_second() -> None:
    changed = bytearray(PART)
    target = of_type(PART, Type.DATA)[20]
    changed[target.end - 1] ^= 1
    found = verdict(bytes(changed))
    assert found.reason == "record_altered"
    assert (found.record, found.time_us) == (target.sequence, target.time_us)


def test_damage_over_several_checkpoints_is_tampering() -> None:
    first, last = RECORDS[3], RECORDS[25]
    rubbish = os.urandom(last.end - first.offset)
    found = verdict(PART[: first.offset] + rubbish + PART[last.end :])
    assert found.status is Status.TAMPERED and found.record == 3
    assert "goes on at record" in found.detail


def test_zeros_that_a_power_loss_leaves_are_no_tampering() -> None:
    cut = RECORDS[20].offset + 30
    found = verdict(PART[:cut] + bytes(5000))
    assert (found.status, found.reason) == (Status.INCOMPLETE, "end_damaged")
    assert found.signed_records == 14
    checkpoint = of_type(PART, Type.CHECKPOINT)[3]
    found = verdict(PART[: checkpoint.offset + 40] + bytes(checkpoint.end - checkpoint.offset - 40))
    assert found.status is Status.INCOMPLETE


def test_only_given_signers_count() -> None:
    found = verify_part(MemoryStore(p=PART), "p", STRANGER.trust())
    assert (found.status, found.reason) == (Status.TAMPERED, "signer_unknown")
    forged = sealed(signer=STRANGER)
    renamed = forged.replace(STRANGER.key_id.encode(), SIGNER.key_id.encode())
    assert verdict(renamed).reason == "preamble_signature_wrong"


def test_a_part_of_another_suite_is_refused() -> None:
    assert verdict(PART.replace(b'"suite":1', b'"suite":9')).reason == "suite_unknown"
    assert verdict(PART.replace(b'"suite":1', b'"suite":2')).reason == "signer_unknown"


def test_a_writer_that_lies_in_its_index_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed by the right key, but the INDEX leaves a key frame out."""
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(), dek=DEK, signer=SIGNER, wall=Wall())
    for number in range(4):
        writer.data(1, number, b"x")
    writer._entries[16 * 2] ^= 1
    writer.finish()
    found = verdict(bytes(sink.data))
    assert (found.status, found.reason, found.record) == (Status.TAMPERED, "index_wrong", 4)


def test_with_the_key_every_record_must_open() -> None:
    """A signer who seals rubbish, or under another key: only the key shows that."""
    assert verdict(PART, dek=bytes(32)).reason == "key_wrong"
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(), dek=DEK, signer=SIGNER, wall=Wall())
    writer.data(1, 0, b"x")
    writer._keys = type(writer._keys).derive(writer._suite, bytes(32), b"")
    writer.data(1, 1, b"x")
    writer.finish()
    assert verdict(bytes(sink.data)).ok
    found = verdict(bytes(sink.data), dek=DEK)
    assert (found.status, found.reason, found.record) == (
        Status.TAMPERED,
        "record_not_openable",
        1,
    )


def test_chain_values_of_the_log_bind_a_thief_of_the_signing_key() -> None:
    sink = MemorySink(bytearray())
    writer = PartWriter(sink, header=header(), dek=DEK, signer=SIGNER, wall=Wall())
    known = {}
    for number in range(10):
        writer.data(1, number, b"x")
        known[writer.records] = writer.chain.hex()
    writer.finish()
    assert verdict(bytes(sink.data), known=known).ok
    again = sealed(records=10)
    found = verdict(again, known=known)
    assert (found.status, found.reason, found.record) == (Status.TAMPERED, "differs_from_log", 1)
    cut = bytes(sink.data[: layout(bytes(sink.data))[8].offset])
    assert verdict(cut, known=known).reason == "differs_from_log"


def test_a_million_false_marks_do_not_stop_a_verifier() -> None:
    """Bytes that look like signed records cost a bounded number of signature checks."""
    mark = (104).to_bytes(4, "big") + b"\x03\0\0\0" + bytes(16)
    cut = PART[: RECORDS[5].offset + 7]
    assert verdict(cut + mark * 100_000).status is Status.INCOMPLETE


def linked(count: int) -> list[bytes]:
    parts: list[bytes] = []
    previous = None
    for number in range(1, count + 1):
        id = f"{number:032x}"
        parts.append(sealed(part=number, part_id=id, previous=previous, records=7))
        previous = {"part_id": id, "chain": verdict(parts[-1]).chain}
    return parts


class TestSession:
    parts = linked(4)

    def report(self, *numbers: int) -> list[str]:
        return verify_session(verdict(self.parts[number]) for number in numbers).problems

    def test_parts_in_any_order_follow_one_another(self) -> None:
        for order in itertools.permutations(range(4)):
            assert self.report(*order) == []

    @pytest.mark.parametrize("numbers", [(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 1, 2)])
    def test_a_part_is_missing_or_double(self, numbers: tuple[int, ...]) -> None:
        assert "missing or given twice" in self.report(*numbers)[0]

    def test_a_part_was_exchanged(self) -> None:
        other = sealed(part=2, part_id=f"{2:032x}", previous=None)
        first, third = verdict(self.parts[0]), verdict(self.parts[2])
        problems = verify_session([first, verdict(other), third]).problems
        assert problems == [
            "part 2 does not follow the part before it",
            "part 3 does not follow the part before it",
        ]

    def test_parts_of_two_sessions(self) -> None:
        other = verdict(sealed(session="S-2", part=2))
        assert (
            "parts of several sessions" in verify_session([verdict(self.parts[0]), other]).problems
        )


def test_several_signers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """After a change of keys trust.pem holds both."""
    path = tmp_path_factory.mktemp("keys") / "trust.pem"
    path.write_bytes(b"# old\n" + STRANGER.public_pem() + b"\n# new\n" + SIGNER.public_pem())
    trust = Trust.load(path)
    for part in (PART, sealed(signer=STRANGER)):
        assert verify_part(MemoryStore(p=part), "p", trust).ok
