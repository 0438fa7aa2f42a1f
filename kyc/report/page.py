"""The report as a page: Markdown with drawn curves, each section in its own place.

A section stands between two comments that name it, so that one can be made anew and the others
stay as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from kyc.models import Model
from kyc.report.section import Curve, Section, Table

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 20, 40, 56


def write(page: Path, made: Mapping[str, Section], order: Sequence[str], head: str) -> None:
    """Write the sections made into ``page``, keep its others, in this order; draw the curves."""
    page.parent.mkdir(parents=True, exist_ok=True)
    texts = _kept(page)
    for name, section in made.items():
        for old in page.parent.glob(f"{page.stem}-{name}-*.svg"):
            old.unlink()
        pictures = []
        for number, curve in enumerate(section.curves, 1):
            picture = page.parent / f"{page.stem}-{name}-{number}.svg"
            picture.write_text(drawn(curve), "utf-8")
            pictures.append(picture.name)
        texts[name] = markdown(section, pictures)
    parts = [f"<!-- {n} -->\n{texts[n]}\n<!-- /{n} -->\n" for n in order if n in texts]
    absent = [name for name in order if name not in texts]
    if absent:
        head += f"\n**Not in this edition, because not measured yet:** {', '.join(absent)}.\n"
    page.write_text("\n".join([head, *parts]), "utf-8")


def _kept(page: Path) -> dict[str, str]:
    if not page.is_file():
        return {}
    found = re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", page.read_text("utf-8"), re.S)
    return dict(found)


def head(command: str, models: Iterable[Model]) -> str:
    """The beginning of the page: what this is, how it is made, with which models."""
    rows = [(m.name, m.origin, m.licence, f"`{m.sha256[:16]}…`") for m in models]
    table = Table(("model", "origin", "licence", "SHA-256"), rows)
    return f"""# How often the identity checks err

Generated, not written: `{command}` measures everything below anew and writes this page; `--only`
makes one section. A rate is given as count of tries, share, and its two-sided 95 % interval
(Wilson) unless said otherwise. FMR, FNMR, TAR, FAR: ISO/IEC 19795-1; APCER, BPCER: ISO/IEC 30107-3.
None of the data is part of the product.

{_table(table)}
"""


def markdown(section: Section, pictures: Sequence[str]) -> str:
    """One section, its pictures by their files' names."""
    parts = [f"## {section.title}", section.data]
    parts += [_table(table) for table in section.tables]
    for curve, picture in zip(section.curves, pictures, strict=True):
        parts.append(f"![{curve.title}: {curve.y} over {curve.x}]({picture})")
    if section.notes:
        parts.append("\n".join(f"* {note}" for note in section.notes))
    if section.untested:
        parts.append("**Not tested.**")
        parts.append("\n".join(f"* {each}" for each in section.untested))
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    lines = [table.heads, ["---"] * len(table.heads), *table.rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def drawn(curve: Curve) -> str:
    """The curve as SVG; points that have no logarithm are left out of logarithmic ones."""
    points = [(float(x), float(y)) for x, y in curve.points if math.isfinite(x + y)]
    if curve.logarithmic:
        points = [(math.log10(x), math.log10(y)) for x, y in points if x > 0 and y > 0]
    across = _Axis([x for x, _ in points], curve.logarithmic, _LEFT, _WIDTH - _RIGHT)
    up = _Axis([y for _, y in points], curve.logarithmic, _HEIGHT - _BOTTOM, _TOP)
    lines = []
    for value, label in across.ticks():
        x = across.place(value)
        lines.append(_line(x, _TOP, x, _HEIGHT - _BOTTOM))
        lines.append(_text(x, _HEIGHT - _BOTTOM + 18, label))
    for value, label in up.ticks():
        y = up.place(value)
        lines.append(_line(_LEFT, y, _WIDTH - _RIGHT, y))
        lines.append(_text(_LEFT - 8, y + 4, label, "end"))
    path = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in points)
    turn = f'transform="rotate(-90 18 {_HEIGHT / 2:.0f})"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            'font-family="sans-serif" font-size="13" fill="#222">',
            f"<title>{escape(curve.title)}</title>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            _text(_WIDTH / 2, 24, curve.title, extra='font-size="15" font-weight="bold"'),
            *lines,
            f'<polyline fill="none" stroke="#0b5cad" stroke-width="2" points="{path}"/>',
            _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, curve.x),
            _text(18, _HEIGHT / 2, curve.y, extra=turn),
            "</svg>\n",
        ]
    )


class _Axis:
    """Where values lie between two places of the picture."""

    def __init__(
        self, values: Sequence[float], logarithmic: bool, start: float, end: float
    ) -> None:
        self._logarithmic = logarithmic
        self._start, self._end = start, end
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if logarithmic:
            low, high = math.floor(low + 1e-9), math.ceil(high - 1e-9)
        self._low, self._high = low, high if high > low else low + 1

    def place(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[tuple[float, str]]:
        if self._logarithmic:
            return [(n, f"{10.0**n:g}") for n in range(int(self._low), int(self._high) + 1)]
        step = 10 ** math.floor(math.log10(self._high - self._low))
        while (self._high - self._low) / step < 4:
            step /= 2
        first = math.ceil(self._low / step - 1e-9)
        last = math.floor(self._high / step + 1e-9)
        return [(n * step, f"{n * step:.4g}") for n in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", extra: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>'
