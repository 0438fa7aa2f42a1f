"""Every model loaded once, for all checks of a process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import cv2
import numpy as np

from kyc.check import BadInput, Check
from kyc.continuity import Continuity
from kyc.document.bank_card import BankCard
from kyc.document.checks import Desk, IdCardBack, IdCardFront
from kyc.document.licence import BusinessLicence
from kyc.document.tilt import CardTilt
from kyc.document.travel import TravelDocument
from kyc.face import Face, FaceEncoder, FaceFinder, template
from kyc.face_match import FaceMatch
from kyc.fused import FusedEncoder
from kyc.image import decode
from kyc.liveness.check import Liveness
from kyc.liveness.colours import COUNT, ScreenColours
from kyc.liveness.landmarks import Landmarks
from kyc.liveness.mouth import Mouth
from kyc.models import Prepared, prepare
from kyc.ocr import TextFinder, TextReader

P = ParamSpec("P")
T = TypeVar("T")


class AtOnce(Executor):
    """Runs what is submitted before returning: for stills, commands and tests."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Instruments:
    """The loaded models."""

    prepared: Prepared
    desk: Desk
    faces: FaceFinder
    encoder: FaceEncoder
    full: FusedEncoder
    landmarks: Landmarks

    @classmethod
    def load(cls, directory: Path, *, threads: int = 1, reading: Executor) -> Instruments:
        """Verify and load everything (about 8 s the first time, most of it imports)."""
        prepared = prepare(directory)
        cv2.setNumThreads(threads)
        faces = FaceFinder(prepared)
        desk = Desk(TextReader(prepared, threads), TextFinder(prepared), faces, reading)
        quick = FaceEncoder(prepared, threads)
        full = FusedEncoder(prepared, quick, threads)
        return cls(prepared, desk, faces, quick, full, Landmarks(prepared))

    def warm_up(self) -> None:
        """Work every model once on a drawn page: first runs are slow and grow the memory."""
        page = np.full((720, 1280, 3), 235, np.uint8)
        for line in range(8):
            text = f"{line} {'371102199002215210' * 2}"
            place = (60, 80 * line + 60)
            cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.4, (20, 20, 20), 3)
        self.desk.finder.find(page)
        self.desk.text.read(page)
        self.faces.find(page)
        eyes, mouth = [[560, 300], [720, 300]], [[580, 480], [700, 480]]
        points = np.array([*eyes, [640, 390], *mouth], np.float32)
        face = Face((480, 180, 320, 400), points, 1.0)
        self.full.encode(page, face)
        self.landmarks.measure(page, face)

    def open(self, check: str, params: Mapping[str, Any]) -> Check:
        """A new check by name; BadInput for an unknown name or an unusable parameter."""
        makers: dict[str, Callable[..., Check]] = {
            "id_card_front": self._front,
            "id_card_back": self._back,
            "card_tilt": self._tilt,
            "travel_document": self._travel,
            "bank_card": self._bank_card,
            "business_licence": self._licence,
            "face_match": self._match,
            "continuity": self._continuity,
            "liveness": self._liveness,
            "screen_colours": self._colours,
            "mouth": self._mouth,
        }
        if check not in makers:
            raise BadInput("unknown_check", check)
        try:
            return makers[check](**params)
        except (TypeError, ValueError) as error:
            raise BadInput("parameters", str(error)) from error

    def _front(self, *, today: str | None = None) -> Check:
        return IdCardFront(self.desk, _date(today))

    def _tilt(self) -> Check:
        return CardTilt(self.desk.finder)

    def _back(
        self, *, today: str | None = None, front_values: Mapping[str, Any] | None = None
    ) -> Check:
        return IdCardBack(self.desk, _date(today), front_values)

    def _travel(self, *, today: str | None = None) -> Check:
        return TravelDocument(self.desk, _date(today))

    def _bank_card(self, *, today: str | None = None) -> Check:
        return BankCard(self.desk, _date(today))

    def _licence(self, *, today: str | None = None) -> Check:
        return BusinessLicence(self.desk, _date(today))

    def _match(self, *, portrait_jpeg: bytes) -> Check:
        return FaceMatch(self.faces, self.encoder, self.full, decode(portrait_jpeg))

    def _continuity(self, *, reference: bytes | None = None) -> Check:
        known = None if reference is None else self.full.quick_part(template(reference))
        return Continuity(self.faces, self.encoder, known)

    def _mouth(self) -> Check:
        return Mouth(self.faces, self.landmarks)

    def _colours(self, *, colours: list[str] | None = None, count: int = COUNT) -> Check:
        return ScreenColours(self.faces, colours, int(count))

    def _liveness(
        self, *, prompts: list[str], prompt_s: float = 8.0, reference: bytes | None = None
    ) -> Check:
        return Liveness(
            self.faces,
            self.encoder,
            self.landmarks,
            prompts,
            float(prompt_s),
            decode(reference) if reference else None,
        )


def _date(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None
