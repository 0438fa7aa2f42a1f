"""Time from outside: RFC 3161 stamps over a hash, asked for, checked, and made for tests.

What is kept is the authority's whole answer (TimeStampResp, DER) exactly as it came: `openssl ts
-verify -in ANSWER` and others read it too. Signatures and certificates are checked by
`rfc3161-client`; asking and the authority for tests write their DER with `cryptography`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client import VerifierBuilder, decode_timestamp_response

from .errors import RecordingError

DIGEST = 32
"""Stamped are SHA-256 hashes."""
ANSWER_LIMIT = 64 * 1024
"""Bytes. An answer with a chain of certificates has 4 to 10 KiB."""
TIMEOUT_S = 15.0
"""For the whole exchange: an authority answers within a second or two."""
NAME_LIMIT = 256

OID = x509.ObjectIdentifier
_SHA256 = OID("2.16.840.1.101.3.4.2.1")
_ECDSA_SHA256 = OID("1.2.840.10045.4.3.2")
_SIGNED_DATA = OID("1.2.840.113549.1.7.2")
_TST_INFO = OID("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE = OID("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = OID("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE = OID("1.2.840.113549.1.9.16.2.47")

TEST_POLICY = OID("2.25.285013374586412079513428176640213906511")
"""Stands in every stamp of the authority for tests, and in no other's: an arc of a random UUID."""
TEST_NAME = "TEST time-stamp authority - not evidence"


class NotStamped(RecordingError):
    """There is no stamp: the authority was not reached, refused, or its answer does not hold."""


@dataclass(frozen=True)
class Stamped:
    """What a stamp says that holds."""

    at: int
    """UTC microseconds since 1970, by the authority's clock."""
    authority: str
    """Subject of its certificate (RFC 4514)."""
    serial: int
    test: bool
    """By the authority for tests: not evidence."""


class Authority(Protocol):
    """Who stamps hashes."""

    @property
    def name(self) -> str:
        """For logs and pages."""

    @property
    def roots(self) -> Sequence[x509.Certificate]:
        """Certificates in which what it signs must end."""

    async def stamp(self, digest: bytes) -> bytes:
        """Its answer for this SHA-256 hash, already checked. Raises :class:`NotStamped`."""


# -- what goes over the line (RFC 3161, sections 2.4.1 and 2.4.2) --------------------------


@asn1.sequence
class _Algorithm:
    algorithm: x509.ObjectIdentifier


@asn1.sequence
class _Imprint:
    algorithm: _Algorithm
    digest: bytes


@asn1.sequence
class _Request:
    version: int
    imprint: _Imprint
    policy: x509.ObjectIdentifier | None
    nonce: int | None
    certificates: Annotated[bool, asn1.Default(False)]


@asn1.sequence
class _Info:
    version: int
    policy: x509.ObjectIdentifier
    imprint: _Imprint
    serial: int
    at: asn1.GeneralizedTime
    nonce: int | None


@asn1.sequence
class _Content:
    kind: x509.ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class _Attribute:
    kind: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Issuer:
    name: asn1.TLV
    serial: int


@asn1.sequence
class _SignerInfo:
    version: int
    signer: _Issuer
    digest: _Algorithm
    attributes: Annotated[asn1.SetOf[_Attribute], asn1.Implicit(0)]
    algorithm: _Algorithm
    signature: bytes


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.SetOf[_Algorithm]
    content: _Content
    certificates: Annotated[asn1.SetOf[asn1.TLV], asn1.Implicit(0)]
    signers: asn1.SetOf[_SignerInfo]


@asn1.sequence
class _Token:
    kind: x509.ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


@asn1.sequence
class _Status:
    status: int


@asn1.sequence
class _Answer:
    status: _Status
    token: _Token


def request(digest: bytes, nonce: int) -> bytes:
    """The question for an authority: DER, with a nonce, asking for its certificates."""
    if len(digest) != DIGEST:
        raise ValueError(f"a hash has {DIGEST} bytes")
    return asn1.encode_der(
        _Request(
            version=1,
            imprint=_Imprint(algorithm=_Algorithm(algorithm=_SHA256), digest=digest),
            policy=None,
            nonce=nonce,
            certificates=True,
        )
    )


def check(
    answer: bytes, digest: bytes, roots: Sequence[x509.Certificate], nonce: int | None = None
) -> Stamped:
    """What the answer of an authority proves about `digest`.

    Checked are: status granted, the signature, its certificate up to one of `roots` as of the time
    in the stamp, the critical key usage timeStamping, the hash, and the nonce if one is given.

    Raises:
        NotStamped: it proves nothing; the message says why.
    """
    if len(answer) > ANSWER_LIMIT:
        raise NotStamped("the answer is too long")
    if not roots:
        raise NotStamped("no root certificate is known to check it with")
    try:
        # The order in which certificates are listed is not signed, and some authorities do not
        # sort them as DER asks for.
        response = decode_timestamp_response(_certificates_sorted(answer))
        VerifierBuilder(roots=list(roots), nonce=nonce).build().verify(response, digest)
        info = response.tst_info
        if info.message_imprint.hash_algorithm != _SHA256:
            raise NotStamped("it is for a hash of another kind")
        at, certificate = info.gen_time, _certificate(response)
    except NotStamped:
        raise
    except Exception as error:  # the parsers stumble over hostile bytes in many ways
        raise NotStamped(f"the answer does not hold: {error}"[:300]) from error
    return Stamped(
        at=int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1_000_000),
        authority=certificate.subject.rfc4514_string()[:NAME_LIMIT],
        serial=info.serial_number,
        test=info.policy == TEST_POLICY,
    )


def _certificate(response: Any) -> x509.Certificate:
    """The certificate that signed, which the verification has found among those in the answer."""
    (signer,) = response.signed_data.signer_infos
    for each in response.signed_data.certificates:
        certificate = x509.load_der_x509_certificate(each)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
            return certificate
    raise ValueError("the signer's certificate is not in the answer")


def _certificates_sorted(answer: bytes) -> bytes:
    """The same answer with its set of certificates in DER's order.  `ValueError` if it has none."""
    ((kind, body),) = _elements(answer)
    fields = _elements(body)
    if len(fields) < 2:
        return answer  # a refusal: there is no token in it
    status, (token_kind, token) = fields
    content_type, (wrapping, wrapped) = _elements(token)
    ((signed_kind, signed),) = _elements(wrapped)
    parts = []
    for tag, content in _elements(signed):
        if tag == 0xA0:
            content = b"".join(sorted(_element(*each) for each in _elements(content)))
        parts.append(_element(tag, content))
    signed_data = _element(wrapping, _element(signed_kind, b"".join(parts)))
    token = _element(token_kind, _element(*content_type) + signed_data)
    return _element(kind, _element(*status) + token)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """(tag, content) of the DER values one behind the other in `data`."""
    found, place = [], 0
    while place < len(data):
        tag, length, start = data[place], data[place + 1], place + 2
        if length & 0x80:
            if not 1 <= (size := length & 0x7F) <= 4:
                raise ValueError("a length that DER does not have")
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        place = start + length
        if place > len(data):
            raise ValueError("cut off")
        found.append((tag, data[start:place]))
    return found


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


class HttpAuthority:
    """An authority that is asked by HTTP (RFC 3161, section 3.4)."""

    def __init__(
        self, url: str, roots: Sequence[x509.Certificate], *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url, self._timeout_s = url, timeout_s
        self.roots = tuple(roots)
        self.name = urlsplit(url).hostname or url

    async def stamp(self, digest: bytes) -> bytes:
        nonce = secrets.randbits(64)
        answer = await self._ask(request(digest, nonce))
        check(answer, digest, self.roots, nonce)
        return answer

    async def _ask(self, question: bytes) -> bytes:
        limit = aiohttp.ClientTimeout(total=self._timeout_s)
        headers = {
            "Content-Type": "application/timestamp-query",
            "Accept": "application/timestamp-reply",
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, headers=headers) as session,
                # Nobody is led elsewhere: the authority is the one that was set.
                session.post(self._url, data=question, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise NotStamped(f"{self.name} answered {response.status}")
                if response.content_type != "application/timestamp-reply":
                    raise NotStamped(f"{self.name} answered with another kind of content")
                answer = b""
                async for piece in response.content.iter_any():
                    answer += piece
                    if len(answer) > ANSWER_LIMIT:
                        raise NotStamped(f"{self.name} does not stop answering")
                return answer
        except TimeoutError as error:
            raise NotStamped(f"{self.name} did not answer in {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NotStamped(f"{self.name} cannot be reached: {type(error).__name__}") from error


class TestAuthority:
    """An authority of one's own, for trying things out: whoever has its file can stamp any time,
    so its stamps are marked as a test and are not evidence."""

    __test__ = False  # for pytest, which takes the name for a class of tests

    name = TEST_NAME

    def __init__(
        self, path: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`path`: the file of its key and certificates, made when there is none."""
        self._now = now
        if not path.exists():
            _make(path, now())
        text = path.read_bytes()
        key = serialization.load_pem_private_key(text, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path} is not of the authority for tests")
        self._key = key
        self._certificate, root = x509.load_pem_x509_certificates(text)
        self.roots = (root,)

    async def stamp(self, digest: bytes) -> bytes:
        nonce = secrets.randbits(64)
        return await asyncio.to_thread(self.answer, digest, nonce)

    def answer(self, digest: bytes, nonce: int | None = None) -> bytes:
        """A granted answer for `digest`."""
        info = asn1.encode_der(
            _Info(
                version=1,
                policy=TEST_POLICY,
                imprint=_Imprint(algorithm=_Algorithm(algorithm=_SHA256), digest=digest),
                serial=secrets.randbits(63),
                at=asn1.GeneralizedTime(self._now()),
                nonce=nonce,
            )
        )
        certificate = self._certificate.public_bytes(serialization.Encoding.DER)
        data = _SignedData(
            version=3,
            digests=asn1.SetOf([_Algorithm(algorithm=_SHA256)]),
            content=_Content(kind=_TST_INFO, content=info),
            certificates=asn1.SetOf([_any(certificate)]),
            signers=asn1.SetOf([self._sign(info, certificate)]),
        )
        token = _Token(kind=_SIGNED_DATA, content=data)
        return asn1.encode_der(_Answer(status=_Status(status=0), token=token))

    def _sign(self, info: bytes, certificate: bytes) -> _SignerInfo:
        # RFC 5816: the signed attributes name the certificate by its hash.
        named = _element(0x30, _element(0x30, _element(0x30, _octets(_hash(certificate)))))
        attributes = asn1.SetOf(
            [
                _Attribute(kind=kind, values=asn1.SetOf([_any(value)]))
                for kind, value in (
                    (_CONTENT_TYPE, asn1.encode_der(_TST_INFO)),
                    (_MESSAGE_DIGEST, _octets(_hash(info))),
                    (_SIGNING_CERTIFICATE, named),
                )
            ]
        )
        # RFC 5652, 5.4: signed is the plain SET OF, not the tagged one that is written.
        signature = self._key.sign(asn1.encode_der(attributes), ec.ECDSA(hashes.SHA256()))
        issuer = self._certificate.issuer.public_bytes()
        return _SignerInfo(
            version=1,
            signer=_Issuer(name=_any(issuer), serial=self._certificate.serial_number),
            digest=_Algorithm(algorithm=_SHA256),
            attributes=attributes,
            algorithm=_Algorithm(algorithm=_ECDSA_SHA256),
            signature=signature,
        )


def _any(der: bytes) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, der)


def _octets(value: bytes) -> bytes:
    return _element(0x04, value)


def _hash(data: bytes) -> bytes:
    return sha256(data).digest()


def load_roots(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file; `ValueError` if there is none in it."""
    return x509.load_pem_x509_certificates(path.read_bytes())


def _make(path: Path, now: datetime) -> None:
    """Key and certificates of an authority for tests, in one file of mode 0600.  The key of its
    root is forgotten at once: there will never be a second certificate."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _name(f"{TEST_NAME}: root"), _name(TEST_NAME)
    root = (
        _certificate_builder(root_name, root_name, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    certificate = (
        _certificate_builder(name, root_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text += certificate.public_bytes(pem) + root.public_bytes(pem)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    new.touch(0o600)
    new.write_bytes(text)
    try:
        os.link(new, path)  # of two processes at once one makes it
    except FileExistsError:
        pass
    finally:
        new.unlink()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate_builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
