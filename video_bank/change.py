"""One session being changed: the table of steps, the row in its transaction, who is told.

A change is one transaction: the rule is checked against the row, the row changes, the timeline
gets its entry and the pages their events.  The row is changed with its old state in the WHERE
clause, so of two people doing the same thing at once exactly one succeeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import RowMapping, update

from video_bank.attendance import Attendee
from video_bank.errors import Conflict
from video_bank.evidence import Timeline
from video_bank.storage import Tx
from video_bank.storage import tables as t

TRANSITIONS: dict[tuple[str, str], str] = {
    ("waiting", "offer"): "offered",
    ("waiting", "leave"): "abandoned",
    ("offered", "accept"): "talking",
    ("offered", "decline"): "waiting",
    ("offered", "ring_out"): "waiting",
    ("offered", "withdraw"): "waiting",
    ("offered", "leave"): "abandoned",
    ("offered", "crash"): "waiting",
    ("talking", "transfer"): "talking",
    ("talking", "end"): "wrap_up",
    ("talking", "crash"): "interrupted",
    ("wrap_up", "close"): "closed",
    ("wrap_up", "crash"): "closed",
}
"""(state, event) → next state.  What is not here is refused."""


class Witness(Protocol):
    """Whoever must hear each timeline entry at once: the sealed recording."""

    def media_time_us(self, session: str) -> int | None:
        """The session's media time now; None while no call is up."""

    def saw(self, session: str, kind: str, actor: str, data: dict[str, Any]) -> None:
        """An entry was committed to the session's timeline."""


class Unwitnessed:
    """Stands in until the calls are assembled: there is no media time and nothing to seal into."""

    def media_time_us(self, session: str) -> int | None:
        return None

    def saw(self, session: str, kind: str, actor: str, data: dict[str, Any]) -> None:
        return None


@dataclass
class Change:
    """One session row inside its transaction, and what the change leaves behind."""

    tx: Tx
    row: RowMapping
    people: Sequence[Attendee]
    "Who takes part or is invited, as the change began."
    timeline: Timeline
    witness: Witness
    entries: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def customer(self) -> str:
        """The customer as an actor of the timeline."""
        return f"customer:{self.row['customer_id']}"

    def person(self, person: str) -> Attendee | None:
        """Who takes part or is invited under this id."""
        return next((each for each in self.people if each.id == person), None)

    async def move(self, event: str, *, told: bool = True, **values: Any) -> None:
        """Follow the transition table; ``told``: tell both sides the new state.

        Raises:
            Conflict: the table has no such step from here, or somebody else was faster.
        """
        state = str(self.row["state"])
        following = TRANSITIONS.get((state, event))
        if following is None:
            raise Conflict("not_now", state=state, event=event)
        done = await self.tx.execute(
            update(t.sessions)
            .where(t.sessions.c.id == self.id, t.sessions.c.state == state)
            .values(state=following, **values)
        )
        if done.rowcount != 1:
            raise Conflict("not_now", state=state, event=event)
        if told:
            reason = values.get("end_reason")
            self.tell("session", {"id": self.id, "state": following, "reason": reason})

    def require(self, *states: str) -> None:
        """Raises Conflict unless the session is in one of ``states``."""
        if self.row["state"] not in states:
            raise Conflict("not_now", state=self.row["state"])

    async def set(self, **values: Any) -> None:
        """Change columns that are no part of the life cycle."""
        await self.tx.execute(update(t.sessions).where(t.sessions.c.id == self.id).values(**values))

    async def enter(self, kind: str, actor: str, **data: Any) -> None:
        """Add a timeline entry."""
        time = self.witness.media_time_us(self.id)
        await self.timeline.append(self.tx, f"session:{self.id}", kind, actor, data, time)
        self.entries.append((kind, actor, data))

    # -- telling, once committed ----------------------------------------------------------

    def tell(self, topic: str, data: dict[str, Any]) -> None:
        """Tell everybody who takes part."""
        self._publish([*self._customers(), *self._staff()], topic, data)

    def tell_staff(self, topic: str, data: dict[str, Any]) -> None:
        """Tell the teller and the colleagues who take part."""
        self._publish(self._staff(), topic, data)

    def tell_customers(self, topic: str, data: dict[str, Any]) -> None:
        """Tell the customer and the guests."""
        self._publish(self._customers(), topic, data)

    def tell_customer(self, topic: str, data: dict[str, Any]) -> None:
        """Tell the customer alone: what is nobody else's business."""
        self._publish([self.customer], topic, data)

    def tell_person(self, person: Attendee, topic: str, data: dict[str, Any]) -> None:
        """Tell one who takes part or did."""
        self._publish([person.actor], topic, data)

    def _customers(self) -> list[str]:
        guests = [each.actor for each in self.people if each.here and each.kind == "customer"]
        return [self.customer, *guests]

    def _staff(self) -> list[str]:
        staff = [each.actor for each in self.people if each.here and each.kind == "staff"]
        return [*staff, f"staff:{self.row['teller_id']}"] if self.row["teller_id"] else staff

    def _publish(self, topics: Iterable[str], topic: str, data: dict[str, Any]) -> None:
        for each in sorted(frozenset(topics)):
            self.tx.publish(each, {"topic": topic, "data": data})
