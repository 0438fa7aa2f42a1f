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
    others = Impostors(described)
    low, high = others.interval(threshold)
    return {
        "n": len(pairs),
        "accuracy": round(accuracy, 4),
        "tar_at_far": {
            str(far): round(float((scores[same] >= others.level(far)).mean()), 4) for far in FARS
        },
        "eer": round(float((missed[equal] + taken[equal]) / 2), 4),
        "threshold": threshold,
        "impostor_pairs": others.count,
        "fmr": float(f"{others.rate(threshold):.3g}"),
        "fmr_95": [float(f"{low:.3g}"), float(f"{high:.3g}")],
        "fnmr": round(float((scores[same] < threshold).mean()), 4),
    }


class Impostors:
    """All pictures against all others of different people: what a low false match rate needs."""

    def __init__(self, described: Mapping[str, Embedding]) -> None:
        names = list(described)
        who = [name.rsplit("_", 1)[0] for name in names]
        self._people = np.unique(who, return_inverse=True)[1]
        matrix = np.stack([described[name] for name in names])
        self._scores = (matrix @ matrix.T).astype(np.float32)
        self._other = self._people[:, None] != self._people[None, :]
        self._sorted = np.sort(self._scores[np.triu(self._other)])

    @property
    def count(self) -> int:
        """How many pairs."""
        return len(self._sorted)

    def level(self, far: float) -> float:
        """The score that a share ``far`` of them reaches."""
        return float(np.quantile(self._sorted, 1 - far))

    def rate(self, threshold: float) -> float:
        """FMR, 0..1."""
        return float((self._sorted >= threshold).mean())

    def interval(self, threshold: float) -> tuple[float, float]:
        """95 % interval of the FMR, people drawn with replacement (pairs are not independent)."""
        chance = np.random.default_rng(0)
        count = int(self._people.max()) + 1
        member = np.zeros((count, len(self._people)), np.float32)
        member[self._people, np.arange(len(self._people))] = 1
        hits = member @ ((self._scores >= threshold) & self._other).astype(np.float32) @ member.T
        tried = member @ self._other.astype(np.float32) @ member.T
        drawn = []
        for _ in range(RESAMPLES):
            weight = np.bincount(chance.integers(0, count, count), minlength=count)
            drawn.append(float(weight @ hits @ weight / (weight @ tried @ weight)))
        return float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))
