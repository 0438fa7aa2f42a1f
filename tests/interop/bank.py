"""The real server, started as its command would start it, in a directory of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = re.compile(r"^ +([a-z_]+) +(demo-\S+) +(\S+)$", re.MULTILINE)
START_S = 120
STOP_S = 30


@dataclass
class Account:
    """A demo account of one run."""

    name: str
    password: str = field(repr=False)


class Bank:
    """``run_server.py --demo`` on a free port; use as a context."""

    def __init__(self, data: Path, models: Path, **settings: str) -> None:
        self.data = data
        self.accounts: dict[str, Account] = {}
        "The first account of each role."
        self.staff: dict[str, Account] = {}
        "Every account, by its user name."
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.settings = settings
        self._log = data.with_suffix(".log")
        data.mkdir(parents=True, exist_ok=True)
        if not (data / "models").exists():
            (data / "models").symlink_to(models)

    def __enter__(self) -> Self:
        # Nothing of the surroundings leaks in: no DATABASE_URL, no setting of the developer's.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("VIDEO_BANK_") and name != "DATABASE_URL"
        }
        environment["VIDEO_BANK_MEDIA_ADDRESSES"] = "127.0.0.1"
        environment |= {
            f"VIDEO_BANK_{name.upper()}": value for name, value in self.settings.items()
        }
        command = [sys.executable, "run_server.py", "--demo", "--port", str(self.port),
                   "--data", str(self.data)]  # fmt: skip
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._await_start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What the server has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it as an operator would; a server that does not end by itself is a failure."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_S} s after SIGTERM\n{self.log}") from None

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def _await_start(self) -> None:
        begun = len(self.log)
        deadline = time.monotonic() + START_S
        while "probe: " not in self.log[begun:]:
            assert self.process.poll() is None, f"the server ended\n{self.log}"
            assert time.monotonic() < deadline, f"not serving after {START_S} s\n{self.log}"
            time.sleep(0.1)
        self.accounts, self.staff = {}, {}
        for role, name, password in ACCOUNT.findall(self.log[begun:]):
            self.staff[name] = Account(name, password)
            self.accounts.setdefault(role, self.staff[name])
