"""Spoiled at random: whatever is done to a part, its closing or its session, a verifier notices.

None of this has the key that opens a part. `RECORDING_SPOILED=10000` is the number on
docs/reports/reliability.md; without it a few hundred, always the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from recordings import Status, Trust, Verdict, recover, verify_part, verify_session
from recordings.keys import Signer
from tests.recordings.mutations import Spoiler
from tests.recordings.parts import SIGNER, MemoryStore, Wall, sealed
from tests.recordings.sm2 import FixedSigner
from tests.recordings.test_verify import linked

COUNT = int(os.environ.get("RECORDING_SPOILED", "400"))
SEED = 20_261_122
SM_SIGNER = FixedSigner(b"\x07" * 32)
TRUST = Trust([SIGNER.public_der(), SM_SIGNER.der])

pytestmark = pytest.mark.timeout(3600 if COUNT > 1000 else 120)


def verdict(part: bytes, closing: bytes | None = None) -> Verdict:
    store = MemoryStore(p=part) if closing is None else MemoryStore(p=part, **{"p.close": closing})
    return verify_part(store, "p", TRUST)


@pytest.mark.parametrize(
    ("signer", "share"), [(SIGNER, 1.0), (SM_SIGNER, 0.1)], ids=["suite 1", "suite 2"]
)
def test_a_finished_part(
    signer: Signer, share: float, record_property: Callable[[str, object], None]
) -> None:
    part = sealed(records=60, every=7, signer=signer)
    other = sealed(records=60, every=7, signer=signer, session="S-2", part_id="e" * 32)
    assert verdict(part).ok and verdict(other).ok
    spoiler, found = Spoiler(part, other, Random(SEED)), Counter[str]()
    for number in range(int(COUNT * share)):
        spoiled = spoiler.spoil()
        said = verdict(spoiled.data)
        assert said.status in (Status.TAMPERED, Status.INCOMPLETE), (number, spoiled.how, said)
        if spoiled.how != "cut":
            found[f"{spoiled.how}: {said.status}"] += 1
        else:
            found[f"{spoiled.how}: noticed"] += 1
    figures = ", ".join(f"{what} {count}" for what, count in sorted(found.items()))
    record_property("figures", figures)
    print(figures)


def test_a_closed_part_and_its_closing() -> None:
    """What recovery vouched for is as well kept as what the writer finished."""
    part = sealed(records=60, every=7, finish=False)[:-9]
    store = MemoryStore(p=part)
    recover(store, "p", SIGNER, TRUST, cause="killed", by="test", wall=Wall())
    closing = bytes(store.parts["p.close"])
    assert verdict(part, closing).status is Status.RECOVERED
    other = sealed(records=60, every=7, session="S-2", part_id="e" * 32)
    chance = Random(SEED)
    spoiler = Spoiler(sealed(records=60, every=7, finish=False), other, chance)
    for number in range(COUNT // 4):
        data, beside = spoiler.spoil().data, closing
        if number % 2:
            data, bit = part, chance.randrange(len(closing) * 8)
            spoiled = bytearray(closing)
            spoiled[bit // 8] ^= 1 << bit % 8
            beside = bytes(spoiled)
        if (data, beside) != (part, closing):
            said = verdict(data, beside)
            assert said.status not in (Status.OK, Status.RECOVERED), (number, said)


def test_the_parts_of_a_session() -> None:
    """Exchanged between sessions, left out, given twice: each whole, and yet not the session.

    Only the last part can be missing without a trace in the others: the bank's log and the tree
    of the day have its end.
    """
    ours = [verdict(part) for part in linked(4)]
    theirs = [
        verdict(sealed(session="S-2", part=number, part_id=f"{number:030x}ff"))
        for number in range(1, 5)
    ]
    assert verify_session(ours).ok
    chance = Random(SEED)
    for number in range(COUNT):
        given = list(ours)
        place = chance.randrange(len(given))
        way = chance.choice(["exchanged", "left out", "twice"])
        if way == "exchanged":
            given[place] = theirs[chance.randrange(4)]
        elif way == "left out":
            del given[min(place, 2)]
        else:
            given.insert(chance.randrange(5), given[place])
        chance.shuffle(given)
        assert not verify_session(given).ok, (number, way, place)
