import asyncio
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import select, update

from video_bank import totp
from video_bank.accounts import REFUSAL_S, Accounts, SignedIn
from video_bank.bus import LocalBus
from video_bank.config import Config
from video_bank.errors import Conflict, NotFound, NotSignedIn, TooMany, UserError
from video_bank.evidence import AUDIT, Timeline, read_heads, verify
from video_bank.lockout import FREE
from video_bank.logins import Logins
from video_bank.secrets import Secrets
from video_bank.storage import Database, now_us
from video_bank.storage.tables import logins, staff

from .conftest import PASSWORD

HERE = "192.0.2.7"
HOUR_US = 3600 * 1_000_000


async def refusal(accounts: Accounts, name: str, password: str, code: str | None = None) -> str:
    with pytest.raises(UserError) as refused:
        await accounts.sign_in(name, password, code, HERE)
    assert refused.value.status == 401
    return refused.value.code


async def audit(database: Database) -> list[str]:
    async with database.read() as reader:
        entries = await Timeline().read(reader, AUDIT)
    assert verify(entries) is None
    return [entry.kind for entry in entries]


async def test_signing_in(accounts: Accounts, teller: SignedIn) -> None:
    assert (teller.login.kind, teller.login.role, teller.login.name) == ("staff", "teller", "王芳")
    assert await accounts.find_login(teller.cookie) == teller.login
    assert await accounts.find_login(teller.cookie[:-1]) is None
    assert await accounts.find_login("") is None
    # The name is typed in a hurry; each sign-in is a login of its own.
    again = await accounts.sign_in(" WangFang", PASSWORD, None, HERE)
    assert again.login.id != teller.login.id and again.login.csrf != teller.login.csrf


async def test_wrong_name_and_wrong_password_are_answered_alike(
    accounts: Accounts, teller: SignedIn
) -> None:
    for name, password in [("wangfang", "wrong"), ("nobody", PASSWORD), ("", ""), ("\0", "x")]:
        assert await refusal(accounts, name, password) == "wrong_credentials"


async def test_names_that_are_nobodys_lock_like_real_ones(
    accounts: Accounts, database: Database, teller: SignedIn
) -> None:
    answers = {}
    for name in ("wangfang", "nobody"):
        answers[name] = [await refusal(accounts, name, "wrong") for _ in range(FREE + 1)]
    assert answers["wangfang"] == answers["nobody"] == ["wrong_credentials"] * FREE + ["locked"]
    with pytest.raises(NotSignedIn) as refused:
        await accounts.sign_in("wangfang", PASSWORD, None, HERE)
    assert refused.value.code == "locked"
    assert 28 <= refused.value.details["retry_after_s"] <= 30
    async with database.write() as tx:
        await tx.execute(update(staff).values(locked_until=now_us()))
    # One more wrong one after the wait locks for longer; a right one clears the count.
    assert await refusal(accounts, "wangfang", "wrong") == "wrong_credentials"
    assert await refusal(accounts, "wangfang", PASSWORD) == "locked"
    async with database.write() as tx:
        await tx.execute(update(staff).values(locked_until=now_us()))
    await accounts.sign_in("wangfang", PASSWORD, None, HERE)
    assert await refusal(accounts, "wangfang", "wrong") == "wrong_credentials"


async def test_guesses_side_by_side_count_one_by_one(
    accounts: Accounts, teller: SignedIn
) -> None:
    guesses = [refusal(accounts, "wangfang", f"guess {n}") for n in range(2 * FREE)]
    answers = await asyncio.gather(*guesses)
    assert sorted(answers) == ["locked"] * FREE + ["wrong_credentials"] * FREE


@pytest.mark.alone
async def test_an_unknown_name_takes_as_long(
    accounts: Accounts, teller: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_bank.accounts.REFUSAL_S", REFUSAL_S)

    async def cost(name: str, password: str) -> float:
        started = time.perf_counter()
        await refusal(accounts, name, password)
        return time.perf_counter() - started

    known = [await cost("wangfang", f"guess {n}") for n in range(FREE + 2)]
    unknown = [await cost("nobody", f"guess {n}") for n in range(FREE + 2)]
    # Wrong ones and locked ones alike; the median, as the machine is shared.
    assert statistics.median(known) == pytest.approx(statistics.median(unknown), rel=0.1)
    assert min(*known, *unknown) >= REFUSAL_S - 0.005


async def test_finding_out_costs_the_same(
    accounts: Accounts, teller: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the time all refusals take, a name that is nobody's is hashed for, too."""
    hashed = []
    monkeypatch.setattr(
        "video_bank.passwords._verify", lambda password, stored: hashed.append(stored)
    )
    for name in ("wangfang", "nobody"):
        await refusal(accounts, name, "wrong")
    assert len(hashed) == 2 and hashed[0] != hashed[1]
    assert all(stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for stored in hashed)


async def test_attempts_from_one_address_are_limited(
    database: Database, secrets: Secrets, config: Config
) -> None:
    accounts = Accounts(database, secrets, Timeline(), replace(config, sign_in_rate=3))
    try:
        for n in range(3):
            assert await refusal(accounts, f"name{n}", "wrong") == "wrong_credentials"
        with pytest.raises(TooMany):
            await accounts.sign_in("other", "wrong", None, HERE)
        with pytest.raises(NotSignedIn):
            await accounts.sign_in("other", "wrong", None, "192.0.2.99")
    finally:
        accounts.close()


async def test_the_second_factor(accounts: Accounts, teller: SignedIn) -> None:
    with pytest.raises(Conflict, match="totp_not_started"):
        await accounts.confirm_totp(teller.login, "123456")
    other = await accounts.sign_in("wangfang", PASSWORD, None, HERE)
    secret, uri = await accounts.enrol_totp(teller.login)
    assert uri.startswith("otpauth://totp/") and secret in uri
    # Shown is not yet in force: who does not finish is not locked out.
    await accounts.sign_in("wangfang", PASSWORD, None, HERE)
    code = totp.code_now(secret)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    with pytest.raises(UserError, match="totp_wrong"):
        await accounts.confirm_totp(teller.login, wrong)
    await accounts.confirm_totp(teller.login, code)
    assert await accounts.find_login(teller.cookie) == teller.login
    assert await accounts.find_login(other.cookie) is None
    with pytest.raises(Conflict, match="totp_enrolled"):
        await accounts.enrol_totp(teller.login)

    assert await refusal(accounts, "wangfang", PASSWORD) == "totp_required"
    assert await refusal(accounts, "wangfang", "wrong", code) == "wrong_credentials"
    assert await refusal(accounts, "wangfang", PASSWORD, wrong) == "totp_wrong"
    # The code that confirmed is used up.
    assert await refusal(accounts, "wangfang", PASSWORD, code) == "totp_wrong"
    following = pyotp.TOTP(secret).generate_otp(int(time.time()) // 30 + 1)
    await accounts.sign_in("wangfang", PASSWORD, following, HERE)
    assert await refusal(accounts, "wangfang", PASSWORD, following) == "totp_wrong"


async def test_one_code_signs_in_once_however_quickly(accounts: Accounts) -> None:
    secret = totp.new_secret()
    await accounts.staff.create(
        "li", "李", "teller", by="test", password=PASSWORD, totp_secret=secret
    )
    code = totp.code_now(secret)
    attempts = [accounts.sign_in("li", PASSWORD, code, HERE) for _ in range(4)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, SignedIn) for result in results) == 1


async def test_wrong_codes_lock(accounts: Accounts) -> None:
    await accounts.staff.create(
        "li", "李", "teller", by="test", password=PASSWORD, totp_secret=totp.new_secret()
    )
    answers = [await refusal(accounts, "li", PASSWORD, "000000") for _ in range(FREE + 1)]
    assert answers == ["totp_wrong"] * FREE + ["locked"]


async def test_a_one_time_password_is_replaced(
    accounts: Accounts, bus: LocalBus, database: Database
) -> None:
    member = await accounts.staff.create("li", "李雷", "reviewer", by="staff:admin")
    first = await accounts.sign_in("li", member.password, None, HERE)
    assert first.login.restricted
    for old, new, code in [
        ("wrong", "another good one", "password_wrong"),
        (member.password, member.password, "password_same"),
        (member.password, "short", "password_weak"),
    ]:
        with pytest.raises(UserError, match=code):
            await accounts.change_password(first.login, old, new)
    async with bus.subscribe(f"login:{first.login.id}") as events:
        second = await accounts.change_password(first.login, member.password, "another good one")
        async for _, event in events:
            assert event == {"topic": "signed_out", "data": {"reason": "password_changed"}}
            break
    assert not second.login.restricted
    assert await accounts.find_login(first.cookie) is None
    assert await accounts.find_login(second.cookie) == second.login
    assert await refusal(accounts, "li", member.password) == "wrong_credentials"
    await accounts.sign_in("li", "another good one", None, HERE)
    assert await audit(database) == [
        "staff_created",
        "signed_in",
        "password_changed",
        "sign_in_failed",
        "signed_in",
    ]


async def test_signing_out_here_and_everywhere(
    accounts: Accounts, bus: LocalBus, teller: SignedIn
) -> None:
    others = [await accounts.sign_in("wangfang", PASSWORD, None, HERE) for _ in range(3)]
    await accounts.sign_out(others[0].login)
    assert await accounts.find_login(others[0].cookie) is None
    topics = [f"login:{each.login.id}" for each in (teller, *others[1:])]
    async with bus.subscribe(*topics) as events:
        assert await accounts.sign_out_everywhere(teller.login) == 3
        told = set()
        async for topic, event in events:
            assert event["data"] == {"reason": "everywhere"}
            told.add(topic)
            if told == set(topics):
                break
    for each in (teller, *others):
        assert await accounts.find_login(each.cookie) is None


@pytest.mark.parametrize(
    ("column", "age_us", "alive"),
    [
        ("seen_at", 14 * 60 * 1_000_000, True),
        ("seen_at", 15 * 60 * 1_000_000, False),
        ("created_at", 8 * HOUR_US - 60_000_000, True),
        ("created_at", 8 * HOUR_US, False),
    ],
)
async def test_logins_end_when_idle_and_after_a_day_of_work(
    accounts: Accounts,
    database: Database,
    bus: LocalBus,
    teller: SignedIn,
    column: str,
    age_us: int,
    alive: bool,
) -> None:
    async with database.write() as tx:
        await tx.execute(update(logins).values({column: now_us() - age_us}))
    async with bus.subscribe(f"login:{teller.login.id}") as events:
        assert await accounts.logins.end_expired() == (0 if alive else 1)
        await bus.close()
        told = [event["data"]["reason"] async for _, event in events]
    assert told == ([] if alive else ["expired"])
    assert (await accounts.find_login(teller.cookie) is not None) == alive


async def test_an_expired_cookie_is_refused_before_anyone_sweeps(
    accounts: Accounts, database: Database, teller: SignedIn
) -> None:
    async with database.write() as tx:
        await tx.execute(update(logins).values(seen_at=now_us() - HOUR_US))
    assert await accounts.find_login(teller.cookie) is None
    async with database.write() as tx:
        await tx.execute(update(logins).values(seen_at=now_us()))
    assert await accounts.find_login(teller.cookie) is None  # ended is ended


async def test_a_sign_of_life_is_written_down(
    accounts: Accounts, database: Database, teller: SignedIn
) -> None:
    async with database.write() as tx:
        await tx.execute(update(logins).values(seen_at=now_us() - 60_000_000))
    await accounts.find_login(teller.cookie)
    async with database.read() as reader:
        seen = (await reader.execute(select(logins.c.seen_at))).scalar_one()
    assert now_us() - seen < 5_000_000


async def test_disabling_and_enabling(
    accounts: Accounts, bus: LocalBus, admin: SignedIn, teller: SignedIn
) -> None:
    async with bus.subscribe(f"login:{teller.login.id}") as events:
        await accounts.staff.set_disabled(teller.login.subject_id, True, by=admin.login)
        async for _, event in events:
            assert event["data"] == {"reason": "disabled"}
            break
    assert await accounts.find_login(teller.cookie) is None
    assert await refusal(accounts, "wangfang", PASSWORD) == "wrong_credentials"
    await accounts.staff.set_disabled(teller.login.subject_id, False, by=admin.login)
    await accounts.sign_in("wangfang", PASSWORD, None, HERE)
    for staff_id, error in [(admin.login.subject_id, Conflict), ("nobody", NotFound)]:
        with pytest.raises(error):
            await accounts.staff.set_disabled(staff_id, True, by=admin.login)
        with pytest.raises(error):
            await accounts.staff.reset(staff_id, by=admin.login)


async def test_a_reset_begins_anew(accounts: Accounts, admin: SignedIn, teller: SignedIn) -> None:
    secret, _ = await accounts.enrol_totp(teller.login)
    await accounts.confirm_totp(teller.login, totp.code_now(secret))
    for _ in range(FREE):
        await refusal(accounts, "wangfang", "wrong")
    member = await accounts.staff.reset(teller.login.subject_id, by=admin.login)
    assert await accounts.find_login(teller.cookie) is None
    signed_in = await accounts.sign_in("wangfang", member.password, None, HERE)
    assert signed_in.login.restricted


async def test_making_accounts(accounts: Accounts, teller: SignedIn) -> None:
    for name, display, role, code in [
        ("wangfang", "other", "teller", "name_taken"),
        ("WANGFANG", "other", "teller", "name_taken"),
        ("w", "other", "teller", "name_invalid"),
        ("wang fang", "other", "teller", "name_invalid"),
        ("li", "\n", "teller", "name_invalid"),
        ("li", "李", "customer", "role_unknown"),
        ("li", "李", "owner", "role_unknown"),
    ]:
        with pytest.raises(UserError, match=code):
            await accounts.staff.create(name, display, role, by="test")
    (row,) = await accounts.staff.everybody()
    assert row["name"] == "wangfang" and not row["disabled"] and not row["totp"]
    assert "password_hash" not in row
    assert await accounts.staff.display_name(teller.login.subject_id) == "王芳"


async def test_secrets_do_not_show(accounts: Accounts, teller: SignedIn) -> None:
    member = await accounts.staff.create("li", "李", "teller", by="test")
    assert member.password not in repr(member)
    assert teller.cookie not in repr(teller)


async def test_a_login_for_nobody_is_refused(
    database: Database, secrets: Secrets, config: Config
) -> None:
    with pytest.raises(ValueError):
        async with database.write() as tx:
            await Logins(database, secrets, config).start(tx, "staff", "nobody")


async def test_the_first_admin(tmp_path: Path, root: Path) -> None:
    """The command makes database, keys and account, and prints what to sign in with."""

    def command(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "video_bank.accounts", "create-admin"]
            + ["--data", str(tmp_path), "--name", name],
            cwd=root,
            env={key: value for key, value in os.environ.items() if key != "DATABASE_URL"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = command("chief")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if "one-time password" in line]
    config = Config(data=tmp_path)
    database = Database(config.database_url, LocalBus())
    accounts = Accounts(database, Secrets.load_or_create(config.keys), Timeline(), config)
    try:
        signed_in = await accounts.sign_in("chief", line.split()[-1], None, HERE)
        assert signed_in.login.role == "admin" and signed_in.login.restricted
    finally:
        accounts.close()
        await database.close()
    again = command("chief")
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists" in again.stderr


async def test_the_sweep_ends_logins_and_keeps_the_head(
    accounts: Accounts,
    database: Database,
    config: Config,
    teller: SignedIn,
    bus: LocalBus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("video_bank.accounts.SWEEP_S", 0.01)
    async with database.write() as tx:
        await tx.execute(update(logins).values(seen_at=now_us() - HOUR_US))
    async with bus.subscribe(f"login:{teller.login.id}") as events:
        sweep = asyncio.create_task(accounts.run())
        async for _, event in events:
            assert event["data"] == {"reason": "expired"}
            break
        await asyncio.sleep(0.1)
        sweep.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweep
    (head,) = read_heads(config.data / "audit.heads")  # written once, as it did not move
    async with database.read() as reader:
        assert head == await Timeline().head(reader, AUDIT)


async def test_the_audit_log_page_by_page(accounts: Accounts, admin: SignedIn) -> None:
    first = await accounts.audit_log(1)
    assert [entry["kind"] for entry in first["entries"]] == ["signed_in", "staff_created"]
    assert first["entries"][0]["actor"] == "Admin (admin)"
    assert first["entries"][0]["data"] == {"second_factor": False}
    assert (first["total"], first["pages"]) == (2, 1)
    assert (await accounts.audit_log(2))["entries"] == []


async def test_who_is_in_a_call_is_not_idle(
    accounts: Accounts, database: Database, admin: SignedIn, teller: SignedIn
) -> None:
    async def sweep() -> int:
        async with database.write() as tx:
            await tx.execute(update(logins).values(seen_at=now_us() - HOUR_US))
        return await accounts.logins.end_expired()

    with accounts.logins.busy(teller.login), accounts.logins.busy(teller.login):
        with accounts.logins.busy(teller.login), accounts.logins.busy(admin.login):
            assert await sweep() == 1  # the admin's page was only left open
        assert await sweep() == 0
        assert await accounts.find_login(teller.cookie) is not None
    assert await sweep() == 1
