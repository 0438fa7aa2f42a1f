"""A real time-stamp authority for tests: `openssl ts -reply` behind a small HTTP server, which can
be told to misbehave."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[issuing]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[tsa]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[ts]
serial = {directory}/serial
signer_cert = {directory}/tsa.pem
signer_key = {directory}/tsa.key
certs = {directory}/chain.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
"""


class OpensslAuthority:
    """Root, issuing certificate, time-stamp certificate, and answers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._config = directory / "openssl.cnf"
        self._config.write_text(CONFIG.format(directory=directory))
        (directory / "serial").write_text("01\n")
        self._issue("root", "root", "Root of tests")
        self._issue("issuing", "root", "Issuing of tests")
        self._issue("tsa", "issuing", "Clock of tests")
        # Unsorted on purpose, as some authorities are: strict readers refuse such a set.
        parts = [self._directory / f"{name}.pem" for name in ("issuing", "root")]
        (directory / "chain.pem").write_text("".join(part.read_text() for part in parts))
        self.roots = directory / "root.pem"
        self._turn = threading.Lock()

    def reply(self, question: bytes) -> bytes:
        """The answer to a request, both DER."""
        (self._directory / "question").write_bytes(question)
        with self._turn:  # one serial number after the other
            self._openssl(
                "ts", "-reply", "-config", "openssl.cnf", "-section", "ts",
                "-queryfile", "question", "-out", "answer",
            )  # fmt: skip
            return (self._directory / "answer").read_bytes()

    def verifies(self, answer: bytes, data: bytes) -> bool:
        """What openssl itself says of an answer."""
        (self._directory / "checked").write_bytes(answer)
        (self._directory / "data").write_bytes(data)
        done = subprocess.run(
            ["openssl", "ts", "-verify", "-in", "checked", "-data", "data", "-CAfile", "root.pem"],
            cwd=self._directory,
            capture_output=True,
        )
        return done.returncode == 0

    def _issue(self, name: str, issuer: str, common: str) -> None:
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        self._openssl(
            "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={common}",
            "-config", "openssl.cnf", "-out", f"{name}.csr",
        )  # fmt: skip
        signed_by = (
            ["-signkey", "root.key"]
            if name == issuer
            else ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
        )
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", *signed_by, "-days", "30",
            "-extfile", "openssl.cnf", "-extensions", name, "-out", f"{name}.pem",
        )  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self._directory, check=True, capture_output=True
        )


class Server:
    """Hands requests to the authority as RFC 3161, section 3.4 says, or does what it was told."""

    def __init__(self, authority: OpensslAuthority) -> None:
        self.authority = authority
        self.mood = "well"
        self.asked = 0
        self.url = ""
        self._earlier = b""

    def answer(self, question: bytes) -> tuple[int, str, bytes]:
        """Status, content type, body."""
        self.asked += 1
        kind = "application/timestamp-reply"
        match self.mood:
            case "garbage":
                return 200, kind, b"\x30\x82\xff\xff no answer at all"
            case "empty":
                return 200, kind, b""
            case "endless":
                return 200, kind, bytes(2_000_000)
            case "page":
                return 200, "text/html", b"<p>please sign in</p>"
            case "broken":
                return 503, kind, b""
            case "elsewhere":
                return 302, kind, b""
            case "slow":
                time.sleep(0.6)
            case "repeats":  # an answer to somebody else's request: another nonce
                return 200, kind, self._earlier
            case "other hash":  # the right nonce over another hash
                at = question.index(b"\x04\x20") + 2
                question = question[:at] + bytes(32) + question[at + 32 :]
            case "refuses":  # an algorithm that it does not take
                question = question.replace(
                    bytes.fromhex("0609608648016503040201"), bytes.fromhex("0609608648016503040203")
                )
        self._earlier = self.authority.reply(question)
        return 200, kind, self._earlier


@contextmanager
def serving(authority: OpensslAuthority) -> Iterator[Server]:
    """The authority on a port of this machine."""
    told = Server(authority)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            question = self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, body = told.answer(question)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "http://192.0.2.1/")
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                pass  # the client has had enough

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told.url = f"http://127.0.0.1:{server.server_address[1]}/"
        try:
            yield told
        finally:
            server.shutdown()
