"""Whose session it is."""

from aiohttp import web
from sqlalchemy import RowMapping

from video_bank.accounts import LOGIN
from video_bank.errors import NotFound
from video_bank.keys import SESSIONS


async def own(request: web.Request) -> RowMapping:
    """The session in the URL, if the caller takes part in it.

    Raises:
        NotFound: there is none, or it is somebody else's: the answer is the same, so that ids
            cannot be probed.
    """
    login = request[LOGIN]
    row = await request.app[SESSIONS].get(request.match_info["session"])
    part = row["customer_id"] if login.kind == "customer" else row["teller_id"]
    if part != login.subject_id:
        raise NotFound("unknown_session")
    return row
