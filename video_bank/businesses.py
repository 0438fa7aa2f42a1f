"""What customers can come for, and what they agree to: data, read once from two TOML files."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from video_bank.errors import NotFound, OperatorError
from video_bank.policies import Policy, load

HERE = Path(__file__).parent
POLICIES = HERE / "policies.toml"


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
    policy: Policy
    "Which checks, how strict, and what an approval takes."


@dataclass(frozen=True)
class Consents:
    """The wording of the three consents."""

    version: str
    recording: Mapping[str, str]
    face: Mapping[str, str]
    face_kept: Mapping[str, str]
    "To keep the described face for the next visit: on its own, and refusable without any loss."

    def wordings(self) -> dict[str, Mapping[str, str]]:
        """Each subject's text by language."""
        return {"recording": self.recording, "face": self.face, "face_kept": self.face_kept}

    def text_hash(self, subject: str, language: str) -> str:
        """SHA-256 of what was shown, kept beside the answer."""
        text = self.wordings()[subject][language]
        return hashlib.sha256(text.encode()).hexdigest()


class Businesses:
    """The catalogue, by id."""

    def __init__(
        self,
        path: Path = HERE / "businesses.toml",
        policies: Path = POLICIES,
    ) -> None:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        judged_by = load(policies)
        if without := raw.keys() - judged_by.keys():
            raise OperatorError(f"{policies.name}: no policy for {', '.join(sorted(without))}")
        self._all = {
            key: Business(key, each["name"], each["minutes"], tuple(each["need"]), judged_by[key])
            for key, each in raw.items()
        }

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
    return Consents(raw["version"], raw["recording"], raw["face"], raw["face_kept"])
