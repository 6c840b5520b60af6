"""The wrapper as one file that any python3 runs: `python3 flyball-meter.pyz --folder DIR -- CMD...`."""

from __future__ import annotations

import importlib.util
import marshal
import os
import sys
import zipfile
from collections.abc import Callable

PACKAGE = os.path.dirname(os.path.abspath(__file__))
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "import sys\n\nfrom flyball.meter.__main__ import main\n\nsys.exit(main())\n"
STAMP = (2020, 1, 1, 0, 0, 0)  # the same input gives the same bytes


def build(path: str) -> str:
    """The path of the zipapp, made there: sources, some 60 kB, 0.25 s to compile at each start. Raises OSError."""
    return _build(path, _add)


def build_quick(path: str) -> str:
    """The same with byte code for this very Python beside: three times the size, no time to compile.

    Any other version of Python uses the sources.
    """
    return _build(path, _add_both)


def _build(path: str, add: Callable[[zipfile.ZipFile, str, str], None]) -> str:
    with open(path, "wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            _add(archive, "__main__.py", MAIN)
            _add(archive, "flyball/__init__.py", f'__version__ = "{_version()}"\n')
            for name in sorted(os.listdir(PACKAGE)):
                if name.endswith(".py") and name != os.path.basename(__file__):
                    with open(os.path.join(PACKAGE, name), encoding="utf-8") as source:
                        add(archive, f"flyball/meter/{name}", source.read())
    os.chmod(path, 0o755)  # noqa: S103 - a program, and no secret
    return path


def _add_both(archive: zipfile.ZipFile, name: str, text: str) -> None:
    _add(archive, name, text)
    code = compile(text, name, "exec", dont_inherit=True, optimize=2)
    # PEP 552: flags 1 is "hash-based, not checked against the source"
    pyc = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)
    _add(archive, name + "c", pyc)


def _add(archive: zipfile.ZipFile, name: str, text: str | bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, STAMP), text, zipfile.ZIP_DEFLATED, 9)


def _version() -> str:
    import flyball

    return str(flyball.__version__)


if __name__ == "__main__":
    print(build(sys.argv[1]))  # noqa: T201 - says where it is
