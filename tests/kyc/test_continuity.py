"""Whether the same person stays before the camera."""

import cv2
import numpy as np
import pytest

from kyc.check import Check, Guidance, Verdict
from kyc.image import Bgr, Frame
from kyc.instruments import Instruments
from tests.kyc.conftest import Clip

SECOND = 1_000_000


@pytest.fixture
def faces(clip: Clip) -> dict[str, list[Bgr]]:
    """Four pictures each of two people, at a webcam's distance."""
    return {
        name: [
            np.asarray(cv2.resize(frame.bgr, None, fx=0.5, fy=0.5), np.uint8)
            for frame, _ in zip(clip(name, 1), range(4), strict=False)
        ]
        for name in ("d13", "d20")
    }


EMPTY = np.full((360, 640, 3), 120, np.uint8)


def watch(check: Check, pictures: list[Bgr]) -> list[str]:
    hints = []
    for second, bgr in enumerate(pictures):
        answer = check.see(Frame(bgr, second * SECOND))
        assert isinstance(answer, Guidance)
        hints.append(answer.hint)
    return hints


def test_the_same_face_throughout(instruments: Instruments, faces: dict[str, list[Bgr]]) -> None:
    check = instruments.open("continuity", {})
    assert set(watch(check, faces["d13"])) == {"same_face"}
    finding = check.expire(4 * SECOND)
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "same_face_throughout")
    assert finding.values["changes"] == []
    assert finding.models


def test_somebody_else_sits_down(instruments: Instruments, faces: dict[str, list[Bgr]]) -> None:
    check = instruments.open("continuity", {})
    hints = watch(check, [*faces["d13"][:2], *faces["d20"][:3], faces["d13"][2]])
    assert hints[:2] == ["same_face"] * 2
    assert hints[3:] == ["other_face", "other_face", "same_face"]
    finding = check.expire(6 * SECOND)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "face_changed")
    (change,) = finding.values["changes"]
    assert (change["kind"], change["from_us"], change["to_us"]) == (
        "other_face",
        2 * SECOND,
        5 * SECOND,
    )
    assert change["likeness"] < finding.threshold
    assert [picture.name for picture in finding.pictures] == ["first", "other_1"]


def test_leaving_and_coming_back_is_no_change(
    instruments: Instruments, faces: dict[str, list[Bgr]]
) -> None:
    check = instruments.open("continuity", {})
    hints = watch(check, [*faces["d13"][:2], *[EMPTY] * 6, faces["d13"][2]])
    assert hints[2:] == ["no_face"] * 6 + ["same_face"]
    finding = check.expire(9 * SECOND)
    assert finding.verdict is Verdict.PASSED
    (change,) = finding.values["changes"]
    assert (change["kind"], change["from_us"]) == ("away", 2 * SECOND)


def test_the_person_matched_before_is_the_reference(
    instruments: Instruments, faces: dict[str, list[Bgr]]
) -> None:
    from kyc.face_match import describe

    known = describe(instruments.faces, instruments.full, faces["d13"][0])
    assert known is not None
    reference = known.astype("<f4").tobytes()
    check = instruments.open("continuity", {"reference": reference})
    assert watch(check, faces["d13"][1:3]) == ["same_face"] * 2
    check = instruments.open("continuity", {"reference": reference})
    assert watch(check, faces["d20"][:2])[-1] == "other_face"
    assert check.expire(2 * SECOND).reason == "not_the_reference"


def test_nobody_seen_is_not_checked(instruments: Instruments) -> None:
    check = instruments.open("continuity", {})
    assert watch(check, [EMPTY]) == ["no_face"]
    finding = check.expire(SECOND)
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "no_face")
    assert check.expire(SECOND).score is None
