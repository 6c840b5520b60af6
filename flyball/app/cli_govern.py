"""Commands around the governor: up, submit, ps, cancel, retry, wait, pause, resume, apply, check, machines, costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyball.app.terminal import emit, emit_json, look
from flyball.errors import EXIT_TIMED_OUT, InputError

if TYPE_CHECKING:
    from flyball.app.governor_wiring import Workplace
    from flyball.model.status import RunStatus

as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
files_argument = click.argument("files", nargs=-1, type=click.Path(path_type=Path))


def workplace() -> Workplace:
    from flyball.app.governor_wiring import workplace as opened

    return opened()


def find_run_id(place: Workplace, text: str) -> str:
    """The id of a run by its id, or the only one that begins or ends so, or "last". Raises: InputError."""
    if text in place.governed.snapshot.runs:
        return text
    from flyball.app.wiring import client

    near = [
        run_id for run_id in place.governed.snapshot.runs if run_id.startswith(text) or run_id.endswith(text)
    ]
    return near[0] if len(near) == 1 else client().find_run(text).run.run_id


@click.command("up")
@click.option("--until-idle", is_flag=True, help="End when nothing waits or runs any more.")
@click.option("--tick", "tick", metavar="TIME", help="How often to look when nothing runs. Default: 2s.")
@click.option("--api", metavar="HOST:PORT", help="Serve the HTTP API there, e.g. 127.0.0.1:8765.")
@click.option("--api-anywhere", is_flag=True, help="Allow an address that other machines can reach.")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Definitions; default: the nearest flyball.toml.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings.")
@click.option("--json", "as_json", is_flag=True, help="Every fact as one line of JSON on stdout.")
def up_command(  # noqa: PLR0917
    until_idle: bool,
    tick: str | None,
    api: str | None,
    api_anywhere: bool,
    files: tuple[Path, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    """Govern: start what is due, recover what is lost, give back what is done. Ctrl-C ends it; runs go on.

    It may be killed at any moment and started again; several may run on one store.
    """
    from flyball.app.up import UpOptions, up
    from flyball.model.units import parse_seconds

    return up(
        UpOptions(
            until_idle=until_idle,
            as_json=as_json,
            quiet=quiet,
            files=files,
            api=api,
            api_anywhere=api_anywhere,
            tick_seconds=parse_seconds(tick) if tick else None,
        )
    )


@click.command("apply")
@files_argument
@as_json_option
def apply_command(files: tuple[Path, ...], as_json: bool) -> None:
    """Record the jobs that flyball.toml (or FILES, .toml or .py) defines; flyball up then starts them."""
    from flyball.app.event_words import event_words
    from flyball.app.governor_wiring import definitions

    place = workplace()
    found = definitions(place, files)
    if found is None:
        raise InputError("there is no flyball.toml here or above", hint="flyball apply FILE")
    facts = place.governed.change(found.changes)
    for warning in found.warnings:
        click.echo(f"flyball: warning: {warning}", err=True)
    if as_json:
        emit_json(facts)
    else:
        emit("\n".join(filter(None, map(event_words, facts))) or f"{len(found.jobs)} jobs, nothing changed")


@click.command("check")
@files_argument
@as_json_option
def check_command(files: tuple[Path, ...], as_json: bool) -> None:
    """Say what is wrong with flyball.toml (or FILES), with its line, and record nothing."""
    from flyball.app.govern_pages import defined_json, defined_page
    from flyball.app.governor_wiring import definitions
    from flyball.model.snapshot import JobState

    place = workplace()
    found = definitions(place, files)
    if found is None:
        raise InputError("there is no flyball.toml here or above", hint="flyball check FILE")
    now_seconds = time.time()
    jobs = [JobState(spec=spec, applied_at_seconds=now_seconds) for spec in found.jobs]
    if as_json:
        emit_json({"jobs": defined_json(jobs, now_seconds), "warnings": found.warnings})
        return
    for warning in found.warnings:
        click.echo(f"flyball: warning: {warning}", err=True)
    emit(defined_page(jobs, look(), now_seconds) if jobs else "no jobs are defined")


@click.command("submit")
@click.argument("job")
@click.option(
    "--for",
    "span",
    metavar="FIRST..LAST",
    help="One run per day (or month, or hour) of 2026-10-01..2026-10-31.",
)
@click.option(
    "--at-once",
    default=4,
    show_default=True,
    type=click.IntRange(1),
    help="With --for: how many run at once.",
)
@click.option(
    "-p", "--param", "params", multiple=True, metavar="K=V", help="What {K} stands for in its command."
)
@click.option("--wait", "wait_for", is_flag=True, help="Wait until it has ended.")
@as_json_option
def submit_command(  # noqa: PLR0917
    job: str, span: str | None, at_once: int, params: tuple[str, ...], wait_for: bool, as_json: bool
) -> int:
    """Submit a run of JOB now and print its id; flyball up starts it."""
    from flyball.app.govern_pages import submitted_json
    from flyball.app.run_options import pairs

    place = workplace()
    fills = pairs(params, "--param")
    if span is None:
        submitted = [place.governed.submit_job(job, fills=fills)]
    else:
        submitted = place.governed.backfill(job, span, at_once=at_once, fills=fills)
    if as_json and not wait_for:
        emit_json(submitted_json(submitted))
    elif not as_json:
        emit("\n".join(each.run.run_id for each in submitted))
    if not wait_for:
        return 0
    return _wait(place, [each.run.run_id for each in submitted], None, as_json=as_json)


@click.command("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="With the newest ended ones.")
@click.option(
    "-n",
    "--newest",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="With --all: how many ended ones.",
)
@as_json_option
def ps_command(everything: bool, newest: int, as_json: bool) -> None:
    """List runs that wait or run, why and since when."""
    from flyball.app.govern_pages import ps_page, status_json

    governed = workplace().governed
    statuses = [*(governed.ended(newest=newest) if everything else []), *governed.live()]
    if as_json:
        emit_json([status_json(status) for status in statuses])
    else:
        emit(ps_page(statuses, look(), time.time()))


@click.command("defined")
@as_json_option
def defined_command(as_json: bool) -> None:
    """List defined jobs: what starts them, and when next."""
    from flyball.app.govern_pages import defined_json, defined_page

    jobs = workplace().governed.jobs()
    if as_json:
        emit_json(defined_json(jobs, time.time()))
    else:
        emit(defined_page(jobs, look(), time.time()) if jobs else "no jobs are defined\n  try: flyball apply")


@click.command("cancel")
@click.argument("runs", nargs=-1, required=True)
@as_json_option
def cancel_command(runs: tuple[str, ...], as_json: bool) -> None:
    """Cancel RUNS: what runs is ended, and nothing more is started for them."""
    place = workplace()
    done = [(run_id, place.governed.cancel(run_id)) for run_id in [find_run_id(place, text) for text in runs]]
    if as_json:
        emit_json([{"run_id": run_id, "asked": asked} for run_id, asked in done])
    else:
        emit(
            "\n".join(
                f"{run_id} {'is to be cancelled' if asked else 'had ended already'}" for run_id, asked in done
            )
        )


@click.command("retry")
@click.argument("run")
@as_json_option
def retry_command(run: str, as_json: bool) -> None:
    """Submit again what RUN was, as a run of its own, and print its id."""
    from flyball.app.govern_pages import submitted_json

    place = workplace()
    submitted = place.governed.retry(find_run_id(place, run))
    if as_json:
        emit_json(submitted_json([submitted])[0])
    else:
        emit(submitted.run.run_id)


@click.command("wait")
@click.argument("runs", nargs=-1, required=True)
@click.option("--timeout", metavar="TIME", help="At most so long, e.g. 2h; then the exit code is 124.")
@as_json_option
def wait_command(runs: tuple[str, ...], timeout: str | None, as_json: bool) -> int:
    """Wait until RUNS have ended. The exit code is 0 when all succeeded, else 1."""
    from flyball.model.units import parse_seconds

    place = workplace()
    until = None if timeout is None else time.time() + parse_seconds(timeout)
    return _wait(place, [find_run_id(place, text) for text in runs], until, as_json=as_json)


def _wait(place: Workplace, run_ids: list[str], until: float | None, *, as_json: bool) -> int:
    from flyball.app.govern_pages import ps_page, status_json

    statuses = place.governed.wait(run_ids, until_seconds=until)
    if statuses is None:
        click.echo("flyball: not ended yet", err=True)
        return EXIT_TIMED_OUT
    if as_json:
        emit_json([status_json(status) for status in statuses])
    else:
        emit(ps_page(statuses, look(), time.time()))
    return 0 if all(_succeeded(status) for status in statuses) else 1


def _succeeded(status: RunStatus) -> bool:
    return status.state == "succeeded"


@click.command("pause")
@click.argument("job")
@click.option("--reason", default="", metavar="TEXT", help="Why, for those who wonder.")
def pause_command(job: str, reason: str) -> None:
    """Let nothing start JOB by itself until it is resumed; what runs goes on."""
    workplace().governed.pause(job, reason)
    emit(f"job {job} is paused\n  resume it: flyball resume {job}")


@click.command("resume")
@click.argument("job")
def resume_command(job: str) -> None:
    """Start JOB by itself again."""
    workplace().governed.resume(job)
    emit(f"job {job} is resumed")


@click.command("machines")
@as_json_option
def machines_command(as_json: bool) -> None:
    """List every machine that is held: for what, since when, what it has cost; zombies too."""
    from flyball.app.governor_wiring import machines

    rows = machines(workplace())
    from flyball.app.machines_pages import machines_json, machines_page

    emit_json(machines_json(rows)) if as_json else emit(machines_page(rows, look()))


@click.command("costs")
@click.option(
    "--by",
    default="job",
    show_default=True,
    metavar="KIND",
    help="job, tag:KEY, day, provider, outcome or market.",
)
@click.option("--since", metavar="WHEN", help="30d, or 2026-11-01.")
@click.option("--until", metavar="WHEN", help="Likewise.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout.")
@as_json_option
def costs_command(by: str, since: str | None, until: str | None, as_csv: bool, as_json: bool) -> None:
    """Say what runs cost, what of it was wasted, and what was saved against on demand at the size asked for."""
    from flyball.app.costs_pages import costs_csv, costs_json, costs_of, costs_page

    found = costs_of(workplace().store.rows(), by=by, since=since, until=until, now_seconds=time.time())
    if as_csv:
        emit(costs_csv(found))
    else:
        emit_json(costs_json(found)) if as_json else emit(costs_page(found, look()))


@click.command("whatif")
@click.option("--since", metavar="WHEN", help="30d, or 2026-11-01. Default: everything.")
@click.option("--until", metavar="WHEN", help="Likewise.")
@click.option("--job", "jobs", multiple=True, metavar="JOB", help="Only this job.")
@click.option("--seed", default=0, show_default=True, help="Of the simulated spot market.")
@as_json_option
def whatif_command(
    since: str | None, until: str | None, jobs: tuple[str, ...], seed: int, as_json: bool
) -> None:
    """Replay your own history through the same governor on a simulated cloud: what would it have cost?"""
    from flyball.app.whatif_command import replayed
    from flyball.app.whatif_pages import whatif_json, whatif_page

    found = replayed(since=since, until=until, jobs=jobs, seed=seed)
    emit_json(whatif_json(found)) if as_json else emit(whatif_page(found, look()))


GOVERN_COMMANDS = (
    whatif_command,
    up_command,
    apply_command,
    check_command,
    submit_command,
    ps_command,
    cancel_command,
    retry_command,
    wait_command,
    pause_command,
    resume_command,
    machines_command,
    costs_command,
)
