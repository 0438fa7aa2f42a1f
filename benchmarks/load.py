"""The load: people who send a clip over and over, and what they see of one another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.client import PACED_PIECES, SAMPLE, Client
from benchmarks.clip import Clip

BEATS = 50
"Rounds a second: in each everybody sends a sound, in each other one a picture."
SLOTS = 20
"Parts of a round, 1 ms each, over which the people are spread."
TAIL = 16
"The last bytes of a packet, by which it is known again at the other end."


class Script:
    """A clip, with the places of its packets by their last bytes."""

    def __init__(self, clip: Clip) -> None:
        self.pictures, self.sounds = clip
        self.places: dict[bytes, int] = {}
        self.first: list[int] = []
        "Place of the first piece of each picture."
        self.size = 0
        for frame in self.pictures:
            self.first.append(self.size)
            # pieces that wait to be sent are not timed: they do not leave when the picture is made
            self._enter([piece if len(frame) <= PACED_PIECES else b"" for piece in frame])
        self.sound = self.size
        self._enter(self.sounds)

    def _enter(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            if packet:
                self.places[packet[-TAIL:]] = self.size
            self.size += 1


class Person:
    """Sends the clip as a camera and a microphone would, and times what comes of another."""

    def __init__(self, client: Client, script: Script, latencies: list[float]) -> None:
        self.client = client
        self.other: Person | None = None
        "Whose packets these are that come."
        self.sent = [0.0] * script.size
        "When each packet of the script left last."
        self._script = script
        self._latencies = latencies
        self._picture = self._sound = 0
        client.on_key_frame_wanted = self._begin
        client.on_sample = self._sample

    def _begin(self) -> None:
        self._picture = 0

    def beat(self, number: int, now: float) -> bool:
        """One fiftieth of a second; true if pieces of a picture wait to be sent."""
        client, script = self.client, self._script
        waiting = False
        if client.sends:
            place = self._sound = (self._sound + 1) % len(script.sounds)
            self.sent[script.sound + place] = now
            client.send_sound(script.sounds[place], 960, now)
            if number % 2 == 0:
                waiting = self._send_picture(now)
        client.report(now)
        return waiting

    def _send_picture(self, now: float) -> bool:
        script = self._script
        frame, place = script.pictures[self._picture], script.first[self._picture]
        self._picture = (self._picture + 1) % len(script.pictures)
        for index in range(place, place + len(frame)):
            self.sent[index] = now
        self.client.send_picture(frame, 3600, now)
        return len(frame) > PACED_PIECES

    def _sample(self, packet: bytes, now: float) -> None:
        place = self._script.places.get(packet[-TAIL:])
        if self.other is not None and place is not None and self.other.sent[place]:
            self._latencies.append(now - self.other.sent[place])


class Load:
    """Everybody who takes part."""

    def __init__(self, clip: Clip) -> None:
        self.people: list[Person] = []
        self.latencies: list[float] = []
        self.late_s = 0.0
        "How far behind its time the load was at worst."
        self._script = Script(clip)
        self._slots: list[list[Person]] = [[] for _ in range(SLOTS)]

    def add(self, *clients: Client) -> None:
        """People of one session; they see one another, in a ring if there are more than two."""
        people = [Person(client, self._script, self.latencies) for client in clients]
        for person, other in zip(people, [*people[1:], people[0]], strict=True):
            person.other = other
        for person in people:
            self._slots[len(self.people) * 7 % SLOTS].append(person)
            self.people.append(person)

    async def run(self) -> None:
        """Send until cancelled."""
        step = 1 / (BEATS * SLOTS)
        start, tick = time.monotonic(), 0
        waiting: set[Person] = set()
        while True:
            now = time.monotonic()
            behind = now - start - tick * step
            self.late_s = max(self.late_s, behind)
            await asyncio.sleep(max(0.0, -behind))
            now = time.monotonic()
            for person in self._slots[tick % SLOTS]:
                if person.beat(tick // SLOTS, now):
                    waiting.add(person)
            for person in list(waiting):
                if not person.client.drain(1, now):
                    waiting.discard(person)
            tick += 1

    async def measure(self, seconds: float) -> dict[str, object]:
        """What everybody saw in the next seconds."""
        clients = [person.client for person in self.people]
        self.latencies.clear()
        self.late_s = 0.0
        before = [_counts(client) for client in clients]
        began, busy = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        passed = time.monotonic() - began
        busy = time.process_time() - busy
        after = [_counts(client) for client in clients]
        packets, frames, asked, again, sent, lost, bad = (
            sum(new[at] - old[at] for new, old in zip(after, before, strict=True))
            for at in range(7)
        )
        return {
            "seconds": round(passed, 1),
            "packets_per_s": round(packets / passed),
            "sent_per_s": round(sent / passed),
            "lost": lost,
            "unreadable": bad,
            "latency_ms": percentiles(self.latencies),
            "timed": len(self.latencies) * SAMPLE,
            "fps": round(frames / passed / max(1, len(clients)), 1),
            "key_frame_requests": asked,
            "sent_again": again,
            "generator_core_percent": round(100 * busy / passed, 1),
            "generator_late_ms": round(1000 * self.late_s, 1),
        }


def _counts(client: Client) -> tuple[int, ...]:
    lost = sum(len(stream.missing) for stream in client.streams.values())
    return (
        client.packets, client.frames, client.pictures_asked, client.asked_again, client.sent,
        lost, client.bad,
    )  # fmt: skip


def percentiles(seconds: list[float]) -> dict[str, float | None]:
    """The 50th, 95th and 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {
        name: round(1000 * ordered[int(len(ordered) * share)], 2) if ordered else None
        for name, share in shares.items()
    }
