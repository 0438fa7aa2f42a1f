"""Signed heads: the published example of a checkpoint, and what must not be read as one."""

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings.errors import Damaged
from recordings.heads import sign_head
from recordings.keys import FileSigner
from recordings.verify_recording import HEAD_LIMIT, SUITES, TreeHead, key_hint, read_head

from .sm2 import FixedSigner

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = FileSigner(KEY)
TRUST = SIGNER.trust()
SM2 = FixedSigner(b"\x05" * 32)
HEAD = TreeHead("bank.example/recordings/2026-11-22", 5, sha256(b"root").digest(), ("audit 7 00",))
NOTE = sign_head(HEAD, SIGNER)

PUBLISHED = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""  # noqa: E501
"""The example of the C2SP document; it is published without its key."""


def test_a_head_is_read_again() -> None:
    assert read_head(NOTE, TRUST) == HEAD
    lines = NOTE.split("\n")
    assert lines[0] == "bank.example/recordings/2026-11-22"
    assert lines[1] == "5"
    assert base64.b64decode(lines[2]) == HEAD.root
    assert lines[3:5] == ["audit 7 00", ""]
    name = HEAD.origin.encode()
    assert (
        base64.b64decode(lines[5].split(" ")[2])[:4]
        == sha256(name + b"\n\x01" + KEY.public_key().public_bytes_raw()).digest()[:4]
        == key_hint(HEAD.origin, SIGNER.public_der())
    )


def test_the_published_form() -> None:
    with pytest.raises(Damaged) as refused:
        read_head(PUBLISHED, TRUST)
    assert refused.value.reason == "head_not_signed"  # well formed, by a key that is not trusted


def test_only_trusted_keys_count() -> None:
    other = FileSigner(Ed25519PrivateKey.generate()).trust()
    for trust in (other, SM2.trust()):
        with pytest.raises(Damaged, match="head_not_signed"):
            read_head(NOTE, trust)
    assert read_head(NOTE, other | TRUST) == HEAD


def test_a_head_of_suite_2() -> None:
    """An SM2 signature, with a key hint of its own kind, and never one for the other."""
    note = sign_head(HEAD, SM2)
    assert read_head(note, SM2.trust()) == read_head(note, TRUST | SM2.trust()) == HEAD
    with pytest.raises(Damaged, match="head_not_signed"):
        read_head(note, TRUST)
    raw = SM2.der[len(SUITES[2].key_prefix) :]
    hint = sha256(HEAD.origin.encode() + b"\n\xffVBR1 SM2" + raw).digest()[:4]
    assert base64.b64decode(note.split("\n")[5].split(" ")[2])[:4] == hint
    for changed in (note.replace("\n5\n", "\n6\n"), note.replace("audit 7", "audit 8")):
        with pytest.raises(Damaged, match="head_not_signed"):
            read_head(changed, SM2.trust())


def test_witnesses_may_sign_too() -> None:
    witness = "— witness.example " + base64.b64encode(bytes(76)).decode() + "\n"
    assert read_head(NOTE + witness, TRUST) == HEAD
    text, _, signature = NOTE.partition("\n\n")
    assert read_head(f"{text}\n\n{witness}{signature}", TRUST) == HEAD


def signed(text: str) -> str:
    signature = key_hint(HEAD.origin, SIGNER.public_der()) + KEY.sign(text.encode())
    return f"{text}\n— {HEAD.origin} {base64.b64encode(signature).decode()}\n"


ROOT = base64.b64encode(HEAD.root).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD.origin}\n05\n{ROOT}\n",
        f"{HEAD.origin}\n+5\n{ROOT}\n",
        f"{HEAD.origin}\n-5\n{ROOT}\n",
        f"{HEAD.origin}\n{'9' * 17}\n{ROOT}\n",
        f"{HEAD.origin}\n5\n{ROOT[:-4]}\n",
        f"{HEAD.origin}\n5\n {ROOT}\n",
        f"{HEAD.origin}\n5\n",
        f"{HEAD.origin} more\n5\n{ROOT}\n",
        f"{HEAD.origin}\n5\n{ROOT}\nline\twith a tab\n",
        f"{HEAD.origin}\r\n5\r\n{ROOT}\r\n",
    ],
)
def test_what_is_written_otherwise_is_refused_even_if_signed(text: str) -> None:
    with pytest.raises(Damaged, match="head_malformed"):
        read_head(signed(text), TRUST)


def test_too_long() -> None:
    with pytest.raises(Damaged, match="head_malformed"):
        read_head(NOTE + "— x AAAA\n" * HEAD_LIMIT, TRUST)


@settings(deadline=None)
@given(st.integers(0, len(NOTE) - 1), st.characters())
def test_no_character_can_be_changed(place: int, character: str) -> None:
    changed = NOTE[:place] + character + NOTE[place + 1 :]
    if changed != NOTE:
        with pytest.raises(Damaged):
            read_head(changed, TRUST)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_worse(text: str) -> None:
    for note in (text, f"{HEAD.origin}\n5\n{ROOT}\n\n{text}", f"{NOTE}{text}x"):
        with pytest.raises(Damaged):
            read_head(note, TRUST)


@pytest.mark.parametrize(
    "head",
    [
        TreeHead("", 1, bytes(32)),
        TreeHead("a b", 1, bytes(32)),
        TreeHead("a", -1, bytes(32)),
        TreeHead("a", 1, bytes(31)),
        TreeHead("a", 1, bytes(32), ("",)),
        TreeHead("a", 1, bytes(32), ("x\ny",)),
    ],
)
def test_what_cannot_be_written_is_not_signed(head: TreeHead) -> None:
    with pytest.raises(ValueError):
        sign_head(head, SIGNER)
