"""Programs that start other programs: which of their words are their own, and where the real command begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyball.policy.command_words import split_assigned
from flyball.policy.patterns import pattern

# Put before a command without changing what it does -> their options that take a value in a word of its own.
_PREFIXES = {
    "env": "-u --unset -C --chdir", "nice": "-n --adjustment", "ionice": "-c -n -t", "time": "-f --format -o --output",
    "gtime": "-f --format -o --output", "nohup": "", "sudo": "-u -g -h -p -C -r -t -T -U -D", "doas": "-u -C",
    "stdbuf": "-i -o -e", "timeout": "-k --kill-after -s --signal", "gtimeout": "-k --kill-after -s --signal",
    "taskset": "", "numactl": "-C -N -m -i -p", "chrt": "-T -P -D", "setsid": "", "exec": "-a", "command": "",
    "caffeinate": "-t -w", "xvfb-run": "-s -n -e -f -p -w", "catchsegv": "", "unbuffer": "", "setarch": "",
    "systemd-run": "-p --property -u --unit", "chronic": "", "ltrace": "-o -e", "strace": "-o -e",
}  # fmt: skip
_PREFIX_OPERANDS = {"timeout": 1, "gtimeout": 1, "taskset": 1, "chrt": 1}  # a duration, a mask, a priority

# `uv run X` is X; their options that take a value.
_RUNNERS = {
    "uv": "-p --python --with --extra --group --env-file --directory --project --with-requirements --package --index",
    "poetry": "-C --directory -P --project", "pipenv": "--python", "pdm": "-p --project", "rye": "--pyproject",
    "hatch": "-e --env", "conda": "-n --name -p --prefix --cwd", "mamba": "-n --name -p --prefix",
    "micromamba": "-n --name -p --prefix", "pixi": "-e --environment --manifest-path", "direnv": "", "dotenv": "-f",
}  # fmt: skip
_RUNNER_VERBS = frozenset({"run", "exec"})

# Interpreters: their options with a value, then a script.
INTERPRETERS = {
    "python": "-W -X --check-hash-based-pycs", "pypy": "-W -X", "rscript": "-e", "node": "-r --require --import -e --eval",
    "deno": "", "bun": "", "ruby": "-I -r -e", "perl": "-e -E", "julia": "-e -E -p -t -J --project --threads", "php": "-c -d -r",
    "lua": "-e -l", "bash": "-o --rcfile --init-file", "sh": "-o", "zsh": "-o", "dash": "-o", "ksh": "-o", "fish": "",
    "scala": "", "groovy": "", "octave": "", "papermill": "", "streamlit": "",
}  # fmt: skip
# `python x.py` is named x.py; `pypy x.py` is another thing.
OWN_SUFFIXES = {
    "python": (".py", ".pyz"), "rscript": (".r",), "node": (".js", ".mjs", ".cjs"), "ruby": (".rb",), "perl": (".pl",),
    "julia": (".jl",), "php": (".php",), "lua": (".lua",), "bash": (".sh", ".bash"), "papermill": (".ipynb",),
}  # fmt: skip
# These start another program, whose path is an argument to them.
LAUNCHERS = frozenset(
    {"mpirun", "mpiexec", "srun", "orterun", "aprun", "horovodrun", "parallel", "xargs", "valgrind", "perf", "nsys",
     "singularity", "apptainer", "torchrun", "hyperfine", "watch", "flock", "entr", "gdb", "chroot", "numactl"}
)  # fmt: skip
INLINE = {"python": "-c", "pypy": "-c", "node": "-e --eval", "ruby": "-e", "perl": "-e -E", "julia": "-e -E", "php": "-r",
           "rscript": "-e", "lua": "-e"}  # fmt: skip
SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ksh", "fish"})
_VERSIONED = pattern(r"(python|pypy|ruby|perl|lua|php|node)[23]?(?:\.\d+)*\Z")
_SYSTEM_FOLDERS = frozenset(
    {
        "/bin",
        "/sbin",
        "/usr/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/opt/homebrew/bin",
        "/snap/bin",
    }
)
CONTAINER_TOOLS = frozenset({"docker", "podman", "nerdctl"})
CONTAINER_SWITCHES = frozenset(
    {"--rm", "-d", "--detach", "-i", "--interactive", "-t", "--tty", "-it", "-ti", "-dit", "--init", "--privileged",
     "--read-only", "--no-healthcheck", "-P", "--publish-all", "--oom-kill-disable", "-q", "--quiet", "--replace"}
)  # fmt: skip


def without_prefixes(parts: list[str]) -> list[str]:
    """The command without nice, env X=1, sudo, timeout 5m, uv run: what is really run."""
    for candidate in _unwrapped(parts):
        parts = candidate
    return parts


def _unwrapped(parts: list[str]) -> Iterator[list[str]]:
    while parts:
        tool = tool_name(parts[0])
        if tool in _PREFIXES:
            rest = _after_options(parts[1:], _PREFIXES[tool].split(), operands=_PREFIX_OPERANDS.get(tool, 0))
        elif tool in _RUNNERS:
            rest = _after_options(parts[1:], _RUNNERS[tool].split())
            if not rest or rest[0] not in _RUNNER_VERBS:
                return
            rest = _after_options(rest[1:], _RUNNERS[tool].split())
        else:
            return
        if not rest:
            return
        parts = rest
        yield parts


def _after_options(parts: list[str], with_value: Sequence[str], *, operands: int = 0) -> list[str]:
    index = 0
    while index < len(parts):
        part = parts[index]
        if part == "--":
            index += 1
            break
        if part.startswith("-") and len(part) > 1:
            index += 2 if part in with_value else 1
        elif split_assigned(part):
            index += 1
        else:
            break
    return parts[index + operands :]


def tool_name(program: str) -> str:
    """A program's name without its folder and version where those do not matter, else as given."""
    folder, _, base = program.rpartition("/")
    versioned = _VERSIONED.match(base)
    name = versioned[1] if versioned else base
    known = name.lower() if name.lower() in INTERPRETERS else name
    is_known = (
        known in INTERPRETERS
        or known in _PREFIXES
        or known in _RUNNERS
        or known in {"java", *CONTAINER_TOOLS}
    )
    return known if is_known or folder in _SYSTEM_FOLDERS else program
