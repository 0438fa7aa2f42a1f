"""Passwords: Argon2id, off the event loop."""

import asyncio
import os
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from video_bank.errors import UserError

MEMORY_KIB = 19 * 1024
ITERATIONS = 2
"""OWASP's first choice for Argon2id: 19 MiB, two passes, one lane; about 50 ms."""

LEAST = 12
MOST = 256
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is read as something else


class Passwords:
    """Hashes and checks, two at a time (each takes 19 MiB and a core)."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="password")
        # Someone who does not exist is checked against this, so the answer takes as long.
        self._nobody = _hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The PHC string to store."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether ``password`` was hashed to ``stored``; False, as slowly, when that is None."""
        loop = asyncio.get_running_loop()
        against = stored or self._nobody
        right = await loop.run_in_executor(self._threads, _verify, password, against)
        return right and stored is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def _spelling(password: str) -> bytes:
    # Keyboards write the same letter in several ways.
    return unicodedata.normalize("NFC", password).encode()


def _hash(password: str) -> str:
    kdf = Argon2id(
        salt=os.urandom(16), length=32, iterations=ITERATIONS, lanes=1, memory_cost=MEMORY_KIB
    )
    return kdf.derive_phc_encoded(_spelling(password))


def _verify(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(_spelling(password), stored)
    except InvalidKey:
        return False
    return True


def refuse_weak(password: str, name: str) -> None:
    """Raise ``password_weak`` for a password that is short, uniform or built on the name."""
    plain = password.lower()
    if (
        not LEAST <= len(password) <= MOST
        or len(set(plain)) < 6
        or name.lower() in plain
        or any(word in plain for word in ("password", "qwertyuiop", "1234567890"))
    ):
        raise UserError("password_weak", least=LEAST)


def one_time_password() -> str:
    """A password to be replaced at first use: four groups of four, 79 bits."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(4))
    return "-".join(groups)
