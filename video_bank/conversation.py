"""What is said in writing during a session and about it: chat, notes, the rating."""

from typing import Any

from sqlalchemy import insert, select

from video_bank.attendance import Attendee
from video_bank.errors import Conflict, UserError
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions, text
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t


class Conversation:
    """The written words of every session; chat is stored encrypted."""

    def __init__(self, db: Database, secrets: Secrets, sessions: Sessions) -> None:
        self._db, self._secrets, self._sessions = db, secrets, sessions

    async def say(self, session: str, author: Attendee, message: object) -> None:
        """A chat line; the timeline keeps its length only, the text is stored encrypted."""
        said = text(message, least=1)
        line, now = new_id(), now_us()
        async with self._sessions.change(session) as change:
            change.require("talking")
            sealed = self._secrets.encrypt(said, f"chats.text:{line}")
            await change.tx.execute(
                insert(t.chats).values(
                    id=line,
                    session_id=session,
                    author=author.id,
                    role=author.role,
                    text=sealed,
                    at=now,
                )
            )
            await change.enter("chat", author.actor, length=len(said))
            line_now = {"from": author.id, "role": author.role, "text": said, "at": now}
            change.tell("chat", {"session": session} | line_now)

    async def lines(self, session: str) -> list[dict[str, Any]]:
        """The conversation so far, oldest first."""
        query = select(t.chats).where(t.chats.c.session_id == session).order_by(t.chats.c.at)
        async with self._db.read() as c:
            rows = (await c.execute(query)).mappings().all()
        return [
            {
                "from": row["author"],
                "role": row["role"],
                "text": self._secrets.decrypt_text(row["text"], f"chats.text:{row['id']}"),
                "at": row["at"],
            }
            for row in rows
        ]

    async def take_notes(self, session: str, teller: str, notes: object) -> None:
        """Replace the teller's notes."""
        written = text(notes)
        async with self._sessions.change(session) as change:
            change.require("talking", "wrap_up")
            if written != self._sessions.words(change.row, "notes"):
                await change.set(notes=self._sessions.encrypted(session, "notes", written))
                await change.enter("noted", f"staff:{teller}", length=len(written))

    async def rate(self, session: str, stars: object, comment: object) -> None:
        """The customer's opinion, once, after the call."""
        if not isinstance(stars, int) or isinstance(stars, bool) or not 1 <= stars <= 5:
            raise UserError("stars_expected")
        async with self._sessions.change(session) as change:
            change.require("wrap_up", "closed", "interrupted")
            if change.row["rating"]:
                raise Conflict("already_rated")
            said = self._sessions.encrypted(session, "rating_comment", text(comment or ""))
            await change.set(rating=stars, rating_comment=said)
            await change.enter("rated", change.customer, stars=stars)
