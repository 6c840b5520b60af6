"""docs/json.md names every key that is printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from shown_runs import a_choice, a_plan, a_receipt, a_state, some_rows, some_samples

from flyball.app import render
from flyball.app.costs_pages import costs_json, costs_of
from flyball.app.doctor import doctor_json
from flyball.app.finding import Finding
from flyball.app.govern_pages import defined_json, status_json, submitted_json
from flyball.app.machines_pages import machines_json
from flyball.model.facts import RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.receipt import Gpu
from flyball.model.snapshot import JobState
from flyball.model.spec import JobSpec
from flyball.model.status import RunStatus
from flyball.policy.machines import MachineLine
from flyball.policy.summary import summarise

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
FREE_KEYS = {"sources", "tags", "numbers", "words", "fills"}  # their keys are the user's or a figure's name


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return {*value} | {
            key for name, each in value.items() if name not in FREE_KEYS for key in keys_of(each)
        }
    return {key for each in value for key in keys_of(each)} if isinstance(value, list | tuple) else set()


def governed_pages() -> list[object]:
    """As the commands around the governor print them."""
    spec = JobSpec(name="a", command=("true",), paper="p")
    job = JobState(spec=spec, applied_at_seconds=0.0)
    status = RunStatus(run_id="r", job="a", state="held", since_seconds=1.0, submitted_seconds=0.0)
    submitted = RunSubmitted(
        at_seconds=0.0,
        run=RunSpec(run_id="r", job="a", command=("true",), features=Features(started_at_seconds=0.0)),
        spec=spec,
    )
    line = MachineLine(attempt_id="r.1", provider="local", state="running")
    return [
        status_json(status),
        submitted_json([submitted]),
        defined_json([job], 0.0),
        machines_json([line]),
        costs_json(costs_of(some_rows(2), now_seconds=0.0)),
    ]


def test_every_key_and_every_outcome_is_in_the_page():
    state = a_state(a_receipt(gpus=(Gpu(index=0, name="T4"),)), plan=a_plan())
    rows = some_rows(2)
    pages = [
        render.run_json(state, some_samples(3)),
        render.why_json(state),
        render.jobs_json(summarise(rows)),
        render.runs_json(rows),
        render.plan_json(a_plan(), [a_choice()]),
        render.offers_json([a_choice()]),
        doctor_json([Finding(name="a", ok=True, says="b")]),
        *governed_pages(),
    ]
    named = set(re.findall(r"`([a-z0-9_]+)`", PAGE))
    features = {*state.run.features.__struct_fields__}  # of `features`, explained in docs/history.md
    assert keys_of(msgspec.to_builtins(pages)) - features - named == set()
    assert {outcome.value for outcome in Outcome} <= named
