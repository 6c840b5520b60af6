"""What `flyball run` was told, turned into a Request. Everything that can be wrong is found before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from flyball.engine.one_run import MemoryAsk
from flyball.errors import InputError
from flyball.model.units import parse_bytes, parse_cores

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def memory_ask(text: str | None) -> MemoryAsk:
    """Of "2GiB" (a limit), "512MiB..8GiB" (start there, bigger after running out), "auto" or "auto..8GiB". Raises: InputError."""
    if text is None:
        return MemoryAsk()
    first, dots, last = text.partition("..")
    ceiling_bytes = parse_bytes(last) if dots else None
    if first.strip() == "auto":
        return MemoryAsk(planned=True, ceiling_bytes=ceiling_bytes)
    first_bytes = parse_bytes(first)
    if ceiling_bytes is not None and ceiling_bytes < first_bytes:
        raise InputError(
            f"--memory {text} is upside down", why="the first figure is the larger", hint=f"{last}..{first}"
        )
    return MemoryAsk(first_bytes=first_bytes, ceiling_bytes=ceiling_bytes)


def cpus_ask(text: str | None) -> tuple[float | None, bool]:
    """(cores, planned) of "1.5", "500m" or "auto". Raises: InputError."""
    if text == "auto":
        return None, True
    return (None if text is None else parse_cores(text)), False


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """{"k": "v"} of ("k=v", ...). Raises: InputError."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{option} {text!r} is not KEY=VALUE", hint=f"{option} {key or 'customer'}=acme")
        found[key.strip()] = value
    return found


def numbers_and_words(params: Mapping[str, str]) -> tuple[dict[str, float], dict[str, str]]:
    """Parameters that are numbers, and those that are not."""
    numbers, words = {}, {}
    for key, value in params.items():
        try:
            numbers[key] = float(value)
        except ValueError:
            words[key] = value
    return {k: v for k, v in numbers.items() if abs(v) < float("inf")}, words


def environment(
    settings: Sequence[str], files: Sequence[str]
) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """(the command's whole environment, names that were given); None when nothing was given. Raises: InputError.

    "-e NAME" passes on a variable of ours, "-e NAME=VALUE" sets one; a file has NAME=VALUE lines and # comments.
    """
    given: dict[str, str] = {}
    for file in files:
        given.update(_env_file(file))
    for text in settings:
        name, equals, value = text.partition("=")
        if not _NAME.match(name):
            raise InputError(f"-e: {name!r} is not the name of a variable", hint="-e NAME=VALUE")
        if not equals and name not in os.environ:
            raise InputError(f"-e {name}: not set here", hint=f"-e {name}=VALUE, or export {name} first")
        given[name] = value if equals else os.environ[name]
    if not given:
        return None, ()
    return {**os.environ, **given}, tuple(sorted(given))


def _env_file(file: str) -> dict[str, str]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read --env-file {file}", why=getattr(error, "strerror", None) or str(error)
        ) from None
    found = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not _NAME.match(name.strip()):  # the line may hold a secret: say where, not what
            raise InputError(f"{file}, line {number} is not NAME=VALUE")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name.strip()] = value
    return found
