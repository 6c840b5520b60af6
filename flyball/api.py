"""`from flyball import run, jobs, runs, plan`: the same as the commands, with typed results."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from flyball.engine.one_run import Finished
from flyball.model.history import AttemptRow
from flyball.model.plan import Plan
from flyball.model.status import RunStatus
from flyball.model.summary import JobSummary


def run(
    command: Sequence[str],
    *,
    name: str | None = None,
    inputs: Sequence[str] = (),
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    memory: str | None = None,
    cpus: str | float | None = None,
    hit_limit: str | None = None,
    timeout: str | None = None,
    stalled_after: str | None = None,
    grace: str = "10s",
    retries: int = 0,
    workdir: str | os.PathLike[str] | None = None,
) -> Finished:
    """How the run ended: `.exit_code`, `.receipt`, `.plan_next`. Its output goes where ours goes; it is not raised for.

    Amounts are written as on the command line: memory="2GiB", "512MiB..8GiB" or "auto"; timeout="2h".
    Raises: InputError for values that cannot be used, CannotLimit for a limit that this machine cannot hold.
    """
    from flyball.app.request import request_of
    from flyball.app.wiring import client

    flyball = client(hit_limit=hit_limit)
    options = {
        "command": tuple(command),
        "name": name,
        "inputs": tuple(inputs),
        "params": [f"{key}={value}" for key, value in (params or {}).items()],
        "tags": [f"{key}={value}" for key, value in (tags or {}).items()],
        "env": [f"{key}={value}" for key, value in (env or {}).items()],
        "env_files": (),
        "memory": memory,
        "cpus": None if cpus is None else str(cpus),
        "timeout": timeout,
        "stalled_after": stalled_after,
        "grace": grace,
        "retries": str(retries),
        "log": None,
        "leave_background": False,
        "workdir": None if workdir is None else os.fspath(workdir),
    }
    request, warnings = request_of(options, flyball)
    finished = flyball.run(request, tell=lambda words: print(f"flyball: {words}", file=sys.stderr))  # noqa: T201
    return finished.with_warnings(warnings)


def submit(job: str, *, params: Mapping[str, object] | None = None) -> str:
    """The id of a run of a defined job, submitted now; `flyball up` starts it. `params` fill in {day} and the like.

    Raises: InputError for a job that is not defined.
    """
    from flyball.app.governor_wiring import workplace

    fills = {key: str(value) for key, value in (params or {}).items()}
    return workplace().governed.submit_job(job, fills=fills).run.run_id


def status(run_id: str) -> RunStatus | None:
    """Where a run is; None for one that the governor does not look after. Raises: InputError for an unknown id."""
    from flyball.app.governor_wiring import workplace

    return workplace().governed.status(run_id)


def wait(run_ids: Sequence[str], *, timeout: str | None = None) -> list[RunStatus] | None:
    """How the runs ended, in that order; None when `timeout` ("2h") came first. Raises: InputError."""
    import time

    from flyball.app.governor_wiring import workplace
    from flyball.model.units import parse_seconds

    until = None if timeout is None else time.time() + parse_seconds(timeout)
    return workplace().governed.wait(run_ids, until_seconds=until)


def cancel(run_id: str, *, reason: str = "cancelled from Python") -> bool:
    """Whether there was anything to cancel. Raises: InputError for an unknown id."""
    from flyball.app.governor_wiring import workplace

    return workplace().governed.cancel(run_id, reason)


def jobs() -> list[JobSummary]:
    """One line a job, the one that ran last first."""
    from flyball.app.wiring import client

    return client().jobs()


def runs(job: str | None = None, *, newest: int | None = None) -> Sequence[AttemptRow]:
    """Attempts of one job or of all, oldest first. Raises: InputError for a job without runs."""
    from flyball.app.wiring import client

    flyball = client()
    return flyball.rows(newest=newest) if job is None else flyball.rows_of(job, newest=newest)


def plan(job: str, *, inputs: Sequence[str] = (), params: Mapping[str, object] | None = None) -> Plan:
    """What the next run of a job should get, why, and where it would be cheapest. Raises: InputError."""
    from flyball.app.request import features_of_next
    from flyball.app.wiring import client

    flyball = client()
    given = [f"{key}={value}" for key, value in (params or {}).items()]
    return flyball.plan(job, features_of_next(job, inputs, given, flyball))[0]
