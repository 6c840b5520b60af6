"""`flyball up`: govern until told to stop. Says on stderr what it does, as JSON lines on stdout when asked."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from flyball.app import governor_wiring as wiring
from flyball.app.event_words import event_words
from flyball.app.shown_errors import say
from flyball.engine.following import Pace, Troubles, govern
from flyball.errors import InputError, StoreError
from flyball.model.ceilings import Ceilings

if TYPE_CHECKING:
    from flyball.app.governor_wiring import Workplace
    from flyball.app.load_definitions import Loaded
    from flyball.engine.alerting import Alerting
    from flyball.engine.governor import Governor, Ticked
    from flyball.model.facts import AnyFact
    from flyball.model.snapshot import Snapshot


class UpOptions(msgspec.Struct, frozen=True, kw_only=True):
    until_idle: bool = False  # end when nothing is waiting or running
    as_json: bool = False
    quiet: bool = False
    files: tuple[Path, ...] = ()
    api: str | None = None  # HOST:PORT
    api_anywhere: bool = False  # bind to an address that others can reach
    tick_seconds: float | None = None


def up(options: UpOptions) -> int:
    """The exit code. Raises: InputError for definitions that cannot be used, StoreError when there is no store."""
    place = wiring.workplace()
    watch = _Watch(place, options)
    watch.apply_or_stay()
    with watch.stopping(), _serving(options):
        return watch.govern()


@contextmanager
def _serving(options: UpOptions) -> Iterator[None]:
    if options.api is None:
        yield
        return
    from flyball.app.api_server import serve

    with serve(options.api, anywhere=options.api_anywhere):
        yield


class _Watch:
    def __init__(self, place: Workplace, options: UpOptions) -> None:
        self._place, self._options = place, options
        self._definitions: Loaded | None = None
        self._alerting: Alerting | None = None
        self._alerts: dict[str, object] = {}
        self._seen_files: dict[Path, float] = {}
        self._arrivals = wiring.arrivals(place)
        self._loop: Governor | None = None
        self._stop = False
        self._nothing_new = False  # in the last tick: an end may be followed by what waited for it
        self._warned: set[str] = set()

    def apply(self) -> None:
        """Definitions as the files have them now. Raises: InputError."""
        found = wiring.definitions(self._place, self._options.files)
        self._definitions = found
        if found is None:
            return
        self._seen_files = {file: _changed_at(file) for file in found.files}
        if found.alerts != self._alerts:
            self._alerts, self._alerting = found.alerts, wiring.alerting(found.alerts)
        for warning in found.warnings:
            say(f"warning: {warning}")
        facts = self._place.governed.change(found.changes)
        for fact in facts:
            self._say_fact(fact)

    def apply_or_stay(self) -> None:
        """A governor that is started again at night goes on with what it knows. Raises: InputError when that is nothing."""
        try:
            self.apply()
        except InputError as error:
            if not self._place.governed.jobs():
                raise
            say(f"{error}\n  the definitions as they were stay in force")

    def govern(self) -> int:
        ceilings = self._definitions.ceilings if self._definitions else Ceilings()
        self._loop, pause = wiring.governor(self._place, ceilings=ceilings, news=self._news)
        tick_seconds = self._options.tick_seconds or (
            self._definitions.tick_seconds if self._definitions else 2.0
        )
        snapshot = self._loop.snapshot
        defined = sum(not job.removed for job in snapshot.jobs.values())
        say(
            f"governing {defined} jobs and {len(snapshot.runs)} runs in {self._place.home}; Ctrl-C ends it, runs go on"
        )
        govern(
            self._loop,
            clock=wiring.WallClock(),
            pace=Pace(live_seconds=min(0.25, tick_seconds), idle_seconds=tick_seconds),
            keep=lambda snapshot: wiring.keep(self._place, snapshot),
            go_on=self._go_on,
            tell=self._tell,
            pause=pause,
        )
        self._tell_the_rest()
        left = sum(run.live is not None for run in self._loop.snapshot.runs.values())
        if left:
            minutes = ceilings.lease_seconds / 60
            say(
                f"{left} attempts go on by themselves; without flyball up they are ended after {minutes:.0f} min"
            )
        return 0

    def _tell_the_rest(self) -> None:
        """Alerts that are raised and not sent yet get a few seconds; what is not sent then is sent by the next one."""
        if self._alerting is None or self._loop is None:
            return
        try:
            self._place.store.append(self._alerting.close(self._loop.snapshot, time.time()))
        except StoreError as error:
            say(f"warning: {error}\n  alerts that were sent may be sent again")

    def _go_on(self, snapshot: Snapshot) -> bool:
        if self._stop:
            return False
        return not self._options.until_idle or snapshot.busy or not self._nothing_new

    def _news(self, snapshot: Snapshot, now_seconds: float) -> Sequence[AnyFact]:
        self._reapply_when_changed()
        facts = list(self._arrivals(snapshot, now_seconds))
        if self._alerting is not None:
            facts.extend(self._alerting.facts(snapshot, now_seconds))
        return facts

    def _reapply_when_changed(self) -> None:
        if all(_changed_at(file) == at for file, at in self._seen_files.items()):
            return
        self._seen_files = {file: _changed_at(file) for file in self._seen_files}
        self.apply_or_stay()

    def _tell(self, news: Ticked | Troubles) -> None:
        if isinstance(news, Troubles):
            say(f"{news.error}\n  nothing new is started; trying again in {news.retry_seconds:.0f} s")
            return
        self._nothing_new = not news.facts and not news.conflict
        troubles = [f"job {job}: {why}" for job, why in self._arrivals.troubles.items()]
        for warning in (*news.warnings, *troubles):
            if warning not in self._warned:
                self._warned.add(warning)
                say(f"warning: {warning}")
        if not news.warnings and not troubles:
            self._warned.clear()
        for fact in news.facts:
            self._say_fact(fact)

    def _say_fact(self, fact: AnyFact) -> None:
        if self._options.as_json:
            sys.stdout.write(msgspec.json.encode(fact).decode() + "\n")
            sys.stdout.flush()
        if self._options.quiet:
            return
        words = event_words(fact)
        if words:
            at = time.strftime("%H:%M:%S", time.localtime(fact.at_seconds))
            print(f"{at} {words}", file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """While the block runs, SIGINT and SIGTERM end the loop after its tick."""

        def stop(_number: int, _frame: object) -> None:
            self._stop = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _changed_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
