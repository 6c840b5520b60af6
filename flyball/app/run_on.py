"""`flyball run --on NAME -- COMMAND`: submit it, govern just this run here, pass its output on, end with its code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flyball.app.event_words import event_words
from flyball.app.follow import LogFollower
from flyball.app.governor_wiring import PROVIDERS, WallClock, governor, keep, workplace
from flyball.app.request import run_spec_of
from flyball.app.run_options import cpus_ask, environment, memory_ask
from flyball.app.shown_errors import say
from flyball.engine.following import Pace, Troubles, govern
from flyball.engine.one_run import AttemptResult, Finished
from flyball.errors import InputError
from flyball.model.ceilings import Ceilings
from flyball.model.facts import (
    AnyFact,
    AttemptEnded,
    AttemptPlanned,
    LaunchRefused,
    MachineReleased,
    RunEnded,
    RunHeld,
)
from flyball.model.spec import Goal, JobSpec, Patience, SizeAsk, SpotAsk, Tenacity
from flyball.model.units import parse_seconds
from flyball.policy.cost import Cost
from flyball.ports.papers import Paper

if TYPE_CHECKING:
    from flyball.app.governor_wiring import Workplace
    from flyball.client import Client
    from flyball.engine.governor import Ticked
    from flyball.model.history import RunState
    from flyball.model.snapshot import Snapshot

SPOT_CHOICES = ("auto", "always", "never")
_MARKETS = {"auto": "auto", "always": "spot", "never": "on_demand"}
_TOLD = (AttemptPlanned, LaunchRefused, RunHeld)


def run_on(options: Mapping[str, Any], client: Client) -> int:
    """The exit code of the command. Raises: InputError, StoreError before anything has started."""
    place = workplace()
    spec, tags = spec_of_command(options, client, place)
    submitted = place.governed.submit(spec, cause="flyball run --on", fills={}, tags=tags)
    run_id = submitted.run.run_id
    follower = _Follower(place, run_id, quiet=options["quiet"])
    loop, pause = governor(place, ceilings=Ceilings(), only=lambda: frozenset({run_id}))
    with _cancelling(place, run_id):
        govern(
            loop,
            clock=WallClock(),
            pace=Pace(live_seconds=0.1, idle_seconds=0.5),
            keep=lambda snapshot: keep(place, snapshot),
            go_on=follower.go_on,
            tell=follower.tell,
            pause=pause,
        )
    return _show_end(place, run_id, options, client)


def spec_of_command(
    options: Mapping[str, Any], client: Client, place: Workplace
) -> tuple[JobSpec, dict[str, str]]:
    """(the job that a command alone makes, its tags); its private paper is kept. Raises: InputError, StoreError."""
    providers = tuple(name.strip() for name in options["on"].split(","))
    for name in providers:
        if name not in PROVIDERS:
            raise InputError(
                f"--on {name} is unknown", why=f"there is {', '.join(PROVIDERS)}", hint="--on local"
            )
    env, env_names = environment(options["env"], options["env_files"])
    run, warnings = run_spec_of(options, client, env=env, env_names=env_names)
    for warning in warnings:
        say(f"warning: {warning}")
    own_env = {name: env[name] for name in env_names if env and name in env}
    memory, (cores, _) = memory_ask(options["memory"]), cpus_ask(options["cpus"])
    spec = JobSpec(
        name=run.job,
        command=run.command,
        paper=place.papers.keep(Paper(command=tuple(options["command"]), env=own_env)),
        workdir=run.workdir or _here(),
        inputs=run.inputs,
        tags=run.tags,
        providers=providers,
        size=SizeAsk(memory_bytes=memory.first_bytes, memory_bytes_max=memory.ceiling_bytes, cpu_cores=cores),
        goal=Goal(deadline_seconds=_seconds(options["deadline"])),
        tenacity=Tenacity(retries=int(options["retries"])),
        patience=Patience(
            run_seconds=_seconds(options["timeout"]),
            stalled_seconds=_seconds(options["stalled_after"]),
            grace_seconds=parse_seconds(options["grace"]),
        ),
        spot=SpotAsk(market=_market(options["spot"]), checkpoint=options["checkpoint"]),
        source="command line",
    )
    return spec, run.tags


def _here() -> str:
    import os

    return os.getcwd()  # noqa: PTH109


def _market(text: str | None) -> str:
    if text is not None and text not in SPOT_CHOICES:
        raise InputError(
            f"--spot {text} is unknown", why=f"there are {', '.join(SPOT_CHOICES)}", hint="--spot auto"
        )
    return _MARKETS[text or "auto"]


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_seconds(text)


class _Follower:
    """Tells what happens to the run on stderr, and passes its output on to stdout."""

    def __init__(self, place: Workplace, run_id: str, *, quiet: bool) -> None:
        self._place, self._run_id, self._quiet = place, run_id, quiet
        self._log: LogFollower | None = None
        self._attempt_id = ""

    def go_on(self, snapshot: Snapshot) -> bool:
        if self._run_id in snapshot.runs:
            return True
        return any(left.run_id == self._run_id for left in snapshot.unreleased.values())

    def tell(self, news: Ticked | Troubles) -> None:
        if isinstance(news, Troubles):
            say(f"{news.error}\n  trying again in {news.retry_seconds:.0f} s")
            return
        for warning in news.warnings:
            say(f"warning: {warning}")
        for fact in news.facts:
            self._hear(fact)
        self._pump()

    def _hear(self, fact: AnyFact) -> None:
        if isinstance(fact, AttemptPlanned):
            self._attempt_id = fact.attempt_id
            self._log = LogFollower(str(self._place.home / "runs" / fact.attempt_id / "log"))
        if isinstance(fact, AttemptEnded):
            self._pump()
        if not self._quiet and isinstance(fact, _TOLD) and not self._is_first_here(fact):
            words = event_words(fact)
            if words:
                say(words)

    @staticmethod
    def _is_first_here(fact: AnyFact) -> bool:
        """The first attempt on this machine is what was asked for, and nothing new."""
        return (
            isinstance(fact, AttemptPlanned) and fact.attempt_id.endswith(".1") and fact.provider == "local"
        )

    def _pump(self) -> None:
        if self._log is not None and (data := self._log.read()):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


@contextmanager
def _cancelling(place: Workplace, run_id: str) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM cancels the run and goes on until it has ended; a second one is left to Python."""
    before: dict[int, Any] = {}

    def cancel(number: int, _: object) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        say(f"cancelling {run_id}; once more to leave it")
        place.governed.cancel(run_id, f"cancelled by {signal.Signals(number).name}")

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, cancel)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _show_end(place: Workplace, run_id: str, options: Mapping[str, Any], client: Client) -> int:
    state = place.store.run(run_id)
    assert state is not None
    ended = next(fact for fact in state.story if isinstance(fact, RunEnded))
    finished = _finished(state, client)
    if finished is None:
        say(f"{state.job} {ended.result.value}: {ended.reason}\n  try: flyball why {run_id}")
        return 125 if ended.result.value != "cancelled" else 130
    from flyball.app import run_output

    if not options["quiet"]:
        print(run_output.summary(finished), file=sys.stderr, flush=True)  # noqa: T201
        if finished.receipt.outcome.value != "succeeded" and ended.reason not in finished.receipt.exit_cause:
            say(f"{state.job} {ended.result.value}: {ended.reason}")
    if options["as_json"]:
        print(run_output.receipt_line(finished), flush=True)  # noqa: T201
    return finished.exit_code


def _finished(state: RunState, client: Client) -> Finished | None:
    """As `flyball run` shows it; None when no attempt ever ended on a machine."""
    charges = {fact.attempt_id: fact.charge for fact in state.story if isinstance(fact, MachineReleased)}
    starts = {start.attempt_id: start for start in state.started}
    results = []
    for end in state.ended:
        charge, start = charges.get(end.attempt_id), starts.get(end.attempt_id)
        cost = Cost(usd=charge.usd, reason=charge.reason) if charge else Cost(usd=None, reason="not known")
        results.append(AttemptResult(receipt=end.receipt, cost=cost, reason=start.reason if start else ""))
    if not results:
        return None
    plan_next = None
    try:
        plan_next = client.plan(state.job, client.features_like_last(state.job))[0]
    except InputError:
        plan_next = None
    return Finished(
        run=state.run,
        attempts=tuple(results),
        plan=state.plan,
        plan_next=plan_next if plan_next and plan_next.forecast.runs else None,
        warnings=(),
    )
