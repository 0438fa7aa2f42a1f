"""Is it the card itself that is shown? Hints from the pictures the card was read in.

Each hint is a :class:`Finding` of its own, beside the card's: a number, the threshold it stands
against, and for a person to weigh. None of them fails a card. The thresholds come from drawn cards
(``kyc.report.cards`` says how often each fires there, and on which simulated forgeries); real cards
were not at hand, so on real ones they may fire more often or less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from kyc.check import Finding, Verdict
from kyc.document import card
from kyc.document.card import HEIGHT, WIDTH, Sight
from kyc.document.resident import Side
from kyc.image import Bgr, Points

# Above these a hint fires.
SCREEN, COPY, EDGES, PRINT = 1.05, 0.85, 1.1, 0.16
LEAST_ACROSS = 420  # pixels of the card's long side below which fine patterns are lost
_WINDOW = 128  # pixels of the squares whose spectra are averaged
_LOW, _HIGH = 0.16, 0.5  # cycles per pixel: below, print and guilloche live
_LIT = 0.3  # share of the card that must be neither blown out nor black
_COLOURED = 0.5  # natural logarithm of red over blue, between the card's extremes
_TILTED, _SHADOW = 2.2, 22.0  # degrees; levels of luminance
# Height of each field's ink over that of the address, on drawn cards: digits are lower than Han.
_HEIGHTS = {
    "id": 0.87,
    "valid": 0.87,
    "label": 0.86,
    "birth": 0.845,
    "authority": 0.98,
    "address": 1.0,
}
_FORMS = {
    "id": r"^\d{17}[\dXx]$",
    "valid": r"^\d{4}\.\d\d\.\d\d-(\d{4}\.\d\d\.\d\d|长期)$",
    "label": r"^(公民身份号码|签发机关|有效期限)$",
    "birth": r"^(19|20)\d\d年\d{1,2}月\d{1,2}日$",
    "authority": r"^[\u3400-\u9fff]{4,}[局所厅队]$",
    "address": r"^[^姓性民出住公](?=.*[省市区县州镇村路街巷号栋室单元组]).{4,}$",
}
_PHOTO = (0.65, 0.127, 0.27, 0.556)  # the printed portrait, shares of the card


def findings(
    sights: Sequence[Sight], side: Side, media_time_us: int | None, models: dict[str, str]
) -> list[Finding]:
    """The hints from the best sights of one side of a card (about 200 CPU-ms a sight)."""
    outlines = [(sight, card.outline(sight)) for sight in sights]
    laid = [
        (sight, quad) for sight, quad in outlines if quad is not None and card.whole(sight, quad)
    ]
    asked = [hint for hint in HINTS if side == "front" or hint.name != "card_portrait_edges"]
    return [_finding(hint, laid, media_time_us, models) for hint in asked]


def _finding(
    hint: Hint,
    laid: Sequence[tuple[Sight, Points]],
    media_time_us: int | None,
    models: dict[str, str],
) -> Finding:
    """The median over the sights against the hint's threshold."""
    answers = [hint.measure(sight, quad) for sight, quad in laid] or ["no_outline"]
    scores = [answer for answer in answers if not isinstance(answer, str)]
    score = round(float(np.median(scores)), 3) if scores else None
    if score is None:
        verdict, reason = Verdict.NOT_CHECKED, str(answers[0])
    elif score > hint.threshold:
        verdict, reason = Verdict.FAILED, hint.bad
    else:
        verdict, reason = Verdict.PASSED, hint.good
    return Finding(
        check=hint.name,
        verdict=verdict,
        reason=reason,
        score=score,
        threshold=hint.threshold,
        values={"frames": len(scores)},
        models=models,
        media_time_us=media_time_us,
    )


def screen(sight: Sight, quad: Points) -> float | str:
    """How much one spatial frequency stands out of the card's fine detail, in decades.

    A photographed screen shows its pixel grid, or the beat of that grid with the camera's own
    (moiré), as a peak of the spectrum; print and paper have none. Looked for in luminance and in
    the colour differences, where the stripes of red, green and blue show.
    """
    left, top = np.floor(quad.min(axis=0)).astype(int).clip(0)
    right, bottom = np.ceil(quad.max(axis=0)).astype(int)
    if float(np.linalg.norm(quad[1] - quad[0])) < LEAST_ACROSS:
        return "card_too_small"
    part = sight.upright[top:bottom, left:right].astype(np.float32)
    blue, green, red = cv2.split(part)
    inside = np.zeros(part.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.round(quad - (left, top)).astype(np.int32), (1,))
    return max(
        _peak(np.asarray(plane), inside)
        for plane in ((blue + 2 * green + red) / 4, red - green, blue - green)
    )


def _peak(plane: Any, inside: Any) -> float:
    step = 3 * _WINDOW // 4
    taper = np.outer(np.hanning(_WINDOW), np.hanning(_WINDOW)).astype(np.float32)
    spectra = []
    for top in range(0, plane.shape[0] - _WINDOW + 1, step):
        for left in range(0, plane.shape[1] - _WINDOW + 1, step):
            window = slice(top, top + _WINDOW), slice(left, left + _WINDOW)
            if inside[window].mean() < 0.97:
                continue
            patch = plane[window]
            # Single strokes of print must not outweigh a faint pattern that is everywhere.
            detail = np.clip(patch - cv2.GaussianBlur(patch, (0, 0), 3), -12, 12)
            spectra.append(np.abs(np.fft.rfft2(detail * taper)) ** 2)
    if len(spectra) < 2:
        return 0.0
    power = np.log10(np.median(spectra, axis=0) + 1.0)
    down = np.fft.fftfreq(_WINDOW)[:, None]
    across = np.fft.rfftfreq(_WINDOW)[None, :]
    radius = np.hypot(down, across)
    # The blocks of JPEG and of video codecs leave peaks on both axes.
    axes = (np.abs(down) < 1.6 / _WINDOW) | (np.abs(across) < 1.6 / _WINDOW)
    axes |= (np.abs(np.abs(down) - 0.5) < 1.6 / _WINDOW) | (np.abs(across - 0.5) < 1.6 / _WINDOW)
    looked = (radius > _LOW) & (radius < _HIGH) & ~axes
    ground = cv2.medianBlur(power.astype(np.float32), 5)
    wide = cv2.blur(ground, (15, 15))
    return float((power - wide)[looked].max())


def colourless(sight: Sight, quad: Points) -> float | str:
    """1 for a card without any colour of its own, 0 for one with as much as a printed card.

    Coloured light tints all of a grey copy alike, so only differences within the card count.
    """
    flat = cv2.resize(_flat(sight, quad), (250, 158), interpolation=cv2.INTER_AREA)
    inner = cv2.GaussianBlur(flat[6:-6, 8:-8], (0, 0), 1.2).astype(np.float32)
    lit = (inner.max(axis=2) < 250) & (inner.min(axis=2) > 12)
    if lit.mean() < _LIT:
        return "too_bright"
    tint = np.log((inner[..., 2][lit] + 8) / (inner[..., 0][lit] + 8))
    low, high = np.percentile(tint, (1, 99))
    return float(1 - min(1.0, (high - low) / _COLOURED))


def pasted(sight: Sight, quad: Points) -> float | str:
    """Above 1: the portrait's straight edges stand askew to the card, or throw a shadow."""
    if float(np.linalg.norm(quad[1] - quad[0])) < LEAST_ACROSS:
        return "card_too_small"
    flat = _flat(sight, quad)
    x, y, w, h = (round(v * s) for v, s in zip(_PHOTO, (WIDTH, HEIGHT) * 2, strict=True))
    margin = 45
    left, top = x - margin, y - margin
    part = cv2.cvtColor(
        np.ascontiguousarray(flat[top : y + h + margin, left : min(WIDTH, x + w + margin)]),
        cv2.COLOR_BGR2GRAY,
    )
    smooth = cv2.GaussianBlur(part, (0, 0), 1.5)
    lines = cv2.HoughLinesP(cv2.Canny(smooth, 18, 45), 1, np.pi / 720, 60, None, 0.3 * h, 8)
    askew, shadow = [0.0], [0.0]
    for x0, y0, x1, y1 in [] if lines is None else np.asarray(lines).reshape(-1, 4):
        upright = abs(y1 - y0) > abs(x1 - x0)
        angle = np.degrees(
            np.arctan2(x1 - x0, y1 - y0) if upright else np.arctan2(y1 - y0, x1 - x0)
        )
        angle = (angle + 90) % 180 - 90
        place = ((x0 + x1) / 2 - margin) / w if upright else ((y0 + y1) / 2 - margin) / h
        near = min(abs(place), abs(place - 1))
        if abs(angle) > 9 or near > 0.16:
            continue
        askew.append(abs(float(angle)))
        shadow.append(_valley(smooth, (x0, y0, x1, y1), upright, place > 0.5))
    tilt = float(np.median(askew[1:])) if len(askew) > 1 else 0.0
    return max(tilt / _TILTED, max(shadow) / _SHADOW)


def _valley(smooth: Any, line: tuple[int, int, int, int], upright: bool, beyond: bool) -> float:
    """How much darker a strip just outside the edge is than the paper further out."""
    x0, y0, x1, y1 = line
    along = np.linspace(0.1, 0.9, 24)
    xs, ys = x0 + (x1 - x0) * along, y0 + (y1 - y0) * along
    out = 1 if beyond else -1

    def at(step: float) -> Any:
        x = (xs + (out * step if upright else 0)).clip(0, smooth.shape[1] - 1).astype(int)
        y = (ys + (0 if upright else out * step)).clip(0, smooth.shape[0] - 1).astype(int)
        return smooth[y, x].astype(np.float32)

    strip = np.minimum.reduce([at(step) for step in (2, 3, 4, 5, 6)])
    inside = np.minimum.reduce([at(step) for step in (-6, -8, -10)])
    paper = np.median([at(step) for step in (14, 17, 20, 23)], axis=0)
    return float(np.median(np.minimum(paper, inside + 30) - strip))


def uneven(sight: Sight, quad: Points) -> float | str:
    """How far one field's letters differ in height from what the others lead to expect (share)."""
    rows: dict[str, list[float]] = {}
    for field, height in _heights(sight, quad):
        rows.setdefault(field, []).append(height)
    if len(rows) < 3:
        return "too_little_text"
    levels = [float(np.median(heights)) for heights in rows.values()]
    middle = float(np.median(levels))
    return float(max(abs(np.log(level / middle)) for level in levels))


def _heights(sight: Sight, quad: Points) -> list[tuple[str, float]]:
    """Field and letter height over what that field's should be, card pixels."""
    flat = cv2.cvtColor(_flat(sight, quad), cv2.COLOR_BGR2GRAY)
    turn = _turn(quad)
    found = []
    for word in sight.words:
        field = _field(word.text)
        if field is None:
            continue
        corners = cv2.perspectiveTransform(word.corners[None], turn)[0]
        if height := _ink(flat, np.asarray(corners, np.float32)):
            found.append((field, height / _HEIGHTS[field]))
    return found


def _field(text: str) -> str | None:
    """Which field's own print a word is; words that hold a label too are left out."""
    text = text.replace(" ", "")
    for field, form in _FORMS.items():
        if re.search(form, text):
            return field
    return None


def _ink(gray: Any, corners: Points) -> float | None:
    """Height of the ink between the 10th and the 90th percentile columns' tops and bottoms."""
    left, top = np.floor(corners.min(axis=0)).astype(int) - 2
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 2
    part = gray[max(0, top) : bottom, max(0, left) : right]
    if min(part.shape) < 8:
        return None
    paper = float(np.percentile(part, 75))
    rows = (paper - part.astype(np.float32)).clip(0).sum(axis=1)
    total = np.cumsum(rows) / max(1.0, float(rows.sum()))
    low, high = np.interp((0.06, 0.94), total, np.arange(len(rows)))
    return float(high - low)


def _turn(quad: Points) -> Any:
    flat = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float32)
    return cv2.getPerspectiveTransform(quad, flat)


def _flat(sight: Sight, quad: Points) -> Bgr:
    laid = cv2.warpPerspective(
        sight.upright, _turn(quad), (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(laid, np.uint8)


@dataclass(frozen=True)
class Hint:
    """One question about how the card is shown."""

    name: str
    threshold: float
    good: str
    bad: str
    measure: Callable[[Sight, Points], float | str]
    "Score, or why there is none."


HINTS = (
    Hint("card_screen", SCREEN, "no_screen_pattern", "screen_pattern", screen),
    Hint("card_copy", COPY, "colour_present", "no_colour", colourless),
    Hint("card_portrait_edges", EDGES, "portrait_printed", "portrait_pasted", pasted),
    Hint("card_print", PRINT, "print_even", "print_uneven", uneven),
)
