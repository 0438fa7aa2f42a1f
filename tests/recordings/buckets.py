"""A server of buckets for tests, and a proxy before it that goes wrong on demand."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

from recordings import bucket
from recordings.bucket import Bucket, Mode
from recordings.s3 import S3Store
from recordings.store import LocalStore

ROOT = Path(__file__).resolve().parents[2]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """An S3 server and a file of credentials for it; it believes any."""

    endpoint: str
    credentials: Path


@contextlib.contextmanager
def bucket_server(directory: Path) -> Iterator[Server]:
    """Its buckets, objects and locks are in the memory of a child process."""
    file = directory / "credentials"
    file.write_text("[default]\naws_access_key_id = AKTEST\naws_secret_access_key = hush-hush\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.recordings.bucket_child"],
        cwd=ROOT,
        # Pieces of an upload may be small here, and tests cheap.
        env={**os.environ, "S3_UPLOAD_PART_MIN_SIZE": "2048"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}", file)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=10)


@functools.cache
def _bucket(endpoint: str, file: Path, mode: Mode) -> Bucket:
    """Made once: a client takes a quarter of a second."""
    made = Bucket(
        f"recordings-{mode}",
        endpoint=endpoint,
        region="eu-central-1",
        credentials=file,
        mode=mode,
    )
    made._client.create_bucket(
        Bucket=made.name,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
        ObjectLockEnabledForBucket=mode != "off",
    )
    return made


def new_bucket(server: Server, mode: Mode = "off") -> Bucket:
    """An empty corner of a bucket, with object lock if there is a mode."""
    made = copy.copy(_bucket(server.endpoint, server.credentials, mode))
    made.prefix = f"bank-{next(_numbers)}/"
    return made


@functools.cache
def _behind(endpoint: str, name: str, file: Path, mode: Mode) -> Bucket:
    with patch.object(bucket, "TRIES", 1):
        return Bucket(name, endpoint=endpoint, region="eu-central-1", credentials=file, mode=mode)


def behind(proxy: Proxy, target: Bucket, server: Server) -> Bucket:
    """The same bucket, asked through the proxy, each thing once."""
    asked = copy.copy(_behind(proxy.endpoint, target.name, server.credentials, target.mode))
    asked.prefix = target.prefix
    return asked


def new_store(target: Bucket, directory: Path) -> S3Store:
    return S3Store(LocalStore(directory / "spool", reserve=4096), target)


Fault = Callable[[str, str], str | None]
"""Method and path with query -> None to pass on, else `503`, `cut`, `lost` or `flip`."""


@dataclass
class Proxy:
    """Passes requests on to `target`, unless the fault says otherwise.

    `503`: answered so, not passed on. `cut`: the connection ends in the middle of the request's
    body, or of the answer's if the request has none. `lost`: passed on, but the answer is not.
    `flip`: the answer has one bit wrong.
    """

    target: str
    fault: Fault = lambda method, path: None
    delay_s: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    endpoint: str = ""

    def well(self) -> None:
        """Nothing goes wrong any more, and nothing was seen."""
        self.fault, self.delay_s = (lambda method, path: None), 0.0
        self.seen.clear()

    def __enter__(self) -> Proxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                proxy.handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        method, path = request.command, request.path
        self.seen[method] += 1
        time.sleep(self.delay_s)
        fault = self.fault(method, path)
        length = int(request.headers.get("Content-Length", 0))
        if fault == "cut" and length:
            request.rfile.read(length // 2)
            return self._hang_up(request)
        if request.headers.get("Expect"):
            request.send_response_only(100)
            request.end_headers()
        body = request.rfile.read(length)
        if fault == "503":
            text = b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
            return self._answer(request, 503, [("Content-Type", "application/xml")], text)
        host = self.target.removeprefix("http://")
        upstream = HTTPConnection(host, timeout=30)
        skipped = {"connection", "expect"}
        headers = {k: v for k, v in request.headers.items() if k.lower() not in skipped}
        upstream.request(method, path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if fault == "lost":
            return self._hang_up(request)
        if fault == "flip" and data:
            data = data[:-1] + bytes([data[-1] ^ 1])
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("connection", "date")]
        self._answer(request, answer.status, kept, data, cut=fault == "cut")

    def _answer(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        *,
        cut: bool = False,
    ) -> None:
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        if "content-length" not in {name.lower() for name, _ in headers}:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._hang_up(request)

    def _hang_up(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        with contextlib.suppress(OSError):
            request.connection.shutdown(2)
