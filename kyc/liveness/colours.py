"""The customer's own screen lights the face in colours nobody could foresee.

The page fills the screen with one colour after another, chosen at random here. What comes back
from the face, beside what comes from behind it, must follow that sequence, late by what network,
screen and camera take, 0.1 to 1.5 s. A recording shown to the camera does not know the sequence;
glass that mirrors the light does so all over the picture, not on the face before its background.

Measured are differences of the logarithms of red over green and blue over green, in linear light,
of the skin less those of the background: exposure and white balance change both alike and drop
out. Soft colours of one luminance, no saturated red, one change in more than a second: far below
the three flashes a second of WCAG 2.3.1. Too bright a room leaves nothing to see: "not checked".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kyc.check import BadInput, Finding, Guidance, Picture, Verdict
from kyc.face import Face, FaceFinder, principal
from kyc.image import Bgr, Frame, corners, crop, jpeg, relative

COLOURS = ("#f0a0a0", "#8cd0a0", "#98b8f8", "#d8c070")  # of about one luminance
COUNT = 10
MIN_COUNT, MAX_COUNT = 6, 16
STEP_US = 1_100_000  # a colour stands this long
WARNING_US = 5_000_000  # and this long before the first one it is said what will come
TAIL_US = 1_500_000  # the last colour stands longer: its light comes late
DELAYS_S = tuple(round(0.1 * step, 1) for step in range(1, 16))

FOLLOWS = 0.72  # correlation with what was asked, above which the face follows it
DOUBTFUL = 0.45  # between this and FOLLOWS nothing is said
EVERYWHERE = 0.6  # of the background with it, above which the light is all over the picture
FREE = 0.75  # share of the change explained by any colours in these steps: some other sequence
STIRRED = 0.008  # spread of the skin's log ratios below which nothing happened at all
DARK = 70.0  # mean brightness of the background under which a screen's light must be seen
FEWEST = 40  # samples
_FACE_SHARE = 0.7  # of the pictures have to show the one face
_SMALL = 160  # pixels; the picture is looked at this large

Series = NDArray[np.float64]


def draw(count: int = COUNT, source: random.Random | None = None) -> list[str]:
    """Colours nobody can foresee: each as often as the others, never one twice in a row."""
    chance = source or random.SystemRandom()
    while True:
        drawn = [COLOURS[place % len(COLOURS)] for place in range(count)]
        chance.shuffle(drawn)
        if all(a != b for a, b in zip(drawn, drawn[1:], strict=False)):
            return drawn


@dataclass(frozen=True)
class Sample:
    """One picture's colours: log red over green and log blue over green, in linear light."""

    time_us: int
    skin: tuple[float, float]
    behind: tuple[float, float]
    light: float
    "Mean brightness of the background, 0..255."


@dataclass(frozen=True)
class Match:
    """How far the face followed the sequence."""

    correlation: float
    "-1..1, at the best delay."
    delay_s: float
    strength: float
    "Change of the skin's log ratios for a change of the screen's by 1."
    background: float
    "Correlation of the background with the sequence, at its own best delay."
    background_strength: float
    stirred: float
    "Spread of the skin's change."
    free: float
    "Share of it which some other colours in the same steps would explain."


def sample(bgr: Bgr, face: Face, time_us: int) -> Sample:
    """Skin is the middle of the face without eyes and mouth; behind is what is far from it."""
    scale = min(1.0, _SMALL / max(bgr.shape[:2]))
    how = cv2.INTER_AREA
    small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=how)
    x, y, w, h = (value * scale for value in face.box)
    skin = np.zeros(small.shape[:2], np.uint8)
    middle, axes = (x + w / 2, y + h / 2), (0.7 * w, 0.8 * h)
    cv2.ellipse(skin, (middle, axes, 0.0), (255,), -1)
    for spot in face.points[[0, 1, 3, 4]] * scale:
        cv2.circle(skin, (int(spot[0]), int(spot[1])), max(1, int(0.13 * w)), (0,), -1)
    behind = np.full(small.shape[:2], 255, np.uint8)
    left, right = max(0, int(x - 0.4 * w)), max(0, int(x + 1.4 * w))
    behind[max(0, int(y - 0.5 * h)) :, left:right] = 0  # hair, neck and shoulders too
    behind[int(y + 0.9 * h) :, :] = 0
    if int((behind > 0).sum()) < 0.02 * behind.size:
        behind[: max(2, int(0.08 * behind.shape[0])), :] = 255
    brightness = float(small[behind > 0].mean())
    return Sample(time_us, _ratios(small, skin), _ratios(small, behind), brightness)


def _ratios(bgr: Any, mask: Any) -> tuple[float, float]:
    pixels = bgr[mask > 0].astype(np.float64) / 255
    # What is burnt out or black has no colour to tell.
    usable = pixels[(pixels.max(axis=1) < 0.98) & (pixels.min(axis=1) > 0.02)]
    if len(usable) < 8:
        usable = pixels
    blue, green, red = (usable**2.2).mean(axis=0) + 1e-4
    return float(np.log(red / green)), float(np.log(blue / green))


def of_screen(colour: str) -> tuple[float, float]:
    """The same two numbers of a colour on the screen, #rrggbb."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return float(np.log(red / green) * 2.2), float(np.log(blue / green) * 2.2)


def match(samples: Sequence[Sample], shown: Sequence[tuple[str, int]]) -> Match | None:
    """Correlate; ``shown`` is each colour with its media time. None: too few samples."""
    first, last = shown[0][1], shown[-1][1] + STEP_US + TAIL_US
    used = [each for each in samples if first <= each.time_us <= last]
    if len(used) < FEWEST:
        return None
    times = np.array([each.time_us for each in used]) / 1e6
    skin, behind = np.array([each.skin for each in used]), np.array([e.behind for e in used])
    starts = np.array([at for _, at in shown]) / 1e6
    light = np.array([of_screen(colour) for colour, _ in shown])
    beside = _level(times, skin - behind)
    rho, delay, strength = _best(times, beside, starts, light)
    around, _, around_strength = _best(times, _level(times, behind), starts, light)
    free = max(_explained(times, beside, starts, each) for each in (delay, 0.4, 0.8, 1.2))
    return Match(rho, delay, strength, around, around_strength, float(beside.std()), free)


def _level(times: Series, values: Series) -> Series:
    """Without mean and slow drift, column by column."""
    t = (times - times.mean()) / max(1e-6, float(np.ptp(times)))
    base = np.stack([np.ones_like(t), t, t**2], axis=1)
    return np.asarray(values - base @ np.linalg.lstsq(base, values, rcond=None)[0])


def _steps(times: Series, starts: Series, delay: float) -> Any:
    """Which colour's light arrives at each time."""
    return np.clip(np.searchsorted(starts, times - delay, side="right") - 1, 0, len(starts) - 1)


def _best(
    times: Series, values: Series, starts: Series, light: Series
) -> tuple[float, float, float]:
    """Correlation, delay and strength where they fit best."""
    found = []
    for delay in DELAYS_S:
        arrived = times >= starts[0] + delay
        asked = _level(times[arrived], light[_steps(times[arrived], starts, delay)])
        seen = _level(times[arrived], values[arrived])
        both = float((asked * seen).sum())
        power = float((asked**2).sum())
        found.append(
            (both / max(1e-12, np.sqrt(power * float((seen**2).sum()))), delay, both / power)
        )
    rho, delay, strength = max(found)
    return float(rho), delay, float(strength)


def _explained(times: Series, values: Series, starts: Series, delay: float) -> float:
    steps = _steps(times, starts, delay)
    means = np.stack([values[steps == step].mean(axis=0) for step in sorted(set(steps))])
    place = np.searchsorted(sorted(set(steps)), steps)
    total = float((values**2).sum())
    return 1 - float(((values - means[place]) ** 2).sum()) / max(1e-12, total)


def judge(found: Match, brightness: float) -> tuple[Verdict, str]:
    """The verdict and its reason."""
    if found.correlation >= FOLLOWS and found.strength > 0:
        own = found.strength > found.background_strength * 0.5
        if found.background < EVERYWHERE or own:
            return Verdict.PASSED, "colours_reflected"
    if found.background >= EVERYWHERE and found.background_strength > max(found.strength, 0.005):
        return Verdict.FAILED, "colours_everywhere"
    if found.stirred >= 2 * STIRRED and found.free >= FREE and found.correlation < DOUBTFUL:
        return Verdict.FAILED, "other_colours"
    if brightness < DARK and found.stirred < 4 * STIRRED and found.correlation < DOUBTFUL:
        return Verdict.FAILED, "colours_absent"
    return Verdict.NOT_CHECKED, "too_bright" if found.stirred < 4 * STIRRED else "face_moved"


class ScreenColours:
    """Asks the page for colours and looks for them on the face."""

    name = "screen_colours"

    def __init__(
        self, finder: FaceFinder, colours: Sequence[str] | None = None, count: int = COUNT
    ) -> None:
        if not MIN_COUNT <= count <= MAX_COUNT:
            raise BadInput("parameters", f"count is {MIN_COUNT} to {MAX_COUNT}")
        self._colours = list(colours) if colours is not None else draw(count)
        if not MIN_COUNT <= len(self._colours) <= MAX_COUNT or not set(self._colours) <= set(
            COLOURS
        ):
            raise BadInput("parameters", "colours must be some of " + ", ".join(COLOURS))
        self._finder = finder
        self._shown: list[tuple[str, int]] = []
        self._samples: list[Sample] = []
        self._warned_us: int | None = None
        self._pictures = self._faceless = self._several = 0
        self._picture: Picture | None = None
        self._finding: Finding | None = None

    def see(self, frame: Frame) -> Guidance | Finding:
        if self._finding is not None:
            return self._finding
        face, trouble = principal(self._finder.find(frame.bgr))
        if self._warned_us is None and face is None:
            return Guidance(trouble or "no_face")
        self._count(frame, face, trouble)
        return self._show(frame, face)

    def expire(self, media_time_us: int) -> Finding:
        if self._finding is None:
            self._finding = self._answer(Verdict.NOT_CHECKED, "timeout", None, media_time_us)
        return self._finding

    def _count(self, frame: Frame, face: Face | None, trouble: str | None) -> None:
        if not self._shown:
            return
        self._pictures += 1
        self._several += trouble == "one_face_only"
        if face is None:
            self._faceless += 1
            return
        self._samples.append(sample(frame.bgr, face, frame.media_time_us))
        if self._picture is None:
            seen, _ = crop(frame.bgr, face.box, 0.5)
            self._picture = Picture("face", jpeg(seen), frame.media_time_us)

    def _show(self, frame: Frame, face: Face | None) -> Guidance | Finding:
        """The colour the screen must have now; the answer when all have been shown."""
        now = frame.media_time_us
        quad = relative(corners(face.box), frame.size) if face else None
        if self._warned_us is None:
            self._warned_us = now
        if now - self._warned_us < WARNING_US:
            left = (WARNING_US - (now - self._warned_us)) / 1e6
            return Guidance("colour_soon", deadline_s=round(left, 2), quad=quad)
        step = STEP_US + (TAIL_US if len(self._shown) == len(self._colours) else 0)
        if not self._shown or now - self._shown[-1][1] >= step:
            if len(self._shown) == len(self._colours):
                self._finding = self._decide(now)
                return self._finding
            self._shown.append((self._colours[len(self._shown)], now))
        done = (len(self._shown) - 1) / len(self._colours)
        return Guidance("show_colour", round(done, 3), self._shown[-1][0], quad=quad)

    def _decide(self, now: int) -> Finding:
        if self._faceless > (1 - _FACE_SHARE) * self._pictures:
            reason = "several_faces" if 2 * self._several > self._faceless else "no_face"
            return self._answer(Verdict.NOT_CHECKED, reason, None, now)
        found = match(self._samples, self._shown)
        if found is None:
            return self._answer(Verdict.NOT_CHECKED, "too_few_pictures", None, now)
        brightness = float(np.median([each.light for each in self._samples]))
        verdict, reason = judge(found, brightness)
        return self._answer(verdict, reason, found, now)

    def _answer(self, verdict: Verdict, reason: str, found: Match | None, now: int) -> Finding:
        values: dict[str, Any] = {
            "colours": [{"colour": colour, "shown_us": at} for colour, at in self._shown],
            "samples": len(self._samples),
        }
        if found is not None:
            values |= {
                "delay_s": found.delay_s,
                "correlation": round(found.correlation, 4),
                "strength": round(found.strength, 5),
                "background": round(found.background, 4),
            }
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(found.correlation, 4) if found else None,
            threshold=FOLLOWS,
            values=values,
            pictures=[self._picture] if self._picture else [],
            media_time_us=now,
        )
