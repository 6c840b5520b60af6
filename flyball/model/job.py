"""A job as its runs show it: its name, and what was known about a run before it started."""

from __future__ import annotations

import msgspec


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What a forecast may use: known before the run starts."""

    started_at_seconds: float  # since the epoch; hour, weekday and day of month are taken from it
    utc_offset_seconds: int = 0  # of the user's time zone then: calendars are local
    input_bytes: int | None = None
    input_objects: int | None = None
    numbers: dict[str, float] = {}  # --param values and arguments that are numbers
    words: dict[str, str] = {}  # --param values that are not
    code_version: str | None = None


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as it was asked for. Secrets are taken out of the command before it gets here."""

    run_id: str
    job: str
    job_reason: str = ""  # why it belongs to that job
    command: tuple[str, ...]
    workdir: str | None = None
    inputs: tuple[str, ...] = ()
    features: Features
    tags: dict[str, str] = {}
    env_names: tuple[str, ...] = ()  # names only: values may be secret
    origin: str = "run"  # or "nextflow", "snakemake", "slurm", "resource-tracker": imported history
