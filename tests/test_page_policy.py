"""What the content security policy would refuse is not in the pages: they would be dead."""

import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[1] / "web"


@pytest.mark.parametrize("path", sorted(WEB.glob("templates/*.html")), ids=lambda path: path.name)
def test_templates_hold_no_inline_script_or_style(path: Path) -> None:
    html = path.read_text(encoding="utf-8")
    for tag in re.findall(r"<script\b[^>]*>", html):
        assert "src=" in tag or 'type="application/json"' in tag, tag
    assert not re.search(r"<style\b|\sstyle=|\son\w+=", html)


def test_modules_never_make_markup_from_text() -> None:
    sink = re.compile(r"\.(inner|outer)HTML\b|insertAdjacentHTML|document\.write")
    modules = list(WEB.glob("static/**/*.js"))
    assert modules
    assert [path for path in modules if sink.search(path.read_text(encoding="utf-8"))] == []
