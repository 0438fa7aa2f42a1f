"""What identity checks cost: an ID frame read here, by stock PaddleOCR and by stock RapidOCR.

One run, the same pictures for all three: drawn cards in 720p webcam frames, front and back. Fields
are found in the words of all three by the same parser. CPU seconds are those of all threads.
Prints one JSON line; ``--people N`` sets how many cards.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.face_frame import face_frame
from benchmarks.memory import models_directory
from kyc.document import card, resident
from kyc.document.checks import around, whole_card
from kyc.image import Bgr
from kyc.instruments import AtOnce, Instruments
from kyc.ocr import MODELS, Word, lines
from kyc.report import specimens
from kyc.report.cards import resolved

SEED = 7000
MIN_GAIN = 2.0  # how many times less CPU than stock is promised
MAX_FRAME_S = 0.7  # CPU seconds of one ID frame
Reading = Callable[[Bgr], card.Sight]


def pictures(people: int) -> list[tuple[Bgr, dict[str, str]]]:
    """Frames with the card at 35 to 55 % of the picture, and what is printed."""
    made = []
    for place in range(people):
        chance = np.random.default_rng([SEED, place])
        who = specimens.person(chance)
        front, back = specimens.front(who, chance), specimens.back(who, chance)
        made.append((specimens.held(front, chance).bgr, who.truth("front")))
        made.append((specimens.held(back, chance).bgr, who.truth("back")))
    return made


def ours(instruments: Instruments) -> Reading:
    """As the check does it on a call: a look for text, then one reading of the card."""
    desk = instruments.desk

    def read(bgr: Bgr) -> card.Sight:
        text = around(desk.finder.find(bgr))
        return card.look(desk.text, bgr, None if text is None else whole_card(text, 0))

    return read


def paddle(instruments: Instruments) -> Reading:
    """PaddleOCR's own pipeline, its defaults, the same two models, nothing from the network."""
    from paddleocr import PaddleOCR

    prepared = instruments.prepared
    detection, recognition = MODELS
    pipeline = PaddleOCR(
        text_detection_model_name=prepared.models[detection].paddle_name,
        text_detection_model_dir=str(prepared.paths[detection]),
        text_recognition_model_name=prepared.models[recognition].paddle_name,
        text_recognition_model_dir=str(prepared.paths[recognition]),
        use_doc_orientation_classify=False,
        use_doc_unwarping=False,
        use_textline_orientation=False,
        engine="onnxruntime",
        device="cpu",
    )

    def read(bgr: Bgr) -> card.Sight:
        (page,) = pipeline.predict(bgr)
        return _sight(
            bgr, zip(page["rec_texts"], page["rec_scores"], page["rec_polys"], strict=True)
        )

    return read


def rapid(_: Instruments) -> Reading:
    """RapidOCR with its defaults."""
    from rapidocr import RapidOCR

    pipeline = RapidOCR(params={"Global.log_level": "error"})

    def read(bgr: Bgr) -> card.Sight:
        page: Any = pipeline(bgr)
        if page.boxes is None:
            return _sight(bgr, ())
        return _sight(bgr, zip(page.txts, page.scores, page.boxes, strict=True))

    return read


def _sight(bgr: Bgr, found: Iterable[tuple[str, float, Any]]) -> card.Sight:
    words = [
        Word(text, float(score), np.asarray(box, np.float32).reshape(4, 2))
        for text, score, box in found
        if text.strip()
    ]
    return card.Sight(bgr, tuple(words), resident.read_lines(lines(words)), 0, 0.0)


ENGINES = {"ours": ours, "paddleocr": paddle, "rapidocr": rapid}


def measure(read: Reading, shown: Sequence[tuple[Bgr, dict[str, str]]]) -> dict[str, Any]:
    """CPU and wall seconds a picture, and the share of fields read exactly."""
    read(shown[0][0])
    right = fields = 0
    cpu, wall = time.process_time(), time.perf_counter()
    for bgr, truth in shown:
        found = resolved(read(bgr))
        fields += len(truth)
        right += sum(found.get(name) == text for name, text in truth.items())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "cpu_s": round(cpu / len(shown), 3),
        "wall_s": round(wall / len(shown), 3),
        "fields": fields,
        "right": right,
    }


# Further costs, each a function of the loaded models that gives names to figures.
FURTHER: list[Callable[[Instruments], dict[str, float]]] = [face_frame]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        models = options.models or models_directory(Path(scratch))
        instruments = Instruments.load(models, threads=1, reading=AtOnce())
        shown = pictures(options.people)
        row: dict[str, Any] = {"benchmark": "kyc", "pictures": len(shown)}
        for name, engine in ENGINES.items():
            row[name] = measure(engine(instruments), shown)
        for further in FURTHER:
            row |= further(instruments)
    own = row["ours"]
    others = [row[name] for name in ENGINES if name != "ours"]
    row["times_less_cpu"] = round(min(each["cpu_s"] for each in others) / own["cpu_s"], 2)
    row["met"] = (
        row["times_less_cpu"] >= MIN_GAIN
        and own["cpu_s"] <= MAX_FRAME_S
        and all(own["right"] >= each["right"] for each in others)
    )
    print(json.dumps(row))
    return 0 if row["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
