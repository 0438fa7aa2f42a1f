"""The bank and its TURN server, as an operator would run them, in the bank's network."""

import asyncio
import datetime
import ipaddress
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.interop.bank import Account
from tests.network.land import BANK, TURN, Land
from video_bank.accounts import Accounts
from video_bank.bus import LocalBus
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.evidence import Timeline
from video_bank.secrets import Secrets
from video_bank.storage import Database

ROOT = Path(__file__).resolve().parents[2]
PORTS = (8443, 8444)
SECRET = "a secret for this test alone"
PASSWORD = "correct horse battery"
TURN_URLS = {
    "udp": f"turn:{TURN}:3478?transport=udp",
    "tcp": f"turn:{TURN}:3478?transport=tcp",
    "tls": f"turns:{TURN}:443?transport=tcp",
}
START_S = 60


class Site:
    """Bank and coturn; use as a context.  ``directory`` keeps everything.

    A second one stands ``beside`` the first and shares its coturn.
    """

    def __init__(
        self, land: Land, directory: Path, *, beside: Self | None = None, **settings: str
    ) -> None:
        self.port = PORTS[beside is not None]
        self.url = f"https://{BANK}:{self.port}"
        self.data = directory / "data"
        self.accounts = {"teller": Account("wangfang", PASSWORD)}
        self.invitation = ""
        "The personal link of the one customer."
        self._land, self._directory, self._settings = land, directory, settings
        self._alone = beside is None
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.data.mkdir(parents=True)
        (self._directory / "turn-secret").write_text(SECRET + "\n")
        _certificate(self._directory)
        # In a thread of its own: the one of the browsers' driver has its loop running already.
        with ThreadPoolExecutor(1) as aside:
            self.invitation = aside.submit(lambda: asyncio.run(self._people())).result()
        try:
            if self._alone:
                self._start_turn()
            self._start_bank()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End both; the bank seals its recordings."""
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def log(self, name: str) -> str:
        """What ``bank`` or ``turn`` has printed so far."""
        return (self._directory / f"{name}.log").read_text(errors="replace")

    async def _people(self) -> str:
        """A teller, and a customer's invitation."""
        config = Config(data=self.data, public_url=self.url)
        secrets, bus, timeline = Secrets.load_or_create(config.keys), LocalBus(), Timeline()
        database = Database(config.database_url, bus)
        await database.migrate()
        accounts = Accounts(database, secrets, timeline, config)
        try:
            await accounts.staff.create("wangfang", "王芳", "teller", by="test", password=PASSWORD)
            teller = await accounts.sign_in("wangfang", PASSWORD, None, BANK)
            customers = Customers(database, secrets, timeline, config)
            return (await customers.invite(teller.login, "冯伟超")).url
        finally:
            accounts.close()
            await bus.close()
            await database.close()

    def _start_turn(self) -> None:
        """coturn with the file that docs/operations.md gives operators."""
        document = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        found = re.search(r"```ini\n(.*?)```", document, re.DOTALL)
        assert found
        text = found[1].replace(
            "syslog\n", f"log-file=stdout\npidfile={self._directory}/turn.pid\n"
        )
        for word, value in {
            "TURN_ADDRESS": TURN, "TURN_NAME": "turn.bank.example", "SECRET": SECRET,
            "MEDIA_ADDRESS": BANK, "/etc/coturn": str(self._directory),
        }.items():  # fmt: skip
            text = text.replace(word, value)
        path = self._directory / "turnserver.conf"
        path.write_text(text)
        self._start("turn", ["turnserver", "-c", str(path)], "(admin thread)")

    def _start_bank(self) -> None:
        settings = {
            "data": str(self.data),
            "host": BANK,
            "port": str(self.port),
            "public_url": self.url,
            "media_addresses": BANK,
            "tls_cert": str(self._directory / "cert.pem"),
            "tls_key": str(self._directory / "key.pem"),
            "turn_urls": ",".join(TURN_URLS.values()),
            "turn_secret_file": str(self._directory / "turn-secret"),
        } | self._settings
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        self._start("bank", [sys.executable, "run_server.py", *options], "serving on")

    def _start(self, name: str, command: list[str], sign: str) -> None:
        """Start it in the bank's network and wait for ``sign`` in what it prints."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("VIDEO_BANK_") and key != "DATABASE_URL"
        }
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self._land.bank, *command],
                cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._running.append(process)
        deadline = time.monotonic() + START_S
        while sign not in self.log(name):
            assert process.poll() is None, f"{name} ended\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} does not start\n{self.log(name)}"
            time.sleep(0.05)


def _certificate(directory: Path) -> None:
    """A certificate that nobody trusts, for both servers."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "turn.bank.example")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in (BANK, TURN)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "cert.pem").write_bytes(certificate.public_bytes(pem))
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    (directory / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
