"""The picture of an exported recording: who stands where, names below, the clock above."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FONTS: tuple[tuple[str, int], ...] = (
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/google-noto-sans-cjk-vf-fonts/NotoSansCJK-VF.ttc", 2),
    ("/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", 0),
    ("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc", 0),
)
"""Fonts with Chinese characters and their face for Simplified Chinese, by distribution."""

BLACK, DARK, GREY, WHITE, NEUTRAL = 16, 32, 140, 235, 128
"""Luma of limited range; NEUTRAL is chroma without colour."""

Plane = NDArray[np.uint8]


class Box(NamedTuple):
    """A rectangle of even numbers: chroma has half the resolution."""

    x: int
    y: int
    width: int
    height: int


def layout(labels: Sequence[str], width: int, height: int) -> dict[str, Box]:
    """Where each stream stands: two side by side, more in a grid, a shared screen large with the
    people as a strip beside it."""
    screens = [label for label in labels if is_screen(label)]
    if not screens:
        return _grid(labels, Box(0, 0, width, height), math.ceil(math.sqrt(len(labels))))
    strip = [label for label in labels if label != screens[0]]
    if not strip:
        return _grid(screens, Box(0, 0, width, height), 1)
    split = _even(width * 3 // 4)
    large = {screens[0]: Box(0, 0, split, height)}
    return large | _grid(strip, Box(split, 0, width - split, height), 1)


def is_screen(label: str) -> bool:
    """Is this the stream of a shared screen?"""
    return " screen" in label


def _grid(labels: Sequence[str], room: Box, columns: int) -> dict[str, Box]:
    rows = -(-len(labels) // max(1, columns))
    return {
        label: Box(
            room.x + _even(place % columns * room.width // columns),
            room.y + _even(place // columns * room.height // rows),
            _even(room.width // columns),
            _even(room.height // rows),
        )
        for place, label in enumerate(labels)
    }


def _even(number: int) -> int:
    return number // 2 * 2


def fit(width: int, height: int, box: Box) -> Box:
    """The largest rectangle of these proportions in the middle of `box`."""
    scale = min(box.width / width, box.height / height)
    w, h = max(2, _even(round(width * scale))), max(2, _even(round(height * scale)))
    return Box(box.x + _even((box.width - w) // 2), box.y + _even((box.height - h) // 2), w, h)


class Letters:
    """Text as luma, in a font that has Chinese characters where the machine has one."""

    def __init__(self, size: int) -> None:
        found = [(path, face) for path, face in FONTS if Path(path).exists()]
        self.cjk = bool(found)
        """Can names in Chinese be written?"""
        self._font: ImageFont.FreeTypeFont | ImageFont.ImageFont
        if found:
            path, face = found[0]
            self._font = ImageFont.truetype(path, size, index=face)
        else:
            self._font = ImageFont.load_default(size)  # Pillow's own: Latin letters and digits
        self.height = _even(size * 3 // 2)
        self.cell = _even(math.ceil(max(self._font.getlength(each) for each in "0123456789+")) + 1)
        """Width in which every digit stands, so that a running clock does not tremble."""

    def line(self, text: str, most: int, ground: int = BLACK, ink: int = WHITE) -> Plane:
        """One line, at most `most` wide; what does not fit is cut off and shown so."""
        while self._font.getlength(text) > most and len(text) > 2:
            text = text.rstrip("…")[:-1] + "…"
        width = max(2, min(most, _even(math.ceil(self._font.getlength(text)) + 1)))
        return self._draw(text, width, ground, ink)

    @lru_cache(maxsize=256)  # noqa: B019 - a Letters lives as long as its process renders
    def glyph(self, character: str, ground: int) -> Plane:
        """One character of the clock: digits in cells of one width."""
        width = (
            self.cell
            if character.isdigit()
            else _even(math.ceil(self._font.getlength(character)) + 1)
        )
        return self._draw(character, width, ground, WHITE)

    def _draw(self, text: str, width: int, ground: int, ink: int) -> Plane:
        image = Image.new("L", (width, self.height), ground)
        where = (width // 2, self.height // 2)
        ImageDraw.Draw(image).text(where, text, fill=ink, font=self._font, anchor="mm")
        return np.asarray(image)


class Stage:
    """One picture of the video, drawn in place: only what changed is drawn again."""

    def __init__(self, width: int, height: int, names: Mapping[str, str]) -> None:
        """`names`: what stands under each stream, by its label."""
        self.width, self.height, self._names = _even(width), _even(height), names
        self._letters = Letters(max(10, _even(self.height // 32)))
        self.cjk = self._letters.cjk
        self._planes = np.full((self.height * 3 // 2, self.width), NEUTRAL, np.uint8)
        self._luma = self._planes[: self.height]
        chroma = self.height * self.width // 4
        flat = self._planes[self.height :].reshape(-1)
        half = (self.height // 2, self.width // 2)
        self._chroma = flat[:chroma].reshape(half), flat[chroma:].reshape(half)
        self._bar = self._letters.height + 8
        self._luma[:] = BLACK
        self._luma[: self._bar] = DARK
        self._clock = ""
        self._boxes: dict[str, Box] = {}
        self._shown: dict[str, av.VideoFrame | None] = {}

    @property
    def labels(self) -> list[str]:
        """Who has a place now."""
        return list(self._boxes)

    def place(self, labels: Sequence[str]) -> None:
        """Who is to be seen from now on, the most important first."""
        if list(self._boxes) == list(labels):
            return
        self._clear(Box(0, self._bar, self.width, self.height - self._bar))
        room = layout(labels, self.width, self.height - self._bar)
        caption = self._letters.height
        self._boxes, self._shown = {}, {}
        for label, (x, y, width, height) in room.items():
            y += self._bar
            self._boxes[label] = Box(x + 2, y + 2, width - 4, _even(height - caption - 6))
            name = self._letters.line(self._name(label), width - 8)
            self._write(name, x + (width - name.shape[1]) // 2, y + height - caption - 2)

    def show(self, label: str, frame: av.VideoFrame | None) -> None:
        """The picture of one stream; None says that there is none."""
        if label in self._shown and self._shown[label] is frame:
            return
        before, self._shown[label] = self._shown.get(label), frame
        box = self._boxes[label]
        if frame is None:
            self._clear(box)
            words = "无画面  No picture" if self.cjk else "No picture"
            text = self._letters.line(words, box.width, ink=GREY)
            x, y = (box.width - text.shape[1]) // 2, (box.height - text.shape[0]) // 2
            self._write(text, box.x + x, box.y + y)
            return
        x, y, width, height = fit(frame.width, frame.height, box)
        if before is None or (before.width, before.height) != (frame.width, frame.height):
            self._clear(box)
        small = frame.reformat(
            width, height, "yuv420p", interpolation="BILINEAR", threads=1
        ).to_ndarray()
        self._luma[y : y + height, x : x + width] = small[:height]
        flat = small[height:].reshape(-1)
        each = width * height // 4
        for number, plane in enumerate(self._chroma):
            part = flat[number * each : (number + 1) * each].reshape(height // 2, width // 2)
            plane[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2] = part

    def tell_time(self, text: str) -> None:
        """The line above the pictures."""
        same = len(text) == len(self._clock)
        x = 8
        for place, character in enumerate(text):
            glyph = self._letters.glyph(character, DARK)
            if not same or self._clock[place] != character:
                self._write(glyph, x, 4)
            x += glyph.shape[1]
            if x >= self.width:
                break
        if not same:
            self._luma[4 : 4 + self._letters.height, x:] = DARK
        self._clock = text

    def frame(self) -> av.VideoFrame:
        """A copy, for the encoder."""
        return av.VideoFrame.from_ndarray(self._planes, "yuv420p")

    def _name(self, label: str) -> str:
        name = self._names.get(label, label)
        if self.cjk:
            return name
        latin = "".join(each for each in name if ord(each) < 0x250)
        return " ".join(latin.split()) or label

    def _clear(self, box: Box) -> None:
        x, y, width, height = box
        self._luma[y : y + height, x : x + width] = BLACK
        for plane in self._chroma:
            plane[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2] = NEUTRAL

    def _write(self, text: Plane, x: int, y: int) -> None:
        height, width = text.shape
        width = min(width, self.width - x)
        self._luma[y : y + height, x : x + width] = text[:, :width]
