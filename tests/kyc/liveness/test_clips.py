"""Recorded people: their measures are right, and recordings do not pass random prompts."""

import random

import cv2
import numpy as np
import pytest

from kyc.check import Finding, Verdict
from kyc.image import Frame, jpeg
from kyc.instruments import Instruments
from kyc.liveness.challenge import PROMPTS, Challenge, Observation, draw
from kyc.liveness.landmarks import Pose
from tests.kyc.conftest import Clip, show

CLIPS = ("d9", "d13", "d18", "d20", "s18")
FPS = 10.0
Trace = list[Pose | None]


class Traces:
    """The measures of each clip, ten a second, made when first asked for."""

    def __init__(self, instruments: Instruments, clip: Clip) -> None:
        self._instruments, self._clip = instruments, clip
        self._made: dict[str, Trace] = {}

    def __getitem__(self, name: str) -> Trace:
        if name not in self._made:
            self._made[name] = [self._measure(frame) for frame in self._clip(name, FPS)]
        return self._made[name]

    def _measure(self, frame: Frame) -> Pose | None:
        faces = self._instruments.faces.find(frame.bgr)
        return self._instruments.landmarks.measure(frame.bgr, faces[0]) if faces else None


@pytest.fixture(scope="module")
def traces(instruments: Instruments, clip: Clip) -> Traces:
    return Traces(instruments, clip)


def play(trace: Trace, prompts: list[str], start: int, seconds: float = 60.0) -> Challenge:
    """A challenge put to a clip in a loop, from some place in it."""
    challenge = Challenge(prompts)
    for number in range(int(seconds * FPS)):
        pose = trace[(start + number) % len(trace)]
        seen = Observation(int(number / FPS * 1e6), 1 if pose else 0, pose)
        if challenge.see(seen).ended:
            break
    return challenge


def test_eyes_close_and_open(traces: Traces) -> None:
    eyes = [pose.eyes for pose in traces["d9"] if pose]
    assert min(eyes) < 0.08
    assert 0.19 < float(np.median(eyes)) < 0.3


def test_a_mouth_opens_wide(traces: Traces) -> None:
    mouths = [pose.mouth for pose in traces["d18"] if pose]
    assert max(mouths) > 0.4
    assert min(mouths) < 0.05


def test_looking_to_the_left_of_the_picture_is_the_persons_right(
    instruments: Instruments, clip: Clip
) -> None:
    frame = next(clip("s18", 1))  # she turns towards her own left, the picture's right
    for mirrored, sign in ((False, 1), (True, -1)):
        bgr = np.ascontiguousarray(frame.bgr[:, ::-1]) if mirrored else frame.bgr
        pose = instruments.landmarks.measure(bgr, instruments.faces.find(bgr)[0])
        assert pose is not None and sign * pose.yaw > 0.15


@pytest.mark.parametrize(("name", "prompt"), [("d9", "blink"), ("d18", "mouth")])
def test_the_prompt_of_what_somebody_does_anyway_is_met(
    traces: Traces, name: str, prompt: str
) -> None:
    met = [play(traces[name], [prompt], start).done for start in range(0, len(traces[name]), 5)]
    assert sum(met) / len(met) > 0.3


@pytest.mark.parametrize("name", CLIPS)
def test_no_recording_passes_a_random_challenge(traces: Traces, name: str) -> None:
    chance = random.Random(7)
    for _ in range(300):
        prompts = draw(chance.choice([3, 4]), chance)
        challenge = play(traces[name], prompts, chance.randrange(len(traces[name])))
        assert challenge.done < len(prompts), prompts


@pytest.mark.parametrize("name", CLIPS)
def test_no_recording_turns_its_head_when_asked(traces: Traces, name: str) -> None:
    for prompt in ("left", "right"):
        for start in range(0, len(traces[name]), 7):
            assert play(traces[name], [prompt], start).done == 0


def test_a_photograph_turned_before_the_camera_makes_no_turn(
    instruments: Instruments, clip: Clip
) -> None:
    """The flat picture is turned by up to 50 degrees either way, which a head could follow."""
    photo = next(clip("d18", 1)).bgr
    yaws = []
    for angle in np.linspace(-0.87, 0.87, 15):
        bgr = turned(photo, float(angle))
        faces = instruments.faces.find(bgr)
        pose = instruments.landmarks.measure(bgr, faces[0]) if faces else None
        if pose:
            yaws.append(pose.yaw)
    assert len(yaws) > 8
    assert max(yaws) - min(yaws) < 0.42


def turned(bgr: np.ndarray, angle: float) -> np.ndarray:
    """A flat picture turned about its upright axis, as a camera sees it."""
    height, width = bgr.shape[:2]
    focal = 1.4 * width
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    plane = cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0] @ np.array(
        [[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 0]], float
    )
    plane[2, 2] += focal
    view = camera @ plane
    return cv2.warpPerspective(
        bgr, view / view[2, 2], (width, height), borderMode=cv2.BORDER_REPLICATE
    )


# -- the check ------------------------------------------------------------------------------


def test_the_check_meets_a_blink_and_keeps_its_picture(
    instruments: Instruments, clip: Clip
) -> None:
    check = instruments.open("liveness", {"prompts": ["blink"]})
    finding, hints = show(check, clip("d9", FPS))
    assert (finding.verdict, finding.reason) == (Verdict.PASSED, "all_prompts_followed")
    (prompt,) = finding.values["prompts"]
    assert prompt["prompt"] == "blink" and prompt["followed"]
    assert prompt["seen_us"] > prompt["asked_us"]
    assert [picture.name for picture in finding.pictures] == ["face", "1_blink"]
    assert "blink" in hints
    assert len(finding.models) == 4
    assert [other.check for other in finding.also] == ["passive"]


def test_the_check_fails_on_what_was_not_done(instruments: Instruments, clip: Clip) -> None:
    check = instruments.open("liveness", {"prompts": ["left", "nod", "mouth"], "prompt_s": 4.0})
    finding, _ = show(check, clip("d13", FPS))
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "prompt_missed")
    assert finding.values["prompts"][0]["followed"] is False


def test_a_face_swapped_on_the_way_is_noticed(instruments: Instruments, clip: Clip) -> None:
    first, second = list(clip("d18", FPS))[:20], list(clip("d9", FPS))[:20]
    frames = [Frame(frame.bgr, number * 100_000) for number, frame in enumerate([*first, *second])]
    check = instruments.open("liveness", {"prompts": ["left", "nod", "mouth"]})
    finding, _ = show(check, frames)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "face_changed")


def test_the_face_must_be_the_portraits(instruments: Instruments, clip: Clip) -> None:
    other = jpeg(next(clip("d13", 1)).bgr)
    check = instruments.open("liveness", {"prompts": ["blink"] * 3, "reference": other})
    finding, _ = show(check, clip("d9", FPS))
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "different_person")
    own = jpeg(next(clip("d9", 1)).bgr)
    check = instruments.open("liveness", {"prompts": ["blink"], "reference": own})
    finding, _ = show(check, list(clip("d9", FPS)))
    assert finding.reason in ("all_prompts_followed", "low_quality")


def test_no_face_and_time_up(instruments: Instruments) -> None:
    plain = np.full((480, 640, 3), 120, np.uint8)
    check = instruments.open("liveness", {"prompts": ["left"]})
    answer = check.see(Frame(plain, 0))
    assert not isinstance(answer, Finding) and answer.hint == "no_face"
    finding = check.expire(1)
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "timeout")
    assert finding.values["asked_for"] == ["left"]


def test_a_portrait_without_a_face_is_not_checked(instruments: Instruments, clip: Clip) -> None:
    blank = jpeg(np.full((200, 200, 3), 90, np.uint8))
    check = instruments.open("liveness", {"prompts": list(PROMPTS[:2]), "reference": blank})
    finding, _ = show(check, clip("d13", FPS))
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "portrait_unusable")
