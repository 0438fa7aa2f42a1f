"""coturn, with the file docs/operations.md gives, takes the bank's credentials and no others."""

import sys
import time
from pathlib import Path

from signaling.ice import CREDENTIAL_S, Relays
from tests.network.land import BANK, TURN, WIFI, Land, run
from tests.network.site import SECRET, TURN_URLS, Site


def credentials(secret: str, now: float) -> list[str]:
    """User name and password as a page would get them at that time."""
    relays = Relays(tuple(TURN_URLS.values()), secret.encode(), clock=lambda: now)
    (server,) = relays.servers("somebody")
    return [str(server["username"]), str(server["credential"])]


def asked(country: Land, *wishes: tuple[str, list[str]]) -> list[str]:
    """What coturn answers somebody at home who wants to reach each peer with the credentials."""
    program = str(Path(__file__).with_name("allocate.py"))
    given = [word for peer, both in wishes for word in (peer, *both)]
    return run(country.home, sys.executable, program, TURN, "3478", *given).stdout.splitlines()


def test_expired_and_forged_credentials_are_refused(country: Land, site: Site) -> None:
    now = time.time()
    good = credentials(SECRET, now)
    longer = good[0].replace(good[0].partition(":")[0], str(int(now) + 86_400))
    answers = asked(
        country,
        (BANK, good),
        (BANK, credentials(SECRET, now - CREDENTIAL_S - 2)),
        (BANK, credentials("another secret of that length", now)),
        (BANK, [longer, good[1]]),
    )
    assert answers == ["allocated yes", "401", "401", "401"]


def test_a_relay_leads_to_the_media_and_nowhere_else(country: Land, site: Site) -> None:
    elsewhere = (TURN, f"{WIFI}.1", "127.0.0.1", "10.0.0.1")
    good = credentials(SECRET, time.time())
    assert asked(country, *((peer, good) for peer in elsewhere)) == ["allocated 403"] * 4
