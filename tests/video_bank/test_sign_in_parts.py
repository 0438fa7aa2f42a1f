"""Passwords, codes, waits, rates and masks: the pure parts of signing in."""

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_bank import passwords, totp
from video_bank.errors import TooMany, UserError
from video_bank.lockout import FREE, LONGEST_S, Failures, Strangers, delay_s
from video_bank.passwords import Passwords, one_time_password, refuse_weak
from video_bank.person import clean_name, clean_phone, mask_id_number, mask_name, mask_phone
from video_bank.rates import KEYS_LIMIT, Rate


async def test_passwords_are_hashed_as_stated() -> None:
    keeper = Passwords()
    try:
        stored = await keeper.hash("correct horse battery")
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert len(stored) <= 256
        assert stored != await keeper.hash("correct horse battery")
        assert await keeper.verify("correct horse battery", stored)
        assert not await keeper.verify("correct horse batterz", stored)
        assert not await keeper.verify("", None)
        # One letter, two spellings.
        assert await keeper.verify("cafe\u0301 au lait", await keeper.hash("caf\u00e9 au lait"))
    finally:
        keeper.close()


@pytest.mark.parametrize(
    "password",
    ["short", "a" * 40, "abababababab", "wangfang2026!!", "Password12345", "x1234567890y"],
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(UserError) as refused:
        refuse_weak(password, "wangfang")
    assert refused.value.code == "password_weak"


def test_one_time_passwords_are_good_passwords() -> None:
    made = {one_time_password() for _ in range(200)}
    assert len(made) == 200
    for each in made:
        assert len(each) == 19 and set(each) <= set(passwords.ALPHABET + "-")


# RFC 6238, appendix B, cut to six digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_VECTORS = [
    (59, "287082"),
    (1111111109, "081804"),
    (1234567890, "005924"),
    (2000000000, "279037"),
]


@pytest.mark.parametrize(("now", "code"), RFC_VECTORS)
def test_codes_of_the_standard(now: int, code: str) -> None:
    step = totp.matching_step(RFC_SECRET, code, after=None, now_s=now)
    assert step == now // 30


@given(st.integers(120, 2**33), st.integers(-3, 3))
def test_one_step_early_or_late_is_allowed(now: int, drift: int) -> None:
    code = pyotp.TOTP(RFC_SECRET).generate_otp(now // 30 + drift)
    step = totp.matching_step(RFC_SECRET, code, after=None, now_s=now)
    if abs(drift) <= 1:
        assert step == now // 30 + drift


def test_a_code_is_good_once() -> None:
    (now, code), *_ = RFC_VECTORS
    step = totp.matching_step(RFC_SECRET, code, after=None, now_s=now)
    assert totp.matching_step(RFC_SECRET, code, after=step, now_s=now) is None
    early = pyotp.TOTP(RFC_SECRET).generate_otp(now // 30 - 1)
    assert totp.matching_step(RFC_SECRET, early, after=step, now_s=now) is None


@pytest.mark.parametrize("code", ["", "28708", "2870820", "28708²", "287 082", "\0"])
def test_what_is_no_code(code: str) -> None:
    assert totp.matching_step(RFC_SECRET, code, after=None, now_s=59) is None


def test_waits_double_up_to_the_longest() -> None:
    assert [delay_s(n) for n in range(FREE)] == [0] * FREE
    assert [delay_s(n) for n in range(FREE, FREE + 4)] == [30, 60, 120, 240]
    assert delay_s(50) == delay_s(5000) == LONGEST_S


def test_failures_lock_and_time_unlocks() -> None:
    failures = Failures()
    for _ in range(FREE):
        assert failures.wait_s() == 0
        failures = failures.another()
    assert 29 <= failures.wait_s() <= 30
    assert Failures(9, locked_until=1).wait_s() == 0


def test_strangers_are_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video_bank.lockout.STRANGERS", 3)
    strangers = Strangers()
    for key in "abcad":
        strangers.failed(key)
    assert [strangers.get(key).count for key in "abcd"] == [2, 0, 1, 1]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_lets_so_many_through_and_refills() -> None:
    clock = Clock()
    rate = Rate(3, 60, clock)
    for _ in range(3):
        rate.take("a")
    rate.take("b")
    with pytest.raises(TooMany) as refused:
        rate.take("a")
    assert refused.value.details["retry_after_s"] == 20
    clock.now = 20.0
    rate.take("a")
    with pytest.raises(TooMany):
        rate.take("a")


@given(st.lists(st.floats(0, 10), max_size=60))
def test_never_more_than_twice_the_limit_in_a_period(pauses: list[float]) -> None:
    clock = Clock()
    rate = Rate(5, 60, clock)
    passed = []
    for pause in pauses:
        clock.now += pause
        try:
            rate.take("a")
        except TooMany:
            continue
        passed.append(clock.now)
    for at in passed:
        assert sum(at <= other < at + 60 for other in passed) <= 10


def test_a_flood_of_keys_does_not_fill_the_memory() -> None:
    clock = Clock()
    rate = Rate(1, 60, clock)
    for n in range(KEYS_LIMIT + 10):
        rate.take(str(n))
    assert len(rate._full_at) <= KEYS_LIMIT
    clock.now = 120.0
    for n in range(KEYS_LIMIT):
        rate.take(f"later {n}")
    assert len(rate._full_at) <= KEYS_LIMIT


@pytest.mark.parametrize(
    ("text", "name"),
    [("  王  芳 ", "王 芳"), ("ｗａｎｇ", "wang"), ("买买提·吐尔逊", "买买提·吐尔逊")],
)
def test_names_are_made_regular(text: str, name: str) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize(
    "text", ["", "   ", "123", "王\x1b[31m芳", "王\x00芳", "a" * 65, "\u202e王"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UserError):
        clean_name(text)


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("138 0013 8000", "13800138000"),
        ("+86-138-0013-8000", "13800138000"),
        ("8613800138000", "13800138000"),
        ("１３８００１３８０００", "13800138000"),
        ("+49 (151) 123.456.78", "+4915112345678"),
    ],
)
def test_phones_are_made_regular(text: str, phone: str) -> None:
    assert clean_phone(text) == phone


@pytest.mark.parametrize(
    "text",
    ["", "110", "12800138000", "1380013800", "+0123456789", "1380013800a", "٠١٢٣٤٥٦٧٨٩"],
)
def test_what_is_no_phone(text: str) -> None:
    with pytest.raises(UserError):
        clean_phone(text)


def test_masks() -> None:
    assert mask_name("王芳") == "王*"
    assert mask_name("欧阳娜娜") == "欧***"
    assert mask_name("John Smith") == "J*** S****"
    assert mask_phone("13800138000") == "138****8000"
    assert mask_phone("+4915112345678") == "+49*******5678"
    assert mask_phone("+1234567") == "****4567"
    assert mask_id_number("11010119900307123X") == "110***********123X"
    assert mask_id_number("E12345678") == "*******78"


@given(st.text(min_size=1, max_size=40).filter(str.strip))
def test_masks_never_show_all(text: str) -> None:
    hidden = mask_id_number(text)
    assert len(hidden) == len(text)
    assert len(text) < 3 or "*" in hidden
