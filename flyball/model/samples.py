"""One attempt's use over time, as plots and charts read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

Series = tuple[float | None, ...]


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of one length (a column nobody measured is empty). None in a column: unknown at that instant."""

    seconds: tuple[float, ...] = ()  # since the attempt started, never falling
    cpu_cores: Series = ()  # mean since the sample before
    memory_bytes: Series = ()  # what counts: anonymous + shared; the highest since the sample before
    disk_read_bytes_per_second: Series = ()
    disk_write_bytes_per_second: Series = ()
    network_receive_bytes_per_second: Series = ()
    network_send_bytes_per_second: Series = ()
    gpu_memory_bytes: Series = ()
    gpu_utilization: Series = ()  # 0..1
    processes: Series = ()

    def __len__(self) -> int:
        return len(self.seconds)

    def from_zero(self) -> Samples:
        """The same with a row at 0 s before the first: what a sample says holds since the start."""
        if not self.seconds or self.seconds[0] <= 0:
            return self
        columns = {name: getattr(self, name) for name in self.__struct_fields__ if name != "seconds"}
        longer = {name: (values[0], *values) for name, values in columns.items() if values}
        return Samples(seconds=(0.0, *self.seconds), **longer)


# Totals since the start, as a sampler writes them, and the rates that plots show.
_RATE_OF_TOTAL = {
    "cpu_seconds": "cpu_cores",
    "disk_read_bytes": "disk_read_bytes_per_second",
    "disk_write_bytes": "disk_write_bytes_per_second",
    "network_receive_bytes": "network_receive_bytes_per_second",
    "network_send_bytes": "network_send_bytes_per_second",
}
# A shorter interval says more about the kernel's accounting (ticks of 10 ms) than about the job.
RATE_SECONDS_LEAST = 0.05


def samples_from_columns(columns: Mapping[str, Sequence[float | None]]) -> Samples:
    """Samples of named columns: fields of Samples as they are, running totals turned into rates.

    `memory_bytes_max`, the highest since the row before, takes the place of `memory_bytes` where it is known. Columns
    with other names are left out; a column shorter than `seconds` is unknown at its end. Rows whose time is unknown
    or falls back are dropped.
    """
    times = columns.get("seconds", ())
    keep, last = [], float("-inf")
    for index, at in enumerate(times):
        if at is not None and at >= last:
            keep.append(index)
            last = at
    seconds = tuple(float(times[index] or 0.0) for index in keep)
    kept = {
        name: _kept(values, keep)
        for name, values in columns.items()
        if name != "seconds" and any_known(values)
    }
    fields = {name: values for name, values in kept.items() if name in Samples.__struct_fields__}
    if "memory_bytes_max" in kept:
        fields["memory_bytes"] = _highest(kept["memory_bytes_max"], kept.get("memory_bytes", ()))
    for total, rate in _RATE_OF_TOTAL.items():
        if total in kept and rate not in fields:
            fields[rate] = _rates(seconds, kept[total])
    return Samples(seconds=seconds, **fields)


def any_known(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _kept(values: Sequence[float | None], keep: Sequence[int]) -> Series:
    return tuple(values[index] if index < len(values) else None for index in keep)


def _highest(first: Series, second: Series) -> Series:
    """The larger of two columns row by row; what one does not know the other may."""
    pairs = zip(first, second or (None,) * len(first), strict=True)
    return tuple(max((v for v in pair if v is not None), default=None) for pair in pairs)


def _rates(seconds: Sequence[float], totals: Series) -> Series:
    """Growth per second since the last known total; None where there is none, or the counter went back.

    Rows closer together than RATE_SECONDS_LEAST share the rate of the interval they lie in.
    """
    rates: list[float | None] = [None] * len(totals)
    before_at, before = 0.0, 0.0  # totals count from the start of the attempt
    waiting: list[int] = []
    known = [index for index, total in enumerate(totals) if total is not None]
    for index in known:
        total, step = totals[index] or 0.0, seconds[index] - before_at
        waiting.append(index)
        if step < RATE_SECONDS_LEAST and index != known[-1]:
            continue
        rate = (total - before) / step if step > 0 and total >= before else None
        if (
            0 < step < RATE_SECONDS_LEAST and known[0] not in waiting
        ):  # the last rows: too close to the ones before
            rate = rates[waiting[0] - 1]
        for place in waiting:
            rates[place] = rate
        before_at, before, waiting = seconds[index], total, []
    return tuple(rates)
