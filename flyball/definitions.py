"""Jobs defined in Python: `@flyball.job(name="nightly", schedule="0 6 * * *")` on a function, with the keys of flyball.toml.

`flyball apply jobs.py` imports the file and collects them; anywhere else the decorator changes nothing.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from flyball.errors import InputError

_P = ParamSpec("_P")
_R = TypeVar("_R")

_MARK = "__flyball_jobs__"


def job(name: str | None = None, /, **keys: Any) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A decorator that makes the function a job and leaves it as it is. Its name is the function's unless given.

    Keys are those of a [[job]] table; lengths of time may be timedeltas. They are checked when the file is applied.
    """

    def mark(function: Callable[_P, _R]) -> Callable[_P, _R]:
        own_name = getattr(function, "__name__", "")
        code = getattr(function, "__code__", None)
        table = {"name": name or own_name.replace("_", "-"), **keys}
        if code is not None:
            table["line"] = code.co_firstlineno
        setattr(function, _MARK, (*getattr(function, _MARK, ()), table))
        return function

    return mark


def collect(path: Path) -> list[dict[str, Any]]:
    """The tables of all jobs that the file defines, in its order, each with its "line".

    Raises: InputError when it cannot be imported: with the file's own error, and its line.
    """
    module = _imported(path)
    tables: dict[int, dict[str, Any]] = {}
    for variable, value in vars(module).items():
        for table in getattr(value, _MARK, ()) if callable(value) else ():
            tables.setdefault(id(table), _with_target(table, value, variable, module))
    return sorted(tables.values(), key=lambda table: table.get("line", 0))


def _with_target(table: dict[str, Any], function: Any, variable: str, module: ModuleType) -> dict[str, Any]:
    """With what it runs: the function by the name it has in its file, or in the file that it was imported from."""
    if "command" in table or "python" in table:
        return dict(table)
    file = Path(module.__file__ or "").absolute()
    if getattr(function, "__module__", None) == module.__name__:
        name = getattr(function, "__name__", "")
        name = name if vars(module).get(name) is function else variable
        target = f"{file if 'workdir' in table else file.stem}:{name}"
    else:
        home = sys.modules[function.__module__].__file__
        target = f"{home}:{function.__name__}"
    return {"workdir": str(file.parent), **table, "python": target}


def _imported(path: Path) -> ModuleType:
    path = path.absolute()
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path} is not a Python file", hint="flyball apply jobs.py")
    module = importlib.util.module_from_spec(spec)
    before, had = list(sys.path), sys.modules.get(name)
    sys.path.insert(0, str(path.parent))  # as `python jobs.py` would: its neighbours can be imported
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{_where(error, path)} cannot be imported", why=_said(error)) from error
    except SystemExit as error:
        raise InputError(f"{path} ends when it is imported", why=f"sys.exit({error.code})") from error
    finally:
        sys.path[:] = before
        sys.modules.pop(name, None)
        if had is not None:
            sys.modules[name] = had
    return module


def _where(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return str(path) if line is None else f"{path}:{line}"


def _said(error: Exception) -> str:
    words = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
