"""From what was planned to what a provider is told, with the secrets that the log does not hold."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from flyball.model.facts import HostPlanned
from flyball.model.machine import Launch
from flyball.model.receipt import Limits
from flyball.model.resource import Size
from flyball.model.spec import SpotAsk, SuccessRules
from flyball.policy.commands import StartAttempt
from flyball.policy.schedule_run import filled
from flyball.ports.papers import Paper


def order_for_attempt(command: StartAttempt, paper: Paper, lease_seconds: float) -> Launch:
    planned, run = command.planned, command.run
    fills = run.submitted.fills
    return Launch(
        run_id=planned.run_id,
        attempt_id=planned.attempt_id,
        job=run.job,
        offer=planned.offer,
        size=planned.size,
        limits=planned.limits,
        command=tuple(filled(word, fills) for word in paper.command),
        env={name: filled(value, fills) for name, value in paper.env.items()},
        workdir=run.spec.workdir,
        tags=run.run.tags,
        success=_rules(run.spec.success, fills),
        spot=_spot(run.spec.spot, fills),
        lease_seconds=lease_seconds,
        host_id=planned.host_id,
    )


def order_for_host(planned: HostPlanned, lease_seconds: float) -> Launch:
    offer = planned.offer
    return Launch(
        run_id="",
        attempt_id=planned.host_id,
        job="",
        offer=offer,
        size=Size(cpu_cores=offer.vcpus, memory_bytes=offer.memory_bytes, gpus=offer.gpus),
        limits=Limits(),
        lease_seconds=lease_seconds,
        is_host=True,
    )


def _rules(rules: SuccessRules, fills: Mapping[str, str]) -> SuccessRules:
    return replace(
        rules,
        outputs=tuple(filled(text, fills) for text in rules.outputs),
        check=tuple(filled(text, fills) for text in rules.check),
        rows=tuple(replace(row, path=filled(row.path, fills)) for row in rules.rows),
    )


def _spot(ask: SpotAsk, fills: Mapping[str, str]) -> SpotAsk:
    """Each day's run resumes from its own checkpoint."""
    return ask if ask.checkpoint is None else replace(ask, checkpoint=filled(ask.checkpoint, fills))
