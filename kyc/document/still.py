"""Stills of one card: each read alone, then fused as frames of a call are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from kyc.check import Finding
from kyc.document import card, resident
from kyc.document.checks import Desk, IdCardBack, IdCardFront, around, whole_card
from kyc.image import Bgr, Frame

FINE = 960  # pixels in which words are looked for again, when fields are missing
_FIELDS = {"front": resident.FRONT_FIELDS, "back": resident.BACK_FIELDS}


def look(desk: Desk, bgr: Bgr) -> card.Sight:
    """Read one still as well as it goes: nobody can be asked for a better one.

    The card is read alone where it can be told from its surroundings, then the whole picture, and
    with a finer search, until its fields are complete; what one look missed, another may fill.
    """
    text = around(desk.finder.find(bgr))
    box = whole_card(text, 0) if text is not None else None
    best = card.look(desk.text, bgr, box)
    for each, finding in ((box, FINE), (None, FINE)):
        if _complete(best) or (best.reading.side == "nothing" and each is not None):
            continue
        best = _better(best, card.look(desk.text, bgr, each, best.quarter_turns, finding))
    return best


def findings(
    desk: Desk, pictures: Sequence[Bgr], today: dt.date | None = None
) -> dict[resident.Side, Finding]:
    """What the pictures show: the finding of each side that was seen, the front first.

    Each still counts as two frames: nothing more can come that could agree with it.
    """
    front, back = IdCardFront(desk, today), IdCardBack(desk, today)
    sights = [(look(desk, bgr), Frame(bgr, 0)) for bgr in pictures]
    for sight, frame in [each for each in sights for _ in range(2)]:
        (back if sight.reading.side == "back" else front).take(sight, frame)
    sides = {sight.reading.side for sight, _ in sights}
    found: dict[resident.Side, Finding] = {}
    if "front" in sides or "back" not in sides:
        found["front"] = front.expire(0)
    if "back" in sides:
        back.front_values = found["front"].values if "front" in found else {}
        found["back"] = back.expire(0)
    return found


def _complete(sight: card.Sight) -> bool:
    names = _FIELDS.get(sight.reading.side, ())
    return bool(names) and all(name in sight.reading.fields for name in names)


def _better(first: card.Sight, second: card.Sight) -> card.Sight:
    """The look that read more, with what only the other one read."""
    if first.reading.side != second.reading.side:
        return max(first, second, key=lambda each: card.rank(each.reading.side))
    ahead, behind = sorted((first, second), key=lambda each: -len(each.reading.fields))
    fields = {**behind.reading.fields, **ahead.reading.fields}
    rejected = ahead.reading.rejected_number or behind.reading.rejected_number
    return replace(ahead, reading=replace(ahead.reading, fields=fields, rejected_number=rejected))
