"""Prompts put to recordings: what a clip shows is found, in order, within the deadline."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyc import __main__ as command
from kyc import commands
from kyc.instruments import Instruments
from kyc.liveness.challenge import PROMPTS, Observation
from kyc.liveness.recorded import actions, follow
from tests.kyc.liveness.test_challenge import ACTIONS, LENGTHS, Face, shown

FPS = 25.0
PAUSE_S = 1.0


REST = Face()


def clip(done: list[str], rest: Face = REST, length: float = 1.0) -> list[Observation]:
    """A person doing one thing after another, resting a second before, between and after."""
    trace, now = [], 0.0
    for action in [*done, ""]:
        pause = now + PAUSE_S
        while now < pause:
            trace.append(shown(now, rest, rest))
            now += 1 / FPS
        begun = now
        while action and now < begun + LENGTHS[action] * length:
            far = min(1.0, 4 * (now - begun), 4 * (begun + LENGTHS[action] * length - now))
            far = 1.0 if action == "blink" else max(0.0, far)
            trace.append(shown(now, ACTIONS[action](rest, far), rest))
            now += 1 / FPS
    return trace


def has(shown: list[str], asked: list[str]) -> bool:
    """Whether what is asked comes in what is shown, in this order."""
    left = iter(shown)
    return all(prompt in left for prompt in asked)


prompts = st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=4)


@given(done=prompts, asked=prompts, eyes=st.floats(0.17, 0.3), yaw=st.floats(-0.1, 0.1))
@settings(deadline=None, max_examples=25)
def test_a_clip_follows_exactly_what_it_shows(
    done: list[str], asked: list[str], eyes: float, yaw: float
) -> None:
    reading = follow(clip(done, Face(eyes=eyes, yaw=yaw)), asked, 60.0)
    assert reading.passed == has(done, asked)
    met = [at for at in reading.seen_us if at is not None]
    assert met == sorted(met) and len(met) == len([*reading.seen_us]) - reading.seen_us.count(None)


def test_the_deadline_counts_from_the_prompt_before() -> None:
    trace = clip(["blink", "mouth", "blink", "left"])
    assert follow(trace, ["blink", "left"], 10.0).passed
    assert follow(trace, ["blink", "left"], 3.0).reason == "prompt_missed"
    assert follow(trace, ["blink", "mouth", "blink", "left"], 3.0).passed


def test_a_picture_that_grows_is_not_somebody_coming_closer() -> None:
    flat = [Observation(each.time_us, 1, each.pose, approach=0.0) for each in clip(["closer"])]
    assert follow(clip(["closer"]), ["closer"]).passed
    assert follow(flat, ["closer"]).reason == "prompt_missed"


def test_lips_that_never_close_are_talking() -> None:
    """Open and half closed by turns, as in speech."""
    trace = [shown(n / FPS, Face(mouth=0.3 if n % 10 < 5 else 0.17)) for n in range(25, 200)]
    lips = [shown(n / FPS, Face()) for n in range(25)]
    assert [each.prompt for each in actions([*lips, *trace])] == []


def changed(how: Callable[[Observation], Observation]) -> list[Observation]:
    """A blink, and a mouth opened after the second second, when something else has changed."""
    return [each if each.time_us < 2e6 else how(each) for each in clip(["blink", "mouth"])]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda each: Observation(each.time_us, 0), "prompt_missed"),
        (lambda each: Observation(each.time_us, 1, each.pose, same=False), "face_changed"),
    ],
)
def test_the_same_face_has_to_stay(how: Callable[[Observation], Observation], reason: str) -> None:
    reading = follow(changed(how), ["blink", "mouth"])
    assert (reading.passed, reading.reason) == (False, reason)
    assert reading.seen_us[0] is not None and reading.seen_us[1] is None


def test_without_a_face_nothing_is_said() -> None:
    assert follow([Observation(n * 40_000, 0) for n in range(50)], ["blink"]).reason == "no_face"
    several = [Observation(n * 40_000, 2) for n in range(50)]
    assert follow(several, ["blink"]).reason == "several_faces"
    assert follow([], ["blink"]).reason == "no_face"
    for bad in ([], ["smile"]):
        with pytest.raises(ValueError):
            follow([], bad)
    with pytest.raises(ValueError):
        follow([], ["blink"], float("nan"))


def test_no_trace_breaks_it() -> None:
    chance = random.Random(3)
    for _ in range(100):
        trace, now = [], 0
        for _ in range(chance.randrange(60)):
            now += chance.choice([1, 40_000, 1_500_000])
            pose = Face(*(chance.uniform(-1, 1) for _ in range(5)))
            faces = chance.randrange(3)
            trace.append(Observation(now, faces, pose if faces else None))
        follow(trace, chance.choices(PROMPTS, k=3), 5.0)


# -- the command ----------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, instruments: Instruments) -> None:
    monkeypatch.setattr(commands, "load", lambda _: instruments)


def test_the_command_says_when_each_prompt_was_met(
    loaded: None, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(test_data / "videos" / "d18.mp4")
    arguments = ["liveness", video, "--prompts", "mouth,blink,left", "--json"]
    assert command.main(arguments) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "failed"
    mouth, blink, left = (each["seen_at"] for each in report["prompts"])
    assert 2.0 < mouth < 2.4 and 3.1 < blink < 3.5 and left is None


@pytest.mark.parametrize(
    ("prompts", "deadline", "code"),
    [("smile", "8", "prompts"), ("", "8", "prompts"), ("blink", "nan", "prompts"),
     (",".join(["blink"] * 13), "8", "prompts"), ("blink", "8", "not_a_video")],
)  # fmt: skip
def test_bad_input_is_one_line(
    prompts: str, deadline: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "renamed.mp4"
    text.write_text("not a video\n" * 9, "utf-8")
    arguments = ["liveness", str(text), "--prompts", prompts, "--deadline", deadline, "--json"]
    assert command.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.endswith(f"({code})\n") and said.err.count("\n") == 1
