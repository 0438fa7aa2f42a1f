"""What the documents say can be done can be done: links lead somewhere, commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
MODULE = re.compile(r"python -m ([a-z_.]+)(?: ([a-z][a-z-]*))?")


def text() -> str:
    return "\n".join(path.read_text("utf-8") for path in DOCUMENTS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    # "make room", "make the …" are English; a command stands in code.
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text(), re.DOTALL))
    named = set(re.findall(r"^`?make ([a-z]+)", code, re.MULTILINE))
    assert named and named <= targets


def test_commands_explain_themselves() -> None:
    named = sorted(set(MODULE.findall(text())))
    assert ("recordings", "verify") in named
    for module, verb in named:
        if module in ("kyc.worker", "video_bank.config"):
            continue  # a process of the server, a document's maker
        command = [sys.executable, "-m", module, *([verb] if verb else []), "--help"]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 0, f"{' '.join(command)}\n{answer.stderr}"
        assert "usage" in answer.stdout


@pytest.mark.parametrize("command", ["run_server.py", "-m video_bank.probe"])
def test_options_named_are_there(command: str) -> None:
    """Options the documents give with a command are in its help."""
    answer = subprocess.run(
        [sys.executable, *command.split(), "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    calls = re.findall(rf"{re.escape(command)}((?:[^\n`]|\\\n)*)", text())
    named = {option for call in calls for option in re.findall(r"(--[a-z][a-z-]*)", call)}
    assert named and {option for option in named if option not in answer.stdout} == set()
