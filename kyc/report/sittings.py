"""Sittings for the report: clips against cards, faces that change on the way, covered faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kyc.clip import Clip
from kyc.face import align, principal
from kyc.face_match import describe, describe_frames, subject
from kyc.image import Bgr, Frame, decode
from kyc.instruments import Instruments
from kyc.occlusion import DARK_EYES, FLAT_MOUTH, eyes, mouth
from kyc.quality import quality
from kyc.report.section import Rate, Table

CLIPS = ("d9", "d13", "d18", "d20", "s18")
DEGRADED = 25  # pairs tried at each degradation
SWAPS = 60  # sittings of two people out of single pictures
COVERS = 80  # faces covered by drawing
SECOND = 1_000_000


def _shrunk(share: float) -> Callable[[Bgr], Bgr]:
    def worse(bgr: Bgr) -> Bgr:
        small = cv2.resize(bgr, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    return worse


def _blurred(pixels: float) -> Callable[[Bgr], Bgr]:
    return lambda bgr: np.asarray(cv2.GaussianBlur(bgr, (0, 0), pixels), np.uint8)


DEGRADATIONS: Mapping[str, Callable[[Bgr], Bgr]] = {
    "face about 45 px wide": _shrunk(0.5),
    "face about 27 px wide": _shrunk(0.3),
    "blurred by 2 px of 90": _blurred(2),
    "blurred by 4 px of 90": _blurred(4),
    "a quarter of the light": lambda bgr: np.asarray(bgr * 0.25, np.uint8),
}


class Sittings:
    """The clips and cards under ``data``."""

    def __init__(self, data: Path, instruments: Instruments) -> None:
        self._data, self._instruments = data, instruments
        paths = {name: data / "videos" / f"{name}.mp4" for name in CLIPS}
        self._clips = {name: list(Clip.open(path).frames(2)) for name, path in paths.items()}

    def _seconds(self, name: str) -> list[Frame]:
        """A picture a second."""
        return self._clips[name][::2]

    def portraits(self) -> Table:
        """Each card's portrait against each person's video."""
        faces, full = self._instruments.faces, self._instruments.full
        live = {name: describe_frames(faces, full, self._clips[name]) for name in CLIPS}
        rows = []
        for kind, title in (("clean", "clean scan"), ("frame", "webcam frame")):
            own: list[float] = []
            other: list[float] = []
            for name in CLIPS:
                path = self._data / "id_cards" / f"{name}_front_{kind}.jpg"
                portrait = describe(faces, full, decode(path.read_bytes()))
                for mate in CLIPS:
                    seen = live[mate]
                    if portrait is not None and seen is not None:
                        (own if mate == name else other).append(float(portrait @ seen))
            passed = Rate(sum(score >= full.threshold for score in own), len(CLIPS))
            wrong = Rate(sum(score >= full.threshold for score in other), len(other))
            rows.append([title, str(passed), f"{min(own):.3f}", str(wrong), f"{max(other):.3f}"])
        heads = ["card's portrait against video", "own: matched", "lowest"]
        return Table([*heads, "another's: matched", "highest"], rows)

    def continuity(self, people: Mapping[str, Sequence[str]]) -> Table:
        """Sittings at one picture a second: the face changes, or it does not."""
        rows = []
        alarms = pictures = 0
        for name in CLIPS:
            for frame in self._calm(name):
                pictures += 1
                alarms += frame == "other_face"
        rows.append(["one person, clips", "false alarms", str(Rate(alarms, pictures)), "", ""])
        delays = [self._changed(a, b) for a in CLIPS for b in CLIPS if a != b]
        rows.append(["another's clip takes over", *_noticed(delays)])
        delays, alarms, pictures = self._strangers(people)
        rows.append(["another's single pictures take over", *_noticed(delays)])
        rows.append(
            ["other pictures of one person", "false alarms", str(Rate(alarms, pictures)), "", ""]
        )
        heads = ["continuity", "", "rate", "median delay", "longest"]
        return Table(heads, rows)

    def _calm(self, name: str) -> list[str]:
        frames = self._seconds(name)
        check = self._instruments.open("continuity", {})
        looks = [check.see(Frame(f.bgr, n * SECOND)) for n, f in enumerate(frames)]
        return [getattr(look, "hint", "") for look in looks]

    def _changed(self, first: str, second: str) -> float | None:
        """Seconds from the change to the alarm; None when none came in eight."""
        frames = [*self._seconds(first)[:4], *self._seconds(second)[:8]]
        return self._watch([frame.bgr for frame in frames], min(4, len(frames)), None)

    def _watch(self, pictures: Sequence[Bgr], change: int, reference: bytes | None) -> float | None:
        check = self._instruments.open("continuity", {"reference": reference})
        for number, bgr in enumerate(pictures):
            look = check.see(Frame(bgr, number * SECOND))
            if getattr(look, "hint", "") == "other_face" and number >= change:
                return float(number - change)
        return None

    def _strangers(
        self, people: Mapping[str, Sequence[str]]
    ) -> tuple[list[float | None], int, int]:
        """A sitting of each person's pictures, then of another's, the first one known."""
        names = list(people)
        delays: list[float | None] = []
        alarms = seen = 0
        for number, name in enumerate(names[:SWAPS]):
            other = names[(number + len(names) // 2) % len(names)]
            known = self._known(people[name][0])
            if known is None:
                continue
            own = [self._picture(each) for each in people[name][1:4]]
            check = self._instruments.open("continuity", {"reference": known})
            for at, bgr in enumerate(own):
                look = check.see(Frame(bgr, at * SECOND))
                seen += 1
                alarms += getattr(look, "hint", "") == "other_face"
            strange = [self._picture(each) for each in people[other][:3]]
            delays.append(self._watch([*strange, *strange], 0, known))
        return delays, alarms, seen

    def _known(self, name: str) -> bytes | None:
        faces, full = self._instruments.faces, self._instruments.full
        described = describe(faces, full, self._picture(name))
        return None if described is None else described.astype("<f4").tobytes()

    def _picture(self, name: str) -> Bgr:
        return decode((self._data / "faces" / name).read_bytes())

    def covered(self, paths: Sequence[Path]) -> Table:
        """Drawn glasses, masks and hands; and alarms where nothing is drawn."""
        chance = np.random.default_rng(0)
        some = [paths[i] for i in chance.permutation(len(paths))[:COVERS]]
        counts = dict.fromkeys(("nothing", *_COVERS), 0)
        for path in some:
            found = subject(self._instruments.faces, decode(path.read_bytes()))
            if found is None:
                continue
            aligned = align(found[0], found[1].points)
            counts["nothing"] += _hidden(aligned)
            for title, draw in _COVERS.items():
                counts[title] += _hidden(draw(aligned.copy(), chance))
        rows = [[title, str(Rate(count, len(some)))] for title, count in counts.items()]
        alarms = looks = 0
        for name in CLIPS:
            for frame in self._clips[name]:
                face, _ = principal(self._instruments.faces.find(frame.bgr))
                if face is not None:
                    looks += 1
                    alarms += quality(frame.bgr, face).hint in ("show_eyes", "show_mouth")
        rows.append(["nothing, frames of the clips", str(Rate(alarms, looks))])
        return Table(["before eyes or mouth", "noticed as covered"], rows)


def _noticed(delays: Sequence[float | None]) -> list[str]:
    known = [delay for delay in delays if delay is not None]
    middle = f"{np.median(known):.0f} s" if known else ""
    longest = f"{max(known):.0f} s" if known else ""
    return ["noticed", str(Rate(len(known), len(delays))), middle, longest]


def _hidden(aligned: Bgr) -> bool:
    return eyes(aligned) < DARK_EYES or mouth(aligned) < FLAT_MOUTH


def _glasses(face: Bgr, chance: Any) -> Bgr:
    """Dark lenses with a pale reflection in half of them."""
    shade = int(chance.uniform(10, 50))
    for x in (38, 74):
        middle = (x + int(chance.integers(-2, 3)), 53)
        cv2.ellipse(face, middle, (16, 11), 0, 0, 360, (shade,) * 3, -1)
    cv2.line(face, (50, 50), (62, 50), (shade,) * 3, 3)
    if chance.random() < 0.5:
        cv2.line(face, (28, 47), (36, 58), (shade + 60,) * 3, 2)
    return face


def _mask(face: Bgr, chance: Any) -> Bgr:
    """A shaded cloth with three folds, from the nose to the chin."""
    outline: Any = np.array([[18, 70], [56, 64], [94, 70], [88, 108], [56, 120], [24, 108]])
    inside: Any = np.zeros(face.shape[:2], np.uint8)
    cv2.fillPoly(inside, [outline], (255,))
    shade = float(chance.choice([30, 90, 150, 210, 235]))
    fall = np.linspace(-12, 12, 112)[None, :, None] + chance.normal(0, 3, face.shape)
    cloth = np.clip(shade + fall, 0, 255).astype(np.uint8)
    for y in (80, 90, 100):
        cv2.line(cloth, (18, y), (94, y), (int(shade * 0.9),) * 3, 1)
    face[inside > 0] = cloth[inside > 0]
    return face


def _hand(face: Bgr, chance: Any) -> Bgr:
    """Upright fingers as bright as the cheek over mouth and chin."""
    skin = np.median(face[66:78, 30:44].reshape(-1, 3), axis=0)
    tone = np.clip(skin * chance.uniform(0.8, 1.15), 0, 255)
    fingers = np.full_like(face, 0) + tone.astype(np.uint8)
    for x in range(20, 100, 18):
        ends = (x + int(chance.integers(-3, 3)), 60), (x + int(chance.integers(-6, 6)), 112)
        cv2.line(fingers, *ends, (tone * 0.6).tolist(), 2)
    face[76:112, 22:92] = cv2.GaussianBlur(fingers, (0, 0), 1.2)[76:112, 22:92]
    return face


_COVERS: Mapping[str, Callable[[Bgr, Any], Bgr]] = {
    "dark glasses, drawn": _glasses,
    "a mask, drawn": _mask,
    "a hand, drawn": _hand,
}
