"""What must hold of a world's whole life, read off its log and the clouds' own books."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.facts import AnyFact
from flyball.model.folding import fold
from flyball.model.outcome import Outcome
from flyball.model.snapshot import Snapshot
from flyball.model.when import hour_key, month_key
from flyball.policy.next_step import WORLD_FAULTS_MAX

if TYPE_CHECKING:
    from worlds import World

    from flyball.sim.held import Held

FACTS_MAX_PER_RUN_HOUR = 400  # a log that grows faster says that something turns in circles
NANO = 10**9
SLOW_CALLS_SECONDS = 400.0  # several in a row, the other governor's among them


def verdict(world: World) -> list[str]:
    """In words, everything that is wrong."""
    facts = list(world.store.read())
    snapshot = fold(Snapshot(), facts)
    return [word for check in CHECKS for word in check(world, snapshot, facts)]


def launched_in(world: World) -> dict[str, Held]:
    """By attempt or host id; one that a cloud refused may have been launched in another."""
    return {k: held for cloud in world.clouds.values() for k, held in cloud.launched().items()}


def of_kind(facts: Sequence[AnyFact], *kinds: type) -> list:
    return [fact for fact in facts if isinstance(fact, kinds)]


# Ends


def every_run_ends(_: World, snapshot: Snapshot, __: Sequence[AnyFact]) -> list[str]:
    return [
        f"{run_id} never ended: {run.live.attempt_id if run.live else run.held and run.held.reason}"
        for run_id, run in snapshot.runs.items()
    ]


def nothing_is_left(world: World, snapshot: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    words = [f"{held.order.attempt_id} still costs money" for held in world.watch.alive()]
    words += [f"{name} was never given back" for name in (*snapshot.unreleased, *snapshot.hosts)]
    released = {fact.attempt_id for fact in of_kind(facts, f.MachineReleased)}
    words += [
        f"{attempt_id} was launched and its end never charged"
        for attempt_id, held in launched_in(world).items()
        if attempt_id not in released and held.vanished_at > world.clock.now_seconds()
    ]
    return words


def results_are_true(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """A run that is said to have succeeded did."""
    now = world.clock.now_seconds()
    done = {
        held.order.run_id
        for held in launched_in(world).values()
        if held.course is not None
        and held.course.outcome is Outcome.SUCCEEDED
        and held.course.ended_at_seconds <= min(now, held.command_ended_at)
    }
    return [
        f"{fact.run_id} is said to have succeeded, and did not"
        for fact in of_kind(facts, f.RunEnded)
        if fact.result is f.RunResult.SUCCEEDED and fact.run_id not in done
    ]


def failures_have_a_reason(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """A run is given up only after its retries, out of memory, or at a ceiling; the world's faults alone need many."""
    submitted = {fact.run.run_id: fact.spec for fact in of_kind(facts, f.RunSubmitted)}
    ends: dict[str, list[Outcome]] = defaultdict(list)
    words = []
    for fact in of_kind(facts, f.AttemptEnded, f.LaunchRefused, f.RunEnded):
        if isinstance(fact, f.AttemptEnded):
            ends[fact.run_id].append(fact.receipt.outcome)
            if (
                fact.receipt.outcome is Outcome.LOST
                and world.exact
                and not world.chances.faults.no_receipt_rate
            ):
                words.append(f"{fact.attempt_id} was lost where nothing gets lost")
        elif isinstance(fact, f.RunEnded) and fact.result is f.RunResult.FAILED:
            spec, mine = submitted[fact.run_id], ends[fact.run_id]
            failed = sum(_spends_retry(outcome) for outcome in mine)
            at_ceiling = len(mine) >= min(spec.tenacity.launches_max, WORLD_FAULTS_MAX)
            out_of_memory = bool(mine) and mine[-1] is Outcome.OUT_OF_MEMORY
            poor = spec.goal.usd_per_run is not None
            if not (failed > spec.tenacity.retries or at_ceiling or out_of_memory or poor):
                words.append(f"{fact.run_id} failed for no good reason: {fact.reason}")
    return words


# Once only


def nothing_happens_twice(_: World, __: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    words = []
    for kind, name in (
        (f.AttemptPlanned, "attempt_id"),
        (f.AttemptEnded, "attempt_id"),
        (f.RunEnded, "run_id"),
        (f.HostPlanned, "host_id"),
    ):
        counts = Counter(getattr(fact, name) for fact in of_kind(facts, kind))
        words += [f"{kind.__name__} {n} times for {key}" for key, n in counts.items() if n > 1]
    # Releases of nobody's machines have no run; the same one may be found and lost again.
    counts = Counter(fact.attempt_id for fact in of_kind(facts, f.MachineReleased) if fact.run_id)
    words += [f"{key} was charged {n} times" for key, n in counts.items() if n > 1]
    refused: set[str] = set()
    for fact in of_kind(facts, f.LaunchRefused, f.AttemptEnded):
        if isinstance(fact, f.LaunchRefused):  # it may also come late, and changes nothing then
            refused.add(fact.attempt_id)
        elif fact.attempt_id in refused:
            words.append(f"{fact.attempt_id} has ended after it was refused")
    slots = Counter(
        (fact.run.job, fact.slot_seconds)
        for fact in of_kind(facts, f.RunSubmitted)
        if fact.slot_seconds is not None
    )
    words += [f"slot {slot} ran {n} times" for slot, n in slots.items() if n > 1]
    used = Counter(
        (fact.run.job, run_id) for fact in of_kind(facts, f.RunSubmitted) for run_id in fact.after_runs
    )
    words += [
        f"{job} was started {n} times by the end of {run_id}" for (job, run_id), n in used.items() if n > 1
    ]
    return words


def zombies_are_true(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """A machine that was given back, and only its listing lags, is no zombie; clocks that jump may see one."""
    if world.chances.jump_seconds:
        return []
    launched, lag = launched_in(world), world.chances.faults.listing_lag_seconds
    words, given_back = [], set()
    for fact in of_kind(facts, f.MachineReleased, f.ZombieFound):
        if isinstance(fact, f.MachineReleased):
            given_back.add(fact.attempt_id)
        elif fact.attempt_id in given_back and fact.at_seconds > launched[fact.attempt_id].gone_at + lag:
            words.append(f"{fact.attempt_id} was called a zombie after it was given back")
    return words


# Ceilings


def attempts_stay_within_limits(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    words = []
    specs = {fact.run.run_id: fact.spec for fact in of_kind(facts, f.RunSubmitted)}
    # What no governor ever heard of is not counted by them either; it is given back all the same.
    heard = {fact.attempt_id for fact in of_kind(facts, f.AttemptLaunched, f.AttemptStarted)}
    launched = Counter(held.order.run_id for name, held in launched_in(world).items() if name in heard)
    late = 2 if len(world.governors) > 1 else 1  # a slower governor's launch, given back as a zombie
    for run_id, count in launched.items():
        if count > specs[run_id].tenacity.launches_max * late:
            words.append(
                f"{run_id} was launched {count} times; {specs[run_id].tenacity.launches_max} allowed"
            )
    failed = Counter(x.run_id for x in of_kind(facts, f.AttemptEnded) if _spends_retry(x.receipt.outcome))
    for run_id, count in failed.items():
        if count > specs[run_id].tenacity.retries + 1:
            words.append(f"{run_id} failed {count} times; {specs[run_id].tenacity.retries} retries allowed")
    return words


def launches_and_budgets_hold(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """While the storm lasts; afterwards there are no ceilings, so that held runs can end."""
    ceilings, words, snapshot = world.chances.ceilings, [], Snapshot()
    storm = facts[: world.storm_facts]
    if ceilings.launches_per_hour_max > 1000 and not ceilings.budgets:
        return []
    for fact in storm:
        if isinstance(fact, f.AttemptPlanned):
            run = snapshot.runs.get(fact.run_id)
            for budget in ceilings.budgets:
                key = f"{month_key(fact.at_seconds)} job {budget.job}"
                spent = snapshot.spent_nano_usd.get(key, 0) / NANO
                if run is not None and run.job == budget.job and spent >= budget.usd_per_month:
                    words.append(
                        f"{fact.attempt_id} was planned when {spent} of {budget.usd_per_month} was spent"
                    )
        snapshot = fold(snapshot, [fact])
    hours = Counter(hour_key(fact.at_seconds) for fact in of_kind(storm, f.AttemptPlanned))
    words += [f"{n} launches in {hour}" for hour, n in hours.items() if n > ceilings.launches_per_hour_max]
    return words


def the_log_stays_small(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    hours = (world.clock.now_seconds() - facts[0].at_seconds) / 3600 + 1
    runs = len(of_kind(facts, f.RunSubmitted))
    most = FACTS_MAX_PER_RUN_HOUR * hours * max(1, runs)
    return [f"{len(facts)} facts in {hours:.0f} hours"] if len(facts) > most else []


# Money


def charges_add_up(_: World, snapshot: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """What the snapshot says was spent is the sum of the charges that count: each machine's first, in its month."""
    charged: dict[str, int] = defaultdict(int)
    counted, zombies = set(), set()
    for fact in of_kind(facts, f.MachineReleased, f.ZombieFound):
        if isinstance(fact, f.ZombieFound):
            zombies.add(fact.attempt_id)
        elif fact.attempt_id not in counted or fact.attempt_id in zombies:
            counted.add(fact.attempt_id)
            zombies.discard(fact.attempt_id)
            charged[month_key(fact.at_seconds)] += fact.charge.nano_usd
    return [
        f"{month}: {nano} nano-dollars charged, {snapshot.spent_nano_usd.get(month, 0)} kept"
        for month, nano in charged.items()
        if nano != snapshot.spent_nano_usd.get(month, 0)
    ]


def charges_are_what_clouds_bill(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """To the second where governors see everything in time; else off by no more than the time until they saw it."""
    charged: dict[str, int] = defaultdict(int)
    released: dict[str, float] = {}
    heard: dict[str, float] = {}
    for fact in of_kind(facts, f.MachineReleased, f.AttemptLaunched, f.HostLaunched):
        name = fact.host_id if isinstance(fact, f.HostLaunched) else fact.attempt_id
        if isinstance(fact, f.MachineReleased):
            host_id = launched_in(world)[name].order.host_id if name in launched_in(world) else None
            charged[host_id or name] += fact.charge.nano_usd
            released[name] = max(fact.at_seconds, released.get(name, 0.0))
        else:
            heard.setdefault(name, fact.at_seconds)
    words = []
    for cloud in world.clouds.values():
        for name, bill in cloud.bills().items():
            held = cloud.launched()[name]
            slack = 1.001 if world.exact else 1.001 + 2 * world.chances.jump_seconds + SLOW_CALLS_SECONDS
            too_much = slack + max(0.0, released.get(name, 0.0) - held.gone_at)
            too_little = slack + max(0.0, heard.get(name, float("inf")) - held.launched_at)
            if world.exact:
                too_much = too_little = slack
            per_second = float(held.order.offer.price_usd_per_hour) * NANO / 3600
            off = (charged[name] - bill.nano_usd) / per_second
            if not -too_little <= off <= too_much:
                words.append(
                    f"{name} was charged {off:.1f} s more than the {bill.billed_seconds} s on the bill"
                )
    return words


# The log


def the_log_tells_all(world: World, snapshot: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """Folded in pieces, with every fact twice, or with late ones after the end, it gives the same snapshot."""
    rng, words = world.rng, []
    chunked, at = Snapshot(), 0
    while at < len(facts):
        size = rng.choice((1, 2, 7, 100))
        chunked, at = fold(chunked, facts[at : at + size]), at + size
    if chunked != snapshot:
        words.append("folding in pieces gives another snapshot: " + _difference(chunked, snapshot))
    doubled = fold(Snapshot(), [fact for fact in facts for _ in range(2)])
    if replace(doubled, position=0) != replace(snapshot, position=0):
        words.append("every fact twice gives another snapshot: " + _difference(doubled, snapshot))
    late = [fact for fact in facts if _run_of(fact) in snapshot.ended and rng.random() < 0.3]
    again = fold(snapshot, late)
    if replace(again, position=0) != replace(snapshot, position=0):
        words.append("late facts give another snapshot: " + _difference(again, snapshot))
    return words


def _run_of(fact: AnyFact) -> str:
    return fact.run.run_id if isinstance(fact, f.RunSubmitted) else getattr(fact, "run_id", "")


def _difference(one: Snapshot, other: Snapshot) -> str:
    names = [name for name in one.__struct_fields__ if name != "position"]
    return ", ".join(name for name in names if getattr(one, name) != getattr(other, name))


def nothing_is_lost_that_is_there(world: World, _: Snapshot, facts: Sequence[AnyFact]) -> list[str]:
    """An absence from listings is believed only when it lasts; governors whose clocks jump cannot tell."""
    if world.chances.jump_seconds:
        return []
    words, launched = [], launched_in(world)
    for fact in of_kind(facts, f.AttemptEnded):
        held = launched.get(fact.attempt_id)
        if fact.receipt.outcome is Outcome.LOST and held is not None:
            above = held.host or held
            host_left = held.host.released_at if held.host is not None else float("inf")
            ends = min(held.lease_ends_at, above.lease_ends_at, above.taken_at, above.vanished_at, host_left)
            if ends > fact.at_seconds + (SLOW_CALLS_SECONDS if world.chances.slow_rate else 0.0):
                words.append(f"{fact.attempt_id} was called lost while it was there")
    return words


def _spends_retry(outcome: Outcome) -> bool:
    """Said here once more, so that a fault in the product's own list shows."""
    return outcome in {Outcome.FAILED, Outcome.STALLED, Outcome.TIMED_OUT, Outcome.INCOMPLETE_OUTPUT}


CHECKS: tuple[Callable[[World, Snapshot, Sequence[AnyFact]], list[str]], ...] = (
    every_run_ends,
    nothing_is_left,
    results_are_true,
    failures_have_a_reason,
    nothing_is_lost_that_is_there,
    nothing_happens_twice,
    zombies_are_true,
    attempts_stay_within_limits,
    launches_and_budgets_hold,
    the_log_stays_small,
    charges_add_up,
    charges_are_what_clouds_bill,
    the_log_tells_all,
)
