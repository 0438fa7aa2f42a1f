import ast
from pathlib import Path

import pytest

from video_bank import errors
from video_bank.errors import MESSAGES, TooMany, UserError

REFUSALS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, UserError)
}


def codes_in(path: Path) -> set[str]:
    """The codes that refusals in this file are made with."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in REFUSALS:
                values = [*node.args, *(word.value for word in node.keywords if word.arg == "code")]
                found |= {
                    value.value
                    for value in values
                    if isinstance(value, ast.Constant) and isinstance(value.value, str)
                }
    return found


def test_every_refusal_says_something_in_both_languages(root: Path) -> None:
    """A code that is raised is in MESSAGES."""
    raised = set().union(*(codes_in(path) for path in (root / "video_bank").rglob("*.py")))
    assert sorted(raised - MESSAGES.keys()) == []
    assert len(raised) > 20


@pytest.mark.parametrize("code", MESSAGES)
def test_each_language_is_the_language(code: str) -> None:
    zh, en = MESSAGES[code]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in zh) and zh.endswith("。")
    assert en.isascii() and en.endswith(".")


def test_details_never_replace_the_code() -> None:
    reply = UserError("csrf", field="x", message_en="?").reply()["error"]
    assert (reply["code"], reply["field"]) == ("csrf", "x")
    assert reply["message_en"] == MESSAGES["csrf"][1]


def test_a_limit_says_when_to_come_back() -> None:
    assert TooMany(7).status == 429
    assert TooMany(7).reply()["error"]["retry_after_s"] == 7
