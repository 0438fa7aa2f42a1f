"""Error rates of the face comparison over labelled pictures.

Two samples: the listed pairs, and every pair of pictures of different people among them, which is
the larger sample that a low false match rate needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kyc.check import BadInput
from kyc.face import Embedding
from kyc.face_match import describe
from kyc.image import decode

if TYPE_CHECKING:
    from kyc.instruments import Instruments

RESAMPLES = 200
FARS = (1e-2, 1e-3, 1e-4)


def describe_all(instruments: Instruments, paths: Sequence[Path]) -> dict[str, Embedding | None]:
    """Each picture's face described fully, by the picture's name; None where none was found."""
    described = {}
    for path in paths:
        try:
            still = decode(path.read_bytes())
        except BadInput as error:
            raise BadInput(error.code, f"{path}: {error.diagnostics()}") from error
        described[path.name] = describe(instruments.faces, instruments.full, still)
    return described


def rates(
    pairs: Sequence[tuple[bool, Embedding | None, Embedding | None]],
    described: Mapping[str, Embedding],
    threshold: float,
) -> dict[str, Any]:
    """Accuracy, TAR at several FAR, equal error rate, and FMR/FNMR at the threshold in use.

    ``described`` names pictures ``PERSON_NUMBER.jpg``, as Labeled Faces in the Wild does.
    """
    same = np.array([each[0] for each in pairs])
    scores = np.array([-1.0 if a is None or b is None else float(a @ b) for _, a, b in pairs])
    levels = np.unique(scores)
    accuracy = max(float(((scores >= level) == same).mean()) for level in levels)
    missed = np.array([(scores[same] < level).mean() for level in levels])
    taken = np.array([(scores[~same] >= level).mean() for level in levels])
    equal = int(np.argmin(np.abs(missed - taken)))
    others, people = _impostors(described)
    low, high = _interval(others, people, threshold)
    return {
        "n": len(pairs),
        "accuracy": round(accuracy, 4),
        "tar_at_far": {
            str(far): round(float((scores[same] >= _level(others, far)).mean()), 4) for far in FARS
        },
        "eer": round(float((missed[equal] + taken[equal]) / 2), 4),
        "threshold": threshold,
        "impostor_pairs": int((~np.isnan(others)).sum() // 2),
        "fmr": float(f"{_fmr(others, threshold):.3g}"),
        "fmr_95": [float(f"{low:.3g}"), float(f"{high:.3g}")],
        "fnmr": round(float((scores[same] < threshold).mean()), 4),
    }


def _impostors(described: Mapping[str, Embedding]) -> tuple[Any, Any]:
    """Scores of all pictures against all, NaN where the person is the same; and who is on each."""
    names = list(described)
    people = np.unique([name.rsplit("_", 1)[0] for name in names], return_inverse=True)[1]
    matrix = np.stack([described[name] for name in names])
    scores = (matrix @ matrix.T).astype(np.float32)
    scores[people[:, None] == people[None, :]] = np.nan
    return scores, people


def _level(others: Any, far: float) -> float:
    return float(np.nanquantile(others, 1 - far))


def _fmr(others: Any, threshold: float) -> float:
    return float((others >= threshold).sum() / (~np.isnan(others)).sum())


def _interval(others: Any, people: Any, threshold: float) -> tuple[float, float]:
    """95 % interval of the FMR, people drawn with replacement (pairs are not independent)."""
    chance = np.random.default_rng(0)
    count = int(people.max()) + 1
    hits = np.zeros((count, count))
    tried = np.zeros((count, count))
    for row, person in enumerate(people):
        np.add.at(hits[person], people, others[row] >= threshold)
        np.add.at(tried[person], people, ~np.isnan(others[row]))
    drawn = []
    for _ in range(RESAMPLES):
        weight = np.bincount(chance.integers(0, count, count), minlength=count).astype(float)
        drawn.append(float(weight @ hits @ weight / (weight @ tried @ weight)))
    return float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))
