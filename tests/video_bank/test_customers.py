import asyncio
import json
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from video_bank.accounts import Accounts, SignedIn
from video_bank.bus import LocalBus
from video_bank.config import Config
from video_bank.customers import Challenge, Customers
from video_bank.delivery import CommandDelivery, DemoDelivery, delivery_of
from video_bank.errors import TooMany, UserError
from video_bank.evidence import Timeline
from video_bank.secrets import Secrets
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t

HERE = "192.0.2.7"
PHONE = "13800138000"


def token_of(url: str) -> str:
    return url.rpartition("/i/")[2]


async def code_of(challenge: Challenge) -> str:
    assert challenge.demo_code is not None
    return challenge.demo_code


async def test_an_invitation_signs_in_once(
    customers: Customers, accounts: Accounts, teller: SignedIn
) -> None:
    invitation = await customers.invite(teller.login, " 张 三 ", PHONE, "loan")
    assert invitation.url.startswith("http://localhost:8080/i/")
    assert invitation.url not in repr(invitation)
    assert invitation.expires_at == pytest.approx(now_us() + 72 * 3600e6, abs=5e6)
    token = token_of(invitation.url)
    signed_in = await customers.accept(token, HERE)
    assert (signed_in.login.kind, signed_in.login.role) == ("customer", "customer")
    assert signed_in.login.name == "张 三"
    assert await accounts.find_login(signed_in.cookie) == signed_in.login
    with pytest.raises(UserError, match="invitation_used"):
        await customers.accept(token, HERE)
    with pytest.raises(UserError, match="invitation_used"):
        await customers.accept(token, HERE, teller.login)
    # The same browser, opening its link again, goes on.
    again = await customers.accept(token, HERE, signed_in.login)
    assert again.login.subject_id == signed_in.login.subject_id


async def test_an_invitation_opened_twice_at_once_signs_in_once(
    customers: Customers, teller: SignedIn
) -> None:
    token = token_of((await customers.invite(teller.login, "张三")).url)
    results = await asyncio.gather(
        *(customers.accept(token, HERE) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, SignedIn) for result in results) == 1


async def test_an_invitation_expires(
    customers: Customers, database: Database, teller: SignedIn
) -> None:
    invitation = await customers.invite(teller.login, "张三", hours=1)
    async with database.write() as tx:
        await tx.execute(update(t.invitations).values(expires_at=now_us()))
    with pytest.raises(UserError, match="invitation_expired") as refused:
        await customers.accept(token_of(invitation.url), HERE)
    assert refused.value.status == 410


async def test_a_link_that_was_not_made_here(
    customers: Customers, secrets: Secrets, teller: SignedIn
) -> None:
    token = token_of((await customers.invite(teller.login, "张三")).url)
    other = token_of((await customers.invite(teller.login, "李四")).url)
    swapped = token.partition(".")[0] + "." + other.partition(".")[2]
    signed_but_unknown = f"01J.{secrets.sign('invitation', '01J')}"
    for wrong in ["", ".", "x", token[:-1], token + "A", swapped, signed_but_unknown, "é.é"]:
        with pytest.raises(UserError, match="invitation_invalid") as refused:
            await customers.accept(wrong, HERE)
        assert refused.value.status == 404


@pytest.mark.parametrize("hours", [0, -1, 24 * 30 + 1])
async def test_an_invitation_for_ever_is_refused(
    customers: Customers, teller: SignedIn, hours: int
) -> None:
    with pytest.raises(UserError, match="bad_request"):
        await customers.invite(teller.login, "张三", hours=hours)


async def test_one_sees_ones_own_invitations_masked(
    customers: Customers, teller: SignedIn, admin: SignedIn
) -> None:
    invitation = await customers.invite(teller.login, "张三丰", PHONE, "loan", 5)
    (row,) = await customers.invitations(teller.login)
    assert row["customer_masked"] == "张**"
    assert (row["business"], row["used_at"]) == ("loan", None)
    assert token_of(invitation.url) not in json.dumps(row)
    assert await customers.invitations(admin.login) == []


async def test_walking_in(customers: Customers, accounts: Accounts) -> None:
    challenge = await customers.walk_in("张三", "+86 138 0013 8000", "zh", HERE)
    assert challenge.expires_s == 300
    assert str(challenge.demo_code) not in repr(challenge)
    code = await code_of(challenge)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    with pytest.raises(UserError, match="code_wrong") as refused:
        await customers.confirm(challenge.id, wrong, HERE)
    assert refused.value.details == {"tries_left": 4}
    signed_in = await customers.confirm(challenge.id, code, HERE)
    assert await accounts.find_login(signed_in.cookie) == signed_in.login
    card = await customers.card(signed_in.login.subject_id)
    assert card == {
        "id": signed_in.login.subject_id,
        "name": "张三",
        "name_masked": "张*",
        "phone_masked": "138****8000",
        "id_masked": None,
        "visits": 0,
    }
    with pytest.raises(UserError, match="code_expired"):
        await customers.confirm(challenge.id, code, HERE)


async def test_a_code_is_void_after_five_wrong_ones(customers: Customers) -> None:
    challenge = await customers.walk_in("张三", PHONE, "zh", HERE)
    code = await code_of(challenge)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    guesses = [customers.confirm(challenge.id, wrong, HERE) for _ in range(8)]
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    assert sorted(map(str, answers)) == ["code_expired"] * 3 + ["code_wrong"] * 5
    with pytest.raises(UserError, match="code_expired"):
        await customers.confirm(challenge.id, code, HERE)


async def test_a_code_expires(customers: Customers, database: Database) -> None:
    challenge = await customers.walk_in("张三", PHONE, "zh", HERE)
    async with database.write() as tx:
        await tx.execute(update(t.codes).values(expires_at=now_us()))
    with pytest.raises(UserError, match="code_expired"):
        await customers.confirm(challenge.id, await code_of(challenge), HERE)
    # An hour later what was asked for is forgotten.
    async with database.write() as tx:
        await tx.execute(update(t.codes).values(expires_at=now_us() - 4_000_000_000))
    kept = await customers.walk_in("李四", "13900139000", "en", HERE)
    async with database.read() as reader:
        assert (await reader.execute(select(t.codes.c.id))).scalars().all() == [kept.id]


@pytest.mark.parametrize("code", ["", "12345", "é", "１２３４５６", "000000 "])
async def test_what_is_no_code(customers: Customers, code: str) -> None:
    challenge = await customers.walk_in("张三", PHONE, "zh", HERE)
    with pytest.raises(UserError, match="code_wrong"):
        await customers.confirm(challenge.id, code, HERE)
    with pytest.raises(UserError, match="code_expired"):
        await customers.confirm("unknown", code, HERE)


async def test_the_same_person_is_found_again(
    customers: Customers, teller: SignedIn
) -> None:
    async def walk_in(name: str, phone: str) -> str:
        challenge = await customers.walk_in(name, phone, "zh", HERE)
        signed_in = await customers.confirm(challenge.id, await code_of(challenge), HERE)
        return signed_in.login.subject_id

    zhang = await walk_in("张三", PHONE)
    assert await walk_in("张三", "138-0013-8000") == zhang
    assert await walk_in("张小三", PHONE) != zhang  # a family's phone
    assert await walk_in("张三", "13900139000") != zhang  # a namesake
    invitation = await customers.invite(teller.login, "张三", PHONE)
    assert invitation.customer_id == zhang
    without = await customers.invite(teller.login, "张三")
    assert without.customer_id != zhang


async def test_a_second_browser_ends_the_first(
    customers: Customers, accounts: Accounts, bus: LocalBus
) -> None:
    async def walk_in() -> SignedIn:
        challenge = await customers.walk_in("张三", PHONE, "zh", HERE)
        return await customers.confirm(challenge.id, await code_of(challenge), HERE)

    first = await walk_in()
    async with bus.subscribe(f"login:{first.login.id}") as events:
        second = await walk_in()
        async for _, event in events:
            assert event == {"topic": "elsewhere", "data": {}}
            break
    assert await accounts.find_login(first.cookie) is None
    assert await accounts.find_login(second.cookie) == second.login


async def test_codes_are_limited(
    database: Database, secrets: Secrets, config: Config
) -> None:
    few = replace(config, walk_in_rate=6)
    customers = Customers(database, secrets, Timeline(), few, DemoDelivery())
    for _ in range(2):
        await customers.walk_in("张三", PHONE, "zh", HERE)
    with pytest.raises(TooMany):  # this phone, from wherever
        await customers.walk_in("张三", PHONE, "zh", "192.0.2.99")
    for n in range(4):
        await customers.walk_in("张三", f"1390013900{n}", "zh", HERE)
    with pytest.raises(TooMany):  # this address, for whomever
        await customers.walk_in("张三", "13900139009", "zh", HERE)


async def test_walking_in_can_be_closed(
    database: Database, secrets: Secrets, config: Config
) -> None:
    closed = Customers(
        database, secrets, Timeline(), replace(config, walk_in=False), DemoDelivery()
    )
    nobody_sends = Customers(database, secrets, Timeline(), config)
    for customers in (closed, nobody_sends):
        with pytest.raises(UserError, match="walk_in_closed"):
            await customers.walk_in("张三", PHONE, "zh", HERE)


async def test_the_number_of_a_checked_card(customers: Customers, database: Database) -> None:
    challenge = await customers.walk_in("张三", PHONE, "zh", HERE)
    signed_in = await customers.confirm(challenge.id, await code_of(challenge), HERE)
    key = signed_in.login.subject_id
    async with database.write() as tx:
        await customers.set_id_number(tx, key, "11010119900307123x")
    assert (await customers.card(key))["id_masked"] == "110***********123X"
    assert await customers.unmasked(key) == {
        "name": "张三",
        "phone": PHONE,
        "id": "11010119900307123X",
    }


def program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_a_program_delivers(
    database: Database, secrets: Secrets, config: Config, tmp_path: Path
) -> None:
    sent = tmp_path / "sent.json"
    command = program(tmp_path / "send", f"cat > {sent}")
    adapter = delivery_of(replace(config, delivery_command=(str(command),), demo=True))
    assert isinstance(adapter, CommandDelivery)
    customers = Customers(database, secrets, Timeline(), config, adapter)
    challenge = await customers.walk_in("张三", PHONE, "en", HERE)
    assert challenge.demo_code is None
    message = json.loads(sent.read_text())
    assert message["phone"] == PHONE
    (code,) = re.findall(r"\d{6}", message["text"])
    await customers.confirm(challenge.id, code, HERE)


@pytest.mark.parametrize("body", ["exit 3", "exec sleep 30", None])
async def test_what_cannot_be_sent_is_said(
    tmp_path: Path, body: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_bank.delivery.TIMEOUT_S", 0.3)
    command = program(tmp_path / "send", body) if body else tmp_path / "missing"
    with pytest.raises(UserError, match="delivery_failed") as refused:
        await CommandDelivery((str(command),)).send(PHONE, "text")
    assert refused.value.status == 503


def test_the_demo_shows_codes_on_the_screen_and_nobody_else_does(config: Config) -> None:
    assert delivery_of(config) is None
    demo = delivery_of(replace(config, demo=True))
    assert demo is not None and demo.on_screen
    assert not CommandDelivery.on_screen
