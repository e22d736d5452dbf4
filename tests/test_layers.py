"""The design's direction of dependencies: a package imports only from its left, lazily or not."""

import ast
from functools import cache
from pathlib import Path

import pretune

ROOT = Path(pretune.__file__).parent

LAYERS = (
    "core",
    "spec",
    "data",
    "bases",
    "adapters",
    "engine",
    "training",
    "evaluation",
    "planning",
    "search",
    "gating",
    "registry",
    "serving",
    "monitoring",
    "bench",
    "ui",
    "api",
    "cli",
)

TORCH_FREE = ("core", "spec")


LATE = {"sklearn", "scipy", "pandas", "datasets", "peft", "optuna", "opacus"}
"""Libraries that few commands need; scikit-learn was a tenth of every process's start."""


@cache
def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= named_in(node)
    return found


def named_in(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    assert node.level == 0, f"relative import from {node.module}"
    return {f"{node.module}.{alias.name}" for alias in node.names}


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_every_package_has_a_layer():
    packages = {path.name for path in ROOT.iterdir() if any(path.rglob("*.py"))}
    assert packages <= set(LAYERS)


def test_packages_import_only_from_their_left():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for place, package in enumerate(LAYERS)
        for path in files_of(package)
        for name in imports_of(path)
        if name.startswith("pretune.") and name.split(".")[1] in LAYERS[place + 1 :]
    ]
    assert not wrong


def test_core_and_spec_are_free_of_torch():
    heavy = ("torch", "transformers", "accelerate", "datasets")
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package in TORCH_FREE
        for path in files_of(package)
        for name in imports_of(path)
        if name.split(".")[0] in heavy
    ]
    assert not wrong


def test_libraries_that_few_need_are_imported_where_they_are_used():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in ROOT.rglob("*.py")
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for name in named_in(statement)
        if name.split(".")[0] in LATE
    ]
    assert not wrong


def test_the_walk_sees_lazy_imports(tmp_path):
    lazy = tmp_path / "lazy.py"
    lazy.write_text("def f():\n    from pretune.cli import main\n    return main\n")
    assert imports_of(lazy) == {"pretune.cli.main"}
