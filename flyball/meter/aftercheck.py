"""Whether a command that ended with 0 made what it was to make; only then its outputs are put in their places."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from flyball.meter.declared import Declared, files_of, is_data, is_new, promote, signatures
from flyball.meter.ending import ASKED
from flyball.meter.record import LOG
from flyball.meter.row_counts import CannotCount, rows_in

if TYPE_CHECKING:
    from flyball.meter.declared import Signature
    from flyball.meter.keeper import Keeper

LOOK_SECONDS = 0.1


class Aftercheck:
    """The rules of one attempt, and what lay in its outputs' places before it started."""

    def __init__(self, asked: dict[str, Any], staging: str, env: dict[str, str]) -> None:
        self._asked, self._staging, self._env = asked, staging, env
        self._workdir: str = asked["workdir"]
        self._rules: dict[str, Any] = asked["rules"] or {}
        self._outputs = [Declared.of(name, self._workdir, staging) for name in self._rules.get("outputs", ())]
        self._counted = [
            (Declared.of(rule["path"], self._workdir, staging), rule) for rule in self._rules.get("rows", ())
        ]
        self._before: dict[str, Signature] = {}
        self._started_at_seconds = time.time()

    @classmethod
    def before_start(cls, asked: dict[str, Any], staging: str, env: dict[str, str]) -> Aftercheck:
        """To be made before the command can have written anything; `env` is the command's."""
        check = cls(asked, staging, env)
        for declared in (*check._outputs, *(declared for declared, _ in check._counted)):
            check._before.update(signatures(declared.final_paths()))
        return check

    def judged(self, receipt: dict[str, Any], keeper: Keeper) -> dict[str, Any]:
        """The receipt, as incomplete_output with the reason where a rule does not hold."""
        if receipt["outcome"] != "succeeded" or not self._rules:
            return receipt
        try:
            wrong = self._broken_rule(keeper) or self._promoted()
        except Exception as error:  # a bug of ours, or a file that nobody foresaw: not known to be whole
            wrong = f"its outputs could not be checked ({type(error).__name__}: {error})"
        if wrong is None:
            return receipt
        reason = keeper.reason()
        if reason is not None:
            outcome, cause = ASKED[reason]
            return {**receipt, "outcome": outcome, "exit_cause": f"{cause}, while its outputs were checked"}
        return {**receipt, "outcome": "incomplete_output", "exit_cause": f"exit 0, but {wrong}"}

    def _broken_rule(self, keeper: Keeper) -> str | None:
        for declared in self._outputs:
            wrong = self._missing(declared)
            if wrong is not None:
                return wrong
        for declared, rule in self._counted:
            wrong = self._miscounted(declared, rule)
            if wrong is not None:
                return wrong
        for command in (self._rules.get("url_check"), self._rules.get("check")):
            wrong = self._refused_by(command, keeper) if command else None
            if wrong is not None:
                return wrong
        return None

    def _missing(self, declared: Declared) -> str | None:
        new = self._new_files(declared)
        if new is None:
            return f"there is no {declared.name}"
        if not new:
            return f"{declared.name} is from before this attempt"
        empty = [path for path in new if not _size(path)]
        if len(empty) == len(new):
            return f"{declared.name} is empty"
        is_folder = any(os.path.isdir(path) for path in declared.staged_paths() or declared.final_paths())
        if (
            empty and not is_folder
        ):  # in a folder markers may be empty; files of a pattern are data, each of them
            return f"{os.path.basename(empty[0])}, one of {declared.name}, is empty"
        return None

    def _new_files(self, declared: Declared) -> list[str] | None:
        """Files that this attempt wrote; None when there is nothing at all. An empty folder is a file of no size."""
        staged = declared.staged_paths()
        if staged:
            return [file for path in staged for file in files_of(path) or [path]]
        final = declared.final_paths()
        if not final:
            return None
        files = [file for path in final for file in files_of(path)]
        if not files:
            return final
        return [file for file in files if is_new(file, self._before, self._started_at_seconds)]

    def _miscounted(self, declared: Declared, rule: dict[str, Any]) -> str | None:
        files = [path for path in self._new_files(declared) or () if os.path.isfile(path)]
        if not files:
            return f"there is no new {declared.name} to count the rows of"
        try:
            rows = sum(rows_in(path) for path in files if len(files) == 1 or is_data(path))
        except (CannotCount, OSError) as error:
            return f"the rows of {declared.name} cannot be counted: {error}"
        if rows < rule["rows_min"]:
            return f"{declared.name} has {rows:,} rows, fewer than {rule['rows_min']:,}"
        if rule["rows_max"] is not None and rows > rule["rows_max"]:
            return f"{declared.name} has {rows:,} rows, more than {rule['rows_max']:,}"
        return None

    def _refused_by(self, command: list[str], keeper: Keeper) -> str | None:
        """Its last line when it does not end with 0 in time; all it says goes into the log."""
        seconds = self._rules["check_seconds"]
        said = os.path.join(self._asked["folder"], "check")
        with open(said, "wb+") as answers:
            try:
                check = subprocess.Popen(
                    command,
                    cwd=self._workdir,
                    env=self._env,
                    stdout=answers,
                    stderr=answers,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                return f"its check could not be started: {error}"
            code = _wait(check, seconds, keeper)
            answers.seek(0)
            text = answers.read(1 << 20).decode(errors="replace").strip()
        os.unlink(said)
        if text:
            append_to_log(self._asked["folder"], text)
        if code is None:
            return f"its check had not ended after {seconds:g} s"
        if code == 0:
            return None
        last = text.splitlines()[-1][:300] if text else f"its check ended with {code}"
        return last if command is self._rules.get("url_check") else f"its check says no ({code}): {last}"

    def _promoted(self) -> str | None:
        """What went wrong; None when everything declared is in its place."""
        mark = f"flyball-{self._asked['attempt_id']}"
        for declared in self._outputs:
            for staged in declared.staged_paths():
                destination = declared.destination(staged, self._workdir)
                try:
                    promote(staged, destination, mark)
                except OSError as error:
                    return f"{declared.name} could not be put in its place: {error}"
        return None


def append_to_log(folder: str, text: str) -> None:
    """Below what the command wrote."""
    try:
        with open(os.path.join(folder, LOG), "a", encoding="utf-8") as log:
            log.write(f"[flyball] {text}\n")
    except OSError:
        pass


def _size(path: str) -> int:
    """Of a file; a folder holds nothing by itself."""
    try:
        return 0 if os.path.isdir(path) else os.stat(path).st_size
    except OSError:
        return 0


def _wait(check: subprocess.Popen[bytes], seconds: float, keeper: Keeper) -> int | None:
    """Its exit code; None when it was ended because it took too long or nobody wants to know any more."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up and keeper.reason() is None:
        try:
            return check.wait(min(LOOK_SECONDS, max(0.0, give_up - time.monotonic())))
        except subprocess.TimeoutExpired:
            continue
    try:
        os.killpg(check.pid, 9)
    except ProcessLookupError:
        pass
    check.wait()
    return None
