"""What is read of passports, visas, foreign cards, bank cards and business licences.

About four minutes of one processor. Drawn papers come from a seed of their own: the one the
reading was mended with is never reported on.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from kyc.document import mrz, mrz_name, page, travel
from kyc.document.page import Paper
from kyc.image import Bgr, open_still
from kyc.report import company_papers, papers, webcam
from kyc.report.section import Rate, Section, Table

if TYPE_CHECKING:
    from kyc.instruments import Instruments

REPORTED = 20261123
TUNED = 100  # seeds from here to 199 were looked at while the reading was made
TRAVEL, BANK_CARDS, LICENCES = 120, 40, 30
TURNED = (0, 0, 0, 0, 0, 0, 0, 0, 2, 1)  # quarter turns; one in ten upside down, one sideways
TODAY = dt.date(2026, 11, 22)
NEAR = webcam.Conditions(share=(0.75, 0.92))  # a licence is a large sheet of small print
CARD = webcam.Conditions(share=(0.35, 0.75))


@dataclass
class Tally:
    """How many zones were read how."""

    pictures: int = 0
    exact: int = 0
    valid: int = 0
    wrong_valid: int = 0
    named: int = 0
    mended: int = 0
    by_form: Counter[str] = field(default_factory=Counter)
    exact_by_form: Counter[str] = field(default_factory=Counter)

    def add(
        self, instruments: Instruments, picture: Bgr, lines: tuple[str, ...], form: str
    ) -> None:
        text = instruments.desk.text
        leaf = page.read(text, picture, 0, lambda leaf: travel.find(text, leaf))
        found: travel.Sighting | None = leaf.found
        self.pictures += 1
        self.by_form[form] += 1
        if found is None:
            return
        exact = found.zone.lines == lines
        self.exact += exact
        self.exact_by_form[form] += exact
        self.valid += found.zone.valid
        self.wrong_valid += found.zone.valid and not exact
        self.mended += exact and bool(found.zone.changes)
        self.named += mrz_name.compare(found.zone, found.printed) == "confirmed"


def section(data: Path, instruments: Instruments) -> Section:
    """The section on other documents than the resident identity card; ``data`` holds specimens."""
    specimens = _specimens(data, instruments)
    photographed = _photographed(instruments)
    rows = (
        ("all lines exact", photographed.exact),
        ("called valid", photographed.valid),
        ("wrong and called valid", photographed.wrong_valid),
        ("name found on the page, too", photographed.named),
        ("exact, mended on the way, and said so", photographed.mended),
    )
    forms = [
        (form, str(Rate(photographed.exact_by_form[form], count)))
        for form, count in sorted(photographed.by_form.items())
    ]
    cards = _fields(instruments, company_papers.bank_card, "bank_card", BANK_CARDS, CARD)
    licences = _fields(instruments, company_papers.licence, "business_licence", LICENCES, NEAR)
    return Section(
        title="Travel documents, bank cards, business licences",
        data=(
            f"{specimens.pictures} published specimens whose zone is known, each as it is, sideways"
            f" and upside down; {TRAVEL} drawn passports, visas and cards (zone in OCR-B),"
            f" {BANK_CARDS} bank cards, {LICENCES} licences, each as one webcam picture of"
            " 1280 × 720: in perspective, turned up to 8°, blurred, noisy, unevenly lit, a third"
            " with a lamp mirrored, JPEG; pages over 50–85 % of the width (licences 75–92 %, bank"
            f" cards 35–75 %). Seed {REPORTED}; other seeds were used while the reading was made."
        ),
        tables=(
            Table(
                ("specimens", "read"),
                [("lines exact", str(Rate(specimens.exact, specimens.pictures)))],
            ),
            Table(
                ("drawn zones, one picture each", "of all"),
                [(name, str(Rate(count, photographed.pictures))) for name, count in rows],
            ),
            Table(("form", "all lines exact"), forms),
            Table(("bank card", "right"), cards),
            Table(("business licence", "right"), licences),
        ),
        notes=(
            "A valid zone is one whose every check digit is right and that holds nothing the digits"
            " cannot see (optional data of visas with letters among digits, 6 and G in numbers)"
            " unless the page prints it. The name stands under no digit: the check passes only when"
            " it is printed on the page as well.",
        ),
        untested=(
            "Real documents: laminate, holograms, wear, stamps over the zone. Embossed bank cards."
            " Licences of other forms than the wide one of 2019. Banks by prefix: the table is from"
            " general knowledge and was compared with no clearing house's list.",
        ),
    )


def _specimens(data: Path, instruments: Instruments) -> Tally:
    tally = Tally()
    folder = data / "travel_documents"
    for row in json.loads((folder / "truth.json").read_text("utf-8")):
        if row["mrz"]:
            picture = open_still(folder / row["file"])
            for turns in (0, 1, 2):
                turned = np.ascontiguousarray(np.rot90(picture, turns))
                tally.add(instruments, turned, tuple(row["mrz"].split("|")), "specimen")
    return tally


def _photographed(instruments: Instruments) -> Tally:
    chance = np.random.default_rng(REPORTED)
    forms: tuple[mrz.Form, ...] = ("TD3", "TD3", "TD1", "TD2", "MRV-A", "MRV-B")
    tally = Tally()
    for place in range(TRAVEL):
        form = forms[place % len(forms)]
        drawn = papers.travel(form, chance)
        picture = webcam.photograph(drawn.page, chance)
        picture = np.ascontiguousarray(np.rot90(picture, TURNED[int(chance.integers(len(TURNED)))]))
        tally.add(instruments, picture, drawn.lines, form)
    return tally


def _fields(
    instruments: Instruments,
    draw: Callable[[Generator], company_papers.Drawn],
    check: str,
    count: int,
    conditions: webcam.Conditions,
) -> list[tuple[str, str]]:
    """How often each field was read as printed from one picture; a wrong number called right."""
    chance = np.random.default_rng(REPORTED)
    right: Counter[str] = Counter()
    wrong = 0
    key = "number" if check == "bank_card" else "code"
    names: list[str] = []
    for _ in range(count):
        drawn = draw(chance)
        picture = webcam.photograph(drawn.page, chance, conditions)
        paper = instruments.open(check, {"today": TODAY.isoformat()})
        assert isinstance(paper, Paper)
        values = paper.read_stills([picture]).values
        read = {name: values[name]["value"] for name in drawn.fields if name in values}
        names = list(drawn.fields)
        right.update(name for name, text in drawn.fields.items() if read.get(name) == text)
        wrong += key in read and read[key] != drawn.fields[key]
    return [(name, str(Rate(right[name], count))) for name in names] + [
        (f"{key} read wrong and called right", str(Rate(wrong, count)))
    ]
