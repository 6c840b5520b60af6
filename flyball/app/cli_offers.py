"""`flyball offers` and `flyball catalog`: what is for sale, and how flyball comes to know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from flyball.app.terminal import emit, emit_json, look
from flyball.errors import InputError
from flyball.model.resource import Arch, Market

if TYPE_CHECKING:
    from flyball.app.wiring import ImportResult, RefreshResult
    from flyball.model.resource import Size
    from flyball.policy.placement import Wanted

as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.command("offers")
@click.option("-c", "--cpus", metavar="CORES", default="1", show_default=True, help="vCPUs it must have.")
@click.option(
    "-m", "--memory", metavar="SIZE", default="1GiB", show_default=True, help="Memory it must have."
)
@click.option("--gpu", metavar="N|MODEL|MODEL:N", help="GPUs it must have: 1, a100, l4:4.")
@click.option("--arch", type=click.Choice([arch.value for arch in Arch]))
@click.option("--cloud", "clouds", multiple=True, help="aws, gcp, azure; several times for several.")
@click.option("--region", "regions", multiple=True)
@click.option("--spot", "market", flag_value="spot", help="Spot only.")
@click.option("--on-demand", "market", flag_value="on_demand", help="On demand only.")
@click.option("--max-price", type=float, metavar="USD", help="Dollars an hour at most.")
@click.option(
    "--job", help="Rank for the next run of this job; default: an hour of work on all the cores asked for."
)
@click.option("-n", "--most", type=click.IntRange(1), help="How many; default: 20, with --json all.")
@as_json_option
def offers_command(**options: Any) -> None:
    """Rank machines for sale by expected dollars per finished run: price x time + boot + rework after interruptions."""
    from flyball.app import render
    from flyball.app.wiring import client

    need, wanted = _need(options), _wanted(options)
    flyball = client()
    ranking = flyball.offers(need, wanted, job=options["job"])
    if not len(ranking):
        raise InputError(
            "no offer holds that",
            why=ranking.why_empty(),
            hint="fewer conditions, or flyball catalog refresh aws",
        )
    if options["as_json"]:
        emit_json(render.offers_json(ranking[: options["most"]]))
        return
    emit(render.offers_table(ranking[: options["most"] or 20], look()))
    as_of = flyball.catalog.as_of()
    age = f"; the oldest prices are {_age(as_of, datetime.now(UTC).date())}" if as_of else ""
    emit(f"{len(ranking):,} of {ranking.considered:,} offers fit{age}")


def _need(options: dict[str, Any]) -> Size:
    from flyball.model.resource import Size
    from flyball.model.units import parse_bytes, parse_cores

    _, count = _gpu(options["gpu"])
    return Size(
        cpu_cores=parse_cores(options["cpus"]), memory_bytes=parse_bytes(options["memory"]), gpus=count
    )


def _wanted(options: dict[str, Any]) -> Wanted:
    from flyball.policy.placement import Wanted

    models, _ = _gpu(options["gpu"])
    return Wanted(
        clouds=options["clouds"],
        regions=options["regions"],
        arch=Arch(options["arch"]) if options["arch"] else None,
        market=Market(options["market"]) if options["market"] else None,
        max_price_usd_per_hour=options["max_price"],
        gpu_models=models,
    )


def _gpu(text: str | None) -> tuple[tuple[str, ...], int]:
    """(models, count) of "1", "a100", "a100:4". Raises: InputError."""
    if text is None:
        return (), 0
    model, colon, count = text.partition(":")
    if not colon and model.isdigit():
        model, count = "", model
    if (count or "1").isdigit() and int(count or "1") > 0 and (model or count):
        return ((model,) if model else ()), int(count or "1")
    raise InputError(f"--gpu {text!r} is not understood", hint="--gpu 1, --gpu a100 or --gpu a100:4")


@click.group("catalog")
def catalog_group() -> None:
    """Look after the catalogue of machines and prices."""


@catalog_group.group("refresh")
def refresh_group() -> None:
    """Fetch machines and prices from a cloud."""


@refresh_group.command("aws")
@click.option("--region", "regions", multiple=True, default=("us-east-1",), show_default=True)
@click.option("--profile", help="AWS profile; default: as the AWS tools find it.")
@click.option(
    "--spot-advisor", metavar="FILE", help="Interruption bands: a saved copy of the public Spot Advisor data."
)
@as_json_option
def refresh_aws_command(
    regions: Sequence[str], profile: str | None, spot_advisor: str | None, as_json: bool
) -> None:
    """Fetch instance types, on-demand prices and spot prices per zone. Needs: pip install 'flyball[aws]'."""
    from flyball.app.wiring import refresh_aws_catalog

    result = refresh_aws_catalog(
        regions=regions,
        profile=profile,
        spot_advisor=spot_advisor,
        progress=lambda words: click.echo(f"flyball: {words}", err=True),
    )
    emit_json(result) if as_json else emit(_refreshed_words(result))


@catalog_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@as_json_option
def import_catalog_command(file: str, as_json: bool) -> None:
    """Take offers from FILE (CSV or Parquet; columns in docs/catalog.md). Wrong rows are refused and listed."""
    from flyball.app.wiring import import_catalog_file

    result = import_catalog_file(file)
    emit_json(result) if as_json else emit(_imported_words(result))


@catalog_group.command("show")
@as_json_option
def show_catalog_command(as_json: bool) -> None:
    """Say where the offers come from, how many there are, and how old they are."""
    from flyball.app.wiring import catalog

    found = catalog()
    for problem in found.problems:
        click.echo(f"flyball: warning: {problem}", err=True)
    if as_json:
        emit_json(found.parts())
        return
    today = datetime.now(UTC).date()
    for part in found.parts():
        emit(
            f"{part.cloud} {part.region} {part.market}: {part.offers:,} offers, {_age(part.as_of, today)}, {part.origin}"
        )


def _age(as_of: date, today: date) -> str:
    days = (today - as_of).days
    return f"as of {as_of} ({days} day{'s' * (days != 1)} old)"


def _refreshed_words(result: RefreshResult) -> str:
    lines = [f"{result.offers:,} offers fetched; interruption rates: {result.interruption_source}"]
    for region in result.regions:
        lines.append(
            f"{region.region}: {region.machine_types:,} machine types, {region.on_demand_offers:,} on demand,"
            f" {region.spot_offers:,} spot; {len(region.unpriced)} without a price, {region.refused} refused"
        )
        lines += [f"  refused: {refusal}" for refusal in region.refusals]
    return "\n".join(lines)


def _imported_words(result: ImportResult) -> str:
    lines = [f"{result.accepted:,} offers accepted, {result.refused:,} refused"]
    lines += [
        f"  line {refusal.line} ({refusal.instance_type}): {refusal.reason}" for refusal in result.refusals
    ]
    return "\n".join(lines)
