"""The floors of the house: imports run downwards only, never in a circle, and need little.

Read from the source with `ast`, so nothing is imported and an import inside a function counts too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What each part of minift may import of minift, besides its own files.
GROUND = {"stages", "optim", "tokenizers", "data", "training"}
MIDDLE = {"models", "objectives", "transfer"}
MAY_IMPORT: dict[str, set[str]] = {
    **{part: set() for part in GROUND},
    "shipped": {"training"},  # what comes with the package, as files
    "models": {"stages", "shipped"},  # `create_model(pretrained=True)`
    "objectives": set(),
    "transfer": {"stages"},
    "interop": {"models", *GROUND},
    "checkpoint": {"interop", "models", "shipped", "stages", "tokenizers", "training"},
    "recipes": {"checkpoint", "interop", "shipped", *MIDDLE, *GROUND},
    "studies": {"recipes", "checkpoint", "interop", *MIDDLE, *GROUND},
    "": {"checkpoint", *MIDDLE, *GROUND},  # minift itself: names what is public, runs nothing
}
CORE = {"torch", "numpy", "tqdm", "minift", *sys.stdlib_module_names}


def module_name(path: Path) -> str:
    """minift/models/bert.py -> minift.models.bert; a package has the name of its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted((ROOT / "minift").rglob("*.py"))}


def imported(tree: ast.AST, name: str, is_package: bool = False) -> Iterator[str]:
    """Every module that the source of `name` imports, as an absolute dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".")[: None if is_package else -1]
                package = package[: len(package) - (node.level - 1)]
                base = ".".join([*package, *filter(None, [base])])
            for alias in node.names:  # `from minift import stages` imports a module
                full = f"{base}.{alias.name}"
                yield full if full in FILES else base


def at_import_time(tree: ast.Module) -> ast.Module:
    """The same source without the bodies of functions, which run later."""

    class DropFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

    return DropFunctions().visit(tree)


def part_of(name: str) -> str:
    """minift.models.bert -> models; minift itself is ''."""
    return ".".join(name.split(".")[1:2])


def upward(name: str, imports: Iterator[str]) -> list[str]:
    """The imports that a module of minift must not make."""
    part = part_of(name)
    allowed = MAY_IMPORT[part] | {part}
    ours = (other for other in imports if other.split(".")[0] == "minift")
    return [other for other in ours if part_of(other) not in allowed]


def parse(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def imports_of(name: str) -> Iterator[str]:
    return imported(parse(name), name, is_package=FILES[name].name == "__init__.py")


def test_every_part_has_a_floor():
    parts = {part_of(name) for name in FILES}
    assert parts <= set(MAY_IMPORT), "give the new part its row in MAY_IMPORT"


@pytest.mark.parametrize("name", FILES)
def test_imports_run_downwards_only(name):
    assert upward(name, imports_of(name)) == []


@pytest.mark.parametrize("name", FILES)
def test_core_needs_only_torch_numpy_and_tqdm(name):
    needed = {other.split(".")[0] for other in imported(at_import_time(parse(name)), name)}
    assert needed <= CORE


def test_no_import_runs_in_a_circle():
    open_edges = {name: {o for o in imports_of(name) if o in FILES} - {name} for name in FILES}
    while leaves := {name for name, others in open_edges.items() if not others}:
        open_edges = {n: others - leaves for n, others in open_edges.items() if n not in leaves}
    assert open_edges == {}, "these modules import each other, or something that does"


@pytest.mark.parametrize(
    "source",
    [
        "from minift.recipes.finetuning import finetune",
        "import minift.objectives.masking",
        "def late():\n    from minift import transfer",
        "from ..recipes import finetuning",
        "import minift",
    ],
)
def test_an_upward_or_sideways_import_is_seen(source):
    name = "minift.models.bert"
    assert len(upward(name, imported(ast.parse(source), name))) == 1


def test_an_extra_may_be_imported_inside_a_function_only():
    inside = ast.parse("def draw():\n    import matplotlib")
    outside = ast.parse("try:\n    import matplotlib\nexcept ImportError:\n    pass")
    assert list(imported(at_import_time(inside), "x")) == []
    assert list(imported(at_import_time(outside), "x")) == ["matplotlib"]
