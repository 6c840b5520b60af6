"""From one [[job]] table to a JobSpec and the private paper with its command and environment."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from flyball.app.jobs_file_fields import Fields
from flyball.app.jobs_file_python import FILLS, look_at
from flyball.app.jobs_file_starts import after_of, arrival_of, overlap_of, schedule_of, timezone_of
from flyball.app.jobs_file_values import (
    as_choice,
    as_cores,
    as_count,
    as_deadline,
    as_env,
    as_memory,
    as_pairs,
    as_seconds,
    as_share,
    as_text,
    as_texts,
    as_timeout,
    as_usd,
    as_words,
    near,
    shown,
)
from flyball.errors import InputError
from flyball.model.resource import Arch
from flyball.model.spec import (
    Goal,
    Holding,
    JobSpec,
    Patience,
    RowCount,
    Schedule,
    SizeAsk,
    SpotAsk,
    SuccessRules,
    Tenacity,
)
from flyball.policy.identity import checked_name
from flyball.policy.patterns import pattern
from flyball.policy.redaction import is_secret_name, redact, redact_map, redact_text
from flyball.ports.papers import Paper

LOCAL = "local"
_MARKETS = {"auto": "auto", "always": "spot", "never": "on_demand"}
_BRACED = pattern(r"\{([a-z_]{2,12})\}")
_FUNCTION = pattern(r"[\w./\-]+:[A-Za-z_]\w*\Z")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition is read against."""

    folder: Path  # of the file: relative folders are meant from there
    providers: tuple[str, ...]
    tags: Mapping[str, str]  # of every job of the file
    now_seconds: float
    check_folders: bool = True


class Defined(msgspec.Struct, frozen=True, kw_only=True):
    """`spec.paper` is "" until the paper is kept."""

    spec: JobSpec
    paper: Paper


def job_of(fields: Fields, setting: Setting) -> Defined:
    """What the table says; with anything wrong in it, notes are there and the value is not to be used."""
    name = fields.read("name", lambda value: checked_name(as_text(value))) or ""
    if not name and "name" not in fields:
        fields.problem("", InputError("a job needs a name", hint='name = "nightly"'))
    providers = fields.get("on", functools.partial(_providers, known=setting.providers), (LOCAL,))
    workdir = _workdir(fields, setting, providers)
    command = _command(fields, workdir, setting, providers)
    env = fields.read("env", as_env) or {}
    _doubt_fills(fields, command, env)
    secrets = [value for variable, value in env.items() if is_secret_name(variable)]
    tags = redact_map({**setting.tags, **(fields.read("tags", as_pairs) or {})})
    schedule, arrival = schedule_of(fields), arrival_of(fields, setting.folder)
    success = _success(fields)
    _no_loop(fields, arrival.prefix if arrival else None, success.outputs)
    spec = JobSpec(
        name=name,
        command=redact(command, known=secrets),
        paper="",
        workdir=workdir,
        inputs=redact(fields.get("inputs", as_texts, ())),
        tags=tags,
        providers=providers,
        size=_size(fields),
        schedule=schedule,
        after=after_of(fields),
        arrival=arrival,
        overlap=overlap_of(fields, schedule, arrival),
        goal=_goal(fields, schedule, setting.now_seconds),
        tenacity=_tenacity(fields),
        patience=_patience(fields),
        success=success,
        spot=_spot(fields),
        holding=_holding(fields, setting.providers),
        source=fields.notes.place(fields.path),
    )
    fields.finish()
    _doubts(fields, spec)
    return Defined(spec=spec, paper=Paper(command=command, env=env))


def _providers(value: object, *, known: Sequence[str]) -> tuple[str, ...]:
    names = as_texts(value)
    if not names:
        raise InputError("it runs nowhere", hint=f'"{LOCAL}"')
    return tuple(as_choice(name, known) for name in names)


def _workdir(fields: Fields, setting: Setting, providers: Sequence[str]) -> str | None:
    """Where it runs: on this machine, where its file is, unless said otherwise."""
    given = fields.read("workdir", as_text)
    if given is None:
        return str(setting.folder) if LOCAL in providers else None
    if LOCAL not in providers:
        return given
    folder = str((setting.folder / Path(given).expanduser()).absolute())
    if setting.check_folders and not os.path.isdir(folder):  # noqa: PTH112
        fields.problem("workdir", InputError(f"{folder} is not a folder", hint=f"mkdir -p {folder}"))
    return folder


def _command(
    fields: Fields, workdir: str | None, setting: Setting, providers: Sequence[str]
) -> tuple[str, ...]:
    target, command = fields.read("python", as_text), fields.read("command", as_words)
    fields.only_with("params", ["python"])
    params = fields.read("params", as_pairs) or {}
    if ("command" in fields) == ("python" in fields):
        fields.problem(
            "python" if "python" in fields else "",
            InputError("a job has either a command or a python function", hint='command = "python train.py"'),
        )
        return ()
    if target is None:
        return command or ()
    if not _FUNCTION.match(target):
        fields.problem(
            "python", InputError(f"{shown(target)} names no function", hint='"package.module:function"')
        )
        return ()
    looked = look_at(target, Path(workdir or setting.folder))
    if looked.doubt:
        fields.warning("python", InputError(looked.doubt, why="it must be there where it runs"))
    params = {**{fill: f"{{{fill}}}" for fill in looked.fills}, **params}
    # This interpreter has flyball in it and, in a virtual environment, what the function imports.
    interpreter = sys.executable if LOCAL in providers else "python3"
    words = [word for name, value in params.items() for word in (f"--{name}", value)]
    return (interpreter, "-m", "flyball.call", target, *words)


def _doubt_fills(fields: Fields, command: Sequence[str], env: Mapping[str, str]) -> None:
    for word in {name for text in (*command, *env.values()) for name in _BRACED.findall(text)}:
        meant = near(word, FILLS)
        if meant and word not in FILLS:
            key = "command" if "command" in fields else "python"
            fields.warning(key, InputError(f"{{{word}}} stays as it is", why=f"did you mean {{{meant}}}?"))


def _size(fields: Fields) -> SizeAsk:
    memory_bytes, memory_bytes_max = fields.get("memory", as_memory, (None, None))
    cpu_cores, cpu_cores_max = fields.get("cpus", as_cores, (None, None))
    archs = fields.get("archs", as_texts, ())
    known = [arch.value for arch in Arch]
    for arch in archs:
        if arch not in known:
            fields.problem("archs", InputError(f"{arch!r} is not known", why=f"there are {', '.join(known)}"))
    gpus = fields.get("gpus", functools.partial(as_count, high=1024), 0)
    gpu_models = fields.get("gpu_models", as_texts, ())
    if gpu_models and "gpus" not in fields:
        gpus = 1
    if gpu_models and gpus == 0:
        fields.problem("gpu_models", InputError("a model of no GPU", why="gpus is 0", hint="gpus = 1"))
    return SizeAsk(
        memory_bytes=memory_bytes,
        memory_bytes_max=memory_bytes_max,
        cpu_cores=cpu_cores,
        cpu_cores_max=cpu_cores_max,
        gpus=gpus,
        gpu_models=gpu_models,
        archs=tuple(Arch(arch) for arch in archs if arch in known),
        families=fields.get("families", as_texts, ()),
        instance_types=fields.get("instance_types", as_texts, ()),
    )


def _goal(fields: Fields, schedule: Schedule | None, now_seconds: float) -> Goal:
    now = datetime.fromtimestamp(now_seconds, UTC)
    after, at = fields.get("deadline", lambda value: as_deadline(value, now), (None, None))
    zone = timezone_of(fields)
    if at is not None and schedule is None and zone is None:
        fields.problem(
            "deadline",
            InputError(f"{at} is a time of day in no time zone", hint='timezone = "Europe/Berlin"'),
        )
    tolerated = fields.get("late_tolerated", as_share, 0.0)
    if tolerated and after is None and at is None:
        fields.problem(
            "late_tolerated", InputError("there is no deadline to be late for", hint='deadline = "2h"')
        )
    return Goal(
        deadline_seconds=after,
        deadline_at=at,
        late_tolerated=tolerated,
        timezone=zone if schedule is None else None,
        usd_per_run=fields.read("budget", as_usd),
    )


def _tenacity(fields: Fields) -> Tenacity:
    usual = Tenacity()
    backoff = fields.get("backoff", as_seconds, usual.backoff_seconds)
    backoff_max = fields.get("backoff_max", as_seconds, max(usual.backoff_seconds_max, backoff))
    if backoff_max < backoff:
        fields.problem("backoff_max", InputError("it is below backoff", hint=f'backoff_max = "{backoff:g}s"'))
    retries = fields.get("retries", functools.partial(as_count, high=100), usual.retries)
    launches = fields.get("launches_max", functools.partial(as_count, low=1, high=1000), None)
    if launches is not None and launches <= retries:
        fields.problem(
            "launches_max",
            InputError(f"{launches} launches leave no room for {retries} retries", hint=f"{retries + 10}"),
        )
    return Tenacity(
        retries=retries,
        backoff_seconds=backoff,
        backoff_seconds_max=backoff_max,
        launches_max=launches or max(usual.launches_max, retries + 10),
    )


def _patience(fields: Fields) -> Patience:
    run_seconds, times = fields.get("timeout", as_timeout, (None, None))
    return Patience(
        launch_seconds=fields.read("launch_timeout", as_seconds),
        run_seconds=run_seconds,
        run_times_usual=times,
        stalled_seconds=fields.read("stalled_after", as_seconds),
        grace_seconds=fields.get("grace", as_seconds, Patience().grace_seconds),
    )


def _success(fields: Fields) -> SuccessRules:
    usual = SuccessRules()
    rows = []
    for table in fields.tables("rows", hint='rows = [{ path = "out.csv", min = 1 }]'):
        path = table.read("path", as_text)
        low = table.get("min", functools.partial(as_count, high=10**12), 0)
        high = table.read("max", functools.partial(as_count, high=10**12))
        if path is None and "path" not in table:
            table.problem("", InputError("rows of what?", hint='path = "out.csv"'))
        if high is not None and low > high:
            table.problem("min", InputError(f"the least, {low:,}, is above the most, {high:,}"))
        table.finish()
        rows.append(RowCount(path=path or "", rows_min=low, rows_max=high))
    fields.only_with("check_timeout", ["check"])
    rules = SuccessRules(
        outputs=fields.get("outputs", as_texts, ()),
        check=fields.get("check", as_words, ()),
        check_seconds=fields.get("check_timeout", as_seconds, usual.check_seconds),
        rows=tuple(rows),
    )
    _no_secret(fields, "outputs", rules.outputs)
    _no_secret(fields, "check", rules.check)
    return rules


def _spot(fields: Fields) -> SpotAsk:
    market = fields.get("spot", lambda value: as_choice(value, list(_MARKETS)), "auto")
    checkpoint = fields.read("checkpoint", as_text)
    _no_secret(fields, "checkpoint", (checkpoint or "",))
    return SpotAsk(
        market=_MARKETS[market],
        checkpoint=checkpoint,
        changeover_seconds=fields.read("changeover", as_seconds),
    )


def _holding(fields: Fields, providers: Sequence[str]) -> Holding:
    fields.only_with("force_to", ["force_after"])
    fields.only_with("force_after", ["force_to"])
    return Holding(
        runs_at_once=fields.read("at_once", functools.partial(as_count, low=1)),
        alert_after_seconds=fields.get("alert_when_held", as_seconds, Holding().alert_after_seconds),
        force_to=fields.read("force_to", lambda value: as_choice(value, providers)),
        force_after_seconds=fields.read("force_after", as_seconds),
        priority=fields.get("priority", functools.partial(as_count, low=-1000, high=1000), 0),
    )


def _no_secret(fields: Fields, key: str, words: Sequence[str]) -> None:
    """What is recorded as it is must hold none."""
    if redact(words) != tuple(words) or any(redact_text(word) != word for word in words):
        why = "it is kept in the record as it is"
        fields.problem(
            key, InputError("it holds what looks like a secret", why=why, hint="env = { NAME = ... }")
        )


def _no_loop(fields: Fields, prefix: str | None, outputs: Sequence[str]) -> None:
    if prefix is not None and any(output.startswith(prefix.rstrip("/") + "/") for output in outputs):
        fields.problem(
            "outputs", InputError(f"they land under {prefix}", why="each run would start the next one")
        )


def _doubts(fields: Fields, spec: JobSpec) -> None:
    limit, deadline = spec.patience.run_seconds, spec.goal.deadline_seconds
    if limit is not None and deadline is not None and limit > deadline:
        fields.warning("timeout", InputError("it is longer than the deadline", why="a late run may go on"))
