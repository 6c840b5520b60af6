"""What facts about attempts, their machines and their money change in a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.charge import Charge
from flyball.model.draft import Draft
from flyball.model.outcome import Outcome
from flyball.model.resource import Market
from flyball.model.snapshot import Host, LiveAttempt, LiveRun, Refusal, SpotSeen, Tried, Unreleased
from flyball.model.when import hour_key, month_key

REFUSALS_KEPT_SECONDS = 86_400.0
SAME_REFUSAL_SECONDS = 10.0  # many runs that ask for one offer at once hear one answer
HOURS_KEPT = 48
MONTHS_KEPT = 3
GIVEN_BACK_KEPT_SECONDS = 3600.0
SPOT_KEPT = 2000  # offers whose spot market was tried lately


def _attempt_planned(draft: Draft, fact: f.AttemptPlanned) -> None:
    run = draft.run(fact.run_id)
    if run is None or run.live is not None or any(t.attempt_id == fact.attempt_id for t in run.tried):
        return
    draft.writable("runs")[fact.run_id] = replace(run, live=LiveAttempt(planned=fact), held=None)
    launches = draft.writable("launches")
    hour = hour_key(fact.at_seconds)
    launches[hour] = launches.get(hour, 0) + 1
    _prune_oldest(launches, HOURS_KEPT)
    if fact.host_id is not None and fact.host_id in draft.table("hosts"):
        hosts = draft.writable("hosts")
        hosts[fact.host_id] = replace(hosts[fact.host_id], idle_since_seconds=None)


def _attempt_launched(draft: Draft, fact: f.AttemptLaunched) -> None:
    found = draft.live(fact.run_id, fact.attempt_id)
    if found is None or found[1].launched_at_seconds is not None:
        return
    run, live = found
    draft.put_live(run, replace(live, launched_at_seconds=fact.at_seconds))
    _see_spot(draft, live.planned, fact.at_seconds, up=True)
    key = refusal_key(live.planned.provider, live.planned.offer.offer_id)
    if key in draft.table("refusals"):
        draft.writable("refusals").pop(key)


def _launch_refused(draft: Draft, fact: f.LaunchRefused) -> None:
    found = draft.live(fact.run_id, fact.attempt_id)
    if found is None or found[1].launched_at_seconds is not None:
        return
    run, live = found
    outcome = Outcome.FAILED if fact.kind == "bad_request" else Outcome.NO_CAPACITY
    tried = _tried(live, outcome, fact.at_seconds, f"{fact.kind}: {fact.reason}")
    draft.writable("runs")[run.run_id] = replace(run, live=None, tried=(*run.tried, tried))
    if fact.kind == "no_capacity":
        _see_spot(draft, live.planned, fact.at_seconds, refusals=1, up=False)
    refusals = draft.writable("refusals")
    key = refusal_key(fact.provider, fact.offer_id)
    before: Refusal | None = refusals.pop(key, None)
    times = before.times if before else 0
    if before is None or fact.at_seconds - before.at_seconds > SAME_REFUSAL_SECONDS:
        times += 1
    refusals[key] = Refusal(kind=fact.kind, at_seconds=fact.at_seconds, times=times)
    for old in [k for k, r in refusals.items() if fact.at_seconds - r.at_seconds > REFUSALS_KEPT_SECONDS]:
        refusals.pop(old)


def _see_spot(
    draft: Draft, planned: f.AttemptPlanned, at_seconds: float, *, up: bool, up_seconds: float = 0.0,
    interruptions: int = 0, refusals: int = 0,
) -> None:  # fmt: skip
    """What this attempt taught about that offer's spot market."""
    if planned.offer.market is not Market.SPOT:
        return
    table, key = draft.writable("spot"), refusal_key(planned.provider, planned.offer.offer_id)
    seen: SpotSeen = table.pop(key, None) or SpotSeen(last_at_seconds=at_seconds)
    table[key] = replace(
        seen,
        up_seconds=seen.up_seconds + up_seconds,
        interruptions=seen.interruptions + interruptions,
        refusals=seen.refusals + refusals,
        last_up=up,
        last_at_seconds=at_seconds,
    )
    while len(table) > SPOT_KEPT:
        table.pop(next(iter(table)))


def refusal_key(provider: str, offer_id: str) -> str:
    return f"{provider} {offer_id}"


def _started(draft: Draft, fact: f.AttemptStarted) -> None:
    found = draft.live(fact.run_id, fact.attempt_id)
    if found is None or found[1].started_at_seconds is not None:
        return
    run, live = found
    launched = fact.at_seconds if live.launched_at_seconds is None else live.launched_at_seconds
    draft.put_live(run, replace(live, started_at_seconds=fact.at_seconds, launched_at_seconds=launched))


def _on_live(change: Callable[[LiveAttempt, Any], LiveAttempt]) -> Callable[[Draft, Any], None]:
    def apply(draft: Draft, fact: Any) -> None:
        found = draft.live(fact.run_id, fact.attempt_id)
        if found is not None:
            changed = change(found[1], fact)
            if changed is not found[1]:
                draft.put_live(found[0], changed)

    return apply


def _progress_reported(live: LiveAttempt, fact: f.ProgressReported) -> LiveAttempt:
    if live.progress is not None and fact.share <= live.progress:
        return live
    first = live.progress is None
    return replace(
        live,
        progress=fact.share,
        progress_at_seconds=fact.at_seconds,
        progress_first=fact.share if first else live.progress_first,
        progress_first_at_seconds=fact.at_seconds if first else live.progress_first_at_seconds,
    )


def _notice_received(live: LiveAttempt, fact: f.NoticeReceived) -> LiveAttempt:
    if live.notice_ends_at_seconds is not None and live.notice_ends_at_seconds <= fact.ends_at_seconds:
        return live
    return replace(live, notice_ends_at_seconds=fact.ends_at_seconds)


def _on_live_or_host(
    change: Callable[[LiveAttempt, Any], LiveAttempt], since: Callable[[Host, Any], float | None]
) -> Callable[[Draft, Any], None]:
    of_attempt = _on_live(change)

    def apply(draft: Draft, fact: Any) -> None:
        host: Host | None = draft.table("hosts").get(fact.attempt_id)
        if host is None:
            of_attempt(draft, fact)
        else:
            missed_since = since(host, fact)
            draft.writable("hosts")[fact.attempt_id] = replace(host, missed_since_seconds=missed_since)

    return apply


def _machine_missed(live: LiveAttempt, fact: f.MachineMissed) -> LiveAttempt:
    return live if live.missed_since_seconds else replace(live, missed_since_seconds=fact.at_seconds)


def _machine_seen(live: LiveAttempt, _: f.MachineSeen) -> LiveAttempt:
    return replace(live, missed_since_seconds=None) if live.missed_since_seconds else live


def _attempt_stopping(live: LiveAttempt, fact: f.AttemptStopping) -> LiveAttempt:
    return live if live.stopping else replace(live, stopping=fact)


def _attempt_ended(draft: Draft, fact: f.AttemptEnded) -> None:
    found = draft.live(fact.run_id, fact.attempt_id)
    if found is not None:
        run, live = found
        receipt = fact.receipt
        started = live.started_at_seconds
        if started is None and receipt.samples:
            live = replace(live, started_at_seconds=receipt.started_at_seconds)
        leave(
            draft,
            run,
            live,
            receipt.outcome,
            at_seconds=fact.at_seconds,
            reason=receipt.exit_cause,
            wall_seconds=receipt.wall_seconds,
            command_ended_at_seconds=receipt.ended_at_seconds,
            gone_at_seconds=fact.gone_at_seconds,
        )


def leave(
    draft: Draft, run: LiveRun, live: LiveAttempt, outcome: Outcome, *, at_seconds: float, reason: str,
    wall_seconds: float | None = None, command_ended_at_seconds: float | None = None,
    gone_at_seconds: float | None = None,
) -> None:  # fmt: skip
    tried = _tried(live, outcome, at_seconds, reason)
    draft.writable("runs")[run.run_id] = replace(run, live=None, tried=(*run.tried, tried), held=None)
    if live.started_at_seconds is not None:
        lived_seconds = max(0.0, at_seconds - live.started_at_seconds)
        told = live.notice_ends_at_seconds is not None  # then it was lost, even where we moved it in time
        lost = outcome is Outcome.INTERRUPTED and (live.stopping is None or told)
        _see_spot(
            draft, live.planned, at_seconds, up_seconds=lived_seconds, interruptions=int(lost), up=not lost
        )
    draft.writable("unreleased")[live.attempt_id] = Unreleased(
        planned=live.planned,
        run_id=run.run_id,
        job=run.job,
        tags=run.run.tags,
        launched_at_seconds=live.launched_at_seconds,
        started_at_seconds=live.started_at_seconds,
        ended_at_seconds=at_seconds,
        outcome=outcome,
        wall_seconds=wall_seconds,
        asked=run.spec.size,
        command_ended_at_seconds=command_ended_at_seconds,
        gone_at_seconds=_gone_at(live, outcome, command_ended_at_seconds)
        if gone_at_seconds is None
        else gone_at_seconds,
        useful_seconds=_useful_seconds(run, live, at_seconds),
    )


def _gone_at(live: LiveAttempt, outcome: Outcome, command_ended_at_seconds: float | None) -> float | None:
    """When its provider took the machine away, as far as was seen; None: it was there until it was given back."""
    if live.missed_since_seconds is not None:
        notice = live.notice_ends_at_seconds
        return live.missed_since_seconds if notice is None else min(notice, live.missed_since_seconds)
    if outcome is Outcome.INTERRUPTED and live.stopping is None:
        return command_ended_at_seconds
    return None


def _useful_seconds(run: LiveRun, live: LiveAttempt, at_seconds: float) -> float:
    """Up to its last checkpoint as far as its progress tells, else all of it; 0 for what starts over."""
    if run.spec.spot.checkpoint is None or live.started_at_seconds is None:
        return 0.0
    until = at_seconds if live.progress_at_seconds is None else live.progress_at_seconds
    return max(0.0, until - live.started_at_seconds)


def _tried(live: LiveAttempt, outcome: Outcome, at_seconds: float, reason: str) -> Tried:
    planned = live.planned
    return Tried(
        attempt_id=planned.attempt_id,
        provider=planned.provider,
        offer_id=planned.offer.offer_id,
        market=planned.offer.market,
        outcome=outcome,
        memory_limit_bytes=planned.limits.memory_bytes,
        planned_at_seconds=planned.at_seconds,
        launched_at_seconds=live.launched_at_seconds,
        started_at_seconds=live.started_at_seconds,
        ended_at_seconds=at_seconds,
        progress=live.progress,
        reason=reason,
    )


def _machine_released(draft: Draft, fact: f.MachineReleased) -> None:
    if not fact.run_id and fact.attempt_id in draft.table("zombies"):
        draft.writable("zombies").pop(fact.attempt_id)
        _given_back(draft, fact)
        _spend(draft, fact.charge, fact.at_seconds, fact.job, fact.tags)
        return
    if fact.attempt_id in draft.table("hosts"):
        draft.writable("hosts").pop(fact.attempt_id)
        _given_back(draft, fact)
        _spend(draft, fact.charge, fact.at_seconds, fact.job, fact.tags)
        return
    left: Unreleased | None = draft.table("unreleased").get(fact.attempt_id)
    if left is None:
        return
    draft.writable("unreleased").pop(fact.attempt_id)
    _given_back(draft, fact)
    _spend(draft, fact.charge, fact.at_seconds, left.job, left.tags)
    run = draft.run(left.run_id)
    if run is not None:
        spent = run.spent_nano_usd + fact.charge.nano_usd
        draft.writable("runs")[left.run_id] = replace(run, spent_nano_usd=spent)
    host_id = left.planned.host_id
    if host_id is not None and host_id in draft.table("hosts"):
        _left_host(draft, host_id, fact)


def _given_back(draft: Draft, fact: f.MachineReleased) -> None:
    table = draft.writable("given_back")
    table[fact.attempt_id] = fact.at_seconds
    while fact.at_seconds - table[oldest := next(iter(table))] > GIVEN_BACK_KEPT_SECONDS:
        table.pop(oldest)


def _left_host(draft: Draft, host_id: str, fact: f.MachineReleased) -> None:
    host: Host = draft.table("hosts")[host_id]
    live = (r.live.planned.host_id for r in draft.table("runs").values() if r.live)
    leaving = (u.planned.host_id for u in draft.table("unreleased").values())
    idle = host_id not in live and host_id not in leaving
    draft.writable("hosts")[host_id] = replace(
        host,
        charged_nano_usd=host.charged_nano_usd + fact.charge.nano_usd,
        idle_since_seconds=fact.at_seconds if idle else None,
    )


def _spend(draft: Draft, charge: Charge, at_seconds: float, job: str, tags: Mapping[str, str]) -> None:
    if charge.usd == Decimal(0):
        return
    spent, month, nano = draft.writable("spent_nano_usd"), month_key(at_seconds), charge.nano_usd
    keys = (
        hour_key(at_seconds),
        month,
        f"{month} job {job}",
        *(f"{month} tag {k}={v}" for k, v in tags.items()),
    )
    known = len(spent)
    for key in keys:
        spent[key] = spent.get(key, 0) + nano
    if len(spent) == known:
        return  # looking through all keys with each charge would take most of a fold's time
    months = sorted({key.split(" ")[0] for key in spent if not key.startswith("hour")})[:-MONTHS_KEPT]
    hours = sorted(key for key in spent if key.startswith("hour"))[:-HOURS_KEPT]
    for key in [k for k in spent if k.split(" ")[0] in months or k in hours]:
        spent.pop(key)


def _prune_oldest(table: dict[str, Any], keep: int) -> None:
    for key in sorted(table)[:-keep]:
        table.pop(key)


# warm machines


def _host_planned(draft: Draft, fact: f.HostPlanned) -> None:
    if fact.host_id not in draft.table("hosts"):
        draft.writable("hosts")[fact.host_id] = Host(planned=fact, idle_since_seconds=fact.at_seconds)


def _on_host(change: Callable[[Host, Any], Host]) -> Callable[[Draft, Any], None]:
    def apply(draft: Draft, fact: Any) -> None:
        host = draft.table("hosts").get(fact.host_id)
        if host is not None:
            draft.writable("hosts")[fact.host_id] = change(host, fact)

    return apply


def _host_launched(host: Host, fact: f.HostLaunched) -> Host:
    return host if host.launched_at_seconds else replace(host, launched_at_seconds=fact.at_seconds)


def _host_ending(host: Host, fact: f.HostEnding) -> Host:
    if host.ending:
        return host
    gone_at = host.missed_since_seconds if fact.gone_at_seconds is None else fact.gone_at_seconds
    return replace(host, ending=fact.reason, missed_since_seconds=gone_at)


ATTEMPT_FACTS: dict[type, Callable[[Draft, Any], None]] = {
    f.AttemptPlanned: _attempt_planned,
    f.AttemptLaunched: _attempt_launched,
    f.LaunchRefused: _launch_refused,
    f.AttemptStarted: _started,
    f.ProgressReported: _on_live(_progress_reported),
    f.NoticeReceived: _on_live(_notice_received),
    f.MachineMissed: _on_live_or_host(
        _machine_missed, lambda host, fact: host.missed_since_seconds or fact.at_seconds
    ),
    f.MachineSeen: _on_live_or_host(_machine_seen, lambda _, __: None),
    f.AttemptStopping: _on_live(_attempt_stopping),
    f.AttemptEnded: _attempt_ended,
    f.MachineReleased: _machine_released,
    f.HostPlanned: _host_planned,
    f.HostLaunched: _on_host(_host_launched),
    f.HostEnding: _on_host(_host_ending),
}
