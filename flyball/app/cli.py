"""The command line: each command parses, calls the client, and renders. `flyball run` is in cli_run.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flyball import __version__
from flyball.app.cli_govern import GOVERN_COMMANDS, defined_command
from flyball.app.cli_offers import catalog_group, offers_command
from flyball.app.cli_run import run_command
from flyball.app.cli_upkeep import doctor_command, import_command, store_group
from flyball.app.terminal import emit, emit_json, look

if TYPE_CHECKING:
    from flyball.client import Client
    from flyball.model.plan import Plan
    from flyball.model.summary import JobSummary

as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="flyball %(version)s")
def cli() -> None:
    """The governor for batch jobs: record what a run used, choose what the next one gets.

    Start with: flyball run -- COMMAND
    """


def run_cli(arguments: Sequence[str]) -> int:
    """The exit code of what the arguments ask for. Raises: FlyballError."""
    try:
        code = cli.main(args=list(arguments), prog_name="flyball", standalone_mode=False)
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0


def client(hit_limit: str | None = None) -> Client:
    from flyball.app.wiring import client as wired

    return wired(hit_limit=hit_limit)


@cli.group(invoke_without_command=True)
@as_json_option
@click.pass_context
def jobs(ctx: click.Context, as_json: bool) -> None:
    """List jobs: what their runs used lately, and what comes next."""
    if ctx.invoked_subcommand is not None:
        return
    from flyball.app import render

    flyball = client()
    summaries = [_with_plan(summary, flyball.kept_plan(summary.job)) for summary in flyball.jobs()]
    if as_json:
        emit_json(render.jobs_json(summaries))
    else:
        emit(render.jobs_table(summaries, look()))


def _with_plan(summary: JobSummary, plan: Plan | None) -> JobSummary:
    from msgspec.structs import replace

    from flyball.app.narrate import plan_words

    return replace(summary, next_plan=plan_words(plan, look())) if plan else summary


@jobs.command("rename")
@click.argument("old")
@click.argument("new")
@click.option(
    "--run", "run", metavar="RUN", help="Move only this run, e.g. one that was taken for the wrong job."
)
@as_json_option
def rename(old: str, new: str, run: str | None, as_json: bool) -> None:
    """Give the runs of job OLD, and those to come, the name NEW; two histories become one if NEW exists."""
    flyball = client()
    renamed = flyball.rename(old, new, only_run_id=flyball.find_run(run).run.run_id if run else None)
    if as_json:
        emit_json(renamed)
    else:
        joined = f", joined to the history that {new!r} had" if renamed.joined else ""
        emit(f"{renamed.runs} runs of {old!r} now belong to {new!r}{joined}")


@cli.command()
@click.argument("job", required=False)
@click.option(
    "-n", "--newest", default=20, show_default=True, type=click.IntRange(1), help="How many attempts."
)
@as_json_option
def runs(job: str | None, newest: int, as_json: bool) -> None:
    """List the newest runs, of JOB or of all."""
    from flyball.app import render

    rows = client().rows_of(job, newest=newest) if job else client().rows(newest=newest)
    if as_json:
        emit_json(render.runs_json(rows))
    else:
        emit(render.runs_table(rows, look()))


@cli.command()
@click.argument("run_or_job")
@as_json_option
def show(run_or_job: str, as_json: bool) -> None:
    """Show a run (its use over time) or a job (its runs). RUN is an id, its beginning or end, or "last"."""
    from flyball.app import render

    flyball = client()
    found = flyball.find(run_or_job)
    if isinstance(found, str):
        view = flyball.job_view(found)
        emit_json(render.job_json(view)) if as_json else emit(render.job_page(view, look()))
    else:
        samples = flyball.samples_of(found)
        emit_json(render.run_json(found, samples)) if as_json else emit(
            render.run_page(found, samples, look=look())
        )


@cli.command()
@click.argument("run")
@as_json_option
def why(run: str, as_json: bool) -> None:
    """Say why a run got what it got: every decision with its reason and its evidence."""
    from flyball.app import render

    state = client().find_run(run)
    emit_json(render.why_json(state)) if as_json else emit(render.why_page(state, look=look()))


@cli.command()
@click.argument("job")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="PATH_OR_URL",
    help="The next run's input, as for flyball run.",
)
@click.option("-p", "--param", "params", multiple=True, metavar="K=V", help="The next run's parameters.")
@click.option(
    "--hit-limit",
    metavar="PERCENT",
    help="At most this share of runs may hit the limit, e.g. 2%. Default: priced.",
)
@as_json_option
def plan(
    job: str, inputs: tuple[str, ...], params: tuple[str, ...], hit_limit: str | None, as_json: bool
) -> None:
    """Say what the next run of JOB should get, why, and where it would be cheapest."""
    from flyball.app import render
    from flyball.app.request import features_of_next

    flyball = client(hit_limit)
    planned, choices = flyball.plan(job, features_of_next(job, inputs, params, flyball))
    emit_json(render.plan_json(planned, choices)) if as_json else emit(
        render.plan_page(planned, choices, look())
    )


@cli.command()
@click.argument("run")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt; default: the last.")
@click.option("-f", "--follow", is_flag=True, help="Go on as it comes, until the run has ended.")
def logs(run: str, attempt: int | None, follow: bool) -> None:
    """Print the output of a run, as it was kept or as it comes."""
    from flyball.app.logs_command import follow_log, print_log

    flyball = client()
    state = flyball.find_run(run)
    if follow:
        follow_log(flyball, state.run.run_id)
    else:
        print_log(flyball, state, attempt)


@cli.command()
@click.argument("run_or_job")
@click.option("-o", "--output", required=True, metavar="FILE.html", help="Where to write the page.")
def report(run_or_job: str, output: str) -> None:
    """Write one self-contained HTML page about a run or a job, with pictures."""
    from flyball.app.report_file import write_report

    size_bytes = write_report(client(), run_or_job, output)
    click.echo(f"wrote {output} ({size_bytes / 1000:.0f} kB)", err=True)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL: eval "$(flyball completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    emit(kind(cli, {}, "flyball", "_FLYBALL_COMPLETE").source())


for command in (run_command, *GOVERN_COMMANDS):
    cli.add_command(command)
jobs.add_command(defined_command)
cli.add_command(offers_command)
cli.add_command(catalog_group)
cli.add_command(import_command)
cli.add_command(store_group)
cli.add_command(doctor_command)
