"""Whether the same person stays before the camera, from the first good look to the end.

The watch takes key frames alone, which the recording asks for anyway, so that a whole call costs
little; when something looks wrong it asks for more of them, at most one a second.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kyc.check import BadInput, Finding, Guidance, Verdict
from kyc.worker import Inference, InferenceUnavailable, LiveCheck
from video_bank.feed import Camera, Feed, Picture

log = logging.getLogger(__name__)

CHECK = "continuity"
FPS = 1.0
ABSENT_US = 20_000_000
"""Nobody in the picture for so long is worth a note; a moment is not."""
AGAIN_S = 5.0
"""After the inference process was lost."""
FINISH_S = 4.0


@dataclass(frozen=True)
class Alert:
    """Something about who is before the camera, and when it was seen."""

    code: str
    "`other_face`, `several_faces`, `nobody`, or `same_face` when it is over."
    media_time_us: int


class Watch:
    """One session's watch."""

    def __init__(
        self,
        session: str,
        inference: Inference,
        camera: Camera,
        *,
        paused: Callable[[], bool],
        tell: Callable[[Alert], Awaitable[None]],
    ) -> None:
        """``paused``: whether a document is being shown, which may have a face on it."""
        self._session, self._inference, self._camera = session, inference, camera
        self._paused, self._tell = paused, tell
        self._reference: bytes | None = None
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._finding: Finding | None = None
        self._absent_since: int | None = None
        self._gaps = 0
        self.standing: Alert | None = None
        "What is wrong now."

    @property
    def begun(self) -> bool:
        return self._task is not None

    def begin(self, reference: bytes | None) -> None:
        """Watch from now on for the face that ``reference`` describes, else for the first seen."""
        if self._task is None:
            self._reference = reference
            self._task = asyncio.create_task(self._run())

    async def finish(self) -> Finding | None:
        """End the watch; what it found, or None when it never began."""
        self._ended.set()
        if self._task is None:
            return None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._task, timeout=FINISH_S)
        now = self._camera.media_time_us(self._session)
        lost = Finding(CHECK, Verdict.NOT_CHECKED, "inference_unavailable", media_time_us=now)
        return self._finding or lost

    async def _run(self) -> None:
        while not self._ended.is_set():
            try:
                async with self._inference.open(CHECK, reference=self._reference) as live:
                    await self._look(live)
            except BadInput as error:
                log.warning("x the watch cannot be opened: %s", error.code)
                return
            except InferenceUnavailable:
                self._gaps += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), AGAIN_S)
            except Exception:
                log.exception("x the watch of session %s broke", self._session)
                return

    async def _look(self, live: LiveCheck) -> None:
        last = self._camera.media_time_us(self._session) or 0
        feed = Feed(self._camera.pictures(self._session, FPS, key_frames=True))
        async with contextlib.aclosing(feed):
            while not self._ended.is_set():
                picture = await self._next(feed)
                if picture is None or self._paused():
                    continue
                last = picture.time_us
                answer = await live.see(
                    width=picture.width,
                    height=picture.height,
                    bgr=picture.bgr,
                    media_time_us=last,
                )
                if isinstance(answer, Guidance):
                    await self._heed(answer.hint, last)
        finding = await live.expire(last)
        self._finding = finding if self._gaps == 0 else _with_gaps(finding, self._gaps)

    async def _next(self, feed: Feed) -> Picture | None:
        """The next picture; None when the watch ends before it comes."""
        ended = asyncio.ensure_future(self._ended.wait())
        coming = asyncio.ensure_future(feed.next(AGAIN_S))
        try:
            await asyncio.wait({ended, coming}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            ended.cancel()
            coming.cancel()

    async def _heed(self, hint: str, at: int) -> None:
        """Tell when what is seen turns into something else."""
        if hint != "same_face":
            self._camera.look_again(self._session)
        if hint != "no_face":
            self._absent_since = None
        match hint:
            case "no_face":
                self._absent_since = at if self._absent_since is None else self._absent_since
                if at - self._absent_since >= ABSENT_US:
                    await self._turn("nobody", self._absent_since)
            case "other_face" | "several_faces":
                await self._turn(hint, at)
            case "same_face":
                if self.standing is not None:
                    await self._turn("same_face", at)

    async def _turn(self, code: str, at: int) -> None:
        if self.standing is not None and self.standing.code == code:
            return
        alert = Alert(code, at)
        self.standing = None if code == "same_face" else alert
        await self._tell(alert)


def _with_gaps(finding: Finding, gaps: int) -> Finding:
    """A watch that was cut says so: what happened meanwhile nobody saw."""
    finding.values["gaps"] = gaps
    return finding
