"""A viewer as strict as a browser: which pictures could be shown and when, and what was heard.

A picture can be shown when all its packets are there and so was everything before it, back to a
key frame.  As in a browser it waits for its turn a little, so that a packet may come twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aiortc.rate import RemoteBitrateEstimator

from benchmarks.client import HEADER, SEND_TIME_URI, Client

STUCK_S = 1.0
"After so long without a picture a key frame is asked for, and again after as long."
PLAYOUT_S = 0.4
"The longest a picture waits for its turn; the wait is what 95 in 100 pictures need."
FRAME_S = 0.04
FREEZE_S = FRAME_S + 0.15
"The rule of the browsers' statistics: 150 ms more than usual (and at least three pictures)."
SOUND_S = 0.02
IN_TIME_S = 0.4
"Sound later than this beyond its usual way is of no use."
DEAD_S = 1.0
"A picture that stands still longer is not alive."


@dataclass
class _Pictures:
    """Packets of the picture, put in order."""

    next: int | None = None
    "Extended sequence number that is to come next; None before the first key frame."
    whole: bool = False
    "Whether the frame being put together can be shown."
    held: dict[int, tuple[bool, bool, bool, int]] = field(default_factory=dict)
    "Extended sequence number -> (begins a frame, of a key frame, ends a frame, timestamp)."


class Watch:
    """Looks at everything that comes to one client."""

    def __init__(self, client: Client) -> None:
        self.ready: list[tuple[float, int]] = []
        "When each picture could be shown (monotonic seconds), and its timestamp."
        self.shown: list[float] = []
        "When each picture was shown; after `finish`."
        self.playout_s = 0.0
        "How long pictures waited for their turn; after `finish`."
        self.bytes = 0
        self._client = client
        self._sounds: dict[int, float] = {}
        self._pictures = _Pictures()
        self._top = 0
        self._asked_at = 0.0
        self._estimator = RemoteBitrateEstimator()
        self._time_id = 0
        client.on_packet = self._packet

    def _packet(self, packet: bytes, now: float) -> None:
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(packet)
        self.bytes += len(packet)
        if second & 0x7F != self._client.video.payload_type:
            self._sounds.setdefault(timestamp, now)
            return
        at = 12
        if first & 0x10:
            words = int.from_bytes(packet[14:16], "big")
            self._estimate(packet[16 : 16 + 4 * words], len(packet), ssrc, now)
            at += 4 + 4 * words
        begins, keyframe = _begins(packet, at)
        extended = self._extended(sequence)
        self._pictures.held[extended] = begins, keyframe, bool(second & 0x80), timestamp
        self._advance(now)

    def _extended(self, sequence: int) -> int:
        if not self._top:
            self._top = sequence + 0x10000
        number = self._top + ((sequence - self._top + 0x8000) & 0xFFFF) - 0x8000
        self._top = max(self._top, number)
        return number

    def _advance(self, now: float) -> None:
        pictures = self._pictures
        if pictures.next is None or pictures.next not in pictures.held:
            self._jump()
        while pictures.next is not None and pictures.next in pictures.held:
            begins, _, ends, timestamp = pictures.held.pop(pictures.next)
            pictures.next += 1
            pictures.whole = pictures.whole or begins
            if ends and pictures.whole:
                self.ready.append((now, timestamp))
                pictures.whole = False

    def _jump(self) -> None:
        """Go on with a key frame that is wholly there, past what is missing."""
        pictures = self._pictures
        for number in sorted(pictures.held):
            begins, keyframe, _, _ = pictures.held[number]
            if not (begins and keyframe):
                continue
            end = number
            while end in pictures.held and not pictures.held[end][2]:
                end += 1
            if end in pictures.held:
                pictures.next, pictures.whole = number, False
                for old in [one for one in pictures.held if one < number]:
                    del pictures.held[old]
                return

    def _estimate(self, extensions: bytes, size: int, ssrc: int, now: float) -> None:
        """The bandwidth estimate of browsers of the time before transport-wide reports."""
        if self._client.resent:
            return  # carries the time of its first sending
        number = self._time_id or self._client.extension_id(SEND_TIME_URI)
        self._time_id = number
        at = 0
        while at < len(extensions):
            if extensions[at] == 0:
                at += 1
                continue
            length = (extensions[at] & 15) + 1
            if extensions[at] >> 4 == number:
                sent = int.from_bytes(extensions[at + 1 : at + 4], "big")
                found = self._estimator.add(int(now * 1000), sent, size, ssrc)
                if found is not None:
                    if found[0] < 0.97 * self._client.remb_bps:
                        self._client.report_now = True
                    self._client.remb_bps = found[0]
                return
            at += 1 + length

    def care(self, now: float) -> None:
        """Fifty times a second: reports, and a key frame if the picture is stuck."""
        self._client.report(now)
        last = self.ready[-1][0] if self.ready else 0.0
        if now - max(last, self._asked_at) > STUCK_S and self._client.streams:
            self._asked_at = now
            self._client.want_key_frame()

    # --- what came of it ------------------------------------------------------------------

    def finish(self) -> None:
        """Work out when each picture was shown: the wait of its line put before it."""
        if not self.ready:
            return
        first = self.ready[0][1]
        ways = [at - _ticks(stamp, first) / 90_000 for at, stamp in self.ready]
        shortest = min(ways)
        late = sorted(way - shortest for way in ways)
        self.playout_s = min(PLAYOUT_S, late[int(0.95 * len(late))])
        last = 0.0
        for (at, stamp), _ in zip(self.ready, ways, strict=True):
            turn = shortest + _ticks(stamp, first) / 90_000 + self.playout_s
            last = max(at, turn, last)
            self.shown.append(last)

    def _gaps(self, start: float, end: float) -> list[tuple[float, float]]:
        """(when it ended, its length) of each stretch without a new picture."""
        times = [start, *(at for at in self.shown if start < at < end), end]
        return [(later, later - earlier) for earlier, later in zip(times, times[1:], strict=False)]

    def freezes(self, start: float, end: float) -> tuple[float, float]:
        """Share of the time frozen between two moments, and the longest freeze in seconds."""
        frozen = [gap for _, gap in self._gaps(start, end) if gap > FREEZE_S]
        return sum(frozen) / (end - start), max(frozen, default=0.0)

    def alive_after(self, start: float, end: float) -> float:
        """Seconds from `start` until the picture lives and never again stands still."""
        stops = [at for at, gap in self._gaps(start, end) if gap > DEAD_S]
        return stops[-1] - start if stops else 0.0

    def heard(self, start: float, end: float) -> float:
        """Share of the sound between two moments that came, and in time."""
        if not self._sounds:
            return 0.0
        first = next(iter(self._sounds))
        ways = {stamp: at - _ticks(stamp, first) / 48_000 for stamp, at in self._sounds.items()}
        usual = min(ways.values())
        came = [
            stamp for stamp, at in self._sounds.items()
            if start < at < end and ways[stamp] - usual < IN_TIME_S
        ]  # fmt: skip
        return min(1.0, len(came) / ((end - start) / SOUND_S))


def _ticks(timestamp: int, first: int) -> int:
    """Signed distance between two RTP timestamps."""
    return (timestamp - first + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def _begins(packet: bytes, at: int) -> tuple[bool, bool]:
    """Whether a VP8 frame begins in this packet, and whether it is a key frame (RFC 7741)."""
    first = packet[at]
    at += 1
    if first & 0x80:
        flags = packet[at]
        at += 1
        if flags & 0x80:
            at += 2 if packet[at] & 0x80 else 1
        at += bool(flags & 0x40) + bool(flags & 0x30)
    begins = first & 0x1F == 0x10
    return begins, begins and at < len(packet) and not packet[at] & 1
