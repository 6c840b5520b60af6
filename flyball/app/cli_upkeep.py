"""Commands about flyball itself: what works here, history from elsewhere, the store, completion."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from flyball.app.terminal import emit, emit_json, look

FORMATS = ("nextflow", "snakemake", "slurm", "resource-tracker")

as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.command("import")
@click.argument("format_", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("file", type=click.Path(exists=True, readable=True))
@as_json_option
def import_command(format_: str, file: str, as_json: bool) -> None:
    """Take over history from FILE, so that day one is not empty. Doing it twice adds nothing.

    FORMAT is nextflow (trace.txt), snakemake (benchmark TSV), slurm (sacct --parsable2) or resource-tracker (CSV).
    """
    from flyball.app.wiring import client, read_history_file

    imported = read_history_file(format_, file)
    added = client().record(imported.facts)
    if as_json:
        emit_json({"runs_added": added, "refused": imported.refused})
        return
    for refusal in imported.refused:
        click.echo(f"flyball: {file}: {refusal}", err=True)
    emit(f"{_count(added, 'run')} added, {_count(len(imported.refused), 'line')} refused")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


@click.command("doctor")
@as_json_option
def doctor_command(as_json: bool) -> None:
    """Say what works on this machine, and how to fix what does not. Exit code 1 when something is broken."""
    from flyball.app.doctor import diagnose, doctor_json, doctor_page
    from flyball.app.wiring import client

    flyball = client()
    findings = diagnose(
        home=flyball.home,
        open_store=lambda: flyball.store,
        catalog_as_of=flyball.catalog.as_of,
        today=datetime.now(UTC).date(),
    )
    emit_json(doctor_json(findings)) if as_json else emit(doctor_page(findings, look()))
    if any(finding.ok is False for finding in findings):
        sys.exit(1)


@click.group("store")
def store_group() -> None:
    """Look after the store of facts."""


@store_group.command("repair")
@as_json_option
def repair_command(as_json: bool) -> None:
    """Save every fact that can still be read into a fresh store; the damaged file is kept beside it."""
    from flyball.app.wiring import repair_store

    repaired = repair_store()
    emit_json(repaired) if as_json else emit(str(repaired))


@store_group.command("tidy")
@click.option("--logs-older-than", metavar="TIME", help="Also remove kept output older than this, e.g. 90d.")
@as_json_option
def tidy_command(logs_older_than: str | None, as_json: bool) -> None:
    """Pack the samples of ended runs into Parquet. Now and then `flyball run` does this by itself."""
    from flyball.app.wiring import client
    from flyball.model.units import parse_seconds, show_bytes

    tidied = client().tidy(
        logs_older_than_seconds=parse_seconds(logs_older_than) if logs_older_than else None
    )
    words = (
        f"{tidied.attempts_packed} attempts packed, {show_bytes(tidied.log_bytes_removed)} of output removed"
    )
    emit_json(tidied) if as_json else emit(words)
