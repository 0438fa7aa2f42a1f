"""What ``--demo`` adds: accounts whose passwords are printed, made anew at each start.

They exist under ``--demo`` only, which is refused on a public address; a start without it
disables those an earlier demo has left in the database.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from video_bank.accounts import Accounts
from video_bank.config import Config
from video_bank.permissions import Role

PREFIX = "demo-"
PEOPLE = (
    ("teller", Role.TELLER, "演示柜员"),
    ("teller-2", Role.TELLER, "演示柜员二"),
    ("loan-officer", Role.LOAN_OFFICER, "演示信贷经理"),
    ("expert", Role.EXPERT, "演示专家"),
    ("supervisor", Role.SUPERVISOR, "演示主管"),
    ("reviewer", Role.REVIEWER, "演示审核员"),
    ("admin", Role.ADMIN, "演示管理员"),
)


@dataclass(frozen=True)
class Person:
    """One demo account of this run."""

    name: str
    password: str
    role: Role


async def people(accounts: Accounts, *, wanted: bool) -> list[Person]:
    """Make the demo accounts with new passwords, or disable all there are."""
    if not wanted:
        await accounts.staff.disable_demo(PREFIX)
        return []
    made = []
    for name, role, display in PEOPLE:
        password = await accounts.staff.unsafe_demo(PREFIX + name, display, role)
        made.append(Person(PREFIX + name, password, role))
    return made


def announce(config: Config, made: list[Person]) -> None:
    """Print where to go, as whom, and how to let the robots try it."""
    url = config.public_url
    print(f"""
  a demo bank: everybody who reaches this address can sign in as anybody below
  customers    {url}/
  staff        {url}/staff/sign-in
  accounts made for this run:""")
    for person in made:
        print(f"    {person.role:<13} {person.name:<18} {person.password}")
    teller = made[0]
    # The robots' face and card are the operator's to give: none are shipped.
    print(
        f"probe: {_python()} -m video_bank.probe --server {url} --teller {teller.name}"
        f" --password {teller.password} --customer-video FILE --id-front IMG --id-back IMG --json",
        flush=True,
    )


def _python() -> str:
    """The interpreter that runs this, as short as it can be typed here."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
