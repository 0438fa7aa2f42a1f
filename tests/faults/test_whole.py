"""A whole session on either database, and what of the people in it must not be found."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.faults.conftest import SETTINGS
from tests.faults.people import Branch, Person, passwords, rows
from tests.interop.bank import Bank
from tests.suites.conftest import postgresql_schema
from video_bank.probe.browser import Json

pytestmark = pytest.mark.timeout(240)


@dataclass
class Secret:
    """What only the people concerned may know, by what it is."""

    name: str = "欧阳秘密"
    phone: str = "13712349876"
    number: str = "11010519491231002X"
    chat: str = "悄悄话 whispered words"
    note: str = "内部备注 between us"
    remark: str = "评价内容 comment in private"
    reason: str = "拒绝理由 for a private reason"
    others: dict[str, str] = field(default_factory=dict)

    def all(self) -> dict[str, str]:
        own = {key: value for key, value in vars(self).items() if key != "others"}
        return {**own, **self.others}


async def whole_session(branch: Branch, secret: Secret) -> tuple[str, str]:
    """From a link to a viewing; the session and its seal."""
    teller = await branch.teller()
    made = await teller.post(
        "/api/invitations", {"name": secret.name, "phone": secret.phone, "hours": 1}
    )
    secret.others["token"] = made["url"].rpartition("/")[2]
    customer = await branch.browser("customer")
    await customer.post("/api/invitations/accept", {"token": secret.others["token"]})
    await customer.open_socket()
    session = await branch.call(teller, customer)
    path = f"/api/sessions/{session}"
    for person in (teller, customer):
        await person.post(f"{path}/chat", {"text": secret.chat})
    await teller.post(f"{path}/notes", {"text": secret.note})
    for check in ("id_card_back", "face_match", "liveness", "id_card_front"):
        await teller.post(f"{path}/checks/{check}/stop")
    finding = (await teller.told("finding", check="id_card_front"))["finding"]
    correction = {"field": "id", "value": secret.number, "reason": "read by eye"}
    await teller.post(f"{path}/findings/{finding}/corrections", correction)
    view = await teller.get(path)
    front = next(check for check in view["checks"] if check["check"] == "id_card_front")
    assert front["finding"]["corrections"]["id"]["value"] == secret.number
    await teller.post(f"{path}/decision", {"verdict": "refused", "reason": secret.reason})
    await teller.post(f"{path}/end")
    await teller.post(f"{path}/close")
    await customer.post(f"{path}/rating", {"stars": 4, "comment": secret.remark})
    await teller.told("session", id=session, reason="sealed")
    seal = (await teller.get(path))["recording"]["verdict"]

    reviewer = await branch.staff("reviewer")
    opened = await reviewer.post(f"/api/reviews/{session}/viewings", {"reason": "routine check"})
    assert opened["seal"]["verdict"] == seal
    assert {stream["label"] for stream in opened["streams"]} == {"customer", "teller"}
    told = [row["kind"] for row in opened["timeline"]]
    for kind in ("joined", "consented", "queued", "offered", "accepted", "connected",
                 "check_started", "finding", "corrected", "chat", "noted", "decided", "ended",
                 "sealed", "rated"):  # fmt: skip
        assert kind in told, kind
    assert (await reviewer.post(f"/api/reviews/{session}/unmask", {"reason": "routine check"}))[
        "phone"
    ] == secret.phone
    listed = await reviewer.get("/api/reviews?page=1")
    assert secret.name not in json.dumps(listed, ensure_ascii=False)
    _keep_credentials(secret, teller, customer, reviewer)
    secret.others |= passwords(branch.bank)
    return session, str(seal)


def _keep_credentials(secret: Secret, *people: Person) -> None:
    for person in people:
        secret.others[f"{person.who}'s csrf"] = str(person._csrf)
        for cookie in person._http.cookie_jar:
            secret.others[f"{person.who}'s {cookie.key}"] = cookie.value


def found_in(text: str, secret: Secret) -> list[str]:
    """What of it stands in the text, also as JSON or a URL would write it."""
    return [
        what
        for what, value in secret.all().items()
        if value in text or json.dumps(value)[1:-1] in text
    ]


async def test_sqlite_keeps_what_it_is_told_to_itself(bank: Bank, branch: Branch) -> None:
    secret = Secret()
    session, seal = await whole_session(branch, secret)
    assert seal == "ok"
    stored = json.dumps(rows(bank, "SELECT * FROM timeline"), ensure_ascii=False)
    assert session in stored
    assert found_in(stored, secret) == []
    # The demo prints its accounts once; nothing else of anybody is in the log.
    log = re.sub(r"(?s)a demo bank: .*?--json\n", "", bank.log)
    assert found_in(log, secret) == []
    # Nor does any of it lie open in a file, the tokens against forged requests excepted, which
    # open nothing without the cookie.
    open_ones = {"teller's csrf", "customer's csrf", "reviewer's csrf"}
    for file in bank.data.rglob("*"):
        if file.is_file() and "models" not in file.parts:
            content = file.read_bytes()
            for what in secret.all().keys() - open_ones:
                assert secret.all()[what].encode() not in content, (file.name, what)


@pytest.fixture(scope="module")
def postgresql(no_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank on PostgreSQL, in a schema that is dropped afterwards."""
    for url in postgresql_schema():
        data = tmp_path_factory.mktemp("bank") / "data"
        with Bank(data, no_models, database_url=url, **SETTINGS) as running:
            yield running


async def test_postgresql_serves_a_whole_session(postgresql: Bank) -> None:
    secret = Secret()
    async with Branch(postgresql) as branch:
        session, seal = await whole_session(branch, secret)
        assert seal == "ok"
        teller = await branch.teller("teller-2", state="away")
        await _is_not_upset(teller, await branch.staff("reviewer"))
    assert not (postgresql.data / "bank.sqlite3").exists()
    with psycopg.connect(postgresql.settings["database_url"]) as connection:
        query = "SELECT kind, actor, data FROM timeline"
        stored = json.dumps(connection.execute(query).fetchall(), ensure_ascii=False)
        states = connection.execute("SELECT id, state, seal FROM sessions").fetchall()
    assert states == [(session, "closed", "ok")]
    assert found_in(stored, secret) == []
    assert "Traceback" not in postgresql.log


async def _is_not_upset(teller: Person, reviewer: Person) -> None:
    """PostgreSQL takes no NUL and no half surrogate in a text."""
    for strange in ("%00", "%ff", "x" * 300):
        status, answer = await teller.raw("GET", f"/api/sessions/{strange}", b"")
        assert status == 404, answer
    reviewers = ("/api/reviews?teller=%00", "/api/reviews?business=%00&decision=%00")
    for path in reviewers:
        status, answer = await reviewer.raw("GET", path, b"")
        assert status == 400, answer
    bodies: list[tuple[str, Json]] = [
        ("/api/login", {"name": "a\0b", "password": "x", "totp": None}),
        ("/api/invitations", {"name": "a\ud800", "hours": 1}),
        ("/api/invitations", {"name": "王", "business": "b" * 3000, "hours": 1}),
        ("/api/invitations", {"name": "王", "hours": 10**20}),
        ("/api/walk-in/confirm", {"challenge": "c" * 3000, "code": "1"}),
    ]
    for path, body in bodies:
        status, answer = await teller.raw("POST", path, json.dumps(body).encode())
        assert 400 <= status < 500, (path, body, answer)
