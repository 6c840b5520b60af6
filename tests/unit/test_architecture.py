"""The rules that keep the code simple, checked on every commit."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "flyball"
ANYTHING = frozenset(
    {
        "model",
        "policy",
        "ports",
        "meter",
        "engine",
        "sim",
        "adapters",
        "client",
        "governed",
        "definitions",
        "web",
        "app",
        "api",
    }
)
MAY_IMPORT = {  # package -> flyball packages it may import; itself and errors always
    "model": frozenset(),
    "policy": frozenset({"model"}),
    "ports": frozenset({"model"}),
    "meter": frozenset(),
    "adapters": frozenset({"model", "policy", "ports", "meter"}),
    "engine": frozenset({"model", "policy", "ports", "meter"}),
    "sim": frozenset({"model", "policy", "ports", "engine"}),
    "client": frozenset({"model", "policy", "ports", "meter", "engine"}),
    "governed": frozenset({"model", "policy", "ports"}),
    "web": frozenset({"model", "policy"}),
    "definitions": frozenset(),
    "call": frozenset(),
    "outputs": frozenset(),
    "app": ANYTHING - {"adapters", "api"},
    "api": ANYTHING - {"adapters"},
}
EXEMPT = {  # the two places where adapters are chosen
    "app/wiring.py": ANYTHING,
    "app/governor_wiring.py": ANYTHING,
}
IMPURE = {
    "os",
    "time",
    "socket",
    "subprocess",
    "threading",
    "logging",
    "uuid",
    "asyncio",
    "pathlib",
    "sqlite3",
    "polars",
    "obstore",
}
PURE_LAYERS = {"model", "policy"}
LINES_MAX, FUNCTION_LINES_MAX = 400, 50
FILES = sorted(ROOT.rglob("*.py"))


def imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def each_file(test):
    return pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))(test)


@each_file
def test_imports_point_one_way(path):
    layer = layer_of(path)
    allowed = EXEMPT.get(path.relative_to(ROOT).as_posix(), MAY_IMPORT.get(layer, ANYTHING)) | {
        layer,
        "errors",
    }
    for name in imported_names(ast.parse(path.read_text())):
        if name.startswith("flyball."):
            assert name.split(".")[1] in allowed - ({"errors"} if layer == "meter" else set()), name
        elif layer in PURE_LAYERS:
            assert name.split(".")[0] not in IMPURE, name


@each_file
def test_the_wrapper_imports_nothing_but_the_standard_library(path):
    optional = {"pynvml", "psutil"}  # used when they are there
    if layer_of(path) == "meter":
        for name in imported_names(ast.parse(path.read_text())):
            assert name.split(".")[0] in sys.stdlib_module_names | optional | {"flyball"}, name


@each_file
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name


@each_file
def test_decisions_do_not_look_at_the_clock_or_roll_their_own_dice(path):
    if layer_of(path) not in PURE_LAYERS:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today"}, "pass `now` in"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert not (node.func.attr in {"default_rng", "seed"} and not node.args), "pass `rng` in"


def test_no_file_is_named_for_what_it_is():
    assert not [p for p in FILES if p.stem in {"utils", "helpers", "common", "base", "manager", "misc"}]
