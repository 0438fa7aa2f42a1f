from dataclasses import fields, replace
from pathlib import Path

import pytest

from video_bank.config import Config, documentation, markdown, refuse_public_demo
from video_bank.errors import OperatorError

S3 = {"VIDEO_BANK_STORAGE": "s3", "VIDEO_BANK_S3_BUCKET": "recordings"}


def test_every_setting_is_documented() -> None:
    assert set(documentation()) == {field.name for field in fields(Config)}
    assert all(len(text) > 15 for text in documentation().values())


def test_the_page_of_settings_is_up_to_date(root: Path) -> None:
    """Else: ``python -m video_bank.config > docs/configuration.md``."""
    assert (root / "docs" / "configuration.md").read_text() == markdown()


def test_the_nearest_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "bank.toml"
    file.write_text('port = 1\nring_s = 1\ncode_s = 1\ntrusted_proxies = ["10.0.0.0/8"]\n')
    environ = {
        "VIDEO_BANK_CONFIG": str(file),
        "VIDEO_BANK_RING_S": "2",
        "VIDEO_BANK_CODE_S": "2",
        "VIDEO_BANK_DELIVERY_COMMAND": "/bin/send, --sms",
        "HOME": "/root",
    }
    config = Config.load(environ, ["--code-s", "3", "--demo", "--no-walk-in", "--data", "d"])
    assert (config.port, config.ring_s, config.code_s) == (1, 2, 3)
    assert config.demo and not config.walk_in
    assert config.data == Path("d")
    assert config.trusted_proxies == ("10.0.0.0/8",)
    assert config.delivery_command == ("/bin/send", "--sms")
    assert config.idle_s == 900


def test_what_follows_from_other_settings() -> None:
    config = Config.load({}, ["--data", "/srv/bank", "--port", "81"])
    assert config.public_url == "http://localhost:81"
    assert config.database_url == "sqlite:////srv/bank/bank.sqlite3"
    assert Config.load({"DATABASE_URL": "postgresql://a/b"}).database_url == "postgresql://a/b"
    both = {"DATABASE_URL": "postgresql://a/b", "VIDEO_BANK_DATABASE_URL": "postgresql://c/d"}
    assert Config.load(both).database_url == "postgresql://c/d"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"VIDEO_BANK_PORT": "http"}, "port"),
        ({"VIDEO_BANK_PORT": "0"}, "port"),
        ({"VIDEO_BANK_PORT": "70000"}, "port"),
        ({"VIDEO_BANK_RING_S": "-1"}, "ring_s"),
        ({"VIDEO_BANK_DEMO": "perhaps"}, "demo"),
        ({"VIDEO_BANK_PROT": "80"}, "VIDEO_BANK_PROT"),
        ({"VIDEO_BANK_PUBLIC_URL": "bank.example"}, "public_url"),
        ({"VIDEO_BANK_PUBLIC_URL": "https://bank.example/path"}, "public_url"),
        ({"VIDEO_BANK_PUBLIC_URL": "http://bank.example"}, "public_url"),
        ({"VIDEO_BANK_TLS_CERT": "cert.pem"}, "tls_key"),
        ({"VIDEO_BANK_TURN_URLS": "turn:turn.example"}, "turn_secret_file"),
        ({"VIDEO_BANK_TURN_URLS": "https://turn.example"}, "turn_urls"),
        ({"VIDEO_BANK_TURN_URLS": "turn:turn.example?transport=sctp"}, "turn_urls"),
        ({"VIDEO_BANK_ICE_POLICY": "relay"}, "turn_urls"),
        ({"VIDEO_BANK_ICE_POLICY": "direct"}, "ice_policy"),
        ({"VIDEO_BANK_TRUSTED_PROXIES": "10.0.0.300"}, "trusted_proxies"),
        ({"VIDEO_BANK_STORAGE": "tape"}, "storage"),
        ({"VIDEO_BANK_STORAGE": "s3"}, "s3_bucket"),
        ({"VIDEO_BANK_STORAGE": "s3", "VIDEO_BANK_S3_BUCKET": "../x"}, "s3_bucket"),
        ({**S3, "VIDEO_BANK_S3_PREFIX": "a/../b/"}, "s3_prefix"),
        ({**S3, "VIDEO_BANK_S3_PREFIX": "no-slash"}, "s3_prefix"),
        ({**S3, "VIDEO_BANK_S3_ENDPOINT": "s3.example"}, "s3_endpoint"),
        ({**S3, "VIDEO_BANK_S3_ENDPOINT": "http://s3.example"}, "s3_endpoint"),
        ({**S3, "VIDEO_BANK_S3_OBJECT_LOCK": "yes"}, "s3_object_lock"),
        ({**S3, "VIDEO_BANK_SPOOL_LIMIT_GB": "0"}, "spool_limit_gb"),
        ({"VIDEO_BANK_CONFIG": "/nowhere.toml"}, "VIDEO_BANK_CONFIG"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(OperatorError, match=named):
        Config.load(environ)


@pytest.mark.parametrize(
    "urls",
    [
        ("turn:turn.example:3478?transport=udp", "turns:turn.example:443?transport=tcp"),
        ("turn:192.0.2.1", "turns:[2001:db8::1]:443"),
    ],
)
def test_turn_servers(urls: tuple[str, ...], tmp_path: Path) -> None:
    config = Config(turn_urls=urls, turn_secret_file=tmp_path / "turn", ice_policy="relay")
    assert config.turn_urls == urls


@pytest.mark.parametrize("line", ["prot = 80", 'port = "a"', "port = 1.5", "demo = 7x", "data = 1"])
def test_a_wrong_file_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bank.toml"
    file.write_text(line)
    with pytest.raises(OperatorError):
        Config.load({"VIDEO_BANK_CONFIG": str(file)})


def test_the_database_password_is_not_shown() -> None:
    assert "hush" not in repr(Config(database_url="postgresql://bank:hush@host/bank"))


@pytest.mark.parametrize(
    ("host", "public_url"),
    [
        ("0.0.0.0", ""),
        ("::", ""),
        ("192.168.1.5", ""),
        ("bank.example", ""),
        ("127.0.0.1", "https://bank.example"),
    ],
)
def test_a_demo_is_refused_on_a_public_address(host: str, public_url: str) -> None:
    config = Config(host=host, public_url=public_url, demo=True)
    with pytest.raises(OperatorError, match="--demo"):
        refuse_public_demo(config)
    refuse_public_demo(replace(config, demo=False))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_a_demo_runs_at_home(host: str) -> None:
    refuse_public_demo(Config(host=host, demo=True))
