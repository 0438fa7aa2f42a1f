"""The vectors, and what FORMAT.md says about codes."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from recordings import LocalStore, PartReader, Trust, Verdict, verify_part
from recordings.container import Type
from recordings.verify_recording import MEANINGS
from tests.vectors.make_recordings import HERE, files

EXPECT = sorted(path.stem for path in HERE.glob("*.expect"))
PACKAGE = Path(__file__).resolve().parents[2] / "recordings"


def expected(name: str) -> dict[str, str]:
    lines = (HERE / f"{name}.expect").read_text().splitlines()
    return {key: value for key, _, value in (line.partition(": ") for line in lines)}


def found(name: str) -> Verdict:
    return verify_part(LocalStore(HERE), f"{name}.vbr", Trust.load(HERE / "trust.pem"))


@pytest.mark.parametrize("name", EXPECT)
def test_verdict(name: str) -> None:
    verdict, facts = found(name), expected(name)
    assert verdict.status == facts.pop("expect")
    facts.pop("comment")
    dek, plaintext = facts.pop("dek", None), facts.pop("plaintext-sha256", None)
    assert {key: str(getattr(verdict, key)) for key in facts} == facts
    if dek is not None:
        reader = PartReader(LocalStore(HERE).open(f"{name}.vbr"), bytes.fromhex(dek))
        opened = b"".join(map(reader.open, reader.select(Type.DATA)))
        assert sha256(opened).hexdigest() == plaintext


def test_most_vectors_are_failures() -> None:
    kinds = [expected(name)["expect"] for name in EXPECT]
    assert len(kinds) > 35 and kinds.count("ok") <= 5
    assert set(kinds) == {"ok", "incomplete", "tampered", "closed by recovery"}


def test_making_them_again_gives_the_same_bytes() -> None:
    made = files()
    assert made.keys() == {path.name for path in HERE.iterdir()}
    for name, content in made.items():
        assert (HERE / name).read_bytes() == content, name


def test_every_reason_is_in_the_format_and_the_other_way_round() -> None:
    text = (PACKAGE / "FORMAT.md").read_text()
    table = text[text.index("| reason | verdict |") : text.index("## What a file")]
    described = set(re.findall(r"`([a-z_]+)`", re.sub(r"\|[^|]*\|$", "|", table, flags=re.M)))
    described.discard("previous")
    code = "".join(
        (PACKAGE / name).read_text()
        for name in ("verify_recording.py", "suites.py", "container.py", "recovery.py")
    )
    used = set(re.findall(r'(?:Damaged|_Break)\(\s*"([a-z_]+)"', code))
    used |= set(re.findall(r'reason="([a-z_]+)"', code)) | set(
        re.findall(r'reason = "([a-z_]+)"', code)
    )
    for chosen in ("records_missing", "record_repeated", "writing_failed", "stopped", "finished"):
        assert f'"{chosen}"' in code
        used.add(chosen)
    used -= {"head_malformed", "head_not_signed"}  # of a tree's head, never of a part
    assert used == described
    assert MEANINGS.keys() == described - {"finished"}
