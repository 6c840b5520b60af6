"""docs/json.md names every key that is printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from shown_runs import a_choice, a_plan, a_receipt, a_state, some_rows, some_samples

from flyball.app import render
from flyball.app.doctor import doctor_json
from flyball.app.finding import Finding
from flyball.model.outcome import Outcome
from flyball.model.receipt import Gpu
from flyball.policy.summary import summarise

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
FREE_KEYS = {"sources", "tags", "numbers", "words"}  # their keys are the user's or a figure's name


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return {*value} | {
            key for name, each in value.items() if name not in FREE_KEYS for key in keys_of(each)
        }
    return {key for each in value for key in keys_of(each)} if isinstance(value, list | tuple) else set()


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
    ]
    named = set(re.findall(r"`([a-z0-9_]+)`", PAGE))
    features = {*state.run.features.__struct_fields__}  # of `features`, explained in docs/history.md
    assert keys_of(msgspec.to_builtins(pages)) - features - named == set()
    assert {outcome.value for outcome in Outcome} <= named
