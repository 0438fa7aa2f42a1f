"""Settings: read once, never changed afterwards.

A setting is taken from, the first that has it: the command line (``--ring-s 20``), the environment
(``VIDEO_BANK_RING_S=20``), the TOML file named by ``VIDEO_BANK_CONFIG`` (``ring_s = 20``), the
default.  ``python -m video_bank.config`` prints ``docs/configuration.md``.
"""

import argparse
import ast
import inspect
import ipaddress
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from video_bank.errors import OperatorError

PREFIX = "VIDEO_BANK_"

TURN_URL = re.compile(
    r"(?:turn:|turns:)(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:\?transport=(?:udp|tcp))?"
)

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX_OF_NAMES = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*/){0,8}")


@dataclass(frozen=True)
class Config:
    """Every setting of the server."""

    data: Path = Path("data")
    """Directory of everything the server keeps: database, keys, pictures, recordings."""

    storage: Literal["local", "s3"] = "local"
    """Where finished recordings are kept: `local`, in `data`; `s3`, in a bucket, with `data` as the
    spool they are written to and leave from."""

    s3_bucket: str = ""
    """Name of the bucket."""

    s3_endpoint: str = ""
    """Origin of an S3-compatible store, such as `https://s3.bank.example`. Default: AWS."""

    s3_region: str = ""
    """Region of the bucket. Default: as AWS's own tools find it."""

    s3_prefix: str = ""
    """What the names of all objects begin with, such as `video-bank/`."""

    s3_credentials_file: Path | None = None
    """File with `aws_access_key_id` and `aws_secret_access_key` under `[default]`. Default: as
    AWS's own tools find them (environment, role of the machine)."""

    s3_object_lock: Literal["off", "governance", "compliance"] = "off"
    """Mode of the object lock until the end of a recording's period, and of legal holds. The bucket
    must have been made with object lock."""

    spool_limit_gb: int = 50
    """Raise an alarm when more than so many GB wait for the bucket."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` for all."""

    port: int = 8080
    """Port to listen on."""

    media_addresses: tuple[str, ...] = ()
    """IP addresses browsers send media to, `OWN=ANNOUNCED` where browsers know one by another.
    Default: all of this machine's own, and loopback when `host` is loopback."""

    media_port: int = 0
    """UDP port of all calls, at each of the addresses. Default: one the system chooses."""

    public_url: str = ""
    """Origin the browsers use, such as `https://bank.example`. Default: `http://localhost:PORT`.
    Under `https` login cookies are `__Host-` and `Secure`."""

    tls_cert: Path | None = None
    """Certificate chain (PEM) when the server itself ends TLS; with `tls_key`."""

    tls_key: Path | None = None
    """Private key (PEM) of `tls_cert`."""

    turn_urls: tuple[str, ...] = ()
    """TURN servers browsers may take, such as `turn:turn.example:3478?transport=udp` and
    `turns:turn.example:443`; with `turn_secret_file`. Default: none."""

    turn_secret_file: Path | None = None
    """File with the secret shared with the TURN server (coturn's `static-auth-secret`), of which
    each participant's credentials are made."""

    ice_policy: Literal["all", "relay"] = "all"
    """`all`: browsers send media straight to the server where they can. `relay`: through the TURN
    servers only."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`. Default: none."""

    database_url: str = field(default="", repr=False)
    """`postgresql://user:password@host/name`; `DATABASE_URL` is read too. Default: an SQLite file
    `bank.sqlite3` in `data`."""

    demo: bool = False
    """Make demo accounts and show walk-in codes on the screen. Refused on a public address."""

    idle_s: int = 900
    """A login ends after so many seconds without a sign of life."""

    login_s: int = 8 * 3600
    """A login ends after so many seconds in any case."""

    sign_in_rate: int = 20
    """Sign-in attempts and link openings accepted from one address each minute."""

    walk_in: bool = True
    """Serve customers without an invitation, confirmed by a one-time code to their phone."""

    walk_in_rate: int = 10
    """Walk-in codes sent for one address each ten minutes; for one phone number a third of it."""

    delivery_command: tuple[str, ...] = ()
    """Program that sends a text message: gets `{"phone", "text"}` as JSON on its input and answers
    with exit code 0. Without it (and without `demo`) walk-in is closed."""

    code_s: int = 300
    """A walk-in code is good for so many seconds."""

    code_tries: int = 5
    """Wrong entries of a walk-in code before it is void."""

    invitation_hours: int = 72
    """An invitation link is good for so many hours unless its maker says otherwise."""

    queue_limit: int = 200
    """Customers waiting at once; further ones are asked to come later."""

    ring_s: int = 20
    """A customer is offered to a teller for so many seconds, then to the next one; the teller who
    did not answer is set away."""

    customer_gone_s: int = 120
    """A customer may be without network in a call for so many seconds; then the call is ended."""

    teller_gone_s: int = 60
    """A teller may be without network in a call for so many seconds; then the call is ended and the
    customer told."""

    signer: Literal["file", "socket"] = "file"
    """Who signs recordings, heads of the log of seals and certificates: `file`, an Ed25519 key in
    `data` (suite 1); `socket`, a signer outside named by the two settings below, whose key decides
    on the suite: SM2 for suite 2 (SM4-GCM, SM3; **not certified**), Ed25519 for suite 1."""

    signer_socket: Path | None = None
    """Unix socket of the signer outside."""

    signer_public_key: Path | None = None
    """File with its public key (PEM)."""

    keyring: Literal["file", "pkcs11"] = "file"
    """Where the keys lie that wrap the recordings' keys: `file`, in `data`; `pkcs11`, in the token
    named by the three settings below, which they never leave."""

    pkcs11_module: Path | None = None
    """Library of the HSM's maker, such as `/usr/lib/softhsm/libsofthsm2.so`."""

    pkcs11_token: str = ""
    """Label of the token."""

    pkcs11_pin_file: Path | None = None
    """File with the PIN of the token's user on its first line."""

    retention_policy: Path | None = None
    """TOML file with the bank's changes to the periods of `video_bank/retention.toml`."""

    check_policies: Path | None = None
    """TOML file in the place of `video_bank/policies.toml`: which checks each product takes."""

    nightly_erasure: bool = True
    """Erase each night what is due. Without it nothing is erased but by hand, and the retention
    page goes on saying what is due."""

    erasure_hour: int = 19
    """Hour of the day (UTC, 1 to 23) after which the night's erasure runs."""

    early_erasure: bool = False
    """Let compliance erase a session before its period is over, by hand and with a reason; the
    certificate says so. A legal hold forbids it in any case."""

    erasure_approval: Literal["off", "second_person"] = "off"
    """Whether one person is enough to erase a session by hand: `off`; `second_person`, when another
    one has to ask for it first, within a day."""

    unrecorded_days: int = 180
    """Name, phone and ID number of a customer of whom nothing was ever recorded go so many days
    after they were last here."""

    key_grace_days: int = 7
    """A month's key is destroyed so many days after the month: what must stay is then in backups
    under its new key."""

    supervision: Literal["off", "announced", "unseen"] = "announced"
    """Whether supervisors may listen to calls and whisper to the teller: `off`; `announced`, when
    customers see that they do; `unseen`, when only staff do."""

    replay_approval: Literal["off", "second_person"] = "off"
    """Whether a reason is enough to replay a session: `off`; `second_person`, when another reviewer
    has to approve each request, for a day."""

    export_hours: int = 24
    """An exported session can be fetched for so many hours; then its file is removed."""

    export_video: Literal["h264", "vp8"] = "h264"
    """Video of an exported session: `h264`, MP4 with AAC (where the installed PyAV can make none,
    as with `vp8`); `vp8`, Matroska with Opus."""

    timestamp_url: str = ""
    """Address of a time-stamp authority (RFC 3161), which stamps the log of seals; with
    `timestamp_roots`. Default: none, and recordings are "not yet stamped"."""

    timestamp_roots: Path | None = None
    """Root certificates (PEM) that vouch for the authority. Keep those of earlier ones in it: what
    they stamped is checked with them."""

    unsafe_test_timestamps: bool = False
    """Stamp by an authority of the server's own when there is no `timestamp_url`. It proves
    nothing to anybody, and pages and proofs say so; `demo` does it too."""

    place_kept_s: int = 120
    """A place in the line is kept for so many seconds while the customer's page is not open."""

    check_s: int = 120
    """A check without a result ends as "not checked" after so many seconds."""

    prompt_s: int = 8
    """Seconds to follow each prompt of the liveness challenge."""

    inference_threads: int = 1
    """Processor threads of the inference process."""

    def __post_init__(self) -> None:
        if not self.public_url:
            object.__setattr__(self, "public_url", f"http://localhost:{self.port}")
        if not self.database_url:
            url = f"sqlite:///{self.data.absolute() / 'bank.sqlite3'}"
            object.__setattr__(self, "database_url", url)
        _check(self)

    @classmethod
    def load(cls, environ: Mapping[str, str], arguments: Sequence[str] = ()) -> Self:
        """Read the settings.  Raises :class:`OperatorError` naming the setting that is wrong."""
        types = get_type_hints(cls)
        values = _from_file(environ.get(PREFIX + "CONFIG"), types)
        values |= _from_environment(environ, types)
        values |= _from_arguments(arguments, types)
        return cls(**values)

    @property
    def https(self) -> bool:
        """Whether browsers reach the server by HTTPS."""
        return self.public_url.startswith("https:")

    @property
    def keys(self) -> Path:
        """Directory of the server's keys."""
        return self.data / "keys"


def refuse_public_demo(config: Config) -> None:
    """Raise :class:`OperatorError` when demo accounts would be reachable from elsewhere."""
    if not config.demo:
        return
    for where in (config.host, urlsplit(config.public_url).hostname or ""):
        if not is_loopback(where):
            raise OperatorError(
                f"--demo makes accounts with known passwords and is refused on {where!r};"
                " use 127.0.0.1, or run without --demo"
            )


def is_loopback(host: str) -> bool:
    """Whether ``host`` names this machine to itself only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(config: Config) -> None:
    for item in fields(config):
        value = getattr(config, item.name)
        least = 0 if item.name == "media_port" else 1
        if type(value) is int and value < least:
            raise OperatorError(f"{item.name} must be at least {least}")
    for name, port in (("port", config.port), ("media_port", config.media_port)):
        if port > 65535:
            raise OperatorError(f"{name} must be at most 65535")
    url = urlsplit(config.public_url)
    if url.scheme not in ("http", "https") or not url.hostname or url.path or url.query:
        raise OperatorError("public_url must be an origin, such as https://bank.example")
    if url.scheme == "http" and not is_loopback(url.hostname):
        # Browsers give camera and microphone to secure pages only.
        raise OperatorError("public_url must be https (http only for localhost)")
    if (config.tls_cert is None) != (config.tls_key is None):
        raise OperatorError("tls_cert and tls_key go together")
    if config.replay_approval not in ("off", "second_person"):
        raise OperatorError("replay_approval must be off or second_person")
    if config.erasure_approval not in ("off", "second_person"):
        raise OperatorError("erasure_approval must be off or second_person")
    if config.erasure_hour > 23:
        raise OperatorError("erasure_hour must be at most 23")
    token = (config.pkcs11_module, config.pkcs11_token, config.pkcs11_pin_file)
    if config.keyring not in ("file", "pkcs11"):
        raise OperatorError("keyring must be file or pkcs11")
    if config.keyring == "pkcs11" and not all(token):
        raise OperatorError("keyring pkcs11 needs pkcs11_module, pkcs11_token and pkcs11_pin_file")
    if config.signer not in ("file", "socket"):
        raise OperatorError("signer must be file or socket")
    if config.signer == "socket" and not (config.signer_socket and config.signer_public_key):
        raise OperatorError("signer socket needs signer_socket and signer_public_key")
    if config.export_video not in ("h264", "vp8"):
        raise OperatorError("export_video must be h264 or vp8")
    _check_turn(config)
    _check_storage(config)
    _check_authority(config)
    for network in config.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise OperatorError(f"trusted_proxies: {error}") from error


def _check_storage(config: Config) -> None:
    if config.storage not in ("local", "s3"):
        raise OperatorError("storage must be local or s3")
    if config.s3_object_lock not in ("off", "governance", "compliance"):
        raise OperatorError("s3_object_lock must be off, governance or compliance")
    if config.storage == "local":
        return
    if not BUCKET.fullmatch(config.s3_bucket):
        raise OperatorError("storage s3 needs s3_bucket, the name of a bucket")
    if not PREFIX_OF_NAMES.fullmatch(config.s3_prefix):
        raise OperatorError("s3_prefix is letters, digits and ._- with a / at the end")
    url = urlsplit(config.s3_endpoint)
    strange = not url.hostname or url.path or url.query or "@" in url.netloc
    if config.s3_endpoint and (url.scheme not in ("http", "https") or strange):
        raise OperatorError("s3_endpoint must be an origin, such as https://s3.bank.example")
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise OperatorError("s3_endpoint must be https (http only for this machine)")


def _check_authority(config: Config) -> None:
    url = urlsplit(config.timestamp_url)
    if config.timestamp_url and (url.scheme not in ("http", "https") or not url.hostname):
        raise OperatorError("timestamp_url must be like https://tsa.example/rfc3161")
    if bool(config.timestamp_url) != (config.timestamp_roots is not None):
        raise OperatorError("timestamp_url and timestamp_roots go together")


def _check_turn(config: Config) -> None:
    for url in config.turn_urls:
        if not TURN_URL.fullmatch(url):
            raise OperatorError(
                f"turn_urls: {url!r} is not like turn:turn.example:3478?transport=udp"
                " or turns:turn.example:443"
            )
    if config.turn_urls and config.turn_secret_file is None:
        raise OperatorError("turn_urls need turn_secret_file, the secret shared with coturn")
    if config.ice_policy not in ("all", "relay"):
        raise OperatorError("ice_policy must be all or relay")
    if config.ice_policy == "relay" and not config.turn_urls:
        raise OperatorError("ice_policy relay needs turn_urls: without a relay nobody gets through")


def _from_file(path: str | None, types: Mapping[str, Any]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            settings = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise OperatorError(f"{PREFIX}CONFIG: {error}") from error
    if unknown := sorted(settings.keys() - types.keys()):
        raise OperatorError(f"{path}: no such setting: {', '.join(unknown)}")
    return {name: _value(name, types[name], value) for name, value in settings.items()}


def _from_environment(environ: Mapping[str, str], types: Mapping[str, Any]) -> dict[str, Any]:
    known = {PREFIX + name.upper(): name for name in types}
    strange = [
        key
        for key in environ
        if key.startswith(PREFIX) and key not in known and not key.startswith(PREFIX + "TEST_")
    ]
    if unknown := sorted(set(strange) - {PREFIX + "CONFIG"}):
        raise OperatorError(f"no such setting: {', '.join(unknown)}")
    values = {
        name: _value(name, types[name], environ[key])
        for key, name in known.items()
        if key in environ
    }
    if "DATABASE_URL" in environ:
        values.setdefault("database_url", environ["DATABASE_URL"])
    return values


def _from_arguments(arguments: Sequence[str], types: Mapping[str, Any]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    for name, text in documentation().items():
        action = argparse.BooleanOptionalAction if types[name] is bool else "store"
        parser.add_argument(
            "--" + name.replace("_", "-"), action=action, help=text.replace("%", "%%")
        )
    given = vars(parser.parse_args(list(arguments)))
    return {name: _value(name, types[name], value) for name, value in given.items()}


def _value(name: str, kind: Any, value: object) -> Any:
    """``value`` as the setting's type: text is parsed, TOML's own types are checked."""
    try:
        if get_origin(kind) is tuple:
            items = value.split(",") if isinstance(value, str) else value
            if not isinstance(items, list):
                raise ValueError("a list is needed")
            return tuple(str(item).strip() for item in items if str(item).strip())
        if kind is bool:
            return value if isinstance(value, bool) else _truth(str(value))
        if kind is int:
            if isinstance(value, bool | float):
                raise ValueError("a whole number is needed")
            return int(str(value))
        if not isinstance(value, str):
            raise ValueError("text is needed")
        return Path(value) if kind is Path or Path in get_args(kind) else value
    except ValueError as error:
        raise OperatorError(f"{name}: {error}") from error


def _truth(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("true or false is needed")


def documentation() -> dict[str, str]:
    """Every setting's text, taken from the string under its field."""
    (definition,) = ast.parse(inspect.getsource(Config)).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for statement, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    texts[statement.target.id] = " ".join(text.split())
                case _:
                    raise ValueError(f"{statement.target.id} has no text under it")
    return texts


def _default(value: object) -> str:
    match value:
        case None | "" | ():
            return "none"
        case bool():
            return str(value).lower()
        case _:
            return f"`{value}`"


def markdown() -> str:
    """``docs/configuration.md``."""
    lines = [
        "# Configuration",
        "",
        "Made by `python -m video_bank.config > docs/configuration.md`.",
        "",
        "A setting is taken from the first of: the command line, the environment, the TOML file",
        f"named by `{PREFIX}CONFIG`, the default. Lists are written with commas in the environment",
        "and on the command line, as arrays in the file.",
        "",
        "| setting (file) | environment | command line | default | meaning |",
        "|---|---|---|---|---|",
    ]
    defaults = {item.name: item.default for item in fields(Config)}
    for name, text in documentation().items():
        option = "--" + name.replace("_", "-")
        lines.append(
            f"| `{name}` | `{PREFIX}{name.upper()}` | `{option}` |"
            f" {_default(defaults[name])} | {text} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
