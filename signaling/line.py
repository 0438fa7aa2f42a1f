"""What a viewer's way down carries, and keeping video within it so that sound survives. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from signaling.rate import CEILING_BPS, LOSS_HIGH, LOSS_LOW
from signaling.rtp import Packet

LINE_FLOOR_BPS = 80_000
THIN_BPS = 250_000
"Where to begin again on a line that lost most of a burst: a small picture fits in."
BURST_LOSS = 0.15
"This share of lost packets within a moment is no chance: the line is too narrow."
DENSE_LOSS = 0.4
"Nor is this share of what was sent in a row, even if it was asked for only once."
BURST_S = 0.25
BURST_PACKETS = 8
CUT_EVERY_S = 0.9
"Let a cut show its effect before the next."
SETTLE_S, CHOKED_S = 1.4, 3.2
"Reports that come sooner after a cut still tell of the time before it; longer after a pause."
QUEUE_S = 0.12
"A round trip this much above the shortest means that a queue builds up."
FLOWS_S = 0.04
LATE_S = 0.03
DOUBTFUL_BPS = 600_000
"Jitter makes browsers estimate too little: nothing below this is believed without other signs."
STALE_S = 0.8
"Video waiting longer than this for the line is skipped up to the next key frame."
DRAIN_S = 0.3
PACKET_BYTES = 1150


class Line:
    """The way down to one browser, shared by all it is sent.

    Nothing limits it until something shows that it is the bottleneck: the browser's own
    estimate (REMB), loss in its reports, or many packets asked for again within a moment.
    That last comes within a round trip, where reports take a second or more. From then on the
    rate is felt out: up while nothing is lost, gently where it failed before, down at once.
    Loss that stays the same after going down is the line's own and no reason to go further.
    """

    def __init__(self) -> None:
        self.bps = inf
        "What it carries; inf while nothing limits."
        self._remb_bps: float | None = None
        self._loss = 0.0
        self._own_loss = 0.0
        "What is lost whatever we do."
        self._source_loss = 0.0
        "What gets lost before it reaches us."
        self._samples: list[float] = []
        "Shares lost, heard of since the last update."
        self._sensed = 0
        "Updates with such news since the last cut."
        self._trips: list[float] = []
        self._failed_bps = inf
        "Where it last proved too narrow."
        self._grown = False
        self.cut_at = self._settled_at = -inf
        "The last cut; when its effect stands in reports."
        self._at: float | None = None
        self._missed: dict[tuple[int, int], float] = {}
        self._count = 0
        "Packets that count as missed."
        self._window: list[tuple[float, int, int]] = []
        "The last two moments: when each began, bytes sent and packets missed before."
        self._rates = [0.0]
        "Sent in the last updates."
        self._before = (0, 0)
        "Bytes sent and packets missed at the last update."

    def estimated(self, bps: float) -> None:
        """The browser's estimate."""
        self._remb_bps = bps

    def reported(self, loss: float, source_loss: float = 0.0) -> None:
        """A report on a stream came; what its source has lost lately stands in it too."""
        self._source_loss = max(source_loss, 0.85 * self._source_loss)
        self._samples.append(max(0.0, loss - 1.5 * self._source_loss))

    def took(self, round_trip_s: float) -> None:
        """There and back took so long: above the shortest, packets stand in a queue."""
        self._trips = [*self._trips[-59:], round_trip_s]

    def missed(self, ssrc: int, sequences: list[int], sent: int, now: float) -> bool:
        """The browser asks for packets again; true if that showed the line to be too narrow.

        `sent` is the running total of bytes sent, without what was sent again.
        """
        if not self._window:  # what is missed now was sent before
            began = now - BURST_S if self._at is None else min(self._at, now - BURST_S)
            self._window = [(began, self._before[0], 0)]
        if now - self._window[-1][0] > BURST_S:
            self._forget(now)
            self._window = [*self._window[-1:], (now, sent, self._count)]
        asked = [sequence for sequence in sequences if self._ask((ssrc, sequence), now)]
        began, octets, count = self._window[0]
        packets = max(1.0, (sent - octets) / PACKET_BYTES)
        lost = self._count - count
        rate = max(*self._rates, (sent - octets) * 8 / max(BURST_S, now - began))
        share = _density(asked)
        if len(asked) > BURST_PACKETS and share > DENSE_LOSS + self._source_loss:
            carried = max(THIN_BPS, rate * (1 - share))
            if self._remb_bps is not None and self._remb_bps < 0.9 * rate:
                carried = max(carried, 0.85 * self._remb_bps)
            return self._cut(now, min(self.bps, carried), CHOKED_S)
        share = min(1.0, lost / packets)
        if lost < BURST_PACKETS or share < BURST_LOSS + self._own_loss:
            return False
        return self._cut(now, min(self.bps, rate) * (1 - share), CHOKED_S)

    def _ask(self, name: tuple[int, int], now: float) -> bool:
        """A packet is asked for, for the first time if true: it counts when that happens again.

        The first time it may only be late, for packets overtake each other on the way.
        """
        first = self._missed.get(name)
        if first is None:
            if len(self._missed) < 4000:
                self._missed[name] = now
                return True
        elif now - first > LATE_S and first >= 0:
            self._missed[name] = -now
            self._count += 1
        return False

    def _forget(self, now: float) -> None:
        for name, when in list(self._missed.items()):
            if now - abs(when) < 10:
                break
            del self._missed[name]

    def update(self, now: float, sent_bps: float, sent: int) -> None:
        """Twice a second: the rate now, and the running total as above."""
        passed = min(2.0, now - self._at) if self._at is not None else 0.0
        self._at = now
        self._sense(now, sent)
        self._rates = [*self._rates[-3:], sent_bps]
        found = self._found()
        if found < self.bps:
            self._cut(now, found)
        elif self.bps < inf:
            self._grow(passed, sent_bps)

    def _sense(self, now: float, sent: int) -> None:
        """Take in what was lost lately.

        Reports alone do not tell: what was sent again stands in them as received.
        """
        packets = (sent - self._before[0]) / PACKET_BYTES
        missed = self._count - self._before[1]
        self._before = (sent, self._count)
        samples, self._samples = self._samples, []
        if packets >= 10:
            samples.append(min(1.0, missed / packets))
        if samples and now > self._settled_at:
            self._loss += (max(samples) - self._loss) / 2
            self._sensed += 1

    def _found(self) -> float:
        """What the line carries by the present signs; inf if they show no limit.

        A browser's estimate never rises far above what it is being sent, so an estimate well
        above that says nothing about the line; and it comes after what it is about.
        """
        found, remb = inf, self._remb_bps
        sent_bps = min((one for one in self._rates if one), default=0.0)  # it may just have begun
        busy = self.bps == inf or sent_bps > 0.8 * self.bps
        if remb is not None and (remb < 0.95 * sent_bps or (busy and remb < 1.1 * sent_bps)):
            sure = self._queues or self._loss > LOSS_HIGH + self._own_loss
            if sure or not self._flows:
                found = remb if sure else max(remb, DOUBTFUL_BPS)
        if self._loss > LOSS_HIGH + self._own_loss:
            carried = min(self.bps, max(self._rates)) * (1 - self._loss)
            found = min(found, 0.9 * carried)
        elif (self._grown and self._troubled) or (self._sensed >= 3 and self._queues):
            found = min(found, 0.85 * self.bps)
        return found

    @property
    def _queues(self) -> bool:
        """Packets stand in a queue."""
        lately = sorted(self._trips[-3:])
        return len(lately) == 3 and lately[1] > min(self._trips) + QUEUE_S

    @property
    def _flows(self) -> bool:
        """Nothing stands in a queue, nothing is lost: a busy browser estimates too little, too."""
        lately = self._trips[-3:]
        return len(lately) == 3 and max(lately) < min(self._trips) + FLOWS_S and not self._loss

    @property
    def _troubled(self) -> bool:
        """Packets stand in a queue, or get lost that did not before."""
        return self._queues or self._loss > LOSS_LOW + self._own_loss

    def _grow(self, passed: float, sent_bps: float) -> None:
        if self._sensed >= 3 and not self._grown:
            self._own_loss = min(0.2, self._loss)
        if self._troubled:
            return
        growth = 1.08
        if self.bps < DOUBTFUL_BPS and sent_bps < 0.75 * self.bps:
            growth = 1.02  # nothing shows that it would carry more
        elif self.bps > 1.2 * self._failed_bps:
            self._failed_bps = inf
        elif self.bps > 0.8 * self._failed_bps and (self._remb_bps or 0) < 1.3 * sent_bps:
            growth = 1.02
        self.bps *= growth**passed
        self._grown = self._grown or self._sensed >= 3
        if self.bps > max(CEILING_BPS, 3 * sent_bps):
            self.bps = inf

    def _cut(self, now: float, bps: float, settle_s: float = SETTLE_S) -> bool:
        if now - self.cut_at < CUT_EVERY_S or bps >= self.bps:
            return False
        if self._grown:
            self._failed_bps = self.bps
        elif settle_s == CHOKED_S:
            self._failed_bps = 1.25 * bps  # what it carried of a burst
        self.cut_at = now
        self._settled_at = now + settle_s
        self._loss, self._sensed, self._grown = self._own_loss, 0, False
        self.bps = max(LINE_FLOOR_BPS, bps)
        return True

    def share_bps(self, sound_bps: float, videos: int) -> float:
        """What each of so many videos may take beside the sound."""
        if self.bps == inf:
            return inf
        return max(0.0, 0.95 * self.bps - sound_bps) / max(1, videos)


def _density(sequences: list[int]) -> float:
    """The share these are of all numbers from the first to the last of them."""
    if not sequences:
        return 0.0
    steps = [(one - sequences[0] + 0x8000) & 0xFFFF for one in sequences]
    return len(sequences) / (max(steps) - min(steps) + 1)


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
        self._credit = -DRAIN_S * bps / 8
        "Bytes that may go now. What showed the line to be narrow stands in its queue."
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
        """Take room for a packet that goes past the queue; false if there is none.

        Nor is there while a key frame is waited for: nothing before it is of use any more.
        """
        self._earn(now)
        if self.skipping or self._credit <= 0:
            return False
        self._credit -= size
        return True

    def _earn(self, now: float) -> None:
        # no more than 40 ms at once: a burst would stand before the sound in the line's queue
        most = max(PACKET_BYTES, self.bps / 8 * 0.04)
        self._credit = min(most, self._credit + (now - self._at) * self.bps / 8)
        self._at = now
