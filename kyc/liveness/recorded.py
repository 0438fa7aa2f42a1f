"""Prompts put to a recording: which actions it shows, and whether they come in the order asked.

Pure: what each picture shows goes in, with its time. A recording has no patience and was not made
in answer to prompts, so what a call demands is relaxed here, and only here:

* The face at rest is the whole clip's own (its usual eyes, turn and tilt, its closed mouth), not
  one second of waiting before each prompt; an action must still begin after it was asked for.
* Other actions in between do not end it: the clip shows what it shows.
* A mouth need not be held open, but must open from closed lips and close again: talking is none.

A prompt counts as asked when the one before it was met (the first one at the start) and must be
met within the deadline. A clip that passes was never asked anything: this is no proof of life.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kyc.liveness.challenge import (
    ABSENT_S,
    BLINK_S,
    CLOSER_SAMPLES,
    GAP_S,
    GREW,
    NOD,
    PERSPECTIVE,
    TURN,
    TURN_PAST,
    Measures,
    Neutral,
    Observation,
    unusable,
)

LIPS_S = 0.35  # lips are closed for this long before a mouth opens, and after
OPENED = 0.21  # above closed lips: less than on a call, where the mouth has to be held open
LIPS = 0.5  # of the way to open, above which lips are not closed
MOUTH_MAX_S = 4.0  # open for longer is not an answer
NOD_S = 2.0  # chin down and up again within this time
FEWEST = 8  # pictures with a face, below which nothing is at rest
ACTION_SAMPLES = 2  # one picture may be a mistake


@dataclass(frozen=True)
class Action:
    """One thing a face did."""

    prompt: str
    begin_us: int
    seen_us: int
    "When it was done far enough to count."


@dataclass(frozen=True)
class Reading:
    """What a recording says to a list of prompts."""

    passed: bool
    reason: str
    "all_prompts_followed, prompt_missed, no_face, several_faces, face_changed or no_neutral."
    seen_us: tuple[int | None, ...]
    "For each prompt when it was met, from the start; None from the first one missed."


def follow(
    trace: Sequence[Observation], prompts: Sequence[str], deadline_s: float = 8.0
) -> Reading:
    """Match a clip's actions with the prompts, in order; ValueError for unusable prompts."""
    if trouble := unusable(prompts, deadline_s):
        raise ValueError(trouble)
    nothing: tuple[int | None, ...] = (None,) * len(prompts)
    seen = [each for each in trace if each.faces == 1 and each.pose is not None]
    if len(seen) < FEWEST:
        several = sum(each.faces > 1 for each in trace) > len(trace) / 2
        return Reading(False, "several_faces" if several else "no_face", nothing)
    limit = _disturbed(trace)
    found = actions(trace)
    start, met = trace[0].time_us, list(nothing)
    asked = start
    for place, prompt in enumerate(prompts):
        # The earliest end counts, not the earliest begin.
        answers = [
            each.seen_us
            for each in found
            if each.prompt == prompt
            and each.begin_us >= asked
            and each.seen_us - asked <= deadline_s * 1e6
        ]
        answer = min(answers, default=None)
        if answer is None or (limit and answer > limit[0]):
            missed = limit[1] if limit and limit[0] < asked + deadline_s * 1e6 else "prompt_missed"
            return Reading(False, missed, tuple(met))
        met[place], asked = answer - start, answer
    return Reading(True, "all_prompts_followed", tuple(met))


def _disturbed(trace: Sequence[Observation]) -> tuple[int, str] | None:
    """From when on the clip is no longer of one face, alone, and why."""
    others, since = 0, None
    for each in trace:
        others = others + 1 if each.same is False else 0 if each.same else others
        if others >= 2:
            return each.time_us, "face_changed"
        if each.faces == 1:
            since = None
            continue
        since = each.time_us if since is None else since
        if each.time_us - since > ABSENT_S * 1e6:
            return since, "several_faces" if each.faces > 1 else "no_face"
    return None


def actions(trace: Sequence[Observation]) -> list[Action]:
    """Everything the face does that a prompt could have asked for, by time."""
    found: list[Action] = []
    for piece in _pieces(trace):
        rest = _rest([pose for _, pose, _ in piece])
        found += _blinks(piece, rest)
        found += _mouths(piece, rest)
        found += _turns(piece, rest)
        found += _nods(piece, rest)
        found += _approaches(piece, rest)
    return sorted(found, key=lambda each: (each.seen_us, each.prompt))


Look = tuple[int, Measures, float | None]


def _pieces(trace: Sequence[Observation]) -> Iterator[list[Look]]:
    """Looks at one face without a gap."""
    piece: list[Look] = []
    for each in trace:
        if piece and each.time_us - piece[-1][0] > GAP_S * 1e6:
            if len(piece) >= FEWEST:
                yield piece
            piece = []
        if each.faces == 1 and each.pose is not None:
            piece.append((each.time_us, each.pose, each.approach))
    if len(piece) >= FEWEST:
        yield piece


def _rest(poses: Sequence[Measures]) -> Neutral:
    """The clip's own face at rest: usual eyes, turn and tilt; closed lips; as far as at first."""
    mouths = sorted(pose.mouth for pose in poses)
    eyes = sorted(pose.eyes for pose in poses)
    return Neutral(
        eyes=eyes[int(0.7 * (len(eyes) - 1))],
        mouth=mouths[int(0.05 * (len(mouths) - 1))],
        yaw=statistics.median(pose.yaw for pose in poses),
        pitch=statistics.median(pose.pitch for pose in poses),
        size=statistics.median(pose.size for pose in poses[:FEWEST]),
    )


def _spells(piece: Sequence[Look], acts: Callable[[Measures], bool]) -> Iterator[tuple[int, int]]:
    """First and last index of each spell in which ``acts``; a single picture is none."""
    begin = None
    for index, (_, pose, _) in enumerate(piece):
        if acts(pose):
            begin = index if begin is None else begin
            continue
        if begin is not None and index - begin >= ACTION_SAMPLES:
            yield begin, index - 1
        begin = None
    if begin is not None and len(piece) - begin >= ACTION_SAMPLES:
        yield begin, len(piece) - 1


def _blinks(piece: Sequence[Look], rest: Neutral) -> Iterator[Action]:
    """Eyes closed, and open again soon."""
    for begin, end in _spells(piece, rest.closed):
        if begin == 0 or end + 1 == len(piece):
            continue
        opened = piece[end + 1][0]
        if opened - piece[begin][0] <= BLINK_S * 1e6:
            yield Action("blink", piece[begin - 1][0], opened)


def _mouths(piece: Sequence[Look], rest: Neutral) -> Iterator[Action]:
    """From closed lips, wide, and closed again."""
    apart = LIPS * OPENED
    for begin, end in _spells(piece, lambda pose: pose.mouth - rest.mouth > apart):
        if begin == 0 or piece[end][0] - piece[begin][0] > MOUTH_MAX_S * 1e6:
            continue
        if not (_closed_before(piece, begin, rest) and _closed_after(piece, end, rest)):
            continue
        wide = [
            time for time, pose, _ in piece[begin : end + 1] if pose.mouth - rest.mouth > OPENED
        ]
        if len(wide) >= ACTION_SAMPLES:
            yield Action("mouth", piece[begin][0], wide[ACTION_SAMPLES - 1])


def _closed_before(piece: Sequence[Look], begin: int, rest: Neutral) -> bool:
    since = piece[begin][0] - LIPS_S * 1e6
    if piece[0][0] > since:
        return False
    return all(
        pose.mouth - rest.mouth <= LIPS * OPENED for time, pose, _ in piece[:begin] if time >= since
    )


def _closed_after(piece: Sequence[Look], end: int, rest: Neutral) -> bool:
    until = piece[end][0] + LIPS_S * 1e6
    if piece[-1][0] < until:
        return False
    return all(
        pose.mouth - rest.mouth <= LIPS * OPENED
        for time, pose, _ in piece[end + 1 :]
        if time <= until
    )


def _turns(piece: Sequence[Look], rest: Neutral) -> Iterator[Action]:
    for prompt, sign in (("left", 1), ("right", -1)):

        def turned(pose: Measures, sign: int = sign) -> bool:
            return sign * (pose.yaw - rest.yaw) > TURN and sign * pose.yaw > TURN_PAST

        for begin, _ in _spells(piece, turned):
            start = _began(piece, begin, lambda pose: abs(pose.yaw - rest.yaw) < TURN / 2)
            if start is not None:
                yield Action(prompt, piece[start][0], piece[begin + ACTION_SAMPLES - 1][0])


def _nods(piece: Sequence[Look], rest: Neutral) -> Iterator[Action]:
    """The chin goes down and comes back up, the head not turned meanwhile."""
    straight = 0.75 * NOD
    for begin, end in _spells(piece, lambda pose: pose.pitch - rest.pitch > NOD):
        start = _began(piece, begin, lambda pose: pose.pitch - rest.pitch < straight)
        back = next(
            (i for i in range(end + 1, len(piece)) if piece[i][1].pitch - rest.pitch < straight),
            None,
        )
        if start is None or back is None or piece[back][0] - piece[start][0] > NOD_S * 1e6:
            continue
        if all(abs(pose.yaw - rest.yaw) < TURN for _, pose, _ in piece[start : back + 1]):
            yield Action("nod", piece[start][0], piece[back][0])


def _approaches(piece: Sequence[Look], rest: Neutral) -> Iterator[Action]:
    for begin, end in _spells(piece, lambda pose: pose.size > GREW * rest.size):
        start = _began(piece, begin, lambda pose: pose.size < (1 + GREW) / 2 * rest.size)
        round_at = [
            time
            for time, _, approach in piece[begin : end + 1]
            if approach is not None and approach > PERSPECTIVE
        ]
        if start is not None and len(round_at) >= max(CLOSER_SAMPLES, (end + 1 - begin) / 2):
            yield Action("closer", piece[start][0], round_at[CLOSER_SAMPLES - 1])


def _began(piece: Sequence[Look], before: int, rests: Callable[[Measures], bool]) -> int | None:
    """The last index before an action at which the face was still at rest."""
    return next((i for i in range(before - 1, -1, -1) if rests(piece[i][1])), None)
