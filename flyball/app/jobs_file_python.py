"""Whether a `module:function` can be found, and which fills it takes, without running a line of it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import msgspec

from flyball.policy.schedule_run import OBJECT_FILLS, TIME_FILLS

FILLS = (*TIME_FILLS, *OBJECT_FILLS)


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    fills: tuple[str, ...] = ()  # parameters of it that are called like fills
    doubt: str = ""  # why it may not be there


def look_at(target: str, folder: Path) -> Looked:
    """`target`: "module:function" or "path.py:function", as a run in that folder would find it."""
    module, _, name = target.rpartition(":")
    file = _file_of(module, folder)
    if file is None:
        return Looked(doubt=f"there is no module {module!r} in {folder} or installed here")
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        return Looked(doubt=f"{file} cannot be read: {error}")
    found, may_be = _defined(tree.body, name)
    if found is None:
        return Looked() if may_be else Looked(doubt=f"{file} defines no {name!r}")
    arguments = [arg.arg for arg in (*found.args.posonlyargs, *found.args.args, *found.args.kwonlyargs)]
    return Looked(fills=tuple(fill for fill in FILLS if fill in arguments))


def _file_of(module: str, folder: Path) -> Path | None:
    if module.endswith(".py"):
        file = folder / module
        return file if file.is_file() else None
    parts = module.split(".")
    for place in (folder, *(Path(entry) for entry in sys.path if entry)):
        for file in (place.joinpath(*parts).with_suffix(".py"), place.joinpath(*parts, "__init__.py")):
            if file.is_file():
                return file
    return None


def _defined(body: list[ast.stmt], name: str) -> tuple[ast.FunctionDef | None, bool]:
    """(its definition, whether it may come from elsewhere: an import, an assignment, a block)."""
    may_be = False
    for statement in body:
        match statement:
            case ast.FunctionDef(name=defined) if defined == name:
                return statement, True
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                may_be |= any((alias.asname or alias.name) in {name, "*"} for alias in aliases)
            case ast.Assign(targets=targets):
                may_be |= any(isinstance(one, ast.Name) and one.id == name for one in targets)
            case ast.If() | ast.Try() | ast.With() | ast.For():
                may_be = True
            case ast.ClassDef(name=defined) | ast.AsyncFunctionDef(name=defined):
                may_be |= defined == name
    return None, may_be
