"""One call: its room, its recording, its people."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from recordings.recorder import Recorder
from signaling.room import EncodedFrame, Room
from video_bank.attendance import Attendee
from video_bank.tape import Tape


@dataclass
class Call:
    """One session's call."""

    session: str
    customer: str
    teller: str
    room: Room
    recorder: Recorder
    tape: Tape
    people: dict[str, Attendee] = field(default_factory=dict)
    "Who may be in the room, by id."
    gone_since: dict[str, float] = field(default_factory=dict)
    "Participants whose media is not there, with the monotonic second since when."
    been_here: set[str] = field(default_factory=set)
    levels: dict[str, int] = field(default_factory=dict)
    "How well the participants' media arrives, 0..4."
    subscriptions: dict[str, Callable[[], None]] = field(default_factory=dict)
    "What ends the recording of a participant."
    syncing: asyncio.Lock = field(default_factory=asyncio.Lock)
    recording_failed: bool = False
    switches: int = 0
    failure_noted: bool = False
    "Whether the database knows; it may be on the same full disk."
    key_frames_at: float = 0.0
    ending: bool = False

    def let_in(self, person: Attendee) -> None:
        """The person may come; missed from now on, and recorded as soon as there is anything."""
        self.people[person.id] = person
        self.gone_since[person.id] = time.monotonic()

        def take(frame: EncodedFrame) -> None:
            self.tape.take(self.people[frame.participant].role, frame)

        self.subscriptions[person.id] = self.room.subscribe(person.id, take)

    def let_out(self, person: Attendee) -> None:
        """The person's part is over."""
        del self.people[person.id]
        self.subscriptions.pop(person.id)()
        self.room.leave(person.id)
        self.gone_since.pop(person.id, None)
        self.levels.pop(person.id, None)

    def assists(self, person: Attendee) -> bool:
        """Whether this is a colleague whose own desk is empty meanwhile."""
        return person.kind == "staff" and person.role != "supervisor" and person.id != self.teller

    @property
    def customers(self) -> frozenset[str]:
        """The customer and the guests."""
        people = self.people.values()
        return frozenset(each.id for each in people if each.kind == "customer")
