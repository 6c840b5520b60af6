"""Which job a command is a run of, and which of its words are only this run's.

Two commands are the same job when they run the same program and script with the same sub-commands, flags and words.
Dates, numbers, ids, paths and URLs are features of the run. The job's name is that command with the features taken
out, so that whoever reads the name sees what shares a history; nothing that tells two jobs apart is left out of it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

import msgspec

from flyball.errors import InputError
from flyball.policy import command_words, programs
from flyball.policy.command_words import Kind, kind_of
from flyball.policy.patterns import pattern
from flyball.policy.redaction import HIDDEN, redact, redact_text, storable

NAME_CHARS_MAX = 200  # of a name that the user gives
_DERIVED_CHARS_MAX = 100  # longer ones are cut and get a digest of the whole
_FEATURES_MAX = 64
_WORD_CHARS_MAX = 200


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    numbers: dict[str, float] = {}  # flag or argN -> value
    words: dict[str, str] = {}
    why: str


Place = Callable[[str], str]  # a script's path as given -> where it is, the same from every working directory


def identify(command: Sequence[str], *, name: str | None = None, place: Place | None = None) -> Identity:
    """The job that this command belongs to. Secrets are taken out first.

    `place` keeps two scripts of the same name in different folders apart; without it a script is its path as given.
    Raises: InputError for an empty command or a name that cannot be one.
    """
    if not command:
        raise InputError("there is no command", hint="flyball run -- python train.py")
    reading = _Reading(place or _as_given)
    reading.command(list(redact(command)))
    job = checked_name(name) if name is not None else reading.name()
    why = "named by --name" if name is not None else reading.why()
    return Identity(job=job, numbers=reading.numbers, words=reading.words, why=why)


def checked_name(name: str) -> str:
    """A job's name as it will be shown, without secrets. Raises: InputError."""
    clean = redact_text(" ".join(storable(name).split()))
    if not clean or not clean.isprintable():
        raise InputError(
            f"{name!r} cannot be a job's name", hint="letters, digits and signs that can be printed"
        )
    if len(clean) > NAME_CHARS_MAX:
        raise InputError(f"a job's name of {len(clean)} characters", why=f"{NAME_CHARS_MAX} is the most")
    return clean


_SHELL_SYNTAX = pattern(r"[|&;<>()$`\\\n*?\[\]{}#~!]")


class _Reading:
    """Goes through a command once, and collects what it is and what varies."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._said: list[str] = []  # the command as far as it is the job's
        self._starts_others = False
        self._arguments = 0
        self.numbers: dict[str, float] = {}
        self.words: dict[str, str] = {}

    def name(self) -> str:
        full = " ".join(self._said)
        if len(full) <= _DERIVED_CHARS_MAX:
            return full
        return f"{full[: _DERIVED_CHARS_MAX - 10].rstrip()} ~{command_words.digest(full)}"

    def why(self) -> str:
        varying = [*self.numbers, *self.words]
        if not varying:
            return "from the command: every word of it belongs to the job"
        shown = ", ".join(varying[:5]) + (", ..." if len(varying) > 5 else "")
        return f"from the command; may differ from run to run: {shown}"

    def command(self, parts: list[str]) -> None:
        parts = programs.without_prefixes(parts)
        program, rest = parts[0], parts[1:]
        tool = programs.tool_name(program)
        if tool in programs.SHELLS and (text := _inline_shell(rest)) is not None:
            self._shell(tool, *text)
        elif tool in programs.INTERPRETERS:
            self._interpreter(tool, rest)
        elif tool == "java":
            self._java(rest)
        elif tool in programs.CONTAINER_TOOLS and rest[:1] == ["run"]:
            self._container(tool, rest[1:])
        else:
            self._starts_others = tool in programs.LAUNCHERS
            self._said.append(tool if tool != program or "/" not in program else self._code(program))
            self._arguments_of(rest)

    def _shell(self, tool: str, text: str, rest: list[str]) -> None:
        if not _SHELL_SYNTAX.search(text) and (parts := _shell_words(text)):
            self.command(parts + rest)  # a plain command in quotes is that command
            return
        first = (_shell_words(text) or [tool])[0]
        self._said += [tool, "-c", f"{_quoted(first)[:40]}~{command_words.text_digest(text)}"]
        self._arguments_of(rest)

    def _interpreter(self, tool: str, rest: list[str]) -> None:
        with_value, inline = programs.INTERPRETERS[tool].split(), programs.INLINE.get(tool, "").split()
        while rest and rest[0].startswith("-") and rest[0] not in {"-", "--"}:
            option = rest.pop(0)
            if option in inline and rest:
                self._said += [tool, option, f"~{command_words.text_digest(rest.pop(0))}"]
                break
            if option == "-m" and rest and tool in {"python", "pypy"}:
                self._said += [tool, "-m", _quoted(rest.pop(0))]
                break
            if option in with_value and rest:
                rest.pop(0)
        else:
            if rest[:1] == ["--"]:
                rest.pop(0)
            if tool in {"deno", "bun", "streamlit"} and rest[:1] == ["run"]:
                rest.pop(0)
            script = rest.pop(0) if rest else ""
            if not script.lower().endswith(programs.OWN_SUFFIXES.get(tool, ())):
                self._said.append(tool)
            if script:
                self._said.append(self._code(script))
        self._arguments_of(rest)

    def _java(self, rest: list[str]) -> None:
        with_value = {
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--add-modules",
            "--add-opens",
        }
        while rest and rest[0].startswith("-") and rest[0] != "-jar":
            if rest.pop(0) in with_value and rest:
                rest.pop(0)
        if rest[:1] == ["-jar"] and len(rest) > 1:
            self._said += ["java -jar", self._code(rest[1])]
            rest = rest[2:]
        elif rest:
            self._said += ["java", _quoted(rest.pop(0))]
        else:
            self._said.append("java")
        self._arguments_of(rest)

    def _container(self, tool: str, rest: list[str]) -> None:
        """The image without its tag and the command in it; how it is mounted and named is not what it does."""
        while rest and rest[0].startswith("-"):
            option = rest.pop(0)
            if "=" not in option and option not in programs.CONTAINER_SWITCHES and rest:
                rest.pop(0)
        if not rest:
            self._said.append(f"{tool} run")
            return
        image, _, image_digest = rest[0].partition("@")
        repository, colon, tag = image.rpartition(":")
        if not colon or "/" in tag:
            repository, tag = image, ""
        self._said += [f"{tool} run", _quoted(repository)]
        if tag or image_digest:
            self.words["image_tag"] = tag or image_digest
        if rest[1:]:
            self._place = _as_given  # paths in there are the image's
            self.command(rest[1:])

    def _arguments_of(self, parts: list[str]) -> None:
        only_arguments = False
        index = 0
        while index < len(parts):
            part, index = parts[index], index + 1
            if part == "--" and not only_arguments:
                only_arguments = True
            elif only_arguments or not _is_flag(part):
                self._argument(part)
            elif "=" in part:
                self._flag(*part.split("=", 1))
            elif (attached := re.match(r"(-[A-Za-z])(\d.*)\Z", part)) is not None:
                self._flag(attached[1], attached[2])
            elif index < len(parts) and not _is_flag(parts[index]):
                self._flag(part, parts[index])
                index += 1
            else:
                self._said.append(part)

    def _argument(self, part: str) -> None:
        assigned = command_words.split_assigned(part)
        if assigned:
            self._flag(f"{assigned[0]}=", assigned[1])
            return
        self._arguments += 1
        said = self._value(f"arg{self._arguments}", part)
        if said:
            self._said.append(said)

    def _flag(self, flag: str, value: str) -> None:
        key = flag.strip("-=+") or flag
        assigned = command_words.split_assigned(value)
        if assigned:  # --conf spark.executor.memory=4g
            self._flag(f"{flag} {assigned[0]}=", assigned[1])
            return
        key = key.rsplit(" ", 1)[-1]
        if command_words.varies_by_name(key):
            self._feature(key, value)
            said = ""
        else:
            said = self._value(key, value)
        joint = "" if flag.endswith("=") else " "
        self._said.append(f"{flag}{joint}{said}" if said else flag)

    def _value(self, key: str, value: str) -> str:
        """What of the value belongs to the job's name; the rest becomes a feature."""
        kind = kind_of(value)
        if kind is Kind.CODE or (self._starts_others and command_words.is_program_path(value)):
            return self._code(value)
        if kind is Kind.TEXT:
            return f"~{command_words.text_digest(value)}"
        if kind is not Kind.WORD:
            self._feature(key, value)
            return ""
        steady = command_words.without_dates(value)
        if steady != value:
            self._feature(key, value)
        return _quoted(steady)

    def _feature(self, key: str, value: str) -> None:
        if not value or value == HIDDEN or len(self.numbers) + len(self.words) >= _FEATURES_MAX:
            return
        key, n = key[:_WORD_CHARS_MAX], 2
        base = key
        while key in self.numbers or key in self.words:
            key, n = f"{base}.{n}", n + 1
        number = command_words.number_of(value) if kind_of(value) is Kind.NUMBER else None
        if number is not None:
            self.numbers[key] = number
        else:
            self.words[key] = value[:_WORD_CHARS_MAX]

    def _code(self, path: str) -> str:
        if command_words.is_url(path):
            return _quoted(command_words.stable_path(path))  # spark-submit s3://bucket/job.py
        return _quoted(command_words.stable_path(redact_text(self._place(path))))


def _as_given(path: str) -> str:
    parts = [part for part in path.split("/") if part != "."]
    return "/".join(parts) or path


def _inline_shell(rest: list[str]) -> tuple[str, list[str]] | None:
    """The text of `sh -c TEXT` and what follows it."""
    for index, part in enumerate(rest):
        if re.match(r"-[a-z]*c\Z", part) and index + 1 < len(rest):
            return rest[index + 1], rest[index + 2 :]
        if not part.startswith(("-", "+")):
            return None
    return None


def _shell_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # quotes that do not close
        return []


def _is_flag(part: str) -> bool:
    return (
        len(part) > 1 and part[0] == "-" and command_words.number_of(part) is None and not part[1].isdigit()
    )


def _quoted(word: str) -> str:
    """The word so that two different ones never look the same inside a name."""
    plain = re.sub(r"\s+", " ", word)
    return plain if re.match(r"[^\s\"'~-][^\s\"']*\Z", word) else shlex.quote(plain)
