"""The TURN secret is read before anything is opened, and what is wrong with it is said."""

from pathlib import Path

import pytest

from video_bank.app import RELAYS, make_app
from video_bank.config import Config
from video_bank.errors import OperatorError

URLS = ("turn:turn.example:3478?transport=udp",)


def test_the_secret_is_the_files_content_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "turn"
    file.write_text("0123456789abcdef0123\n")
    app = make_app(Config(data=tmp_path, turn_urls=URLS, turn_secret_file=file, ice_policy="relay"))
    relays = app[RELAYS]
    assert (relays.urls, relays.secret, relays.policy) == (URLS, b"0123456789abcdef0123", "relay")
    assert make_app(Config(data=tmp_path))[RELAYS].servers("anybody") == []


@pytest.mark.parametrize("content", [None, "", "too short\n"])
def test_a_useless_secret_ends_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "turn"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OperatorError, match="turn_secret_file"):
        make_app(Config(data=tmp_path, turn_urls=URLS, turn_secret_file=file))
