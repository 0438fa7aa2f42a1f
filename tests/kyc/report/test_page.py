"""The report's page: sections made anew alone, tables, drawn curves."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from kyc.report import page
from kyc.report.section import Curve, Section, Table


def section(title: str, curves: int = 0) -> Section:
    curve = Curve("Misses", "FMR", "FNMR", [(1e-4, 0.2), (1e-3, 0.1), (1.0, 0.0)], logarithmic=True)
    return Section(
        title=title,
        data="ten pictures",
        tables=[Table(["a", "b|c"], [["1", "2"]])],
        notes=["a note"],
        curves=[curve] * curves,
        untested=["the rest"],
    )


def test_one_section_made_anew_leaves_the_others(tmp_path: Path) -> None:
    out = tmp_path / "reports" / "biometrics.md"
    order = ("cards", "faces")
    page.write(out, {"faces": section("Faces", curves=2)}, order, "# head\n")
    assert "not measured yet:** cards." in out.read_text("utf-8")
    page.write(out, {"cards": section("Cards")}, order, "# head\n")
    text = out.read_text("utf-8")
    assert "not measured yet" not in text
    assert text.index("## Cards") < text.index("## Faces")
    assert "![Misses: FNMR over FMR](biometrics-faces-2.svg)" in text
    assert "| a | b\\|c |" in text and "* the rest" in text
    page.write(out, {"faces": section("Faces anew", curves=1)}, order, "# head\n")
    text = out.read_text("utf-8")
    assert "## Cards" in text and "## Faces anew" in text and text.count("## ") == 2
    assert [each.name for each in out.parent.glob("*.svg")] == ["biometrics-faces-1.svg"]


def test_curves_are_drawn_where_they_have_logarithms() -> None:
    root = ElementTree.fromstring(page.drawn(section("x", curves=1).curves[0]))
    (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(line.attrib["points"].split()) == 2
    assert "0.001" in "".join(root.itertext())


def test_a_curve_of_nothing_is_an_empty_frame() -> None:
    assert "<svg" in page.drawn(Curve("none", "x & y", "z", []))
