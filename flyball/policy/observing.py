"""observe: what the providers' listings tell that the snapshot does not know yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from flyball.model.charge import nothing
from flyball.model.facts import (
    AnyFact,
    AttemptEnded,
    AttemptLaunched,
    AttemptStarted,
    HostEnding,
    HostLaunched,
    LaunchRefused,
    MachineMissed,
    MachineReleased,
    MachineSeen,
    NoticeReceived,
    ProgressReported,
    ZombieFound,
)
from flyball.model.machine import Machine, Stage
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host as HostFacts
from flyball.model.receipt import Limits, Receipt
from flyball.model.snapshot import Host, LiveAttempt, LiveRun, Snapshot
from flyball.model.units import show_seconds
from flyball.policy.known import Known

PROGRESS_STEP = 0.01  # smaller steps are not worth a fact


def observe(
    snapshot: Snapshot, listings: Mapping[str, Sequence[Machine]], known: Known, now_seconds: float
) -> tuple[AnyFact, ...]:
    """Facts from the providers that answered; nothing is concluded about the others."""
    seen = {name: {m.attempt_id: m for m in machines} for name, machines in listings.items()}
    facts: list[AnyFact] = []
    for run in snapshot.runs.values():
        live = run.live
        if live is not None and live.planned.provider in seen:
            listed = seen[live.planned.provider]
            facts.extend(_of_attempt(run, live, listed, known, now_seconds))
            if live.launched_at_seconds is None and live.attempt_id not in listed:
                facts.extend(_without_host(run, live, snapshot, now_seconds))
    for host_id, host in snapshot.hosts.items():
        if host.planned.provider in seen:
            facts.extend(_of_host(host_id, host, seen[host.planned.provider], known, now_seconds))
    facts.extend(_zombies(snapshot, seen, known, now_seconds))
    return tuple(facts)


def _of_attempt(
    run: LiveRun, live: LiveAttempt, seen: Mapping[str, Machine], known: Known, now_seconds: float
) -> Iterator[AnyFact]:
    machine = seen.get(live.attempt_id)
    if machine is None:
        yield from _missing(run, live, known, now_seconds)
        return
    name: dict[str, str] = {"run_id": run.run_id, "attempt_id": live.attempt_id}
    if live.launched_at_seconds is None:
        at_seconds = now_seconds if machine.launched_at_seconds is None else machine.launched_at_seconds
        yield AttemptLaunched(at_seconds=at_seconds, **name)
    if live.missed_since_seconds is not None:
        yield MachineSeen(at_seconds=now_seconds, **name)
    if live.started_at_seconds is None and machine.started_at_seconds is not None:
        planned = live.planned
        yield AttemptStarted(
            at_seconds=machine.started_at_seconds, **name, limits=planned.limits, reason=planned.reason
        )
    if machine.progress is not None and machine.progress >= (live.progress or 0.0) + PROGRESS_STEP:
        yield ProgressReported(at_seconds=now_seconds, **name, share=min(1.0, machine.progress))
    notice = machine.notice_ends_at_seconds
    if notice is not None and (live.notice_ends_at_seconds is None or notice < live.notice_ends_at_seconds):
        yield NoticeReceived(at_seconds=now_seconds, **name, ends_at_seconds=notice)
    if machine.stage is Stage.ENDED:
        yield AttemptEnded(
            at_seconds=now_seconds,
            run_id=run.run_id,
            attempt_id=live.attempt_id,
            receipt=_receipt(live, machine, now_seconds),
            gone_at_seconds=machine.gone_at_seconds,
        )
    elif live.started_at_seconds is None and machine.started_at_seconds is None:
        yield from _overdue_start(run, live, known, now_seconds)


def _overdue_start(run: LiveRun, live: LiveAttempt, known: Known, now_seconds: float) -> Iterator[AnyFact]:
    """A machine that has not reported by now never will."""
    capabilities = known.supplies[live.planned.provider].capabilities
    patience = run.spec.patience.launch_seconds or capabilities.launch_seconds_max
    since = live.launched_at_seconds
    if since is not None and now_seconds - since > patience:
        yield AttemptEnded(
            at_seconds=now_seconds,
            run_id=run.run_id,
            attempt_id=live.attempt_id,
            receipt=receipt_without_wrapper(
                live,
                Outcome.LAUNCH_TIMED_OUT,
                f"not started {show_seconds(patience)} after its launch",
                now_seconds,
            ),
        )


def _missing(run: LiveRun, live: LiveAttempt, known: Known, now_seconds: float) -> Iterator[AnyFact]:
    """Listings lag, so an absence is believed only when it lasts. An order that was never answered is given again."""
    if live.launched_at_seconds is None:
        yield from _unanswered(run, live, known, now_seconds)
        return
    lag = known.supplies[live.planned.provider].capabilities.listing_lag_seconds
    if now_seconds - live.launched_at_seconds <= lag:
        return  # it may have been launched, by another governor too, when the listing was on its way
    name = {"run_id": run.run_id, "attempt_id": live.attempt_id}
    if live.missed_since_seconds is None:
        yield MachineMissed(at_seconds=now_seconds, **name)
        return
    announced = live.notice_ends_at_seconds is not None and now_seconds >= live.notice_ends_at_seconds
    grace = lag if announced or live.stopping else max(lag, known.ceilings.lost_after_seconds)
    if now_seconds - live.missed_since_seconds >= grace:
        outcome = Outcome.INTERRUPTED if announced else Outcome.LOST
        if live.stopping is not None:
            outcome = live.stopping.outcome
        words = "taken away by its provider" if announced else "its machine is not to be found any more"
        receipt = receipt_without_wrapper(live, outcome, words, live.missed_since_seconds)
        yield AttemptEnded(
            at_seconds=now_seconds, run_id=run.run_id, attempt_id=live.attempt_id, receipt=receipt
        )


def _unanswered(run: LiveRun, live: LiveAttempt, known: Known, now_seconds: float) -> Iterator[AnyFact]:
    """An order that its provider has not confirmed is given again with every tick, but not for ever. Should it have
    been taken all the same, the release that follows ends it."""
    patience = run.spec.patience.launch_seconds
    if patience is None:
        patience = known.supplies[live.planned.provider].capabilities.launch_seconds_max
    if live.stopping is not None:
        outcome, words = live.stopping.outcome, live.stopping.reason
    elif now_seconds - live.planned.at_seconds > patience:
        outcome = Outcome.LAUNCH_TIMED_OUT
        words = f"its provider did not take the order within {show_seconds(patience)}"
    else:
        return
    yield AttemptEnded(
        at_seconds=now_seconds,
        run_id=run.run_id,
        attempt_id=live.attempt_id,
        receipt=receipt_without_wrapper(live, outcome, words, now_seconds),
    )


def _without_host(
    run: LiveRun, live: LiveAttempt, snapshot: Snapshot, now_seconds: float
) -> Iterator[LaunchRefused]:
    """A warm machine that never came to be takes the plans for it along: their runs look elsewhere."""
    planned = live.planned
    if planned.host_id is None:
        return
    host = snapshot.hosts.get(planned.host_id)
    if host is None or (host.ending is not None and host.launched_at_seconds is None):
        yield LaunchRefused(
            at_seconds=now_seconds,
            run_id=run.run_id,
            attempt_id=live.attempt_id,
            provider=planned.provider,
            offer_id=planned.offer.offer_id,
            kind="no_capacity",
            reason=f"its warm machine: {host.ending if host else 'gone'}",
        )


def _receipt(live: LiveAttempt, machine: Machine, now_seconds: float) -> Receipt:
    """The wrapper's own, unless we or the provider ended it: then that is how it counts."""
    ended_at = machine.ended_at_seconds if machine.ended_at_seconds is not None else now_seconds
    if machine.receipt is None:
        outcome = live.stopping.outcome if live.stopping else machine.outcome or Outcome.LOST
        words = live.stopping.reason if live.stopping else f"its machine ended: {outcome.value}"
        return receipt_without_wrapper(live, outcome, words, ended_at)
    receipt = machine.receipt
    if receipt.outcome is Outcome.SUCCEEDED:  # it was done before it could be ended
        return receipt
    if live.stopping is not None:
        return msgspec.structs.replace(
            receipt, outcome=live.stopping.outcome, exit_cause=live.stopping.reason
        )
    if machine.outcome is Outcome.INTERRUPTED:
        return msgspec.structs.replace(
            receipt, outcome=Outcome.INTERRUPTED, exit_cause="taken away by its provider"
        )
    return receipt


def receipt_without_wrapper(
    live: LiveAttempt, outcome: Outcome, words: str, ended_at_seconds: float
) -> Receipt:
    """What is known of an attempt whose wrapper never told."""
    started = live.started_at_seconds if live.started_at_seconds is not None else ended_at_seconds
    return Receipt(
        attempt_id=live.attempt_id,
        outcome=outcome,
        exit_code=None,
        exit_cause=words,
        started_at_seconds=started,
        ended_at_seconds=ended_at_seconds,
        complete=False,
        wall_seconds=max(0.0, ended_at_seconds - started),
        host=HostFacts(instance_type=live.planned.offer.instance_type),
        limits=Limits(memory_bytes=live.planned.limits.memory_bytes, cpu_cores=live.planned.limits.cpu_cores),
        sources={},
    )


def _of_host(
    host_id: str, host: Host, seen: Mapping[str, Machine], known: Known, now_seconds: float
) -> Iterator[AnyFact]:
    machine = seen.get(host_id)
    if machine is not None and host.launched_at_seconds is None:
        yield HostLaunched(at_seconds=now_seconds, host_id=host_id)
    if host.ending is not None:
        return
    if machine is not None and (machine.stage is Stage.ENDED or machine.notice_ends_at_seconds is not None):
        yield HostEnding(
            at_seconds=now_seconds,
            host_id=host_id,
            reason="taken away by its provider",
            gone_at_seconds=machine.gone_at_seconds,
        )
    launched, capabilities = host.launched_at_seconds, known.supplies[host.planned.provider].capabilities
    starting = machine is not None and machine.stage is Stage.STARTING
    if starting and launched is not None and now_seconds - launched > capabilities.launch_seconds_max:
        yield HostEnding(at_seconds=now_seconds, host_id=host_id, reason="it never came up")
    missed, lag = host.missed_since_seconds, capabilities.listing_lag_seconds
    if machine is not None and missed is not None:
        yield MachineSeen(at_seconds=now_seconds, run_id="", attempt_id=host_id)
    if machine is not None or launched is None or now_seconds - launched <= lag:
        return
    if missed is None:
        yield MachineMissed(at_seconds=now_seconds, run_id="", attempt_id=host_id)
    elif now_seconds - missed >= max(lag, known.ceilings.lost_after_seconds):
        reason = "not to be found any more"
        yield HostEnding(at_seconds=now_seconds, host_id=host_id, reason=reason, gone_at_seconds=missed)


def _zombies(
    snapshot: Snapshot, seen: Mapping[str, Mapping[str, Machine]], known: Known, now_seconds: float
) -> Iterator[AnyFact]:
    """Machines that nobody owns. The listing was read before the log, so what is not in the log was never planned.

    What was given back may be listed for a while yet, and what was found may be missing from the next listing: both
    are believed only when they last.
    """
    owned = {run.live.attempt_id for run in snapshot.runs.values() if run.live}
    grace = known.ceilings.zombie_grace_seconds
    for provider, machines in seen.items():
        patience = max(grace, known.supplies[provider].capabilities.listing_lag_seconds)
        for attempt_id, machine in machines.items():
            if attempt_id in owned or attempt_id in snapshot.unreleased or attempt_id in snapshot.hosts:
                continue
            left = snapshot.given_back.get(attempt_id)
            launched = machine.launched_at_seconds
            is_late = (
                left is not None and launched is not None and launched > left
            )  # a slower governor's launch
            if attempt_id in snapshot.zombies:
                continue
            if left is None or is_late or now_seconds - left > patience:
                yield ZombieFound(
                    at_seconds=now_seconds,
                    provider=provider,
                    attempt_id=attempt_id,
                    reason="no live attempt owns it",
                )
    if not known.supplies.keys() <= seen.keys():
        return  # it may be with the provider that did not answer
    for attempt_id, since in snapshot.zombies.items():
        if now_seconds - since > 2 * grace and not any(attempt_id in machines for machines in seen.values()):
            yield MachineReleased(
                at_seconds=now_seconds,
                run_id="",
                attempt_id=attempt_id,
                charge=nothing("it was gone by itself"),
            )
