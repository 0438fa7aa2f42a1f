"""Which checks run in which session, and what becomes of their answers.

The glue between the banking side and :mod:`kyc`: pictures come out of the call, go to the
inference process, and what it establishes becomes a Finding in the database, an entry in the
timeline and an event on the pages.  A check that could not run answers "not checked".
"""

import asyncio
import contextlib
import logging
import secrets as randomness
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kyc.check import AllOf, Finding, Guidance, Passed, Verdict
from kyc.liveness.challenge import draw
from kyc.worker import Inference, InferenceUnavailable
from video_bank.bus import Bus
from video_bank.businesses import FACE_CHECKS, Businesses
from video_bank.change import Change
from video_bank.customers import Customers
from video_bank.errors import Conflict, NotFound, UserError
from video_bank.findings import Findings, newest
from video_bank.sessions import DECISIONS, Sessions, text
from video_bank.storage import now_us

log = logging.getLogger(__name__)

PROMPT_COUNTS = (4, 5)
"""How many movements are asked for is chosen at random too: where it ends cannot be known."""
MODES = {"id_card_front": "card_front", "id_card_back": "card_back"}
"""What the customer is asked to show; everything else looks at the face."""
RATES = {"liveness": 10.0, "face_match": 4.0, "id_card_front": 4.0, "id_card_back": 4.0}
"""Pictures a second: a blink lasts 0.1–0.3 s; a card is read far slower than it is shown."""
GUIDE_EVERY_S = 0.25
"""A new instruction is told at once; progress and position of one that stands, this often."""
PICTURE_GAP_S = 5.0
"""Without a picture for this long the customer is told that the camera is not seen."""


class Picture(Protocol):
    """One decoded frame of the customer's camera."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def bgr(self) -> bytes: ...
    @property
    def time_us(self) -> int: ...


class Camera(Protocol):
    """Where pictures of a session's customer come from."""

    def pictures(self, session: str, fps: float) -> AsyncGenerator[Picture, None]:
        """The newest picture, at most ``fps`` times a second, as long as the call is up."""

    def media_time_us(self, session: str) -> int | None:
        """The session's media time now."""


@dataclass
class Examination:
    """The checks of one session."""

    session: str
    customer: str
    teller: str
    face_allowed: bool
    wanted: list[str]
    "Checks still to run, in order."
    attempts: dict[str, int] = field(default_factory=dict)
    running: str | None = None
    guide: dict[str, Any] | None = None
    guided_at: float = 0.0
    portrait: bytes | None = None
    "The card's portrait (JPEG), in memory for the length of the session only."
    front: Mapping[str, Any] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Feed:
    """Pictures with a deadline each.

    A plain ``wait_for`` would cancel the generator when it runs out, and end it with that.
    """

    def __init__(self, pictures: AsyncGenerator[Picture, None]) -> None:
        self._pictures = pictures
        self._coming: asyncio.Task[Picture] | None = None

    async def next(self, seconds: float) -> Picture | None:
        """The next picture, or None when none came in time; it may come later."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(anext(self._pictures))
        done, _ = await asyncio.wait({self._coming}, timeout=seconds)
        if not done:
            return None
        coming, self._coming = self._coming, None
        return coming.result()

    async def aclose(self) -> None:
        """Look no longer."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
        await self._pictures.aclose()


def not_checked(check: str, reason: str, time_us: int | None) -> Finding:
    """The answer of a check that did not run to its end."""
    return Finding(check, Verdict.NOT_CHECKED, reason, media_time_us=time_us)


class Checks:
    """Every examination under way, and every Finding made."""

    def __init__(
        self,
        bus: Bus,
        sessions: Sessions,
        findings: Findings,
        businesses: Businesses,
        customers: Customers,
        inference: Inference,
        camera: Camera,
        *,
        check_s: float,
        prompt_s: float,
    ) -> None:
        self._bus, self._sessions, self._findings = bus, sessions, findings
        self._businesses = businesses
        self._customers = customers
        self._inference, self._camera = inference, camera
        self._check_s, self._prompt_s = check_s, prompt_s
        self._open: dict[str, Examination] = {}

    # -- running --------------------------------------------------------------------------

    async def begin(self, session: str) -> None:
        """Run the business's checks one after another; a session already begun is left alone."""
        if session in self._open:
            return
        row = await self._sessions.get(session)
        examination = Examination(
            session,
            row["customer_id"],
            row["teller_id"],
            bool(row["consent_face"]),
            list(self._businesses[row["business"]].checks),
        )
        self._open[session] = examination
        examination.task = asyncio.create_task(self._run(examination))

    def request(self, session: str, check: str) -> None:
        """Run one check (again), after what runs now.

        Raises:
            Conflict: the call is not up.
            NotFound: the business has no such check.
        """
        examination = self._examination(session)
        if check not in RATES:
            raise NotFound("unknown_check")
        if examination.running != check and check not in examination.wanted:
            examination.wanted.insert(0, check)
        examination.wake.set()

    def stop(self, session: str, check: str) -> None:
        """End a running check, or take a waiting one out of the list."""
        examination = self._examination(session)
        if examination.running == check:
            examination.stop.set()
        elif check in examination.wanted:
            examination.wanted.remove(check)

    def serve(self, session: str, teller: str) -> None:
        """Guide this teller from now on: a transfer changes whose session it is, nothing else."""
        if examination := self._open.get(session):
            examination.teller = teller

    async def finish(self, session: str) -> None:
        """The call is over: what runs is stopped and answered "not checked"."""
        examination = self._open.pop(session, None)
        if examination is None or examination.task is None:
            return
        examination.wanted.clear()
        examination.stop.set()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            examination.wake.set()
            await asyncio.wait_for(examination.task, timeout=5.0)

    def state(self, session: str, check: str) -> str | None:
        """`running`, `waiting`, or None when the check is neither."""
        examination = self._open.get(session)
        if examination is None:
            return None
        if examination.running == check:
            return "running"
        return "waiting" if check in examination.wanted else None

    def guide(self, session: str) -> dict[str, Any] | None:
        """What the customer is being asked now, for a page that has just come back."""
        examination = self._open.get(session)
        return examination.guide if examination else None

    def _examination(self, session: str) -> Examination:
        try:
            return self._open[session]
        except KeyError:
            raise Conflict("call_not_up") from None

    async def _run(self, examination: Examination) -> None:
        while examination.session in self._open:
            if not examination.wanted:
                examination.wake.clear()
                await examination.wake.wait()
                continue
            check = examination.wanted.pop(0)
            examination.running = check
            examination.stop.clear()
            attempt = await self._next_attempt(examination, check)
            try:
                await self._sessions.note_event(
                    examination.session, "check_started", "server", check=check, attempt=attempt
                )
                finding = await self._look(examination, check)
                await self._record(examination, finding, attempt)
            except Exception:
                # One check that breaks must not take the others, or the call, with it.
                log.exception("x check %s in session %s broke", check, examination.session)
                lost = not_checked(check, "inference_unavailable", None)
                with contextlib.suppress(Exception):
                    await self._record(examination, lost, attempt)
            finally:
                examination.running = None
                self._guide(examination, check, None)

    async def _next_attempt(self, examination: Examination, check: str) -> int:
        attempt = examination.attempts.get(check, 0) + 1
        examination.attempts[check] = attempt
        return attempt

    async def _look(self, examination: Examination, check: str) -> Finding:
        """One check from its first picture to its Finding."""
        now = self._camera.media_time_us(examination.session)
        if check in FACE_CHECKS and not examination.face_allowed:
            return not_checked(check, "no_consent", now)
        if check == "face_match" and examination.portrait is None:
            return not_checked(check, "no_portrait", now)
        looking = asyncio.create_task(self._watch(examination, check))
        stopping = asyncio.create_task(examination.stop.wait())
        try:
            await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not looking.done():
                return not_checked(check, "stopped", now)
            return looking.result()
        except InferenceUnavailable as error:
            log.warning("x check %s: %s", check, error.diagnostics())
            return not_checked(check, "inference_unavailable", now)
        finally:
            for task in (looking, stopping):
                task.cancel()
            await asyncio.gather(looking, stopping, return_exceptions=True)

    async def _watch(self, examination: Examination, check: str) -> Finding:
        async with self._inference.open(check, **self._parameters(examination, check)) as live:
            self._guide(examination, check, Guidance("no_card" if check in MODES else "no_face"))
            deadline = asyncio.get_running_loop().time() + self._limit(check)
            last = self._camera.media_time_us(examination.session) or 0
            feed = Feed(self._camera.pictures(examination.session, RATES[check]))
            async with contextlib.aclosing(feed):
                while (left := deadline - asyncio.get_running_loop().time()) > 0:
                    picture = await feed.next(min(left, PICTURE_GAP_S))
                    if picture is None:
                        self._guide(examination, check, Guidance("picture_lost"))
                        continue
                    last = picture.time_us
                    answer = await live.see(
                        width=picture.width,
                        height=picture.height,
                        bgr=picture.bgr,
                        media_time_us=picture.time_us,
                    )
                    if isinstance(answer, Finding):
                        return answer
                    self._guide(examination, check, answer)
            return await live.expire(last)

    def _limit(self, check: str) -> float:
        # Each prompt has its own deadline inside the check; this one catches an absent face.
        return self._check_s + (max(PROMPT_COUNTS) * self._prompt_s if check == "liveness" else 0.0)

    def _parameters(self, examination: Examination, check: str) -> dict[str, Any]:
        if check == "id_card_back":
            return {"front_values": dict(examination.front)}
        if check == "face_match":
            return {"portrait_jpeg": examination.portrait}
        if check == "liveness":
            prompts = draw(randomness.choice(PROMPT_COUNTS))
            return {
                "prompts": prompts,
                "prompt_s": self._prompt_s,
                "reference": examination.portrait,
            }
        return {}

    def _guide(self, examination: Examination, check: str, guidance: Guidance | None) -> None:
        """Tell both pages what the customer should do now, when it has changed."""
        data: dict[str, Any] = {"session": examination.session, "check": check, "mode": "none"}
        if guidance is not None:
            data |= {
                "mode": MODES.get(check, "face"),
                "hint": guidance.hint,
                "prompt": guidance.prompt,
                "progress": round(guidance.progress, 2),
                "deadline_s": guidance.deadline_s,
                "quad": guidance.quad,
            }
        now, before = asyncio.get_running_loop().time(), examination.guide or {}
        asked_anew = any(data.get(key) != before.get(key) for key in ("check", "hint", "prompt"))
        if data == before or not asked_anew and now - examination.guided_at < GUIDE_EVERY_S:
            return
        examination.guided_at = now
        examination.guide = data if guidance is not None else None
        for topic in (f"customer:{examination.customer}", f"staff:{examination.teller}"):
            self._bus.publish(topic, {"topic": "guide", "data": data})

    async def _record(self, examination: Examination, finding: Finding, attempt: int) -> None:
        if finding.check == "id_card_front":
            examination.front = finding.values
            portraits = [each.jpeg for each in finding.pictures if each.name == "portrait"]
            if portraits:
                examination.portrait = portraits[0]
                self._again_after_new_portrait(examination)
        await self._findings.record(examination.session, finding, attempt)

    def _again_after_new_portrait(self, examination: Examination) -> None:
        """A portrait read late makes a face match possible that had to be left out before."""
        if examination.attempts.get("face_match") and "face_match" not in examination.wanted:
            examination.wanted.insert(0, "face_match")

    # -- the decision ---------------------------------------------------------------------

    async def decide(self, session: str, teller: str, decision: object, reason: object) -> None:
        """The teller's decision; an approval needs the business's policy to be met.

        Raises:
            Conflict: `policy_not_met`, with the checks that stand in the way, or it is decided.
        """
        if decision not in DECISIONS:
            raise UserError("unknown_decision")
        why = text(reason, least=0 if decision == "approved" else 2)
        async with self._sessions.change(session) as change:
            change.require("talking", "wrap_up")
            if change.row["decision"]:
                raise Conflict("already_decided")
            if decision == "approved":
                if change.row["seal"] not in (None, "ok"):
                    raise Conflict("recording_failed")
                await self._policy_met(change)
                await self._remember(change)
            sealed = self._sessions.encrypted(session, "decision_reason", why)
            await change.set(decision=decision, decision_reason=sealed, decided_at=now_us())
            await change.enter(
                "decided", f"staff:{teller}", decision=decision, reason_length=len(why)
            )
            change.tell("session", {"id": session, "state": change.row["state"], "reason": None})

    async def _remember(self, change: Change) -> None:
        """Keep the ID number of the approved card, as corrected, with the customer."""
        cards = [
            each
            for each in await self._findings.of(change.id)
            if each["check"] == "id_card_front" and each["verdict"] == "passed"
        ]
        if cards:
            read = cards[-1]["corrections"].get("id") or cards[-1]["values"].get("id")
            if read:
                customer = change.row["customer_id"]
                await self._customers.set_id_number(change.tx, customer, read["value"])

    async def _policy_met(self, change: Change) -> None:
        wanted = self._businesses[change.row["business"]].checks
        policy = AllOf([Passed(check) for check in wanted])
        judgement = policy.judge(await newest(change.tx, change.id))
        if judgement.verdict is not Verdict.PASSED:
            raise Conflict("policy_not_met", missing=list(judgement.reasons))
