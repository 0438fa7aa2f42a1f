"""Whose session it is, and who else takes part in it."""

from typing import Any

from aiohttp import web
from sqlalchemy import RowMapping

from video_bank.accounts import LOGIN
from video_bank.attendance import Attendee
from video_bank.errors import NotAllowed, NotFound
from video_bank.keys import PEOPLE, SESSIONS


async def own(request: web.Request) -> RowMapping:
    """The session in the URL, if it is the caller's: as its teller or its customer.

    Raises:
        NotFound: there is none, or it is somebody else's: the answer is the same, so that ids
            cannot be probed.
    """
    row, you = await attending(request)
    if you.role not in ("teller", "customer") or not _owns(row, you):
        raise NotFound("unknown_session")
    return row


async def attending(request: web.Request) -> tuple[RowMapping, Attendee]:
    """The session in the URL and as whom the caller takes part in it.

    Teller, customer and guests may look at it when it is over; a colleague's part ends with it.
    Raises NotFound as :func:`own` does.
    """
    login = request[LOGIN]
    row = await request.app[SESSIONS].get(request.match_info["session"])
    role = "customer" if login.kind == "customer" else "teller"
    you = Attendee.joined(login.subject_id, login.kind, role)
    if _owns(row, you):
        return row, you
    for each in await request.app[PEOPLE].here(row["id"]):
        if (each.kind, each.id) == (you.kind, you.id):
            if each.kind == "customer" or row["state"] == "talking":
                return row, each
    raise NotFound("unknown_session")


async def assisting(request: web.Request) -> tuple[RowMapping, Attendee]:
    """As :func:`attending`, for staff only.  Raises ``not_allowed`` for a customer."""
    row, you = await attending(request)
    if you.kind != "staff":
        raise NotAllowed()
    return row, you


def _owns(row: RowMapping, you: Attendee) -> bool:
    return bool(row["customer_id" if you.kind == "customer" else "teller_id"] == you.id)


async def people_view(
    app: web.Application, session: str, you: Attendee
) -> list[dict[str, Any]]:
    """Who takes part, as far as ``you`` may know; staff see who is invited, too."""
    people = await app[PEOPLE].of(session)
    if you.kind == "customer":
        people = [each for each in people if each.here and app[PEOPLE].visible(each)]
    names = await app[PEOPLE].names(people)
    return [
        {
            "id": each.id,
            "role": each.role,
            "name": names[each.id],
            "presence": each.presence,
            "joined": each.here,
        }
        for each in people
    ]


def you_view(you: Attendee) -> dict[str, str]:
    """The caller's own part."""
    return {"id": you.id, "role": you.role, "presence": you.presence}
