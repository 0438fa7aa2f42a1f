"""How much a publisher may send, and how good its connection is. Pure; the time comes in."""

from __future__ import annotations

CEILING_BPS = 2_500_000
"720p at 25 frames a second needs 1.5 Mb/s; above this nothing is gained."
START_BPS = 1_500_000
FLOOR_BPS = 150_000
QUEUE_HIGH_S = 0.150
"Packets queueing this long on the way in mean the sender is above its line's rate."
QUEUE_LOW_S = 0.060
CUT_EVERY_S = 0.9
"Let a cut show its effect before the next."
LOSS_HIGH = 0.10
LOSS_LOW = 0.02


class Allowance:
    """The bitrate answer (REMB) to one publisher's video.

    Starts high, so that a good line shows 720p at once; goes down with queueing delay or loss
    on the way in, and with a viewer's own estimate where that viewer's way is really the
    bottleneck; climbs again by 8 % a second, faster while far down.
    """

    def __init__(self) -> None:
        self._bps = float(CEILING_BPS)
        self._at: float | None = None
        self._lowered_at = float("-inf")

    def update(
        self, now: float, *, received_bps: float, loss: float, queue_s: float, viewer_bps: float
    ) -> int:
        """The new answer in bits per second. `loss` is a share, `viewer_bps` may be inf."""
        passed = min(2.0, now - self._at) if self._at is not None else 0.0
        self._at = now
        if queue_s > QUEUE_HIGH_S or loss > LOSS_HIGH:
            if now - self._lowered_at >= CUT_EVERY_S:
                self._lowered_at = now
                self._bps = self._cut(received_bps, loss, queue_s)
        elif queue_s < QUEUE_LOW_S and loss < LOSS_LOW:
            growth = 1.25 if self._bps < CEILING_BPS / 3 else 1.08
            self._bps = min(CEILING_BPS, self._bps * growth**passed + 20_000 * passed)
        return int(min(self._bps, max(FLOOR_BPS, viewer_bps)))

    def _cut(self, received_bps: float, loss: float, queue_s: float) -> float:
        """Below what arrived, but never to less than half: a hiccup of ours looks the same."""
        factor = 0.85 if queue_s > QUEUE_HIGH_S else 1 - 0.5 * loss
        wanted = factor * min(self._bps, received_bps * 1.1)
        return max(FLOOR_BPS, self._bps / 2, wanted)


class Throughput:
    """Bits per second over the last stretch."""

    def __init__(self) -> None:
        self._octets = 0
        self._since: float | None = None
        self.bps = 0.0

    def measure(self, now: float, octets: int) -> float:
        """The rate since the last measurement, from a running total of bytes.

        Stretches under 0.2 s are not measured.
        """
        if self._since is None:
            self._since, self._octets = now, octets
        elif now - self._since >= 0.2:
            self.bps = max(0, octets - self._octets) * 8 / (now - self._since)
            self._since, self._octets = now, octets
        return self.bps


class QueueDelay:
    """How long frames queue on the way in: their transit time above the shortest lately."""

    WINDOW_S = 10.0

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._base: tuple[float, int] | None = None
        self._lowest: list[tuple[float, float]] = []
        self.seconds = 0.0

    def add(self, timestamp: int, arrival: float) -> None:
        """Note the last packet of a frame: its RTP timestamp and when it came."""
        if self._base is None:
            self._base = (arrival, timestamp)
        ticks = ((timestamp - self._base[1] + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        transit = arrival - self._base[0] - ticks / self._rate
        if abs(ticks) > 600 * self._rate:  # before the difference can wrap
            self._base, self._lowest, transit = (arrival, timestamp), [], 0.0
        while self._lowest and self._lowest[-1][1] >= transit:
            self._lowest.pop()
        self._lowest.append((arrival, transit))
        while self._lowest[0][0] < arrival - self.WINDOW_S:
            self._lowest.pop(0)
        above = transit - self._lowest[0][1]
        self.seconds += (above - self.seconds) / 8


def signal_level(kbps: float, loss: float, rtt_ms: float | None, *, video: bool) -> int:
    """A plain meter: 0 nothing arrives, 1 bad, 2 poor, 3 fair, 4 good."""
    if kbps < 1:
        return 0
    level = 4
    for limit in (0.01, 0.04, 0.10):
        level -= loss > limit
    if rtt_ms is not None:
        level -= (rtt_ms > 250) + (rtt_ms > 600)
    if video:
        level -= (kbps < 500) + (kbps < 200)
    return max(1, level)
