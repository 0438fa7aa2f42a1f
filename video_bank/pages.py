"""Templates and words of the HTML pages."""

import json
from pathlib import Path
from typing import Any

import jinja2

WEB = Path(__file__).parents[1] / "web"
LANGUAGES = ("zh", "en")


class Pages:
    """Templates and words, read once."""

    def __init__(self, directory: Path = WEB) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        self._words = {lang: _words(directory / "locales", lang) for lang in LANGUAGES}

    def words(self, lang: str, *areas: str) -> dict[str, str]:
        """The words of these areas; a later one's wins."""
        return {key: said for area in areas for key, said in self._words[lang][area].items()}

    def render(self, template: str, lang: str, areas: str, **context: Any) -> str:
        """The page in ``lang``, with the words of ``common`` and of its own areas, by spaces."""
        words = dict(self._words[lang]["common"])
        for area in areas.split():
            words |= self._words[lang].get(area, {})

        def t(key: str, **args: object) -> str:
            return words[key].format(**args)

        page = self._templates.get_template(template)
        return page.render(lang=lang, t=t, strings=words, **context)


def _words(directory: Path, lang: str) -> dict[str, dict[str, str]]:
    return {
        path.name.removesuffix(f".{lang}.json"): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob(f"*.{lang}.json"))
    }
