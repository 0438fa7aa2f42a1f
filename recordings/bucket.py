"""One bucket of an S3-compatible store: objects written whole and once, read by ranges, locked.

By botocore: AWS's own, Apache-2.0, its clients serve many threads; obstore has no object lock and
cannot take up a cut upload, boto3 and aiobotocore add what is not used here (30 MB either way).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ResponseStreamingError,
)
from botocore.session import Session

from .store import Lock, Source

PIECE = 8 * 1024 * 1024
"""Bytes of one piece of an upload, and of one read when all of an object is compared."""
MOST_PIECES = 10_000
"""S3's own limit for one upload."""
CONNECT_S, ANSWER_S, TRIES = 5, 15, 2
"""A server that hangs is given up after 30 s; whoever moves parts comes again later."""

Mode = Literal["off", "governance", "compliance"]

_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
_TAKEN = {"412", "PreconditionFailed"}
_REFUSED = {
    "403",
    "AccessDenied",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
}
_BUSY = {"500", "502", "503", "504", "SlowDown", "InternalError", "ServiceUnavailable"}
_STALE = {
    "BadDigest",
    "ConditionalRequestConflict",
    "EntityTooSmall",
    "InvalidPart",
    "InvalidPartOrder",
    "InvalidRequest",
    "NoSuchUpload",
}
"""Answers after which an upload begun earlier is of no more use."""


class BucketError(OSError):
    """The bucket did not do what was asked. `reason` is one of a few words, the text tells more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        """`unreachable`, `busy`, `refused`, `no_bucket`, `locked`, `differs` (another object has
        the name), `stale` (an upload must be begun anew), `past_end`, `stopped` or `failed`."""


class Locked(BucketError, PermissionError):
    """The bucket's object lock keeps an object from being deleted."""


class Bucket:
    """Objects below a prefix. Any thread may call; all calls block."""

    def __init__(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        prefix: str = "",
        credentials: Path | None = None,
        mode: Mode = "off",
    ) -> None:
        """Nothing is asked of the server yet.

        `endpoint` is that of another provider than AWS. `credentials` is a file as AWS's tools
        write it (`[default]`, `aws_access_key_id`, `aws_secret_access_key`); without it they come
        from the environment or the machine's role. `mode` is that of the object lock asked for.
        `ValueError` if that makes no client: no region, half of the credentials.
        """
        self.name, self.prefix, self.mode = name, prefix, mode
        session = Session()
        if credentials is not None:
            session.set_config_variable("credentials_file", str(credentials))
        config = Config(
            connect_timeout=CONNECT_S,
            read_timeout=ANSWER_S,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=16,
            # Providers differ in the newer headers; what we send has its SHA-256 anyway.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "auto"},
        )
        try:
            self._client: Any = session.create_client(
                "s3", region_name=region or None, endpoint_url=endpoint or None, config=config
            )
        except BotoCoreError as error:
            raise ValueError(str(error)) from error

    def where(self, name: str) -> str:
        """Its address for people."""
        return f"s3://{self.name}/{self.prefix}{name}"

    def size(self, name: str) -> int:
        """Bytes of an object; `FileNotFoundError` if there is none."""
        return int(self._head(name)["ContentLength"])

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer than `length` only at the end."""
        if length <= 0:
            return b""
        span = f"bytes={offset}-{offset + length - 1}"
        for last in (False, True):
            try:
                with self._told(name):
                    answer = self._client.get_object(**self._key(name), Range=span)
                    return bytes(answer["Body"].read())
            except BucketError as error:
                if error.reason == "past_end":
                    return b""
                # A body that breaks off is not asked for again by the library.
                if last or error.reason != "unreachable":
                    raise
        raise AssertionError

    def upload(
        self, name: str, source: Source, lock: Lock, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Write all of `source`; `FileExistsError` if the name is taken, which is left untouched.

        An upload that was cut short earlier is taken up: the pieces that are there and hold the
        same bytes are not sent again. `stopped` is asked between pieces.
        """
        size = source.size()
        if size <= PIECE:
            data = source.read(0, size)
            with self._told(name):
                self._client.put_object(
                    **self._key(name),
                    **self._lock_fields(lock),
                    IfNoneMatch="*",
                    Body=data,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=_sha256(data),
                )
            return
        upload = self._begin(name, lock)
        try:
            with self._told(name):
                parts = list(self._pieces(name, upload, source, stopped))
                self._client.complete_multipart_upload(
                    **upload, IfNoneMatch="*", MultipartUpload={"Parts": parts}
                )
        except (BucketError, FileExistsError) as error:
            if isinstance(error, FileExistsError) or error.reason == "stale":
                with contextlib.suppress(BotoCoreError, ClientError):
                    self._client.abort_multipart_upload(**upload)
            raise

    def guard(self, name: str, lock: Lock) -> None:
        """See to it that an object is locked as `lock` says; a date only ever moves on."""
        if self.mode == "off":
            return
        now = self._head(name)
        version = {"VersionId": now["VersionId"]} if "VersionId" in now else {}
        until = now.get("ObjectLockRetainUntilDate")
        wanted = _date(lock.until_us)
        with self._told(name):
            if wanted and wanted > datetime.now(UTC) and (until is None or until < wanted):
                retention = {"Mode": self.mode.upper(), "RetainUntilDate": wanted}
                self._client.put_object_retention(**self._key(name), **version, Retention=retention)
            if lock.hold != (now.get("ObjectLockLegalHoldStatus") == "ON"):
                status = {"Status": "ON" if lock.hold else "OFF"}
                self._client.put_object_legal_hold(**self._key(name), **version, LegalHold=status)

    def delete(self, name: str) -> None:
        """Delete every version of an object; `Locked` if its lock forbids."""
        with self._told(name):
            pages = self._client.get_paginator("list_object_versions").paginate(
                Bucket=self.name, Prefix=self.prefix + name
            )
            versions = [
                (kind, each["VersionId"])
                for page in pages
                for kind in ("Versions", "DeleteMarkers")
                for each in page.get(kind, [])
                if each["Key"] == self.prefix + name
            ]
            for upload in self._uploads(name):
                self._client.abort_multipart_upload(**self._key(name), UploadId=upload)
        for kind, version in versions:
            try:
                with self._told(name):
                    self._client.delete_object(**self._key(name), VersionId=version)
            except BucketError as error:
                if kind == "Versions" and error.reason == "refused":
                    self._blame_lock(name, version, error)
                raise

    def names(self) -> list[str]:
        """Every object's name, without the prefix."""
        with self._told("*"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=self.prefix
            )
            return [
                each["Key"].removeprefix(self.prefix)
                for page in pages
                for each in page.get("Contents", [])
            ]

    def _head(self, name: str) -> dict[str, Any]:
        with self._told(name):
            answer: dict[str, Any] = self._client.head_object(**self._key(name))
            return answer

    def _key(self, name: str) -> dict[str, str]:
        return {"Bucket": self.name, "Key": self.prefix + name}

    def _lock_fields(self, lock: Lock) -> dict[str, Any]:
        until = _date(lock.until_us)
        fields: dict[str, Any] = {}
        if self.mode != "off" and until is not None and until > datetime.now(UTC):
            fields = {"ObjectLockMode": self.mode.upper(), "ObjectLockRetainUntilDate": until}
        if self.mode != "off" and lock.hold:
            fields["ObjectLockLegalHoldStatus"] = "ON"
        return fields

    def _begin(self, name: str, lock: Lock) -> dict[str, str]:
        """The upload of `name` that was begun last, or a new one."""
        with self._told(name):
            begun = self._uploads(name)
            if not begun:
                answer = self._client.create_multipart_upload(
                    **self._key(name), ChecksumAlgorithm="SHA256", **self._lock_fields(lock)
                )
                begun = [answer["UploadId"]]
        return {**self._key(name), "UploadId": begun[-1]}

    def _uploads(self, name: str) -> list[str]:
        answer = self._client.list_multipart_uploads(Bucket=self.name, Prefix=self.prefix + name)
        return [
            each["UploadId"]
            for each in answer.get("Uploads", [])
            if each["Key"] == self.prefix + name
        ]

    def _pieces(
        self, name: str, upload: dict[str, str], source: Source, stopped: Callable[[], bool]
    ) -> Iterator[dict[str, Any]]:
        """Send what is missing; the list that completes the upload."""
        pages = self._client.get_paginator("list_parts").paginate(**upload)
        there = {each["PartNumber"]: each for page in pages for each in page.get("Parts", [])}
        size = source.size()
        length = max(PIECE, -(-size // MOST_PIECES))
        for number, offset in enumerate(range(0, size, length), 1):
            if stopped():
                raise BucketError("stopped", f"{name}: the rest of it is sent later")
            data = source.read(offset, length)
            checksum, sent = _sha256(data), there.get(number, {})
            if not _same(sent, data, checksum):
                sent = self._client.upload_part(
                    **upload, PartNumber=number, Body=data, ChecksumSHA256=checksum
                )
            yield {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

    def _blame_lock(self, name: str, version: str, refused: BucketError) -> None:
        """Raise `Locked` if a lock is why the version could not be deleted."""
        with self._told(name):
            found = self._client.head_object(**self._key(name), VersionId=version)
        until = found.get("ObjectLockRetainUntilDate")
        if found.get("ObjectLockLegalHoldStatus") == "ON":
            raise Locked("locked", f"{self.where(name)} is under legal hold") from refused
        if until is not None and until > datetime.now(UTC):
            raise Locked(
                "locked", f"{self.where(name)} is locked until {until:%Y-%m-%d %H:%M} UTC"
            ) from refused

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """The library's errors as ours. Its texts hold no secrets, only names and codes."""
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
            where = self.where(name)
            if code in _TAKEN:
                raise FileExistsError(where) from error
            if code == "NoSuchBucket":
                raise BucketError("no_bucket", f"there is no bucket {self.name}") from error
            if code in _ABSENT:
                raise FileNotFoundError(where) from error
            raise BucketError(_reason(code, status), f"{where}: {code} {status}") from error
        except NoCredentialsError as error:
            raise BucketError("refused", "there are no credentials") from error
        except (
            ConnectTimeoutError,
            EndpointConnectionError,
            HTTPClientError,
            IncompleteReadError,
            ResponseStreamingError,
        ) as error:
            raise BucketError(
                "unreachable", f"{self.where(name)}: {type(error).__name__}"
            ) from error
        except BotoCoreError as error:
            raise BucketError("failed", f"{self.where(name)}: {type(error).__name__}") from error


def _reason(code: str, status: str) -> str:
    for reason, codes in (("refused", _REFUSED), ("busy", _BUSY), ("stale", _STALE)):
        if code in codes:
            return reason
    if code == "InvalidRange":
        return "past_end"
    return "busy" if status.startswith("5") else "failed"


def _same(sent: dict[str, Any], data: bytes, checksum: str) -> bool:
    """Does a piece that is there hold these bytes? Not every provider tells the SHA-256."""
    if sent.get("Size") != len(data):
        return False
    if "ChecksumSHA256" in sent:
        return bool(sent["ChecksumSHA256"] == checksum)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return bool(sent["ETag"].strip('"') == md5)


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _date(us: int | None) -> datetime | None:
    return None if us is None else datetime.fromtimestamp(-(-us // 1_000_000), UTC)
