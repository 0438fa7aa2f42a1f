"""The card in the picture: how it lies, its outline, the card laid flat, the portrait cut out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kyc.document import resident
from kyc.image import Bgr, Points, crop, shrink
from kyc.ocr import TextReader, Word, lines

WIDTH, HEIGHT = 1000, 630  # pixels of a card laid flat: 85.6 × 54 mm
PORTRAIT = (0.60, 0.10, 0.36, 0.66)  # x, y, width, height of the portrait, shares of the card
# And of two fields that are mostly one character.
CELLS = {"sex": (0.16, 0.215, 0.09, 0.105), "nation": (0.385, 0.215, 0.135, 0.105)}
CELL_SHIFT = 0.02
CELL_SCORE, SURE_CELL_SCORE = 0.5, 0.8
_READ_LONGEST = 960
# Where the front prints its name's label and both ends of its number, shares of the card.
_NAME_START, _NUMBER_START, _NUMBER_END = (0.07, 0.147), (0.32, 0.885), (0.89, 0.885)


@dataclass(frozen=True)
class Sight:
    """One picture of a card, read."""

    upright: Bgr
    "The part of the frame that was read, turned so that its text stands upright."
    words: tuple[Word, ...]
    "In pixels of ``upright``."
    reading: resident.Reading
    quarter_turns: int
    "How often the frame was turned by 90° clockwise to stand upright."
    letter_height: float
    "Pixels of the frame; below about 12 reading gets unsure."


def look(
    text: TextReader,
    frame: Bgr,
    box: Sequence[float] | None = None,
    turns: int = 0,
    finding: int = TextReader.FINDING,
) -> Sight:
    """Read the card in ``box`` of the frame, trying ``turns`` quarter turns first.

    Words are looked for in ``finding`` pixels.

    A card lying sideways or upside down costs one more reading, once: pass the turns found back in.
    """
    part = crop(frame, box)[0] if box is not None else frame
    sight = _read(text, part, turns, finding)
    known = sight.reading.side in ("front", "back")
    others = [sight]
    if _stands_tall(sight.words):
        # Tall words are read turned to the left: if that made sense, it is the way to turn.
        ways = (3, 1) if known else (1, 3)
        others = [_read(text, part, (turns + ways[0]) % 4, finding)]
        if others[0].reading.side not in ("front", "back"):
            others.append(_read(text, part, (turns + ways[1]) % 4, finding))
    elif not known and len(sight.words) >= 3:
        others.append(_read(text, part, (turns + 2) % 4, finding))
    best = max(others, key=lambda each: (rank(each.reading.side), each.reading.score))
    return _fill_cells(text, best)


def _fill_cells(text: TextReader, sight: Sight) -> Sight:
    """Read sex and nation where the front prints them, if they were passed over.

    Both are mostly one character, and light on the plastic hides their labels first.
    """
    missing = [name for name in CELLS if name not in sight.reading.fields]
    flat = flatten(sight) if missing and sight.reading.side == "front" else None
    if flat is None:
        return sight
    for name in missing:
        x, y, width, height = CELLS[name]
        cells = [
            crop(flat, (at * WIDTH, y * HEIGHT, width * WIDTH, height * HEIGHT))[0]
            for at in (x - CELL_SHIFT, x, x + CELL_SHIFT)
        ]
        known = ("男", "女") if name == "sex" else resident.NATIONS
        read = [
            (found, score)
            for found, score in text.read_cells(cells)
            if found in known and score > CELL_SCORE
        ]
        best = max(read, key=lambda each: each[1], default=("", 0.0))
        # Pale print is read unsurely; that it is read alike in two places makes up for it.
        if best[1] > SURE_CELL_SCORE or sum(found == best[0] for found, _ in read) >= 2:
            sight.reading.fields[name] = resident.Value(*best)
    return sight


def rank(side: resident.Side) -> int:
    """How much it says that a reading is of this side."""
    return ("nothing", "other", "back", "front").index(side)


def _read(text: TextReader, part: Bgr, turns: int, finding: int) -> Sight:
    upright = np.ascontiguousarray(np.rot90(part, -turns))
    longest = max(upright.shape[:2])
    # Small letters are read better enlarged; beyond twice the size nothing is gained.
    scale = min(2.0, _READ_LONGEST / longest)
    scale = max(1.0, scale)
    read = upright if scale == 1.0 else _enlarge(upright, scale)
    words = [word.moved(1 / scale, (0, 0)) for word in text.read(read, finding)]
    heights = [word.height for word in words if len(word.text) > 1]
    return Sight(
        upright=upright,
        words=tuple(words),
        reading=resident.read_lines(lines(words)),
        quarter_turns=turns,
        letter_height=float(np.median(heights)) if heights else 0.0,
    )


def _enlarge(bgr: Bgr, scale: float) -> Bgr:
    larger = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.asarray(larger, np.uint8)


def _stands_tall(words: Sequence[Word]) -> bool:
    """Whether most words run down the page, as on a card turned by a quarter."""
    long = [word for word in words if max(word.width, word.height) > 40]
    boxes = [np.ptp(word.corners, axis=0) for word in long]
    return len(boxes) >= 3 and sum(h > 1.5 * w for w, h in boxes) > len(boxes) / 2


def flatten(sight: Sight) -> Bgr | None:
    """The card alone, laid flat, 1000 × 630 pixels; None when its outline cannot be told."""
    quad = outline(sight)
    if quad is None:
        return None
    flat = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float32)
    turn = cv2.getPerspectiveTransform(quad, flat)
    return np.asarray(
        cv2.warpPerspective(
            sight.upright,
            turn,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def outline(sight: Sight) -> Points | None:
    """Corners of the card in ``sight.upright``, clockwise from the top left.

    An outline seen in the picture is taken only when the text fits into it; else the front's
    outline follows from where its name and number are printed.
    """
    printed = _from_print(sight)
    centres = np.array([word.corners.mean(axis=0) for word in sight.words], np.float32)
    if len(centres) < 3:
        return None
    best, best_score = printed, 0.0
    for quad, score in _quads(sight.upright):
        fits = _holds(quad, centres) and whole(sight, quad)
        if printed is not None:
            side = float(np.linalg.norm(printed[1] - printed[0]))
            fits = fits and float(np.abs(quad - printed).max()) < 0.15 * side
        if fits and score > best_score:
            best, best_score = quad, score
    return best


def whole(sight: Sight, quad: Points) -> bool:
    """Whether the outline lies inside the picture; one at its edge is the picture's, or cut off."""
    height, width = sight.upright.shape[:2]
    return bool((quad > 2).all() and (quad < (width - 3, height - 3)).all())


def _from_print(sight: Sight) -> Points | None:
    number = name = None
    for word in sight.words:
        text = word.text.replace(" ", "")
        if re.search(r"\d{17}[\dXx]$", text):
            number = word if len(text) == 18 else None
        elif re.match(r"姓名?", text):
            name = word
    if number is None or name is None:
        return None
    seen = np.array(
        [
            (name.corners[0] + name.corners[3]) / 2,
            (number.corners[0] + number.corners[3]) / 2,
            (number.corners[1] + number.corners[2]) / 2,
        ],
        np.float32,
    )
    known = np.array([_NAME_START, _NUMBER_START, _NUMBER_END], np.float32)
    turn = cv2.getAffineTransform(known, seen)
    card = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return np.asarray(card @ turn[:, :2].T + turn[:, 2], np.float32)


def _holds(quad: Points, centres: Points) -> bool:
    inside = [cv2.pointPolygonTest(quad, (float(x), float(y)), False) > 0 for x, y in centres]
    spread = float(np.prod(np.ptp(centres, axis=0)))
    return sum(inside) >= 0.9 * len(inside) and cv2.contourArea(quad) < 8 * spread + 1


def _quads(bgr: Bgr) -> Iterator[tuple[Points, float]]:
    """Four-cornered shapes of a card's proportions, each with a score of how clean it is."""
    small, scale = shrink(bgr, 480)
    area = small.shape[0] * small.shape[1]
    for mask in _masks(small):
        for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            hull = np.asarray(cv2.convexHull(contour), np.float32)
            size = cv2.contourArea(hull)
            if not 0.08 * area < size < 0.97 * area:
                continue
            quad = _four_corners(hull)
            if quad is None or not 1.25 < _proportion(quad) < 2.0:
                continue
            fill = size / max(1.0, cv2.contourArea(quad))
            solid = cv2.contourArea(contour) / size
            shape = np.exp(-1.5 * abs(_proportion(quad) - WIDTH / HEIGHT))
            score = size * min(fill, 1 / fill) ** 3 * solid**2 * float(shape)
            yield np.asarray(quad / scale, np.float32), float(score)


def _masks(small: Bgr) -> Iterator[Bgr]:
    """Black and white pictures in which a card may stand out as one blob."""
    smooth = cv2.bilateralFilter(small, 9, 60, 9)
    channels = [*cv2.split(cv2.cvtColor(smooth, cv2.COLOR_BGR2LAB))]
    channels.append(cv2.cvtColor(smooth, cv2.COLOR_BGR2HSV)[:, :, 1])
    masks = []
    for channel in channels:
        _, mask = cv2.threshold(cv2.medianBlur(channel, 7), 0, 255, cv2.THRESH_OTSU)
        masks += [mask, 255 - mask]
    edges = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (5, 5), 0), 30, 90)
    masks.append(cv2.dilate(edges, np.ones((5, 5))))
    for mask in masks:
        closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        yield np.asarray(opened, np.uint8)


def _four_corners(hull: Points) -> Points | None:
    """The hull's four sides, met in corners; a card's own corners are rounded."""
    length = cv2.arcLength(hull, True)
    rough: Points = np.asarray(cv2.boxPoints(cv2.minAreaRect(hull)), np.float32)
    for share in (0.02, 0.03, 0.04, 0.05, 0.06, 0.08):
        approximation = cv2.approxPolyDP(hull, share * length, True)
        if len(approximation) == 4:
            rough = approximation[:, 0].astype(np.float32)
            break
    quad = _clockwise(rough)
    sides = [_side(quad[i], quad[(i + 1) % 4], hull[:, 0].astype(np.float32)) for i in range(4)]
    found = [_meet(sides[i - 1], sides[i]) for i in range(4)]
    return None if any(c is None for c in found) else np.array(found, np.float32)


def _side(a: Points, b: Points, hull: Points) -> tuple[Points, Points]:
    """A line through the hull's points along the middle of the side from a to b."""
    length = max(1.0, float(np.linalg.norm(b - a)))
    along = (b - a) / length
    dense = np.vstack(
        [
            p + (q - p) * np.linspace(0, 1, max(2, int(np.linalg.norm(q - p) / 2)))[:, None]
            for p, q in zip(hull, np.roll(hull, -1, axis=0), strict=True)
        ]
    )
    place = (dense - a) @ along / length
    off = np.abs((dense - a) @ np.array([-along[1], along[0]]))
    near = dense[(place > 0.15) & (place < 0.85) & (off < 0.06 * length + 4)]
    if len(near) < 8:
        return a, along
    vx, vy, x, y = cv2.fitLine(near.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel()
    return np.array([x, y], np.float32), np.array([vx, vy], np.float32)


def _meet(one: tuple[Points, Points], other: tuple[Points, Points]) -> Points | None:
    matrix = np.array([one[1], -other[1]]).T
    if abs(np.linalg.det(matrix)) < 1e-3:
        return None
    step = np.linalg.solve(matrix, other[0] - one[0])
    return np.asarray(one[0] + one[1] * step[0], np.float32)


def _clockwise(points: Points) -> Points:
    """From the top left, clockwise."""
    middle = points.mean(axis=0)
    around = np.arctan2(points[:, 1] - middle[1], points[:, 0] - middle[0])
    ordered = points[np.argsort(around)]
    return np.roll(ordered, -int(np.argmin(ordered.sum(axis=1))), axis=0)


def _proportion(quad: Points) -> float:
    across = np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])
    down = np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])
    return float(across / max(1.0, float(down)))
