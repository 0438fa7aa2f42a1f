"""Passports, foreign identity cards and visas: the machine readable zone on the call's own video.

The zone is looked for in each frame, whichever way the page lies; two frames must read it alike.
A name stands under no check digit, so it must be printed on the page too: on the same side, or, for
cards whose zone is on the back, on the other, shown afterwards.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import cv2
import numpy as np

from kyc.check import Finding, Picture, Verdict
from kyc.document import mrz_name, mrz_repair, resident
from kyc.document.checks import Desk
from kyc.document.mrz import Zone
from kyc.document.page import AGREE, Leaf, Paper, evidence, shown
from kyc.document.validity import age_on
from kyc.image import Bgr, Frame, crop, jpeg
from kyc.ocr import Line, TextReader

GIVE_UP = 4  # readings of one and the same wrong zone after which no other is waited for
MAX_PRINTED = 400  # runs of text kept to look for the name in
MIN_FACE = 24  # pixels across
_STRIP = 48  # height of a line cut out to be read again


@dataclass(frozen=True)
class Sighting:
    """The zone in one picture."""

    zone: Zone
    printed: tuple[str, ...]
    "What else the page says, run by run."
    confidence: float


def find(text: TextReader, leaf: Leaf) -> Sighting | None:
    """The zone of a page that was read; its lines are cut out and read again if a sum is wrong."""
    rows = leaf.lines
    texts = [row.text for row in rows]
    tokens = _tokens([word.text for word in leaf.words])
    reading = mrz_repair.read(texts, tokens)
    places = reading.rows if reading else _likely(texts)
    if not places:
        return None
    zone = reading.zone if reading else None
    if zone is None or not zone.valid:
        zone = _better(zone, _again(text, leaf.upright, [rows[place] for place in places]), tokens)
    if zone is None:
        return None
    printed = tuple(
        word.text for place, row in enumerate(rows) if place not in places for word in row.words
    )
    confidence = min(rows[place].score for place in places)
    return Sighting(mrz_name.parted(zone, printed), printed, confidence)


def _likely(texts: Sequence[str]) -> tuple[int, ...]:
    """Lines that look like a zone's although they make none: the last ones together."""
    likely = [place for place, text in enumerate(texts) if mrz_repair.is_likely(text)]
    return tuple(likely[-3:])


def _better(
    zone: Zone | None, again: Sequence[Sequence[str]], printed: Collection[str]
) -> Zone | None:
    """The zone from any mixture of both readings of each line; the first one if none is valid."""
    for texts in product(*again):
        reading = mrz_repair.read(texts, printed)
        if reading is not None and (zone is None or reading.zone.valid):
            zone = reading.zone
            if zone.valid:
                return zone
    return zone


def _again(text: TextReader, bgr: Bgr, rows: Sequence[Line]) -> list[tuple[str, str]]:
    """Each line as it was read and as it is read cut out straight, all of the same width.

    A line found in pieces lacks what lies between them; cut out whole it does not.
    """
    longest = max(rows, key=lambda row: sum(word.width for word in row.words))
    left, right = longest.words[0].corners, longest.words[-1].corners
    along = (right[1] + right[2] - left[0] - left[3]) / 2
    along = along / max(1e-6, float(np.linalg.norm(along)))
    down = np.array([-along[1], along[0]], np.float32)
    points = np.vstack([word.corners for row in rows for word in row.words]) @ along
    start, end = float(points.min()), float(points.max())
    strips = []
    for row in rows:
        heights = np.vstack([word.corners for word in row.words]) @ down
        middle = float(np.median(heights))
        half = 0.75 * float(np.median([word.height for word in row.words]))
        room = half * 0.6
        quad = [
            along * x + down * y
            for x, y in (
                (start - room, middle - half),
                (end + room, middle - half),
                (end + room, middle + half),
                (start - room, middle + half),
            )
        ]
        width = min(1600, int(_STRIP * (end - start + 2 * room) / max(1.0, 2 * half)))
        flat = np.array([[0, 0], [width, 0], [width, _STRIP], [0, _STRIP]], np.float32)
        turn = cv2.getPerspectiveTransform(np.asarray(quad, np.float32), flat)
        strip = cv2.warpPerspective(bgr, turn, (width, _STRIP), flags=cv2.INTER_CUBIC)
        strips.append(np.asarray(strip, np.uint8))
    read = text.read_cells(strips)
    return [(row.text, cell[0].replace(" ", "")) for row, cell in zip(rows, read, strict=True)]


def _tokens(printed: Sequence[str]) -> frozenset[str]:
    """Runs of capitals and digits, without blanks, and the words in them."""
    found = set()
    for run in printed:
        found.add(re.sub(r"[^A-Z0-9]", "", run.upper()))
        found.update(re.findall(r"[A-Z0-9]+", run.upper()))
    return frozenset(found)


class TravelDocument(Paper):
    """A passport, visa or card with a machine readable zone."""

    name = "travel_document"

    def __init__(self, desk: Desk, today: dt.date | None = None) -> None:
        super().__init__(desk)
        self.today = today or dt.date.today()
        self._seen: Counter[tuple[str, ...]] = Counter()
        self._zones: dict[tuple[str, ...], Sighting] = {}
        self._printed: dict[str, None] = {}
        self._matched: tuple[tuple[tuple[str, ...], int], mrz_name.Match] | None = None
        self._resident = 0
        self._best: tuple[tuple[bool, float], Frame, Leaf] | None = None
        self._portrait: tuple[float, Bgr, int] | None = None

    def look(self, leaf: Leaf) -> Sighting | None:
        return find(self._desk.text, leaf)

    def take(self, leaf: Leaf, frame: Frame) -> None:
        sighting: Sighting | None = leaf.found
        printed = sighting.printed if sighting else [word.text for word in leaf.words]
        for run in list(printed)[: MAX_PRINTED - len(self._printed)]:
            self._printed[run] = None
        self._look_for_portrait(leaf, frame)
        if sighting is None:
            self._resident += resident.read_lines(leaf.lines).side in ("front", "back")
            return
        zone = sighting.zone
        self._seen[zone.lines] += 1
        kept = self._zones.setdefault(zone.lines, sighting)
        if len(zone.changes) < len(kept.zone.changes):
            self._zones[zone.lines] = sighting
        worth = (zone.valid, sighting.confidence)
        if self._best is None or worth > self._best[0]:
            self._best = (worth, frame, leaf)

    def _look_for_portrait(self, leaf: Leaf, frame: Frame) -> None:
        faces = [face for face in self._desk.faces.find(leaf.upright) if face.box[2] > MIN_FACE]
        if faces and (self._portrait is None or faces[0].area > self._portrait[0]):
            cut = crop(leaf.upright, faces[0].box, 0.45)[0].copy()
            self._portrait = (faces[0].area, cut, frame.media_time_us)

    def done(self) -> bool:
        zone = self._zone()
        if zone is None:
            return False
        if not zone.valid:
            return self._seen[zone.lines] >= GIVE_UP
        return self._seen[zone.lines] >= AGREE and self._name(zone) == "confirmed"

    def share(self) -> float:
        zone = self._zone()
        if zone is None or not zone.valid:
            return 0.0
        agreed = min(AGREE, self._seen[zone.lines]) / AGREE
        return 0.8 * agreed + 0.2 * (self._name(zone) == "confirmed")

    def advice(self, leaf: Leaf) -> str | None:
        zone = self._zone()
        if zone is not None and zone.valid and self._seen[zone.lines] >= AGREE:
            return "show_other_side" if zone.form == "TD1" else "hold_still"
        if leaf.found is not None:
            return None
        return "wrong_document" if self._resident else "show_zone"

    def _zone(self) -> Zone | None:
        """The zone most frames read, a valid one before any other."""
        if not self._zones:
            return None
        best = max(self._zones, key=lambda each: (self._zones[each].zone.valid, self._seen[each]))
        zone = self._zones[best].zone
        # What one side leaves unsure another may print.
        return mrz_repair.doubted(zone, _tokens(list(self._printed)))

    def _name(self, zone: Zone) -> mrz_name.Match:
        """Compared anew only when more was read: each frame asks for it."""
        known = (zone.lines, len(self._printed))
        if self._matched is None or self._matched[0] != known:
            self._matched = (known, mrz_name.compare(zone, list(self._printed)))
        return self._matched[1]

    def answer(self, media_time_us: int) -> Finding:
        zone = self._zone()
        verdict, reason = self._judge(zone)
        values: dict[str, Any] = {"mrz": [], "check_digits": {}, "repaired": [], "checks": {}}
        confidence = None
        if zone is not None:
            share = self._seen[zone.lines] / self._seen.total()
            confidence = round(self._zones[zone.lines].confidence * share, 3)
            values = shown(zone.fields(self.today), confidence) | {
                "mrz": list(zone.lines),
                "check_digits": dict(zone.check_digits),
                "repaired": [asdict(change) for change in zone.changes],
                "checks": self._checks(zone),
            }
        values["checks"] |= {"frames": self.reads}
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=confidence,
            values=values,
            pictures=self._pictures(),
            models=self._desk.text.models,
            media_time_us=self._best[1].media_time_us if self._best else media_time_us,
        )

    def _judge(self, zone: Zone | None) -> tuple[Verdict, str]:
        if self.reads == 0:
            return Verdict.NOT_CHECKED, "timeout"
        if zone is None:
            if self._resident >= AGREE:
                return Verdict.FAILED, "wrong_document"
            return Verdict.NOT_CHECKED, "no_zone"
        if self._seen[zone.lines] < AGREE:
            return Verdict.NOT_CHECKED, "incomplete"  # one frame's word is not enough
        if zone.ambiguous or "unsure" in zone.check_digits.values():
            return Verdict.NOT_CHECKED, "ambiguous"
        if not zone.valid:
            return Verdict.FAILED, "check_digit_wrong"
        fields = zone.fields(self.today)
        if any(name not in fields for name in ("number", "birth", "expiry", "surname")):
            return Verdict.NOT_CHECKED, "incomplete"
        if fields["birth"] >= fields["expiry"]:
            return Verdict.FAILED, "birth_implausible"
        if fields["expiry"] < self.today.isoformat()[: len(fields["expiry"])]:
            return Verdict.FAILED, "expired"
        if self._name(zone) != "confirmed":
            return Verdict.NOT_CHECKED, "name_unconfirmed"
        return Verdict.PASSED, "read"

    def _checks(self, zone: Zone) -> dict[str, Any]:
        birth = zone.fields(self.today).get("birth", "")
        day = dt.date.fromisoformat(birth) if len(birth) == 10 else None
        printed = _tokens(list(self._printed))
        return {
            "name": self._name(zone),
            "number_printed": "confirmed" if zone.number in printed else "unseen",
            "states": "known" if mrz_repair.known_states(zone) else "unknown",
            "portrait": "found" if self._portrait else "no_face",
            "age": age_on(day, self.today) if day else None,
        }

    def _pictures(self) -> list[Picture]:
        pictures = evidence(self._best[1], self._best[2]) if self._best else []
        if self._portrait is not None:
            _, cut, time_us = self._portrait
            pictures.insert(0, Picture("portrait", jpeg(cut, 95), time_us))
        return pictures
