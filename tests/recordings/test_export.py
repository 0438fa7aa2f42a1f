"""The exported video: everybody there, in step, with a clock; and the process that makes it."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from recordings.__main__ import main as command
from recordings.container import PartReader, Type
from recordings.export import (
    FPS,
    Footage,
    Format,
    NothingRecorded,
    Rendered,
    _Clock,
    render,
    signed_wall_us,
)
from recordings.rendering import NotRendered, rendered
from recordings.stage import Box, Letters, fit, layout
from recordings.store import LocalSource

from .media import call
from .parts import DEK
from .takes import WALL, record, take

WIDTH, HEIGHT = 640, 180
BRIGHT = 130
ROOT = Path(__file__).resolve().parents[2]


def footage(path: Path, wall_us: int | None = None) -> Footage:
    source = LocalSource(path)
    return Footage(PartReader(source, DEK), source, wall_us)


def made(tmp_path: Path, *parts: Path, format: Format = "mp4", **options: int) -> Rendered:
    return render(
        [footage(part) for part in parts],
        tmp_path / "video",
        session="S-1",
        names={"customer": "客户 Customer"},
        format=format,
        width=WIDTH,
        height=HEIGHT,
        **options,  # type: ignore[arg-type]
    )


def frames(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds, luma) of each picture."""
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            assert frame.time is not None
            yield frame.time, frame.to_ndarray(format="yuv420p")[:HEIGHT]


def beeps(path: Path) -> list[float]:
    """Seconds at which sound sets in."""
    pieces, rate, begin = [], 48_000, 0.0
    with av.open(str(path)) as film:
        for number, frame in enumerate(film.decode(audio=0)):
            begin = float(frame.time or 0) if number == 0 else begin
            pieces.append(frame.to_ndarray()[0])
    heard = np.abs(np.concatenate(pieces)) > 0.05
    loud = np.flatnonzero(heard)
    onsets = loud[np.flatnonzero(np.diff(loud, prepend=-rate) > rate // 10)]
    return [begin + float(at) / rate for at in onsets]


def flashes(path: Path, side: int) -> list[float]:
    """Seconds at which the left (0) or right (1) half lights up."""
    found, was = [], False
    for at, luma in frames(path):
        middle = luma[HEIGHT // 2 - 8 : HEIGHT // 2 + 8, side * WIDTH // 2 + WIDTH // 4][:, None]
        bright = bool(middle.mean() > BRIGHT)
        if bright and not was:
            found.append(at)
        was = bright
    return found


@pytest.fixture(scope="module")
def duet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The customer from 0.5 s to 4.5 s, the teller from 1.73 s to 3.73 s of media time."""
    path = tmp_path_factory.mktemp("duet") / "001.vbr"
    record(
        path,
        {
            "customer": take(4.0, 1.0, 3.0, start_us=500_000),
            "teller": take(2.0, 0.6, start_us=1_730_000),
        },
    )
    return path


@pytest.mark.parametrize("format", ["mp4", "mkv"])
def test_both_sides_in_step(duet: Path, tmp_path: Path, format: Format) -> None:
    rendered = made(tmp_path, duet, format=format)
    film = tmp_path / rendered.file
    assert (rendered.start_us, rendered.duration_us) == (480_000, 4_040_000)
    zero = rendered.start_us / 1e6
    left, right = flashes(film, 0), flashes(film, 1)
    heard = beeps(film)
    assert len(left) == 2 and len(right) == 1 and len(heard) == 3
    seen = sorted([*left, *right])
    for is_seen, is_heard, was in zip(seen, heard, (1.5, 2.33, 3.5), strict=True):
        assert abs(is_seen - is_heard) <= 0.080
        assert abs(is_seen + zero - was) <= 0.080
    with av.open(str(film)) as opened:
        assert opened.duration is not None
        assert abs(opened.duration / 1e6 - 4.04) <= 0.1
        assert opened.streams.video[0].average_rate == FPS


def test_a_whisper_is_not_in_the_sound(tmp_path: Path) -> None:
    """A supervisor's beeps at 0.6, 1.6 and 2.6 s; only the second was meant for everybody."""
    path = tmp_path / "001.vbr"
    spoken = {"customer": take(3.5, 0.2), "supervisor": take(3.5, 0.6, 1.6, 2.6)}
    record(path, spoken)
    reader = footage(path)
    for open_us, heard in (((), [0.2]), ([(1_200_000, 2_200_000)], [0.2, 1.6])):
        done = render(
            [dataclasses.replace(reader, open_us=open_us)],
            tmp_path / "film", session="S-1", names={}, width=WIDTH, height=HEIGHT,
        )  # fmt: skip
        assert done.whispers
        assert beeps(tmp_path / done.file) == pytest.approx(heard, abs=0.08)


def test_who_is_not_there_has_no_picture(duet: Path, tmp_path: Path) -> None:
    film = tmp_path / made(tmp_path, duet).file
    zero = 0.48
    for at, luma in frames(film):
        right = luma[30 : HEIGHT - 20, WIDTH // 2 + 10 :]
        grey = np.median(right)
        if at + zero < 1.7 or at + zero > 3.78:
            assert grey < 25, f"black at {at}, but for the words"
            assert right.max() > 100, f"the words at {at}"
        elif 1.8 < at + zero < 3.7:
            assert grey > 35, f"a picture at {at}"


def test_the_clock_runs_on_every_frame(duet: Path, tmp_path: Path) -> None:
    film = tmp_path / made(tmp_path, duet).file
    bars = [luma[2:16].astype(int) for _, luma in frames(film)]
    assert all(bar.max() > 180 for bar in bars)
    changed = [int(np.abs(a - b).max()) for a, b in zip(bars, bars[1:], strict=False)]
    assert min(changed) > 40


def test_what_the_clock_says(duet: Path) -> None:
    clock = _Clock([footage(duet, WALL)], [0], "S-1", 480)
    said = clock.line(3_723_004_000)
    assert said == ("2026-11-18 12:08:43.0 UTC   11-18 20:08:43 UTC+08:00   +01:02:03.004   S-1")
    assert "UTC-03:30" in _Clock([footage(duet, WALL)], [0], "S-1", -210).line(0)
    zero = signed_wall_us(footage(duet))
    assert zero is not None and 0 <= zero - WALL <= 500_000


def test_pictures_in_h264(tmp_path: Path) -> None:
    path = tmp_path / "001.vbr"
    record(path, {"customer": call(1.0, width=160, height=120, codec="h264")})
    film = tmp_path / made(tmp_path, path).file
    greys = [float(np.median(luma[60:120, 280:360])) for _, luma in frames(film)]
    assert greys[1] < 60 and greys[-3] > 180 and greys == sorted(greys)


def test_two_parts_lie_on_one_clock(tmp_path: Path) -> None:
    first, second = tmp_path / "001.vbr", tmp_path / "002.vbr"
    chain = record(first, {"customer": take(1.0, 0.5)})
    previous = {"part_id": "00112233445566778899aabbccddeeff", "chain": chain}
    later = take(1.0, 0.5, start_us=3_000_000)
    record(second, {"customer": later}, part=2, part_id="11" * 16, previous=previous)
    rendered = made(tmp_path, first, second)
    film = tmp_path / rendered.file
    assert rendered.duration_us == 4_000_000
    assert [round(at, 2) for at in beeps(film)] == [
        pytest.approx(0.5, abs=0.05),
        pytest.approx(3.5, abs=0.05),
    ]
    dark = [at for at, luma in frames(film) if np.median(luma[40:140, 260:380]) < 25]
    assert min(dark) == pytest.approx(1.0, abs=0.1) and max(dark) == pytest.approx(3.0, abs=0.1)


def test_a_clock_that_began_anew(tmp_path: Path) -> None:
    first, second = tmp_path / "001.vbr", tmp_path / "002.vbr"
    chain = record(first, {"customer": take(1.0, 0.5)})
    previous = {"part_id": "00112233445566778899aabbccddeeff", "chain": chain}
    again = take(1.0, 0.5)
    record(second, {"customer": again}, part=2, part_id="11" * 16, previous=previous)
    rendered = made(tmp_path, second, first)
    heard = beeps(tmp_path / rendered.file)
    assert len(heard) == 2 and 0.9 <= heard[1] - heard[0] <= 1.2


def test_a_record_that_was_altered_is_left_out(duet: Path, tmp_path: Path) -> None:
    data = bytearray(duet.read_bytes())
    reader = footage(duet).reader
    record = list(reader.select(Type.DATA, 1))[6]
    data[record.offset + 60] ^= 1
    altered = tmp_path / "altered.vbr"
    altered.write_bytes(data)
    assert made(tmp_path, altered).unreadable == 1


def test_nothing_to_show(tmp_path: Path) -> None:
    path = tmp_path / "001.vbr"
    record(path, {})
    with pytest.raises(NothingRecorded):
        made(tmp_path, path)
    assert not list(tmp_path.glob("video*"))


def test_places() -> None:
    assert layout(["a", "b"], 1280, 680) == {"a": Box(0, 0, 640, 680), "b": Box(640, 0, 640, 680)}
    three = layout(["a", "b", "c"], 1280, 680)
    assert {box[2:] for box in three.values()} == {(640, 340)} and len(set(three.values())) == 3
    six = layout(list("abcdef"), 1280, 680)
    assert len({box.x for box in six.values()}) == 3 and len({box.y for box in six.values()}) == 2
    shared = layout(["customer", "teller", "teller screen"], 1280, 680)
    assert shared["teller screen"] == Box(0, 0, 960, 680)
    assert [shared[label].x for label in ("customer", "teller")] == [960, 960]
    for boxes in (three, six, shared):
        for x, y, width, height in boxes.values():
            assert x % 2 == y % 2 == width % 2 == height % 2 == 0
            assert x + width <= 1280 and y + height <= 680


def test_pictures_keep_their_proportions() -> None:
    assert fit(1280, 720, Box(0, 0, 640, 640)) == Box(0, 140, 640, 360)
    assert fit(720, 1280, Box(0, 0, 640, 640)) == Box(140, 0, 360, 640)


def test_names_are_written() -> None:
    letters = Letters(20)
    line = letters.line("客户 Customer", 400)
    assert line.max() > 200 and line.shape[1] <= 400
    cut = letters.line("客户" * 100, 90)
    assert cut.shape[1] <= 90


def job(duet: Path, out: Path, **changes: object) -> bytes:
    part = {"path": str(duet), "dek": DEK.hex(), "wall_us": WALL}
    size = {"width": WIDTH, "height": HEIGHT, "names": {"customer": "客户"}}
    return json.dumps(
        {"parts": [part], "out": str(out), "session": "S-1", **size, **changes}
    ).encode()


def start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "recordings.export"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)


def test_a_process_of_its_own(duet: Path, tmp_path: Path) -> None:
    process = start()
    out, err = process.communicate(job(duet, tmp_path / "video"), timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0 and err == b""
    done = lines[-1]["done"]
    assert done["file"] == "video.mp4" and done["unreadable"] == 0
    film = tmp_path / done["file"]
    assert film.stat().st_mode & 0o777 == 0o600
    assert DEK.hex().encode() not in out


def test_from_the_command_line(
    duet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def export(*keys: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(keys)))
        return command(["export", str(duet), "--out", str(tmp_path / "video")])

    assert export(DEK.hex()) == 0
    assert "video.mp4: 4.040 s, libx264, aac" in capsys.readouterr().out
    (tmp_path / "video.mp4").unlink()
    assert export("00" * 32) == 1
    assert export() == 2
    assert not list(tmp_path.iterdir())


def test_a_wrong_key_leaves_nothing(duet: Path, tmp_path: Path) -> None:
    process = start()
    wrong = {"path": str(duet), "dek": "00" * 32}
    out, err = process.communicate(job(duet, tmp_path / "video", parts=[wrong]), timeout=60)
    assert process.returncode == 1 and err == b""
    assert json.loads(out) == {"failed": "key_wrong"}
    assert not list(tmp_path.iterdir())


def test_stopped_half_way_it_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "001.vbr"
    record(path, {"customer": take(60.0, 1.0, fps=5)})
    process = start()
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(job(path, tmp_path / "video", width=1280, height=720))
    process.stdin.close()
    process.stdin = None
    first = json.loads(process.stdout.readline())
    assert 0 < first["progress"] < 1
    assert list(tmp_path.glob("video*"))
    limits = resource.prlimit(process.pid, resource.RLIMIT_CORE)
    niceness = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[16])
    assert limits == (0, 0) and niceness >= 10
    process.send_signal(signal.SIGTERM)
    # It steps back behind everybody else: on a busy machine its last moments take a while.
    process.communicate(timeout=90)
    assert process.returncode == 1
    assert not list(tmp_path.glob("video*"))


async def test_a_renderer_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal it says nothing more, and does not end by a polite one either."""
    real, started = asyncio.create_subprocess_exec, []

    async def frozen(*command: str, **options: Any) -> asyncio.subprocess.Process:
        process = await real(*command, **options)
        process.send_signal(signal.SIGSTOP)
        started.append(process)
        return process

    monkeypatch.setattr("recordings.rendering.asyncio.create_subprocess_exec", frozen)
    monkeypatch.setattr("recordings.rendering.PATIENCE_S", 0.2)
    with pytest.raises(NotRendered, match="hangs"):
        await rendered({"parts": [], "out": str(tmp_path / "video")}, print, silence_s=0.3)
    assert started[0].returncode == -signal.SIGKILL
