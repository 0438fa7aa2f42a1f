"""Does the picture come from a camera, or from something put in its place?

Nothing that reaches a server proves a camera (w3c/mediacapture-main issue 896). What can be told:
what the page says of its camera, whether the stream's own clock is a camera's, whether it follows
when something is asked of it at a moment nobody could know, whether pictures come again, and
whether the stream is what the page says it sends. Each is a signal of its own; all but pictures
that come again are hints.

Pure Python, for the process that serves calls: a few microseconds a frame, under a millisecond a
decoded picture. The page's report is an outside input: bounded and checked here.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import tomllib
from array import array
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import sub
from pathlib import Path
from typing import Any, TypeAlias

from kyc.check import BadInput, Finding, Verdict
from kyc.liveness.signal import Sign

TEXT = 200
REPORTS = 20  # a page that changes cameras more often tells nothing new
KEPT = 3000  # frames remembered: two minutes at 25 a second, half a megabyte a session

FRAMES = 75  # before the clock is judged: three seconds
REGULAR = 0.0005  # spread of the gaps between frames over their middle value; see timing()
DOUBLED = 0.2  # share of frames that follow at once upon another
GRID = 16
SAME_PICTURE = 0.6  # grey levels between two codings of one picture
LOOP_PICTURES = 8  # distinct pictures that came before, all by the same time
LOOP_US = 2_000_000  # a loop is no shorter
LAG_US = 100_000
DISTINCT = 1200  # distinct pictures remembered: 1.3 megabytes a session
STILL_PICTURES = 40
ASK_S = (20.0, 60.0)  # the moment of the question, seconds after the first frame
ANSWER_S = 6.0
ASKED_FPS = 12.0


def _words() -> dict[str, list[str]]:
    data = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return {name: [str(word) for word in data[name]] for name in ("virtual", "filters")}


WORDS = _words()
Cells: TypeAlias = "array[float]"


@dataclass(frozen=True)
class Report:
    """What a page says of its camera."""

    label: str
    width: int | None
    height: int | None
    fps: float | None
    capabilities: frozenset[str]
    "Names of what the camera says it can set."
    cameras: int | None
    probe: str | None
    "The question this answers."
    applied: bool | None

    @classmethod
    def of(cls, body: object) -> Report:
        """From parsed JSON; BadInput `camera_report` when it is not one."""
        if not isinstance(body, Mapping):
            raise BadInput("camera_report", "not an object")
        settings, capabilities = body.get("settings", {}), body.get("capabilities", [])
        label, probe, applied = body.get("label", ""), body.get("probe"), body.get("applied")
        if not isinstance(settings, Mapping) or not isinstance(capabilities, list):
            raise BadInput("camera_report", "settings or capabilities")
        if not isinstance(label, str) or len(label) > TEXT or len(capabilities) > 64:
            raise BadInput("camera_report", "label or capabilities")
        if not all(isinstance(each, str) and len(each) <= 40 for each in capabilities):
            raise BadInput("camera_report", "capabilities")
        if not (probe is None or (isinstance(probe, str) and len(probe) <= 40)):
            raise BadInput("camera_report", "probe")
        if not (applied is None or isinstance(applied, bool)):
            raise BadInput("camera_report", "applied")
        width, height = _number(settings, "width", 16384), _number(settings, "height", 16384)
        cameras = _number(body, "cameras", 1000)
        return cls(
            label=label,
            width=None if width is None else int(width),
            height=None if height is None else int(height),
            fps=_number(settings, "frameRate", 1000),
            capabilities=frozenset(capabilities),
            cameras=None if cameras is None else int(cameras),
            probe=probe,
            applied=applied,
        )


def _number(body: Mapping[Any, Any], name: str, most: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadInput("camera_report", name)
    return float(value)


def _open(reason: str, *, hint: bool = True) -> Sign:
    return Sign(Verdict.NOT_CHECKED, reason, hint=hint)


class Injection:
    """Watches one camera's stream for as long as the call lasts."""

    name = "injection"

    def __init__(self, source: random.Random | None = None) -> None:
        self._chance = source or random.SystemRandom()
        self._reports: list[Report] = []
        self._times: deque[int] = deque(maxlen=KEPT)
        self._first_sizes: list[int] = []
        self._seen: dict[bytes, int] = {}
        self._again = 0
        self._frames = 0
        self._codec_size: tuple[int, int] | None = None
        self._pictures = Pictures()
        self._began_s: float | None = None
        self._ask_at = self._chance.uniform(*ASK_S)
        self._probe: Probe | None = None

    # -- what comes in ---------------------------------------------------------------------

    def report(self, body: object) -> None:
        """The page's report; BadInput when it is none. More than twenty are not kept."""
        report = Report.of(body)
        if len(self._reports) >= REPORTS:
            self._reports.pop(1)
        self._reports.append(report)
        if self._probe is not None and report.probe == self._probe.name:
            self._probe.applied = report.applied

    def arrived(self, time_us: int, data: bytes, keyframe: bool, now_s: float) -> None:
        """One encoded frame: its media time, and when it came on a clock that only goes forward."""
        if self._began_s is None:
            self._began_s = now_s
        self._frames += 1
        self._times.append(time_us)
        if len(self._first_sizes) < FRAMES:
            self._first_sizes.append(len(data))
        if keyframe and (size := vp8_size(data)):
            self._codec_size = size
        # An encoder's state differs each time round: equal bytes are an encoded file played again.
        if len(data) > 200:
            digest = hashlib.blake2b(data, digest_size=8).digest()
            self._again += digest in self._seen
            self._seen[digest] = time_us
            if len(self._seen) > KEPT:
                del self._seen[next(iter(self._seen))]
        if self._probe is not None:
            self._probe.frame(now_s)

    def looked(self, width: int, height: int, bgr: bytes, time_us: int) -> None:
        """One decoded picture: packed rows, blue green red."""
        self._pictures.see(cells(width, height, bgr), time_us)

    def ask(self, now_s: float) -> dict[str, Any] | None:
        """The question for the page, once, at a moment nobody can know; None at all others."""
        if self._probe is not None or self._began_s is None or not self._reports:
            return None
        if now_s - self._began_s < self._ask_at:
            return None
        times = list(self._times)[-FRAMES:]
        before = _rate(times)
        if before is None or before < ASKED_FPS * 1.3:
            return None  # slow already: nothing could be told from its following
        self._probe = Probe(f"{self._chance.getrandbits(48):012x}", now_s, before)
        return {"probe": self._probe.name, "frame_rate": ASKED_FPS, "seconds": ANSWER_S}

    # -- what it says ----------------------------------------------------------------------

    def signals(self) -> dict[str, Sign]:
        """What each signal says now."""
        latest = self._reports[-1] if self._reports else None
        return {
            "camera": camera(latest),
            "timing": timing(list(self._times)),
            "reaction": self._probe.judge() if self._probe else _open("not_asked"),
            "repeats": self._pictures.judge(self._again, self._frames),
            "codec": self._codec(latest),
            "first_frames": first_frames(self._first_sizes),
        }

    def finding(self, media_time_us: int | None) -> Finding:
        """All signals as one answer; ``score`` counts those that failed."""
        signals = self.signals()
        # Pictures that come again first: the one thing here that is no matter of a camera's make.
        order = ("repeats", "camera", "reaction", "codec", "timing", "first_frames")
        failed = [name for name in order if signals[name].verdict is Verdict.FAILED]
        passed = [name for name in order if signals[name].verdict is Verdict.PASSED]
        if failed:
            verdict, reason = Verdict.FAILED, signals[failed[0]].reason
        elif "repeats" in passed and "camera" in passed:
            verdict, reason = Verdict.PASSED, "no_sign"
        else:
            verdict, reason = Verdict.NOT_CHECKED, "too_short"
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=float(len(failed)),
            threshold=0.0,
            values={
                "signals": {name: sign.view() for name, sign in signals.items()},
                "frames": self._frames,
                "reports": len(self._reports),
            },
            media_time_us=media_time_us,
        )

    def _codec(self, latest: Report | None) -> Sign:
        """The stream's own size against the one the page says its camera gives."""
        if latest is None or latest.width is None or latest.height is None or not latest.width:
            return _open("no_report")
        if self._codec_size is None:
            return _open("no_report")
        width, height = self._codec_size
        # A browser may send less than the camera gives, upright or lying, never another shape.
        said, sent = sorted((latest.width, latest.height)), sorted((width, height))
        shape = (sent[0] / max(1, sent[1])) / (said[0] / max(1, said[1]))
        fits = abs(shape - 1) < 0.03 and sent[1] <= said[1] * 1.02
        verdict = Verdict.PASSED if fits else Verdict.FAILED
        values = {"sent": [width, height], "said": [latest.width, latest.height]}
        return Sign(verdict, "as_reported" if fits else "other_size", values=values)


def camera(report: Report | None) -> Sign:
    """The camera's name, and what it says it can do.

    Phones' cameras say which way they face, and most cameras something of focus, exposure or
    white balance; programs seldom do. Desktop cameras under some browsers do not either, so that
    alone is only told.
    """
    if report is None or not report.label:
        return _open("no_report")
    label = report.label.casefold()
    virtual = [word for word in WORDS["virtual"] if word in label]
    filters = [word for word in WORDS["filters"] if word in label]
    physical = report.capabilities & {
        "focusMode", "focusDistance", "exposureMode", "exposureTime", "exposureCompensation",
        "whiteBalanceMode", "colorTemperature", "iso", "torch", "zoom", "brightness", "contrast",
        "saturation", "sharpness",
    }  # fmt: skip
    values = {"word": virtual[0] if virtual else None, "physical": sorted(physical)}
    if virtual and not filters:
        return Sign(Verdict.FAILED, "virtual_camera", values=values)
    if filters:
        return Sign(Verdict.NOT_CHECKED, "camera_program", values=values)
    return Sign(Verdict.PASSED, "ordinary" if physical else "few_capabilities", values=values)


def _rate(times: Sequence[int]) -> float | None:
    """Frames a second."""
    if len(times) < 10 or times[-1] <= times[0]:
        return None
    return (len(times) - 1) * 1e6 / (times[-1] - times[0])


def timing(times: Sequence[int]) -> Sign:
    """The stream's clock: a camera's crystal and its driver leave a little unevenness.

    Media times are RTP time stamps (90 kHz), made by the browser when the picture was captured.
    Times that are multiples of one number to a part in two thousand come from a counter, and
    frames a moment apart from a file with another rate than the sender's.
    """
    if len(times) < FRAMES:
        return _open("too_short")
    gaps = [b - a for a, b in zip(times, times[1:], strict=False) if 0 < b - a < 500_000]
    if len(gaps) < FRAMES - 10:
        return _open("too_short")
    middle = statistics.median(gaps)
    # Lost and dropped frames make gaps of twice and three times the middle one: folded back.
    spread = [abs(gap / max(1, round(gap / middle)) - middle) / middle for gap in gaps]
    uneven = statistics.fmean(spread)
    doubled = sum(gap < 0.25 * statistics.fmean(gaps) for gap in gaps) / len(gaps)
    values = {"fps": round(1e6 / middle, 2), "doubled": round(doubled, 4)}
    score = round(uneven, 6)
    if doubled > DOUBLED:
        return Sign(Verdict.FAILED, "doubled", score, REGULAR, values=values)
    if uneven < REGULAR:
        return Sign(Verdict.FAILED, "too_regular", score, REGULAR, values=values)
    return Sign(Verdict.PASSED, "irregular", score, REGULAR, values=values)


def first_frames(sizes: Sequence[int]) -> Sign:
    """A camera's first second is its exposure finding the light; a file is settled at once.

    Told by the encoder's sizes, which also depend on the line: the weakest of the signals, shown
    as a figure and never called a failure.
    """
    if len(sizes) < FRAMES:
        return _open("missed")
    early, late = sizes[1:26], sizes[50:]
    score = round(statistics.median(early) / max(1.0, statistics.median(late)), 3)
    return Sign(Verdict.NOT_CHECKED, "figure_only", score)


@dataclass
class Probe:
    """A question put to the page: its frame rate lowered for some seconds."""

    name: str
    asked_s: float
    before: float
    applied: bool | None = None
    arrivals: list[float] = field(default_factory=list)

    def frame(self, now_s: float) -> None:
        if now_s - self.asked_s < ANSWER_S + 4 and len(self.arrivals) < 2000:
            self.arrivals.append(now_s - self.asked_s)

    def judge(self) -> Sign:
        """Followed when some two seconds within the time came at no more than the asked rate."""
        if not self.arrivals or self.arrivals[-1] < ANSWER_S:
            return _open("not_asked")
        if self.applied is False:
            return _open("not_supported")
        slowest = min(
            sum(start <= at < start + 2 for at in self.arrivals) / 2
            for start in (0.5 * step for step in range(int(2 * (ANSWER_S - 2)) + 1))
        )
        followed = 0.4 * ASKED_FPS <= slowest <= 1.25 * ASKED_FPS
        verdict = Verdict.PASSED if followed and self.applied else Verdict.FAILED
        reason = "followed" if verdict is Verdict.PASSED else "not_followed"
        values = {"before": round(self.before, 1), "answered": self.applied is not None}
        return Sign(verdict, reason, round(slowest, 2), 1.25 * ASKED_FPS, values=values)


class Pictures:
    """Whether pictures that were seen come again, a fixed time later: a loop; or never change.

    Of a person who sits still many pictures are much alike; a picture coded anew is itself to half
    a grey level in the mean over 256 cells, and no other moment of the clips at hand came nearer
    than 0.67. Sampling meets a loop at other moments each time, so not every picture finds itself.
    """

    def __init__(self) -> None:
        self._last: Cells | None = None
        self._kept: list[tuple[float, int, Cells]] = []
        "Mean, media time and cells of each distinct picture, by their mean."
        self._lags: Counter[int] = Counter()
        self._still = self._seen = 0

    def see(self, cells: Cells, time_us: int) -> None:
        """One picture and its media time."""
        self._seen += 1
        if self._last is not None and _apart(cells, self._last) < SAME_PICTURE:
            self._still += 1
            return  # nothing moved: such a stretch looks like any other
        self._last = cells
        mean = sum(cells) / len(cells)
        low = bisect_left(self._kept, (mean - SAME_PICTURE,))
        high = bisect_left(self._kept, (mean + SAME_PICTURE,))
        for _, then_us, other in self._kept[low:high]:
            lag_us = time_us - then_us
            if lag_us >= LOOP_US and _apart(cells, other) < SAME_PICTURE:
                self._lags[lag_us // LAG_US] += 1
        if len(self._kept) < DISTINCT:
            insort(self._kept, (mean, time_us, cells))

    def judge(self, again: int, frames: int) -> Sign:
        """The signal ``repeats``; ``again`` of ``frames`` encoded frames were byte for byte old."""
        votes = {lag: count + self._lags[lag + 1] for lag, count in self._lags.items()}
        lag = max(votes, key=lambda each: votes[each], default=None)
        most = votes[lag] if lag is not None else 0
        values: dict[str, Any] = {
            "pictures": self._seen,
            "period_s": None if lag is None else round((lag + 1) * LAG_US / 1e6, 1),
            "same_bytes": again,
        }
        score, threshold = float(most), float(LOOP_PICTURES)
        if frames >= FRAMES and again > 0.2 * frames:
            return Sign(Verdict.FAILED, "looped", float(again), 0.2 * frames, False, values)
        if most >= LOOP_PICTURES:
            return Sign(Verdict.FAILED, "looped", score, threshold, False, values)
        if self._seen < STILL_PICTURES:
            return _open("too_short", hint=False)
        if self._still > 0.97 * self._seen:
            return Sign(Verdict.FAILED, "frozen", float(self._still), hint=False, values=values)
        return Sign(Verdict.PASSED, "no_repeats", score, threshold, False, values)


def _apart(a: Cells, b: Cells) -> float:
    """Mean difference in grey levels."""
    return float(sum(map(abs, map(sub, a, b)))) / len(a)


def cells(width: int, height: int, bgr: bytes) -> Cells:
    """Mean green of 16 × 16 cells, each from three of its rows; bytes are packed rows, blue first.

    Raises BadInput when the size does not fit.
    """
    if len(bgr) != width * height * 3 or width < 2 * GRID or height < 2 * GRID:
        raise BadInput("picture_size")
    across, down = width // GRID, height // GRID
    means = array("f")
    for row in range(GRID):
        lines = [(row * down + share * down // 4) * width * 3 for share in (1, 2, 3)]
        for cell in range(GRID):
            start = cell * across * 3 + 1
            total = sum(sum(bgr[at + start : at + start + across * 3 : 3]) for at in lines)
            means.append(total / (3 * across))
    return means


def vp8_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height of a VP8 key frame (RFC 6386, 9.1); None for anything else."""
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        return None
    width = int.from_bytes(frame[6:8], "little") & 0x3FFF
    height = int.from_bytes(frame[8:10], "little") & 0x3FFF
    return width, height
