"""How each check looks at a session: one row a check, so that a new check is a new row.

A check that is not here can be part of an answer (a hint, the fused answer, what a person has
seen) but is never run by itself.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What a check needs, and what the customer is shown meanwhile."""

    mode: str
    "What the page draws over the customer's own picture; pages know `customer.guide.<mode>`."
    fps: float = 4.0
    "Pictures a second: a blink lasts 0.1–0.3 s; a card is read far slower than it is shown."
    first: str = "no_card"
    "The instruction before the first picture was looked at."
    face: bool = False
    "Processes a face, so it needs the customer's separate consent."
    portrait: bool = False
    "Its picture `portrait` is what the live face is compared with."
    compares: bool = False
    "Needs such a portrait."
    extra_s: float = 0.0
    "On top of what every check gets."


LOOKS: dict[str, Look] = {
    "id_card_front": Look("card_front", portrait=True),
    "id_card_back": Look("card_back"),
    "travel_document": Look("passport", first="no_document", portrait=True),
    "bank_card": Look("bank_card"),
    "business_licence": Look("licence", first="no_document"),
    "card_tilt": Look("tilt", fps=10.0),
    "face_match": Look("face", first="no_face", face=True, compares=True),
    "liveness": Look("face", fps=10.0, first="no_face", face=True),
    "screen_colours": Look("face", fps=10.0, first="no_face", face=True, extra_s=10.0),
    "spoken_digits": Look("face", first="listening"),
}
"""Every check that can be asked of the customer."""

CARD_HINTS = ("card_screen", "card_copy", "card_portrait_edges", "card_print")
"""What else a card's pictures may show; each by itself is for a person to judge."""
BESIDE = frozenset(
    {*CARD_HINTS, "passive", "injection", "continuity", "live_person", "face_known"}
)
"""Findings made beside the checks above, out of the same pictures."""
BY_EYE = "seen_by_teller"
"""The finding of a person who compared by eye: the way without face processing."""
FACE_CHECKS = frozenset(
    {*(check for check, look in LOOKS.items() if look.face), "passive", "live_person"}
)
"""Everything that fails or is left out together when a customer refuses face processing."""
KNOWN = frozenset(LOOKS) | BESIDE | {BY_EYE}
"""Every name a policy may use."""
