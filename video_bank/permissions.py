"""Who may do what: one table."""

from enum import StrEnum


class Role(StrEnum):
    """What a person is here."""

    CUSTOMER = "customer"
    TELLER = "teller"
    LOAN_OFFICER = "loan_officer"
    EXPERT = "expert"
    SUPERVISOR = "supervisor"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a route asks for."""

    SIGNED_IN = "signed in"
    """Be somebody: own name, signing out, the WebSocket."""
    OWN_ACCOUNT = "own account"
    """A staff member's own password and second factor, the staff's home page."""
    VISIT = "visit"
    """Be served: join the queue, leave it, rate."""
    ATTEND = "attend"
    """See and chat in a session one takes part in."""
    SERVE = "serve"
    """Take customers, run checks, decide."""
    INVITE = "invite"
    """Make personal invitation links and list one's own."""
    SUPERVISE = "supervise"
    """Look at all calls under way, listen to them, whisper to the teller, take part."""
    REVIEW = "review"
    """List sessions masked, replay them, verify seals, each viewing with a reason."""
    REPLAY = "replay"
    """Open a viewing, with a reason: reviewers of any session, supervisors of one that goes on."""
    APPROVE = "approve"
    """Decide, as the second person, whether somebody else may replay a session."""
    EXPORT = "export"
    """Have a session made into a bundle for a court or an authority, with a reason."""
    UNMASK = "unmask"
    """See a customer's full name, phone and ID number, with a reason."""
    RETAIN = "retain"
    """See what is due to be erased, place and lift legal holds, erase, read certificates."""
    AUDIT = "audit"
    """Read the audit log."""
    MANAGE_STAFF = "manage staff"
    """Make, disable and reset staff accounts."""


STAFF = frozenset(Role) - {Role.CUSTOMER}
_SERVING = frozenset({Role.TELLER, Role.LOAN_OFFICER, Role.EXPERT})

ALLOWED: dict[Permission, frozenset[Role]] = {
    Permission.SIGNED_IN: frozenset(Role),
    Permission.OWN_ACCOUNT: STAFF,
    Permission.VISIT: frozenset({Role.CUSTOMER}),
    Permission.ATTEND: _SERVING | {Role.CUSTOMER, Role.SUPERVISOR},
    Permission.SERVE: _SERVING,
    Permission.INVITE: _SERVING | {Role.SUPERVISOR},
    Permission.SUPERVISE: frozenset({Role.SUPERVISOR}),
    Permission.REVIEW: frozenset({Role.REVIEWER}),
    Permission.REPLAY: frozenset({Role.REVIEWER, Role.SUPERVISOR}),
    Permission.APPROVE: frozenset({Role.REVIEWER}),
    Permission.EXPORT: frozenset({Role.REVIEWER}),
    Permission.UNMASK: frozenset({Role.REVIEWER}),
    Permission.RETAIN: frozenset({Role.REVIEWER, Role.ADMIN}),
    Permission.AUDIT: frozenset({Role.REVIEWER, Role.ADMIN}),
    Permission.MANAGE_STAFF: frozenset({Role.ADMIN}),
}


def permissions_of(role: Role) -> list[Permission]:
    """What ``role`` may do, in the table's order."""
    return [permission for permission, roles in ALLOWED.items() if role in roles]
