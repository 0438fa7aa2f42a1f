"""How much a publisher may send, and how good its connection is. Pure; the time comes in."""

from __future__ import annotations

from math import inf

CEILING_BPS = 2_500_000
"720p at 25 frames a second needs 1.5 Mb/s; above this nothing is gained."
START_BPS = 500_000
"Fills no line of 300 kb/s before that shows; browsers make the first pictures smaller below."
FLOOR_BPS = 150_000
OPENING_S = 4.0
"So long after its first packet a way in is looked at more often, and the answer may double."
DOUBLING_S = 0.2
"While opening: browsers follow at once only until the first report of a loss."
QUEUE_HIGH_S = 0.150
"Packets queueing this long on the way in mean the sender is above its line's rate."
QUEUE_LOW_S = 0.060
CUT_EVERY_S = 0.4
"Let a cut show its effect before the next: so long after what stood in the queue has come."
FRESH_S = 0.15
"No news for longer is no good news: what is to come may stand in a queue."
REMEMBERED_S = 3.0
"So long the answer goes carefully where the line failed."
LOSS_HIGH = 0.10
LOSS_LOW = 0.02


class Allowance:
    """The bitrate answer (REMB) to one publisher's video.

    Starts with what hardly floods a narrow line and doubles until the line shows to be one, so
    that a good one has all within a second; goes down with queueing delay or loss on the way
    in, and with a viewer's own estimate where that viewer's way is really the bottleneck;
    climbs again by 8 % a second, faster while far down.
    """

    def __init__(self) -> None:
        self._bps = float(START_BPS)
        self._at: float | None = None
        self._began_at: float | None = None
        self._failed_bps = inf
        "What the line did not carry last."
        self._settled_at = float("-inf")
        "When the last cut has shown its effect."

    def update(
        self, now: float, *, received_bps: float, loss: float, queue_s: float, viewer_bps: float
    ) -> int:
        """The new answer in bits per second. `loss` is a share, `viewer_bps` may be inf."""
        passed = min(2.0, now - self._at) if self._at is not None else 0.0
        self._at = now
        if self._began_at is None:
            self._began_at = now
        if queue_s > QUEUE_HIGH_S or loss > LOSS_HIGH:
            if now >= self._settled_at:
                cut = self._cut(now, received_bps, loss, queue_s)
                self._failed_bps = min(self._bps, 1.1 * received_bps)
                self._bps, self._settled_at = cut, now + CUT_EVERY_S + queue_s
        elif queue_s < QUEUE_LOW_S and (loss < LOSS_LOW or self._opening(now)):
            self._bps = min(CEILING_BPS, self._bps * self._growth(now) ** passed)
        return int(min(self._bps, max(FLOOR_BPS, viewer_bps)))

    @property
    def bps(self) -> float:
        """What the way in carries, whatever viewers can take."""
        return self._bps

    def _growth(self, now: float) -> float:
        """Factor a second: gentle where the line failed before."""
        if self._opening(now):
            return float(2 ** (1 / DOUBLING_S))
        if self._bps > 0.8 * self._failed_bps and now - self._settled_at < REMEMBERED_S:
            return 1.02
        return 1.25 if self._bps < CEILING_BPS / 3 else 1.08

    def _opening(self, now: float) -> bool:
        """Whether the line has not shown yet how wide it is."""
        if self._began_at is None or self._settled_at > float("-inf"):
            return False
        return now - self._began_at < OPENING_S

    def _cut(self, now: float, received_bps: float, loss: float, queue_s: float) -> float:
        """Below what arrived, but not to nothing at once: a hiccup of ours looks the same.

        What stands in the queue has to leave too, within a second: sound is late till then.
        While opening only the head of a long queue is seen.
        """
        factor = 1 - 0.5 * loss
        if queue_s > QUEUE_HIGH_S:
            factor = 0.4 if self._opening(now) else 0.95 - min(0.6, queue_s)
        wanted = factor * min(self._bps, received_bps * 1.1)
        return max(FLOOR_BPS, min(self._bps, START_BPS) / 3, wanted)


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


class Backlog:
    """How long packets stand in a queue on the way in just now.

    From a few transit times, of packets the sender does not hold back itself: above the
    shortest lately, and the lesser of the last two, since one alone may be a hiccup of ours.
    """

    WINDOW_S = 10.0

    def __init__(self) -> None:
        self._lowest: list[tuple[float, float]] = []
        self._last = 0.0
        self._at = -inf
        self.seconds = 0.0
        "Of the last packets."

    def at(self, now: float) -> float:
        """The same just now, when they may have come long ago."""
        return self.seconds if now - self._at < FRESH_S else max(self.seconds, QUEUE_HIGH_S)

    def add(self, transit_s: float, arrival: float) -> None:
        """Note a packet: when it came less when it was taken, on whatever clock."""
        if self._lowest and abs(transit_s - self._last) > self.WINDOW_S:
            self._lowest.clear()  # the sender's clock jumped
        while self._lowest and self._lowest[-1][1] >= transit_s:
            self._lowest.pop()
        self._lowest.append((arrival, transit_s))
        while self._lowest[0][0] < arrival - self.WINDOW_S:
            self._lowest.pop(0)
        self._at = arrival
        self.seconds = max(0.0, min(transit_s, self._last) - self._lowest[0][1])
        self._last = transit_s


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
