"""What a supervisor sees of the whole floor: the line, the desks, the calls under way."""

import asyncio
from typing import Any

from sqlalchemy import RowMapping, select

from video_bank.bus import Bus
from video_bank.calls import Calls
from video_bank.customers import Customers, mask_name
from video_bank.line import Line
from video_bank.people import People
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
        customers: Customers,
        *,
        policy: str,
        media_path: str,
    ) -> None:
        """``media_path``: how packets are forwarded here, `fast` or `parsed`."""
        self._db, self._bus = db, bus
        self._line, self._people, self._calls = line, people, calls
        self._staff, self._customers = staff, customers
        self._policy, self._media_path = policy, media_path

    async def run(self) -> None:
        """Tell supervisors when something has changed, until cancelled."""
        seen: object = None
        while True:
            await asyncio.sleep(LOOK_S)
            now = (self._line.pulse(), self._calls.pulse())
            if now != seen:
                seen = now
                self._bus.publish("supervision", {"topic": "supervision", "data": {}})

    async def overview(self) -> dict[str, Any]:
        """Everything on the supervisor's page; customers are masked."""
        query = select(t.sessions).where(t.sessions.c.state == "talking")
        async with self._db.read() as c:
            rows = (await c.execute(query.order_by(t.sessions.c.accepted_at))).mappings().all()
        return {
            "policy": self._policy,
            "media_path": self._media_path,
            "queue": await self._line.summary(),
            "tellers": await self._tellers(),
            "sessions": [await self._session(row) for row in rows],
        }

    async def _tellers(self) -> list[dict[str, Any]]:
        now, desks = now_us(), self._line.at_work()
        names = {person["id"]: person["name"] for person in await self._staff.serving(desks)}
        return [
            {
                "id": desk.teller,
                "name": names[desk.teller],
                "state": desk.state,
                "since_s": (now - desk.since) // 1_000_000,
                "session": desk.session,
            }
            for desk in desks.values()
            if desk.teller in names
        ]

    async def _session(self, row: RowMapping) -> dict[str, Any]:
        session, teller = row["id"], row["teller_id"]
        return {
            "id": session,
            "business": row["business"],
            "teller": {"id": teller, "name": await self._staff.display_name(teller)},
            "customer": mask_name(await self._customers.name(row["customer_id"])),
            "accepted_at": row["accepted_at"],
            "media_time_us": self._calls.media_time_us(session),
            "on_hold": bool(row["on_hold"]),
            "recording_up": self._calls.recording(session),
            "people": [
                {
                    "id": each.id,
                    "role": each.role,
                    "name": (
                        await self._staff.display_name(each.id)
                        if each.kind == "staff"
                        else mask_name(await self._customers.name(each.id))
                    ),
                    "presence": each.presence,
                }
                for each in await self._people.here(session)
            ],
            "levels": self._calls.levels(session),
        }
