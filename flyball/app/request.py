"""From the options of `flyball run` to a Request: identity, features, limits, environment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from flyball.app.run_flags import RETRIES_MAX
from flyball.app.run_options import cpus_ask, environment, memory_ask, numbers_and_words, pairs
from flyball.engine.one_run import Request
from flyball.errors import FlyballError, InputError
from flyball.model.job import Features, RunSpec
from flyball.model.units import parse_seconds
from flyball.policy.identity import identify
from flyball.policy.redaction import is_secret_name, redact, redact_run
from flyball.policy.run_ids import run_id_at

if TYPE_CHECKING:
    from flyball.client import Client

LOG_CHOICE: dict[bool | None, str] = {None: "auto", True: "always", False: "never"}


def request_of(options: Mapping[str, Any], client: Client) -> tuple[Request, list[str]]:
    """(the request, warnings). Raises: InputError for options that cannot be used."""
    env, env_names = environment(options["env"], options["env_files"])
    cpu_cores, cpu_planned = cpus_ask(options["cpus"])
    memory = memory_ask(options["memory"])
    run, warnings = run_spec_of(options, client, env=env, env_names=env_names)
    request = Request(
        run=run,
        command=tuple(options["command"]),
        env=env,
        memory=memory,
        cpu_cores=cpu_cores,
        cpu_planned=cpu_planned,
        timeout_seconds=_seconds(options["timeout"]),
        stalled_after_seconds=_seconds(options["stalled_after"]),
        grace_seconds=parse_seconds(options["grace"]),
        retries=_retries(options["retries"]),
        log=LOG_CHOICE[options["log"]],
        end_background=not options["leave_background"],
    )
    return request, warnings


def run_spec_of(
    options: Mapping[str, Any], client: Client, *, env: Mapping[str, str] | None, env_names: tuple[str, ...]
) -> tuple[RunSpec, list[str]]:
    """(the run as it is recorded, warnings). Raises: InputError for options that cannot be used."""
    return run_spec(
        tuple(options["command"]),
        name=options["name"],
        inputs=options["inputs"],
        params=pairs(options["params"], "--param"),
        tags={**client.default_tags, **pairs(options["tags"], "--tag")},
        workdir=_workdir(options["workdir"]),
        env_names=env_names,
        secrets=[env[name] for name in env_names if env and is_secret_name(name)],
        client=client,
    )


def run_spec(
    command: tuple[str, ...],
    *,
    name: str | None,
    inputs: Sequence[str],
    params: Mapping[str, str],
    tags: Mapping[str, str],
    workdir: str | None,
    env_names: tuple[str, ...],
    secrets: Sequence[str],
    client: Client,
) -> tuple[RunSpec, list[str]]:
    """(the run as it is recorded, warnings about what could not be found out about it)."""
    now_seconds = time.time()
    folder = workdir or os.getcwd()  # noqa: PTH109
    identity = identify(command, name=name, place=client.place_of(folder))
    numbers, words = numbers_and_words(params)
    features, warnings = features_of(inputs, client)
    run = RunSpec(
        run_id=run_id_at(now_seconds, chance=int.from_bytes(os.urandom(4), "big")),
        job=identity.job,
        job_reason=identity.why,
        command=redact(command),
        workdir=workdir,
        inputs=redact(inputs),
        features=Features(
            started_at_seconds=now_seconds,
            utc_offset_seconds=time.localtime(now_seconds).tm_gmtoff,
            input_bytes=features[0],
            input_objects=features[1],
            numbers={**identity.numbers, **numbers},
            words={**identity.words, **words},
            code_version=client.code_version(folder),
        ),
        tags=dict(tags),
        env_names=env_names,
    )
    return redact_run(run, known=secrets), warnings


def features_of(inputs: Sequence[str], client: Client) -> tuple[tuple[int | None, int | None], list[str]]:
    """((bytes, objects) of all inputs together, warnings); unknown as soon as one of them is."""
    total_bytes, total_objects, warnings = 0, 0, []
    for text in inputs:
        try:
            size_bytes, objects = client.measure_input(text)
        except FlyballError as error:
            warnings.append(f"{error}\n  the command runs; this run's input size is not recorded")
            continue
        total_bytes, total_objects = total_bytes + size_bytes, total_objects + objects
    if not inputs or warnings:
        return (None, None), warnings
    return (total_bytes, total_objects), warnings


def features_of_next(job: str, inputs: Sequence[str], params: Sequence[str], client: Client) -> Features:
    """Like the last run's, with what the user says about the next one. Raises: InputError, Unavailable."""
    features = client.features_like_last(job)
    numbers, words = numbers_and_words(pairs(params, "--param"))
    if inputs:
        sizes = [client.measure_input(text) for text in inputs]
        features = replace(
            features, input_bytes=sum(b for b, _ in sizes), input_objects=sum(n for _, n in sizes)
        )
    return replace(features, numbers={**features.numbers, **numbers}, words={**features.words, **words})


def _workdir(folder: str | None) -> str | None:
    if folder is None:
        return None
    if not os.path.isdir(folder):  # noqa: PTH112
        raise InputError(f"--workdir {folder} is not a folder")
    return os.path.abspath(folder)  # noqa: PTH100


def _retries(text: str) -> int:
    if not text.isdecimal() or int(text) > RETRIES_MAX:
        raise InputError(f"--retries {text} is not a number from 0 to {RETRIES_MAX}", hint="--retries 2")
    return int(text)


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_seconds(text)
