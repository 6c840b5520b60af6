"""The loop: read, fold, observe, decide, record, and only then act."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from flyball.engine.orders import order_for_attempt, order_for_host
from flyball.errors import Conflict, Unavailable
from flyball.model.facts import (
    AnyFact,
    AttemptLaunched,
    HostEnding,
    HostLaunched,
    LaunchRefused,
    MachineReleased,
    RunSubmitted,
)
from flyball.model.folding import fold
from flyball.model.machine import Launch, Machine
from flyball.model.snapshot import Snapshot
from flyball.policy.charges import charge_of
from flyball.policy.commands import Command, GiveBack, StartAttempt, StartHost, StopAttempts
from flyball.policy.governor import correct, decide
from flyball.policy.known import Known
from flyball.policy.observing import observe
from flyball.ports.clock import Clock
from flyball.ports.papers import Papers
from flyball.ports.provider import BadRequest, Provider, Refused
from flyball.ports.store import Store

FACTS_AT_A_TIME = 20_000


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """What one tick did, for whoever shows it."""

    facts: tuple[AnyFact, ...] = ()
    warnings: tuple[str, ...] = ()
    conflict: bool = False  # another governor wrote first; nothing was lost, the next tick decides anew


class Governor:
    """Any number of them may work on one store: whoever appends first is right, the others read and decide again."""

    def __init__(
        self,
        *,
        store: Store,
        providers: Mapping[str, Provider],
        known: Callable[[Snapshot], Known],
        papers: Papers,
        clock: Clock,
        snapshot: Snapshot | None = None,
        news: Callable[[Snapshot, float], Sequence[AnyFact]] = lambda _, __: (),
        complete: Callable[[RunSubmitted], RunSubmitted] = lambda submitted: submitted,
    ) -> None:
        """`known` is asked once a tick. `news` brings what only the world outside knows (objects that arrived);
        `complete` adds to a run that falls due what its forecast may use (the size of its inputs)."""
        self._store, self._providers, self._known = store, providers, known
        self._papers, self._clock, self._news, self._complete = papers, clock, news, complete
        self.snapshot = snapshot or Snapshot()
        self._facts: list[AnyFact] = []
        self._warnings: list[str] = []

    def tick(self) -> Ticked:
        """Raises: StoreError when the log cannot be read or written; then nothing was done that is not recorded."""
        self._facts, self._warnings = [], []
        try:
            self._tick()
        except Conflict:
            return Ticked(facts=tuple(self._facts), warnings=tuple(self._warnings), conflict=True)
        return Ticked(facts=tuple(self._facts), warnings=tuple(self._warnings))

    def _tick(self) -> None:
        # What listings show is no younger than this, however slow the calls are.
        listed_at_seconds = self._clock.now_seconds()
        listings = self._listings()  # before the log is read: what it shows was planned in the log by then
        self.catch_up()
        now_seconds = self._clock.now_seconds()
        known = self._known(self.snapshot)
        seen = observe(self.snapshot, listings, known, listed_at_seconds)
        self._decide_after([*seen, *self._news(self.snapshot, now_seconds)], known, now_seconds)
        done, gave_back = self._act(correct(self.snapshot, listings, known, now_seconds), known)
        if gave_back:
            # What was given back makes room, and its run may go on at once.
            self._decide_after(done, known, now_seconds)
            done, _ = self._act(correct(self.snapshot, listings, known, now_seconds), known)
        self._record(done)
        self._renew(listings, known.only)

    def _decide_after(self, facts: Sequence[AnyFact], known: Known, now_seconds: float) -> None:
        """Facts that are known by now and what is decided from them, durable together: one wait for the disk."""
        mine = _of(known.only, facts)
        decided = _of(known.only, decide(fold(self.snapshot, mine), known, now_seconds))
        whole = [self._complete(fact) if isinstance(fact, RunSubmitted) else fact for fact in decided]
        self._record([*mine, *whole])

    def catch_up(self) -> None:
        """Fold what was recorded since."""
        while facts := self._store.read(self.snapshot.position, limit=FACTS_AT_A_TIME):
            self.snapshot = fold(self.snapshot, facts)

    def _listings(self) -> dict[str, Sequence[Machine]]:
        listings: dict[str, Sequence[Machine]] = {}
        for name, provider in self._providers.items():
            try:
                listings[name] = provider.machines()
            except Unavailable as error:
                self._warnings.append(f"{name}: {error}")
        return listings

    def _record(self, facts: Sequence[AnyFact]) -> None:
        if not facts:
            return
        self._store.append(facts, after=self.snapshot.position)
        self.snapshot = fold(self.snapshot, facts)
        self._facts.extend(facts)

    def _act(self, commands: Sequence[Command], known: Known) -> tuple[list[AnyFact], bool]:
        """(what was done, whether anything was given back). Should it never be recorded, the next tick does it again,
        which changes nothing."""
        done: list[AnyFact] = []
        gave_back = False
        for command in commands:
            if known.only is not None and not _runs_of(command) & known.only:
                continue
            done.extend(self._carry_out(command, known))
            gave_back |= isinstance(command, GiveBack)
        return done, gave_back

    def _carry_out(self, command: Command, known: Known) -> Sequence[AnyFact]:
        try:
            match command:
                case StartAttempt():
                    return self._start(command)
                case StartHost():
                    order = order_for_host(command.planned, known.ceilings.lease_seconds)
                    return self._start_host(command, order)
                case StopAttempts(provider=name, attempt_ids=attempt_ids):
                    self._providers[name].stop(attempt_ids)
                    return ()
                case GiveBack(provider=name):
                    self._providers[name].release(command.attempt_id)
                    return (self._released(command, known),)
        except Unavailable as error:
            self._warnings.append(str(error))
            return ()  # nobody knows whether it worked: the next tick asks again
        except KeyError as error:
            self._warnings.append(
                f"no provider {error} here; what runs there is left to a governor that has it"
            )
            return ()

    def _start(self, command: StartAttempt) -> Sequence[AnyFact]:
        planned, now_seconds = command.planned, self._clock.now_seconds()
        name = {"run_id": planned.run_id, "attempt_id": planned.attempt_id}
        try:
            paper = self._papers.get(command.run.spec.paper)
            if paper is None:
                raise BadRequest("its command is gone", why="the private file of this run was removed")
            order = order_for_attempt(command, paper, self._lease_seconds())
            self._providers[planned.provider].launch(order)
        except Refused as error:
            return (
                LaunchRefused(
                    at_seconds=now_seconds,
                    **name,
                    provider=planned.provider,
                    offer_id=planned.offer.offer_id,
                    kind=error.kind,
                    reason=str(error),
                ),
            )
        # After a slow call it is later: listings that do not show it yet are not to be believed any sooner.
        return (AttemptLaunched(at_seconds=self._clock.now_seconds(), **name),)

    def _start_host(self, command: StartHost, order: Launch) -> Sequence[AnyFact]:
        host_id, now_seconds = command.planned.host_id, self._clock.now_seconds()
        try:
            self._providers[command.planned.provider].launch(order)
        except Refused as error:
            return (HostEnding(at_seconds=now_seconds, host_id=host_id, reason=f"{error.kind}: {error}"),)
        return (HostLaunched(at_seconds=self._clock.now_seconds(), host_id=host_id),)

    def _released(self, command: GiveBack, known: Known) -> MachineReleased:
        now_seconds = self._clock.now_seconds()
        left = command.left
        return MachineReleased(
            at_seconds=now_seconds,
            run_id=left.run_id if left else "",
            attempt_id=command.attempt_id,
            charge=charge_of(command, known, now_seconds),
            job=left.job if left else "",
            tags=left.tags if left else {},
        )

    def _lease_seconds(self) -> float:
        return self._known(self.snapshot).ceilings.lease_seconds

    def _renew(self, listings: Mapping[str, Sequence[Machine]], only: frozenset[str] | None) -> None:
        owned = [
            (run.live.planned.provider, run.live.attempt_id)
            for run in self.snapshot.runs.values()
            if run.live and (only is None or run.run_id in only)
        ]
        owned += [(host.planned.provider, host_id) for host_id, host in self.snapshot.hosts.items()]
        for name in listings:
            ids = [attempt_id for provider, attempt_id in owned if provider == name]
            try:
                if ids:
                    self._providers[name].renew(ids)
            except Unavailable as error:
                self._warnings.append(f"{name}: {error}")


def _of(only: frozenset[str] | None, facts: Sequence[AnyFact]) -> Sequence[AnyFact]:
    """Those about the runs that concern us."""
    if only is None:
        return facts
    return [fact for fact in facts if getattr(fact, "run_id", None) in only]


def _runs_of(command: Command) -> frozenset[str]:
    match command:
        case StartAttempt(run=run):
            return frozenset({run.run_id})
        case GiveBack(left=left) if left is not None:
            return frozenset({left.run_id})
        case StopAttempts(attempt_ids=attempt_ids):
            return frozenset(attempt_id.rpartition(".")[0] for attempt_id in attempt_ids)
        case _:
            return frozenset()
