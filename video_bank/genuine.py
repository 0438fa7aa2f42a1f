"""Whether what arrives comes from a camera: one look at every call's stream, beside the checks.

The judging is :mod:`kyc.liveness.injection`'s; here it is fed with the customer's frames and the
page's reports, and its question is passed on to the page.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from kyc.check import BadInput, Finding
from kyc.liveness.injection import Injection
from video_bank.bus import Bus
from video_bank.errors import UserError
from video_bank.feed import Camera, Frame, Picture

log = logging.getLogger(__name__)

ASK_EVERY_S = 1.0


class Stream:
    """One session's stream from the customer's camera."""

    def __init__(self, session: str, customer: str, bus: Bus, camera: Camera) -> None:
        self._session, self._customer = session, customer
        self._bus, self._camera = bus, camera
        self._judge = Injection()
        self._stop: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Follow the stream from now on."""
        self._stop = self._camera.follow(self._session, self._arrived)
        self._task = asyncio.create_task(self._ask())

    def looked(self, picture: Picture) -> None:
        """A picture that was decoded for something else anyway."""
        with contextlib.suppress(BadInput):
            self._judge.looked(picture.width, picture.height, picture.bgr, picture.time_us)

    def report(self, body: object) -> None:
        """What the page says of its camera.

        Raises:
            UserError: it cannot be read as a report.
        """
        try:
            self._judge.report(body)
        except BadInput as error:
            raise UserError("bad_request", field=str(error)[:40]) from None

    def finding(self) -> Finding:
        """What can be told by now."""
        return self._judge.finding(self._camera.media_time_us(self._session))

    def finish(self) -> Finding:
        """Follow no longer; what was found."""
        if self._stop is not None:
            self._stop()
        if self._task is not None:
            self._task.cancel()
        return self.finding()

    def _arrived(self, frame: Frame) -> None:
        if frame.kind == "video" and not frame.screen:
            self._judge.arrived(frame.time_us, frame.data, frame.keyframe, time.monotonic())

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            if question := self._judge.ask(time.monotonic()):
                data = {"session": self._session, **question}
                topic = f"customer:{self._customer}"
                self._bus.publish(topic, {"topic": "camera_probe", "data": data})
