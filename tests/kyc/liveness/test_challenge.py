"""The challenge: who follows the prompts passes, and nobody else.

People here are traces of measures made by rule, in the units of ``Pose``.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyc.liveness.challenge import PROMPTS, Challenge, Observation, Step, draw


@dataclass(frozen=True)
class Face:
    eyes: float = 0.22
    mouth: float = 0.04
    yaw: float = 0.0
    pitch: float = -3.0
    size: float = 0.25


REST = Face()
ACTIONS: dict[str, Callable[[Face, float], Face]] = {
    # 0..1 says how far the action has gone.
    "blink": lambda face, far: replace(face, eyes=face.eyes * (1 - 0.8 * far)),
    "mouth": lambda face, far: replace(face, mouth=face.mouth + 0.4 * far),
    "left": lambda face, far: replace(face, yaw=face.yaw + 0.65 * far),
    "right": lambda face, far: replace(face, yaw=face.yaw - 0.65 * far),
    "nod": lambda face, far: replace(face, pitch=face.pitch + 16 * far),
    "closer": lambda face, far: replace(face, size=face.size * (1 + 0.6 * far)),
}
LENGTHS = {"blink": 0.35, "mouth": 1.4, "left": 1.4, "right": 1.4, "nod": 1.0, "closer": 2.0}


@dataclass
class Person:
    """Does what is asked, after a while, and rests otherwise."""

    rest: Face = Face()
    reaction_s: float = 0.7
    noise: float = 1.0
    instead: str | None = None
    "Done in place of whatever is asked."

    def __post_init__(self) -> None:
        self._chance = random.Random(5)
        self._asked: str | None = None
        self._since = 0.0

    def at(self, now: float, step: Step | None) -> Face:
        prompt = step.prompt if step else None
        if prompt != self._asked:
            self._asked, self._since = prompt, now
        face = self.rest
        if prompt:
            action = self.instead or prompt
            into = now - self._since - self.reaction_s
            far = max(0.0, min(1.0, 4 * into, 4 * (LENGTHS[action] - into)))
            if action == "blink":
                far = float(0 < into < LENGTHS["blink"])
            face = ACTIONS[action](face, far)
        return self._shaken(face)

    def _shaken(self, face: Face) -> Face:
        jitter = self._chance.gauss
        return Face(
            face.eyes + jitter(0, 0.006) * self.noise,
            max(0.0, face.mouth + jitter(0, 0.01) * self.noise),
            face.yaw + jitter(0, 0.012) * self.noise,
            face.pitch + jitter(0, 0.6) * self.noise,
            face.size * (1 + jitter(0, 0.01) * self.noise),
        )


def run(
    challenge: Challenge,
    trace: Callable[[float, Step | None], Observation | None],
    fps: float = 10.0,
    seconds: float = 90.0,
) -> list[Step]:
    """Every step until the challenge ends; a trace may leave pictures out."""
    steps: list[Step] = []
    for number in range(int(seconds * fps)):
        now = number / fps
        seen = trace(now, steps[-1] if steps else None)
        if seen is None:
            continue
        steps.append(challenge.see(seen))
        if steps[-1].ended:
            break
    return steps


def watched(person: Person) -> Callable[[float, Step | None], Observation]:
    return lambda now, step: shown(now, person.at(now, step), person.rest)


def shown(now: float, face: Face, rest: Face = REST, flat: bool = False) -> Observation:
    """One picture of a head; of a picture of one, whose perspective never changes, if ``flat``."""
    nearer = face.size / rest.size - 1
    return Observation(int(now * 1e6), 1, face, approach=0.0 if flat else 0.28 * nearer)


def outcome(prompts: list[str], person: Person, fps: float = 10.0) -> str | None:
    return run(Challenge(prompts), watched(person), fps)[-1].ended


# -- those who follow ------------------------------------------------------------------------


@given(
    prompts=st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=5),
    fps=st.sampled_from([7.0, 8.0, 10.0, 12.0, 15.0, 25.0]),
    reaction_s=st.floats(0.35, 3.0),
    eyes=st.floats(0.16, 0.32),
    mouth=st.floats(0.0, 0.1),
    yaw=st.floats(-0.15, 0.15),
    pitch=st.floats(-12, 8),
)
@settings(deadline=None)
def test_whoever_follows_passes(
    prompts: list[str],
    fps: float,
    reaction_s: float,
    eyes: float,
    mouth: float,
    yaw: float,
    pitch: float,
) -> None:
    person = Person(Face(eyes, mouth, yaw, pitch), reaction_s)
    assert outcome(prompts, person, fps) == "all_prompts_followed"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_each_prompt_alone(prompt: str) -> None:
    challenge = Challenge([prompt])
    steps = run(challenge, watched(Person()))
    assert steps[-1].ended == "all_prompts_followed"
    assert challenge.asked[0].seen_us is not None
    assert challenge.asked[0].seen_us > challenge.asked[0].asked_us


def test_a_blink_while_waiting_does_no_harm() -> None:
    person = Person()

    def trace(now: float, step: Step | None) -> Observation:
        face = person.at(now, step)
        if now % 3.1 < 0.15:
            face = replace(face, eyes=0.05)
        return Observation(int(now * 1e6), 1, face)

    assert run(Challenge(["left", "mouth", "nod"]), trace)[-1].ended == "all_prompts_followed"


def test_progress_never_falls_and_deadlines_only_shrink_within_a_prompt() -> None:
    steps = run(Challenge(["left", "nod", "mouth"]), watched(Person()))
    progress = [step.progress for step in steps]
    assert progress == sorted(progress)
    for a, b in zip(steps, steps[1:], strict=False):
        if a.deadline_s is not None and b.deadline_s is not None and a.prompt == b.prompt:
            assert b.deadline_s <= a.deadline_s or b.progress > a.progress


# -- those who do not ------------------------------------------------------------------------


@given(
    prompts=st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=4),
    instead=st.sampled_from(PROMPTS),
)
@settings(deadline=None)
def test_whoever_does_one_thing_whatever_is_asked_fails(prompts: list[str], instead: str) -> None:
    expected = set(prompts) == {instead}
    passed = outcome(prompts, Person(instead=instead)) == "all_prompts_followed"
    assert passed == expected


def test_left_is_not_right() -> None:
    assert outcome(["left"], Person(instead="right")) == "prompt_missed"
    assert outcome(["right"], Person(instead="left")) == "prompt_missed"


def test_doing_nothing_fails_at_the_deadline() -> None:
    steps = run(Challenge(["left"], prompt_s=5), watched(Person(reaction_s=1e9)))
    assert steps[-1].ended == "prompt_missed"
    assert len(steps) < 75


def test_a_face_never_at_rest_is_not_asked_anything() -> None:
    for face in (Face(mouth=0.5), Face(yaw=0.6), Face(yaw=-0.6)):
        challenge = Challenge(["mouth", "left"])
        steady = Person(face, reaction_s=1e9)
        assert run(challenge, watched(steady))[-1].ended == "no_neutral"
        assert challenge.asked == []


def test_an_action_begun_before_the_asking_does_not_count() -> None:
    """A clip in which the head turns just before it is asked to and stays there."""

    def trace(now: float, step: Step | None) -> Observation:
        return Observation(int(now * 1e6), 1, Face(yaw=0.65 if now > 1.05 else 0.0))

    assert run(Challenge(["left"]), trace)[-1].ended == "prompt_missed"


def test_answers_faster_than_people_do_not_count() -> None:
    """One who knows the prompts and turns the instant each is asked, for a moment only."""

    def trace(now: float, step: Step | None) -> Observation:
        turned = step is not None and step.deadline_s is not None and step.deadline_s > 7.9
        return Observation(int(now * 1e6), 1, Face(yaw=0.65 if turned else 0.0))

    assert run(Challenge(["left"]), trace)[-1].ended == "prompt_missed"


def test_the_order_counts() -> None:
    order = {"left": "right", "right": "left"}

    def trace(now: float, step: Step | None) -> Observation:
        swapped = replace(step, prompt=order[step.prompt]) if step and step.prompt else step
        return Observation(int(now * 1e6), 1, person.at(now, swapped))

    person = Person()
    assert run(Challenge(["left", "right"]), trace)[-1].ended == "prompt_missed"


def loop(offset: float, order: list[str]) -> Callable[[float, Step | None], Observation]:
    """A recording that shows every action in turn, over and over."""

    def trace(now: float, step: Step | None) -> Observation:
        place, into = divmod(now + offset, 2.0)
        action = order[int(place) % len(order)]
        far = max(0.0, min(1.0, 4 * into, 4 * (LENGTHS[action] - into)))
        return shown(now, ACTIONS[action](Face(), far))

    return trace


def test_a_recording_of_every_action_rarely_meets_the_prompts() -> None:
    chance = random.Random(11)
    passed = 0
    for _ in range(300):
        order = list(PROMPTS)
        chance.shuffle(order)
        challenge = Challenge(draw(4, chance))
        steps = run(challenge, loop(chance.uniform(0, 10), order), seconds=60)
        passed += steps[-1].ended == "all_prompts_followed"
    assert passed <= 3  # 1 %


def test_a_picture_held_closer_does_not_come_closer() -> None:
    person = Person()

    def trace(now: float, step: Step | None) -> Observation:
        return shown(now, person.at(now, step), flat=True)

    assert run(Challenge(["closer"]), trace)[-1].ended == "flat_approach"


def test_who_came_closer_may_stay_there() -> None:
    person = Person()

    def trace(now: float, step: Step | None) -> Observation:
        if step and step.progress >= 0.5:
            person.rest = Face(size=0.4, pitch=6.0)
        return shown(now, person.at(now, step))

    assert run(Challenge(["closer", "left"]), trace)[-1].ended == "all_prompts_followed"


# -- the same face, alone, throughout --------------------------------------------------------


def test_another_face_ends_it() -> None:
    person = Person()

    def trace(now: float, step: Step | None) -> Observation:
        return Observation(int(now * 1e6), 1, person.at(now, step), same=now < 2)

    assert run(Challenge(["left", "right", "nod"]), trace)[-1].ended == "face_changed"


def test_one_doubtful_comparison_does_not_end_it() -> None:
    person = Person()

    def trace(now: float, step: Step | None) -> Observation:
        same = None if now % 0.5 > 0.01 else not 1.9 < now < 2.1
        return Observation(int(now * 1e6), 1, person.at(now, step), same)

    assert run(Challenge(["left", "right"]), trace)[-1].ended == "all_prompts_followed"


@pytest.mark.parametrize(("faces", "ended"), [(0, "no_face"), (2, "several_faces")])
def test_leaving_or_company_ends_it(faces: int, ended: str) -> None:
    person = Person(reaction_s=1e9)

    def trace(now: float, step: Step | None) -> Observation:
        there = now < 2
        return Observation(int(now * 1e6), 1 if there else faces, person.at(now, step))

    steps = run(Challenge(["left"], prompt_s=8), trace)
    assert steps[-1].ended == ended
    assert steps[-2].hint == ("no_face" if faces == 0 else "one_face_only")


def test_an_action_across_a_gap_does_not_count() -> None:
    """The picture freezes, and when it comes back the head is turned."""

    def trace(now: float, step: Step | None) -> Observation | None:
        if 1.5 < now < 3.0:
            return None
        return Observation(int(now * 1e6), 1, Face(yaw=0.65 if now >= 3.0 else 0.0))

    assert run(Challenge(["left"]), trace)[-1].ended == "prompt_missed"


# -- drawing and asking ----------------------------------------------------------------------


@given(st.integers(3, 6), st.integers())
def test_a_draw_always_holds_a_turn_and_repeats_nothing_at_once(count: int, seed: int) -> None:
    prompts = draw(count, random.Random(seed))
    assert len(prompts) == count
    assert set(prompts) <= set(PROMPTS)
    assert {"left", "right"} & set(prompts)
    assert all(a != b for a, b in zip(prompts, prompts[1:], strict=False))


def test_draws_differ() -> None:
    assert len({tuple(draw(4)) for _ in range(50)}) > 20


def test_a_challenge_of_nothing_cannot_be_made() -> None:
    for prompts in ([], ["smile"], ["left", ""]):
        with pytest.raises(ValueError):
            Challenge(prompts)
    with pytest.raises(ValueError):
        Challenge(["left"], prompt_s=0)
    with pytest.raises(ValueError):
        draw(2)


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 2.0),
            st.integers(0, 3),
            st.floats(0, 0.4),
            st.floats(0, 0.8),
            st.floats(-1, 1),
            st.floats(-40, 40),
            st.sampled_from([None, True, False]),
        ),
        max_size=80,
    )
)
@settings(deadline=None)
def test_no_sequence_of_pictures_breaks_it(
    pictures: list[tuple[float, int, float, float, float, float, bool | None]],
) -> None:
    challenge, now = Challenge(["left", "nod", "mouth"]), 0.0
    for after, faces, eyes, mouth, yaw, pitch, same in pictures:
        now += after
        pose = Face(eyes, mouth, yaw, pitch) if faces else None
        step = challenge.see(Observation(int(now * 1e6), faces, pose, same))
        assert 0 <= step.progress <= 1
        assert step.deadline_s is None or 0 <= step.deadline_s <= 8
        if step.ended:
            assert (step.ended == "all_prompts_followed") == (challenge.done == 3)
            break
