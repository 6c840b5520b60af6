"""What must hold in every world, looked at after every step and at the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from flyball.engine.governor import Ticked
from flyball.model import facts as f
from flyball.model.folding import fold
from flyball.model.outcome import Outcome
from flyball.model.snapshot import Snapshot

if TYPE_CHECKING:
    from worlds import World

CLEAN_TICKS_MAX = 2  # within which a machine that nobody owns any more is given back, once its grace is over
FACTS_MAX_PER_RUN_HOUR = 400  # a log that grows faster says that something turns in circles


class Watch:
    """Reads the log and the clouds' own truth; never what a governor believes, but to compare it with the log."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.snapshot = Snapshot()
        self._orphans: dict[str, int] = {}  # machine -> clean ticks it has outlived its attempt and grace by
        self._orphan_since: dict[str, float] = {}
        self._clean_ticks = 0
        self._start_seconds = world.clock.now_seconds()
        self._reported: set[str] = set()

    def broken(self, words: str) -> None:
        if words not in self._reported:
            self._reported.add(words)
            self._world.broken.append(words)

    # After every tick and step

    def snapshot_before(self, index: int) -> None:
        pass

    def ticked(self, index: int, ticked: Ticked) -> None:
        if not ticked.warnings and not ticked.conflict:
            self._clean_ticks += 1
            self._count_orphans()

    def look(self) -> None:
        self.follow()
        self._two_of_one_run()
        self._orphans_of_now()
        for index, governor in enumerate(self._world.governors):
            if governor is not None and governor.snapshot.position == self.snapshot.position:
                if governor.snapshot != self.snapshot:
                    self.broken(f"governor {index} folded the log to something else")

    def follow(self) -> None:
        facts = self._world.store.read(self.snapshot.position)
        if facts:
            self.snapshot = fold(self.snapshot, facts)

    def _two_of_one_run(self) -> None:
        """Two may run only when one of them is a zombie: launched by a slower governor after all was over for it."""
        alive = Counter(
            held.order.run_id
            for held in self._alive()
            if held.order.attempt_id not in self._orphan_since and not held.order.is_host
        )
        now = self._world.clock.now_seconds()
        for run_id, count in alive.items():
            running = [
                held.order.attempt_id
                for held in self._alive()
                if held.order.run_id == run_id
                and held.command_ended_at > now
                and self._is_owned(held.order.attempt_id)
            ]
            if count > 1 and len(running) > 1:
                self.broken(f"{run_id} has {len(running)} machines at once: {running}")

    def _alive(self):
        return [held for cloud in self._world.clouds.values() for held in cloud.alive()]

    def _is_owned(self, attempt_id: str) -> bool:
        run = self.snapshot.runs.get(attempt_id.rpartition(".")[0])
        live = run is not None and run.live is not None and run.live.attempt_id == attempt_id
        return live or attempt_id in self.snapshot.hosts

    def _orphans_of_now(self) -> None:
        now = self._world.clock.now_seconds()
        alive = {held.order.attempt_id: held for held in self._alive()}
        for attempt_id in [a for a in self._orphan_since if a not in alive or self._is_owned(a)]:
            self._orphan_since.pop(attempt_id)
            self._orphans.pop(attempt_id, None)
        for attempt_id, held in alive.items():
            if not self._is_owned(attempt_id):
                since = self._orphan_since.setdefault(attempt_id, now)
                if now - since > held.order.lease_seconds + 2 * 300.0 + 100.0:
                    self.broken(f"{attempt_id} outlived its attempt by {now - since:.0f} s, beyond its lease")

    def _count_orphans(self) -> None:
        """A clean tick sees every machine and every answer; lag and grace have to be over before it counts."""
        world = self._world
        now = world.clock.now_seconds()
        grace = world.ceilings.zombie_grace_seconds + world.chances.faults.listing_lag_seconds
        grace += 2 * world.chances.jump_seconds + 100.0
        for attempt_id, since in self._orphan_since.items():
            if now - since > grace:
                self._orphans[attempt_id] = self._orphans.get(attempt_id, 0) + 1
                # One tick finds a zombie and the first after the grace gives it back.
                if self._orphans[attempt_id] > CLEAN_TICKS_MAX + 1:
                    self.broken(f"{attempt_id} was not given back in {self._orphans[attempt_id]} clean ticks")

    # At the end

    def at_the_end(self) -> list[str]:
        self.follow()
        facts = self._world.store.read()
        words = [
            *self._every_run_ends(),
            *self._once_only(facts),
            *self._nothing_is_left(),
            *self._ceilings(facts),
            *self._results_are_true(facts),
            *self._replays(facts),
            *self._money(facts),
            *self._false_alarms(facts),
            *self._size_of_log(facts),
        ]
        return [word for word in words if word not in self._reported]

    def _every_run_ends(self) -> list[str]:
        return [
            f"{run_id} never ended: live={run.live and run.live.attempt_id} held={run.held and run.held.reason}"
            for run_id, run in self.snapshot.runs.items()
        ]

    def _once_only(self, facts) -> list[str]:
        words = []
        for kind, name in (
            (f.AttemptPlanned, "attempt_id"),
            (f.AttemptEnded, "attempt_id"),
            (f.MachineReleased, "attempt_id"),
            (f.RunEnded, "run_id"),
        ):
            counts = Counter(
                getattr(fact, name) for fact in facts if type(fact) is kind and not _zombies(fact)
            )
            words += [f"{kind.__name__} {n} times for {key}" for key, n in counts.items() if n > 1]
        refused = {fact.attempt_id for fact in facts if isinstance(fact, f.LaunchRefused)}
        ended = {fact.attempt_id for fact in facts if isinstance(fact, f.AttemptEnded)}
        words += [f"{attempt_id} was refused and has ended" for attempt_id in refused & ended]
        return words

    def _nothing_is_left(self) -> list[str]:
        words = [f"{held.order.attempt_id} still costs money" for held in self._alive()]
        words += [f"{attempt_id} was never given back" for attempt_id in self.snapshot.unreleased]
        released = {x.attempt_id for x in self._world.store.read() if isinstance(x, f.MachineReleased)}
        for cloud in self._world.clouds.values():
            words += [
                f"{attempt_id} was launched and its end never charged"
                for attempt_id, held in cloud.launched().items()
                if attempt_id not in released and held.vanished_at > held.gone_at
            ]
        return words

    def _ceilings(self, facts) -> list[str]:
        words = []
        launched: Counter[str] = Counter()
        for cloud in self._world.clouds.values():
            launched.update(held.order.run_id for held in cloud.launched().values() if not held.order.is_host)
        specs = {x.run.run_id: x.spec for x in facts if isinstance(x, f.RunSubmitted)}
        late = (
            1 if len(self._world.governors) > 1 else 0
        )  # a slower governor's launch, given back as a zombie
        for run_id, count in launched.items():
            most = specs[run_id].tenacity.launches_max
            if count > most * (1 + late):
                words.append(f"{run_id} was launched {count} times; {most} allowed")
        spent: Counter[str] = Counter(
            x.run_id for x in facts if isinstance(x, f.AttemptEnded) and x.receipt.outcome.spends_retry
        )
        for run_id, count in spent.items():
            if count > specs[run_id].tenacity.retries + 1:
                words.append(
                    f"{run_id} failed {count} times; {specs[run_id].tenacity.retries} retries allowed"
                )
        return words

    def _results_are_true(self, facts) -> list[str]:
        """A run that is said to have succeeded did, and one whose command always goes well does not fail for it."""
        words, now = [], self._world.clock.now_seconds()
        done: set[str] = set()
        for cloud in self._world.clouds.values():
            for held in cloud.launched().values():
                course = held.course
                if course and course.outcome is Outcome.SUCCEEDED and course.ended_at_seconds <= now:
                    if course.ended_at_seconds <= held.command_ended_at:
                        done.add(held.order.run_id)
        for fact in facts:
            if (
                isinstance(fact, f.RunEnded)
                and fact.result is f.RunResult.SUCCEEDED
                and fact.run_id not in done
            ):
                words.append(f"{fact.run_id} is said to have succeeded, and did not")
        return words

    def _replays(self, facts) -> list[str]:
        rng, words = self._world.rng, []
        whole = fold(Snapshot(), facts)
        chunked, at = Snapshot(), 0
        while at < len(facts):
            size = rng.choice((1, 2, 7, 100))
            chunked, at = fold(chunked, facts[at : at + size]), at + size
        if whole != chunked:
            words.append("folding in pieces gives another snapshot")
        doubled = fold(Snapshot(), [fact for fact in facts for _ in range(2)])
        if replace(doubled, position=0) != replace(whole, position=0):
            words.append("every fact twice gives another snapshot: " + _difference(doubled, whole))
        late = [x for x in facts if isinstance(x, _LATE) and _run_id(x) in whole.ended and rng.random() < 0.3]
        again = fold(whole, late)
        if replace(again, position=0) != replace(whole, position=0):
            words.append("late facts give another snapshot: " + _difference(again, whole))
        return words

    def _money(self, facts) -> list[str]:
        return []

    def _false_alarms(self, facts) -> list[str]:
        """A machine that was given back, and only its listing lags, is no zombie; clocks that jump may see one."""
        if self._world.chances.jump_seconds:
            return []
        alive_until = {
            attempt_id: held.gone_at
            for cloud in self._world.clouds.values()
            for attempt_id, held in cloud.launched().items()
        }
        lag = self._world.chances.faults.listing_lag_seconds
        words, given_back = [], set()
        for fact in facts:
            if isinstance(fact, f.MachineReleased):
                given_back.add(fact.attempt_id)
            if isinstance(fact, f.ZombieFound) and fact.attempt_id in given_back:
                if fact.at_seconds > alive_until[fact.attempt_id] + lag:
                    words.append(f"{fact.attempt_id} was called a zombie after it was given back")
        return words

    def _size_of_log(self, facts) -> list[str]:
        hours = (self._world.clock.now_seconds() - self._start_seconds) / 3600 + 1
        most = FACTS_MAX_PER_RUN_HOUR * hours * max(1, self._world.chances.runs)
        return [f"{len(facts)} facts in {hours:.0f} hours"] if len(facts) > most else []


_LATE = (
    f.RunSubmitted,
    f.AttemptPlanned,
    f.AttemptLaunched,
    f.LaunchRefused,
    f.AttemptStarted,
    f.ProgressReported,
    f.NoticeReceived,
    f.MachineMissed,
    f.MachineSeen,
    f.AttemptStopping,
    f.AttemptEnded,
    f.MachineReleased,
    f.RunHeld,
    f.CancelAsked,
    f.RunEnded,
)


def _run_id(fact) -> str:
    return fact.run.run_id if isinstance(fact, f.RunSubmitted) else fact.run_id


def _zombies(fact) -> bool:
    """Releases of nobody's machines say so by having no run; the same one may be found and lost again."""
    return isinstance(fact, f.MachineReleased) and not fact.run_id


def _difference(one: Snapshot, other: Snapshot) -> str:
    names = [name for name in one.__struct_fields__ if name != "position"]
    return ", ".join(name for name in names if getattr(one, name) != getattr(other, name))
