"""Cards before the camera, read from real pictures; and all that can be wrong with them."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from kyc.check import Finding, Verdict
from kyc.image import Bgr, Frame, decode
from kyc.instruments import Instruments
from tests.kyc.conftest import show, still

Cards = Callable[[str], Bgr]
FIELDS = {
    "front": ("name", "sex", "nation", "birth", "address", "id"),
    "back": ("authority", "valid"),
}
TODAY = "2026-11-22"
NAMES = ("d9", "d13", "d18", "d20", "s18", "p00", "p01", "p02", "p03", "p04", "p05")


def read(
    instruments: Instruments, bgr: Bgr, side: str = "front", count: int = 6, **params: Any
) -> tuple[Finding, list[str]]:
    params = {"today": TODAY, **params}
    return show(instruments.open(f"id_card_{side}", params), still(bgr, count))


def texts(finding: Finding) -> dict[str, str]:
    return {name: each["value"] for name, each in finding.values.items() if name != "checks"}


def smaller(bgr: Bgr, share: float) -> Bgr:
    """The picture held further away: shrunk, on a plain ground."""
    height, width = bgr.shape[:2]
    small = cv2.resize(bgr, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    far = np.full_like(bgr, 90)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    far[top : top + small.shape[0], left : left + small.shape[1]] = small
    return far


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["front", "back"])
def test_a_card_before_the_camera_is_read(
    instruments: Instruments, card: Cards, truth: dict[str, Any], name: str, side: str
) -> None:
    finding, _ = read(instruments, card(f"{name}_{side}_frame"), side)
    assert texts(finding) == {field: truth[name][field] for field in FIELDS[side]}
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "read")
    assert finding.models.keys() == {"text_detection", "text_recognition"}
    assert {"frame", "card"} <= {picture.name for picture in finding.pictures}


@pytest.mark.parametrize("name", ["d9", "p00"])
@pytest.mark.parametrize("side", ["front", "back"])
def test_a_scan_is_read(
    instruments: Instruments, card: Cards, truth: dict[str, Any], name: str, side: str
) -> None:
    finding, _ = read(instruments, card(f"{name}_{side}_clean"), side)
    assert texts(finding) == {field: truth[name][field] for field in FIELDS[side]}


def test_the_number_is_checked_against_the_rest(instruments: Instruments, card: Cards) -> None:
    finding, hints = read(instruments, card("d13_front_frame"))
    checks = finding.values["checks"]
    assert (checks["checksum"], checks["birth"], checks["sex"]) == ("ok", "ok", "ok")
    assert checks["region"] == "山东省东港区"
    assert checks["age"] == 36
    assert set(hints) <= {"reading"}


def test_the_portrait_is_cut_out(instruments: Instruments, card: Cards) -> None:
    finding, _ = read(instruments, card("d13_front_frame"))
    portrait = decode({p.name: p.jpeg for p in finding.pictures}["portrait"])
    assert finding.values["checks"]["portrait"] == "found"
    assert len(instruments.faces.find(portrait)) == 1
    assert portrait.shape[0] < 400 and portrait.shape[1] < 320


def test_the_card_is_laid_flat(instruments: Instruments, card: Cards) -> None:
    finding, _ = read(instruments, card("d13_front_frame"))
    flat = decode({p.name: p.jpeg for p in finding.pictures}["card"])
    assert flat.shape == (630, 1000, 3)
    face = instruments.faces.find(flat)[0]
    assert 600 < face.box[0] < 900 and 100 < face.box[1] < 400


def test_the_back_is_compared_with_the_front(instruments: Instruments, card: Cards) -> None:
    front, _ = read(instruments, card("d13_front_frame"))
    back, _ = read(instruments, card("d13_back_frame"), "back", front_values=front.values)
    assert back.values["checks"]["belongs_together"] == "likely"
    assert back.values["checks"]["period"] == "unusual"  # 20 years, issued at the age of 20
    other, _ = read(instruments, card("p04_back_frame"), "back", front_values=front.values)
    assert other.values["checks"]["belongs_together"] == "unclear"


# -- how it is held ----------------------------------------------------------------------------


def test_no_card(instruments: Instruments) -> None:
    plain = np.full((720, 1280, 3), 120, np.uint8)
    finding, hints = read(instruments, plain)
    assert set(hints) == {"no_card"}
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "timeout")


def test_a_face_is_no_card_and_costs_no_reading(
    instruments: Instruments, clip: Callable[[str, float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Bgr) -> None:
        raise AssertionError("read a frame without a card")

    monkeypatch.setattr(instruments.desk.text, "read", refuse)
    _, hints = show(instruments.open("id_card_front", {}), clip("d13", 2))
    assert set(hints) <= {"no_card", "closer"}


@pytest.mark.parametrize("side", ["front", "back"])
def test_upside_down_is_read_and_said(
    instruments: Instruments, card: Cards, truth: dict[str, Any], side: str
) -> None:
    turned = np.asarray(cv2.rotate(card(f"d13_{side}_frame"), cv2.ROTATE_180), np.uint8)
    finding, hints = read(instruments, turned, side)
    assert texts(finding) == {field: truth["d13"][field] for field in FIELDS[side]}
    assert "turn_card" in hints


def test_sideways_is_read(instruments: Instruments, card: Cards, truth: dict[str, Any]) -> None:
    turned = np.asarray(cv2.rotate(card("d13_front_frame"), cv2.ROTATE_90_CLOCKWISE), np.uint8)
    finding, hints = read(instruments, turned)
    assert texts(finding)["id"] == truth["d13"]["id"]
    assert finding.reason == "read"
    assert "turn_card" in hints


def test_blurred(instruments: Instruments, card: Cards) -> None:
    blurred = np.asarray(cv2.GaussianBlur(card("d13_front_frame"), (0, 0), 6), np.uint8)
    finding, hints = read(instruments, blurred)
    assert set(hints) <= {"hold_still", "closer", "no_card"}
    assert finding.verdict is Verdict.NOT_CHECKED


def test_moving(instruments: Instruments, card: Cards) -> None:
    steady = card("d13_front_frame")
    frames = [
        Frame(np.roll(steady, 200 * (number % 2), axis=1), number * 300_000) for number in range(5)
    ]
    _, hints = show(instruments.open("id_card_front", {}), frames)
    assert "hold_still" in hints[1:]


def test_too_far(instruments: Instruments, card: Cards) -> None:
    finding, hints = read(instruments, smaller(card("d13_front_frame"), 0.2))
    assert set(hints) <= {"closer", "no_card"} and "closer" in hints
    assert finding.verdict is Verdict.NOT_CHECKED


def test_too_dark(instruments: Instruments, card: Cards) -> None:
    dark = np.asarray(card("d18_front_frame") * 0.12, np.uint8)
    _, hints = read(instruments, dark)
    assert "more_light" in hints


def test_guidance_says_where_the_card_is(instruments: Instruments, card: Cards) -> None:
    check = instruments.open("id_card_front", {})
    guidance = check.see(Frame(card("d13_front_frame"), 0))
    assert not isinstance(guidance, Finding)
    assert guidance.quad is not None and len(guidance.quad) == 4
    assert all(0 <= value <= 1 for point in guidance.quad for value in point)
    assert 0 < guidance.progress < 1


# -- what it is --------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "shown"), [("front", "back"), ("back", "front")])
def test_the_wrong_side(instruments: Instruments, card: Cards, side: str, shown: str) -> None:
    finding, hints = read(instruments, card(f"d13_{shown}_frame"), side, count=3)
    assert hints[-1] == "wrong_side"
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "wrong_side")


def test_turning_to_the_right_side_goes_on(instruments: Instruments, card: Cards) -> None:
    check = instruments.open("id_card_front", {})
    frames = [*still(card("d13_back_frame"), 2), *still(card("d13_front_frame"), 4)]
    finding, hints = show(check, frames)
    assert "wrong_side" in hints
    assert finding.reason == "read"


def test_the_wrong_document(instruments: Instruments) -> None:
    page = np.full((720, 1280, 3), 225, np.uint8)
    for number, text in enumerate(
        ("DRIVING LICENCE", "KINGDOM OF NOWHERE", "JANE CITIZEN 04 1234")
    ):
        place = (250, 220 + 120 * number)
        cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.8, (30, 30, 30), 4)
    finding, hints = read(instruments, page, count=3)
    assert hints[-1] == "wrong_document"
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "wrong_document")


def test_a_wrong_checksum(instruments: Instruments, card: Cards) -> None:
    forged = card("d13_front_clean").copy()
    # Eighteen characters from x = 322 to 884: exchange the 16th (2) and the 13th (2→0 before it).
    step = (884 - 322) / 18
    a, b = (int(322 + step * place) for place in (14, 16))
    width = int(step)
    first = forged[540:590, a : a + width].copy()
    forged[540:590, a : a + width] = forged[540:590, b : b + width]
    forged[540:590, b : b + width] = first
    finding, _ = read(instruments, forged)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "checksum_wrong")
    assert "id" not in finding.values
    assert finding.values["checks"]["checksum"] == "wrong"


@pytest.mark.parametrize(
    ("today", "reason"), [("2030-08-13", "expired"), ("2010-08-11", "not_yet_valid")]
)
def test_out_of_date(instruments: Instruments, card: Cards, today: str, reason: str) -> None:
    finding, _ = read(instruments, card("d13_back_frame"), "back", today=today)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, reason)
    assert texts(finding)["valid"] == "2010.08.12-2030.08.12"


def test_frames_of_two_cards_agree_on_nothing(instruments: Instruments, card: Cards) -> None:
    check = instruments.open("id_card_front", {})
    first, second = card("d13_front_frame"), card("d20_front_frame")
    frames = [Frame(first, 0), Frame(second, 300_000)]
    finding, _ = show(check, frames)
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "incomplete")
