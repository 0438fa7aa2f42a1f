"""What a supervisor sees of the whole floor: the line, the desks, the calls under way."""

import asyncio
from typing import Any

from sqlalchemy import RowMapping, select

from video_bank.attendance import Attendee
from video_bank.bus import Bus
from video_bank.calls import Calls
from video_bank.line import Line
from video_bank.people import People
from video_bank.person import mask_name
from video_bank.staff import Staff
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t

LOOK_S = 1.0
"Supervisors are told that something changed at most this often."


class Supervision:
    """The floor as it is now."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        line: Line,
        people: People,
        calls: Calls,
        staff: Staff,
        *,
        policy: str,
        media_path: str,
    ) -> None:
        """``media_path``: how packets are forwarded here, `fast` or `parsed`."""
        self._db, self._bus = db, bus
        self._line, self._people, self._calls = line, people, calls
        self._staff = staff
        self._policy, self._media_path = policy, media_path

    async def run(self) -> None:
        """Tell supervisors when something has changed, until cancelled."""
        seen: object = None
        while True:
            await asyncio.sleep(LOOK_S)
            now = (self._line.pulse(), self._calls.pulse(), self._calls.checks.alerts())
            if now != seen:
                seen = now
                self._bus.publish("supervision", {"topic": "supervision", "data": {}})

    async def overview(self) -> dict[str, Any]:
        """Everything on the supervisor's page; customers are masked."""
        query = select(t.sessions).where(t.sessions.c.state == "talking")
        async with self._db.read() as c:
            rows = (await c.execute(query.order_by(t.sessions.c.accepted_at))).mappings().all()
        people = await self._people.floor([row["id"] for row in rows])
        names = await self._people.names(each for here in people.values() for each in here)
        return {
            "policy": self._policy,
            "media_path": self._media_path,
            "queue": await self._line.summary(),
            "tellers": await self._tellers(),
            "sessions": [self._session(row, people[row["id"]], names) for row in rows],
        }

    async def _tellers(self) -> list[dict[str, Any]]:
        now, desks = now_us(), self._line.at_work()
        return [
            {
                "id": person["id"],
                "name": person["name"],
                "state": desks[person["id"]].state,
                "since_s": (now - desks[person["id"]].since) // 1_000_000,
                "session": desks[person["id"]].session,
            }
            for person in await self._staff.serving(desks)
        ]

    def _session(
        self, row: RowMapping, people: list[Attendee], names: dict[str, str]
    ) -> dict[str, Any]:
        session, teller = row["id"], row["teller_id"]
        called = {
            each.id: names[each.id] if each.kind == "staff" else mask_name(names[each.id])
            for each in people
        }
        return {
            "id": session,
            "business": row["business"],
            "teller": {"id": teller, "name": called.get(teller, "")},
            "customer": called.get(row["customer_id"], ""),
            "accepted_at": row["accepted_at"],
            "media_time_us": self._calls.media_time_us(session),
            "on_hold": bool(row["on_hold"]),
            "recording_up": self._calls.recording(session),
            "people": [
                {
                    "id": each.id,
                    "role": each.role,
                    "name": called[each.id],
                    "presence": each.presence,
                }
                for each in people
            ],
            "levels": self._calls.levels(session),
            "alert": self._calls.checks.alerts().get(session),
        }
