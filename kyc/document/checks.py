"""Chinese resident identity card, front and back, on the call's own video.

Each frame is first looked at cheaply (is there text, is it sharp, is it close enough?) and answered
at once. Only a frame worth it is read, one at a time and in the background; the readings are fused
field by field until two frames agree.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from kyc.check import Finding, Guidance, Picture, Verdict
from kyc.document import card, number, presentation, resident, validity
from kyc.document.fusion import AGREE, Votes
from kyc.document.resident import Value
from kyc.face import FaceFinder
from kyc.image import Bgr, Frame, brightness, corners, crop, glare, jpeg, relative, sharpness
from kyc.ocr import TextFinder, TextReader

BEST = 2  # readings kept for evidence and for the hints
MAX_READS = 10  # readings of the right side before the check answers with what it has
ENOUGH_READS = 5  # readings after which a field seen once will do, the number apart
MIN_WORDS = 3
FAR_SHARE = 0.12  # text narrower than this share of the picture is not worth reading
NEAR_SHARE = 0.24  # and below this the person is asked closer while it is read
MIN_SHARPNESS = 0.006  # a Gaussian blur of 3 pixels; reading still works at 0.008
MIN_BRIGHTNESS = 40.0
MAX_GLARE = 0.02
MIN_LETTER = 11.0  # pixels
EDGE = 0.004  # of the longer side: text nearer to the edge may be cut off
STILL = 6.0  # mean change of luminance between frames that reading still bears


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Desk:
    """What reading a card needs."""

    text: TextReader
    finder: TextFinder
    faces: FaceFinder
    reading: Executor
    "Runs one reading at a time."


class IdCard:
    """What both sides have in common; see :class:`IdCardFront` and :class:`IdCardBack`."""

    name: str
    side: resident.Side
    fields: Sequence[str]

    def __init__(self, desk: Desk, today: dt.date | None = None) -> None:
        self.today = today or dt.date.today()
        self.votes = Votes()
        self._desk = desk
        self._pending: tuple[Future[card.Sight], Frame] | None = None
        self._finding: Finding | None = None
        self._reads = 0
        self._turns = 0
        self._last: card.Sight | None = None
        self._seen: list[tuple[float, card.Sight, Frame]] = []
        "The best readings, best first."
        self._rejected: Counter[str] = Counter()
        self._before: Bgr | None = None
        self._progress = 0.0

    def see(self, frame: Frame) -> Guidance | Finding:
        if finding := self._settled(frame):
            return finding
        hint, box = self._first_look(frame)
        if box is None:
            return self._guidance(hint or "no_card", frame, None)
        whole = whole_card(box, self._turns)
        if self._pending is None:
            look = partial(card.look, self._desk.text, frame.bgr, whole, self._turns)
            self._pending = (self._desk.reading.submit(look), frame)
            if finding := self._settled(frame):
                return finding
        hint = self._remedy(frame, box)
        if hint == "reading" and _cut_off(frame, box):
            hint = "whole_card"
        return self._guidance(hint, frame, whole)

    def expire(self, media_time_us: int) -> Finding:
        if self._pending:
            self._pending[0].cancel()
        self._harvest()
        if self._finding is None:
            self._finding = self._answer(media_time_us)
        return self._finding

    # -- one frame -----------------------------------------------------------------------------

    def _first_look(self, frame: Frame) -> tuple[str | None, Box | None]:
        """Why reading is not worthwhile, or the box that holds the text."""
        words = self._desk.finder.find(frame.bgr)
        moved = self._moved(frame.bgr)
        box = around(words)
        if box is None:
            return "no_card" if not words else "closer", None
        if _reach(frame, box) < FAR_SHARE:
            return "closer", None
        part, _ = crop(frame.bgr, box)
        if brightness(part) < MIN_BRIGHTNESS:
            return "more_light", None
        if moved > STILL or sharpness(part, 480) < MIN_SHARPNESS:
            return "hold_still", None
        return None, box

    def _remedy(self, frame: Frame, box: Box) -> str:
        """What would help a card that is being read."""
        last, near = self._last, _reach(frame, box) >= NEAR_SHARE
        if last is None:
            return "reading" if near else "closer"
        if last.reading.side == "other":
            return "wrong_document"
        if last.reading.side not in (self.side, "nothing"):
            return "wrong_side"
        if last.quarter_turns:
            return "turn_card"
        if len(last.reading.fields) < len(self.fields):
            if glare(crop(frame.bgr, box)[0]) > MAX_GLARE:
                return "less_glare"
            if not near or last.letter_height < MIN_LETTER:
                return "closer"
        return "reading" if last.reading.side == self.side else "hold_still"

    def _moved(self, bgr: Bgr) -> float:
        """Mean change of luminance since the frame before, 0 for the first."""
        small = cv2.cvtColor(
            cv2.resize(bgr, (64, 36), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY
        )
        before, self._before = self._before, np.asarray(small, np.uint8)
        return 0.0 if before is None else float(cv2.absdiff(before, self._before).mean())

    def _guidance(self, hint: str, frame: Frame, box: Sequence[float] | None) -> Guidance:
        share = self.votes.share_agreed(self.fields)
        self._progress = max(self._progress, share)
        quad = relative(corners(box), frame.size) if box is not None else None
        return Guidance(hint, progress=round(self._progress, 3), quad=quad)

    # -- all frames ----------------------------------------------------------------------------

    def _settled(self, frame: Frame) -> Finding | None:
        """The finding, once the readings so far allow one."""
        self._harvest()
        if self._finding is None and self._complete():
            self._finding = self._answer(frame.media_time_us)
        return self._finding

    def _harvest(self) -> None:
        """Take in the reading that has finished, if any."""
        if self._pending is None or not self._pending[0].done():
            return
        (future, frame), self._pending = self._pending, None
        if future.cancelled():
            return
        self.take(future.result(), frame)

    def take(self, sight: card.Sight, frame: Frame) -> None:
        """Take in one reading of a frame; one of the other side counts for nothing."""
        self._last = sight
        if sight.reading.side != self.side:
            return
        self._reads += 1
        self._turns = sight.quarter_turns
        self.votes.add(sight.reading.fields)
        if sight.reading.rejected_number:
            self._rejected[sight.reading.rejected_number] += 1
        worth = len(sight.reading.fields) + sight.reading.score
        self._seen = sorted([*self._seen, (worth, sight, frame)], key=lambda each: -each[0])[:BEST]

    def _complete(self) -> bool:
        if self._reads >= MAX_READS or self._rejected_for_good():
            return True
        if self.votes.agreed(self.fields):
            return True
        seen = self.known()
        return (
            self._reads >= ENOUGH_READS
            and self.votes.agreed(self.fields[-1:])
            and all(name in seen for name in self.fields)
        )

    def _rejected_for_good(self) -> bool:
        """Whether one wrong number was read twice, and no right one."""
        return "id" not in self.known() and any(n >= AGREE for n in self._rejected.values())

    def known(self) -> dict[str, Value]:
        """The fields as they stand."""
        return self.votes.best()

    def _answer(self, media_time_us: int) -> Finding:
        known = self.known()
        verdict, reason = self._judge(known)
        values: dict[str, Any] = {
            name: {"value": known[name].text, "confidence": round(known[name].confidence, 3)}
            for name in self.fields
            if name in known
        }
        checks = self._checks(known)
        pictures, notes = self._pictures()
        confidences = [known[name].confidence for name in self.fields if name in known]
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(min(confidences), 3) if len(confidences) == len(self.fields) else None,
            values={**values, "checks": {**checks, **notes, "frames": self._reads}},
            pictures=pictures,
            models=self._desk.text.models,
            media_time_us=self._seen[0][2].media_time_us if self._seen else media_time_us,
            also=self._hints(),
        )

    def _hints(self) -> list[Finding]:
        """Whether it is the card itself that was shown: findings beside this one."""
        if not self._seen:
            return []
        # The same still seen twice is judged once.
        sights = list({id(sight.upright): sight for _, sight, _ in self._seen}.values())
        at = self._seen[0][2].media_time_us
        return presentation.findings(sights, self.side, at, self._desk.text.models)

    def _judge(self, known: Mapping[str, Value]) -> tuple[Verdict, str]:
        if self._reads == 0:
            if self._last is not None and self._last.reading.side == "other":
                return Verdict.FAILED, "wrong_document"
            if self._last is not None and self._last.reading.side != "nothing":
                return Verdict.NOT_CHECKED, "wrong_side"
            return Verdict.NOT_CHECKED, "timeout"
        if self._rejected_for_good():
            return Verdict.FAILED, "checksum_wrong"
        contradiction = self._contradiction(known)
        if contradiction:
            return Verdict.FAILED, contradiction
        if any(name not in known for name in self.fields):
            return Verdict.NOT_CHECKED, "incomplete"
        if self.votes.count(self.fields[-1]) < AGREE:
            return Verdict.NOT_CHECKED, "incomplete"  # one frame's word is not enough
        return Verdict.PASSED, "read"

    def _contradiction(self, known: Mapping[str, Value]) -> str | None:
        raise NotImplementedError

    def _checks(self, known: Mapping[str, Value]) -> dict[str, Any]:
        raise NotImplementedError

    def _pictures(self) -> tuple[list[Picture], dict[str, Any]]:
        """Evidence from the best frame, and what was noticed while cutting it out."""
        if not self._seen:
            return [], {}
        _, sight, frame = self._seen[0]
        picture = partial(Picture, media_time_us=frame.media_time_us)
        flat = card.flatten(sight)
        pictures = [picture("frame", jpeg(frame.bgr))]
        pictures.append(picture("card", jpeg(sight.upright if flat is None else flat)))
        return pictures, {}


class IdCardFront(IdCard):
    """The side with the portrait."""

    name = "id_card_front"
    side: resident.Side = "front"
    fields = resident.FRONT_FIELDS

    def known(self) -> dict[str, Value]:
        """The number says birth and sex too: it fills what could not be read."""
        known = self.votes.best()
        parsed = number.parse(known["id"].text) if "id" in known else None
        if parsed:
            sure = known["id"].confidence
            known.setdefault("birth", Value(resident.print_birth(parsed.birth), sure))
            known.setdefault("sex", Value(parsed.sex, sure))
        return known

    def _complete(self) -> bool:
        known = self.known()
        parsed = number.parse(known["id"].text) if "id" in known else None
        if parsed and self.votes.agreed(["id"]) and self._contradiction(known) is None:
            # What the number confirms needs no second frame.
            others = [name for name in self.fields if name not in ("sex", "birth")]
            if self.votes.agreed(others):
                return True
        return super()._complete()

    def _contradiction(self, known: Mapping[str, Value]) -> str | None:
        parsed = number.parse(known["id"].text) if "id" in known else None
        if parsed is None:
            return None
        if parsed.birth > self.today:
            return "birth_in_future"
        if self._denied("birth", resident.print_birth(parsed.birth)):
            return "birth_mismatch"
        return "sex_mismatch" if self._denied("sex", parsed.sex) else None

    def _denied(self, name: str, text: str) -> bool:
        """Whether two frames or more print something else than the number says."""
        read = self.votes.best().get(name)
        return read is not None and read.text != text and self.votes.count(name) >= AGREE

    def _checks(self, known: Mapping[str, Value]) -> dict[str, Any]:
        parsed = number.parse(known["id"].text) if "id" in known else None
        if parsed is None:
            if not self._rejected:
                return {"checksum": "unread"}
            return {"checksum": "wrong", "number_read": self._rejected.most_common(1)[0][0]}
        matches = {
            "birth": known["birth"].text == resident.print_birth(parsed.birth),
            "sex": known["sex"].text == parsed.sex,
        }
        return {
            "checksum": "ok",
            **{name: "ok" if right else "mismatch" for name, right in matches.items()},
            "region": parsed.region or "unknown",
            "age": validity.age_on(parsed.birth, self.today),
        }

    def _pictures(self) -> tuple[list[Picture], dict[str, Any]]:
        pictures, notes = super()._pictures()
        if not self._seen:
            return pictures, notes
        _, sight, frame = self._seen[0]
        portrait, found = cut_portrait(sight, self._desk.faces)
        if portrait is not None:
            pictures.insert(0, Picture("portrait", jpeg(portrait, 95), frame.media_time_us))
        return pictures, {**notes, "portrait": "found" if found else "no_face"}


class IdCardBack(IdCard):
    """The side with the emblem, the authority and the period of validity."""

    name = "id_card_back"
    side: resident.Side = "back"
    fields = resident.BACK_FIELDS

    def __init__(
        self,
        desk: Desk,
        today: dt.date | None = None,
        front_values: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(desk, today)
        self.front_values = front_values or {}

    def _contradiction(self, known: Mapping[str, Value]) -> str | None:
        period = resident.parse_period(known["valid"].text) if "valid" in known else None
        if period is None or self.votes.count("valid") < AGREE:
            return None
        return validity.out_of_date(period, self.today)

    def _checks(self, known: Mapping[str, Value]) -> dict[str, Any]:
        birth = resident.parse_birth(_text(self.front_values, "birth"))
        period = resident.parse_period(known["valid"].text) if "valid" in known else None
        authority = known["authority"].text if "authority" in known else ""
        return {
            "period": validity.usual(period, birth) if period and birth else "unknown",
            "belongs_together": validity.same_place(
                authority, _text(self.front_values, "address"), _text(self.front_values, "id")
            ),
        }


def cut_portrait(sight: card.Sight, faces: FaceFinder) -> tuple[Bgr | None, bool]:
    """The portrait of a front, and whether a face was found in it."""
    found = [face for face in faces.find(sight.upright) if face.box[2] > 24]
    flat = card.flatten(sight)
    if found:
        # Out of the frame itself: laying flat would only blur it once more.
        return crop(sight.upright, found[0].box, 0.45)[0].copy(), True
    if flat is None:
        return None, False
    x, y, w, h = card.PORTRAIT
    box = (x * card.WIDTH, y * card.HEIGHT, w * card.WIDTH, h * card.HEIGHT)
    return crop(flat, box)[0].copy(), False


def around(words: Sequence[Box]) -> Box | None:
    """The box that holds all the text, when there is enough of it to be a card's."""
    if len(words) < MIN_WORDS:
        return None
    edges = np.array([[x, y, x + w, y + h] for x, y, w, h in words], np.float32)
    left, top = edges[:, :2].min(axis=0)
    right, bottom = edges[:, 2:].max(axis=0)
    return float(left), float(top), float(right - left), float(bottom - top)


def whole_card(text: Box, turns: int) -> Box:
    """Room around the text for what it leaves out: portrait to its right, emblem to its left.

    ``turns`` quarter turns clockwise would set the card upright.
    """
    margins = (0.42, 0.3, 0.55, 0.3)  # left, top, right, bottom of an upright card
    left, top, right, bottom = (margins[(side + turns) % 4] for side in range(4))
    x, y, w, h = text
    return x - left * w, y - top * h, w * (1 + left + right), h * (1 + top + bottom)


def _cut_off(frame: Frame, box: Box) -> bool:
    """Whether text touches the picture's edge, so that some of it may lie outside."""
    x, y, w, h = box
    return min(x, y, frame.size[0] - x - w, frame.size[1] - y - h) < EDGE * max(frame.size)


def _reach(frame: Frame, box: Box) -> float:
    """How much of a picture's longer side the text spans, whichever way the card is turned."""
    return max(box[2], box[3]) / max(frame.size)


def _text(values: Mapping[str, Any], name: str) -> str:
    """A field of another finding's values, where it is {'value': …} or plain text."""
    value = values.get(name, "")
    return str(value.get("value", "") if isinstance(value, Mapping) else value)
