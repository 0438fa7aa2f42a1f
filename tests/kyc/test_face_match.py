"""The person before the camera and the portrait on the card."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from kyc.check import BadInput, Finding, Verdict
from kyc.image import Bgr, Frame, jpeg
from kyc.instruments import Instruments
from tests.kyc.conftest import Clip, show, still

Cards = Callable[[str], Bgr]
PEOPLE = ("d9", "d13", "d18", "d20", "s18")


def match(instruments: Instruments, card: Cards, name: str, frames: object) -> Finding:
    portrait = jpeg(card(f"{name}_front_clean")[60:440, 630:940])
    check = instruments.open("face_match", {"portrait_jpeg": portrait})
    return show(check, frames)[0]  # type: ignore[arg-type]


def some(bgr: Bgr) -> Frame:
    return Frame(bgr, 0)


@pytest.mark.parametrize("name", PEOPLE)
def test_the_person_of_the_portrait_matches(
    instruments: Instruments, card: Cards, clip: Clip, name: str
) -> None:
    finding = match(instruments, card, name, clip(name, 4))
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "matched")
    assert finding.score is not None and finding.threshold is not None
    assert finding.score > finding.threshold + 0.04
    assert [picture.name for picture in finding.pictures] == ["face", "portrait"]
    assert finding.models.keys() == {"face_detection", "face_embedding", "face_residual"}
    live = np.frombuffer(finding.template or b"", "<f4")
    assert live.shape == (256,) and abs(float(live @ live) - 1) < 1e-5


@pytest.mark.parametrize(("name", "live"), [("d9", "d13"), ("d13", "d9"), ("d18", "s18")])
def test_somebody_elses_card_does_not(
    instruments: Instruments, card: Cards, clip: Clip, name: str, live: str
) -> None:
    finding = match(instruments, card, name, clip(live, 4))
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "different_person")
    assert finding.score is not None and finding.threshold is not None
    assert finding.score < finding.threshold - 0.02
    assert finding.template is None


@pytest.fixture
def face(clip: Clip) -> Bgr:
    """A sharp frontal face, 720 × 1280."""
    return next(clip("d13", 1)).bgr


@pytest.fixture
def room(face: Bgr) -> Bgr:
    """The same face at a webcam's distance, 1280 × 720."""
    small = cv2.resize(face, (405, 720), interpolation=cv2.INTER_AREA)
    scene = np.full((720, 1280, 3), 110, np.uint8)
    scene[:, 430:835] = small
    return scene


def hint(instruments: Instruments, card: Cards, bgr: Bgr) -> str:
    portrait = jpeg(card("d13_front_clean"))
    answer = instruments.open("face_match", {"portrait_jpeg": portrait}).see(some(bgr))
    assert not isinstance(answer, Finding)
    return answer.hint


def test_no_face(instruments: Instruments, card: Cards) -> None:
    plain = np.full((720, 1280, 3), 120, np.uint8)
    finding = match(instruments, card, "d13", still(plain))
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "no_face")
    assert hint(instruments, card, plain) == "no_face"


def test_two_faces(instruments: Instruments, card: Cards, room: Bgr) -> None:
    both = np.hstack([room[:, 320:960], room[:, 320:960]])
    assert hint(instruments, card, both) == "one_face_only"
    finding = match(instruments, card, "d13", still(both))
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "several_faces")


def test_a_card_held_beside_the_face_is_no_second_person(
    instruments: Instruments, card: Cards, room: Bgr
) -> None:
    small = cv2.resize(card("d9_front_clean"), (320, 202), interpolation=cv2.INTER_AREA)
    room[400:602, 40:360] = small
    assert hint(instruments, card, room) == "hold_still"


@pytest.mark.parametrize("size", [0.1, 0.25])
def test_too_far(instruments: Instruments, card: Cards, room: Bgr, size: float) -> None:
    far = np.full_like(room, 110)
    small = cv2.resize(room, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    far[100 : 100 + small.shape[0], 200 : 200 + small.shape[1]] = small
    assert hint(instruments, card, far) in ("closer", "no_face")


def test_blurred_dark_and_bright(instruments: Instruments, card: Cards, room: Bgr) -> None:
    blurred = np.asarray(cv2.GaussianBlur(room, (0, 0), 8), np.uint8)
    dark = np.asarray(room * 0.2, np.uint8)
    assert hint(instruments, card, blurred) == "hold_still"
    assert hint(instruments, card, dark) in ("more_light", "no_face")


def test_a_good_face_counts_and_is_framed(instruments: Instruments, card: Cards, room: Bgr) -> None:
    portrait = jpeg(card("d13_front_clean"))
    guidance = instruments.open("face_match", {"portrait_jpeg": portrait}).see(some(room))
    assert not isinstance(guidance, Finding)
    assert guidance.progress == 0.2
    assert guidance.quad is not None
    assert all(0 <= value <= 1 for point in guidance.quad for value in point)


def test_two_people_taking_turns(instruments: Instruments, card: Cards, clip: Clip) -> None:
    a, b = list(clip("d13", 2))[:6], list(clip("d9", 2))[:6]
    mixed = [frame for pair in zip(a, b, strict=True) for frame in pair]
    frames = [Frame(frame.bgr, number * 200_000) for number, frame in enumerate(mixed)]
    assert match(instruments, card, "d13", frames).reason == "face_changed"


def test_a_portrait_without_a_face_is_not_checked(instruments: Instruments, face: Bgr) -> None:
    portrait = jpeg(np.full((300, 240, 3), 200, np.uint8))
    check = instruments.open("face_match", {"portrait_jpeg": portrait})
    finding, _ = show(check, [some(face)])
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "portrait_unusable")


def test_bad_parameters_are_refused(instruments: Instruments) -> None:
    for check, params, code in (
        ("face_match", {"portrait_jpeg": b"not a picture"}, "not_a_picture"),
        ("face_match", {}, "parameters"),
        ("continuity", {"reference": b"short"}, "parameters"),
        ("continuity", {"reference": bytes(4 * 100)}, "parameters"),
        ("liveness", {"prompts": []}, "prompts"),
        ("liveness", {"prompts": ["dance"]}, "prompts"),
        ("id_card_front", {"today": "tomorrow"}, "parameters"),
        ("mind_reading", {}, "unknown_check"),
    ):
        with pytest.raises(BadInput) as refusal:
            instruments.open(check, params)
        assert refusal.value.code == code
