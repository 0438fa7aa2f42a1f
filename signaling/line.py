"""What a viewer's way down carries, and keeping video within it so that sound survives. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from signaling.rate import CEILING_BPS, LOSS_HIGH, LOSS_LOW
from signaling.rtp import Packet

LINE_FLOOR_BPS = 80_000
BURST_LOSS = 0.15
"This share of lost packets within a moment is no chance: the line is too narrow."
BURST_S = 0.25
BURST_PACKETS = 8
CUT_EVERY_S = 0.9
"Let a cut show its effect before the next."
GROWTH = 1.08
"Each second without trouble."
STALE_S = 0.8
"Video waiting longer than this for the line is skipped up to the next key frame."
PACKET_BYTES = 1200


class Line:
    """The way down to one browser, shared by all it is sent.

    Nothing limits it until something shows that it is the bottleneck: the browser's own
    estimate (REMB), loss in its reports, or many packets asked for again within a moment.
    That last comes within a round trip, where reports take a second or more.
    """

    def __init__(self) -> None:
        self.bps = inf
        "What it carries; inf while nothing limits."
        self._remb_bps: float | None = None
        self._loss = 0.0
        self._cut_at = -inf
        self._at: float | None = None
        self._lost: set[tuple[int, int]] = set()
        self._lost_since = -inf

    def estimated(self, bps: float) -> None:
        """The browser's estimate."""
        self._remb_bps = bps

    def reported(self, loss: float, now: float) -> None:
        """A report on a stream came; one about the time before the last cut says nothing."""
        if now - self._cut_at > CUT_EVERY_S:
            self._loss += (loss - self._loss) / 2

    def missed(self, ssrc: int, sequences: list[int], sent_bps: float, now: float) -> bool:
        """The browser asks for packets again; true if that showed the line to be too narrow."""
        if now - self._lost_since > BURST_S:
            self._lost.clear()
            self._lost_since = now
        if len(self._lost) < 1000:
            self._lost.update((ssrc, sequence) for sequence in sequences)
        expected = max(sent_bps, 300_000) * BURST_S / 8 / PACKET_BYTES
        share = min(0.9, len(self._lost) / expected)
        if len(self._lost) < BURST_PACKETS or share < BURST_LOSS:
            return False
        return self._cut(now, sent_bps * (1 - share))

    def update(self, now: float, sent_bps: float) -> None:
        """Twice a second: what is sent now.

        A browser's estimate never rises far above what it is being sent, so an estimate well
        above the present rate says nothing about the line.
        """
        passed = min(2.0, now - self._at) if self._at is not None else 0.0
        self._at = now
        found = inf
        if self._remb_bps is not None and self._remb_bps < 1.1 * sent_bps:
            found = self._remb_bps
        if self._loss > LOSS_HIGH:
            found = min(found, sent_bps * (1 - self._loss))
        if found < self.bps:
            self._cut(now, found)
        elif self.bps < inf and self._loss < LOSS_LOW:
            self.bps *= GROWTH**passed
            if self.bps > max(CEILING_BPS, 3 * sent_bps):
                self.bps = inf

    def _cut(self, now: float, bps: float) -> bool:
        if now - self._cut_at < CUT_EVERY_S or bps >= self.bps:
            return False
        self._cut_at = now
        self._loss = 0.0
        self.bps = max(LINE_FLOOR_BPS, bps)
        return True

    def share_bps(self, sound_bps: float, videos: int) -> float:
        """What each of so many videos may take beside the sound."""
        if self.bps == inf:
            return inf
        return max(0.0, 0.95 * self.bps - sound_bps) / max(1, videos)


class Pacer:
    """Lets one video through no faster than its share of the line.

    What has to wait too long is skipped, except the frame already begun: at worst the viewer
    gets a key frame now and then, and the sound beside it always.
    """

    def __init__(self, bps: float, now: float) -> None:
        self.bps = bps
        self.skipping = False
        "Packets are thrown away until a key frame comes."
        self._queue: list[Packet] = []
        self._credit = 0.0
        "Bytes that may go now."
        self._at = now

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, packet: Packet) -> None:
        """One more packet waits."""
        self._queue.append(packet)
        head = self._queue[0]
        if packet.arrival - head.arrival > STALE_S:
            self._queue = [one for one in self._queue if one.timestamp == head.timestamp]
            self.skipping = True

    def clear(self) -> None:
        """Nothing waits any more; what comes next is welcome."""
        self._queue.clear()
        self.skipping = False

    def drain(self, now: float, send: Callable[[Packet], None]) -> None:
        """Send what may go."""
        self._earn(now)
        sent = 0
        for packet in self._queue:
            if self._credit <= 0:
                break
            self._credit -= len(packet.data)
            sent += 1
            send(packet)
        del self._queue[:sent]

    def spend(self, size: int, now: float) -> bool:
        """Take room for a packet that goes past the queue; false if there is none."""
        self._earn(now)
        if self._credit <= 0:
            return False
        self._credit -= size
        return True

    def _earn(self, now: float) -> None:
        # no more than 40 ms at once: a burst would stand before the sound in the line's queue
        most = max(PACKET_BYTES, self.bps / 8 * 0.04)
        self._credit = min(most, self._credit + (now - self._at) * self.bps / 8)
        self._at = now
