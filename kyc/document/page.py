"""A document held before the camera and read in several frames: what all such checks share.

Each frame is first looked at cheaply (is there text, is it sharp, is it close enough?) and answered
at once. Only a frame worth it is read, one at a time and in the background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from kyc.check import Finding, Guidance, Picture
from kyc.document.checks import Desk
from kyc.image import (
    Bgr,
    Frame,
    brightness,
    corners,
    crop,
    glare,
    jpeg,
    relative,
    sharpness,
)
from kyc.ocr import Line, TextReader, Word, lines, score

AGREE = 2  # frames that must say the same before a reading is believed
MAX_READS = 10  # readings before a check answers with what it has
FAR_SHARE, NEAR_SHARE = 0.2, 0.4  # text narrower than this share of the picture: no use; closer
MIN_SHARPNESS = 0.006
MIN_BRIGHTNESS = 40.0
MAX_GLARE = 0.02
STILL = 6.0  # mean change of luminance between frames that reading still bears
_LONGEST = 960  # to which a smaller picture is enlarged, at most twofold
_TEXT = 12  # characters from which a page counts as one with text

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Leaf:
    """One picture of a page, read."""

    upright: Bgr
    "The part of the frame that was read, turned so that its text stands upright."
    words: tuple[Word, ...]
    "In pixels of ``upright``."
    quarter_turns: int
    "How often the frame was turned by 90° clockwise to stand upright."
    found: Any = None
    "What the check looked for, as its ``look`` found it; None when it is not there."

    @property
    def lines(self) -> list[Line]:
        return lines(self.words)

    @property
    def score(self) -> float:
        return score(self.words)

    @property
    def has_text(self) -> bool:
        return sum(len(word.text) for word in self.words) >= _TEXT


def read(text: TextReader, part: Bgr, turns: int, look: Callable[[Leaf], Any]) -> Leaf:
    """The page upright, with what ``look`` finds on it.

    A page that lies sideways or upside down costs one or two more readings, once: pass the turns
    found back in.
    """
    leaf = _read(text, part, turns, look)
    if leaf.found is not None or len(leaf.words) < 3:
        return leaf
    tried = [leaf]
    for more in (3, 1) if _stands_tall(leaf.words) else (2,):
        tried.append(_read(text, part, (turns + more) % 4, look))
        if tried[-1].found is not None:
            return tried[-1]
    return max(tried, key=lambda each: each.score)


def _read(text: TextReader, part: Bgr, turns: int, look: Callable[[Leaf], Any]) -> Leaf:
    upright = np.ascontiguousarray(np.rot90(part, -turns))
    scale = max(1.0, min(2.0, _LONGEST / max(upright.shape[:2])))
    larger = upright
    if scale > 1:
        larger = np.asarray(
            cv2.resize(upright, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8
        )
    words = tuple(word.moved(1 / scale, (0, 0)) for word in text.read(larger))
    leaf = Leaf(upright, words, turns)
    return replace(leaf, found=look(leaf))


def _stands_tall(words: Sequence[Word]) -> bool:
    """Whether most words run down the page, as on one turned by a quarter."""
    boxes = [np.ptp(word.corners, axis=0) for word in words if len(word.text) > 2]
    return len(boxes) >= 2 and sum(h > 1.5 * w for w, h in boxes) > len(boxes) / 2


class Paper:
    """A check that reads one kind of page; subclasses say what they look for."""

    name: str
    min_words = 3

    def __init__(self, desk: Desk) -> None:
        self.reads = 0
        self._desk = desk
        self._pending: tuple[Future[Leaf], Frame] | None = None
        self._finding: Finding | None = None
        self._turns = 0
        self._last: Leaf | None = None
        self._before: Bgr | None = None
        self._progress = 0.0

    # -- what a subclass says ------------------------------------------------------------------

    def look(self, leaf: Leaf) -> Any:
        """What this check looks for, None when it is not there. Runs in the background."""
        raise NotImplementedError

    def take(self, leaf: Leaf, frame: Frame) -> None:
        """Take one reading in; ``leaf.found`` is what :meth:`look` made of it."""
        raise NotImplementedError

    def done(self) -> bool:
        """Whether what was taken in is enough."""
        raise NotImplementedError

    def share(self) -> float:
        """How much of it is there, 0..1."""
        raise NotImplementedError

    def advice(self, leaf: Leaf) -> str | None:
        """What would help, as far as the last reading tells; None: nothing in particular."""
        raise NotImplementedError

    def answer(self, media_time_us: int) -> Finding:
        """The finding, from all that was taken in."""
        raise NotImplementedError

    # -- stills ------------------------------------------------------------------------------

    def read_stills(self, pictures: Sequence[Bgr]) -> Finding:
        """The finding from stills; each is read once and counts as two frames that agree.

        Small, dim or blurred ones are read as well: nobody is there to be asked for a better one.
        """
        for place, picture in enumerate(pictures):
            leaf = read(self._desk.text, picture, 0, self.look)
            for _ in range(AGREE if leaf.has_text else 0):
                self.reads += 1
                self.take(leaf, Frame(picture, place))
        return self.expire(0)

    # -- frames --------------------------------------------------------------------------------

    def see(self, frame: Frame) -> Guidance | Finding:
        if finding := self._settled(frame):
            return finding
        hint, box = self._first_look(frame)
        if box is None:
            return self._guidance(hint or "no_document", frame, None)
        if self._pending is None:
            part = crop(frame.bgr, box, 0.12)[0]
            work = partial(read, self._desk.text, part, self._turns, self.look)
            self._pending = (self._desk.reading.submit(work), frame)
            if finding := self._settled(frame):
                return finding
        return self._guidance(self._remedy(frame, box), frame, box)

    def expire(self, media_time_us: int) -> Finding:
        if self._pending:
            self._pending[0].cancel()
        self._harvest()
        if self._finding is None:
            self._finding = self.answer(media_time_us)
        return self._finding

    def _first_look(self, frame: Frame) -> tuple[str | None, Box | None]:
        """Why reading is not worthwhile, or the box that holds the text."""
        words = self._desk.finder.find(frame.bgr)
        moved = self._moved(frame.bgr)
        if len(words) < self.min_words:
            return "no_document" if not words else "closer", None
        edges = np.array([[x, y, x + w, y + h] for x, y, w, h in words], np.float32)
        left, top = edges[:, :2].min(axis=0)
        right, bottom = edges[:, 2:].max(axis=0)
        box = (float(left), float(top), float(right - left), float(bottom - top))
        part, _ = crop(frame.bgr, box)
        if _reach(frame, box) < FAR_SHARE:
            return "closer", None
        if brightness(part) < MIN_BRIGHTNESS:
            return "more_light", None
        if moved > STILL or sharpness(part, 480) < MIN_SHARPNESS:
            return "hold_still", None
        return None, box

    def _remedy(self, frame: Frame, box: Box) -> str:
        near = _reach(frame, box) >= NEAR_SHARE
        if self._last is None:
            return "reading" if near else "closer"
        if self._last.quarter_turns:
            return "turn_document"
        advice = self.advice(self._last)
        if advice is None:
            return "reading"
        if glare(crop(frame.bgr, box)[0]) > MAX_GLARE:
            return "less_glare"
        return advice if near else "closer"

    def _moved(self, bgr: Bgr) -> float:
        """Mean change of luminance since the frame before, 0 for the first."""
        small = cv2.resize(bgr, (64, 36), interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        before, self._before = self._before, grey
        return 0.0 if before is None else float(cv2.absdiff(before, grey).mean())

    def _guidance(self, hint: str, frame: Frame, box: Sequence[float] | None) -> Guidance:
        self._progress = max(self._progress, min(1.0, self.share()))
        quad = relative(corners(box), frame.size) if box is not None else None
        return Guidance(hint, progress=round(self._progress, 3), quad=quad)

    def _settled(self, frame: Frame) -> Finding | None:
        self._harvest()
        if self._finding is None and (self.done() or self.reads >= MAX_READS):
            self._finding = self.answer(frame.media_time_us)
        return self._finding

    def _harvest(self) -> None:
        """Take in the reading that has finished, if any."""
        if self._pending is None or not self._pending[0].done():
            return
        (future, frame), self._pending = self._pending, None
        if future.cancelled():
            return
        leaf = self._last = future.result()
        if not leaf.has_text:
            return
        self.reads += 1
        if leaf.found is not None:
            self._turns = leaf.quarter_turns
        self.take(leaf, frame)


def evidence(frame: Frame, leaf: Leaf) -> list[Picture]:
    """The frame, and the page in it."""
    time_us = frame.media_time_us
    return [
        Picture("frame", jpeg(frame.bgr), time_us),
        Picture("card", jpeg(leaf.upright), time_us),
    ]


def shown(values: dict[str, str], confidence: float) -> dict[str, Any]:
    """Fields as findings carry them."""
    return {
        name: {"value": value, "confidence": round(confidence, 3)} for name, value in values.items()
    }


def _reach(frame: Frame, box: Box) -> float:
    """How much of a picture's longer side the text spans, whichever way the page is turned."""
    return max(box[2], box[3]) / max(frame.size)
