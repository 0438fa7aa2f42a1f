"""Each benchmark of calls runs, small, and prints its JSON line; the relay does as told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import client, janus, load, media, relay, robot

ROOT = Path(__file__).resolve().parents[2]


def ran(module: str, *arguments: str, good: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    """The JSON line of a benchmark; figures may miss their limits on a busy machine."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode in good, done.stderr
    (line,) = done.stdout.splitlines()
    return dict(json.loads(line))


def test_a_recorded_call_and_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = ran("media", "--sessions", "1", "--seconds", "1.5", "--warm", "0.7", "--record")
    assert figures["lost"] == 0 and figures["unreadable"] == 0
    assert figures["fps"] > 20 and figures["packets_per_s"] > 300
    assert 0 < figures["core_percent_per_session"] < 50
    assert figures["latency_ms"]["p50"] < 100
    assert figures["frames_dropped"] == 0 and figures["recorded_mb"] > 0.3
    assert 0 <= figures["recorder_share"] < 0.5 and figures["mb_per_session"] < 20


def test_without_janus_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(janus, "available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["media", "--peer", "janus"])
    assert media.main() == 2
    assert "apt-get install janus" in capsys.readouterr().err


def test_first_picture() -> None:
    figures = ran("setup", "--calls", "1")
    assert 0 < figures["first_picture_ms"]["median"] < 3000
    assert figures["connected_ms"]["median"] <= figures["first_picture_ms"]["median"]


def test_nothing_is_left_of_calls() -> None:
    figures = ran("leak", "--calls", "4", "--warm", "2", "--seconds", "0.1")
    assert figures["growth"]["threads"] <= 0 and figures["growth"]["descriptors"] <= 0
    assert figures["growth"]["tasks"] <= 0 and figures["growth"]["sessions"] == 0
    assert figures["growth"]["rss_mb"] < 10


def test_a_bad_line() -> None:
    figures = ran("impaired", "viewer_loss", "--seconds", "3.3")
    (found,) = figures["cases"].values()
    assert found["sound_percent"] > 80 and found["beeps"] >= 2
    assert found["skew_ms"] < 150 and found["recorded_pictures"] > 40


def test_further_viewers() -> None:
    figures = ran("viewers", "--rooms", "1", "--viewers", "2", "--seconds", "0.5", "--warm", "0.7")
    assert 0 < figures["core_percent_one_viewer"] < figures["core_percent_all"] + 10


def test_a_lane_is_the_same_each_time_and_does_what_it_says() -> None:
    trouble = relay.Trouble(loss=0.05, delay_s=0.01, jitter_s=0.05, reorder=0.01)
    lanes = [relay.Lane(trouble, 7) for _ in range(2)]
    ways = [[lane.leaves(1000, at / 500) for at in range(5000)] for lane in lanes]
    assert ways[0] == ways[1]
    delays = [way - at / 500 for at, way in enumerate(ways[0]) if way is not None]
    assert 0.04 < 1 - len(delays) / 5000 < 0.06
    assert 0.009 < min(delays) and max(delays) <= 0.161
    assert 0.05 < sum(delays) / len(delays) < 0.1


def test_a_narrow_lane_queues_and_then_drops() -> None:
    lane = relay.Lane(relay.Trouble(bps=300_000, queue_s=0.5), 1)
    passed = [lane.leaves(1222, at / 100) for at in range(1000)]  # 1 Mb/s
    carried = [way for way in passed if way is not None]
    assert len(carried) * 10_000 == pytest.approx(3_000_000, rel=0.1)
    assert carried == sorted(carried)
    assert max(way - at / 100 for at, way in enumerate(passed) if way is not None) <= 0.5


@pytest.mark.parametrize(("width", "height"), [(320, 192), (640, 352)])
def test_a_picture_carries_its_number(width: int, height: int) -> None:
    chance = np.random.default_rng(1)
    for number in (0, 1, 777, 4095):
        grey = robot.marked(width, height, number)
        noisy = np.clip(grey + chance.normal(0, 25, grey.shape), 0, 255).astype(np.uint8)
        assert robot.number_of(noisy) == number


def test_what_is_missing_is_asked_for_and_counted() -> None:
    stream = client.Incoming(1, 65_534, video=True)
    for sequence in (65_534, 65_535, 2, 3):
        assert stream.add(sequence, 0.0)
    assert not stream.add(3, 0.0)
    assert stream.due(0.005, 0.1) == [] and stream.due(0.02, 0.1) == [0, 1]
    assert stream.due(0.05, 0.1) == []
    assert stream.add(0, 0.06)
    assert [number & 0xFFFF for number in stream.missing] == [1]
    assert stream.block(1.0).total_lost == 1


def test_percentiles() -> None:
    assert load.percentiles([]) == {"p50": None, "p95": None, "p99": None}
    assert load.percentiles([n / 1000 for n in range(100)]) == {"p50": 50, "p95": 95, "p99": 99}


async def test_a_relay_stands_in_the_servers_place() -> None:
    between = relay.Relay(relay.Trouble(), relay.Trouble(), 1)
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            heard.put_nowait(data)
            self.transport.sendto(b"back", addr)

    class Page(Echo):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            heard.put_nowait(data)

    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
    port = server.get_extra_info("sockname")[1]
    line = "a=candidate:1 1 udp 2130706431 127.0.0.1 {} typ host\r\n"
    answer = await between.detour(line.format(port) * 2)
    shown = int(answer.split()[5])
    assert answer == line.format(shown) * 2 and shown != port
    page, _ = await loop.create_datagram_endpoint(Page, remote_addr=("127.0.0.1", shown))
    page.sendto(b"there")
    assert await asyncio.wait_for(heard.get(), 5) == b"there"
    assert await asyncio.wait_for(heard.get(), 5) == b"back"
    for transport in (page, server):
        transport.close()
    between.close()
    await asyncio.sleep(0)


def test_a_report_of_earlier_lines(tmp_path: Path) -> None:
    ours = {
        "benchmark": "media", "command": "media --sessions 2", "sessions": 2, "record": True,
        "core_percent_per_session": 1.5, "latency_ms": {"p50": 1, "p95": 2, "p99": 3}, "lost": 0,
        "mb_per_session": 2.5, "peer": {"core_percent_per_session": 1.2},
        "ratio_cpu_per_session": 1.25,
    }  # fmt: skip
    case = dict.fromkeys(("frozen_percent", "longest_freeze_s", "alive_after_s"), 0.5)
    case |= {"sound_percent": 99, "skew_ms": 20, "ok": False}
    line = {"benchmark": "impaired", "command": "impaired", "cases": {"viewer_loss": case}}
    rows = [
        ours,
        line,
        {
            "benchmark": "leak",
            "command": "leak",
            "calls": 5,
            "growth": {"rss_mb": 0.2, "threads": 0},
            "limit_mb": 10,
        },
    ]
    lines = tmp_path / "lines"
    lines.write_text("\n".join(json.dumps(row) for row in rows))
    to = tmp_path / "reports" / "capacity.md"
    command = [sys.executable, "-m", "benchmarks.report", "--lines", str(lines), "--to", str(to)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=30)
    text = to.read_text()
    assert "| 2 | yes | 1.5 | 1.2 | 1.25 | 1 / 2 / 3 | 0 |" in text
    assert "| viewer's: loss | 0.5 |" in text and "**no**" in text
    assert "rss_mb +0.2, threads +0" in text and "python -m benchmarks.impaired" in text
