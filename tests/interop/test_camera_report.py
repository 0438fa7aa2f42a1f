"""Chromium's own stand-ins for a camera, seen through the page's report and its pictures."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from kyc.check import Verdict
from kyc.liveness.injection import Injection, Report, camera
from tests.interop.people import open_chromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

WIDTH, HEIGHT, LOOP_S = 320, 240, 3

OPEN = """async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ video: true })
  const [track] = stream.getVideoTracks()
  const video = document.createElement("video")
  Object.assign(video, { srcObject: stream, muted: true })
  await video.play()
  Object.assign(window, { track, video })
  const { describe } = await import("/lib/camera_report.js")
  return describe(track, 1)
}"""
WATCH = """async (seconds) => {
  const { video } = window
  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 })
  const context = canvas.getContext("2d", { willReadFrequently: true })
  const seen = []
  const began = performance.now()
  while (performance.now() - began < 1000 * seconds) {
    await new Promise((done) => video.requestVideoFrameCallback(done))
    context.drawImage(video, 0, 0, 320, 240)
    const { data } = context.getImageData(0, 0, 320, 240)
    let green = ""
    for (let at = 1; at < data.length; at += 4) green += String.fromCharCode(data[at])
    seen.push([performance.now() - began, btoa(green)])
    await new Promise((done) => setTimeout(done, 90))
  }
  return seen
}"""
ASK = """async () => {
  const { CameraReport } = await import("/lib/camera_report.js")
  const { video, track } = window
  let asked
  const socket = { onNotice: (topic, listener) => ((asked = listener), () => {}) }
  const report = new CameraReport({
    socket, session: "s", track: () => track, cameras: async () => 1,
  })
  const rate = async () => {
    let count = 0, going = true
    const next = () => { count += 1; if (going) video.requestVideoFrameCallback(next) }
    video.requestVideoFrameCallback(next)
    await new Promise((done) => setTimeout(done, 2000))
    going = false
    return count / 2
  }
  const before = await rate()
  asked({ session: "s", probe: "p", frame_rate: 12, seconds: 4 })
  await new Promise((done) => setTimeout(done, 1000))
  const during = await rate()
  report.close()
  return { before, during }
}"""


@pytest.fixture(scope="module")
def pages(root: Path) -> Iterator[tuple[str, list[bytes]]]:
    """The page's modules, served to the machine itself; and what was posted there."""
    posted: list[bytes] = []

    class Files(http.server.SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(202)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    served = functools.partial(Files, directory=str(root / "web" / "static"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/lib/", posted
        server.shutdown()


def film(path: Path) -> Path:
    """Three seconds of a ball that wanders over a patterned wall, as a camera's file."""
    chance = np.random.default_rng(5)
    wall = cv2.resize(chance.integers(60, 190, (12, 16, 3), np.uint8), (WIDTH, HEIGHT))
    with path.open("wb") as file:
        for number in range(LOOP_S * 30):
            at = 2 * np.pi * number / (LOOP_S * 30)
            middle = (int(160 + 110 * np.sin(at)), int(120 + 80 * np.sin(2 * at + 0.4)))
            picture = cv2.circle(wall.copy(), middle, 40, (250, 250, 250), -1)
            file.write(cv2.imencode(".jpg", picture)[1].tobytes())
    return path


def judged(page: Page, seconds: float) -> Any:
    """What is said of the pictures the page shows."""
    import base64

    injection = Injection()
    for at_ms, encoded in page.evaluate(WATCH, seconds):
        green = np.frombuffer(base64.b64decode(encoded), np.uint8)
        bgr = np.repeat(green[:, None], 3, axis=1).tobytes()
        injection.looked(WIDTH, HEIGHT, bgr, int(at_ms * 1000))
    return injection.signals()["repeats"]


def test_a_film_in_place_of_a_camera_is_noticed(
    chromium: str, pages: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    address, posted = pages
    with (
        sync_playwright() as playwright,
        open_chromium(playwright, chromium, film(tmp_path / "film.mjpeg")) as browser,
    ):
        page = browser.new_page()
        page.goto(address)
        report = page.evaluate(OPEN)
        sign = camera(Report.of(report))
        assert (sign.verdict, sign.reason) == (Verdict.FAILED, "virtual_camera"), report

        repeats = judged(page, 2.6 * LOOP_S)
        assert (repeats.verdict, repeats.reason) == (Verdict.FAILED, "looped")
        assert repeats.values["period_s"] % LOOP_S == pytest.approx(0, abs=0.35) or (
            LOOP_S - repeats.values["period_s"] % LOOP_S < 0.35
        )

        # Real Chromium takes the question, and its stream follows.
        rates = page.evaluate(ASK)
        assert rates["before"] > 18 and rates["during"] <= 15
        assert b'"probe":"p"' in posted[-1] and b'"applied":true' in posted[-1]
