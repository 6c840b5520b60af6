"""What must hold in every world at every moment; what must hold of its whole life is in verdict.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.engine.governor import Ticked
from flyball.model.folding import fold
from flyball.model.snapshot import Snapshot

if TYPE_CHECKING:
    from worlds import World

CLEAN_TICKS_MAX = 2  # within which a machine that nobody owns any more is given back, once its grace is over


class Watch:
    """Reads the log and the clouds' own truth; never what a governor believes, but to compare it with the log."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.snapshot = Snapshot()
        self._orphans: dict[str, int] = {}  # machine -> clean ticks it has outlived its attempt and grace by
        self._orphan_since: dict[str, float] = {}
        self._start_seconds = world.clock.now_seconds()
        self._reported: set[str] = set()

    def broken(self, words: str) -> None:
        if words not in self._reported:
            self._reported.add(words)
            self._world.broken.append(words)

    # After every tick and step

    def ticked(self, index: int, ticked: Ticked) -> None:
        if not ticked.warnings and not ticked.conflict:
            self.follow()
            self._count_orphans()

    def look(self) -> None:
        self.follow()
        self._two_of_one_run()
        self._orphans_of_now()
        self._within_ceilings()
        for index, governor in enumerate(self._world.governors):
            at_the_same = governor is not None and governor.snapshot.position == self.snapshot.position
            if at_the_same and governor.snapshot != self.snapshot:
                self.broken(f"governor {index} folded the log to something else")

    def follow(self) -> None:
        facts = self._world.store.read(self.snapshot.position)
        if facts:
            self.snapshot = fold(self.snapshot, facts)

    def _within_ceilings(self) -> None:
        """Of what is planned, live or not yet given back: so a slot that leaks would show for ever."""
        ceilings = self._world.ceilings
        held = [(run.job, run.live.planned) for run in self.snapshot.runs.values() if run.live]
        held += [(left.job, left.planned) for left in self.snapshot.unreleased.values()]
        for slots in ceilings.slots:
            count = sum(
                slots.job in {None, job} and slots.provider in {None, planned.provider}
                for job, planned in held
            )
            if count > slots.runs_max:
                self.broken(f"{count} attempts are in slots for {slots.runs_max}")
        bought = [planned for _, planned in held if planned.host_id is None]
        bought += [host.planned for host in self.snapshot.hosts.values()]
        for quota in ceilings.quotas:
            machines = sum(planned.provider == quota.provider for planned in bought)
            if quota.machines_max is not None and machines > quota.machines_max:
                self.broken(f"{machines} machines are held of a quota of {quota.machines_max}")
        usd = sum(float(planned.offer.price_usd_per_hour) for planned in bought)
        if ceilings.usd_per_hour_max is not None and usd > ceilings.usd_per_hour_max + 1e-9:
            self.broken(f"machines for {usd} $ an hour are held; {ceilings.usd_per_hour_max} allowed")
        for job in {job for job, _ in held}:
            at_once = self._runs_at_once(job)
            count = sum(other == job for other, _ in held)
            if at_once is not None and count > at_once:
                self.broken(f"{count} of {job} at once; {at_once} allowed")

    def _runs_at_once(self, job: str) -> int | None:
        """The loosest of its definitions: each run carries its own."""
        mine = [run.spec.holding.runs_at_once for run in self.snapshot.runs.values() if run.job == job]
        return None if None in mine or not mine else max(mine)

    def _two_of_one_run(self) -> None:
        """Never of one governor. A slower one of two may launch what is over for the other: that is a zombie, not
        a second attempt."""
        now, alone = self._world.clock.now_seconds(), len(self._world.governors) == 1
        running: dict[str, list[str]] = {}
        for held in self.alive():
            name, is_over = held.order.attempt_id, held.command_ended_at <= now
            if not (held.order.is_host or is_over) and (alone or self._is_owned(name)):
                running.setdefault(held.order.run_id, []).append(name)
        for run_id, names in running.items():
            if len(names) > 1:
                self.broken(f"{run_id} has {len(names)} machines at once: {names}")

    def alive(self):
        return [held for cloud in self._world.clouds.values() for held in cloud.alive()]

    def _is_owned(self, attempt_id: str) -> bool:
        run = self.snapshot.runs.get(attempt_id.rpartition(".")[0])
        live = run is not None and run.live is not None and run.live.attempt_id == attempt_id
        return live or attempt_id in self.snapshot.hosts

    def _orphans_of_now(self) -> None:
        now = self._world.clock.now_seconds()
        alive = {held.order.attempt_id: held for held in self.alive()}
        for attempt_id in [a for a in self._orphan_since if a not in alive or self._is_owned(a)]:
            self._orphan_since.pop(attempt_id)
            for phase in (f"{attempt_id} True", f"{attempt_id} False"):
                self._orphans.pop(phase, None)
        for attempt_id, held in alive.items():
            if not self._is_owned(attempt_id):
                since = self._orphan_since.setdefault(attempt_id, now)
                if now - since > held.order.lease_seconds + 2 * 300.0 + 100.0:
                    self.broken(f"{attempt_id} outlived its attempt by {now - since:.0f} s, beyond its lease")

    def _count_orphans(self) -> None:
        """A clean tick sees every machine and every answer; lag and grace have to be over before it counts."""
        world = self._world
        now = world.clock.now_seconds()
        skew = world.chances.faults.listing_lag_seconds + 2 * world.chances.jump_seconds + 100.0
        alive = {held.order.attempt_id for held in self.alive()} if self._orphan_since else ()
        for attempt_id in self._orphan_since.keys() & set(alive):
            since = self._orphan_since[attempt_id]
            found = self.snapshot.zombies.get(attempt_id)
            due = since if found is None else max(since, found + world.ceilings.zombie_grace_seconds)
            phase = f"{attempt_id} {found is None}"
            if now - due > skew:
                self._orphans[phase] = self._orphans.get(phase, 0) + 1
                if self._orphans[phase] > CLEAN_TICKS_MAX:
                    what = "found" if found is None else "given back"
                    self.broken(f"{attempt_id} was not {what} in {self._orphans[phase]} clean ticks")
