"""What happened and what comes next, in the words a user reads first: the lines after each run."""

from __future__ import annotations

from flyball.app.look import Look, columns_of, join_wrapped, unpainted, wrap
from flyball.model.outcome import Outcome
from flyball.model.plan import Choice, Plan
from flyball.model.receipt import Receipt
from flyball.model.resource import Market, Size
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd
from flyball.policy.cost import Cost

# A stall is worth a word when it took this share of the run and is long enough to be felt.
STALL_SHARE, STALL_SECONDS = 0.10, 0.2
SWAP_BYTES = 16 * 2**20  # less is the kernel tidying up

_WORDS = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.OUT_OF_MEMORY: "ran out of memory",
    Outcome.TIMED_OUT: "timed out",
    Outcome.STALLED: "stalled",
    Outcome.LAUNCH_TIMED_OUT: "did not start in time",
    Outcome.NO_CAPACITY: "found no machine",
    Outcome.INTERRUPTED: "was interrupted",
    Outcome.LOST: "was lost",
    Outcome.INCOMPLETE_OUTPUT: "left its output incomplete",
    Outcome.CANCELLED: "was cancelled",
}
_STYLES = {
    Outcome.SUCCEEDED: "green",
    Outcome.CANCELLED: "yellow",
    Outcome.INTERRUPTED: "yellow",
    Outcome.LOST: "yellow",
}
_MARKS = {
    Outcome.SUCCEEDED: ("●", "."),
    Outcome.OUT_OF_MEMORY: ("▲", "M"),
    Outcome.TIMED_OUT: ("◷", "T"),
    Outcome.STALLED: ("◷", "S"),
    Outcome.CANCELLED: ("○", "c"),
    Outcome.INTERRUPTED: ("○", "i"),
    Outcome.LOST: ("○", "l"),
}


def outcome_words(outcome: Outcome | None) -> str:
    """ "ran out of memory"; for a run whose end nobody has recorded, "running"."""
    return "running" if outcome is None else _WORDS[outcome]


def outcome_style(outcome: Outcome | None) -> str:
    return "cyan" if outcome is None else _STYLES.get(outcome, "red")


def outcome_mark(outcome: Outcome | None, look: Look) -> str:
    """One character, for a row of the last runs; painted."""
    sign, ascii_sign = ("…", "?") if outcome is None else _MARKS.get(outcome, ("✗", "x"))
    return look.paint(sign if look.unicode else ascii_sign, outcome_style(outcome))


def run_summary(
    receipt: Receipt,
    *,
    job: str,
    run_id: str,
    cost: Cost | None,
    plan: Plan | None,
    width: int = 80,
    colour: bool = False,
    unicode: bool = True,
    attempts: int = 1,
) -> str:
    """The lines printed after a run: how it ended, used against available, cost here; then what comes next."""
    look = Look(width=width, colour=colour, unicode=unicode)
    rest = " " * 9
    used = [ending(receipt, job, look), *usage_parts(receipt, look), *stall_parts(receipt, look)]
    if attempts > 1:
        used.insert(1, f"attempt {attempts}")
    after = [] if cost is None else [look.clean(cost_words(cost))]
    if plan is not None:
        after.append(look.clean(f"next: {plan_words(plan, look)}"))
    lines = join_wrapped(used, look, first="flyball: ", rest=rest)
    if after:
        lines += join_wrapped(after, look, first=rest, rest=rest)
    lines = _with_hint(lines, f"flyball why {run_id}", look, needed=receipt.outcome is not Outcome.SUCCEEDED)
    return "\n".join([look.paint("flyball:", "dim") + lines[0].removeprefix("flyball:"), *lines[1:]])


def _with_hint(lines: list[str], hint: str, look: Look, *, needed: bool) -> list[str]:
    """What to type next: on the last line where it fits; on one of its own only when something went wrong."""
    hint, indent = look.clean(hint), " " * 9
    if columns_of(unpainted(lines[-1])) + len(look.dot) + columns_of(hint) <= look.width:
        return [*lines[:-1], lines[-1] + look.dot + look.paint(hint, "dim")]
    if not needed:
        return lines
    return [*lines, *(indent + look.paint(line.strip(), "dim") for line in wrap(hint, look, first=indent))]


def ending(receipt: Receipt, job: str, look: Look) -> str:
    """ "train succeeded in 41.0 s"; for a bad end the cause comes with it."""
    outcome = receipt.outcome
    name = look.paint(look.clean(job), "bold")
    took = show_seconds(receipt.wall_seconds)
    if outcome is Outcome.SUCCEEDED:
        return f"{name} {look.paint('succeeded', 'green')} in {took}"
    words, cause = outcome_words(outcome), receipt.exit_cause
    if outcome is Outcome.OUT_OF_MEMORY and cause.startswith("out of memory"):
        words, cause = f"ran {cause}", ""  # do not say it twice
    end = f": {cause}" if cause else ""
    return f"{name} {look.paint(look.clean(words), outcome_style(outcome), 'bold')} after {took}{look.clean(end)}"


def usage_parts(receipt: Receipt, look: Look) -> list[str]:
    """ "peak 1.31 GiB of 24.0 GiB", "1.8 of 2 cores": what is unknown is left out."""
    parts = []
    if receipt.memory_bytes_max is not None:
        available, what = memory_available(receipt)
        full = available is not None and receipt.memory_bytes_max >= 0.95 * available
        text = f"peak {show_bytes(receipt.memory_bytes_max)}" + of_words(show_bytes, available, what)
        parts.append(look.paint(text, "yellow") if full else text)
    if receipt.cpu_cores_mean is not None:
        available_cores, what = cores_available(receipt)
        of = of_words(show_cores, available_cores, what)
        parts.append(f"{_cores(receipt.cpu_cores_mean)}{of} core{'' if available_cores == 1 else 's'}")
    busy = [gpu for gpu in receipt.gpus or () if gpu.memory_bytes_max]
    parts += [
        f"GPU {gpu.index} {show_bytes(gpu.memory_bytes_max)}{of_words(show_bytes, gpu.memory_bytes_total, '')}"
        for gpu in busy
    ]
    if not receipt.complete:
        parts.append("figures up to the last sample only")
    return parts


def memory_available(receipt: Receipt) -> tuple[int | None, str]:
    """(bytes it could have, what set them: "limit" or "")."""
    limit, host = receipt.limits.memory_bytes, receipt.host.memory_bytes
    return (limit, "limit") if limit is not None else (host, "")


def cores_available(receipt: Receipt) -> tuple[float | None, str]:
    limit, host = receipt.limits.cpu_cores, receipt.host.cpu_cores
    return (limit, "limit") if limit is not None and (host is None or limit < host) else (host, "")


def of_words(show: object, available: float | None, what: str) -> str:
    """ " of 24.0 GiB" or " of its limit of 2.00 GiB"; "" when nobody knows what there was."""
    if available is None or not callable(show):
        return ""
    return f" of its {what} of {show(available)}" if what else f" of {show(available)}"


def stall_parts(receipt: Receipt, look: Look) -> list[str]:
    """What held it up, where it mattered: each in words that say what to change."""
    parts = [
        look.paint(
            f"{words} {show_seconds(seconds)} ({100 * seconds / receipt.wall_seconds:.0f} %)", "yellow"
        )
        for words, seconds in (
            ("waited for a core", receipt.pressure_cpu_seconds),
            ("held back by its CPU limit", receipt.throttled_seconds),
            ("waited for memory", receipt.pressure_memory_seconds),
            ("waited for disk", receipt.pressure_io_seconds),
        )
        if seconds is not None and matters(seconds, receipt.wall_seconds)
    ]
    if receipt.swap_bytes_max is not None and receipt.swap_bytes_max >= SWAP_BYTES:
        parts.append(look.paint(f"swapped {show_bytes(receipt.swap_bytes_max)}", "yellow"))
    wanted, used = receipt.cpu_cores_wanted, receipt.cpu_cores_mean
    if parts and wanted is not None and used is not None and wanted >= used + 0.5:
        parts.append(f"wanted {_cores(wanted)} cores")
    return parts


def matters(stalled_seconds: float, wall_seconds: float) -> bool:
    return (
        wall_seconds > 0
        and stalled_seconds >= STALL_SECONDS
        and stalled_seconds >= STALL_SHARE * wall_seconds
    )


def cost_words(cost: Cost) -> str:
    """ "$0 here"; on a cloud's machine with its price, and a cost nobody knows with the reason for that."""
    if cost.usd == 0:
        return "$0 here"
    reason = f" ({cost.reason})" if cost.reason else ""
    return f"{show_usd(cost.usd)} here{reason}" if cost.usd is not None else f"cost unknown{reason}"


def size_words(size: Size) -> str:
    """ "2 cores, 1.50 GiB"."""
    gpus = f", {size.gpus} GPU" + ("s" if size.gpus > 1 else "") if size.gpus else ""
    return f"{cores_words(size.cpu_cores)}, {show_bytes(size.memory_bytes)}{gpus}"


def cores_words(cores: float) -> str:
    """ "1 core", "1.5 cores"."""
    return f"{show_cores(cores)} core{'' if cores == 1 else 's'}"


def choice_words(choice: Choice) -> str:
    """ "aws c7g.large spot, $0.0004 a run"."""
    offer = choice.offer
    market = "spot" if offer.market is Market.SPOT else "on demand"
    return f"{offer.cloud} {offer.instance_type} {market}, {show_usd(choice.expected_usd)} a run"


def plan_words(plan: Plan, look: Look) -> str:
    """ "2 cores, 1.50 GiB → aws c7g.large spot, $0.0004 a run"."""
    size = size_words(plan.size)
    return size if plan.choice is None else f"{size} {look.arrow} {choice_words(plan.choice)}"


def _cores(cores: float) -> str:
    """One decimal is enough in a sentence; below a tenth, two."""
    return show_cores(round(cores, 1) if cores >= 0.95 else round(cores, 2))
