"""Pictures of a session's customer, each awaited with a deadline."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Protocol


class Picture(Protocol):
    """One decoded frame of the customer's camera."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def bgr(self) -> bytes: ...
    @property
    def time_us(self) -> int: ...


class Frame(Protocol):
    """One encoded frame as it arrived."""

    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def time_us(self) -> int: ...
    @property
    def keyframe(self) -> bool: ...
    @property
    def screen(self) -> bool: ...


class Camera(Protocol):
    """Where pictures of a session's customer come from."""

    def pictures(
        self, session: str, fps: float, *, key_frames: bool = False
    ) -> AsyncGenerator[Picture, None]:
        """The newest picture, at most ``fps`` times a second, as long as the call is up.

        ``key_frames``: of those alone, which come some seconds apart and cost next to nothing.
        """

    def look_again(self, session: str) -> None:
        """Ask for a key frame now."""

    def follow(self, session: str, take: Callable[[Frame], None]) -> Callable[[], None]:
        """Give every encoded frame of the customer's to ``take`` until the answer is called."""

    def media_time_us(self, session: str) -> int | None:
        """The session's media time now."""


class Feed:
    """Pictures with a deadline each.

    A plain ``wait_for`` would cancel the generator when it runs out, and end it with that.
    """

    def __init__(self, pictures: AsyncGenerator[Picture, None]) -> None:
        self._pictures = pictures
        self._coming: asyncio.Task[Picture] | None = None

    async def next(self, seconds: float) -> Picture | None:
        """The next picture, or None when none came in time; it may come later."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(anext(self._pictures))
        done, _ = await asyncio.wait({self._coming}, timeout=seconds)
        if not done:
            return None
        coming, self._coming = self._coming, None
        return coming.result()

    async def aclose(self) -> None:
        """Look no longer."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
        await self._pictures.aclose()
