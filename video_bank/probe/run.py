"""One session from invitation to seal, played by two robots."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyotp
from yarl import URL

from .browser import LOGOUT, Browser, Json, Refused
from .camera import Camera, Clip, Microphone, sound, still_clip, teller_clip, video_clip

log = logging.getLogger(__name__)

ID_FIELDS = ("name", "sex", "nation", "birth", "address", "id", "authority", "valid")
CARDS = ("card_front", "card_back")
POLL_S = 0.5
STALLED_S = 20
"A check that waits this long while none runs is asked for by the teller."


class Failed(Exception):
    """The session cannot go on; the text says where it stopped."""


@dataclass(frozen=True)
class Options:
    """What the robots are given."""

    server: URL
    teller: str
    password: str = field(repr=False)
    totp: str | None = field(repr=False)
    "Base32 secret of the teller's second factor."
    customer_video: Path
    id_front: Path
    id_back: Path
    customer_audio: Path | None
    business: str | None
    "Id of the business to come for; None: the first that asks for an ID card."
    checks_s: float
    "Longest wait for all checks together, seconds."


@dataclass
class Report:
    """What came of it; printed as JSON."""

    session: str | None = None
    connected_ms: int | None = None
    "From the teller's accept until both robots' media were connected."
    first_picture_ms: int | None = None
    "From the teller's accept until the teller saw the customer."
    video: Json = field(default_factory=lambda: {"width": None, "height": None, "fps": None})
    "The customer's picture as the teller received it."
    id_card: Json = field(default_factory=lambda: dict.fromkeys(ID_FIELDS))
    face_match: Json = field(
        default_factory=lambda: {"score": None, "threshold": None, "verdict": "not checked"}
    )
    liveness: Json = field(default_factory=lambda: {"verdict": "not checked", "prompts": []})
    checks: list[Json] = field(default_factory=list)
    "Every check of the business: check, verdict, reason."
    decision: str | None = None
    recording: Json = field(default_factory=lambda: {"paths": [], "trust": None, "verdict": None})
    errors: list[str] = field(default_factory=list)

    @property
    def sealed(self) -> bool:
        """The session ran to its end and its recording verifies."""
        return bool(self.recording["verdict"] == "ok")

    def as_json(self) -> Json:
        return asdict(self)


async def run(options: Options) -> Report:
    """Run one session; what goes wrong stands in the report's errors."""
    report = Report()
    try:
        log.info("encoding the customer's pictures")
        clips = await asyncio.to_thread(_customer_clips, options)
        audio = options.customer_audio
        voice = await asyncio.to_thread(sound, audio) if audio else None
        robots = Robots(options, report, Camera(clips, "face"), Microphone(voice))
        await robots.play()
    except (Failed, Refused, OSError, ValueError, aiohttp.ClientError) as error:
        report.errors.append(str(error) or type(error).__name__)
    return report


def _customer_clips(options: Options) -> dict[str, Clip]:
    return {
        "face": video_clip(options.customer_video),
        "card_front": still_clip(options.id_front),
        "card_back": still_clip(options.id_back),
    }


@contextlib.asynccontextmanager
async def _step(what: str, seconds: float) -> AsyncIterator[None]:
    """One step with its own patience; running out of it names the step."""
    log.info("%s", what)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Failed(f"{what}: not within {seconds:g} s") from None


class Robots:
    """A customer and a teller and what they know of their session."""

    def __init__(
        self, options: Options, report: Report, camera: Camera, microphone: Microphone
    ) -> None:
        self._options = options
        self._report = report
        self._camera = camera
        self._microphone = microphone
        self._session = ""
        self._asked = ""
        self._offers: asyncio.Queue[str] = asyncio.Queue()

    async def play(self) -> None:
        """The whole session; raises Failed or Refused where it stops."""
        server = self._options.server
        async with (
            Browser(server, "teller", self._hear_as_teller) as teller,
            Browser(server, "customer", self._hear_as_customer) as customer,
        ):
            try:
                # 1. The teller signs in and is ready; the customer comes by invitation and queues.
                await self._sign_in(teller)
                await self._arrive(teller, customer)
                # 2. The server offers the customer, the teller accepts, both enter the call.
                await self._meet(teller, customer)
                # 3. The server runs the checks; the camera shows what is asked for.
                await self._be_checked(teller)
                # 4. The teller decides by the verdicts and ends; the recording is sealed.
                self._measure(teller)
                await self._decide(teller)
                await self._end(teller)
                await self._await_seal(teller)
            finally:
                self._measure(teller)
                await self._go_home(teller, customer)
                self._report.errors += teller.errors + customer.errors

    def _hear_as_teller(self, topic: str, data: Json) -> None:
        if topic == "offered":
            self._offers.put_nowait(data["session"])
        elif topic == "finding":
            finding = data["finding"]
            log.info("%s: %s (%s)", finding["check"], finding["verdict"], finding["reason"])
        elif topic == "alarm":
            self._report.errors.append(f"alarm: {data.get('code')}")

    def _hear_as_customer(self, topic: str, data: Json) -> None:
        if topic == "guide":
            mode = data.get("mode")
            self._camera.show(mode if mode in CARDS else "face")
            asked = f"{mode}: {data.get('prompt') or data.get('hint')}"
            if asked != self._asked:
                log.info("the customer is asked for %s", asked)
            self._asked = asked

    async def _sign_in(self, teller: Browser) -> None:
        options = self._options
        async with _step("the teller signs in", 30):
            code = pyotp.TOTP(options.totp).now() if options.totp else None
            body = {"name": options.teller, "password": options.password, "totp": code}
            await teller.post("/api/login", body)
            await teller.open_socket()
            await teller.post("/api/teller/state", {"state": "ready"})

    async def _arrive(self, teller: Browser, customer: Browser) -> None:
        async with _step("the customer comes by invitation", 30):
            made = await teller.post(
                "/api/invitations",
                {"name": "Probe", "phone": None, "business": self._options.business, "hours": 1},
            )
            token = URL(made["url"]).path.rpartition("/")[2]
            await customer.post("/api/invitations/accept", {"token": token})
            visit = await customer.get("/api/visit")
            await customer.open_socket()
        async with _step("the customer joins the queue", 30):
            body = {
                "business": self._options.business or _identifying_business(visit),
                "language": "zh",
                "consent_recording": True,
                "consent_face": True,
                "consent_version": visit["consents"]["version"],
            }
            session = (await customer.post("/api/sessions", body))["session"]
            self._session = self._report.session = session["id"]
            log.info("session %s", self._session)

    async def _meet(self, teller: Browser, customer: Browser) -> None:
        path = f"/api/sessions/{self._session}"
        async with _step("the teller is offered the customer", 60):
            while (offered := await self._offers.get()) != self._session:
                log.info("declining %s, somebody else's session", offered)
                await teller.post(f"/api/sessions/{offered}/decline")
                await teller.post("/api/teller/state", {"state": "ready"})
        accepted_s = time.monotonic()
        async with _step("both enter the call", 30):
            await teller.post(f"{path}/accept")
            await _until(lambda: customer.get(path), lambda view: view["state"] == "talking")
            await asyncio.gather(
                teller.join(self._session, Camera({"pattern": teller_clip()}, "pattern"),
                            Microphone()),
                customer.join(self._session, self._camera, self._microphone),
            )  # fmt: skip
            await asyncio.gather(teller.connected.wait(), customer.connected.wait())
            self._report.connected_ms = round((time.monotonic() - accepted_s) * 1000)
        async with _step("the teller sees the customer", 15):
            await teller.viewer.seen.wait()
            seen_s = teller.viewer.first_s or time.monotonic()
            self._report.first_picture_ms = round((seen_s - accepted_s) * 1000)

    async def _be_checked(self, teller: Browser) -> None:
        path = f"/api/sessions/{self._session}"
        moved_s = time.monotonic()
        async with _step("the checks run", self._options.checks_s):
            while True:
                view = await teller.get(path)
                self._note_findings(view["checks"])
                states = {check["check"]: check["state"] for check in view["checks"]}
                if view["state"] != "talking":
                    raise Failed(f"the session left the call during the checks: {view['state']}")
                if all(state == "done" for state in states.values()):
                    return
                if "running" in states.values():
                    moved_s = time.monotonic()
                elif time.monotonic() - moved_s > STALLED_S:
                    waiting = next(name for name, state in states.items() if state == "waiting")
                    log.info("asking for %s, which waits", waiting)
                    await teller.post(f"{path}/checks/{waiting}")
                    moved_s = time.monotonic()
                await asyncio.sleep(POLL_S)

    def _note_findings(self, checks: list[Json]) -> None:
        """Copy what the checks of the teller's view found into the report."""
        report = self._report
        report.checks = []
        for check in checks:
            finding = check["finding"] or {}
            verdict = finding.get("verdict", "not checked")
            values = finding.get("values") or {}
            row = {"check": check["check"], "verdict": verdict, "reason": finding.get("reason")}
            report.checks.append(row)
            if check["check"].startswith("id_card"):
                report.id_card |= {
                    name: _plain(values[name]) for name in ID_FIELDS if name in values
                }
            elif check["check"] == "face_match":
                scores = {name: finding.get(name) for name in ("score", "threshold")}
                report.face_match = {**scores, "verdict": verdict}
            elif check["check"] == "liveness":
                report.liveness = {"verdict": verdict, "prompts": values.get("prompts", [])}

    async def _decide(self, teller: Browser) -> None:
        checks = self._report.checks
        open_points = [f"{c['check']} {c['verdict']}" for c in checks if c["verdict"] != "passed"]
        verdict = "refused" if open_points or not checks else "approved"
        reason = "; ".join(open_points) or "all checks passed"
        async with _step(f"the teller decides: {verdict}", 15):
            body = {"verdict": verdict, "reason": reason}
            await teller.post(f"/api/sessions/{self._session}/decision", body)
            self._report.decision = verdict

    async def _end(self, teller: Browser) -> None:
        path = f"/api/sessions/{self._session}"
        async with _step("the teller ends and closes", 30):
            await teller.post(f"{path}/end", {"reason": "completed"})
            await teller.post(f"{path}/close")

    async def _await_seal(self, teller: Browser) -> None:
        async with _step("the recording is sealed", 60):
            view = await _until(
                lambda: teller.get(f"/api/sessions/{self._session}"),
                lambda view: bool(view["recording"] and view["recording"]["verdict"]),
            )
        recording = view["recording"]
        self._report.recording = {
            "paths": recording["parts"],
            "trust": recording["trust"],
            "verdict": recording["verdict"],
        }
        if recording["verdict"] != "ok":
            raise Failed(f"the recording's seal: {recording['verdict']}")

    def _measure(self, teller: Browser) -> None:
        seen = teller.viewer
        if seen.frames:
            fps = round(seen.fps, 1)
            self._report.video = {"width": seen.width, "height": seen.height, "fps": fps}

    async def _go_home(self, teller: Browser, customer: Browser) -> None:
        """Leave nothing behind: whatever still works is undone, the rest times out there."""
        closed = self._report.sealed
        path = f"/api/sessions/{self._session}"
        farewells: list[tuple[Browser, str, Json]] = []
        if self._session and not closed:
            farewells += [
                (customer, f"{path}/leave", {}),
                (teller, f"{path}/end", {"reason": "probe_failed"}),
                (teller, f"{path}/close", {}),
            ]
        farewells += [
            (teller, "/api/teller/state", {"state": "away"}),
            (customer, LOGOUT, {}),
            (teller, LOGOUT, {}),
        ]
        for browser, where, body in farewells:
            try:
                async with asyncio.timeout(10):
                    await browser.post(where, body)
            except (Refused, TimeoutError, aiohttp.ClientError) as error:
                log.debug("- on the way home: %s", error)


def _identifying_business(visit: Json) -> str:
    for business in visit["businesses"]:
        if "id_card" in business["need"]:
            return str(business["id"])
    raise Failed("no business asks for an ID card")


def _plain(value: Any) -> Any:
    """A field's value; the server sends it with its confidence beside it."""
    return value["value"] if isinstance(value, dict) and "value" in value else value


async def _until(ask: Callable[[], Awaitable[Json]], good: Callable[[Json], bool]) -> Json:
    """Ask until the answer is good; the caller's step limits the time."""
    while True:
        answer = await ask()
        if good(answer):
            return answer
        await asyncio.sleep(POLL_S / 2)
