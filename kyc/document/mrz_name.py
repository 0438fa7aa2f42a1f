"""Line 1 against the page: no check digit covers the name, so it must be printed there as well.

States write names into the zone in their own ways (Doc 9303 part 3, section 6): ``MÜLLER`` becomes
``MUELLER``, ``MULLER`` or, in some, ``MUXXLLER``; a hyphen becomes a filler, an apostrophe nothing.
Both sides are brought to the barest form before they are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Literal

from kyc.document.mrz import FILLER, LAYOUTS, Change, Zone

Match = Literal["confirmed", "differs", "unseen"]
"On the page; something like it is; nothing like it is."

_BARE = str.maketrans(
    {"Ø": "O", "Đ": "D", "Ð": "D", "Ł": "L", "ß": "SS", "Æ": "AE", "Œ": "OE", "Þ": "TH", "ı": "I"}
    | {"0": "O", "1": "I", "|": "I", "’": "", "'": ""}
)
_TOGETHER = 6  # words one part of a name may be printed in
_ALIKE = 0.75  # share of letters in common from which two words are taken for one, misread


def compare(zone: Zone, printed: Sequence[str]) -> Match:
    """Whether both parts of the name stand on the page; ``printed`` is its text, run by run."""
    words = [word for text in printed for word in _tokens(text)]
    parts = [bare(part) for part in zone.names if part]
    if not parts:
        return "unseen"
    cut_short = not zone.text("name").endswith(FILLER)
    runs, single = _joined(words), [bare(word) for word in words]
    missing = [
        part
        for part in parts
        if not _stands(part, runs, single, cut_short and part is parts[-1])
    ]
    if not missing or bare("".join(zone.names)) in single:
        return "confirmed"
    alike = all(any(_alike(part, run) for run in runs) for part in missing)
    return "differs" if alike else "unseen"


def parted(zone: Zone, printed: Sequence[str]) -> Zone:
    """The zone with surname and given names parted where the page parts them.

    A reader that drops one of the two fillers between them makes one long surname of the name; the
    page puts it right where exactly one way to part it stands there word for word.
    """
    primary, secondary = zone.names
    words = primary.split()
    if secondary or len(words) < 2 or not zone.text("name").endswith(FILLER):
        return zone
    ways = [
        at
        for at in range(1, len(words))
        if _is_run(bare("".join(words[:at])), printed)
        and _is_run(bare("".join(words[at:])), printed)
    ]
    if len(ways) != 1:
        return zone
    at = len(FILLER.join(words[: ways[0]]))
    row, start, end = LAYOUTS[zone.form].spans["name"]
    name = zone.text("name")
    made = (name[:at] + FILLER + name[at:])[: end - start]
    lines = list(zone.lines)
    lines[row] = lines[row][:start] + made + lines[row][end:]
    change = Change(row, start + at, "", FILLER, "printed")
    return replace(zone, lines=tuple(lines), changes=(*zone.changes, change))


def bare(text: str) -> str:
    """Letters only, without marks, and without what the zone writes for marks."""
    letters = re.sub(r"XX(?=[A-Z])", "", _letters(text))
    return letters.replace("OE", "O").replace("AE", "A").replace("AA", "A").replace("UE", "U")


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.upper().translate(_BARE)).translate(_BARE)
    return re.sub(r"[^A-Z]", "", plain)


def _tokens(text: str) -> list[str]:
    return [token for word in re.split(r"[^\w'’]+|_", text) if (token := _letters(word))]


def _joined(words: Sequence[str]) -> list[str]:
    """Every run of neighbouring words, written together and made bare."""
    return [
        bare("".join(words[start : start + count]))
        for start in range(len(words))
        for count in range(1, _TOGETHER + 1)
        if start + count <= len(words)
    ]


def _stands(part: str, runs: Sequence[str], words: Sequence[str], cut_short: bool) -> bool:
    if part in runs:
        return True
    if cut_short and any(run.startswith(part) for run in runs):
        return True
    # A label may have run into the name: its end counts, if long enough not to be chance.
    return len(part) >= 5 and any(word.endswith(part) or word.startswith(part) for word in words)


def _is_run(part: str, printed: Sequence[str]) -> bool:
    """Whether one run of text on the page says just this, perhaps after a label."""
    runs = (_tokens(text) for text in printed)
    return any(part in (bare("".join(run)), *map(bare, run[-1:])) for run in runs)


def _alike(part: str, word: str) -> bool:
    if abs(len(part) - len(word)) > 0.4 * len(part):
        return False
    return SequenceMatcher(None, part, word).ratio() >= _ALIKE
