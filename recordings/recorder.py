"""Records a live session: frames go in from the event loop, the clerk seals and writes them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .chain import compact
from .clerk import clerk
from .container import Ending, Flag, PartWriter, wall_clock
from .errors import SignerAway
from .keys import Signer
from .matroska import Codec, Fragment, Kind, Muxer
from .store import Store

CHECKPOINT_S = 0.44
"""With one round of the clerk more it is 500 ms at most."""
SIGN_AGAIN_S = 0.5
UNSIGNED_S = 10.0
"""A recording whose signer outside stays away for so long has failed."""
QUEUE_BYTES = 4 * 1024 * 1024
"""What may wait for the disk: about 8 s of a call with two cameras."""
EVENT_LIMIT = 1_048_576

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sealed:
    """A part that is over."""

    name: str
    part_id: str
    chain: str
    """Chain value of the part, hexadecimal: for the application's own log and the next part."""
    records: int
    bytes: int
    duration_us: int
    """From the earliest to the latest record of media or events."""
    complete: bool
    """Is there a FINAL? If not, the part wants `recover`."""
    failure: str | None
    """Name of the errno that ended the recording, e.g. ENOSPC."""


@dataclass(frozen=True)
class Head:
    """How far a running part is signed and on the medium."""

    records: int
    chain: str
    time_us: int


class _Frame(NamedTuple):
    stream: int
    kind: Kind
    time_us: int
    data: bytes
    keyframe: bool
    codec: Codec


class _Event(NamedTuple):
    time_us: int
    body: bytes


@dataclass
class _Loss:
    """Frames of one stream that found the queue full."""

    frames: int
    from_us: int
    to_us: int


@dataclass
class _Inbox:
    """What the loop hands to the clerk."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    items: deque[_Frame | _Event] = field(default_factory=deque)
    bytes: int = 0
    losses: dict[int, _Loss] = field(default_factory=dict)
    stop: bool = False


class Recorder:
    """Writes one part of a session.

    `stream`, `frame` and `event` are plain calls that never wait: the clerk does the rest. When
    writing fails, the part is ended from the space kept for that, `on_failure` is called once on
    the loop, and everything that comes later is ignored. A medium that does not keep up loses
    frames, never events: the gap is an EVENT of the part, and `on_failure` hears a `TimeoutError`.
    """

    def __init__(
        self,
        writer: PartWriter,
        name: str,
        on_failure: Callable[[OSError], None],
        clock: Callable[[], float],
    ) -> None:
        """Use `Recorder.open`."""
        self.name = name
        self._writer = writer
        self._on_failure = on_failure
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._inbox = _Inbox()
        self._muxers: list[Muxer] = []
        self._failure: OSError | None = None
        self._told_lag = False
        self._ending = Ending.FINISHED
        self._span: tuple[int, int] | None = None
        self._head = Head(0, writer.chain.hex(), 0)
        self._done = self._loop.create_future()
        self._signed_at = clock()
        self._syncing = False
        self._waits = False
        "A hand waits for the signer outside: it alone has the writer."
        self._hand = clerk.wait if writer.signed_outside else clerk.hand
        clerk.take(self)

    @classmethod
    async def open(
        cls,
        store: Store,
        name: str,
        *,
        header: Mapping[str, Any],
        dek: bytes,
        signer: Signer,
        on_failure: Callable[[OSError], None],
        wall: Callable[[], int] = wall_clock,
        clock: Callable[[], float] = time.monotonic,
    ) -> Recorder:
        """Make the part `name` and begin.

        `header` holds part_id (`new_part_id()`; keep the wrapped key under it *before* this),
        session, part, previous ({chain, part_id} or None), key_id, and anything else that is to be
        signed with the part and is not personal. `OSError` when the part can't be made.
        """
        writer = await asyncio.to_thread(
            _create, store, name, header=header, dek=dek, signer=signer, wall=wall
        )
        return cls(writer, name, on_failure, clock)

    @property
    def part_id(self) -> str:
        return self._writer.part_id

    @property
    def head(self) -> Head:
        """Signed and on the medium: for the application's own log, every few seconds."""
        return self._head

    @property
    def failed(self) -> bool:
        """Has writing failed?"""
        return self._failure is not None

    def stream(self, label: str) -> int:
        """A new stream for one participant or screen, at any time; its number."""
        if not label or len(label) > 64:
            raise ValueError("a label has 1 to 64 characters")
        with self._inbox.lock:
            self._muxers.append(Muxer(label))
            return len(self._muxers)

    def frame(
        self,
        stream: int,
        kind: Kind,
        time_us: int,
        data: bytes,
        keyframe: bool,
        codec: Codec = "vp8",
    ) -> None:
        """Take one picture or Opus packet; `time_us` is media time of the session.

        `codec` is the pictures': whole VP8 frames, or H264 access units in Annex B form with the
        parameter sets in each key frame. It stays the same in a stream; of another codec than its
        first key frame nothing is recorded. For sound it means nothing.
        """
        if not 0 < stream <= len(self._muxers) or time_us < 0:
            raise ValueError(f"stream {stream}, time {time_us}")
        if self._failure or self._inbox.stop:
            return
        inbox = self._inbox
        with inbox.lock:
            if inbox.bytes + len(data) > QUEUE_BYTES:
                loss = inbox.losses.setdefault(stream, _Loss(0, time_us, time_us))
                loss.frames += 1
                loss.to_us = time_us
            else:
                inbox.items.append(_Frame(stream, kind, time_us, data, keyframe, codec))
                inbox.bytes += len(data)
                return
        self._lags()

    def event(self, time_us: int, body: Mapping[str, object]) -> None:
        """Seal what happened; `ValueError` if it is not JSON or over 1 MiB."""
        data = compact(body)
        if len(data) > EVENT_LIMIT or time_us < 0:
            raise ValueError(f"event of {len(data)} bytes, time {time_us}")
        if self._failure or self._inbox.stop:
            return
        with self._inbox.lock:
            self._inbox.items.append(_Event(time_us, data))

    async def finish(self, ending: Ending = Ending.FINISHED) -> Sealed:
        """End the part. Also after a failure, and as often as one likes; the first `ending` holds.

        `Ending.STOPPED` when the server goes down while the session goes on.
        """
        if not self._inbox.stop:
            self._ending = ending
            self._inbox.stop = True
        await asyncio.shield(self._done)
        writer, span = self._writer, self._span or (0, 0)
        failure = self._failure
        return Sealed(
            name=self.name,
            part_id=writer.part_id,
            chain=writer.chain.hex(),
            records=writer.records,
            bytes=writer.bytes,
            duration_us=span[1] - span[0],
            complete=writer.finished,
            failure=None if failure is None else errno.errorcode.get(failure.errno or 0, "EIO"),
        )

    def _lags(self) -> None:
        if not self._told_lag:
            self._told_lag = True
            log.error("%s: the medium does not keep up, frames are lost", self.name)
            self._loop.call_soon(self._on_failure, TimeoutError(errno.ETIMEDOUT, "frames lost"))

    def work(self, now: float) -> bool:
        """The clerk's call: seal what came and what is due, sign twice a second."""
        try:
            if self._failure is None:
                return self._work()
        except Exception as error:
            self._failure = self._told(error)
        if self._syncing:
            return True  # another hand still has the file
        self._hand(self._fail)
        return False

    def _work(self) -> bool:
        if self._waits:
            return True
        writer, stop = self._writer, self._inbox.stop
        self._take()
        now = self._clock()
        for stream, muxer in enumerate(self._muxers, 1):
            self._seal(stream, muxer.flush() if stop else muxer.due(now))
        if self._syncing:
            return True
        if stop:
            self._hand(self._end)
            return False
        if writer.records > writer.signed and now - self._signed_at >= CHECKPOINT_S:
            if writer.signed_outside:
                self._syncing = self._waits = True
                self._hand(self._sign_outside)
            else:
                self._sign(now)
                self._syncing = True
                head = Head(writer.signed, writer.chain.hex(), writer.time_us)
                clerk.hand(lambda: self._sync(head))
        return True

    def _sign(self, now: float) -> None:
        self._writer.sign()
        self._signed_at = now

    def _sign_outside(self) -> None:
        """By a hand that may wait: this part's frames wait with it, nobody else's do."""
        try:
            self._sign_patiently()
            head = Head(self._writer.signed, self._writer.chain.hex(), self._writer.time_us)
        except Exception as error:
            self._failure, self._syncing = self._told(error), False
        else:
            clerk.hand(lambda: self._sync(head))
        finally:
            self._waits = False

    def _sign_patiently(self) -> None:
        """A CHECKPOINT, also if the signer is away for a moment: it wrote nothing then."""
        since = self._clock()
        while True:
            try:
                return self._sign(self._clock())
            except SignerAway as error:
                if self._clock() - since >= UNSIGNED_S:
                    raise
                log.warning("%s: %s", self.name, error.strerror)
                time.sleep(SIGN_AGAIN_S)

    def _sync(self, head: Head) -> None:
        """By a hand of the clerk's, while frames go on being written."""
        try:
            self._writer.sync()
            self._head = head
        except Exception as error:
            self._failure = self._told(error)
        finally:
            self._syncing = False

    def _end(self) -> None:
        """By a hand of the clerk's, when nothing else is done for this recording any more."""
        try:
            if self._writer.signed_outside:
                self._sign_patiently()  # FINAL comes with two signatures more, at once
            self._writer.finish(self._ending)
            self._head = Head(self._writer.signed, self._writer.chain.hex(), self._writer.time_us)
        except Exception as error:
            self._failure = self._told(error)
            self._fail()
        else:
            self._tell(self._done.set_result, None)

    def _take(self) -> None:
        inbox = self._inbox
        with inbox.lock:
            items, inbox.items = inbox.items, deque()
            losses, inbox.losses = inbox.losses, {}
            taken, now = inbox.bytes, self._clock()
        try:
            for item in items:
                if isinstance(item, _Frame):
                    self._seal(item.stream, self._muxed(item, now))
                else:
                    self._extend(item.time_us)
                    self._writer.event(item.time_us, item.body)
        finally:
            with inbox.lock:
                inbox.bytes -= taken
        for stream, loss in losses.items():
            self._muxers[stream - 1].gap()
            self._writer.event(loss.from_us, _frames_lost(stream, loss))

    def _muxed(self, frame: _Frame, now: float) -> list[Fragment]:
        muxer = self._muxers[frame.stream - 1]
        return muxer.add(frame.kind, frame.time_us, frame.data, frame.keyframe, now, frame.codec)

    def _seal(self, stream: int, fragments: list[Fragment]) -> None:
        for fragment in fragments:
            flags = Flag.KEYFRAME if fragment.keyframe else Flag.NONE
            flags |= Flag.INIT if fragment.init else Flag.NONE
            self._extend(fragment.time_us)
            self._writer.data(stream, fragment.time_us, fragment.payload, flags)

    def _extend(self, time_us: int) -> None:
        first, last = self._span or (time_us, time_us)
        self._span = min(first, time_us), max(last, time_us)

    def _told(self, error: Exception) -> OSError:
        """Whatever goes wrong ends the recording as a failure of the medium does, and aloud."""
        if isinstance(error, OSError):
            return error
        log.error("%s: recording broke", self.name, exc_info=error)
        return OSError(errno.EIO, "recording broke")

    def _fail(self) -> None:
        """End the part as well as can be, then say so."""
        error = self._failure
        assert error is not None
        log.error("%s: writing failed: %s", self.name, error.strerror)
        try:
            self._writer.rescue()
        except Exception as second:
            log.error("%s: no FINAL could be written: %r", self.name, second)
            with contextlib.suppress(OSError):
                self._writer.abandon()
        with self._inbox.lock:
            self._inbox.items.clear()
        self._tell(self._on_failure, error)
        self._tell(self._done.set_result, None)

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
            self._loop.call_soon_threadsafe(call, *args)


def _create(store: Store, name: str, **rest: Any) -> PartWriter:
    sink = store.create(name)
    try:
        writer = PartWriter(sink, **rest)
        writer.checkpoint()
        return writer
    except BaseException:
        sink.close()
        raise


def _frames_lost(stream: int, loss: _Loss) -> bytes:
    return compact(
        {
            "kind": "frames_lost",
            "stream": stream,
            "frames": loss.frames,
            "from_us": loss.from_us,
            "to_us": loss.to_us,
        }
    )
