import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_bank.blobs import BlobDamaged, LocalBlobs
from video_bank.errors import OperatorError
from video_bank.secrets import Secrets, Undecryptable

SECRETS = Secrets(bytes(range(32)))


@given(st.binary(max_size=100), st.text(max_size=30))
def test_what_is_sealed_opens_in_its_place_only(plain: bytes, place: str) -> None:
    sealed = SECRETS.encrypt(plain, place)
    assert SECRETS.decrypt(sealed, place) == plain
    assert len(plain) < 4 or plain not in sealed
    with pytest.raises(Undecryptable):
        SECRETS.decrypt(sealed, place + "x")
    with pytest.raises(Undecryptable):
        Secrets(bytes(32)).decrypt(sealed, place)


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_flipped_bit_is_noticed(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SECRETS.encrypt(plain, "p"))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(Undecryptable):
        SECRETS.decrypt(bytes(sealed), "p")


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_in_order(junk: bytes) -> None:
    with pytest.raises(Undecryptable):
        SECRETS.decrypt(junk, "p")


def test_no_two_sealings_are_alike() -> None:
    assert len({SECRETS.encrypt("same", "p") for _ in range(200)}) == 200


def test_purposes_have_keys_of_their_own() -> None:
    assert SECRETS.derive("a") == SECRETS.derive("a") != SECRETS.derive("b")
    assert SECRETS.lookup("phone", "1") != SECRETS.lookup("code", "1")
    assert SECRETS.lookup("phone", "1") != Secrets(bytes(32)).lookup("phone", "1")


def test_signatures() -> None:
    signature = SECRETS.sign("invitation", "01J")
    assert SECRETS.signed("invitation", "01J", signature)
    for kind, text, other in [
        ("other", "01J", signature),
        ("invitation", "01K", signature),
        ("invitation", "01J", signature[:-1]),
        ("invitation", "01J", ""),
        ("invitation", "01J", "é"),
    ]:
        assert not SECRETS.signed(kind, text, other)


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = Secrets.load_or_create(tmp_path / "keys")
    again = Secrets.load_or_create(tmp_path / "keys")
    assert again.decrypt(first.encrypt("x", "p"), "p") == b"x"
    path = tmp_path / "keys" / "server.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o640)
    with pytest.raises(OperatorError, match="chmod 600"):
        Secrets.load_or_create(tmp_path / "keys")


def test_a_cut_off_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "server.key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(OperatorError, match="32 bytes"):
        Secrets.load_or_create(tmp_path)


async def test_blobs_are_unreadable_on_the_disk_and_tied_to_their_name(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path, SECRETS.derive("blobs"))
    await blobs.put("s/face.jpg", b"a face" * 100)
    await blobs.put("s/card.jpg", b"a card" * 100)
    face, card = tmp_path / "s" / "face.jpg", tmp_path / "s" / "card.jpg"
    assert b"a face" not in face.read_bytes()
    assert stat.S_IMODE(face.stat().st_mode) == 0o600
    assert [path.name for path in sorted((tmp_path / "s").iterdir())] == ["card.jpg", "face.jpg"]
    card.write_bytes(face.read_bytes())
    with pytest.raises(BlobDamaged):
        await blobs.get("s/card.jpg")
    face.write_bytes(face.read_bytes()[:-1])
    with pytest.raises(BlobDamaged):
        await blobs.get("s/face.jpg")
    face.write_bytes(b"VBB1")
    with pytest.raises(BlobDamaged):
        await blobs.get("s/face.jpg")
