"""Stamps of a real authority (`openssl ts`) and of the one for tests, good and bad."""

import asyncio
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings.timestamp import (
    HttpAuthority,
    NotStamped,
    TestAuthority,
    check,
    load_roots,
    request,
)
from tests.recordings.authority import OpensslAuthority, Server, serving

DATA = b"a signed head"
DIGEST = sha256(DATA).digest()


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(openssl: OpensslAuthority) -> Iterator[Server]:
    with serving(openssl) as made:
        yield made


@pytest.fixture
def authority(server: Server) -> HttpAuthority:
    server.mood = "well"
    return HttpAuthority(server.url, load_roots(server.authority.roots), timeout_s=5)


def seconds_off(at: int) -> float:
    return abs(at / 1e6 - datetime.now(UTC).timestamp())


async def test_a_real_authority_stamps(authority: HttpAuthority, openssl: OpensslAuthority) -> None:
    answer = await authority.stamp(DIGEST)
    stamped = check(answer, DIGEST, authority.roots)
    assert seconds_off(stamped.at) < 5
    assert stamped.authority == "CN=Clock of tests"
    assert not stamped.test
    assert openssl.verifies(answer, DATA)


def test_certificates_that_are_not_sorted_are_read(openssl: OpensslAuthority) -> None:
    """The reader underneath refuses what openssl writes with a chain; we do not."""
    from rfc3161_client import decode_timestamp_response

    answer = openssl.reply(request(DIGEST, 7))
    with pytest.raises(ValueError, match="SetOrdering"):
        decode_timestamp_response(answer)
    assert check(answer, DIGEST, load_roots(openssl.roots), 7).authority == "CN=Clock of tests"


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("garbage", "does not hold"),
        ("empty", "does not hold"),
        ("endless", "does not stop"),
        ("page", "another kind of content"),
        ("broken", "answered 503"),
        ("elsewhere", "answered 302"),
        ("repeats", "Nonce mismatch"),
        ("other hash", "Mismatch between messages"),
        ("refuses", "does not hold"),
    ],
)
async def test_what_is_no_stamp_is_refused(
    authority: HttpAuthority, server: Server, mood: str, said: str
) -> None:
    await authority.stamp(DIGEST)
    server.mood = mood
    with pytest.raises(NotStamped, match=said):
        await authority.stamp(DIGEST)


async def test_an_authority_that_takes_too_long(server: Server) -> None:
    server.mood = "slow"
    slow = HttpAuthority(server.url, load_roots(server.authority.roots), timeout_s=0.2)
    with pytest.raises(NotStamped, match=r"did not answer in 0\.2 s"):
        await slow.stamp(DIGEST)


async def test_an_authority_that_trickles() -> None:
    """A byte now and then does not keep the asker for longer than a silent one."""

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        finally:
            writer.close()

    listening = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    began = asyncio.get_running_loop().time()
    with pytest.raises(NotStamped, match="did not answer"):
        await HttpAuthority(f"http://127.0.0.1:{port}/", [], timeout_s=0.3).stamp(DIGEST)
    assert asyncio.get_running_loop().time() - began < 1.5
    listening.close()


async def test_an_authority_that_is_not_there() -> None:
    with pytest.raises(NotStamped, match="cannot be reached"):
        await HttpAuthority("http://127.0.0.1:9/", []).stamp(DIGEST)


def test_a_certificate_for_something_else_stamps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ExtendedKeyUsageOID, "TIME_STAMPING", ExtendedKeyUsageOID.EMAIL_PROTECTION)
        mail = TestAuthority(tmp_path / "mail.pem")
    with pytest.raises(NotStamped, match="unsuitable"):
        check(mail.answer(DIGEST, 1), DIGEST, mail.roots, 1)


def test_an_unknown_root_vouches_for_nothing(openssl: OpensslAuthority, tmp_path: Path) -> None:
    answer = openssl.reply(request(DIGEST, 7))
    with pytest.raises(NotStamped):
        check(answer, DIGEST, TestAuthority(tmp_path / "tsa.pem").roots)
    with pytest.raises(NotStamped, match="no root"):
        check(answer, DIGEST, [])


@pytest.fixture(scope="module")
def answer(openssl: OpensslAuthority) -> bytes:
    """One good answer."""
    return openssl.reply(request(DIGEST, 7))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_change_of_a_bit_makes_another_stamp(
    openssl: OpensslAuthority, answer: bytes, data: st.DataObject
) -> None:
    """It is refused, or stands where nothing is said, such as in a certificate nobody needs."""
    roots = load_roots(openssl.roots)
    honest = check(answer, DIGEST, roots)
    changed = bytearray(answer)
    changed[data.draw(st.integers(0, len(answer) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = check(bytes(changed), DIGEST, roots)
    except NotStamped:
        return
    assert found == honest


@settings(deadline=None)
@given(junk=st.binary(max_size=300))
def test_any_bytes_are_refused_and_nothing_worse(openssl: OpensslAuthority, junk: bytes) -> None:
    with pytest.raises(NotStamped):
        check(junk, DIGEST, load_roots(openssl.roots))


def test_the_authority_for_tests(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path / "keys" / "test-authority.pem")
    again = TestAuthority(tmp_path / "keys" / "test-authority.pem")
    answer = asyncio.run(authority.stamp(DIGEST))
    stamped = check(answer, DIGEST, again.roots)
    assert stamped.test
    assert "not evidence" in stamped.authority
    assert seconds_off(stamped.at) < 5
    assert (tmp_path / "keys" / "test-authority.pem").stat().st_mode & 0o077 == 0
    with pytest.raises(NotStamped):
        check(answer, sha256(b"another").digest(), again.roots)
    # And openssl reads it too.
    (tmp_path / "answer").write_bytes(answer)
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "root.pem").write_bytes(authority.roots[0].public_bytes(Encoding.PEM))
    subprocess.run(
        ["openssl", "ts", "-verify", "-in", "answer", "-data", "data", "-CAfile", "root.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )


def test_a_stamp_holds_after_its_certificate_has_run_out(tmp_path: Path) -> None:
    """It was good when it was given: that is what counts for as long as a recording is kept."""
    then = datetime.now(UTC) - timedelta(days=20 * 365)
    old = TestAuthority(tmp_path / "tsa.pem", now=lambda: then)
    stamped = check(old.answer(DIGEST, 1), DIGEST, old.roots, 1)
    assert stamped.at // 1_000_000 == int(then.timestamp())
    late = TestAuthority(tmp_path / "tsa.pem")
    with pytest.raises(NotStamped):  # but nobody can go on stamping with it
        check(late.answer(DIGEST, 1), DIGEST, late.roots, 1)


def test_a_request_is_for_a_hash() -> None:
    with pytest.raises(ValueError):
        request(b"short", 1)

