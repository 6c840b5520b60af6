"""This computer as machines of a chosen size: a folder for each launch, a wrapper process for each folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from flyball.adapters.local_ending import ask_to_stop, claim_for_nobody, close_unattended, end_now
from flyball.adapters.local_machines import Launched, MachineFolder, MachineFolders
from flyball.adapters.local_size import capabilities_here, offer_here, size_here
from flyball.adapters.local_zygote import ROOT, Zygote
from flyball.errors import Unavailable
from flyball.meter.keeper import MACHINE
from flyball.meter.one_machine import OUTPUT
from flyball.model.machine import Capabilities, Launch, Machine
from flyball.model.outcome import Outcome
from flyball.model.resource import Offer, Size
from flyball.model.units import show_bytes
from flyball.ports.provider import BadRequest, NoCapacity

ATTEMPT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
UNSTARTED_SECONDS = 600.0  # a launch that nobody is left to start is forgotten after that long
RENEWALS_PER_LEASE = 20  # more would only cost system calls
URL_CHECK = "import sys; sys.path.insert(0, sys.argv[1]); from flyball.adapters.url_outputs import main; main(sys.argv[2:])"


class LocalProvider:
    """Attempts are started by a process of its own and live on without it; any number of these may share one home.

    An attempt ends itself when its governor has not been heard of for the launch's lease. Memory is never promised
    twice. Limits that this computer cannot hold are noted in the machine's folder, and time-outs hold all the same.
    """

    def __init__(
        self,
        home: Path,
        *,
        size: Size | None = None,
        offer: Offer | None = None,
        memory_reserve_bytes: int | None = None,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        """`size`: what attempts may have together (all but a reserve of memory). `offer`: what it is sold as, where
        this computer is a rented one with a price."""
        home = Path(home).absolute()
        self._folders, self._zygote = MachineFolders(home), Zygote()
        self._size, self._offer = size, offer
        self._memory_reserve_bytes, self._now_seconds = memory_reserve_bytes, now_seconds
        self._unclaimed: dict[str, tuple[int, dict[str, Any]]] = {}  # (sent to that zygote, order)
        self._renewed_at: dict[str, float] = {}
        self._swept = False

    @cached_property
    def capabilities(self) -> Capabilities:
        return capabilities_here(self._total, self.offers()[0])

    def offers(self) -> Sequence[Offer]:
        return (self._offer or offer_here(self._total, self._now_seconds()),)

    @cached_property
    def _total(self) -> Size:
        return self._size or size_here(self._memory_reserve_bytes)

    def launch(self, order: Launch) -> None:
        """Raises: BadRequest, NoCapacity (memory), Unavailable."""
        if not ATTEMPT_ID.fullmatch(order.attempt_id):
            raise BadRequest(f"{order.attempt_id!r} is no attempt id", why="it names a folder")
        folder = self._folders.folder(order.attempt_id)
        if folder.is_claimed():  # asked before it is judged: what has begun cannot be refused any more
            return
        _check(order, self._total)
        try:
            if folder.launched is None:
                self._check_room(order)
                self._folders.make(Launched.of(order, self._now_seconds()))
            asked = _asked(order, folder)
        except OSError as error:
            raise _unavailable("a machine's folder cannot be made", error) from error
        self._unclaimed[order.attempt_id] = (self._zygote.generation, asked)
        self._zygote.send(asked)
        self._unclaimed[order.attempt_id] = (self._zygote.generation, asked)

    def machines(self) -> Sequence[Machine]:
        """Raises: Unavailable."""
        try:
            if not self._swept:
                self._folders.sweep(self._now_seconds())
                self._swept = True
            self._send_again()
            found = [self._seen(folder) for folder in list(self._folders.all().values())]
        except OSError as error:
            raise _unavailable("the machines' folders cannot be read", error) from error
        return [machine for machine in found if machine is not None]

    def stop(self, attempt_ids: Sequence[str]) -> None:
        """Raises: Unavailable."""
        for attempt_id in attempt_ids:
            try:
                ask_to_stop(self._folders.folder(attempt_id))
            except OSError as error:
                raise _unavailable(f"{attempt_id} cannot be told to stop", error) from error

    def release(self, attempt_id: str) -> None:
        """Raises: Unavailable."""
        self._unclaimed.pop(attempt_id, None)
        self._renewed_at.pop(attempt_id, None)
        folder = self._folders.folder(attempt_id)
        if folder.launched is None:
            return
        try:
            end_now(folder)
            _discard_partial(folder)
            self._folders.forget(attempt_id)
        except OSError as error:
            raise _unavailable(f"{attempt_id} cannot be released", error) from error

    def renew(self, attempt_ids: Sequence[str]) -> None:
        """Raises: Unavailable."""
        now = time.monotonic()
        for attempt_id in attempt_ids:
            if now < self._renewed_at.get(attempt_id, 0.0):
                continue
            folder = self._folders.folder(attempt_id)
            launched = folder.launched
            if launched is None:
                continue
            try:
                os.utime(os.path.join(folder.path, MACHINE))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _unavailable(f"the lease of {attempt_id} cannot be renewed", error) from error
            self._renewed_at[attempt_id] = now + launched.lease_seconds / RENEWALS_PER_LEASE

    def wait_for_news(self, seconds: float) -> bool:
        """Whether an attempt that was started from here has ended; waits for it that long at most."""
        if not self._unclaimed and self._zygote.generation == 0:
            time.sleep(seconds)
            return False
        return self._zygote.news(seconds)

    def close(self) -> None:
        """Ends the process that starts commands; what was started goes on."""
        self._zygote.close()

    def _seen(self, folder: MachineFolder) -> Machine | None:
        ended = folder.ended()
        if ended is not None:
            return ended
        if folder.is_claimed():
            self._unclaimed.pop(folder.attempt_id, None)
            if not folder.is_attended() and folder.ended() is None:
                close_unattended(folder)
            return folder.ended() or folder.alive()
        launched = folder.launched
        if launched is None:
            return None
        if folder.attempt_id in self._unclaimed or launched.is_owned():
            return folder.alive()
        # Whoever was to start it is gone: the same launch, ordered again, starts it. It is no machine until then.
        age_seconds = self._now_seconds() - launched.launched_at_seconds
        if age_seconds > UNSTARTED_SECONDS and claim_for_nobody(folder):
            self._folders.forget(folder.attempt_id)
        return None

    def _send_again(self) -> None:
        """Orders that the process which was to carry them out may have taken with it; the claim keeps them single."""
        if not self._unclaimed:
            return
        died = self._zygote.is_gone()
        for attempt_id, (generation, asked) in list(self._unclaimed.items()):
            folder = self._folders.folder(attempt_id)
            if folder.is_claimed() or folder.launched is None:
                del self._unclaimed[attempt_id]
            elif died or generation < self._zygote.generation:
                self._zygote.send(asked)
                self._unclaimed[attempt_id] = (self._zygote.generation, asked)

    def _check_room(self, order: Launch) -> None:
        taken_bytes = sum(
            launched.memory_bytes
            for folder in self._folders.all().values()
            if (launched := folder.launched) and folder.ended() is None
        )
        if taken_bytes + order.size.memory_bytes > self._total.memory_bytes:
            left_bytes = max(0, self._total.memory_bytes - taken_bytes)
            raise NoCapacity(
                f"{show_bytes(order.size.memory_bytes)} are not free on this machine",
                why=f"{show_bytes(left_bytes)} of {show_bytes(self._total.memory_bytes)} are left",
            )


def _check(order: Launch, total: Size) -> None:
    if order.is_host or order.host_id is not None:
        raise BadRequest("this machine keeps no warm machines", why="it is one itself")
    if not order.command or not order.command[0]:
        raise BadRequest("there is no command")
    if order.workdir is not None and not Path(order.workdir).is_dir():
        raise BadRequest(
            f"its workdir {order.workdir} is not there", hint="make the folder, then flyball retry"
        )
    if not total.holds(order.size):
        raise BadRequest(
            "it does not fit on this machine",
            why=f"it needs {_words(order.size)}; this machine has {_words(total)}",
        )


def _words(size: Size) -> str:
    gpus = f", {size.gpus} GPUs" if size.gpus else ""
    return f"{size.cpu_cores:g} cores, {show_bytes(size.memory_bytes)}{gpus}"


def _asked(order: Launch, folder: MachineFolder) -> dict[str, Any]:
    """What the wrapper is told. It never touches the disk: the environment may hold secrets."""
    success = order.success
    workdir = os.path.abspath(order.workdir) if order.workdir else _current_folder()
    return {
        "run_id": order.run_id,
        "attempt_id": order.attempt_id,
        "job": order.job,
        "machine": folder.path,
        "folder": folder.runs,
        "group": f"{order.attempt_id}-{os.stat(folder.path).st_ino:x}",  # two homes may have the same attempt ids
        "command": order.command,
        "env": {**os.environ, **order.env},
        "workdir": workdir,
        "limits": {name: getattr(order.limits, name) for name in order.limits.__struct_fields__},
        "lease_seconds": order.lease_seconds,
        "checkpoint": order.spot.checkpoint,
        "rules": None if success == type(success)() else _rules(order),
    }


def _rules(order: Launch) -> dict[str, Any]:
    success = order.success
    outputs = [name.removeprefix("file://") for name in success.outputs]
    urls = [name for name in outputs if "://" in name]
    check_urls = [sys.executable, "-c", URL_CHECK, ROOT, repr(time.time()), *urls]
    return {
        "outputs": [name for name in outputs if "://" not in name],
        "check": success.check,
        "check_seconds": success.check_seconds,
        "rows": msgspec.to_builtins(success.rows),
        "url_check": check_urls if urls else None,
    }


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _discard_partial(folder: MachineFolder) -> None:
    """What a failed attempt made is no output. What a good one left there and did not declare is kept."""
    ended = folder.ended()
    if ended is None or ended.outcome is not Outcome.SUCCEEDED:
        shutil.rmtree(os.path.join(folder.runs, OUTPUT), ignore_errors=True)


def _unavailable(what: str, error: OSError) -> Unavailable:
    return Unavailable(what, why=error.strerror or str(error), hint="check the disk that FLYBALL_HOME is on")
