"""Key-encryption keys inside a PKCS#11 token: an HSM, or SoftHSM where there is none.

The keys are made in the token, can neither be read nor taken out, and wrap and unwrap there
(CKM_AES_KEY_WRAP, RFC 3394; PKCS#11 v2.40 §2.14). A data key is in the token only as a session
object, for as long as one call takes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass

from .errors import KeyUnavailable
from .keys import kek_name, kek_parts, newest

T = TypeVar("T")

DESTROYED = "video bank destroyed "
"""Begins the labels of the data objects that keep the names of destroyed keys."""

_KEK: dict[Attribute, Any] = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
}
_HANDED_OUT = (Attribute.TOKEN, Attribute.SENSITIVE, Attribute.EXTRACTABLE)
_DEK: dict[Attribute, Any] = {
    Attribute.CLASS: ObjectClass.SECRET_KEY,
    Attribute.KEY_TYPE: KeyType.AES,
    Attribute.TOKEN: False,
    Attribute.SENSITIVE: False,  # handed out: to open a recording is what it is for
    Attribute.EXTRACTABLE: True,
}
_NAME: dict[Attribute, Any] = {
    Attribute.CLASS: ObjectClass.DATA,
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.APPLICATION: "video bank",
}
_NOT_ITS_KEY = (
    pkcs11.exceptions.WrappedKeyInvalid,
    pkcs11.exceptions.WrappedKeyLenRange,
    pkcs11.exceptions.EncryptedDataInvalid,
    pkcs11.exceptions.GeneralError,  # what SoftHSM 2.6 says of a wrapped key that is not its own
)


class Pkcs11Keyring:
    """Keys in the token `token`, reached through the vendor's library `module`.

    Raises :class:`KeyUnavailable` when the token cannot be reached or the PIN is refused.
    """

    name = "pkcs11"

    def __init__(self, module: Path, token: str, pin_file: Path) -> None:
        """`pin_file`: the user's PIN on its first line; read anew whenever a session begins."""
        self._module, self._token, self._pin_file = module, token, pin_file
        # A PKCS#11 session does one thing at a time.
        self._lock = threading.Lock()
        self._session: Any = None
        self.keks()

    def kek(self, tenant: str, month: str) -> str:
        kek_name(tenant, month)

        def work(session: Any) -> str:
            known = _known(session)
            kek_id = kek_name(tenant, month, max(newest(known, tenant, month), 1))
            if kek_id not in known:
                _generate(session, kek_id)
            elif not known[kek_id]:
                raise KeyUnavailable(f"{kek_id} was destroyed")
            return kek_id

        return self._do(work)

    def renew(self, tenant: str, month: str) -> str:
        kek_name(tenant, month)

        def work(session: Any) -> str:
            kek_id = kek_name(tenant, month, newest(_known(session), tenant, month) + 1)
            _generate(session, kek_id)
            return kek_id

        return self._do(work)

    def keks(self) -> list[str]:
        known = self._do(_known)
        return sorted(kek_id for kek_id, alive in known.items() if alive)

    def wrap(self, dek: bytes, kek_id: str) -> bytes:
        def work(session: Any) -> bytes:
            key, *_ = _keys(session, kek_id)
            inside = session.create_object({**_DEK, Attribute.VALUE: dek})
            try:
                return bytes(key.wrap_key(inside, mechanism=Mechanism.AES_KEY_WRAP))
            finally:
                inside.destroy()

        return self._do(work)

    def unwrap(self, kek_id: str, wrapped: bytes) -> bytes:
        def work(session: Any) -> bytes:
            # Two servers may have made the month's key at the same moment: try each.
            for key in _keys(session, kek_id):
                with contextlib.suppress(*_NOT_ITS_KEY):
                    return _unwrapped(key, wrapped)
            raise KeyUnavailable(f"{kek_id} does not unwrap this")

        return self._do(work)

    def destroy(self, kek_id: str) -> None:
        def work(session: Any) -> None:
            known = _known(session)
            if kek_id not in known:
                raise KeyUnavailable(f"{kek_id} is not in the keyring")
            if known[kek_id]:
                # The name first: after a crash in between the key counts as destroyed already,
                # and the next try makes it true.
                session.create_object({**_NAME, Attribute.LABEL: DESTROYED + kek_id})
            for key in session.get_objects(_search(kek_id)):
                key.destroy()

        self._do(work)

    def _do(self, work: Callable[[Any], T]) -> T:
        """What `work` answers, given the session for itself; a lost session is begun anew once."""
        with self._lock:
            try:
                return work(self._open())
            except pkcs11.PKCS11Error:
                self._close()
            try:
                return work(self._open())
            except pkcs11.PKCS11Error as error:
                self._close()
                raise KeyUnavailable(f"the token {self._token!r}: {_words(error)}") from error

    def _open(self) -> Any:
        if self._session is None:
            try:
                pin = self._pin_file.read_text().splitlines()[0].strip()
                token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
            except (OSError, IndexError, RuntimeError) as error:
                raise KeyUnavailable(f"the token's library or PIN file: {error}") from error
            try:
                self._session = token.open(rw=True, user_pin=pin)
            except pkcs11.UserAlreadyLoggedIn:  # this process is, by another session of its own
                self._session = token.open(rw=True)
        return self._session

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(pkcs11.PKCS11Error):
                session.close()


def _search(kek_id: str) -> dict[Attribute, Any]:
    return {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: kek_id}


def _keys(session: Any, kek_id: str) -> list[Any]:
    """The living key of this id; in the same order every time, were there two."""
    if not _known(session).get(kek_id):
        raise KeyUnavailable(f"{kek_id} is not in the keyring or was destroyed")
    return sorted(session.get_objects(_search(kek_id)), key=lambda key: bytes(key.id))


def _known(session: Any) -> dict[str, bool]:
    """Every key's id: False for those destroyed. Other objects in the token are left alone."""
    known = {}
    for key in session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}):
        with contextlib.suppress(ValueError):
            kek_parts(key.label)
            known[str(key.label)] = True
    for name in session.get_objects(_NAME):
        known[str(name[Attribute.LABEL]).removeprefix(DESTROYED)] = False
    return known


def _generate(session: Any, kek_id: str) -> None:
    session.generate_key(
        KeyType.AES,
        256,
        id=os.urandom(16),
        label=kek_id,
        store=True,
        capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
        template=_KEK,
    )


def _unwrapped(key: Any, wrapped: bytes) -> bytes:
    inside = key.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.AES,
        wrapped,
        mechanism=Mechanism.AES_KEY_WRAP,
        template={each: _DEK[each] for each in _HANDED_OUT},
    )
    try:
        return bytes(inside[Attribute.VALUE])
    finally:
        inside.destroy()


def _words(error: pkcs11.PKCS11Error) -> str:
    """The error's name and text: the library's texts are often empty."""
    return f"{type(error).__name__} {error}".strip()
