"""`python -m flyball.call module:function --day 2026-11-21`: calls the function with what the flags say, as a job of its
own. What it returns is not looked at; an exception ends the job as failed, with its traceback in the log."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any

EXIT_INPUT = 2

_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


class CannotCall(Exception):
    """What was asked for does not fit the function."""


def _bool(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError("neither true nor false")
    return text.lower() in _TRUE


_READERS: dict[Any, Callable[[str], Any]] = {
    bool: _bool,
    int: int,
    float: float,
    Decimal: Decimal,
    Path: Path,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
}


def main(arguments: Sequence[str]) -> int:
    """Exit code. Raises: whatever the function raises."""
    try:
        function = find(arguments[0] if arguments else "")
        values = values_for(function, flags(arguments[1:]))
    except CannotCall as error:
        sys.stderr.write(f"flyball.call: {error}\n")
        return EXIT_INPUT
    function(**values)
    return 0


def find(target: str) -> Callable[..., Any]:
    """The function named "module:function" or "path.py:function". Raises: CannotCall, and what importing it raises."""
    module_name, colon, name = target.rpartition(":")
    if not colon or not module_name or not name:
        raise CannotCall(
            f"{target!r} is not module:function\n  try: python -m flyball.call module:function --key value"
        )
    if module_name.endswith(".py"):
        module = _from_file(Path(module_name))
    else:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise  # something that the module itself imports
            raise CannotCall(f"there is no module {module_name!r} in {Path.cwd()} or installed") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise CannotCall(f"{module_name} defines no function {name!r}")
    return typing.cast("Callable[..., Any]", function)


def flags(arguments: Sequence[str]) -> dict[str, str]:
    """{"day": "2026-11-21"} of --day 2026-11-21 or --day=2026-11-21. Raises: CannotCall."""
    found: dict[str, str] = {}
    left = list(arguments)
    while left:
        flag, equals, value = left.pop(0).partition("=")
        if not flag.startswith("--") or len(flag) == 2:
            raise CannotCall(f"{flag!r} is not a --key")
        if not equals:
            if not left:
                raise CannotCall(f"{flag} has no value")
            value = left.pop(0)
        found[flag[2:].replace("-", "_")] = value
    return found


def values_for(function: Callable[..., Any], given: dict[str, str]) -> dict[str, Any]:
    """The values as the function's annotations want them. A {day} that nothing was filled in for counts as not given.

    Raises: CannotCall."""
    parameters = inspect.signature(function).parameters
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    given = {key: value for key, value in given.items() if value != f"{{{key}}}"}
    for key in given:
        if key not in parameters and not takes_any:
            raise CannotCall(
                f"{function.__name__}() has no parameter {key!r}; it has {', '.join(parameters) or 'none'}"
            )
    for one in parameters.values():
        open_ended = one.kind in {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
        if one.default is inspect.Parameter.empty and one.name not in given and not open_ended:
            raise CannotCall(f"{function.__name__}() needs --{one.name}")
    hints = _hints(function)
    return {key: _read(key, value, hints.get(key, str)) for key, value in given.items()}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names that only type checkers can see
        return {}


def _read(key: str, text: str, wanted: Any) -> Any:
    if typing.get_origin(wanted) in {typing.Union, UnionType}:  # int | None
        kinds = [kind for kind in typing.get_args(wanted) if kind is not type(None)]
        wanted = kinds[0] if len(kinds) == 1 else str
    try:
        return _READERS.get(wanted, str)(text)
    except (ValueError, ArithmeticError) as error:
        raise CannotCall(f"--{key} {text!r} is not {getattr(wanted, '__name__', wanted)}: {error}") from None


def _from_file(path: Path) -> ModuleType:
    path = path.absolute()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise CannotCall(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
