"""One suite for every keyring: the file's, and a PKCS#11 token's (SoftHSM)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from recordings import FileKeyring, Keyring, KeyUnavailable, new_dek
from recordings.pkcs11 import Pkcs11Keyring

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
Opened = Callable[[], Keyring]


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with SoftHSM's settings and the PIN's file; tokens are made in it by label."""
    if not MODULE.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("no SoftHSM: apt-get install softhsm2")
    place = tmp_path_factory.mktemp("softhsm")
    (place / "tokens").mkdir()
    (place / "softhsm2.conf").write_text(f"directories.tokendir = {place / 'tokens'}\n")
    (place / "pin").write_text("2468\n")
    # Read once, when this process loads the library.
    os.environ["SOFTHSM2_CONF"] = str(place / "softhsm2.conf")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "bank"]
        + ["--pin", "2468", "--so-pin", "135790"],
        check=True,
        capture_output=True,
    )
    return place


@pytest.fixture(params=["file", "pkcs11"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens one and the same keyring again and again."""
    if request.param == "file":
        return lambda: FileKeyring(tmp_path / "keyring.json")
    place: Path = request.getfixturevalue("token")
    return lambda: Pkcs11Keyring(MODULE, "bank", place / "pin")


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """One of the test's own: the token is shared by all of them."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


def test_wrap_and_unwrap(opened: Opened, tenant: str) -> None:
    ring, dek = opened(), new_dek()
    kek = ring.kek(tenant, "2026-11")
    wrapped = ring.wrap(dek, kek)
    assert len(wrapped) == len(dek) + 8 and dek not in wrapped
    assert opened().unwrap(kek, wrapped) == dek
    assert ring.kek(tenant, "2026-11") == opened().kek(tenant, "2026-11") == kek
    assert kek in ring.keks()


def test_another_key_does_not_unwrap(opened: Opened, tenant: str) -> None:
    ring = opened()
    kek = ring.kek(tenant, "2026-11")
    wrapped = ring.wrap(new_dek(), kek)
    for other in (ring.kek(tenant, "2026-12"), ring.kek(tenant + "-b", "2026-11")):
        with pytest.raises(KeyUnavailable):
            ring.unwrap(other, wrapped)
    damaged = (wrapped[:-1], wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"", bytes(40), wrapped * 9)
    for each in damaged:
        with pytest.raises(KeyUnavailable):
            ring.unwrap(kek, each)
    with pytest.raises(KeyUnavailable):
        ring.unwrap(f"{tenant}/2031-01", wrapped)
    with pytest.raises(KeyUnavailable):
        ring.wrap(new_dek(), f"{tenant}/2031-01")


def test_a_destroyed_key_is_gone_for_good(opened: Opened, tenant: str) -> None:
    ring, other = opened(), opened()
    kek = ring.kek(tenant, "2026-11")
    wrapped = ring.wrap(new_dek(), kek)
    other.unwrap(kek, wrapped)
    ring.destroy(kek)
    for each in (ring, other, opened()):
        with pytest.raises(KeyUnavailable):
            each.unwrap(kek, wrapped)
        with pytest.raises(KeyUnavailable, match="destroyed"):
            each.kek(tenant, "2026-11")
    assert kek not in ring.keks()
    ring.destroy(kek)  # again: nothing happens
    with pytest.raises(KeyUnavailable):
        ring.destroy(f"{tenant}/1999-01")


def test_a_renewed_key_takes_over(opened: Opened, tenant: str) -> None:
    ring, dek = opened(), new_dek()
    first = ring.kek(tenant, "2026-11")
    wrapped = ring.wrap(dek, first)
    second = ring.renew(tenant, "2026-11")
    assert second == f"{first}.2" and opened().kek(tenant, "2026-11") == second
    again = ring.wrap(ring.unwrap(first, wrapped), second)
    ring.destroy(first)
    assert ring.kek(tenant, "2026-11") == second and ring.unwrap(second, again) == dek
    with pytest.raises(KeyUnavailable):
        ring.unwrap(first, wrapped)
    ring.destroy(second)
    assert ring.renew(tenant, "2026-11") == f"{first}.3"  # never a name that was used


@pytest.mark.parametrize("month", ["2026", "2026-1", "../../x", "11-2026", "2026-13", "2026-00"])
def test_months_are_months(opened: Opened, month: str) -> None:
    ring = opened()
    for verb in (ring.kek, ring.renew):
        with pytest.raises(ValueError):
            verb("bank", month)
        with pytest.raises(ValueError):
            verb("../bank", "2026-11")


def test_threads_share_a_keyring(opened: Opened, tenant: str) -> None:
    ring = opened()
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            for month in range(1, 9):
                kek, dek = ring.kek(f"{tenant}-{number}", f"2026-{month:02}"), new_dek()
                assert ring.unwrap(kek, ring.wrap(dek, kek)) == dek
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len([kek for kek in ring.keks() if kek.startswith(f"{tenant}-")]) == 32


def test_keys_in_a_token_cannot_be_taken_out(token: Path) -> None:
    import pkcs11

    ring = Pkcs11Keyring(MODULE, "bank", token / "pin")
    kek = ring.kek("locked", "2026-11")
    dek = new_dek()
    wrapped = ring.wrap(dek, kek)

    def inspect(session: pkcs11.Session) -> None:
        (key,) = session.get_objects({pkcs11.Attribute.LABEL: kek})
        assert key[pkcs11.Attribute.SENSITIVE] and not key[pkcs11.Attribute.EXTRACTABLE]
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE] and key[pkcs11.Attribute.LOCAL]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]
        # For wrapping only: a KEK that also decrypts would decrypt what it wrapped.
        assert not key[pkcs11.Attribute.ENCRYPT] and not key[pkcs11.Attribute.DECRYPT]
        # No data key stays behind: every secret key in the token is one for wrapping.
        for each in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}):
            assert not each[pkcs11.Attribute.EXTRACTABLE]

    ring._do(inspect)
    files = [path for path in (token / "tokens").rglob("*") if path.is_file()]
    assert files and not any(dek in path.read_bytes() for path in files)
    assert ring.unwrap(kek, wrapped) == dek


# The library complains when it lets go of a search in the lost session.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lost_session_is_begun_anew(token: Path) -> None:
    ring = Pkcs11Keyring(MODULE, "bank", token / "pin")
    wrapped = ring.wrap(new_dek(), kek := ring.kek("lost", "2026-11"))
    ring._session.close()
    assert len(ring.unwrap(kek, wrapped)) == 32


def test_a_token_that_cannot_be_reached_is_named(token: Path, tmp_path: Path) -> None:
    """In processes of their own: the library remembers who is logged in."""
    (tmp_path / "wrong").write_text("0000\n")
    cases = [
        (MODULE, "bank", tmp_path / "wrong", "PinIncorrect"),
        (MODULE, "other", token / "pin", "No token matching"),
        (MODULE, "bank", tmp_path / "missing", "No such file"),
        (tmp_path / "no.so", "bank", token / "pin", "library"),
    ]
    for module, label, pin, words in cases:
        code = (
            "import sys; from pathlib import Path; from recordings.pkcs11 import Pkcs11Keyring\n"
            "try: Pkcs11Keyring(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        said = subprocess.run(
            [sys.executable, "-c", code, str(module), label, str(pin)],
            capture_output=True, text=True, timeout=30,
        ).stdout  # fmt: skip
        assert said.startswith("KeyUnavailable") and words in said, said


def test_two_servers_share_a_token(token: Path) -> None:
    """What one process wrapped the other unwraps; a key destroyed by one is gone for both."""
    ring, dek = Pkcs11Keyring(MODULE, "bank", token / "pin"), new_dek()
    kek = ring.kek("two", "2026-11")
    code = (
        "import sys; from pathlib import Path; from recordings.pkcs11 import Pkcs11Keyring\n"
        "ring = Pkcs11Keyring(*map(Path, sys.argv[1:2]), 'bank', Path(sys.argv[2]))\n"
        "kek = ring.kek('two', '2026-11')\n"
        "print(ring.wrap(bytes.fromhex(sys.argv[3]), kek).hex())\n"
        "ring.destroy(ring.kek('two', '2026-12'))"
    )
    (wrapped,) = subprocess.run(
        [sys.executable, "-c", code, str(MODULE), str(token / "pin"), dek.hex()],
        capture_output=True, text=True, timeout=30, check=True,
    ).stdout.split()  # fmt: skip
    assert ring.unwrap(kek, bytes.fromhex(wrapped)) == dek
    with pytest.raises(KeyUnavailable, match="destroyed"):
        ring.kek("two", "2026-12")
