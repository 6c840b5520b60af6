"""decide and correct: what is recorded next, and what is done about it. No I/O, no clock.

observe is in observing.py. Each decision has a file of its own; this one says in which order they are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from flyball.model.facts import AnyFact, RunEnded, RunHeld
from flyball.model.machine import Machine
from flyball.model.snapshot import LiveRun, Snapshot
from flyball.policy.alerts import alerts
from flyball.policy.commands import Command, GiveBack, StartAttempt, StartHost, StopAttempts
from flyball.policy.failover import Placed, place
from flyball.policy.holds import Room
from flyball.policy.moves import to_move
from flyball.policy.next_step import Finish, Launchable, Waiting, next_step, without_risk_at_last
from flyball.policy.packing import hosts_to_end
from flyball.policy.schedule import due_runs
from flyball.policy.timeouts import to_stop
from flyball.policy.triggers import triggered_runs

if TYPE_CHECKING:
    from flyball.policy.known import Known


def decide(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[AnyFact, ...]:
    """What we want next, each with its reason."""
    facts: list[AnyFact] = [*to_stop(snapshot, known, now_seconds), *to_move(snapshot, known, now_seconds)]
    if known.only is None:
        facts += due_runs(snapshot, now_seconds)
        facts += triggered_runs(snapshot, now_seconds)
        facts += hosts_to_end(snapshot, known, now_seconds)
        facts += alerts(snapshot, known, now_seconds)
    room = Room(snapshot, known, now_seconds)
    unreleased_runs = {left.run_id for left in snapshot.unreleased.values()}
    for run in sorted(_concerned(snapshot, known), key=_turn):
        # The last machine goes back first: two attempts of one run are never alive at once.
        if run.live is None and run.run_id not in unreleased_runs and not _waits_on(run, room):
            facts.extend(_next(run, room, snapshot, known, now_seconds))
    return tuple(facts)


def _waits_on(run: LiveRun, room: Room) -> bool:
    """Whether it waits for room where there still is none: thousands of these cost a tick next to nothing."""
    held = run.held is not None and run.held.kind == "room" and run.cancel_reason is None
    return held and run.spec.holding.force_to is None and room.is_full(run.spec.providers)


def _concerned(snapshot: Snapshot, known: Known) -> list[LiveRun]:
    if known.only is None:
        return list(snapshot.runs.values())
    return [snapshot.runs[run_id] for run_id in known.only if run_id in snapshot.runs]


def _turn(run: LiveRun) -> tuple[int, float, float, str]:
    """Higher priority first, then the nearer deadline, then the older."""
    deadline = run.deadline_seconds if run.deadline_seconds is not None else float("inf")
    return -run.spec.holding.priority, deadline, run.submitted.at_seconds, run.run_id


def _next(
    run: LiveRun, room: Room, snapshot: Snapshot, known: Known, now_seconds: float
) -> tuple[AnyFact, ...]:
    step = next_step(run, known, now_seconds)
    if isinstance(step, Finish):
        ended = RunEnded(
            at_seconds=now_seconds, run_id=run.run_id, job=run.job, result=step.result, reason=step.reason
        )
        return (ended,)
    if isinstance(step, Launchable):
        refusal = room.refusal(run)
        if refusal is None:
            asked = without_risk_at_last(run)
            placed = place(asked, step, room=room, snapshot=snapshot, known=known, now_seconds=now_seconds)
            if isinstance(placed, Placed):
                room.take(run, placed.facts)
                return placed.facts
            step = placed
        else:
            step = Waiting(kind=refusal.kind, reason=refusal.reason)
    return _held(run, step, now_seconds)


def _held(run: LiveRun, why: Waiting, now_seconds: float) -> tuple[AnyFact, ...]:
    """Recorded when it is news: why.reason must not hold figures that change with every tick."""
    if run.held and (run.held.kind, run.held.reason) == (why.kind, why.reason):
        return ()
    return (RunHeld(at_seconds=now_seconds, run_id=run.run_id, kind=why.kind, reason=why.reason),)


def correct(
    snapshot: Snapshot, listings: Mapping[str, Sequence[Machine]], known: Known, now_seconds: float
) -> tuple[Command, ...]:
    """Commands that bring what runs in line with what is recorded; () when they agree.

    `listings` holds the providers that answered; of the others nothing is known and nothing new is asked but what
    was planned.
    """
    commands: list[Command] = []
    commands.extend(_give_back(snapshot, listings, known, now_seconds))
    stops: dict[str, list[str]] = {}
    commands.extend(
        StartHost(planned=host.planned)
        for host in snapshot.hosts.values()
        if host.launched_at_seconds is None and host.ending is None
    )
    listed = {name: {m.attempt_id for m in machines} for name, machines in listings.items()}
    for run in snapshot.runs.values():
        live = run.live
        if live is None:
            continue
        provider = live.planned.provider
        if live.stopping is not None:
            if live.attempt_id in listed.get(provider, ()):
                stops.setdefault(provider, []).append(live.attempt_id)
        elif live.launched_at_seconds is None and _host_is_up(live.planned.host_id, snapshot):
            commands.append(StartAttempt(planned=live.planned, run=run))
    commands.extend(StopAttempts(provider=name, attempt_ids=tuple(ids)) for name, ids in stops.items())
    return tuple(commands)


def _host_is_up(host_id: str | None, snapshot: Snapshot) -> bool:
    if host_id is None:
        return True
    host = snapshot.hosts.get(host_id)
    return host is not None and host.launched_at_seconds is not None


def _give_back(
    snapshot: Snapshot, listings: Mapping[str, Sequence[Machine]], known: Known, now_seconds: float
) -> list[Command]:
    listed = {m.attempt_id: (name, m) for name, machines in listings.items() for m in machines}
    commands: list[Command] = list(_give_back_attempts(snapshot, listed))
    on_hosts = {r.live.planned.host_id for r in snapshot.runs.values() if r.live}
    on_hosts |= {left.planned.host_id for left in snapshot.unreleased.values()}
    commands.extend(
        GiveBack(
            provider=host.planned.provider, attempt_id=host_id, host=host, machine=_machine(listed, host_id)
        )
        for host_id, host in snapshot.hosts.items()
        if host.ending is not None and host_id not in on_hosts
    )
    grace = known.ceilings.zombie_grace_seconds
    for attempt_id, since in snapshot.zombies.items():
        if attempt_id in listed and now_seconds - since >= grace:
            name, machine = listed[attempt_id]
            commands.append(
                GiveBack(provider=name, attempt_id=attempt_id, zombie_since_seconds=since, machine=machine)
            )
    return commands


_Listed = Mapping[str, tuple[str, Machine]]  # by attempt id, with the provider


def _machine(listed: _Listed, attempt_id: str) -> Machine | None:
    return listed[attempt_id][1] if attempt_id in listed else None


def _give_back_attempts(snapshot: Snapshot, listed: _Listed) -> Iterator[GiveBack]:
    leaving = Counter(left.planned.host_id for left in snapshot.unreleased.values())
    for attempt_id, left in snapshot.unreleased.items():
        host_id = left.planned.host_id
        yield GiveBack(
            provider=left.planned.provider,
            attempt_id=attempt_id,
            left=left,
            host=None if host_id is None else snapshot.hosts.get(host_id),
            leaving_together=1 if host_id is None else leaving[host_id],
            machine=_machine(listed, attempt_id),
        )
