"""What arrived of a stream and what did not: for receiver reports and for NACK. Pure."""

from __future__ import annotations

from signaling.rate import QUEUE_HIGH_S, Backlog
from signaling.rtp import Packet, sequence_delta

MISSING_LIMIT = 256
"Gaps wider than this are not asked for: a key frame is cheaper."
NACK_DELAY_S = 0.010
"A gap younger than this is probably reordering."
NACK_TRIES = 8


class LossBook:
    """What arrived and what did not, for receiver reports (RFC 3550 A.3, A.8) and for NACK."""

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._base: int | None = None
        self.expected = -1
        "The number after the highest, 16 bits. Who sees it come may count it in `run` alone."
        self.run = 0
        "Packets in order, one after another, that do not stand in the following yet."
        self._highest = 0
        self._received = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self.backlog = Backlog()
        "How long packets queue on the way in."
        self._prior = (0, 0)
        self.missing: dict[int, tuple[float, int]] = {}
        "Sequence number -> (earliest time to ask, times asked)."

    @property
    def highest(self) -> int:
        """Extended highest sequence number."""
        return self._highest + self.run

    @property
    def received(self) -> int:
        """How many packets."""
        return self._received + self.run

    def add(self, packet: Packet) -> bool:
        """Note a packet; false if it is a duplicate or far too old."""
        sequence = packet.sequence
        if sequence == self.expected:
            self.expected = (sequence + 1) & 0xFFFF
            self.run += 1
            return True
        if self._base is None:
            self._base = self._highest = sequence
            self.expected = (sequence + 1) & 0xFFFF
            self._received = 1
            # often the only one that has not queued behind the first picture
            self.backlog.add(packet.arrival - packet.timestamp / self._rate, packet.arrival)
            return True
        self._highest, self._received, self.run = self.highest, self.received, 0
        step = sequence_delta(sequence, self._highest & 0xFFFF)
        if step > 0:
            self._note_gap(step, packet.arrival)
            self._highest += step
            self.expected = (sequence + 1) & 0xFFFF
        elif self.missing.pop(sequence, None) is None:
            return False
        self._received += 1
        return True

    def begin_frame(self, packet: Packet) -> None:
        """Note when the first packet of a frame came: that is where jitter shows."""
        transit = packet.arrival * self._rate - packet.timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            if difference < 10 * self._rate:
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        self.backlog.add(transit / self._rate, packet.arrival)

    def _note_gap(self, step: int, now: float) -> None:
        if step > MISSING_LIMIT:
            self.missing.clear()
            return
        for ahead in range(1, step):
            self.missing[(self._highest + ahead) & 0xFFFF] = (now + NACK_DELAY_S, 0)
        while len(self.missing) > MISSING_LIMIT:
            del self.missing[next(iter(self.missing))]

    def due(self, now: float, again_s: float) -> list[int]:
        """Missing numbers to ask for now; each again after `again_s`, NACK_TRIES times.

        None while packets queue on the way in: what comes again would stand before the sound.
        """
        asked: list[int] = []
        if self.backlog.seconds > QUEUE_HIGH_S:
            if self.backlog.seconds > 2 * QUEUE_HIGH_S:
                self.missing.clear()
            return asked
        for sequence, (when, tries) in list(self.missing.items()):
            if tries >= NACK_TRIES:
                del self.missing[sequence]
            elif now >= when:
                self.missing[sequence] = (now + again_s, tries + 1)
                asked.append(sequence)
        return asked

    def report(self) -> tuple[int, int, int, int]:
        """Fraction lost since the last report (0..255), total lost, highest, jitter (ticks)."""
        if self._base is None:
            return 0, 0, 0, 0
        expected = self.highest - self._base + 1
        interval = expected - self._prior[0]
        lost = interval - (self.received - self._prior[1])
        self._prior = (expected, self.received)
        fraction = min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
        total = max(-(1 << 23), min((1 << 23) - 1, expected - self.received))
        return fraction, total, self.highest & 0xFFFFFFFF, int(self._jitter) & 0xFFFFFFFF
