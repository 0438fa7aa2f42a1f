"""What customers can come for, and what they agree to: data, read once from two TOML files."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from video_bank.errors import NotFound

HERE = Path(__file__).parent
FACE_CHECKS = frozenset({"face_match", "liveness"})
"Checks that process a face and therefore need the customer's separate consent."


@dataclass(frozen=True)
class Business:
    """One thing a customer can come for."""

    id: str
    name: Mapping[str, str]
    "The name by language: zh, en."
    minutes: int
    "How long a call usually takes."
    need: tuple[str, ...]
    "What to have ready; pages translate `need.<code>`."
    checks: tuple[str, ...]
    "Names of the checks, in order; all must pass for an approval."


@dataclass(frozen=True)
class Consents:
    """The wording of both consents."""

    version: str
    recording: Mapping[str, str]
    face: Mapping[str, str]

    def text_hash(self, subject: str, language: str) -> str:
        """SHA-256 of what was shown, kept beside the answer."""
        text = {"recording": self.recording, "face": self.face}[subject][language]
        return hashlib.sha256(text.encode()).hexdigest()


class Businesses:
    """The catalogue, by id."""

    def __init__(self, path: Path = HERE / "businesses.toml") -> None:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        self._all = {
            key: Business(
                key, each["name"], each["minutes"], tuple(each["need"]), tuple(each["checks"])
            )
            for key, each in raw.items()
        }
        for each in self._all.values():
            if not each.checks:
                # An approval after no check at all would say "verified" of a stranger.
                raise ValueError(f"{path.name}: business {each.id} has no checks")

    def __iter__(self) -> Iterator[Business]:
        return iter(self._all.values())

    def __getitem__(self, business: str) -> Business:
        try:
            return self._all[business]
        except KeyError:
            raise NotFound("unknown_business") from None

    def __contains__(self, business: object) -> bool:
        return business in self._all


def load_consents(path: Path = HERE / "consents.toml") -> Consents:
    """The consents as they are worded now."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return Consents(raw["version"], raw["recording"], raw["face"])
