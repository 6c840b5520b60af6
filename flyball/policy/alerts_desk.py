"""Where alerts are raised: each thing once, and no flood."""

from __future__ import annotations

from collections import Counter

from flyball.model.facts import AlertRaised
from flyball.model.snapshot import Snapshot

DAY_SECONDS = 86_400.0
PER_JOB_A_DAY = 5  # of one kind; the sixth says that there are more, and then it is quiet about them
PER_DAY = (
    500  # of all kinds: a quarter of the keys that a snapshot remembers, so that nothing is raised again
)


class Desk:
    """Takes what could be said, keeps what is news."""

    def __init__(self, snapshot: Snapshot, now_seconds: float) -> None:
        self._known, self._now_seconds = snapshot.alerts, now_seconds
        self._new: dict[str, AlertRaised] = {}
        self._lately: Counter[tuple[str, str]] | None = None
        self._total = 0

    @property
    def raised(self) -> tuple[AlertRaised, ...]:
        return tuple(self._new.values())

    def knows(self, kind: str, about: str) -> bool:
        return f"{kind} {about}" in self._known

    def say(self, kind: str, about: str, words: str, *, job: str = "", run_id: str = "") -> None:
        """`kind` and `about` make the key; the same key is never told twice."""
        key = f"{kind} {about}"
        if key in self._known or key in self._new:
            return
        told = self._count_lately()
        day = int(self._now_seconds // DAY_SECONDS)
        if self._total >= PER_DAY:
            words = f"{PER_DAY} alerts within a day: others are not sent before tomorrow (flyball ps)"
            key, kind, job, run_id = f"quiet {day}", "quiet", "", ""
        elif job and told[kind, job] >= PER_JOB_A_DAY:
            words = f"{job}: more {kind} alerts than {PER_JOB_A_DAY} within a day; others are not sent (flyball ps)"
            key, run_id = f"{kind} more {job} {day}", ""
        if key in self._known or key in self._new:
            return
        at_seconds = self._now_seconds
        self._new[key] = AlertRaised(
            at_seconds=at_seconds, key=key, kind=kind, words=words, job=job, run_id=run_id
        )
        told[kind, job] += 1
        self._total += 1

    def _count_lately(self) -> Counter[tuple[str, str]]:
        """Counted only when there is news: most ticks have none."""
        if self._lately is None:
            since = self._now_seconds - DAY_SECONDS
            lately = [a.raised for a in self._known.values() if a.raised.at_seconds >= since]
            self._lately = Counter((alert.kind, alert.job) for alert in lately)
            self._total = len(lately)
        return self._lately
