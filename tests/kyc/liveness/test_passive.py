"""What the pictures of a face tell without asking for anything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kyc import commands
from kyc.__main__ import main
from kyc.check import Verdict
from kyc.face import Face
from kyc.image import Frame
from kyc.instruments import Instruments
from kyc.liveness import depth, pulse, screen
from kyc.liveness.passive import Passive
from kyc.liveness.tracks import Window, judge


def corners(seed: int = 1) -> Any:
    """Places in a face, in face widths."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (80, 2)).astype(np.float32)


def seen(first: Any, depths: Any, turn: float) -> Any:
    """Where points of such depths are after a turn about the upright axis, three widths away."""
    x = first[:, 0] * np.cos(turn) + depths * np.sin(turn)
    z = 3 + depths * np.cos(turn) - first[:, 0] * np.sin(turn)
    noise = np.random.default_rng(int(turn * 100)).normal(0, 0.0003, first.shape)
    return (np.stack([x, first[:, 1]], axis=1) * 3 / z[:, None] + noise).astype(np.float32)


def window(depths: Any, turn: float = 0.25) -> Window:
    """One second in which the surface is turned so far."""
    measured = judge(seen(corners(), depths, 0.0), seen(corners(), depths, turn))
    assert measured is not None
    return Window(0, 1_000_000, 80, *measured)


def relief(first: Any) -> Any:
    """What no sheet has: a nose stands out, cheeks fall away, brows, glasses and hair are rough."""
    x, y = first.T
    nose = 0.25 * np.exp(-((x / 0.15) ** 2) - (y / 0.25) ** 2)
    rough = np.random.default_rng(3).normal(0, 0.07, len(x))
    return 0.5 * x**2 - nose + rough


def test_a_plane_and_a_bent_sheet_leave_nothing_and_a_head_does() -> None:
    flat = window(np.zeros(80))
    bent = window(-0.3 * corners()[:, 0] ** 2)
    head = window(relief(corners()))
    assert depth.judge([flat] * 3).verdict is Verdict.FAILED
    assert depth.judge([bent] * 3).verdict is Verdict.FAILED
    assert depth.judge([head] * 3).verdict is Verdict.PASSED


def test_a_face_that_hardly_moves_is_not_checked_for_depth() -> None:
    still = window(relief(corners()), turn=0.0)
    signal = depth.judge([still] * 9)
    assert (signal.verdict, signal.reason) == (Verdict.NOT_CHECKED, "little_motion")
    assert depth.judge([]).verdict is Verdict.NOT_CHECKED


def test_without_a_face_nothing_is_checked() -> None:
    passive = Passive()
    for number in range(30):
        passive.see(Frame(np.full((240, 320, 3), number, np.uint8), number * 100_000), [])
    finding = passive.finding(3_000_000)
    assert (finding.verdict, finding.reason) == (Verdict.NOT_CHECKED, "no_face")
    assert set(finding.values["signals"]) >= {"depth", "motion"}


def test_the_command_says_what_each_signal_says(
    instruments: Instruments,
    test_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "load", lambda _: instruments)
    face = str(test_data / "faces" / "Al_Davis_0001.jpg")
    assert main(["passive", face, "--json"]) == 1, "a still moves nothing"
    report = json.loads(capsys.readouterr().out)
    assert set(report["signals"]) == {"depth", "motion", "screen", "colour", "pulse"}
    assert report["verdict"] == "not checked" and report["faces"] == 1
    assert report["signals"]["colour"]["reason"] == "unusual", "the picture is grey"
    main(["passive", face, face, "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["file"] for each in lines] == [face, face]
    main(["passive", face])
    assert "depth" in capsys.readouterr().out


def test_what_is_no_picture_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = tmp_path / "clip.mp4"
    junk.write_bytes(b"no clip")
    assert main(["passive", str(junk)]) == 2
    assert main(["passive", str(tmp_path / "none.mp4")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_noise_has_no_pulse_and_a_beat_has() -> None:
    chance = np.random.default_rng(6)
    times = np.arange(0, 12, 0.1)
    beat = np.sin(2 * np.pi * 1.2 * times)

    def skin(strength: float) -> list[pulse.Sample]:
        light = 1 + np.cumsum(chance.normal(0, 0.001, len(times)))
        tones = np.array([80.0, 110.0, 160.0]) * (
            1 + np.outer(beat, strength * np.array([0.6, 0.9, 0.4]))
        )
        seen = tones * light[:, None] + chance.normal(0, 0.15, tones.shape)
        return [
            (int(at * 1e6), (float(b), float(g), float(r)), 2.0)
            for at, (b, g, r) in zip(times, seen, strict=True)
        ]

    assert [pulse.judge(skin(0.0)).reason for _ in range(20)] == ["unclear"] * 20
    found = pulse.judge(skin(0.01))
    assert found.verdict is Verdict.PASSED and found.values["beats_a_minute"] == 72
    assert pulse.judge(skin(0.01)[:60]).reason == "too_short"


def test_a_screens_grid_and_a_frame_are_told() -> None:
    chance = np.random.default_rng(7)
    plain = chance.normal(128, 12, (360, 480, 3))
    down, across = np.mgrid[:360, :480]
    beating = plain + 25 * np.sin(2 * np.pi * (0.21 * across + 0.13 * down))[..., None]
    face = Face((180, 120, 120, 130), np.zeros((5, 2), np.float32), 1.0)

    def told(picture: Any) -> str:
        look = screen.look(np.clip(picture, 0, 255).astype(np.uint8), face)
        assert look is not None
        return screen.judge([look]).reason

    assert told(plain) == "no_pattern"
    assert told(beating) == "pattern"
    bright = np.full((360, 480, 3), 40.0)
    bright[40:330, 90:390] = 200
    assert told(bright + chance.normal(0, 3, bright.shape)) == "frame_around"
