"""The models, loaded once for every test that needs them."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kyc.check import Check, Finding
from kyc.image import Bgr, Frame, decode
from kyc.instruments import AtOnce, Instruments
from kyc.models import prepare

Clip = Callable[[str, float], Iterator[Frame]]


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models made ready in a directory of the tests' own."""
    directory = tmp_path_factory.mktemp("models")
    prepare(directory)
    return directory


@pytest.fixture(scope="session")
def instruments(models_dir: Path) -> Instruments:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the OCR toolkit's own, while it imports
        return Instruments.load(models_dir, threads=1, reading=AtOnce())


@pytest.fixture(scope="session")
def truth(test_data: Path) -> dict[str, dict[str, Any]]:
    """What is printed on each generated card, by the card's name."""
    rows = json.loads((test_data / "id_cards" / "truth.json").read_text("utf-8"))
    return {row["card"]: row for row in rows}


@pytest.fixture(scope="session")
def card(test_data: Path) -> Callable[[str], Bgr]:
    """A card's picture, such as ``d13_front_frame``."""
    return lambda name: decode((test_data / "id_cards" / f"{name}.jpg").read_bytes())


@pytest.fixture(scope="session")
def clip(test_data: Path) -> Clip:
    """Frames of a clip, so many a second."""

    def frames(name: str, fps: float) -> Iterator[Frame]:
        import cv2

        video = cv2.VideoCapture(str(test_data / "videos" / f"{name}.mp4"))
        rate, number, due = video.get(cv2.CAP_PROP_FPS), 0, 0.0
        while True:
            there, bgr = video.read()
            if not there:
                video.release()
                return
            if number / rate >= due - 1e-9:
                due += 1 / fps
                yield Frame(np.asarray(bgr, np.uint8), int(number / rate * 1e6))
            number += 1

    return frames


def show(check: Check, frames: Iterator[Frame] | list[Frame]) -> tuple[Finding, list[str]]:
    """Show frames to a check until it answers; its finding and the hints on the way."""
    hints: list[str] = []
    last = 0
    for frame in frames:
        last = frame.media_time_us
        answer = check.see(frame)
        if isinstance(answer, Finding):
            return answer, hints
        hints.append(answer.hint)
    return check.expire(last), hints


def still(bgr: Bgr, count: int = 4, apart_us: int = 300_000) -> list[Frame]:
    """One picture held before the camera."""
    return [Frame(bgr, number * apart_us) for number in range(count)]
