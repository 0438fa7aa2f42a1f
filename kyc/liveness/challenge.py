"""The liveness challenge: prompts nobody could know beforehand, followed in order by one person.

Pure and synchronous: observations with their time go in, steps come out, no clock is read.

1. The person's own neutral face is measured first; all that follows is relative to it.
2. A prompt is asked only while the face is neutral, so what is done must begin after the asking.
3. Another large action than the one asked for ends the challenge. A recording that shows every
   action over and over would else meet the prompts one day: of such loops 19 % passed four prompts
   when two mistakes were forgiven, 7 % when one was, 1 % when none is.
4. Each prompt has its deadline. The same face must stay in the picture, alone, throughout.

Coming closer is more than growing: a head's perspective gets stronger, a picture that is held
closer or zoomed keeps its proportions (``approach.py`` measures it) and misses the prompt.

A turn has to reach far: a photograph turned before the camera keeps the cheeks in proportion to
the nose and stays below (measured in ``README.md``). Blinking and opening the mouth are things
people do in any recording, so a draw of prompts always holds a turn (:func:`draw`).
"""

from __future__ import annotations

import random
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

PROMPTS = ("blink", "mouth", "left", "right", "nod", "closer")

STEADY_S = 1.0  # neutral is measured over this long
AGAIN_S = 0.4  # and has to be returned to for this long before the next prompt
STEADY_SAMPLES = 4
REACTION_S = 0.2  # nobody answers a prompt faster, seen through a network
GAP_S = 1.0  # no face or no picture for longer: what was begun does not count
ABSENT_S = 3.0  # no face, or several, for longer ends the challenge
UNSURE_S = 20.0  # neutral not found for longer ends it; people finish their sentence first
STRAY_S = 0.25  # another action than the one asked for counts when held; speaking is no action

TURN = 0.42  # change of yaw; about 20 degrees
TURN_PAST = 0.28  # and seen from the camera's own middle
NOD = 9.0  # degrees of pitch
MOUTH = 0.22  # opening over width, above neutral
MOUTH_S = 0.25  # held
OPEN = 0.2  # a mouth this far open is not at rest
CROOKED = 0.35  # nor is a head turned this far
CLOSED = 0.55  # of the open eye's own opening
BLINK_S = 2.5  # eyes closed for longer are not a blink
GREW = 1.4  # times as large as at rest: half a metre becomes 36 cm
PERSPECTIVE = 0.07  # by which nearness then grows at least; a picture's does not grow at all
CLOSER_SAMPLES = 4  # pictures that have to show it, and most of those seen near


class Draw(Protocol):
    """What :func:`draw` needs of a source of chance."""

    def choice(self, options: Sequence[str], /) -> str: ...

    def shuffle(self, options: list[str], /) -> None: ...


def draw(count: int = 4, source: Draw | None = None) -> list[str]:
    """Prompts nobody can foresee: at least one turn and one nod or second turn, none in a row,
    coming closer at most once.

    ``count`` is at least 3. The default source is the system's.
    """
    if count < 3:
        raise ValueError("a challenge has at least three prompts")
    chance = source or random.SystemRandom()
    prompts = [chance.choice(("left", "right")), chance.choice(("left", "right", "nod"))]
    prompts += [chance.choice(PROMPTS) for _ in range(count - 2)]
    for place in [i for i, prompt in enumerate(prompts) if prompt == "closer"][1:]:
        prompts[place] = chance.choice(PROMPTS[:-1])
    while True:
        chance.shuffle(prompts)
        if all(a != b for a, b in zip(prompts, prompts[1:], strict=False)):
            return prompts
        # The same prompt twice in a row asks for nothing new: exchange one of a crowded kind.
        crowded = max(PROMPTS, key=prompts.count)
        if 2 * prompts.count(crowded) > count + 1:
            prompts[prompts.index(crowded)] = next(p for p in PROMPTS if p not in prompts)


class Measures(Protocol):
    """A face's measures, as :class:`kyc.liveness.landmarks.Pose` explains them."""

    @property
    def eyes(self) -> float: ...
    @property
    def mouth(self) -> float: ...
    @property
    def yaw(self) -> float: ...
    @property
    def pitch(self) -> float: ...
    @property
    def size(self) -> float: ...


@dataclass(frozen=True)
class Observation:
    """What one picture shows."""

    time_us: int
    faces: int
    pose: Measures | None = None
    same: bool | None = None
    "Whether it is the face of the beginning; None when not compared on this picture."
    approach: float | None = None
    "How much stronger the perspective is than at rest; None when not measured on this picture."


@dataclass
class Asked:
    """One prompt's history, for the finding."""

    prompt: str
    asked_us: int
    seen_us: int | None = None


@dataclass(frozen=True)
class Step:
    """What to tell the person now, or how the challenge ended."""

    hint: str
    prompt: str | None = None
    deadline_s: float | None = None
    progress: float = 0.0
    ended: str | None = None
    """all_prompts_followed, prompt_missed, flat_approach, face_changed, no_face, several_faces or
    no_neutral."""


@dataclass(frozen=True)
class Neutral:
    """The person's own face at rest."""

    eyes: float
    mouth: float
    yaw: float
    pitch: float
    size: float

    @classmethod
    def of(cls, poses: Sequence[Measures]) -> Neutral:
        """Medians; for the eyes a high one, since people blink while they wait."""
        eyes = sorted(pose.eyes for pose in poses)
        return cls(
            eyes=eyes[int(0.7 * (len(eyes) - 1))],
            mouth=statistics.median(pose.mouth for pose in poses),
            yaw=statistics.median(pose.yaw for pose in poses),
            pitch=statistics.median(pose.pitch for pose in poses),
            size=statistics.median(pose.size for pose in poses),
        )

    def grown(self, pose: Measures) -> bool:
        """Whether the face is as near as it is asked to come, and looks ahead."""
        return pose.size > GREW * self.size and abs(pose.yaw - self.yaw) < TURN / 2

    def closed(self, pose: Measures) -> bool:
        return pose.eyes < CLOSED * self.eyes

    def rests(self, pose: Measures) -> bool:
        """Whether the face is at rest, a blink aside."""
        return (
            abs(pose.yaw - self.yaw) < TURN / 2
            and abs(pose.pitch - self.pitch) < 0.75 * NOD
            and pose.mouth - self.mouth < MOUTH / 2
        )

    def action(self, pose: Measures) -> str | None:
        """The large action a pose shows, if any; a blink is too small to be one."""
        turned = pose.yaw - self.yaw
        if turned > TURN and pose.yaw > TURN_PAST:
            return "left"
        if turned < -TURN and pose.yaw < -TURN_PAST:
            return "right"
        if abs(turned) > TURN:
            return None  # a turn back from a crooked start is neither
        if pose.pitch - self.pitch > NOD:
            return "nod"
        if pose.mouth - self.mouth > MOUTH:
            return "mouth"
        return "closer" if self.grown(pose) else None


def unusable(prompts: Sequence[str], prompt_s: float) -> str | None:
    """What is wrong with a list of prompts and the time for each; None when nothing is."""
    # No prompts would be followed by everybody.
    if not prompts or any(prompt not in PROMPTS for prompt in prompts):
        return "prompts must be some of " + ", ".join(PROMPTS)
    return None if 0 < prompt_s < float("inf") else "a prompt needs time"


@dataclass
class Challenge:
    """One run of the challenge."""

    prompts: Sequence[str]
    prompt_s: float = 8.0
    neutral: Neutral | None = None
    asked: list[Asked] = field(default_factory=list)
    strays: int = 0

    def __post_init__(self) -> None:
        if trouble := unusable(self.prompts, self.prompt_s):
            raise ValueError(trouble)
        self._recent: deque[tuple[int, Measures]] = deque(maxlen=256)
        self._last_us: int | None = None
        self._absent_since: int | None = None
        self._unsure_since: int | None = None
        self._armed = False
        self._began: int | None = None
        self._stray_began: int | None = None
        self._others = 0
        self._moved = False
        self._round = self._flat = 0

    @property
    def done(self) -> int:
        """Prompts followed so far."""
        return sum(asked.seen_us is not None for asked in self.asked)

    def see(self, seen: Observation) -> Step:
        """One more picture; times never run backwards."""
        now = seen.time_us
        if seen.same is False:
            self._others += 1
        elif seen.same:
            self._others = 0
        if self._others >= 2:
            return self._step("one_face_only", now, ended="face_changed")
        if self._last_us is not None and now - self._last_us > GAP_S * 1e6:
            self._disarm()
        if seen.faces != 1 or seen.pose is None:
            return self._without_face(seen)
        self._last_us, self._absent_since = now, None
        self._recent.append((now, seen.pose))
        if self._open_prompt() is None:
            return self._wait_for_neutral(now)
        return self._wait_for_action(now, seen.pose, seen.approach)

    def _without_face(self, seen: Observation) -> Step:
        now = seen.time_us
        self._absent_since = now if self._absent_since is None else self._absent_since
        several = seen.faces > 1
        if now - self._absent_since > ABSENT_S * 1e6:
            return self._step("no_face", now, ended="several_faces" if several else "no_face")
        if self._late(now):
            return self._step("no_face", now, ended="prompt_missed")
        return self._step("one_face_only" if several else "no_face", now)

    def _wait_for_neutral(self, now: int) -> Step:
        """Measure the face at rest, then ask the next prompt."""
        self._unsure_since = now if self._unsure_since is None else self._unsure_since
        window = self._window(now, AGAIN_S if self._before() else STEADY_S)
        trouble = self._trouble(window)
        if trouble:
            if now - self._unsure_since > UNSURE_S * 1e6:
                missed = "prompt_missed" if self.neutral else "no_neutral"
                return self._step(trouble, now, ended=missed)
            return self._step(trouble, now)
        # People settle a little differently after each action: measure rest anew each time.
        self.neutral, self._moved = Neutral.of(window), False
        self._round = self._flat = 0
        self._unsure_since = None
        self._disarm()
        self._armed = True
        self.asked.append(Asked(self.prompts[self.done], now))
        return self._step(self.asked[-1].prompt, now)

    def _trouble(self, window: Sequence[Measures]) -> str | None:
        """Why these poses are not a face at rest, as a hint."""
        before = self._before()
        if len(window) < (2 if before else STEADY_SAMPLES):
            return "hold_still"
        rest = Neutral.of(window)
        if abs(rest.yaw) > CROOKED or rest.mouth > OPEN:
            return "look_straight"
        if before and not self._near(rest, before):
            return "look_straight"
        calm = (
            _span(pose.yaw for pose in window) < 0.15
            and _span(pose.pitch for pose in window) < 7.0
            and _span(pose.mouth for pose in window) < 0.12
            and not rest.closed(window[-1])
        )
        return None if calm else "hold_still"

    def _before(self) -> Neutral | None:
        """The face at rest as far as it can be relied on: who came closer settles anew."""
        return None if self._moved else self.neutral

    @staticmethod
    def _near(rest: Neutral, before: Neutral) -> bool:
        return (
            abs(rest.yaw - before.yaw) < 0.25
            and abs(rest.pitch - before.pitch) < 8.0
            and rest.mouth - before.mouth < 0.1
            and rest.eyes > 0.75 * before.eyes
        )

    def _wait_for_action(self, now: int, pose: Measures, approach: float | None) -> Step:
        asked = self.asked[-1]
        if self._late(now):
            flat = self._flat >= CLOSER_SAMPLES
            return self._step(asked.prompt, now, "flat_approach" if flat else "prompt_missed")
        assert self.neutral is not None
        if not self._armed:
            # A gap or another action came between: rest once more, the deadline keeps running.
            if self.neutral.rests(pose) and not self.neutral.closed(pose):
                self._armed = True
            return self._step(asked.prompt if self._armed else "look_straight", now)
        if now - asked.asked_us < REACTION_S * 1e6:
            if not self.neutral.rests(pose):
                self._disarm()
            return self._step(asked.prompt, now)
        other = self.neutral.action(pose)
        if other and other != asked.prompt and not self._belongs(asked.prompt, other):
            return self._stray_action(now)
        self._stray_began = None
        met = (
            self._came_closer(pose, approach)
            if asked.prompt == "closer"
            else self._performed(asked.prompt, now, pose)
        )
        if not met:
            return self._step(asked.prompt, now)
        asked.seen_us = now
        self._moved = asked.prompt == "closer"
        self._disarm()
        if self.done == len(self.prompts):
            return self._step("done", now, ended="all_prompts_followed")
        return self._step("look_straight", now)

    def _belongs(self, prompt: str, other: str) -> bool:
        """Heads dip while they turn or come, and chins while mouths open: no stray actions."""
        return other == "nod" and prompt in ("left", "right", "mouth", "closer")

    def _came_closer(self, pose: Measures, approach: float | None) -> bool:
        assert self.neutral is not None
        if not self.neutral.grown(pose) or approach is None:
            return False
        if approach > PERSPECTIVE:
            self._round += 1
        else:
            self._flat += 1
        return self._round >= CLOSER_SAMPLES and self._round > 2 * self._flat

    def _stray_action(self, now: int) -> Step:
        self._began = None
        self._stray_began = now if self._stray_began is None else self._stray_began
        prompt = self.asked[-1].prompt
        if now - self._stray_began >= STRAY_S * 1e6:
            self.strays += 1
            return self._step(prompt, now, ended="prompt_missed")
        return self._step(prompt, now)

    def _performed(self, prompt: str, now: int, pose: Measures) -> bool:
        """Whether the prompt has now been followed to its end."""
        assert self.neutral is not None
        if prompt in ("left", "right"):
            return self.neutral.action(pose) == prompt
        acting = (
            self.neutral.closed(pose) if prompt == "blink" else self.neutral.action(pose) == prompt
        )
        if acting:
            self._began = now if self._began is None else self._began
            held = now - self._began
            if prompt == "blink" and held > BLINK_S * 1e6:
                self._disarm()
            return prompt == "mouth" and held >= MOUTH_S * 1e6
        began, self._began = self._began, None
        if began is None:
            return False
        # A blink ends with open eyes, a nod with the head back up; a mouth had to be held open.
        if prompt == "blink":
            return True
        if prompt == "nod":
            self._began = None if self.neutral.rests(pose) else began
            return self.neutral.rests(pose)
        return False

    def _open_prompt(self) -> Asked | None:
        return self.asked[-1] if self.asked and self.asked[-1].seen_us is None else None

    def _late(self, now: int) -> bool:
        asked = self._open_prompt()
        return asked is not None and now - asked.asked_us > self.prompt_s * 1e6

    def _disarm(self) -> None:
        self._armed = False
        self._began = self._stray_began = None
        self._recent.clear()

    def _window(self, now: int, seconds: float) -> list[Measures]:
        """The poses of the last seconds; none while they do not reach back that far."""
        while len(self._recent) > 1 and now - self._recent[1][0] >= seconds * 1e6:
            self._recent.popleft()
        if not self._recent or now - self._recent[0][0] < seconds * 1e6:
            return []
        return [pose for _, pose in self._recent]

    def _step(self, hint: str, now: int, ended: str | None = None) -> Step:
        asked = self._open_prompt()
        return Step(
            hint=hint,
            prompt=asked.prompt if asked else None,
            deadline_s=max(0.0, self.prompt_s - (now - asked.asked_us) / 1e6) if asked else None,
            progress=self.done / len(self.prompts),
            ended=ended,
        )


def _span(values: Iterable[float]) -> float:
    listed = list(values)
    return max(listed) - min(listed)
