"""The way without face processing: a person compares the customer with the document's portrait.

What the teller sees is a Finding like any other: a verdict, the reason in words, the picture of
the moment.  Where the product's policy asks for a second person, the first one's answer stands as
"not checked" until somebody else in the call has looked too.
"""

from typing import Any

from kyc.check import Finding, Picture, Verdict
from video_bank.businesses import Businesses
from video_bank.errors import Conflict, NotAllowed, UserError
from video_bank.feed import Camera
from video_bank.findings import Findings
from video_bank.looks import BY_EYE
from video_bank.policies import Policy
from video_bank.sessions import Sessions, text
from video_bank.still import take

REASONS = {
    "passed": "same_person_by_eye",
    "failed": "different_person_by_eye",
    "not checked": "unclear_by_eye",
}
WAITING = "second_person_needed"


class ByEye:
    """What people have seen, in every session."""

    def __init__(
        self, sessions: Sessions, findings: Findings, businesses: Businesses, camera: Camera
    ) -> None:
        self._sessions, self._findings = sessions, findings
        self._businesses, self._camera = businesses, camera

    async def compare(
        self, session: str, person: str, verdict: object, reason: object
    ) -> dict[str, Any]:
        """Keep what a teller sees: whether the customer is the person on the document.

        Raises:
            Conflict: the call is not up, or no picture of the customer can be had.
            UserError: an unknown verdict, or no reason.
        """
        seen, why = _verdict(verdict), text(reason, least=4, most=500)
        policy = await self._policy(session)
        picture = await self._picture(session)
        values: dict[str, Any] = {"words": why, "by": person}
        second = policy.second_person(await self._findings.newest(session))
        if seen is Verdict.PASSED and second:
            values["proposed"] = str(seen)
            seen, code = Verdict.NOT_CHECKED, WAITING
        else:
            code = REASONS[str(seen)]
        return await self._keep(session, person, policy, seen, code, values, picture)

    async def confirm(
        self, session: str, person: str, verdict: object, reason: object
    ) -> dict[str, Any]:
        """The second person's look at what the first one proposed.

        Raises:
            Conflict: nothing waits for it.
            NotAllowed: it is one's own.
        """
        seen, why = _verdict(verdict), text(reason, least=4, most=500)
        made = [each for each in await self._findings.of(session) if each["check"] == BY_EYE]
        if not made or made[-1]["reason"] != WAITING:
            raise Conflict("nothing_to_confirm")
        first = made[-1]["values"]
        if first["by"] == person:
            raise NotAllowed("confirm_own")
        picture = await self._picture(session)
        values = {**first, "second": {"words": why, "by": person, "verdict": str(seen)}}
        policy = await self._policy(session)
        return await self._keep(
            session, person, policy, seen, REASONS[str(seen)], values, picture
        )

    async def _policy(self, session: str) -> Policy:
        row = await self._sessions.get(session)
        if row["state"] != "talking":
            raise Conflict("call_not_up")
        return self._businesses[row["business"]].policy

    async def _picture(self, session: str) -> Picture:
        taken = await take(self._camera, session)
        if taken is None:
            raise Conflict("no_picture")
        return Picture("moment", *taken)

    async def _keep(
        self,
        session: str,
        person: str,
        policy: Policy,
        verdict: Verdict,
        reason: str,
        values: dict[str, Any],
        picture: Picture,
    ) -> dict[str, Any]:
        finding = Finding(
            BY_EYE,
            verdict,
            reason,
            values=values,
            pictures=[picture],
            media_time_us=picture.media_time_us,
        )
        key = await self._findings.record(session, finding, policy.hash, f"staff:{person}")
        return {"finding": key, "verdict": str(verdict), "reason": reason}


def _verdict(verdict: object) -> Verdict:
    try:
        return Verdict(str(verdict))
    except ValueError:
        raise UserError("unknown_verdict") from None
