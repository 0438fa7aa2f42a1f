"""Text in pictures: PaddleOCR on onnxruntime, offline, from the models the manifest names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from kyc.image import Bgr, Points
from kyc.models import Prepared

MODELS = ("text_detection", "text_recognition")


@dataclass(frozen=True)
class Word:
    """A run of text, its score 0..1 and its corners, clockwise from where reading starts."""

    text: str
    score: float
    corners: Points

    @property
    def width(self) -> float:
        return float(np.linalg.norm(self.corners[1] - self.corners[0]))

    @property
    def height(self) -> float:
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))

    @property
    def angle(self) -> float:
        """Reading direction, radians, clockwise from the picture's x axis."""
        x, y = self.corners[1] - self.corners[0]
        return float(np.arctan2(y, x))

    def moved(self, scale: float, offset: Sequence[float]) -> Word:
        """The same word in another picture's pixels: scaled, then shifted."""
        corners = np.asarray(self.corners * scale + np.array(offset, np.float32), np.float32)
        return replace(self, corners=corners)


class TextReader:
    """Finds and reads text. Not for use by two threads at once.

    PaddleOCR loads the models, finds the text, cuts the words out and decodes what was recognised.
    Only the recogniser's input is ours: PaddleOCR pads each word to at least 320 pixels, and the
    cost of a word is its width. Padded no more than it needs, a card is read for a third less.
    """

    FINDING = 704  # pixels of the longer side in which words are looked for
    _HIGH, _STEP, _LEAST, _WIDEST = 48, 32, 64, 3200  # pixels of the recogniser's input

    def __init__(self, prepared: Prepared, threads: int = 1) -> None:
        # PaddleX otherwise asks its model hosts whether they can be reached.
        os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"
        from paddleocr import PaddleOCR

        detection, recognition = (prepared.models[name] for name in MODELS)
        ocr = PaddleOCR(
            text_detection_model_name=detection.paddle_name,
            text_detection_model_dir=str(prepared.paths["text_detection"]),
            text_recognition_model_name=recognition.paddle_name,
            text_recognition_model_dir=str(prepared.paths["text_recognition"]),
            # Each of these left on would look for one more model on the network.
            use_doc_orientation_classify=False,
            use_doc_unwarping=False,
            use_textline_orientation=False,
            engine="onnxruntime",
            engine_config={"intra_op_num_threads": threads},
            device="cpu",
        )
        self._pipeline = ocr.paddlex_pipeline._pipeline
        self._recogniser = self._pipeline.text_rec_model
        self.models = prepared.sha256(*MODELS)

    def read(self, bgr: Bgr, finding: int = FINDING) -> list[Word]:
        """All words of a picture, in no particular order.

        They are looked for in the picture scaled down to ``finding`` pixels, and read in the
        picture as it is.
        """
        (page,) = self._pipeline.text_det_model([bgr], limit_side_len=finding, limit_type="max")
        polygons = page["dt_polys"]
        if not len(polygons):
            return []
        found = zip(self._pipeline._crop_by_polys(bgr, polygons), polygons, strict=True)
        words = [_word(*self._recognise(part), polygon) for part, polygon in found]
        return [word for word in words if word.text]

    def read_cells(self, cells: Sequence[Bgr]) -> list[tuple[str, float]]:
        """Text and score of pictures that each hold one run of text (about 10 CPU-ms each).

        For a lone character in a known place, which the search for text often passes over.
        """
        return [self._recognise(np.ascontiguousarray(cell)) for cell in cells]

    def _recognise(self, part: Bgr) -> tuple[str, float]:
        """Text and score of a picture that holds one run of text, lying."""
        height, width = part.shape[:2]
        wide = min(self._WIDEST, -(-self._HIGH * width // height))
        room = max(self._LEAST, -(-wide // self._STEP) * self._STEP)
        tensor = np.zeros((1, 3, self._HIGH, room), np.float32)
        scaled = cv2.resize(part, (wide, self._HIGH)).astype(np.float32)
        tensor[0, :, :, :wide] = scaled.transpose(2, 0, 1) / np.float32(127.5) - 1
        texts, scores = self._recogniser.post_op(self._recogniser.runner(x=[tensor]))
        return texts[0].strip(), float(scores[0])


class TextFinder:
    """Where text probably is, at a thirtieth of the cost of reading it (about 35 CPU-ms)."""

    LONGEST = 320  # text of a card that fills 20 % of a 720p picture still shows
    _MEAN = np.array([0.485, 0.456, 0.406], np.float32)
    _SPREAD = np.array([0.229, 0.224, 0.225], np.float32)

    def __init__(self, prepared: Prepared, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(prepared.paths["text_detection"] / "inference.onnx"),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._input = self._session.get_inputs()[0].name

    def find(self, bgr: Bgr) -> list[tuple[float, float, float, float]]:
        """Boxes (x, y, width, height) in the picture's pixels."""
        height, width = bgr.shape[:2]
        scale = self.LONGEST / max(width, height)
        size = tuple(max(32, round(side * scale / 32) * 32) for side in (width, height))
        small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA) / np.float32(255)
        tensor = ((small - self._MEAN) / self._SPREAD).transpose(2, 0, 1)[None]
        (heat,) = self._session.run(None, {self._input: np.ascontiguousarray(tensor)})
        text = (heat[0, 0] > 0.3).astype(np.uint8)
        _, _, found, _ = cv2.connectedComponentsWithStats(text)
        across, down = width / size[0], height / size[1]
        # A blob over a tenth of the picture is a wall or a shirt, not a word.
        words = [each for each in found[1:] if 6 < each[4] < 0.1 * text.size]
        return [
            (float(x * across), float(y * down), float(w * across), float(h * down))
            for x, y, w, h, _ in words
        ]


def _word(text: str, score: float, polygon: Any) -> Word:
    return Word(text, float(score), np.asarray(polygon, np.float32).reshape(4, 2))


def direction(words: Sequence[Word]) -> float:
    """Angle of the text, radians: the median over words, weighted by width."""
    if not words:
        return 0.0
    ordered = sorted(words, key=lambda word: word.angle)
    reach = np.cumsum([word.width for word in ordered])
    return ordered[int(np.searchsorted(reach, reach[-1] / 2))].angle


def score(words: Sequence[Word]) -> float:
    """Mean score, each word weighted by its number of characters."""
    characters = sum(len(word.text) for word in words)
    return sum(word.score * len(word.text) for word in words) / max(1, characters)


@dataclass(frozen=True)
class Line:
    """Words side by side, joined without spaces."""

    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        joined = "".join(word.text for word in self.words)
        return joined.replace(" ", "").replace("\u3000", "")

    @property
    def score(self) -> float:
        return score(self.words)


def lines(words: Sequence[Word]) -> list[Line]:
    """Words in reading order, top to bottom, whatever the tilt of the page."""
    tilt = direction(words)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]], np.float32)
    placed = [(word, (turn @ word.corners.mean(axis=0))) for word in words]
    placed.sort(key=lambda each: float(each[1][1]))
    rows: list[list[tuple[Word, Any]]] = []
    for word, centre in placed:
        row = rows[-1] if rows else []
        level = np.mean([c[1] for _, c in row]) if row else 0.0
        height = min(word.height, float(np.median([w.height for w, _ in row]))) if row else 0.0
        if row and abs(centre[1] - level) < 0.55 * height:
            row.append((word, centre))
        else:
            rows.append([(word, centre)])
    return [
        Line(tuple(word for word, _ in sorted(row, key=lambda each: float(each[1][0]))))
        for row in rows
    ]


def half_turned(bgr: Bgr) -> Bgr:
    """The picture upside down."""
    return np.asarray(cv2.rotate(bgr, cv2.ROTATE_180), np.uint8)
