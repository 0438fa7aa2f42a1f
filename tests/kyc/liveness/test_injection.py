"""What a stream and a page's report give away; the report is a stranger's word."""

import random
import time
from typing import Any

import pytest

from kyc.check import BadInput, Verdict
from kyc.liveness.injection import ASK_S, FRAMES, Injection, Report, camera, cells, timing

WIDTH, HEIGHT = 64, 48


def report(label: Any = "HD Webcam (046d:0825)", **more: Any) -> dict[str, Any]:
    settings = {"width": 1280, "height": 720, "frameRate": 30}
    abilities = ["width", "height", "exposureMode"]
    return {"label": label, "settings": settings, "capabilities": abilities, "cameras": 1, **more}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        report(label=3),
        report(label="x" * 300),
        report(settings=[]),
        report(settings={"width": -1}),
        report(settings={"width": float("nan")}),
        report(settings={"width": True}),
        report(settings={"height": 10**30}),
        report(capabilities="torch"),
        report(capabilities=[1]),
        report(capabilities=["x"] * 100),
        report(probe=5),
        report(applied="yes"),
        report(cameras="1"),
    ],
)
def test_a_report_that_is_none_is_refused(body: object) -> None:
    with pytest.raises(BadInput):
        Report.of(body)


@pytest.mark.parametrize(
    ("label", "verdict", "reason"),
    [
        ("HD Webcam (046d:0825)", Verdict.PASSED, "ordinary"),
        ("OBS Virtual Camera", Verdict.FAILED, "virtual_camera"),
        ("fake_device_0", Verdict.FAILED, "virtual_camera"),
        ("NVIDIA Broadcast", Verdict.NOT_CHECKED, "camera_program"),
        ("", Verdict.NOT_CHECKED, "no_report"),
    ],
)
def test_a_cameras_name(label: str, verdict: Verdict, reason: str) -> None:
    sign = camera(Report.of(report(label)))
    assert (sign.verdict, sign.reason) == (verdict, reason)
    assert sign.hint


def test_a_camera_that_can_set_nothing_is_told_not_failed() -> None:
    assert camera(Report.of(report(capabilities=["width"]))).reason == "few_capabilities"


def stream(fps: float, unevenness: float, count: int = 150) -> list[int]:
    chance = random.Random(1)
    gap = 1e6 / fps
    return [int(number * gap + chance.gauss(0, unevenness * gap)) for number in range(count)]


def test_a_counter_is_no_camera() -> None:
    assert timing(stream(25, 0.02)).reason == "irregular"
    assert timing(stream(25, 0.0)).reason == "too_regular"
    thinned = [at for number, at in enumerate(stream(25, 0.02)) if number % 7]
    assert timing(thinned).reason == "irregular", "lost frames are no sign"
    doubled = sorted([*stream(12.5, 0.02), *(at + 2000 for at in stream(12.5, 0.02))])
    assert timing(doubled).reason == "doubled"
    assert timing(stream(25, 0.0, FRAMES - 1)).verdict is Verdict.NOT_CHECKED


def picture(seed: int, noise: int) -> bytes:
    """A picture of its own, coded a little differently each time."""
    chance, grain = random.Random(seed), random.Random(noise)
    rows = [bytes(chance.randrange(40, 200) for _ in range(WIDTH * 3))] * (HEIGHT // 4)
    whole = bytearray(b"".join(rows * 4))
    for _ in range(60):
        whole[grain.randrange(len(whole))] ^= 1
    return bytes(whole)


def looked(pictures: list[int]) -> Injection:
    injection = Injection()
    for number, seed in enumerate(pictures):
        injection.looked(WIDTH, HEIGHT, picture(seed, number), number * 100_000)
    return injection


def test_pictures_that_come_again_are_a_loop() -> None:
    sign = looked([*range(30)] * 2).signals()["repeats"]
    assert (sign.verdict, sign.reason, sign.hint) == (Verdict.FAILED, "looped", False)
    assert sign.values["period_s"] == pytest.approx(3.0, abs=0.2)
    assert looked([*range(60)]).signals()["repeats"].reason == "no_repeats"
    assert looked([7] * 60).signals()["repeats"].reason == "frozen"
    assert looked([*range(10)]).signals()["repeats"].verdict is Verdict.NOT_CHECKED


def test_some_pictures_alike_at_odd_times_are_no_loop() -> None:
    chance = random.Random(4)
    mixed = [chance.choice((number, chance.randrange(25))) for number in range(25, 85)]
    assert looked(mixed).signals()["repeats"].reason == "no_repeats"


def key_frame(width: int, height: int) -> bytes:
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"\x10\x00\x00\x9d\x01\x2a" + size + bytes(300)


def followed(rate: float, *, answer: bool | None = True) -> str:
    """A stream at 25 a second that changes to ``rate`` when asked."""
    injection, now, asked = Injection(random.Random(2)), 0.0, None
    injection.report(report())
    for number in range(3000):
        injection.arrived(int(now * 1e6), key_frame(1280, 720) + bytes([number % 251]), True, now)
        question = injection.ask(now)
        if question is not None:
            asked = now
            assert ASK_S[0] <= now <= ASK_S[1] + 1
            if answer is not None:
                injection.report(report(probe=question["probe"], applied=answer))
        if asked is not None and now > asked + 10:
            break
        now += 1 / (rate if asked is not None and 0.5 < now - asked < 6 else 25)
    return injection.signals()["reaction"].reason


def test_the_stream_follows_the_question_or_does_not() -> None:
    assert followed(12) == "followed"
    assert followed(25) == "not_followed"
    assert followed(12, answer=None) == "not_followed"
    assert followed(25, answer=False) == "not_supported"


def test_encoded_bytes_that_come_again_are_a_file() -> None:
    injection = Injection()
    for number in range(200):
        data = key_frame(640, 480) + bytes([number % 50])
        injection.arrived(number * 40_000, data, True, number / 25)
    finding = injection.finding(1)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, "looped")


@pytest.mark.parametrize(
    ("size", "reason"),
    [((1280, 720), "as_reported"), ((640, 360), "as_reported"), ((640, 480), "other_size"),
     ((1920, 1080), "other_size")],
)  # fmt: skip
def test_the_stream_is_what_the_page_says(size: tuple[int, int], reason: str) -> None:
    injection = Injection()
    injection.report(report())
    injection.arrived(0, key_frame(*size), True, 0.0)
    assert injection.signals()["codec"].reason == reason


def test_nothing_heard_is_not_checked() -> None:
    finding = Injection().finding(None)
    assert finding.verdict is Verdict.NOT_CHECKED
    assert {each["verdict"] for each in finding.values["signals"].values()} == {Verdict.NOT_CHECKED}


def test_looking_is_cheap_and_wrong_sizes_are_refused() -> None:
    whole = bytes(1280 * 720 * 3)
    began = time.process_time()
    for _ in range(5):
        cells(1280, 720, whole)
    assert (time.process_time() - began) / 5 < 0.01, "1 ms; ten on a busy machine"
    with pytest.raises(BadInput):
        cells(1280, 720, whole[:-1])
