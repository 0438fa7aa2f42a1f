"""The second factor: six digits that change every 30 seconds (RFC 6238, SHA-1 as all apps do)."""

import hmac
import time

import pyotp

STEP_S = 30
ISSUER = "Video Bank"


def new_secret() -> str:
    """160 random bits, base32."""
    return pyotp.random_base32(32)


def matching_step(secret: str, code: str, *, after: int | None, now_s: float) -> int | None:
    """The time step ``code`` stands for, one step early or late allowed; None when it is wrong.

    Steps up to ``after`` are used up: a code seen over somebody's shoulder is worth nothing.
    """
    totp = pyotp.TOTP(secret, interval=STEP_S)
    now = int(now_s) // STEP_S
    found = None
    for step in (now - 1, now, now + 1):
        # All three are compared whatever the outcome.
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found if found is not None and (after is None or found > after) else None


def provisioning_uri(secret: str, name: str) -> str:
    """What an authenticator app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def code_now(secret: str) -> str:
    """The code an app would show now."""
    return pyotp.TOTP(secret).generate_otp(int(time.time()) // STEP_S)
