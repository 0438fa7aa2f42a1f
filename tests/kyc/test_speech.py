"""Cutting sound into utterances, by a stand-in for the voice activity model."""

import pytest

from kyc.check import BadInput
from kyc.speech import CHUNK, LONGEST_CHUNKS, RATE, Cutter

LOUD, QUIET = b"\x00\x20" * CHUNK, bytes(2 * CHUNK)


def cutter() -> Cutter:
    return Cutter(lambda chunk: 0.9 if any(chunk) else 0.1)


def at(chunks: int) -> int:
    return chunks * CHUNK * 1_000_000 // RATE


def test_an_utterance_has_its_time_and_a_little_before_it() -> None:
    ears = cutter()
    assert ears.feed(QUIET * 30 + LOUD * 20, 5_000_000) == []
    speaking = ears.speaking
    (cut,) = ears.feed(QUIET * 30, 5_000_000 + at(50))
    assert (speaking, ears.speaking) == (True, False)
    assert cut.from_us == 5_000_000 + at(21)  # the chunk that began it is one of the ten before
    assert cut.to_us == 5_000_000 + at(50)
    assert len(cut.loudness) * CHUNK == len(cut.samples)
    assert min(cut.loudness) == 12
    assert max(cut.loudness) == 96


def test_pieces_of_any_length_are_one_sound() -> None:
    sound = QUIET * 20 + LOUD * 20 + QUIET * 30
    ears, whole = cutter(), cutter().feed(sound, 0)
    cuts = []
    for start in range(0, len(sound), 1234):
        cuts += ears.feed(sound[start : start + 1234], start // 2 * 1_000_000 // RATE)
    assert cuts == whole


def test_a_microphone_switched_off_ends_the_utterance() -> None:
    ears = cutter()
    ears.feed(LOUD * 20, 0)
    (cut,) = ears.feed(b"", at(20) + 800_000)
    assert cut.to_us == at(20)


def test_a_long_gap_starts_anew() -> None:
    ears = cutter()
    ears.feed(LOUD * 20, 0)
    (cut,) = ears.feed(LOUD * 20, 60_000_000)
    assert cut.to_us <= at(21)
    (later,) = ears.finish()
    assert later.from_us == 60_000_000


def test_a_cough_is_nothing_and_a_speech_is_cut() -> None:
    assert cutter().feed(QUIET * 20 + LOUD * 3 + QUIET * 40, 0) == []
    first, *_ = cutter().feed(LOUD * (LONGEST_CHUNKS + 50), 0)
    assert len(first.loudness) == LONGEST_CHUNKS


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(BadInput):
        cutter().feed(b"\x00", 0)
