"""One session's checks, run one after another on the call's own video.

Pictures come out of the call, go to the inference process, and what it establishes becomes
Findings.  A check that could not run answers "not checked".
"""

import asyncio
import contextlib
import logging
import secrets as randomness
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kyc.check import BadInput, Finding, Guidance, Verdict
from kyc.liveness.challenge import draw
from kyc.worker import Inference, InferenceUnavailable
from video_bank.bus import Bus
from video_bank.errors import Conflict, NotFound
from video_bank.feed import Camera, Feed, Picture
from video_bank.findings import Findings
from video_bank.hearing import Hearing
from video_bank.looks import LOOKS, Look
from video_bank.policies import Policy
from video_bank.sessions import Sessions

log = logging.getLogger(__name__)

SPOKEN = "spoken_digits"
"""The one check that listens; it has a process of its own."""
GUIDE_EVERY_S = 0.25
"""A new instruction is told at once; progress and position of one that stands, this often."""
PICTURE_GAP_S = 5.0
"""Without a picture for this long the customer is told that the camera is not seen."""


@dataclass(frozen=True)
class Means:
    """What every examination works with."""

    bus: Bus
    sessions: Sessions
    findings: Findings
    inference: Inference
    camera: Camera
    hearing: Hearing
    check_s: float
    prompt_s: float


def not_checked(check: str, reason: str, time_us: int | None) -> Finding:
    """The answer of a check that did not run to its end."""
    return Finding(check, Verdict.NOT_CHECKED, reason, media_time_us=time_us)


async def _nothing(_finding: Finding) -> None:
    return None


class Examination:
    """The checks of one session."""

    def __init__(
        self,
        means: Means,
        session: str,
        customer: str,
        teller: str,
        policy: Policy,
        *,
        face_allowed: bool,
        language: str = "zh",
    ) -> None:
        self._means = means
        self.session, self.customer, self.teller = session, customer, teller
        self.policy, self.face_allowed, self.language = policy, face_allowed, language
        self.wanted = list(policy.checks)
        "Checks still to run, in order."
        self.running: str | None = None
        self.guide: dict[str, Any] | None = None
        self.latest: dict[str, Finding] = {}
        "The newest Finding of each check; pictures and templates only while the session lasts."
        self.on_finding: Callable[[Finding], Awaitable[None]] = _nothing
        "Called when a check has answered and all of its Findings are kept."
        self.on_picture: Callable[[Picture], None] = lambda _picture: None
        "Called with each picture that a check looks at."
        self._failed: Counter[str] = Counter()
        self._guided_at = 0.0
        self._portrait: bytes | None = None
        "The document's portrait (JPEG), in memory for the length of the session only."
        self._wake, self._stop = asyncio.Event(), asyncio.Event()
        self._why = "stopped"
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Run the policy's checks one after another, then whatever is asked for."""
        if SPOKEN in self.wanted:
            self._means.hearing.prepare()
        self._task = asyncio.create_task(self._run())

    def request(self, check: str) -> None:
        """Run one check (again), after what runs now; one that stands in for others ends those.

        Raises:
            NotFound: this product has no such check.
            Conflict: it has failed so often that only a person can go on.
        """
        if check not in self.policy.runnable:
            raise NotFound("unknown_check")
        if self._failed[check] >= self.policy.most_failures(check):
            raise Conflict("tries_used_up", failures=self._failed[check])
        for replaced in self.policy.instead.get(check, ()):
            self.stop(replaced)
        if self.running != check and check not in self.wanted:
            self.wanted.insert(0, check)
        self._wake.set()

    def tries_left(self, check: str) -> int:
        """How often a check may still fail."""
        return max(0, self.policy.most_failures(check) - self._failed[check])

    def stop(self, check: str, why: str = "stopped") -> None:
        """End a running check, or take a waiting one out of the list."""
        if self.running == check:
            self._why = why
            self._stop.set()
        elif check in self.wanted:
            self.wanted.remove(check)

    def refuse_faces(self) -> None:
        """The customer has withdrawn: no face is looked at from now on."""
        self.face_allowed = False
        if self.running and LOOKS[self.running].face:
            self.stop(self.running, "no_consent")

    async def finish(self) -> None:
        """The call is over: what runs is stopped and answered "not checked"."""
        self._over = True
        self.wanted.clear()
        self._stop.set()
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, timeout=5.0)

    def state(self, check: str) -> str | None:
        """`running`, `waiting`, or None when the check is neither."""
        if self.running == check:
            return "running"
        return "waiting" if check in self.wanted else None

    # -- one after another ----------------------------------------------------------------

    async def _run(self) -> None:
        while not self._over:
            if not self.wanted:
                self._wake.clear()
                await self._wake.wait()
                continue
            check = self.wanted.pop(0)
            self.running = check
            self._stop.clear()
            self._why = "stopped"
            try:
                await self._note_start(check)
                await self._record(await self._look(check))
            except Exception:
                # One check that breaks must not take the others, or the call, with it.
                log.exception("x check %s in session %s broke", check, self.session)
                with contextlib.suppress(Exception):
                    await self._record(not_checked(check, "inference_unavailable", None))
            finally:
                self.running = None
                self._tell(check, None)

    async def _note_start(self, check: str) -> None:
        attempt = await self._means.findings.attempts(self.session, check) + 1
        await self._means.sessions.note_event(
            self.session, "check_started", "server", check=check, attempt=attempt
        )

    async def _look(self, check: str) -> Finding:
        """One check from its first picture to its Finding."""
        look, now = LOOKS[check], self._means.camera.media_time_us(self.session)
        if look.face and not self.face_allowed:
            return not_checked(check, "no_consent", now)
        if look.compares and self._portrait is None:
            return not_checked(check, "no_portrait", now)
        looking = asyncio.create_task(self._watch(check, look))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not looking.done():
                return not_checked(check, self._why, now)
            return looking.result()
        except InferenceUnavailable as error:
            log.warning("x check %s: %s", check, error.diagnostics())
            return not_checked(check, "inference_unavailable", now)
        except BadInput as error:
            log.warning("x check %s cannot be opened: %s", check, error.code)
            return not_checked(check, "inference_unavailable", now)
        finally:
            for task in (looking, stopping):
                task.cancel()
            await asyncio.gather(looking, stopping, return_exceptions=True)

    async def _watch(self, check: str, look: Look) -> Finding:
        means = self._means
        if check == SPOKEN:
            return await means.hearing.digits(
                self.session,
                lambda guidance: self._tell(check, guidance),
                language=self.language,
                watch_mouth=self.face_allowed,
            )
        parameters = self._parameters(check)
        async with means.inference.open(check, **parameters) as live:
            self._tell(check, Guidance(look.first))
            # Each prompt has its own deadline inside the check; this one catches an absent face.
            limit = means.check_s + look.extra_s
            limit += len(parameters.get("prompts", ())) * means.prompt_s
            deadline = asyncio.get_running_loop().time() + limit
            last = means.camera.media_time_us(self.session) or 0
            feed = Feed(means.camera.pictures(self.session, look.fps))
            async with contextlib.aclosing(feed):
                while (left := deadline - asyncio.get_running_loop().time()) > 0:
                    picture = await feed.next(min(left, PICTURE_GAP_S))
                    if picture is None:
                        self._tell(check, Guidance("picture_lost"))
                        continue
                    last = picture.time_us
                    self.on_picture(picture)
                    answer = await live.see(
                        width=picture.width,
                        height=picture.height,
                        bgr=picture.bgr,
                        media_time_us=picture.time_us,
                    )
                    if isinstance(answer, Finding):
                        return answer
                    self._tell(check, answer)
            return await live.expire(last)

    def _parameters(self, check: str) -> dict[str, Any]:
        match check:
            case "id_card_back":
                front = self.latest.get("id_card_front")
                return {"front_values": dict(front.values) if front else {}}
            case "face_match":
                return {"portrait_jpeg": self._portrait}
            case "liveness":
                return {
                    "prompts": draw(randomness.choice(self.policy.prompts)),
                    "prompt_s": self._means.prompt_s,
                    "reference": self._portrait,
                }
        return {}

    # -- what comes of it -----------------------------------------------------------------

    def _tell(self, check: str, guidance: Guidance | None) -> None:
        """Tell both pages what the customer should do now, when it has changed."""
        data: dict[str, Any] = {"session": self.session, "check": check, "mode": "none"}
        if guidance is not None:
            data |= {
                "mode": LOOKS[check].mode,
                "hint": guidance.hint,
                "prompt": guidance.prompt,
                "progress": round(guidance.progress, 2),
                "deadline_s": guidance.deadline_s,
                "quad": guidance.quad,
            }
        now, before = asyncio.get_running_loop().time(), self.guide or {}
        asked_anew = any(data.get(key) != before.get(key) for key in ("check", "hint", "prompt"))
        if data == before or not asked_anew and now - self._guided_at < GUIDE_EVERY_S:
            return
        self._guided_at = now
        self.guide = data if guidance is not None else None
        for topic in (f"customer:{self.customer}", f"staff:{self.teller}"):
            self._means.bus.publish(topic, {"topic": "guide", "data": data})

    async def _record(self, finding: Finding) -> None:
        """Keep a check's answer and what else its pictures established."""
        if finding.verdict is Verdict.FAILED:
            self._failed[finding.check] += 1
        if LOOKS[finding.check].portrait:
            self._take_portrait(finding)
        for each in (*finding.also, finding):
            await self.keep(each)
        await self.on_finding(finding)

    async def keep(self, finding: Finding) -> None:
        """Keep a Finding under this product's policy, and tell who waits for it."""
        judged = self.policy.strict(finding)
        self.latest[judged.check] = judged
        await self._means.findings.record(self.session, judged, self.policy.hash)

    def _take_portrait(self, finding: Finding) -> None:
        """A portrait read late makes a face match possible that had to be left out before."""
        portraits = [each.jpeg for each in finding.pictures if each.name == "portrait"]
        if not portraits:
            return
        self._portrait = portraits[0]
        if "face_match" in self.latest and "face_match" not in self.wanted:
            self.wanted.insert(0, "face_match")
