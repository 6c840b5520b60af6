"""Runs one command, watches it to its end, and leaves a receipt."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flyball.meter import launch, record
from flyball.meter.apart import must_be_apart, run_apart
from flyball.meter.background import Background
from flyball.meter.ending import NOT_STARTED, STOPPING, Clues, Ending, ending
from flyball.meter.group import Group, open_group
from flyball.meter.group_folder import send
from flyball.meter.logfile import BoundedLog
from flyball.meter.measurement import Measurement
from flyball.meter.order import Order
from flyball.meter.patience import TERMINATE, Patience
from flyball.meter.process import boot_id, start_ticks
from flyball.meter.proctree import adopt_orphans
from flyball.meter.receipt import receipt
from flyball.meter.spool import Spool
from flyball.meter.streams import Streams, hold_closed_streams
from flyball.meter.surroundings import Surroundings
from flyball.meter.waiting import open_wait

if TYPE_CHECKING:
    from flyball.meter.keeper import Keeper


def run_metered(
    order: Order, *, while_running: Callable[[], None] | None = None, keeper: Keeper | None = None
) -> dict[str, Any]:
    """The receipt of one command, run to its end; also left in the order's folder.

    `while_running` is called once in a thread as soon as the command has been started; `keeper` may have it ended
    and judges its receipt (only in a process of one thread). Raises CannotLimit
    before anything starts. Recording that fails never stops the command: it shows in "record_error".
    Meanwhile signals are blocked in every thread, so that they reach this loop and nothing else; processes
    that `while_running` starts inherit that.
    """
    if must_be_apart():
        return run_apart(order, while_running)
    held = hold_closed_streams()
    group = open_group(order)
    try:
        return _Attempt(order, group, keeper).run(while_running)
    finally:
        for handle in held:
            os.close(handle)


class _Attempt:
    """One run of the loop: what it has open, and what it knows so far."""

    def __init__(self, order: Order, group: Group | None, keeper: Keeper | None = None) -> None:
        self.order, self.group, self.keeper = order, group, keeper
        self.record_error: str | None = None
        self.started_wall = time.time()
        self._record(lambda: self._write_intent(None))
        self.log: BoundedLog | None = None
        self.passed_on: set[int] = set()
        self._main_pid: int | None = None  # until it has been reaped
        self._waited: tuple[int, resource.struct_rusage] | None = None

    def run(self, while_running: Callable[[], None] | None) -> dict[str, Any]:
        if self.group is None:
            adopt_orphans(True)
        self.streams = Streams(self.order.log, end_background=self.order.end_background)
        surroundings = Surroundings()
        self.signals = open_wait()
        try:
            pid, started = self._fork()
            self._main_pid = pid
            surroundings.watch_network(pid)
            if self.streams.copiers:
                self._record(self._open_log)
            self.streams.start(self.log.write if self.log else _drop, pid)
            background = Background(pid, while_running)
            background.start()
            begun = launch.wait_until_started(started)
            if not begun.entered and self.group:
                self._lose_group()
            self.measurement = self._measurement(begun.at, pid, surroundings, background)
            self.patience = Patience(self.order, begun.at)
            self._record(lambda: self._write_intent(pid))
            self._watch(pid, background)
            ended_at, ended_wall = time.monotonic(), time.time()
            self._measure(self.measurement.finish, ended_at)
            at_limit = self._reached_limit()
            status, usage = self._waited or os.wait4(pid, 0)[1:]
            self._main_pid = None
            if self.group is None:
                background.finish()  # after it all our children are the command's
            self._end_background()
            self._drain()
            background.finish()
            end = self._ending(status, begun.error, at_limit, surroundings)
        finally:
            self.streams.close()
            self.signals.close()
            if self.group is None:
                adopt_orphans(False)
        return self._close(
            pid=pid,
            started_at=begun.at,
            ended_at=ended_at,
            ended_wall=ended_wall,
            usage=usage,
            end=end,
            background=background,
        )

    # starting

    def _fork(self) -> tuple[int, int]:
        doors = self.group.doors() if self.group else []
        try:
            return launch.fork(
                self.order.command,
                doors=doors,
                attach=self.streams.attach,
                mask=self.signals.mask_before,
                workdir=self.order.workdir,
                env=self.order.env,
            )
        finally:
            for door in doors:
                os.close(door)

    def _write_intent(self, pid: int | None) -> None:
        order = self.order
        intent = {
            "schema": 1,
            "attempt_id": order.attempt_id,
            "program": order.command[0],  # no more: arguments may hold secrets
            "started_at_seconds": self.started_wall,
            "wrapper_pid": os.getpid(),
            "wrapper_started_ticks": start_ticks(os.getpid()),
            "boot_id": boot_id(),
            "limits": limits_of(order),
            "groups": self.group.recorded() if self.group else {},
            "source": self.group.cpu_source if self.group else "proc",
            "pid": pid,
            "pid_started_ticks": start_ticks(pid) if pid is not None else None,
        }
        record.write_intent(order.folder, intent)

    def _open_log(self) -> None:
        self.log = BoundedLog(os.path.join(self.order.folder, record.LOG))

    def _measurement(
        self, started_at: float, pid: int, surroundings: Surroundings, background: Background
    ) -> Measurement:
        spool: list[Spool] = []
        self._record(lambda: spool.append(Spool(os.path.join(self.order.folder, record.SAMPLES))))
        measurement = Measurement(started_at, pid, self.group, surroundings, spool[0] if spool else None)
        measurement.on_full = self._note
        measurement.others_may_start = background.is_running
        return measurement

    def _lose_group(self) -> None:
        """It could not enter: measure by /proc, as if there were no groups."""
        assert self.group is not None
        self.group.remove()
        self.group.close()
        self.group = None

    # watching

    def _watch(self, pid: int, background: Background) -> None:
        """Until the command itself is over (a zombie still, so that its last counters can be read)."""
        measurement, patience = self.measurement, self.patience
        while not self._is_over(pid):
            got = self.signals.wait(
                min(measurement.next_at, patience.next_at(time.monotonic())) - time.monotonic()
            )
            if got is not None and got.number != signal.SIGCHLD:
                self._pass_on(pid, got.number, got.from_terminal)
            now = time.monotonic()
            measurement.gpu = background.gpu
            if now >= measurement.next_at:
                self._measure(measurement.look, now)
            patience.note_activity(now, measurement.active, self.streams.last_at)
            asked = self.keeper.asked() if self.keeper else None
            if asked is not None:
                patience.ask(now, *asked)
            due = patience.due(now)
            if due is not None:
                self._terminate() if due == TERMINATE else self._kill()
            if self.group is None:
                self._reap_orphans()

    def _is_over(self, pid: int) -> bool:
        """Whether the command ended; it stays a zombie where the system can look without reaping."""
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        done, status, usage = os.wait4(pid, os.WNOHANG)
        self._waited = (status, usage) if done else None
        return bool(done)

    def _pass_on(self, pid: int, number: int, from_terminal: bool) -> None:
        terminal = self.streams.terminal
        if number == signal.SIGWINCH and terminal:
            terminal.resize()
            return
        if number == signal.SIGTSTP and terminal:
            terminal.suspend()
            return
        if not from_terminal or terminal:
            send([pid], number)
        if number in STOPPING:
            self.passed_on.add(number)
        if number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)  # the shell waits for us to stop as well
            self.patience.forgive(time.monotonic())

    def _pids(self) -> list[int]:
        """All that is to be ended; the command itself also where nobody can list processes."""
        own = [self._main_pid] if self._main_pid is not None else []
        return list({*self.measurement.pids(), *own})

    def _terminate(self) -> None:
        pids = self._pids()
        send(pids, signal.SIGTERM)
        send(pids, signal.SIGCONT)  # a stopped process takes no SIGTERM

    def _kill(self) -> None:
        if self.group:
            self.group.kill()
        else:
            send(self._pids(), signal.SIGKILL)

    # ending

    def _end_background(self) -> None:
        """Ends what the command left running."""
        if not self.order.end_background or not self.measurement.pids():
            return
        self._terminate()
        give_up = time.monotonic() + self.order.grace_seconds
        pause = 0.001
        while self.measurement.pids() and time.monotonic() < give_up:
            got = self.signals.wait(pause)
            pause = min(0.05, pause * 2)
            if got is not None and got.number in STOPPING:
                break
            if self.group is None:
                self._reap_orphans()
        for _ in range(100):
            if not self.measurement.pids():
                return
            self._kill()
            self.signals.wait(0.01)
            if self.group is None:
                self._reap_orphans()

    def _reap_orphans(self) -> None:
        assert self.measurement.tree is not None
        for pid in self.measurement.tree.zombies():
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # not ours: its own parent will

    def _drain(self) -> None:
        """Passes on what is still in the pipes; a second signal, or a stranger holding them, ends that."""
        quiet_since = time.monotonic()
        while not self.streams.done(0.02):
            got = self.signals.wait(0)
            quiet_since = max(quiet_since, self.streams.last_at)
            if got is not None and got.number in STOPPING:
                self.streams.stop()
            if self._is_held_open() and time.monotonic() - quiet_since > HELD_SECONDS:
                self.streams.stop()

    def _is_held_open(self) -> bool:
        return all(copier.is_waiting for copier in self.streams.copiers)

    def _reached_limit(self) -> bool:
        limit, peak = self.order.memory_limit_bytes, self.measurement.kernel_peak_bytes
        return limit is not None and (peak or 0) >= 0.97 * limit

    def _ending(
        self, status: int, error: OSError | None, at_limit: bool, surroundings: Surroundings
    ) -> Ending:
        if error is not None:
            print(launch.shell_message(error), file=sys.stderr, flush=True)  # noqa: T201 - as a shell does
            code = launch.shell_exit_code(error)
            return Ending("failed", code, None, f"{NOT_STARTED}: {error.strerror}")
        reading: dict[str, float] = {}
        if self.group:
            self.group.read(reading, {})
        kills = reading.get("oom_kills")
        return ending(
            Clues(
                status=status,
                oom_kills=None if kills is None else int(kills),
                machine_oom_kills=surroundings.oom_kills_since(),
                memory_limit_bytes=self.order.memory_limit_bytes,
                at_limit=at_limit,
                stopped_for=self.patience.stopped_for,
                stop_seconds=self.patience.stop_seconds,
                passed_on=frozenset(self.passed_on),
            )
        )

    def _close(
        self,
        *,
        pid: int,
        started_at: float,
        ended_at: float,
        ended_wall: float,
        usage: resource.struct_rusage,
        end: Ending,
        background: Background,
    ) -> dict[str, Any]:
        wall = max(0.0, ended_at - started_at)
        written = self.streams.bytes
        result = receipt(
            attempt_id=self.order.attempt_id,
            end=end,
            pid=pid,
            started_at_seconds=ended_wall - wall,
            ended_at_seconds=ended_wall,
            wall_seconds=wall,
            figures=self.measurement.figures(wall_seconds=wall, usage=usage),
            output_bytes=written,
            host=background.host,
            limits=limits_of(self.order),
        )
        if self.log:
            self.log.close(written)
            if self.log.error:
                self._note(self.log.error)
        if self.group and not self.group.pids():
            self.group.remove()
        self.measurement.close()
        if self.keeper:
            result = self.keeper.judged(result)
        # Where somebody waits for the outcome and runs it again if it is lost: two syncs take longer than that would.
        durable = self.keeper is None or wall >= BRIEF_SECONDS
        self._record(lambda: record.write_outcome(self.order.folder, result, durable=durable))
        result["stdout_ends_line"] = self.streams.stdout_ends_line
        if self.record_error:
            result["record_error"] = self.record_error
        if background.error:
            result["while_running_error"] = background.error
        return result

    def _measure(self, look: Callable[[float], None], now: float) -> None:
        """A counter that reads otherwise than any kernel's we know must not cost the user his command."""
        try:
            look(now)
        except (ValueError, IndexError, KeyError, OSError) as error:
            self._note(error)
            self.measurement.next_at = now + 1.0

    def _record(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self.record_error = self.record_error or str(error)


BRIEF_SECONDS = 1.0
HELD_SECONDS = 0.5  # how long a silent pipe that a stranger holds open is waited for


def limits_of(order: Order) -> dict[str, Any]:
    """The receipt's "limits"."""
    return {
        "memory_bytes": order.memory_limit_bytes,
        "cpu_cores": order.cpu_cores_limit,
        "timeout_seconds": order.timeout_seconds,
        "stalled_after_seconds": order.stalled_after_seconds,
        "grace_seconds": order.grace_seconds,
    }


def _drop(_: bytes | memoryview) -> None:
    """Keeps nothing."""
