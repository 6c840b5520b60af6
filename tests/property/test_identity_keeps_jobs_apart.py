"""The same job with another date is the same job; another command never is. Secrets survive nowhere."""

from __future__ import annotations

import string

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from flyball.model.job import Features, RunSpec
from flyball.policy.identity import identify
from flyball.policy.redaction import HIDDEN, redact, redact_run

names = st.text(string.ascii_lowercase, min_size=2, max_size=9)
scripts = names.map(lambda n: f"{n}.py")
flags = names.map(lambda n: f"--x-{n}")
dates = st.dates().filter(lambda d: 1990 <= d.year <= 2090)
date_words = st.one_of(
    dates.map(lambda d: d.isoformat()),
    dates.map(lambda d: d.strftime("%Y%m%d")),
    dates.map(lambda d: d.strftime("%Y/%m/%d")),
)
numbers = st.one_of(st.integers(-(10**12), 10**12).map(str), st.floats(-1e9, 1e9, allow_nan=False).map(repr))
hashes = st.uuids().map(str) | st.binary(min_size=20, max_size=20).map(bytes.hex).filter(
    lambda h: any(c.isdigit() for c in h) and any(c.isalpha() for c in h)
)
temporary = st.text(string.ascii_lowercase + string.digits, min_size=8, max_size=8).map(
    lambda t: f"/tmp/tmp{t}/part"
)
varying = st.sampled_from([date_words, numbers, hashes, temporary])


@st.composite
def same_job_twice(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Two commands that differ only in dates, numbers, hashes and temporary paths."""
    script = draw(scripts)
    one, other = ["python", script], ["python", script]
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(varying)
        a, b = draw(kind), draw(kind)
        match draw(st.integers(0, 3)):
            case 0:
                one.append(a), other.append(b)
            case 1:
                flag = draw(flags)
                one += [flag, a]
                other += [flag, b]
            case 2:
                flag = draw(flags)
                one.append(f"{flag}={a}")
                other.append(f"{flag}={b}")
            case _:
                word = draw(names)
                one.append(word), other.append(word)
    return one, other


@given(same_job_twice())
def test_another_date_number_hash_or_temporary_path_is_the_same_job(
    pair: tuple[list[str], list[str]],
) -> None:
    one, other = (identify(command) for command in pair)
    assert one.job == other.job


words = st.lists(st.one_of(names, flags, scripts), min_size=0, max_size=5)


@given(st.lists(names | flags, max_size=4), names, names, st.data())
def test_another_word_anywhere_is_another_job(
    rest: list[str], old: str, new: str, data: st.DataObject
) -> None:
    assume(old != new)
    at = data.draw(st.integers(0, len(rest)))
    one, other = ["prog", *rest[:at], old, *rest[at:]], ["prog", *rest[:at], new, *rest[at:]]
    assert identify(one).job != identify(other).job


@given(scripts, scripts, flags, flags, words)
def test_another_program_script_or_flag_is_another_job(
    a: str, b: str, f: str, g: str, rest: list[str]
) -> None:
    if a != b:
        assert identify(["python", a, *rest]).job != identify(["python", b, *rest]).job
        assert identify([f"./{a}", *rest]).job != identify([f"./{b}", *rest]).job
        assert identify(["python", "-m", a, *rest]).job != identify(["python", a, *rest]).job
    if f != g:
        assert identify(["python", a, *rest, f, "7"]).job != identify(["python", a, *rest, g, "7"]).job
    for program in ("pypy", "node", "bash", "other"):
        assert identify([program, a, *rest]).job != identify(["python", a, *rest]).job


@given(st.lists(names, min_size=12, max_size=30), st.data())
def test_names_too_long_to_show_still_tell_commands_apart(parts: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(parts) - 1))
    changed = [*parts[:at], parts[at] + "x", *parts[at + 1 :]]
    one, other = identify(["prog", *parts]), identify(["prog", *changed])
    assert one.job != other.job
    assert len(one.job) <= 100


@given(st.text(string.ascii_letters + " |;>$'\"", min_size=1, max_size=60), numbers, numbers)
def test_a_one_liner_is_known_by_its_text_without_numbers(text: str, a: str, b: str) -> None:
    shell = identify(["sh", "-c", f"{text} ; sleep {a}"])
    assert shell.job == identify(["sh", "-c", f"{text} ; sleep {b}"]).job
    assert shell.job != identify(["sh", "-c", f"{text} ; nap {a}"]).job


@given(st.lists(st.text(), min_size=1, max_size=8))
def test_any_command_at_all_gets_a_name_that_can_be_shown_and_stored(command: list[str]) -> None:
    identity = identify(command)
    assert len(identity.job) <= 100
    assert msgspec.json.decode(msgspec.json.encode(identity), type=type(identity)) == identity


secrets = st.text(string.ascii_letters + string.digits, min_size=12, max_size=40).map(lambda t: f"Zq9{t}")
CARRIERS = [
    lambda s: ["--password", s],
    lambda s: [f"--password={s}"],
    lambda s: ["--db-token", s],
    lambda s: [f"--apiKey={s}"],
    lambda s: ["-H", f"Authorization: Bearer {s}"],
    lambda s: ["-H", f"X-Api-Key: {s}"],
    lambda s: [f"https://user:{s}@host/path"],
    lambda s: [f"postgresql://{s}@host/db"],
    lambda s: [f"https://host/path?a=1&access_token={s}&b=2"],
    lambda s: [f"AWS_SECRET_ACCESS_KEY={s}"],
    lambda s: [f"PGPASSWORD={s}"],
    lambda s: [f"host=h password={s} dbname=d"],
    lambda s: [f'{{"user": "u", "password": "{s}"}}'],
    lambda s: ["sh", "-c", f"mytool --secret {s} && echo done"],
    lambda s: ["sh", "-c", f"API_KEY='{s}' mytool"],
    lambda s: [f"ghp_{s}"],
    lambda s: [f"sk-{s}"],
    lambda s: [f"AKIA{s[:16].upper()}"],
    lambda s: [f"eyJ{s}.{s}.{s}"],
    lambda s: [f"prefix:xoxb-{s}"],
]


@given(secrets, st.sampled_from(CARRIERS), st.lists(names, max_size=3), st.lists(names, max_size=2))
def test_no_secret_survives_in_anything_that_is_recorded(secret, carrier, before, after) -> None:
    command = ["prog", *before, *carrier(secret), *after]
    identity = identify(command)
    run = RunSpec(
        run_id="r",
        job=identity.job,
        command=tuple(command),
        inputs=(f"https://u:{secret}@h/x",),
        tags={"token": secret, "note": f"password={secret}"},
        features=Features(
            started_at_seconds=0.0, numbers=identity.numbers, words={**identity.words, "api_key": secret}
        ),
    )
    recorded = msgspec.json.encode(redact_run(run)).decode()
    for part in (secret, secret[:16].upper()):
        assert part not in recorded
        assert part not in msgspec.json.encode(identity).decode()
    assert set(before) | set(after) <= set(redact_run(run).command)  # and nothing else is lost


@given(secrets, st.sampled_from(["env", "/usr/bin/env"]), names)
def test_values_of_variables_are_hidden_whatever_their_names(secret: str, env: str, name: str) -> None:
    for command in (
        [env, "-i", f"{name.upper()}={secret}", "prog"],
        ["docker", "run", "-e", f"{name}={secret}", "img"],
    ):
        assert secret not in " ".join(redact(command))


@given(secrets, names)
def test_values_that_flyball_was_told_are_hidden_wherever_they_stand(secret: str, name: str) -> None:
    assert redact(["prog", f"x-{secret}-y", name], known=[secret]) == ("prog", f"x-{HIDDEN}-y", name)


@given(st.lists(st.text(), max_size=6))
def test_redacting_twice_is_redacting_once(command: list[str]) -> None:
    once = redact(command)
    assert redact(once) == once
