"""Who may know of whom in a room, and what of whom may reach whom: rules without state."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

Kind = Literal["audio", "video"]
Track = Literal["audio", "video", "screen"]
"What somebody can send: voice, camera and screen."
Presence = Literal["joined", "listening", "whispering"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody is in a room."""

    presence: Presence = "joined"
    confidants: frozenset[str] = frozenset()
    "Who knows of one who has not joined, and hears a whisper."
    announced: bool = False
    "Everybody knows."


def knows(viewer: str, source: str, standing: Standing) -> bool:
    """Whether `viewer` is told of `source`, who is there as `standing` says."""
    return (
        viewer == source
        or standing.presence == "joined"
        or standing.announced
        or viewer in standing.confidants
    )


def concerns(viewer: str, source: str, standing: Standing, track: Track) -> bool:
    """Whether this of `source` is meant for `viewer`, hold and mute aside."""
    if viewer == source:
        return False
    match standing.presence:
        case "joined":
            return True
        case "whispering":
            return track == "audio" and viewer in standing.confidants
        case "listening":
            return False


def flows(
    viewer: str,
    source: str,
    standing: Standing,
    track: Track,
    *,
    held: Set[str] = frozenset(),
    muted: Set[Track] = frozenset(),
) -> bool:
    """Whether this of `source` goes to `viewer` now.

    A held person gets nothing and gives nothing; `muted` are the source's tracks kept back.
    """
    return (
        concerns(viewer, source, standing, track)
        and viewer not in held
        and source not in held
        and track not in muted
    )
