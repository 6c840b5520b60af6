"""One run on this machine, from the decision about its limits to the plan for the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from flyball.engine.record import CostOf, ended, record_leftovers
from flyball.engine.spool import Opening, Spool, decode_receipt
from flyball.errors import FlyballError, StoreError
from flyball.meter.order import Order
from flyball.meter.supervise import run_metered
from flyball.model.facts import RunPlanned
from flyball.model.job import RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Plan
from flyball.model.receipt import Limits, Receipt
from flyball.model.units import show_bytes
from flyball.policy.cost import Cost
from flyball.policy.retry import Again, Allowance, Final, Grown, after

if TYPE_CHECKING:
    from flyball.ports.store import Store

TIDY_AFTER_SECONDS = 60.0


class MemoryAsk(msgspec.Struct, frozen=True, kw_only=True):
    """How much memory the user lets it have: nothing said, one limit, a range, or as planned ("auto")."""

    first_bytes: int | None = None
    ceiling_bytes: int | None = None
    planned: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A run as asked for. `command` is what is executed; `run.command` what is recorded, without secrets."""

    run: RunSpec
    command: tuple[str, ...]
    env: dict[str, str] | None = None  # the whole environment of the command; None: ours
    memory: MemoryAsk = MemoryAsk()
    cpu_cores: float | None = None
    cpu_planned: bool = False
    timeout_seconds: float | None = None
    stalled_after_seconds: float | None = None
    grace_seconds: float = 10.0
    retries: int = 0
    log: str = "auto"
    end_background: bool = True


class AttemptResult(msgspec.Struct, frozen=True, kw_only=True):
    receipt: Receipt
    cost: Cost
    reason: str  # why it had these limits


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """How the run ended. `warnings` say what flyball itself could not do."""

    run: RunSpec
    attempts: tuple[AttemptResult, ...]
    plan: Plan | None  # for this run, from what was known before it
    plan_next: Plan | None
    warnings: tuple[str, ...]
    stdout_ends_line: bool = True  # what is printed next starts a line of its own

    @property
    def receipt(self) -> Receipt:
        """Of the last attempt."""
        return self.attempts[-1].receipt

    @property
    def exit_code(self) -> int:
        code = self.receipt.exit_code
        return 125 if code is None else code

    @property
    def is_time_to_tidy(self) -> bool:
        """After a run that was long enough for nobody to notice, and after one in 32 of the others."""
        return self.receipt.wall_seconds > TIDY_AFTER_SECONDS or self.run.run_id[-1] == "0"

    def with_warnings(self, more: Sequence[str]) -> Finished:
        return msgspec.structs.replace(self, warnings=(*more, *self.warnings))


class Planner(Protocol):
    """The policies, with the catalogue and the user's settings filled in."""

    def plan_now(self, run: RunSpec) -> Plan:
        """For a run that is about to start. Raises: FlyballError."""
        ...

    def grow(self, run: RunSpec, limit_bytes: int, failed: int) -> Grown | None:
        """What comes after `failed` attempts ran out of memory, the last at `limit_bytes`. Raises: FlyballError."""
        ...

    def plans_after(self, run: RunSpec, last: Receipt) -> tuple[Plan, Plan]:
        """(for this run as if it had not happened yet, for the next one like it). Raises: FlyballError."""
        ...


class Machinery(msgspec.Struct, frozen=True, kw_only=True):
    """What one run needs of the world. `open_store` is called after the command has started."""

    spool: Spool
    scratch: Callable[[], AbstractContextManager[str]]  # a folder to meter in when home cannot be written
    open_store: Callable[[], Store]
    planner: Planner
    cost_of: CostOf
    now_seconds: Callable[[], float]
    memory_of_machine_bytes: Callable[[], int]
    tell: Callable[[str], None]
    prepare: Callable[[], None]  # whatever else will be needed at the end; called while the command runs


def run_here(request: Request, machinery: Machinery) -> Finished:
    """Run it, retry it as allowed, record it, plan the next. Raises: CannotLimit before anything has started."""
    with ExitStack() as left_over:
        return _OneRun(request, machinery, left_over).run()


def _again_words(attempts: Sequence[AttemptResult], step: Again) -> str:
    """ "attempt 1: out of memory at its limit of 96 MiB; attempt 2 gets 192 MiB: ..."."""
    limit = "" if step.memory_limit_bytes is None else f" gets {show_bytes(step.memory_limit_bytes)}"
    return f"attempt {len(attempts)}: {attempts[-1].receipt.exit_cause}; attempt {len(attempts) + 1}{limit}: {step.reason}"


class _OneRun:
    def __init__(self, request: Request, machinery: Machinery, left_over: ExitStack) -> None:
        self._request, self._with, self._run = request, machinery, request.run
        self._left_over = left_over
        self._store: Store | None = None
        self._warnings: list[str] = []
        self._attempts: list[AttemptResult] = []
        self._stdout_ends_line = True
        self._is_spooled = False
        self._start_recorded = ""  # the attempt whose start the store knows

    def run(self) -> Finished:
        limits, reason = self._first_limits()
        while True:
            self._attempts.append(self._attempt(limits, reason))
            step = self._next_step(limits)
            if isinstance(step, Final):
                break
            self._with.tell(_again_words(self._attempts, step))
            limits, reason = (
                msgspec.structs.replace(limits, memory_bytes=step.memory_limit_bytes),
                step.reason,
            )
        plan, plan_next = self._plans()
        return Finished(
            run=self._run,
            attempts=tuple(self._attempts),
            plan=plan,
            plan_next=plan_next,
            warnings=tuple(dict.fromkeys(self._warnings)),
            stdout_ends_line=self._stdout_ends_line,
        )

    def _first_limits(self) -> tuple[Limits, str]:
        asked = self._request
        memory_bytes, cores, reason = asked.memory.first_bytes, asked.cpu_cores, "limits as asked for"
        if asked.memory.planned or asked.cpu_planned:
            planned_bytes, planned_cores, reason = self._planned_limits()
            memory_bytes = planned_bytes if asked.memory.planned else memory_bytes
            cores = planned_cores if asked.cpu_planned else cores
        elif memory_bytes is None and cores is None:
            reason = "no limits asked for"
        limits = Limits(
            memory_bytes=memory_bytes,
            cpu_cores=cores,
            timeout_seconds=asked.timeout_seconds,
            stalled_after_seconds=asked.stalled_after_seconds,
            grace_seconds=asked.grace_seconds,
        )
        return limits, reason

    def _planned_limits(self) -> tuple[int | None, float | None, str]:
        """(memory, cores, why): none at all while nothing is known of the job, or its history cannot be read."""
        try:
            plan = self._with.planner.plan_now(self._run)
        except Exception as error:  # noqa: BLE001 - nor keep it from running
            self._warnings.append(f"no limits are set: {_planning_failed(error)}")
            return None, None, "no limits: there was no plan"
        if not plan.forecast.runs:
            return None, None, "no limits: no run of this job is known yet"
        most_bytes = self._request.memory.ceiling_bytes or self._with.memory_of_machine_bytes()
        why = "as planned: " + "; ".join(plan.reasons)
        return min(plan.size.memory_bytes, most_bytes), plan.size.cpu_cores, why

    def _attempt(self, limits: Limits, reason: str) -> AttemptResult:
        opening = Opening(
            run=self._run,
            attempt_id=f"{self._run.run_id}.{len(self._attempts) + 1}",
            at_seconds=self._with.now_seconds(),
            limits=limits,
            reason=reason,
        )
        folder = self._open(opening)
        raw = run_metered(self._order(opening, folder), while_running=lambda: self._record_start(opening))
        for key in ("while_running_error", "record_error"):
            if raw.get(key):
                self._warnings.append(str(raw[key]))
        self._stdout_ends_line = bool(raw.get("stdout_ends_line", True))
        receipt = decode_receipt(raw)
        result = AttemptResult(receipt=receipt, cost=self._with.cost_of(receipt), reason=reason)
        self._record_end(opening, result)
        return result

    def _open(self, opening: Opening) -> str:
        self._is_spooled = True
        try:
            return str(self._with.spool.open(opening))
        except OSError as error:
            self._is_spooled = False
            self._warnings.append(f"cannot write the record of this run: {error}")
            return self._left_over.enter_context(self._with.scratch())

    def _order(self, opening: Opening, folder: str) -> Order:
        asked, limits = self._request, opening.limits
        return Order(
            attempt_id=opening.attempt_id,
            command=asked.command,
            folder=folder,
            memory_limit_bytes=limits.memory_bytes,
            cpu_cores_limit=limits.cpu_cores,
            timeout_seconds=limits.timeout_seconds,
            stalled_after_seconds=limits.stalled_after_seconds,
            grace_seconds=asked.grace_seconds,
            workdir=self._run.workdir,
            env=asked.env,
            log=asked.log,
            end_background=asked.end_background,
        )

    def _record_start(self, opening: Opening) -> None:
        """In the background, while the command runs: the slow imports and the disk's fsync cost it nothing."""
        try:
            if self._store is None:
                self._store = self._with.open_store()
            self._store.append(opening.facts())
            self._start_recorded = opening.attempt_id
            record_leftovers(self._with.spool, self._store, self._with.cost_of)
        except StoreError:
            pass  # tried again, and said, when the command has ended
        self._with.prepare()

    def _record_end(self, opening: Opening, result: AttemptResult) -> None:
        end = ended(opening, result.receipt, result.cost)
        facts = (end,) if self._start_recorded == opening.attempt_id else (*opening.facts(), end)
        try:
            if self._store is None:
                self._store = self._with.open_store()
            self._store.append(facts)
            recorded = self._store.run(self._run.run_id)
        except StoreError as error:
            kept = "it is kept and will be recorded by the next flyball command that can"
            self._warnings.append(
                f"{error}\n  this run: {kept if self._is_spooled else 'it is not recorded'}"
            )
            return
        with suppress(OSError):  # the marker stays: recording it again changes nothing
            self._with.spool.close(opening.attempt_id)
        if recorded is not None:  # under the name that the job has now
            self._run = msgspec.structs.replace(self._run, job=recorded.job)

    def _next_step(self, limits: Limits) -> Again | Final:
        outcomes = tuple(attempt.receipt.outcome for attempt in self._attempts)
        failed = sum(outcome is Outcome.OUT_OF_MEMORY for outcome in outcomes)
        return after(
            outcomes,
            allowance=Allowance(
                retries=self._request.retries, memory_ceiling_bytes=self._memory_ceiling_bytes()
            ),
            memory_limit_bytes=limits.memory_bytes,
            grow=lambda limit_bytes: self._grow(limit_bytes, failed),
        )

    def _memory_ceiling_bytes(self) -> int | None:
        asked = self._request.memory
        if asked.ceiling_bytes is not None:
            return asked.ceiling_bytes
        return self._with.memory_of_machine_bytes() if asked.planned else None

    def _grow(self, limit_bytes: int, failed: int) -> Grown | None:
        try:
            return self._with.planner.grow(self._run, limit_bytes, failed)
        except Exception as error:  # noqa: BLE001 - without a plan: double, as one would by hand
            self._warnings.append(_planning_failed(error))
            doubled = limit_bytes * 2
            return Grown(
                memory_limit_bytes=doubled, reason=f"out of memory at {show_bytes(limit_bytes)}: doubled"
            )

    def _plans(self) -> tuple[Plan | None, Plan | None]:
        if self._store is None:
            return None, None
        try:
            plan, plan_next = self._with.planner.plans_after(self._run, self._attempts[-1].receipt)
            if not plan.forecast.runs:  # nothing was known: that is no plan
                return None, plan_next if plan_next.forecast.runs else None
            at_seconds = self._run.features.started_at_seconds
            self._store.append([RunPlanned(at_seconds=at_seconds, run_id=self._run.run_id, plan=plan)])
        except Exception as error:  # noqa: BLE001 - nothing in planning may change the result of a finished command
            self._warnings.append(_planning_failed(error))
            return None, None
        return plan, plan_next


def _planning_failed(error: Exception) -> str:
    if isinstance(error, FlyballError):
        return str(error)
    return f"a bug in flyball: no plan could be made ({type(error).__name__}: {error})"
