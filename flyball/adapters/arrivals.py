"""Objects that arrive under the prefixes that jobs watch, told once each.

Prefixes are listed in threads beside the governor; a tick only looks at listings that are done. An object is complete
when it has not changed between two looks at least `settled_seconds` apart, a folder with a marker when the marker is
there. What was seen only once is remembered here and nowhere else: a crash makes it wait anew, and loses nothing.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from flyball.adapters.arrivals_given import Given, Read, key_of
from flyball.adapters.arrivals_listing import Listed, listing
from flyball.errors import FlyballError, StoreError
from flyball.model.facts import AnyFact, ObjectsArrived
from flyball.model.snapshot import JobState, Snapshot
from flyball.model.spec import Arrival
from flyball.policy.redaction import storable

FILE_NAME = "arrivals.db"
LISTINGS_MAX = 8  # at once; the others wait for the next tick
LISTING_SECONDS_MAX = 900.0  # one that takes longer hangs, and no more counts as one of them
OBJECTS_PER_TICK_MAX = 2000  # of one job
WAITING_MAX = (
    1000  # arrivals that a job has not been run for (it is paused): more are told when those are gone
)
BATCH_OBJECTS_MAX, BATCH_CHARS_MAX = 200, 32_000  # of a fact, where one run gets several objects
LOOK_SECONDS_MIN = 1.0


class _Seen(msgspec.Struct, frozen=True):
    listed: Listed
    since_seconds: float


class _Look:
    """One job's prefix: what was seen there, and what of it is complete."""

    def __init__(self, job: str, arrival: Arrival, since_seconds: float) -> None:
        self.job, self.arrival, self._since_seconds = job, arrival, since_seconds
        self.next_seconds = 0.0
        self.begun_seconds = 0.0
        self.trouble = self._odd = ""
        self.ready: dict[int, Listed] = {}
        self._seen: dict[int, _Seen] = {}
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, given: Given, now_seconds: float) -> None:
        self.begun_seconds = now_seconds
        self._thread = threading.Thread(
            target=self._list, args=(given, now_seconds), daemon=True, name=f"flyball arrivals {self.job}"
        )
        self._thread.start()

    def _list(self, given: Given, now_seconds: float) -> None:
        began = time.monotonic()
        self.next_seconds = now_seconds + self.arrival.poll_seconds
        try:
            found = self._not_given(given)
        except FlyballError as error:
            self.trouble = str(error)
            return
        seen_seconds = now_seconds + time.monotonic() - began
        settled_seconds = 0.0 if self.arrival.marker else self.arrival.settled_seconds
        seen = {key: self._seen.get(key) or _Seen(one, seen_seconds) for key, one in found.items()}
        ready = {k: s.listed for k, s in seen.items() if now_seconds - s.since_seconds >= settled_seconds}
        if self.arrival.marker:
            ready = found
        waiting = [s.since_seconds + settled_seconds for k, s in seen.items() if k not in ready]
        soonest = min(waiting, default=seen_seconds + self.arrival.poll_seconds)
        self.next_seconds = max(
            seen_seconds + LOOK_SECONDS_MIN, min(soonest, seen_seconds + self.arrival.poll_seconds)
        )
        self._seen, self.ready = seen, ready
        self.trouble = f"left out, its name is not UTF-8: {self._odd}" if self._odd else ""

    def _not_given(self, given: Given) -> dict[int, Listed]:
        found: dict[int, Listed] = {}
        self._odd = ""
        for one in listing(self.arrival):
            if storable(one.name) != one.name:
                self._odd = storable(one.name)
            elif self.arrival.existing or one.changed_seconds >= self._since_seconds:
                found[key_of(self.job, one.name, one.version)] = one
        for key in given.known_here(found):
            del found[key]
        return found


class Arrivals:
    """The governor's `news`. `read` is that of its store."""

    def __init__(self, *, folder: Path, read: Read) -> None:
        self._path, self._read = folder / FILE_NAME, read
        self._given: Given | None = None
        self._looks: dict[str, _Look] = {}
        self._broken = ""

    def __call__(self, snapshot: Snapshot, now_seconds: float) -> Sequence[AnyFact]:
        """ObjectsArrived that are to be recorded after the snapshot's position, and nowhere else. It does not block."""
        watching = [s for s in snapshot.jobs.values() if s.spec.arrival is not None and not s.removed]
        if not watching:
            self._looks.clear()
            return ()
        try:
            self._given = self._given or Given(self._path)
            self._broken = ""
            if not self._given.catch_up(self._read, snapshot.position):
                return ()
            return self._news(watching, self._given, now_seconds)
        except StoreError as error:  # nothing is told until it can be used again, and nothing is lost
            self._broken, self._given = str(error), None
            return ()

    @property
    def troubles(self) -> dict[str, str]:
        """Job -> why its prefix cannot be listed now."""
        if self._broken:
            return dict.fromkeys(self._looks, self._broken)
        return {look.job: look.trouble for look in self._looks.values() if look.trouble}

    def close(self) -> None:
        if self._given is not None:
            self._given.close()
            self._given = None

    def _news(self, watching: Sequence[JobState], given: Given, now_seconds: float) -> Sequence[AnyFact]:
        facts: list[AnyFact] = []
        looks = {state.spec.name: self._look_of(state) for state in watching}
        self._looks = looks
        busy = sum(
            look.busy and now_seconds - look.begun_seconds < LISTING_SECONDS_MAX for look in looks.values()
        )
        for state in watching:
            look = looks[state.spec.name]
            if look.busy:
                if now_seconds - look.begun_seconds >= LISTING_SECONDS_MAX:
                    look.trouble = f"{look.arrival.prefix} takes longer than 15 minutes to list"
                continue
            facts.extend(_offers(look, state, given, now_seconds))
            # A clock that was set back must not stop the watching.
            waits = look.next_seconds - look.arrival.poll_seconds - 60 <= now_seconds < look.next_seconds
            if not waits and busy < LISTINGS_MAX:
                look.start(given, now_seconds)
                busy += 1
        return facts

    def _look_of(self, state: JobState) -> _Look:
        spec = state.spec
        known = self._looks.get(spec.name)
        if known is not None and known.arrival == spec.arrival:
            return known
        return _Look(spec.name, spec.arrival or Arrival(prefix=""), state.applied_at_seconds)


def _offers(look: _Look, state: JobState, given: Given, now_seconds: float) -> Iterator[ObjectsArrived]:
    """What is complete and was not given. It stays ready until the log says that it was given."""
    if not look.ready or len(state.arrived) >= WAITING_MAX:
        return
    some = list(look.ready)[:OBJECTS_PER_TICK_MAX]
    known = given.known(some)
    for key in known:
        del look.ready[key]
    offered = sorted(look.ready[key] for key in some if key not in known)
    several = look.arrival.together and look.arrival.marker is None
    for batch in _batches(offered) if several else ([one] for one in offered):
        yield ObjectsArrived(
            at_seconds=now_seconds,
            job=look.job,
            batch=_batch_name(look.job, batch),
            objects=tuple(one.name for one in batch),
            versions=tuple(one.version for one in batch),
            size_bytes=sum(one.size_bytes for one in batch),
        )


def _batches(offered: Sequence[Listed]) -> Iterator[list[Listed]]:
    batch: list[Listed] = []
    chars = 0
    for one in offered:
        if batch and (len(batch) == BATCH_OBJECTS_MAX or chars + len(one.name) > BATCH_CHARS_MAX):
            yield batch
            batch, chars = [], 0
        batch.append(one)
        chars += len(one.name)
    if batch:
        yield batch


def _batch_name(job: str, batch: Sequence[Listed]) -> str:
    text = "\n".join([job, *(f"{one.name}\0{one.version}" for one in batch)])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
