"""Photographs held before a camera; the report does the same a thousand times."""

from pathlib import Path

import numpy as np

from kyc.check import Verdict
from kyc.image import decode
from kyc.instruments import Instruments
from kyc.report.attacks import Outcome, attack
from kyc.report.photographs import HEIGHT, KINDS, WIDTH, Photograph, show
from tests.kyc.conftest import Clip

COUNT = 20


def photograph(path: Path, instruments: Instruments) -> Photograph:
    bgr = decode(path.read_bytes())
    return Photograph(bgr, instruments.faces.find(bgr)[0])


def test_the_face_is_carried_along_with_the_paper(
    instruments: Instruments, test_data: Path
) -> None:
    held = photograph(test_data / "faces" / "Al_Davis_0001.jpg", instruments)
    for kind in KINDS:
        shown = list(show(held, kind, np.random.default_rng(4), 0.5))
        assert all(frame.size == (WIDTH, HEIGHT) for frame, _ in shown)
        frame, face = shown[-1]
        found = instruments.faces.find(frame.bgr)[0]
        assert np.abs(found.points - face.points).max() < 0.12 * face.box[2], kind
        again = list(show(held, kind, np.random.default_rng(4), 0.5))
        assert np.array_equal(again[-1][0].bgr, frame.bgr), "seeded"


def test_no_photograph_passes(instruments: Instruments, test_data: Path) -> None:
    paths = sorted((test_data / "faces").glob("*.jpg"))[:: 1700 // COUNT][:COUNT]
    outcomes: list[Outcome] = []
    for number, path in enumerate(paths):
        held = photograph(path, instruments)
        kind = KINDS[number % len(KINDS)]
        outcomes.append(attack(held, kind, number, instruments.landmarks))
    assert len(outcomes) == COUNT
    assert sum(each.whole for each in outcomes) == 0
    assert sum(each.prompts for each in outcomes) == 0
    assert sum(each.depth is Verdict.PASSED for each in outcomes) <= 1
    assert sum(each.passive is Verdict.FAILED for each in outcomes) >= COUNT / 3


def test_a_head_that_moves_is_round(instruments: Instruments, clip: Clip) -> None:
    from kyc.liveness.passive import Passive

    watching, last, faces = Passive(), 0, []
    for number, frame in enumerate(clip("d9", 10)):
        if frame.media_time_us > 8_000_000:
            break
        if number % 2 == 0:  # found on every other picture: the face hardly moves meanwhile
            faces = instruments.faces.find(frame.bgr)
        watching.see(frame, faces)
        last = frame.media_time_us
    finding = watching.finding(last)
    signals = finding.values["signals"]
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "round")
    assert signals["motion"]["reason"] in ("alive", "too_short")
    assert signals["screen"]["reason"] == "no_pattern"
    assert signals["colour"]["reason"] == "usual"
    assert signals["pulse"]["verdict"] is Verdict.NOT_CHECKED
