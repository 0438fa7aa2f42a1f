"""How a video arrives: size, frames a second, and how long it stood still. Pure."""

from __future__ import annotations


class Motion:
    """Counts frames as they begin to arrive.

    A picture is frozen as `getStats` of browsers defines it: no next frame for three frame
    times, or for one frame time and 150 ms, whichever is longer.
    """

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        "Width and height in pixels, from the last key frame."
        self._mean_s = 1 / 25
        self._frames = 0
        self._frozen_s = 0.0
        self._last: float | None = None
        self._counted_to: float | None = None
        "Standing still is counted up to here."
        self._since: float | None = None

    def frame(self, at: float) -> None:
        """A frame begins."""
        if self._last is not None:
            self._stood_still(at)
            self._mean_s += (min(1.0, max(0.0, at - self._last)) - self._mean_s) / 30
        self._frames += 1
        self._last = self._counted_to = at

    def _stood_still(self, now: float) -> None:
        assert self._last is not None and self._counted_to is not None
        if now - self._last > max(3 * self._mean_s, self._mean_s + 0.15):
            self._frozen_s += now - self._counted_to
            self._counted_to = now

    def measure(self, now: float) -> tuple[float, float]:
        """Frames a second and seconds frozen since the last measurement."""
        if self._last is not None:
            self._stood_still(now)
        passed = now - self._since if self._since is not None else 0.0
        fps = self._frames / passed if passed > 0 else 0.0
        frozen = self._frozen_s
        self._frames, self._frozen_s, self._since = 0, 0.0, now
        return fps, frozen
