"""The checks of every call: begun and ended with it, asked for by the teller, judged at the end.

:mod:`video_bank.examination` runs one session's checks, :mod:`video_bank.watch` sees that the same
person stays; what they establish is kept by :mod:`video_bank.findings`.
"""

import hashlib
import json
import logging
from collections import OrderedDict
from typing import Any

from kyc.check import Finding, Verdict
from kyc.liveness.fusion import PARTS, fuse
from kyc.worker import Inference
from video_bank.bus import Bus
from video_bank.businesses import Businesses
from video_bank.by_eye import ByEye
from video_bank.change import Change
from video_bank.customers import Customers
from video_bank.errors import Conflict, UserError
from video_bank.examination import Examination, Means
from video_bank.faces import Faces, likeness
from video_bank.feed import Camera
from video_bank.findings import Findings, newest
from video_bank.genuine import Stream
from video_bank.hearing import Hearing
from video_bank.ledger import FACE, KEPT, Ledger, granted
from video_bank.looks import FACE_CHECKS, LOOKS
from video_bank.sessions import DECISIONS, LIVE, Sessions, text
from video_bank.storage import now_us
from video_bank.watch import Alert, Watch

log = logging.getLogger(__name__)

UNDECIDED = 500
"""Sessions whose face is remembered until their decision; it is never written anywhere before."""


class Checks:
    """Every examination and watch under way, and every Finding made."""

    def __init__(
        self,
        bus: Bus,
        sessions: Sessions,
        findings: Findings,
        businesses: Businesses,
        customers: Customers,
        inference: Inference,
        camera: Camera,
        faces: Faces,
        ledger: Ledger,
        *,
        hearing: Hearing,
        check_s: float,
        prompt_s: float,
    ) -> None:
        self._means = Means(bus, sessions, findings, inference, camera, hearing, check_s, prompt_s)
        self._businesses, self._customers = businesses, customers
        self._faces, self._ledger = faces, ledger
        self.by_eye = ByEye(sessions, findings, businesses, camera)
        self._open: dict[str, Examination] = {}
        self._watches: dict[str, Watch] = {}
        self._streams: dict[str, Stream] = {}
        self._described: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        "The live face of a session until it is decided, and what described it."

    # -- running --------------------------------------------------------------------------

    async def begin(self, session: str) -> None:
        """Run the product's checks one after another; a session already begun is left alone."""
        if session in self._open:
            return
        row = await self._means.sessions.get(session)
        examination = Examination(
            self._means,
            session,
            row["customer_id"],
            row["teller_id"],
            self._businesses[row["business"]].policy,
            face_allowed=bool(row["consent_face"]),
            language=row["language"],
        )
        self._open[session] = examination
        self._streams[session] = Stream(
            session, examination.customer, self._means.bus, self._means.camera
        )
        self._streams[session].begin()
        examination.on_picture = self._streams[session].looked
        if examination.face_allowed:
            self._watches[session] = Watch(
                session,
                self._means.inference,
                self._means.camera,
                paused=lambda: _shows_document(examination),
                tell=lambda alert: self._alert(session, alert),
            )
            examination.on_finding = lambda finding: self._found(
                session, examination, finding
            )
        examination.begin()

    def request(self, session: str, check: str) -> None:
        """Run one check (again), after what runs now.

        Raises:
            Conflict: the call is not up, or the check has failed too often.
            NotFound: the product has no such check.
        """
        self._examination(session).request(check)

    def stop(self, session: str, check: str) -> None:
        """End a running check, or take a waiting one out of the list."""
        self._examination(session).stop(check)

    def skip(self, session: str, check: str) -> None:
        """The customer wants another way: the check ends without an answer against them."""
        self._examination(session).stop(check, "skipped")

    def report_camera(self, session: str, report: object) -> None:
        """What the customer's page says of its camera."""
        if stream := self._streams.get(session):
            stream.report(report)

    def serve(self, session: str, teller: str) -> None:
        """Guide this teller from now on: a transfer changes whose session it is, nothing else."""
        if examination := self._open.get(session):
            examination.teller = teller

    async def refuse_faces(self, session: str) -> None:
        """The customer has withdrawn the consent: nothing looks at the face from now on."""
        if examination := self._open.get(session):
            examination.refuse_faces()
        if watch := self._watches.pop(session, None):
            await self._end_watch(session, watch)

    async def finish(self, session: str) -> None:
        """The call is over: what runs is stopped and answered "not checked"."""
        examination = self._open.pop(session, None)
        if examination is None:
            return
        if watch := self._watches.pop(session, None):
            await self._end_watch(session, watch, examination)
        await examination.finish()
        if stream := self._streams.pop(session, None):
            await examination.keep(stream.finish())
        if examination.face_allowed and "liveness" in examination.latest:
            await examination.keep(fuse(examination.latest))

    def state(self, session: str, check: str) -> str | None:
        """`running`, `waiting`, or None when the check is neither."""
        examination = self._open.get(session)
        return examination.state(check) if examination else None

    def tries_left(self, session: str, check: str) -> int | None:
        """How often a check may still fail; None when the call is over."""
        examination = self._open.get(session)
        return examination.tries_left(check) if examination else None

    def guide(self, session: str) -> dict[str, Any] | None:
        """What the customer is being asked now, for a page that has just come back."""
        examination = self._open.get(session)
        return examination.guide if examination else None

    def alert(self, session: str) -> dict[str, Any] | None:
        """What is wrong before the camera now, for a page that has just come back."""
        watch = self._watches.get(session)
        return _told(session, watch.standing) if watch and watch.standing else None

    def alerts(self) -> dict[str, str]:
        """Session → what is wrong there, for the floor."""
        return {
            session: watch.standing.code
            for session, watch in self._watches.items()
            if watch.standing is not None
        }

    def _examination(self, session: str) -> Examination:
        try:
            return self._open[session]
        except KeyError:
            raise Conflict("call_not_up") from None

    # -- beside the checks ----------------------------------------------------------------

    async def _found(self, session: str, examination: Examination, finding: Finding) -> None:
        """The first good look at the face begins the watch; each sign counts for the whole."""
        watch = self._watches.get(session)
        if watch is not None and finding.check in FACE_CHECKS and finding.template:
            watch.begin(finding.template)
        if finding.check == "face_match" and finding.template:
            self._described[session] = (finding.template, _described_by(finding))
            while len(self._described) > UNDECIDED:
                self._described.popitem(last=False)
            await self._compare_known(examination, finding)
        if finding.check == "liveness" and (stream := self._streams.get(session)):
            await examination.keep(stream.finding())
        if finding.check in PARTS:
            await examination.keep(fuse(examination.latest))

    async def _compare_known(self, examination: Examination, finding: Finding) -> None:
        """The live face against the one kept at an earlier visit, if there is one."""
        kept = await self._faces.template(examination.customer)
        if kept is None or finding.template is None:
            return
        template, model = kept
        alike = likeness(finding.template, template) if model == _described_by(finding) else None
        if alike is None or finding.threshold is None:
            verdict, reason = Verdict.NOT_CHECKED, "known_by_another_model"
        elif alike >= finding.threshold:
            verdict, reason = Verdict.PASSED, "known_face"
        else:
            verdict, reason = Verdict.FAILED, "not_the_known_face"
        known = Finding(
            "face_known",
            verdict,
            reason,
            score=None if alike is None else round(alike, 4),
            threshold=finding.threshold,
            models=finding.models,
            media_time_us=finding.media_time_us,
        )
        await examination.keep(known)

    async def withdraw(self, customer: str, subject: object) -> None:
        """The customer takes a consent back: what it allowed ends at once, what was kept under it
        is erased.

        Raises:
            Conflict: it was not given.
        """
        row = await self._means.sessions.newest_of(customer)
        live = row["id"] if row is not None and row["state"] in LIVE else None
        async with self._means.sessions.writing() as tx:
            await self._ledger.withdraw(tx, customer, subject, live)
            if subject == FACE and await granted(tx, customer, KEPT):
                await self._ledger.withdraw(tx, customer, KEPT, live)
        if subject == FACE and live is not None:
            async with self._means.sessions.change(live) as change:
                await change.set(consent_face=False)
                change.tell_staff("session", {"id": live, "state": row["state"]} if row else {})
            await self.refuse_faces(live)
        self._described.pop(live or "", None)
        await self._faces.erase(customer, f"customer:{customer}", "withdrawn")

    async def _alert(self, session: str, alert: Alert) -> None:
        """Into the timeline with its second, and before the teller's and the floor's eyes."""
        async with self._means.sessions.change(session) as change:
            await change.enter(
                "face_watch", "server", code=alert.code, seen_at_us=alert.media_time_us
            )
            change.tell_staff("face_watch", _told(session, alert))

    async def _end_watch(
        self, session: str, watch: Watch, examination: Examination | None = None
    ) -> None:
        finding = await watch.finish()
        examination = examination or self._open.get(session)
        if finding is not None and examination is not None:
            await examination.keep(finding)

    # -- the decision ---------------------------------------------------------------------

    async def decide(self, session: str, teller: str, decision: object, reason: object) -> None:
        """The teller's decision; an approval needs the product's policy to be met.

        Raises:
            Conflict: `policy_not_met`, with the checks that stand in the way, or it is decided.
        """
        if decision not in DECISIONS:
            raise UserError("unknown_decision")
        why = text(reason, least=0 if decision == "approved" else 2)
        async with self._means.sessions.change(session) as change:
            change.require("talking", "wrap_up")
            if change.row["decision"]:
                raise Conflict("already_decided")
            if decision == "approved":
                if change.row["seal"] not in (None, "ok"):
                    raise Conflict("recording_failed")
                await self._policy_met(change)
                await self._remember(change)
                await self._keep_face(change)
            self._described.pop(session, None)
            sealed = self._means.sessions.encrypted(session, "decision_reason", why)
            await change.set(decision=decision, decision_reason=sealed, decided_at=now_us())
            await change.enter(
                "decided", f"staff:{teller}", decision=decision, reason_length=len(why)
            )
            change.tell("session", {"id": session, "state": change.row["state"], "reason": None})

    async def _remember(self, change: Change) -> None:
        """Keep the ID number of the approved card, as corrected, with the customer."""
        cards = [
            each
            for each in await self._means.findings.of(change.id)
            if each["check"] == "id_card_front" and each["verdict"] == "passed"
        ]
        if cards:
            read = cards[-1]["corrections"].get("id") or cards[-1]["values"].get("id")
            if read:
                customer = change.row["customer_id"]
                await self._customers.set_id_number(change.tx, customer, read["value"])

    async def _keep_face(self, change: Change) -> None:
        """Keep the approved face for the next visit, if the customer agreed to that."""
        if described := self._described.get(change.id):
            await self._faces.keep(change.tx, change.row["customer_id"], change.id, *described)

    async def _policy_met(self, change: Change) -> None:
        found = await newest(change.tx, change.id)
        # What the watch sees now counts already, though its Finding is made at the end.
        watch = self._watches.get(change.id)
        if watch and watch.standing and watch.standing.code == "other_face":
            found["continuity"] = Finding("continuity", Verdict.FAILED, "face_changed")
        policy = self._businesses[change.row["business"]].policy
        judgement = policy.judge(found)
        if judgement.verdict is not Verdict.PASSED:
            raise Conflict("policy_not_met", missing=list(judgement.reasons))


def _described_by(finding: Finding) -> str:
    """What described a face: one hash over the models that had a part in it."""
    return hashlib.sha256(json.dumps(finding.models, sort_keys=True).encode()).hexdigest()


def _shows_document(examination: Examination) -> bool:
    """Whether a document is being held up: the face on it is nobody who sits there."""
    return examination.running is not None and not LOOKS[examination.running].face


def _told(session: str, alert: Alert) -> dict[str, Any]:
    return {"session": session, "code": alert.code, "media_time_us": alert.media_time_us}
