"""A pulse in the colour of the skin, where light, length and stillness allow.

POS: W. Wang, A. C. den Brinker, S. Stuijk, G. de Haan, "Algorithmic Principles of Remote PPG",
IEEE Trans. Biomed. Eng. 64 (7), 2017. The signal-to-noise ratio is that of de Haan and Jeanne 2013:
power at the rate and its first harmonic over all other power between 0.7 and 4 Hz. A video coder
throws away most of so small a change; so a pulse speaks for somebody, and none against nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kyc.liveness.signal import Signal

SECONDS = 10.0
RATE = 10.0  # samples a second the trace is laid on
CLEAR = 1.0  # dB; of 400 traces of noise, ten seconds long, none reached it
_WINDOW_S = 1.6
_LOWEST, _HIGHEST = 0.7, 3.0  # Hz: 42 to 180 beats a minute
_DARK, _MOVED = 50.0, 0.12
Sample = tuple[int, tuple[float, float, float], float]
"Media time, mean blue, green and red of the skin, and the face's middle across in face widths."


def judge(samples: Sequence[Sample]) -> Signal:
    """The signal ``pulse`` of the longest stretch without a gap, which must be the last one."""
    recent = _unbroken(samples)
    span = (recent[-1][0] - recent[0][0]) / 1e6 if recent else 0.0
    if span < SECONDS or len(recent) < 0.75 * RATE * span:
        return Signal.missing("pulse", "too_short", hint=True, seconds=round(span, 1))
    colours = np.array([each[1] for each in recent])
    if colours.mean() < _DARK:
        return Signal.missing("pulse", "dark", hint=True)
    if float(np.std([each[2] for each in recent])) > _MOVED:
        return Signal.missing("pulse", "moved", hint=True)
    times = np.array([each[0] for each in recent]) / 1e6
    even = np.arange(times[0], times[-1], 1 / RATE)
    laid = np.stack([np.interp(even, times, colours[:, each]) for each in (2, 1, 0)])
    ratio, rate = clarity(pos(laid))
    values = {"beats_a_minute": round(60 * rate), "seconds": round(span, 1)}
    if ratio < CLEAR:
        return Signal.missing("pulse", "unclear", hint=True, snr_db=round(ratio, 2), **values)
    return Signal.measured("pulse", ratio, CLEAR, ("pulse", "unclear"), hint=True, values=values)


def _unbroken(samples: Sequence[Sample]) -> list[Sample]:
    """From the end backwards to the first gap of half a second."""
    kept: list[Sample] = []
    for each in reversed(samples):
        if kept and kept[-1][0] - each[0] > 500_000:
            break
        kept.append(each)
    return kept[::-1]


def pos(rgb: Any) -> Any:
    """The pulse from colours of shape (3, n), red first: plane orthogonal to the skin's tone."""
    count, length = rgb.shape[1], int(_WINDOW_S * RATE)
    pulse = np.zeros(count)
    for start in range(count - length + 1):
        window = rgb[:, start : start + length]
        red, green, blue = window / window.mean(axis=1, keepdims=True)
        first, second = green - blue, green + blue - 2 * red
        mixed = first + first.std() / max(1e-9, float(second.std())) * second
        pulse[start : start + length] += mixed - mixed.mean()
    return pulse


def clarity(pulse: Any) -> tuple[float, float]:
    """Signal-to-noise ratio in dB, and the rate in Hz."""
    padded = 1024
    power = np.abs(np.fft.rfft(pulse * np.hanning(len(pulse)), padded)) ** 2
    at = np.fft.rfftfreq(padded, 1 / RATE)
    beats = (at >= _LOWEST) & (at <= _HIGHEST)
    rate = float(at[beats][np.argmax(power[beats])])
    near = (np.abs(at - rate) < 0.15) | (np.abs(at - 2 * rate) < 0.2)
    band = (at >= _LOWEST) & (at <= 4.0)
    noise = float(power[band & ~near].sum())
    return 10 * float(np.log10(power[band & near].sum() / max(1e-12, noise))), rate
