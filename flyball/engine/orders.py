"""From what was planned to what a provider is told, with the secrets that the log does not hold."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.model.facts import HostPlanned
from flyball.model.machine import Launch
from flyball.model.receipt import Limits
from flyball.model.resource import Size
from flyball.policy.commands import StartAttempt
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
        success=run.spec.success,
        spot=run.spec.spot,
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


def filled(text: str, fills: Mapping[str, str]) -> str:
    """{day} and the like replaced by what they stand for in this run; other braces stay as they are."""
    for name, value in fills.items():
        text = text.replace("{" + name + "}", value)
    return text
