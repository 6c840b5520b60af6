"""The HTTP API's commands, done on a store connection of its own beside the governor's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flyball.app import governor_wiring as wiring
from flyball.app.costs_pages import costs_of
from flyball.app.event_words import event_words
from flyball.app.follow import LogFollower
from flyball.app.govern_pages import starts_words
from flyball.app.logs_command import attempts_of
from flyball.app.run_flags import defaults
from flyball.app.run_on import spec_of_command
from flyball.app.shown_errors import say
from flyball.app.wiring import client
from flyball.errors import InputError
from flyball.model.facts import AttemptPlanned, MachineReleased
from flyball.model.status import RunStatus
from flyball.policy.costs import Costs, costs
from flyball.policy.schedule import next_due_seconds
from flyball.web.commands import AttemptView, CommandAsk, JobView, MachineView, RunView, Step
from flyball.web.server import serving

if TYPE_CHECKING:
    from pathlib import Path

    from flyball.app.governor_wiring import Workplace
    from flyball.model.facts import RunSubmitted
    from flyball.model.history import RunState


@contextmanager
def serve(address: str, *, anywhere: bool) -> Iterator[None]:
    """Serves while the block runs. Raises: InputError for an address that cannot be had."""
    place = wiring.workplace()
    with serving(ApiCommands(place), address, home=place.home, anywhere=anywhere) as served:
        say(f"HTTP API at {served.url}; its token is in {served.token_file}")
        yield


class ApiCommands:
    """flyball.web.commands.Commands on one home."""

    def __init__(self, place: Workplace) -> None:
        self._place, self._governed = place, place.governed

    def submit_job(
        self, name: str, *, fills: Mapping[str, str], tags: Mapping[str, str], run_id: str | None
    ) -> RunStatus:
        spec = self._governed.job(name).spec
        return self._status(
            self._governed.submit(spec, cause="HTTP API", fills=fills, run_id=run_id, tags=tags)
        )

    def submit_command(self, ask: CommandAsk, *, run_id: str | None) -> RunStatus:
        options: dict[str, Any] = {
            **defaults(),
            "command": ask.command,
            "name": ask.name,
            "on": ",".join(ask.providers),
            "workdir": ask.workdir,
            "env": tuple(f"{key}={value}" for key, value in ask.env.items()),
            "tags": tuple(f"{key}={value}" for key, value in ask.tags.items()),
            "memory": ask.memory,
            "cpus": ask.cpus,
            "retries": str(ask.retries),
            "timeout": ask.timeout,
            "deadline": ask.deadline,
        }
        spec, tags = spec_of_command(options, client(), self._place)
        return self._status(self._governed.submit(spec, cause="HTTP API", run_id=run_id, tags=tags))

    def cancel(self, run_id: str, reason: str) -> bool:
        return self._governed.cancel(run_id, reason or "cancelled over the HTTP API")

    def retry(self, run_id: str) -> RunStatus:
        return self._status(self._governed.retry(run_id))

    def runs(self, *, newest: int, with_ended: bool) -> Sequence[RunStatus]:
        ended = self._governed.ended(newest=newest) if with_ended else []
        return [*ended, *self._governed.live()][-newest:]

    def run(self, run_id: str) -> RunView | None:
        state = self._place.store.run(run_id)
        status = self._governed.status(run_id) if state else None
        if state is None or status is None:
            return None
        told = [(fact.at_seconds, event_words(fact)) for fact in (state.submitted, *state.story)]
        return RunView(
            status=status,
            command=state.run.command,
            fills=state.submitted.fills,
            tags=state.run.tags,
            attempts=_attempts(state),
            reasons=tuple(Step(at_seconds=at, words=words) for at, words in told if words),
        )

    def log(self, attempt_id: str) -> LogFollower | None:
        path = self._log_path(attempt_id)
        return LogFollower(str(path)) if path.parent.exists() else None

    def jobs(self) -> Sequence[JobView]:
        now_seconds = time.time()
        return [
            JobView(
                name=job.spec.name,
                starts=starts_words(job),
                paused=job.paused,
                next_seconds=next_due_seconds(job, now_seconds),
                last_result=job.last_result.value if job.last_result else None,
                last_ended_seconds=job.last_ended_at_seconds,
                providers=job.spec.providers,
                tags=job.spec.tags,
            )
            for job in self._governed.jobs()
        ]

    def pause(self, job: str, reason: str) -> None:
        self._governed.pause(job, reason)

    def resume(self, job: str) -> None:
        self._governed.resume(job)

    def machines(self) -> Sequence[MachineView]:
        return [
            MachineView(
                attempt_id=line.attempt_id,
                provider=line.provider,
                stage=line.state,
                run_id=line.run_id or None,
                job=line.job or None,
                instance_type=line.instance_type,
                market=line.market,
                launched_at_seconds=line.since_seconds,
                cost_usd=None if line.cost_usd is None else float(line.cost_usd),
                is_zombie=line.state == "zombie",
            )
            for line in wiring.machines(self._place)
        ]

    def costs(self, *, by: str, since_seconds: float | None) -> Costs:
        kind, _, tag_key = by.replace(" ", ":", 1).partition(":")
        costs_of(
            (), by=f"{kind}:{tag_key}" if tag_key else kind, now_seconds=time.time()
        )  # refuses what is unknown
        return costs(self._place.store.rows(), by=kind, tag_key=tag_key or None, since_seconds=since_seconds)

    def _status(self, submitted: RunSubmitted) -> RunStatus:
        status = self._governed.status(submitted.run.run_id)
        if status is None:
            raise InputError(
                f"run {submitted.run.run_id} is not the governor's", hint="another Idempotency-Key"
            )
        return status

    def _log_path(self, attempt_id: str) -> Path:
        return self._place.home / "runs" / attempt_id / "log"


def _attempts(state: RunState) -> tuple[AttemptView, ...]:
    planned = {fact.attempt_id: fact for fact in state.story if isinstance(fact, AttemptPlanned)}
    charges = {fact.attempt_id: fact.charge for fact in state.story if isinstance(fact, MachineReleased)}
    starts = {start.attempt_id: start.at_seconds for start in state.started}
    ends = {end.attempt_id: end for end in state.ended}
    found = []
    for attempt_id in attempts_of(state):
        plan, end, charge = planned.get(attempt_id), ends.get(attempt_id), charges.get(attempt_id)
        found.append(
            AttemptView(
                attempt_id=attempt_id,
                provider=plan.provider if plan else None,
                instance_type=plan.offer.instance_type if plan else None,
                market=plan.offer.market.value if plan else None,
                outcome=end.receipt.outcome.value if end else None,
                exit_code=end.receipt.exit_code if end else None,
                started_at_seconds=starts.get(attempt_id),
                ended_at_seconds=end.receipt.ended_at_seconds if end else None,
                reason=plan.reason if plan else "",
                cost_usd=float(charge.usd) if charge else None,
            )
        )
    return tuple(found)
