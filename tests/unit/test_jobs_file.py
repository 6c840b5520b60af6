"""Job definitions: what each key means, what is refused and on which line, what applying them changes."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.app.config import load_settings
from flyball.app.jobs_file import Definitions, changes, parse_collected, parse_jobs, taken_over
from flyball.app.jobs_file_lines import lines_of
from flyball.call import CannotCall, flags, values_for
from flyball.definitions import collect, job
from flyball.errors import InputError
from flyball.model.facts import JobApplied, JobRemoved
from flyball.model.folding import fold
from flyball.model.snapshot import Snapshot
from flyball.model.spec import CatchUp, JobSpec, Overlap
from flyball.model.units import GIB
from flyball.ports.papers import MemoryPapers

NOW = 1_795_000_000.0
PROVIDERS = ["local", "aws"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(text: str, papers: MemoryPapers | None = None, file: str = "flyball.toml") -> Definitions:
    keep = (papers or MemoryPapers()).keep
    return parse_jobs(text, file=file, providers=PROVIDERS, papers_keep=keep, now_seconds=NOW)


def one(body: str) -> JobSpec:
    (spec,) = parse(f'[[job]]\nname = "j"\ncommand = "true"\n{body}').jobs
    return spec


def mistakes(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    return str(caught.value)


def wrong(body: str) -> str:
    return mistakes(f'[[job]]\nname = "j"\ncommand = "true"\n{body}')


# what the keys mean


def test_a_job_needs_a_name_and_a_command_and_runs_here_where_its_file_is(folder):
    spec = one("")
    assert (spec.command, spec.providers, spec.workdir) == (("true",), ("local",), str(folder))
    assert spec.source == "flyball.toml:1"
    assert spec.overlap is Overlap.SKIP


def test_commands_are_split_into_words_and_no_shell_sees_them():
    papers = MemoryPapers()
    (spec,) = parse(
        """[[job]]\nname = "j"\ncommand = "python 'my train.py' --day {day} $HOME"\n""", papers
    ).jobs
    paper = papers.get(spec.paper)
    assert paper is not None
    assert paper.command == ("python", "my train.py", "--day", "{day}", "$HOME")


def test_size_as_a_range_a_limit_or_left_to_the_plan():
    size = one('memory = "4GiB..32GiB"\ncpus = "1..8"\ngpu_models = "a100"\narchs = ["arm64"]').size
    assert (size.memory_bytes, size.memory_bytes_max) == (4 * GIB, 32 * GIB)
    assert (size.cpu_cores, size.cpu_cores_max, size.gpus) == (1, 8, 1)
    size = one('memory = "4GiB"\ncpus = 2').size
    assert (size.memory_bytes, size.memory_bytes_max, size.cpu_cores) == (4 * GIB, None, 2)
    size = one('memory = "auto"\ncpus = "auto"').size
    assert (size.memory_bytes, size.cpu_cores) == (None, None)


def test_starts(folder):
    spec = one('schedule = "@daily"\ntimezone = "Europe/Berlin"\ncatch_up = "all"')
    assert spec.schedule is not None
    assert (spec.schedule.cron, spec.schedule.timezone) == ("@daily", "Europe/Berlin")
    assert (spec.schedule.catch_up, spec.overlap) == (CatchUp.ALL, Overlap.QUEUE)
    spec = one('every = "15m"\noverlap = "replace"')
    assert spec.schedule is not None
    assert (spec.schedule.every_seconds, spec.overlap) == (900, Overlap.REPLACE)
    spec = one('on_arrival = "raw/"')
    assert spec.arrival is not None
    assert (spec.arrival.prefix, spec.overlap) == (f"{folder}/raw/", Overlap.ALLOW)
    spec = one(
        'on_arrival = { prefix = "s3://b/raw", suffix = ".gz", settled = "2m", every = "1m", together = true }'
    )
    assert spec.arrival is not None
    assert (spec.arrival.prefix, spec.arrival.suffix, spec.arrival.settled_seconds) == (
        "s3://b/raw",
        ".gz",
        120,
    )
    assert (spec.arrival.together, spec.overlap) == (True, Overlap.SKIP)


def test_goal_patience_tenacity_and_holding():
    spec = one(
        'deadline = "2h"\nbudget = "$2.50"\nretries = 3\nbackoff = "1m"\ntimeout = ["2h", "3x usual"]\n'
        'at_once = 3\nforce_to = "aws"\nforce_after = "1h"\npriority = -2\nspot = "never"'
    )
    assert (spec.goal.deadline_seconds, spec.goal.usd_per_run) == (7200, 2.5)
    assert (spec.tenacity.retries, spec.tenacity.backoff_seconds, spec.tenacity.launches_max) == (3, 60, 24)
    assert (spec.patience.run_seconds, spec.patience.run_times_usual) == (7200, 3)
    assert (spec.holding.runs_at_once, spec.holding.force_to, spec.holding.priority) == (3, "aws", -2)
    assert spec.spot.market == "on_demand"


def test_a_deadline_at_a_time_of_day_takes_the_zone_of_the_schedule_or_its_own():
    assert one('schedule = "0 1 * * *"\ndeadline = 06:30:00').goal.deadline_at == "06:30"
    goal = one('deadline = "6:30"\ntimezone = "Asia/Tokyo"').goal
    assert (goal.deadline_at, goal.timezone) == ("06:30", "Asia/Tokyo")
    assert "no time zone" in wrong('deadline = "06:30"')


def test_tags_of_the_file_are_on_every_job_and_its_own_go_first():
    (spec,) = parse(
        '[tags]\nteam = "data"\nx = "1"\n[[job]]\nname = "j"\ncommand = "a"\ntags = { x = 2 }'
    ).jobs
    assert spec.tags == {"team": "data", "x": "2"}


def test_the_governors_table():
    text = """
[governor]
tick = "2s"
usd_per_hour_max = 20
lease = "10m"
[[governor.slots]]
tag = "team=data"
at_once = 3
[[governor.quota]]
provider = "aws"
market = "spot"
vcpus = 64
[[governor.budget]]
job = "j"
usd_per_month = "$500"
alert_at = "90%"
[alerts]
webhook = { env = "SLACK_URL" }
[[job]]
name = "j"
command = "true"
"""
    found = parse(text)
    assert (found.tick_seconds, found.ceilings.usd_per_hour_max, found.ceilings.lease_seconds) == (2, 20, 600)
    assert (found.ceilings.slots[0].tag, found.ceilings.slots[0].runs_max) == ("team=data", 3)
    assert (found.ceilings.quotas[0].vcpus_max, found.ceilings.quotas[0].market) == (64, "spot")
    assert (found.ceilings.budgets[0].usd_per_month, found.ceilings.budgets[0].alert_share) == (500, 0.9)
    assert found.alerts == {"webhook": {"env": "SLACK_URL"}}
    assert found.warnings == ()


# secrets


def test_secrets_are_in_the_private_paper_only():
    papers = MemoryPapers()
    text = """[[job]]
name = "j"
command = "load --password hunter2hunter2 --again s3cr3tvalue"
env = { DB_PASSWORD = "s3cr3tvalue", PLAIN = "x" }
"""
    (spec,) = parse(text, papers).jobs
    recorded = msgspec.json.encode(spec).decode()
    assert "hunter2" not in recorded
    assert "s3cr3t" not in recorded
    paper = papers.get(spec.paper)
    assert paper is not None
    assert paper.command[2] == "hunter2hunter2"
    assert paper.env == {"DB_PASSWORD": "s3cr3tvalue", "PLAIN": "x"}


@pytest.mark.parametrize(
    "body",
    [
        'check = "curl -u me:hunter2hunter2 http://x"',
        'on_arrival = "s3://key:hunter2hunter2@bucket/x"',
        'checkpoint = "https://me:hunter2hunter2@x/y"',
        'outputs = ["https://x/y?token=hunter2hunter2"]',
    ],
)
def test_what_is_recorded_as_it_is_may_hold_none(body):
    words = wrong(body)
    assert "secret" in words
    assert "hunter2" not in words


# mistakes


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('memory = "32GiB..4GiB"', "flyball.toml:4: job j: memory: the floor 32GiB is above the ceiling 4GiB"),
        ('memory = "4"', "'4' has no unit"),
        ("memory = 4", "'4' has no unit"),
        ('cpus = "8..1"', "floor 8 is above"),
        ("cpus = 0", "not a number of cores"),
        ('schedule = "0 25 * * *"', "'25' does not do for the hour: it goes from 0 to 23"),
        ('schedule = "0 6 * *"', "five fields"),
        ('schedule = "0 0 30 2 *"', "never happens"),
        ('schedule = "@reboot"', "there are @hourly"),
        ('schedule = "@daily"\nevery = "1d"', "flyball.toml:5: job j: every: a job has either"),
        ('every = "0s"', "not a length of time"),
        ('every = "10ms"', "too often"),
        ('schedule = "@daily"\ntimezone = "Europe/Berln"', "try: Europe/Berlin"),
        ('timezone = "../../etc/passwd"', "there is no time zone"),
        ("budget = 0", "0 dollars would never let it start"),
        ('budget = "-1"', "not an amount of dollars"),
        ("budget = nan", "not an amount of dollars"),
        ("deadline = 2020-01-01T06:30:00Z", "it is in the past"),
        ('deadline = "2020-01-01"', "it is in the past"),
        ('deadline = "2999-01-01T00:00:00+00:00"', "a job recurs"),
        ('deadline = "-2h"', "before it is due"),
        ('on = "awss"', "try: aws"),
        ('on = "mars"', "there are local, aws"),
        ("on = []", "runs nowhere"),
        ('after = "k"', "there is no job 'k'"),
        ('after = "j"', "jobs wait for each other: j after j"),
        ('needs = "any"', "it says nothing without after"),
        ('catch_up = "all"', "it says nothing without schedule or every"),
        ('every = "1h"\ncatch_up = "all"\noverlap = "skip"', "contradicts catch_up"),
        ('scheduel = "@daily"', "did you mean schedule?"),
        ('workdir = "nowhere"', "nowhere is not a folder"),
        ('env = { "A=B" = "x" }', "cannot be a variable"),
        ("retries = -1", "whole number"),
        ("retries = true", "whole number"),
        ("launches_max = 2\nretries = 5", "leave no room for 5 retries"),
        ('timeout = "1x usual"', "would end usual runs"),
        ('force_after = "1h"', "it says nothing without force_to"),
        ('rows = [{ path = "x", min = 9, max = 3 }]', "rows: min: the least, 9, is above the most, 3"),
        ("rows = [{ min = 9 }]", "rows of what?"),
        ('on_arrival = { suffix = ".csv" }', "it needs a prefix"),
        ('on_arrival = { prefix = "s3://b/", sufix = "x" }', "did you mean suffix?"),
        ('on_arrival = "ftp://x/y"', "cannot be watched"),
        ('on_arrival = "s3://b/raw"\noutputs = ["s3://b/raw/out"]', "each run would start the next one"),
        ('gpu_models = ["a100"]\ngpus = 0', "a model of no GPU"),
        ('python = "m:f"', "either a command or a python function"),
        ('params = { x = "1" }', "it says nothing without python"),
        ('tags = "x"', "not a table"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_what_to_do(body, words):
    assert words in wrong(body)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[job]]\ncommand = "x"', "flyball.toml:1: a job: a job needs a name"),
        ('[[job]]\nname = "j"', "either a command or a python function"),
        ('[[job]]\nname = "j"\ncommand = ""', "flyball.toml:3: job j: command: it is empty"),
        ('[[job]]\nname = "j"\ncommand = "a \'b"', "cannot be split into words"),
        ('[job]\nname = "j"', "it is a list of tables"),
        ('[[jobs]]\nname = "j"', "flyball.toml:1: there is no key 'jobs': did you mean job?"),
        ('[[job]]\nname = "j"\ncommand = x', "flyball.toml:3: Invalid value"),
        ("[governor]\nusd_per_hour_max = 0", "flyball.toml:2: governor: usd_per_hour_max: 0 dollars"),
        ('[governor]\nlease = "5s"', "end themselves between two ticks"),
        ("[[governor.slots]]\njob = 'x'", "how many slots"),
        ("[[governor.quota]]\nvcpus = 4", "a quota of which provider?"),
        ("[[governor.budget]]\ntag = 'team'\nusd_per_month = 1", "not a tag and its value"),
        ("alerts = 3", "alerts: 3 is not a table"),
    ],
)
def test_mistakes_of_the_file(text, words):
    assert words in mistakes(text)


def test_all_mistakes_of_a_file_are_told_together_in_the_order_of_its_lines_and_no_paper_is_kept():
    text = """
[[job]] # [[job]]
name = "a"
command = '''
[[job]] name = "not this" '''
memory = "4"
after = "b"

[[job]]
name = "b"
command = ["x", # ]
  "y"]
rows = [{ path = "o", min = 2 },
        { path = "p", min = 2, max = 1 }]
after = ["a"]
cpus = "x"

[[job]]
"name" = "b"
command = "z"
[job.on_arrival]
prefix = "raw/"
marker = "a/b"
"""
    papers = MemoryPapers()
    with pytest.raises(InputError) as caught:
        parse(text, papers)
    told = [line for line in str(caught.value).split("\n")[1:] if line.startswith("flyball.toml:")]
    assert [line.split(": ")[0] for line in told] == [f"flyball.toml:{n}" for n in (6, 7, 14, 16, 19, 23)]
    assert "6 mistakes" in str(caught.value)
    assert papers._papers == {}


def test_doubts_are_warnings():
    found = parse(
        '[[job]]\nname = "j"\npython = "nowhere_at_all:f"\n[[governor.slots]]\njob = "x"\nat_once = 1'
    )
    assert "flyball.toml:3: job j: python: there is no module 'nowhere_at_all'" in found.warnings[0]
    assert "no job 'x' is defined here" in found.warnings[1]
    (warning,) = parse('[[job]]\nname = "j"\ncommand = "a {dya} {print}"').warnings
    assert "did you mean {day}?" in warning
    (warning,) = parse('[[job]]\nname = "j"\ncommand = "a"\ntimeout = "3h"\ndeadline = "1h"').warnings
    assert "longer than the deadline" in warning


KEYS = st.text("ab\"'\\.# é", min_size=1, max_size=5)
VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text("a\"'\\\n#[]{},= é", max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=5,
)


def quoted(text: str, rng) -> str:
    plain = "".join(f"\\u{ord(c):04x}" if c in '"\\\n' or ord(c) < 32 else c for c in text)
    if rng.random() < 0.4:
        return f'"""{plain}"""'
    if not set(text) & set("'\n") and rng.random() < 0.5:
        return f"'{text}'"
    return f'"{plain}"'


def written(value, rng) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quoted(value, rng)
    if isinstance(value, list):
        gap = rng.choice([" ", "\n", " # [ ' \"\n"])
        return f"[{gap}" + "".join(f"{written(v, rng)}{gap},{gap}" for v in value) + "]"
    return "{ " + ", ".join(f'"{key_of(k)}" = {written(v, rng)}' for k, v in value.items()) + " }"


def key_of(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    tables=st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=4), rng=st.randoms(use_true_random=False)
)  # fmt: skip
def test_every_key_is_found_on_its_line_whatever_the_values_hold(tables, rng):
    text, expected = "# [[job]]\n", {}
    for index, table in enumerate(tables):
        text += rng.choice(["", "\n", "# 'x\n"])
        expected["job", index] = text.count("\n") + 1
        text += rng.choice(["[[job]]", '[[ "job" ]] # ]'])
        text += "\n"
        for key, value in table.items():
            text += rng.choice(["", "\n  ", "\t"])
            expected["job", index, key] = text.count("\n") + 1
            text += f'"{key_of(key)}"  = {written(value, rng)} # done\n'
    found = lines_of(text)
    assert {path: found.get(path) for path in expected} == expected


KEYS_OF_A_JOB = """memory cpus gpus schedule every timezone catch_up overlap after needs on_arrival deadline budget
    retries timeout rows check spot on at_once env tags params python command workdir priority launches_max"""
LIKELY = ["1", "1h", "4GiB", "1..2", "auto", "..", "@daily", "local", "UTC", -1, 0, 10**400, 1e999]


def refusal_of(table: dict) -> str | None:
    try:
        parse_collected(
            [table], file="x.py", providers=PROVIDERS, papers_keep=MemoryPapers().keep, now_seconds=NOW
        )
    except InputError as error:
        return str(error)
    return None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    body=st.dictionaries(
        st.sampled_from(KEYS_OF_A_JOB.split()), st.one_of(VALUES, st.sampled_from(LIKELY)), max_size=5
    )
)
def test_whatever_is_given_it_is_read_or_refused_in_words(body):
    words = refusal_of({"name": "j", "command": "x", "line": 3, **body})
    assert words is None or "x.py:3: job j: " in words


def test_a_circle_through_another_file_is_found():
    text = '[[job]]\nname = "a"\ncommand = "x"\nafter = "b"'
    options = {"file": "f", "providers": PROVIDERS, "papers_keep": MemoryPapers().keep, "now_seconds": NOW}
    assert parse_jobs(text, known_jobs={"b": ["c"], "c": []}, **options).jobs[0].name == "a"
    with pytest.raises(InputError, match="jobs wait for each other"):
        parse_jobs(text, known_jobs={"b": ["c"], "c": ["a"]}, **options)


# applying


def test_applying_records_what_changed_and_forgets_what_the_file_no_longer_defines():
    text = '[[job]]\nname = "a"\ncommand = "x"\n[[job]]\nname = "b"\ncommand = "x"\n'
    first = parse(text)
    facts = changes(Snapshot(), first, NOW, "flyball.toml")
    assert [fact.spec.name for fact in facts if isinstance(fact, JobApplied)] == ["a", "b"]
    snapshot = fold(Snapshot(), facts)
    assert changes(snapshot, parse(f"\n\n{text}"), NOW, "flyball.toml") == ()  # only moved
    (fact,) = changes(snapshot, parse(text.replace("x", "y", 1)), NOW, "flyball.toml")
    assert isinstance(fact, JobApplied)
    assert fact.spec.name == "a"
    (gone,) = changes(snapshot, parse(text[: text.rindex("[[job]]")]), NOW, "flyball.toml")
    assert gone == JobRemoved(at_seconds=NOW, job="b")
    (back,) = changes(fold(snapshot, [gone]), first, NOW, "flyball.toml")
    assert isinstance(back, JobApplied)


def test_jobs_of_other_files_stay_and_taking_one_over_is_told():
    mine = parse('[[job]]\nname = "a"\ncommand = "x"', file="/a/flyball.toml")
    snapshot = fold(Snapshot(), changes(Snapshot(), mine, NOW, "/a/flyball.toml"))
    other = parse('[[job]]\nname = "b"\ncommand = "x"', file="/b/flyball.toml")
    assert [type(fact) for fact in changes(snapshot, other, NOW, "/b/flyball.toml")] == [JobApplied]
    same_name = parse('[[job]]\nname = "a"\ncommand = "x"', file="/b/flyball.toml")
    (warning,) = taken_over(snapshot, same_name, "/b/flyball.toml")
    assert "was defined in /a/flyball.toml:1" in warning
    assert taken_over(snapshot, mine, "/a/flyball.toml") == ()


def test_a_run_reads_its_settings_with_definitions_in_the_file_and_does_not_look_at_them(folder):
    (folder / "flyball.toml").write_text(
        'home = "h"\n[[job]]\nnonsense = 3\n[governor]\nx = 1\n[alerts]\ny = 2'
    )
    loaded = load_settings(folder)
    assert loaded.home == str(folder / "h")
    script = "import sys, flyball.app.config as c; c.load_settings(); print('flyball.app.jobs_file' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# Python


def test_decorated_functions_are_collected_with_their_lines_and_stay_functions(folder):
    (folder / "helping.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "my_jobs.py").write_text(
        """from datetime import timedelta
import flyball.definitions
from helping import double

@flyball.definitions.job(schedule="0 6 * * *", timezone="Europe/Berlin", memory="4GiB..32GiB")
def nightly(day: str, factor: int = 2):
    return double(factor)

assert nightly("2026-01-01") == 4

def loads(table):
    return None

flyball.definitions.job("load-a", after="nightly", timeout=timedelta(hours=1), params={"table": "a"})(loads)
flyball.definitions.job("load-b", after="nightly", params={"table": "b"})(loads)
"""
    )
    tables = collect(folder / "my_jobs.py")
    assert "helping" not in [table["name"] for table in tables]
    papers = MemoryPapers()
    found = parse_collected(
        tables, file=str(folder / "my_jobs.py"), providers=PROVIDERS, papers_keep=papers.keep, now_seconds=NOW
    )
    assert found.warnings == ()
    assert [spec.name for spec in found.jobs] == ["nightly", "load-a", "load-b"]
    assert found.jobs[0].source == f"{folder}/my_jobs.py:5"
    assert found.jobs[1].patience.run_seconds == 3600
    commands = [paper.command[3:] for spec in found.jobs if (paper := papers.get(spec.paper))]
    assert commands == [
        ("my_jobs:nightly", "--day", "{day}"),
        ("my_jobs:loads", "--table", "a"),
        ("my_jobs:loads", "--table", "b"),
    ]
    paper = papers.get(found.jobs[0].paper)
    assert paper is not None
    command = [word.replace("{day}", "2026-01-01") for word in paper.command]
    done = subprocess.run(command, cwd=found.jobs[0].workdir, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nimport nothing_like_it\n", "bad.py:2 cannot be imported: ModuleNotFoundError"),
        ("def f(:\n", "bad.py:1 cannot be imported: SyntaxError"),
        ("import sys\nsys.exit(3)", "ends when it is imported"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_its_line(folder, text, words):
    (folder / "bad.py").write_text(text)
    before = list(sys.path), set(sys.modules)
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        collect(folder / "bad.py")
    assert (list(sys.path), set(sys.modules)) == before
    with pytest.raises(InputError, match="not a Python file"):
        collect(folder / "none.py")


def test_mistakes_in_python_are_told_with_the_decorators_line(folder):
    (folder / "jobs.py").write_text(
        'from flyball.definitions import job\n\n@job(memory="4", every="1h")\ndef f(): ...\n'
    )
    with pytest.raises(InputError, match=r"jobs\.py:3: job f: memory: '4' has no unit"):
        parse_collected(
            collect(folder / "jobs.py"),
            file=str(folder / "jobs.py"),
            providers=PROVIDERS,
            papers_keep=MemoryPapers().keep,
            now_seconds=NOW,
        )


def called(count: int, share: float = 0.5, *, really: bool = False, name: str | None = None) -> None: ...


def test_flags_become_what_the_functions_annotations_say():
    given = flags(["--count", "3", "--share=0.25", "--really", "yes", "--name", "{name}"])
    assert values_for(called, given) == {"count": 3, "share": 0.25, "really": True}
    for words, message in [
        (["--count", "x"], "not int"),
        (["--really", "perhaps", "--count", "1"], "neither true nor false"),
        (["--share", "1"], "needs --count"),
        (["--coutn", "1"], "no parameter 'coutn'"),
    ]:
        with pytest.raises(CannotCall, match=message):
            values_for(called, flags(words))


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("gone:f", 2, "there is no module 'gone'"),
        ("there:g", 2, "defines no function 'g'"),
        ("there", 2, "is not module:function"),
        ("there:f", 1, "ValueError: boom"),
        ("there.py:f", 1, "ValueError: boom"),
    ],
)
def test_calling_ends_with_the_functions_own_error_or_says_what_is_missing(folder, target, code, words):
    (folder / "there.py").write_text("def f():\n    raise ValueError('boom')\n")
    command = [sys.executable, "-m", "flyball.call", target]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == code
    assert words in done.stderr


def test_a_length_of_time_from_python_may_be_a_timedelta():
    table = {"name": "j", "command": "x", "every": timedelta(minutes=5)}
    (spec,) = parse_collected(
        [table], file="x.py", providers=PROVIDERS, papers_keep=MemoryPapers().keep, now_seconds=NOW
    ).jobs
    assert spec.schedule is not None
    assert spec.schedule.every_seconds == 300
    assert job("x")(called) is called


# the page

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "jobs.md").read_text()


def test_the_page_has_every_key_that_is_read():
    calls = re.compile(r'(?:fields|table)\.(?:read|get|raw|table|tables)\(\s*"(\w+)"')
    files = (ROOT / "flyball" / "app").glob("jobs_file_*.py")
    keys = {key for file in files for key in calls.findall(file.read_text())}
    assert len(keys) > 50
    assert not [key for key in keys if f"`{key}`" not in PAGE and f"`[[governor.{key}]]`" not in PAGE]


def test_what_the_page_shows_is_a_definition():
    text = "".join(re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    assert [spec.name for spec in parse(text).jobs] == ["extract", "report"]
