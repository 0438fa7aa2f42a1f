"""One call: its room, its recording, its people."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from recordings.recorder import Recorder
from signaling.room import EncodedFrame, Room
from video_bank.attendance import Attendee
from video_bank.tape import Tape

KEY_FRAME_S, POOR_KEY_FRAME_S = 2.0, 6.0
"""How often a recorded picture begins anew.  A replay decodes from there to the second that is
looked for, so the distance is what a seek costs; at a fixed bit rate 2 s cost no sharpness that
could be measured, but on a poor line each one is felt."""
POOR = 1
"""Level of a line, 0..4, at and below which it is poor."""


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
    failure_tried_at: float = 0.0
    key_frames_at: dict[str, float] = field(default_factory=dict)
    "When the participants were last asked for key frames, in monotonic seconds."
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
        self.key_frames_at.pop(person.id, None)

    @property
    def failure_waits(self) -> bool:
        """Has the recording failed, and the database does not know?"""
        return self.recording_failed and not self.failure_noted

    def key_frames_due(self, now: float) -> list[str]:
        """Whose recorded pictures should begin anew now; they count as asked from here on."""
        due = []
        for person in self.people:
            poor = self.levels.get(person, POOR + 1) <= POOR
            pause = POOR_KEY_FRAME_S if poor else KEY_FRAME_S
            if now - self.key_frames_at.get(person, 0) >= pause:
                self.key_frames_at[person] = now
                due.append(person)
        return due

    def assists(self, person: Attendee) -> bool:
        """Whether this is a colleague whose own desk is empty meanwhile."""
        return person.kind == "staff" and person.role != "supervisor" and person.id != self.teller

    @property
    def customers(self) -> frozenset[str]:
        """The customer and the guests."""
        people = self.people.values()
        return frozenset(each.id for each in people if each.kind == "customer")
