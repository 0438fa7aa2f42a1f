import base64
import hashlib
import hmac

import pytest

from signaling.ice import CREDENTIAL_S, Relays, ports

URLS = ("turn:turn.example:3478?transport=udp", "turns:turn.example:443")


def relays(now: float = 1_000_000.0) -> Relays:
    return Relays(URLS, b"a secret of some length", clock=lambda: now)


def test_credentials_are_what_coturn_computes_itself() -> None:
    (server,) = relays().servers("customer-7")
    assert server["urls"] == list(URLS)
    name = str(server["username"])
    assert name.startswith(f"{1_000_000 + CREDENTIAL_S}:")
    digest = hmac.new(b"a secret of some length", name.encode(), hashlib.sha1).digest()
    assert server["credential"] == base64.b64encode(digest).decode()


def test_the_user_name_tells_who_is_the_same_but_not_who_it_is() -> None:
    def name(participant: str, now: float) -> str:
        return str(relays(now).servers(participant)[0]["username"]).partition(":")[2]

    assert "customer" not in name("customer-7", 1.0)
    assert name("customer-7", 1.0) == name("customer-7", 9000.0)
    assert name("customer-7", 1.0) != name("customer-8", 1.0)


def test_without_turn_there_is_nothing_to_tell() -> None:
    assert Relays().servers("customer-7") == []
    assert "secret" not in repr(relays())


def test_addresses_are_checked() -> None:
    six, four = ports(["2001:DB8::1", "192.0.2.1=203.0.113.9"], 5000)
    assert (six.address, six.announced, six.number) == ("2001:db8::1", "2001:db8::1", 5000)
    assert (four.address, four.announced) == ("192.0.2.1", "203.0.113.9")
    for wrong in ("bank.example", "192.0.2.1=bank.example"):
        with pytest.raises(ValueError):
            ports([wrong], 0)
