import pytest

from video_bank.accounts import Login, require
from video_bank.errors import NotAllowed, NotSignedIn
from video_bank.logins import Kind
from video_bank.permissions import ALLOWED, STAFF, Permission, Role, permissions_of


def login(role: Role, *, restricted: bool = False) -> Login:
    kind: Kind = "customer" if role == Role.CUSTOMER else "staff"
    return Login("l", "s", kind, role, "n", "c", restricted)


def test_every_permission_is_somebodys() -> None:
    assert set(ALLOWED) == set(Permission)
    assert all(ALLOWED.values())


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_the_table_decides(role: Role, permission: Permission) -> None:
    if role in ALLOWED[permission]:
        assert require(login(role), permission).role == role
        assert permission in permissions_of(role)
    else:
        with pytest.raises(NotAllowed) as refused:
            require(login(role), permission)
        assert refused.value.code == "not_allowed"


@pytest.mark.parametrize("permission", Permission)
def test_nobody_may_nothing(permission: Permission) -> None:
    with pytest.raises(NotSignedIn):
        require(None, permission)


@pytest.mark.parametrize("role", STAFF)
def test_a_one_time_password_opens_nothing_but_its_replacement(role: Role) -> None:
    allowed = {Permission.SIGNED_IN, Permission.OWN_ACCOUNT}
    for permission in permissions_of(role):
        if permission in allowed:
            require(login(role, restricted=True), permission)
        else:
            with pytest.raises(NotAllowed) as refused:
                require(login(role, restricted=True), permission)
            assert refused.value.code == "password_change_required"


def test_duties_are_apart() -> None:
    """Who serves does not review; who reviews does not make accounts; admins see no customers."""
    for role in Role:
        mine = set(permissions_of(role))
        assert not {Permission.SERVE, Permission.REVIEW} <= mine
        assert not {Permission.REVIEW, Permission.MANAGE_STAFF} <= mine
    assert not set(permissions_of(Role.ADMIN)) & {
        Permission.SERVE, Permission.ATTEND, Permission.REVIEW, Permission.UNMASK,
    }  # fmt: skip
