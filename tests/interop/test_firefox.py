"""A customer in real Firefox and a robot for a teller: each sees the other, and both are kept."""

import asyncio
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import aioice.ice
import av
import pytest
from yarl import URL

from signaling.ice import host_addresses
from tests.interop.bank import Account, Bank
from tests.interop.firefox import Firefox, Json, Page, eventually
from video_bank.probe.browser import Browser
from video_bank.probe.camera import Camera, Microphone, teller_clip

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

PHONE = (390, 844)
CAMERA = (1280, 720)
"What the page asks its camera for."
TELLER = (640, 360)
"The robot's picture."
CALL_S = 6
"How long they talk once they see each other."
SHOWN = """async (video) => {
  let pictures = 0
  const began = performance.now()
  const count = () => ++pictures && video.requestVideoFrameCallback(count)
  video.requestVideoFrameCallback(count)
  await new Promise((done) => setTimeout(done, 2000))
  return (pictures / (performance.now() - began)) * 1000
}"""
"Pictures a second that a video element puts on the screen."
SCREENSHOTS = "VIDEO_BANK_SCREENSHOTS"


@pytest.fixture(scope="module")
def bank(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank that takes media on the machine's own address: Firefox sends none to loopback.

    It has no loopback candidate (its preference for one does nothing in 153) and pairs no other
    with 127.0.0.1; what goes from an own address to itself does not leave the machine either.
    """
    own = [address for address in host_addresses() if "." in address]
    if not own:
        pytest.skip("no IPv4 address besides loopback")
    data = tmp_path_factory.mktemp("bank") / "data"
    with Bank(data, models, media_addresses=own[0]) as running:
        yield running


@pytest.fixture(autouse=True)
def own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The robot lets ICE use loopback in this process; other tests get back what they had."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", aioice.ice.get_host_addresses)


class Teller:
    """The robot at the other end."""

    def __init__(self, browser: Browser, offers: "asyncio.Queue[str]") -> None:
        self.browser = browser
        self.session = ""
        self._offers = offers

    async def accept(self) -> None:
        """Take who is offered, and enter the call."""
        self.session = await asyncio.wait_for(self._offers.get(), 30)
        await self.browser.post(f"{self._path}/accept")
        clip = await asyncio.to_thread(teller_clip)
        await self.browser.join(self.session, Camera({"pattern": clip}, "pattern"), Microphone())
        await asyncio.wait_for(self.browser.connected.wait(), 30)

    async def end(self) -> None:
        decision = {"verdict": "referred", "reason": "Only the line was looked at"}
        await self.browser.post(f"{self._path}/decision", decision)
        await self.browser.post(f"{self._path}/end", {"reason": "completed"})

    async def recording(self) -> Json:
        """Parts, trust and verdict of the sealed recording."""

        async def sealed() -> Json | None:
            found: Json | None = (await self.browser.get(self._path))["recording"]
            return found if found and found["verdict"] else None

        recording = await eventually(sealed, 30, "a sealed recording")
        assert recording
        await self.browser.post(f"{self._path}/close")
        return recording

    @property
    def _path(self) -> str:
        return f"/api/sessions/{self.session}"


@asynccontextmanager
async def robot_teller(bank: Bank) -> AsyncIterator[Teller]:
    """A teller who is ready; afterwards away."""
    offers: asyncio.Queue[str] = asyncio.Queue()

    def hear(topic: str, data: Json) -> None:
        if topic == "offered":
            offers.put_nowait(data["session"])

    account = bank.accounts["teller"]
    body = {"name": account.name, "password": account.password, "totp": None}
    async with Browser(URL(bank.url), "teller", hear) as browser:
        await browser.post("/api/login", body)
        await browser.open_socket()
        await browser.post("/api/teller/state", {"state": "ready"})
        yield Teller(browser, offers)
        await browser.post("/api/teller/state", {"state": "away"})
        assert browser.errors == []


async def test_a_call(bank: Bank, firefox: str, tmp_path: Path, root: Path) -> None:
    async with Firefox(firefox, tmp_path / "profile") as browser, robot_teller(bank) as teller:
        page = browser.page
        # 1. From the home page into the line, with camera and microphone found good.
        await page.resize(*PHONE)
        await walk_in(page, bank.url)
        await prepare(page)
        await picture(page, "waiting")

        # 2. The call: each sees the other.
        await teller.accept()
        await see_the_teller(page)
        await be_seen(teller)
        await be_measured(page)
        await picture(page, "call")

        # 3. The end, told to the customer.
        await teller.end()
        await page.find("heading", "It needs a second look")
        await picture(page, "result")
        recording = await teller.recording()
        assert page.problems == []

    # 4. Both sides are in the recording, and it is as it was recorded.
    assert recording["verdict"] == "ok"
    await asyncio.to_thread(verify, recording, root)
    for label, seen in (await replay(bank, teller.session)).items():
        print(f"recorded of the {label}: {seen}")
        assert seen["codec"] == "vp8" and seen["sound"] > CALL_S * 25, label
        assert seen["pictures"] > CALL_S * 5, label
        assert seen["size"] == (CAMERA if label == "customer" else TELLER)


async def walk_in(page: Page, url: str) -> None:
    await page.goto(url)
    await picture(page, "home")
    await page.fill("Name", "冯伟超")
    await page.fill("Mobile number", "13800138000")
    await page.press("Send me the code")
    code = await page.text(await page.select("[data-name=code-shown]"))
    assert re.fullmatch(r"\d{6}", code)
    await page.fill("Six-digit code", code)
    await page.press("Confirm and continue")


async def prepare(page: Page) -> None:
    """Consents, business, devices, up to the line."""
    for subject in ("Recording of the call", "Processing of your face"):
        group = await page.find("group", subject)
        await page.click(await page.find("radio", "I agree", group))
    await picture(page, "consents")
    await page.press("Continue")
    await page.click(await page.select("input[name=business][value=identification]"))
    await picture(page, "business")
    await page.press("Continue")
    for device in ("camera", "network"):
        await page.select(f"li[data-name={device}][data-state=good]")
    # Where there is no sound card, Firefox's audio context never starts: the meter stands still,
    # and the chime stays silent; neither may hold anybody up.
    await page.select("li[data-name=microphone]:not([data-state=stop]) .meter")
    speaker = await page.select("li[data-name=speaker]")
    await page.press("Play the sound", speaker)
    await page.press("Yes", speaker)
    await page.select("li[data-name=speaker][data-state=good]")
    assert await page.run("() => document.querySelector('.mirror video').videoWidth") > 0
    await picture(page, "devices")
    await page.press("Join the line")
    await page.find("heading", "You are in line")


async def see_the_teller(page: Page) -> None:
    """The teller's moving picture is on the page, and the page says that it is recorded."""
    video = await page.select('video[aria-label="The teller\'s picture"]')
    state = "(v) => JSON.stringify([v.videoWidth, v.videoHeight])"
    size = f"[{TELLER[0]},{TELLER[1]}]"

    async def arrived() -> bool:
        return bool(await page.run(state, video) == size)

    await eventually(arrived, 30, "the teller's picture")
    fps = await page.run(SHOWN, video)
    print(f"Firefox shows {fps:.1f} pictures a second of the teller")
    assert fps > 5, "of 25, on a machine that runs everything else too"
    assert "Recording" in await page.text(await page.select("[data-name=recording]"))


async def be_seen(teller: Teller) -> None:
    """The teller gets the customer's camera as it is: no pixel of an ID card is given away."""
    viewer = teller.browser.viewer
    await asyncio.wait_for(viewer.seen.wait(), 15)
    before, began = viewer.frames, time.monotonic()
    await asyncio.sleep(CALL_S)
    fps = (viewer.frames - before) / (time.monotonic() - began)
    print(f"the teller gets {viewer.width}×{viewer.height} at {fps:.1f} a second")
    assert (viewer.width, viewer.height) == CAMERA
    assert fps > 5


def widest(stats: list[Json], way: str) -> Json:
    """Of the camera's layers, the other places and the screen: the one with the widest picture."""
    videos = [e for e in stats if e["type"] == way and e["kind"] == "video"]
    return max(videos, key=lambda e: e.get("frameWidth") or 0)


async def be_measured(page: Page) -> None:
    """VP8 both ways, and Firefox's statistics have what the page reports to the server."""
    stats = await page.stats()
    codecs = {entry["id"]: entry["mimeType"] for entry in stats if entry["type"] == "codec"}
    for way in ("inbound-rtp", "outbound-rtp"):
        line = widest(stats, way)
        print(way, {name: line.get(name) for name in ("frameWidth", "framesPerSecond")})
        assert codecs[line["codecId"]] == "video/VP8"
    received = widest(stats, "inbound-rtp")
    assert received["frameWidth"] == TELLER[0] and received["framesPerSecond"] > 0
    assert [e for e in stats if e["type"] == "candidate-pair" and e.get("nominated")]


def verify(recording: Json, root: Path) -> None:
    """By the command, with the public key alone."""
    command = [sys.executable, "-m", "recordings", "verify", *recording["parts"]]
    command += ["--trust", recording["trust"]]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stdout + answer.stderr


async def replay(bank: Bank, session: str) -> dict[str, Json]:
    """What a reviewer is given of each person: codec, pictures and packets of sound."""
    async with reviewer(bank, bank.accounts["reviewer"]) as http:
        async with http.post(
            f"/api/reviews/{session}/viewings", json={"reason": "Sample of the week"}
        ) as answer:
            streams = (await answer.json())["streams"]
        found = {}
        for stream in streams:
            async with http.get(stream["url"]) as answer:
                webm = await answer.read()
            found[stream["label"]] = await asyncio.to_thread(contents, webm)
    assert set(found) == {"customer", "teller"}
    return found


@asynccontextmanager
async def reviewer(bank: Bank, account: Account) -> AsyncIterator[aiohttp.ClientSession]:
    body = {"name": account.name, "password": account.password, "totp": None}
    async with aiohttp.ClientSession(
        bank.url, headers={"Origin": bank.url}, raise_for_status=True
    ) as http:
        async with http.post("/api/login", json=body) as answer:
            http.headers["X-CSRF-Token"] = (await answer.json())["csrf"]
        yield http


def contents(webm: bytes) -> Json:
    with av.open(io.BytesIO(webm), "r") as container:
        codec = container.streams.video[0].codec_context.name
        pictures = [(frame.width, frame.height) for frame in container.decode(video=0)]
    with av.open(io.BytesIO(webm), "r") as container:
        sound = [packet.size for packet in container.demux(audio=0) if packet.size]
    return {
        "codec": codec,
        "size": pictures[-1],
        "pictures": len(pictures),
        "sound": len(sound),
    }


async def picture(page: Page, name: str) -> None:
    """Keep a screenshot where VIDEO_BANK_SCREENSHOTS says; else nothing."""
    if directory := os.environ.get(SCREENSHOTS):
        await page.screenshot(Path(directory) / f"firefox-{name}.png")
