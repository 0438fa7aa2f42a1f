"""Findings: what the checks established, kept with its evidence and people's corrections.

Pictures and values are encrypted; the timeline has the fact, the hashes and no personal data.
"""

import hashlib
import json
import re
from typing import Any

from sqlalchemy import RowMapping, func, insert, select

from kyc.check import Finding, Picture, Verdict
from video_bank.blobs import Blobs
from video_bank.errors import NotFound, UserError
from video_bank.looks import LOOKS
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions, text
from video_bank.storage import Database, Reader, new_id, now_us
from video_bank.storage import tables as t

FIELD = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""The name of something read from a document."""
CARD_FIELDS = {
    "id_card_front": ("name", "sex", "nation", "birth", "address", "id"),
    "id_card_back": ("authority", "valid"),
}
"""What every card has, so that a person can write down what could not be read; of other documents
what was read can be corrected."""


class Findings:
    """Every Finding of every session."""

    def __init__(self, db: Database, blobs: Blobs, secrets: Secrets, sessions: Sessions) -> None:
        self._db, self._blobs, self._secrets, self._sessions = db, blobs, secrets, sessions

    async def attempts(self, session: str, check: str) -> int:
        """How often a check has been made in a session."""
        async with self._db.read() as c:
            return await _attempts(c, session, check)

    async def newest(self, session: str) -> dict[str, Finding]:
        """The latest Finding of each check, without its evidence."""
        async with self._db.read() as c:
            return await newest(c, session)

    async def record(self, session: str, finding: Finding, policy: str, by: str = "server") -> str:
        """Keep a Finding: pictures and values encrypted, the fact of it in the timeline.

        ``policy``: the hash of what judged it; ``by``: the actor, when it was a person's look.
        Answers with the Finding's id.
        """
        key = new_id()
        pictures = [await self._keep(key, each) for each in finding.pictures]
        values = json.dumps(finding.values, ensure_ascii=False)
        async with self._sessions.change(session) as change:
            attempt = await _attempts(change.tx, session, finding.check) + 1
            await change.tx.execute(
                insert(t.findings).values(
                    id=key,
                    session_id=session,
                    check=finding.check,
                    attempt=attempt,
                    verdict=str(finding.verdict),
                    reason=finding.reason,
                    score=finding.score,
                    threshold=finding.threshold,
                    values=self._secrets.encrypt(values, f"findings.values:{key}"),
                    pictures=pictures,
                    models=finding.models,
                    policy=policy,
                    media_time_us=finding.media_time_us,
                    at=now_us(),
                )
            )
            await change.enter(
                "finding",
                by,
                finding=key,
                check=finding.check,
                attempt=attempt,
                verdict=str(finding.verdict),
                reason=finding.reason,
                score=finding.score,
                threshold=finding.threshold,
                values_sha256=hashlib.sha256(values.encode()).hexdigest(),
                pictures={
                    each["name"]: {"sha256": each["sha256"], "media_time_us": each["media_time_us"]}
                    for each in pictures
                },
                models=finding.models,
                policy=policy,
                seen_at_us=finding.media_time_us,
            )
            plain = {
                "session": session,
                "check": finding.check,
                "verdict": str(finding.verdict),
                "reason": finding.reason,
            }
            if finding.check in LOOKS:  # hints and what people think are the staff's business
                change.tell_customer("finding", plain)
            change.tell_staff("finding", plain | {"finding": key})
        return key

    async def _keep(self, finding: str, picture: Picture) -> dict[str, Any]:
        """A picture's bytes to the blobs; what the row says of it."""
        blob = f"findings/{finding}/{picture.name}.jpg"
        await self._blobs.put(blob, picture.jpeg)
        return {
            "name": picture.name,
            "blob": blob,
            "sha256": hashlib.sha256(picture.jpeg).hexdigest(),
            "media_time_us": picture.media_time_us,
        }

    async def of(self, session: str) -> list[dict[str, Any]]:
        """Every Finding of a session, oldest first, with its corrections."""
        async with self._db.read() as c:
            query = select(t.findings).where(t.findings.c.session_id == session)
            rows = (await c.execute(query.order_by(t.findings.c.at))).mappings().all()
            query = (
                select(t.corrections, t.staff.c.display_name)
                .join(t.findings, t.findings.c.id == t.corrections.c.finding_id)
                .join(t.staff, t.staff.c.id == t.corrections.c.by)
                .where(t.findings.c.session_id == session)
                .order_by(t.corrections.c.at)
            )
            corrected = (await c.execute(query)).mappings().all()
        corrections: dict[str, dict[str, Any]] = {}
        for each in corrected:
            value = self._secrets.decrypt_text(each["value"], f"corrections.value:{each['id']}")
            corrections.setdefault(each["finding_id"], {})[each["field"]] = {
                "value": value,
                "by": each["display_name"],
                "at": each["at"],
                "reason": self._secrets.decrypt_text(
                    each["reason"], f"corrections.reason:{each['id']}"
                ),
            }
        return [self._view(row, corrections.get(row["id"], {})) for row in rows]

    def _view(self, row: RowMapping, corrections: dict[str, Any]) -> dict[str, Any]:
        sealed = self._secrets.decrypt_text(row["values"], f"findings.values:{row['id']}")
        values = json.loads(sealed)
        if row["check"] == "bank_card" and is_field(values.get("number")):
            values["number"]["value"] = mask_number(values["number"]["value"])
        base = f"/api/sessions/{row['session_id']}/findings/{row['id']}/pictures"
        return {
            "id": row["id"],
            "check": row["check"],
            "attempt": row["attempt"],
            "verdict": row["verdict"],
            "reason": row["reason"],
            "score": row["score"],
            "threshold": row["threshold"],
            "values": values,
            "corrections": corrections,
            "pictures": [
                {
                    "name": each["name"],
                    "url": f"{base}/{each['name']}",
                    "media_time_us": each["media_time_us"],
                    "sha256": each.get("sha256"),
                }
                for each in row["pictures"]
            ],
            "models": row["models"],
            "policy": row["policy"],
            "media_time_us": row["media_time_us"],
            "at": row["at"],
        }

    async def picture(self, session: str, finding: str, name: str) -> bytes:
        """A Finding's picture, as JPEG.

        Raises:
            NotFound: no such Finding in this session, or no such picture.
        """
        query = select(t.findings.c.pictures).where(
            t.findings.c.id == finding, t.findings.c.session_id == session
        )
        async with self._db.read() as c:
            pictures = (await c.execute(query)).scalar_one_or_none()
        for each in pictures or ():
            if each["name"] == name:
                return await self._blobs.get(each["blob"])
        raise NotFound("unknown_picture")

    async def correct(
        self, session: str, finding: str, field: object, value: object, reason: object, teller: str
    ) -> None:
        """A person's reading of one field, kept beside the machine's."""
        if not isinstance(field, str) or not FIELD.fullmatch(field):
            raise UserError("unknown_field")
        written, why = text(value, least=1, most=200), text(reason, least=2, most=500)
        async with self._sessions.change(session) as change:
            query = select(t.findings.c.check, t.findings.c["values"]).where(
                t.findings.c.id == finding, t.findings.c.session_id == session
            )
            row = (await change.tx.execute(query)).mappings().one_or_none()
            if row is None:
                raise NotFound("unknown_finding")
            read = json.loads(
                self._secrets.decrypt_text(row["values"], f"findings.values:{finding}")
            )
            if field not in CARD_FIELDS.get(row["check"], ()) and not is_field(read.get(field)):
                raise UserError("unknown_field")
            change.require("talking", "wrap_up")
            key = new_id()
            await change.tx.execute(
                insert(t.corrections).values(
                    id=key,
                    finding_id=finding,
                    field=field,
                    value=self._secrets.encrypt(written, f"corrections.value:{key}"),
                    reason=self._secrets.encrypt(why, f"corrections.reason:{key}"),
                    by=teller,
                    at=now_us(),
                )
            )
            await change.enter("corrected", f"staff:{teller}", finding=finding, field=field)
            change.tell_staff("finding", {"session": session, "finding": finding})


def mask_number(number: str) -> str:
    """A bank card's number with all but its last four digits covered: nobody here needs them."""
    digits = "".join(each for each in str(number) if each.isdigit())
    return f"•••• {digits[-4:]}" if len(digits) > 4 else digits


def is_field(value: object) -> bool:
    """Whether a value of a Finding is something read from a document, which can be misread."""
    return isinstance(value, dict) and {"value", "confidence"} <= value.keys()


async def newest(reader: Reader, session: str) -> dict[str, Finding]:
    """The latest Finding of each check, without its evidence: what a policy judges."""
    query = (
        select(t.findings.c.check, t.findings.c.verdict, t.findings.c.reason)
        .where(t.findings.c.session_id == session)
        .order_by(t.findings.c.attempt)
    )
    rows = (await reader.execute(query)).all()
    return {row.check: Finding(row.check, Verdict(row.verdict), row.reason) for row in rows}


async def _attempts(reader: Reader, session: str, check: str) -> int:
    query = select(func.max(t.findings.c.attempt)).where(
        t.findings.c.session_id == session, t.findings.c.check == check
    )
    return (await reader.execute(query)).scalar() or 0
