"""Names of jobs as users will see them."""

from __future__ import annotations

import shlex

import pytest

from flyball.errors import InputError
from flyball.policy.identity import identify

NAMED = [
    ("python train.py", "train.py"),
    ("/opt/venv/bin/python3.11 -u train.py --rows 1000", "train.py --rows"),
    ("python a/train.py", "a/train.py"),
    ("python -m pkg.job sub -n 3", "python -m pkg.job sub -n"),
    ("python -W ignore -X dev train.py", "train.py"),
    ("pypy3 train.py", "pypy train.py"),
    ("./etl.sh 20261101 s3://bucket/x.csv", "etl.sh"),
    ("etl.py --date 2026-11-01", "etl.py --date"),
    ("etl.py --date yesterday", "etl.py --date"),
    ("dbt run --select orders", "dbt run --select orders"),
    ("dbt run --select=orders", "dbt run --select orders"),
    ("uv run --with polars python train.py", "train.py"),
    ("poetry run python train.py", "train.py"),
    ("conda run -n ml python train.py", "train.py"),
    ("env A=b B=c python train.py", "train.py"),
    ("nice -n 10 /usr/bin/time -v timeout -k 5 10m sudo -u bob python train.py", "train.py"),
    ("bash -c 'python train.py --rows 5'", "train.py --rows"),
    ("make -j8 train", "make -j train"),
    ("Rscript fit.R data.csv", "fit.R"),
    ("java -Xmx4g -cp lib/a.jar com.acme.Main load 5", "java com.acme.Main load"),
    ("java -Xmx4g -jar app.jar run", "java -jar app.jar run"),
    (
        "spark-submit --master yarn --conf spark.executor.memory=4g job.py 2026-11-01",
        "spark-submit --master yarn --conf spark.executor.memory= job.py",
    ),
    ("spark-submit s3://code/jobs/load.py", "spark-submit s3://code/jobs/load.py"),
    ("docker run --rm -v /a:/b -e X=1 acme/etl:1.2 python load.py --n 5", "docker run acme/etl load.py --n"),
    ("python train.py lr=0.1 model=resnet50", "train.py lr= model=resnet50"),
    ("mpirun -np 4 ./solver in.dat", "mpirun -np solver"),
    ("/usr/bin/sort big.txt", "sort"),
    ("python load.py --table orders_2026-11-01", "load.py --table orders_*"),
    ("python /tmp/tmpabcd1234/train.py", "/tmp/*/train.py"),
    ("app --token abcdef", "app --token"),
    ("zstd -19 x.tar", "zstd"),
    ("python", "python"),
]


@pytest.mark.parametrize(("command", "job"), NAMED)
def test_a_command_is_named_by_what_it_does(command: str, job: str) -> None:
    assert identify(shlex.split(command)).job == job


APART = [
    ("python a/train.py", "python b/train.py"),
    ("dbt run --select orders", "dbt run --select users"),
    ("dbt run", "dbt test"),
    ("make train", "make test"),
    ("app.jar", "java -jar app.jar"),
    ("python -c 'import a'", "python -c 'import b'"),
    ("sh -c 'sort x | uniq'", "sh -c 'sort x | wc'"),
    ("psql -f orders.sql", "psql -f users.sql"),
    ("psql -c 'select a from t'", "psql -c 'select b from t'"),
    ("run.py --config a.yaml", "run.py --config b.yaml"),
    ("train.py --fast", "train.py"),
    ("train.py model=a", "train.py model=b"),
    ("train.py model=a", "train.py other=a"),
    ("docker run img/a job", "docker run img/b job"),
    ("mpirun -np 4 ./a", "mpirun -np 4 ./b"),
    ("prog 'a b'", "prog a b"),
    ("prog resnet50", "prog resnet101"),
    ("prog 7b", "prog 13b"),
    ("python /tmp/a/train.py", "python /tmp/b/train.py"),
    ("python train.py", "bash train.py"),
    ("ruby -e 'a'", "perl -e 'a'"),
    ("./bin/etl", "/usr/bin/etl"),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_different_commands_never_share_a_history(one: str, other: str) -> None:
    assert identify(shlex.split(one)).job != identify(shlex.split(other)).job


TOGETHER = [
    ("etl.py --date 2026-11-01", "etl.py --date 2026-11-02"),
    ("etl.py 2026-11-01T00:00:00Z", "etl.py 2026-11-02T12:30:00+01:00"),
    ("etl.py 2026-11", "etl.py 2026-12"),
    ("train.py --rows 1000", "train.py --rows=2_000"),
    ("script.py a.csv", "script.py b.csv"),
    ("script.py data/1.csv data/2.csv", "script.py data/3.csv"),
    ("python3.11 train.py", "/opt/venv/bin/python train.py"),
    ("sh -c 'load 2026-11-01 | gzip > /tmp/a1'", "sh -c 'load 2026-11-02 | gzip > /tmp/b2'"),
    ("train.py --run-id blue-fox", "train.py --run-id red-cat"),
    (
        "load.py --commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "load.py --commit 89e6c98d92887913cadf06b2adb97f26cde4849b",
    ),
    ("app --limit 4GiB --wait 30s", "app --limit 8GiB --wait 5m"),
    ("docker run img:1 job", "docker run img:2 job"),
    ("app --password a1", "app --password b2"),
]


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_the_same_job_with_other_figures_shares_its_history(one: str, other: str) -> None:
    assert identify(shlex.split(one)).job == identify(shlex.split(other)).job


def test_what_varies_becomes_features_by_flag_or_position() -> None:
    found = identify(shlex.split("train.py 2026-11-01 1e6 --rows 1000 --lr=0.5 --out s3://b/x --out /y -n10"))
    assert found.numbers == {"arg2": 1e6, "rows": 1000.0, "lr": 0.5, "n": 10.0}
    assert found.words == {"arg1": "2026-11-01", "out": "s3://b/x", "out.2": "/y"}
    assert "rows" in found.why


def test_the_users_name_wins_and_features_are_still_taken() -> None:
    found = identify(["python", "train.py", "--rows", "5"], name="  nightly   training ")
    assert (found.job, found.numbers) == ("nightly training", {"rows": 5.0})
    assert "--name" in found.why


@pytest.mark.parametrize("name", ["", "  ", "\x00", "a\x1b[31m", "x" * 201])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        identify(["true"], name=name)


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(InputError, match="no command"):
        identify([])


def test_the_place_of_a_script_tells_namesakes_apart() -> None:
    places = {"train.py": "acme/etl/train.py", "conf.yaml": "acme/etl/conf.yaml"}
    found = identify(["python", "train.py", "--config", "conf.yaml", "data.csv"], place=lambda p: places[p])
    assert found.job == "acme/etl/train.py --config acme/etl/conf.yaml"


def test_infinite_and_huge_numbers_are_no_features_that_break_sums() -> None:
    found = identify(["p", "1e999", "nan", "inf", "9" * 400])
    assert all(abs(value) < float("inf") for value in found.numbers.values())
