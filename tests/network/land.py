"""A land of our own: the bank's network and two people's, as namespaces joined by cables.

    bank 192.0.2.1  ─┬── wifi    198.51.100.1 ─ .2 ┐
    (coturn .2)      ├── mobile  203.0.113.1  ─ .2 ┴ home (the customer)
                     └── line    198.18.0.1   ─ .2 ─ desk (the teller)

All addresses are ones kept for documentation and tests; nothing leaves this machine.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BANK, TURN = "192.0.2.1", "192.0.2.2"
WIFI, MOBILE, LINE = "198.51.100", "203.0.113", "198.18.0"


def unavailable() -> str | None:
    """Why there can be no land here; None when there can."""
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("turnserver", "coturn")):
        if shutil.which(program) is None:
            return f"no {program}: apt-get install {package}"
    name = f"try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "network namespaces are not allowed here (root makes them)"
    rule = run(name, "nft", "add", "table", "inet", "try", check=False)
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None if rule.returncode == 0 else "nft is not allowed here"


def run(
    place: str, *command: str, check: bool = True, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a namespace."""
    return subprocess.run(
        ["ip", "netns", "exec", place, *command],
        input=given, capture_output=True, text=True, timeout=30, check=check,
    )  # fmt: skip


class Land:
    """The three places; the names are this process's own."""

    def __init__(self) -> None:
        self.bank, self.home, self.desk = (
            f"{place}-{os.getpid()}" for place in ("bank", "home", "desk")
        )

    def __iter__(self) -> Iterator[str]:
        return iter((self.bank, self.home, self.desk))

    def lay_cables(self) -> None:
        """Join the places; at home the Wi-Fi is used, mobile data is off."""
        for place in self:
            run(place, "ip", "link", "set", "lo", "up")
            # Chromium looks at its addresses two seconds after the last change, and link-local ones
            # of IPv6 come late: nobody here has any.
            for which in ("all", "default"):
                path = f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6"
                run(place, "sh", "-c", f"echo 1 >{path}")
        for address in (BANK, TURN):
            run(self.bank, "ip", "address", "add", f"{address}/32", "dev", "lo")
        for cable, network, place in (
            ("wifi", WIFI, self.home), ("mobile", MOBILE, self.home), ("line", LINE, self.desk),
        ):  # fmt: skip
            _ip("link", "add", f"{cable}0", "netns", self.bank, "type", "veth",
                "peer", "name", cable, "netns", place)  # fmt: skip
            run(self.bank, "ip", "address", "add", f"{network}.1/24", "dev", f"{cable}0")
            run(self.bank, "ip", "link", "set", f"{cable}0", "up")
        self._plug(self.home, "wifi", WIFI)
        self._plug(self.desk, "line", LINE)

    def _plug(self, place: str, cable: str, network: str) -> None:
        run(place, "ip", "address", "replace", f"{network}.2/24", "dev", cable)
        run(place, "ip", "link", "set", cable, "up")
        run(place, "ip", "route", "replace", "default", "via", f"{network}.1", "dev", cable)

    def leave_wifi(self) -> None:
        """At home the Wi-Fi goes, and mobile data with another address takes its place."""
        self._move("wifi", "mobile", MOBILE)

    def back_to_wifi(self) -> None:
        """The other way round."""
        self._move("mobile", "wifi", WIFI)

    def _move(self, old: str, new: str, network: str) -> None:
        run(self.home, "ip", "link", "set", old, "down")
        run(self.home, "ip", "address", "flush", "dev", old)
        self._plug(self.home, new, network)

    def block(self, place: str, what: str = "") -> None:
        """Drop what the place sends and gets; ``what``: as in nft, such as ``meta l4proto udp``."""
        chains = "\n".join(
            f"chain {hook} {{ type filter hook {hook} priority 0;\n {side} != lo {what} drop\n}}"
            for hook, side in (("input", "iifname"), ("output", "oifname"))
        )
        run(place, "nft", "-f", "-", given=f"table inet block {{\n{chains}\n}}")

    def unblock(self, place: str) -> None:
        """Let everything pass again."""
        run(place, "nft", "delete", "table", "inet", "block")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


@contextmanager
def land() -> Iterator[Land]:
    """The land for the block.  Skips the test, saying why, where there can be none."""
    if reason := unavailable():
        pytest.skip(reason)
    made = Land()
    for place in made:
        _ip("netns", "add", place)
    try:
        made.lay_cables()
        yield made
    finally:
        for place in made:
            _ip("netns", "del", place)
