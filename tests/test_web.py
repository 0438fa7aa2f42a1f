"""Templates and words of the pages agree, and the check that says so notices when they do not."""

import json
from pathlib import Path

import pytest

from scripts.check_web import WEB, locale_problems, template_problems, unknown_words


def test_templates_compile() -> None:
    assert list(template_problems(WEB)) == []


def test_locales_agree() -> None:
    assert list(locale_problems(WEB)) == []


def test_every_word_used_is_there() -> None:
    assert list(unknown_words(WEB)) == []


@pytest.fixture
def web(tmp_path: Path) -> Path:
    for name in ("templates", "locales", "static"):
        (tmp_path / name).mkdir()
    words = {"zh": {"a.one": "一 {n}", "a.two": "二"}, "en": {"a.one": "one", "a.three": "three"}}
    for language, content in words.items():
        path = tmp_path / "locales" / f"a.{language}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "locales" / "b.zh.json").write_text("{}")
    (tmp_path / "templates" / "broken.html").write_text("{% if %}")
    (tmp_path / "static" / "page.js").write_text('t("a.two")\nt("a.four")\n')
    return tmp_path


def test_what_is_wrong_is_found(web: Path) -> None:
    assert len(list(template_problems(web))) == 1
    problems = "\n".join(locale_problems(web))
    for said in ("a.en.json lacks a.two", "a.zh.json lacks a.three", "b.en.json is missing",
                 "a.one takes different arguments"):  # fmt: skip
        assert said in problems
    assert list(unknown_words(web)) == ["static/page.js:2: no word a.four"]
