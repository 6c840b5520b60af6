"""Following a log while it is written gives what was written, in order, once."""

from __future__ import annotations

from random import Random

import pytest

from flyball.app.follow import LogFollower
from flyball.meter.logfile import BoundedLog


@pytest.mark.parametrize("seed", range(20))
def test_what_is_followed_is_what_was_written(tmp_path, seed):
    rng, path = Random(seed), str(tmp_path / "log")
    log, follower = BoundedLog(path, head_bytes=500, tail_bytes=300), LogFollower(path)
    written, followed = b"", follower.read()
    for number in range(60):
        line = f"line {number} {'x' * rng.randrange(40)}\n".encode()
        log.write(line)
        written += line
        followed += follower.read()
    log.close(len(written))
    followed += follower.read()
    follower.close()
    assert followed == written


def test_an_output_that_is_joined_before_it_was_read_is_read_once(tmp_path):
    path = str(tmp_path / "log")
    log = BoundedLog(path, head_bytes=10, tail_bytes=1000)
    log.write(b"0123456789abcdef")
    log.close(16)
    follower = LogFollower(path)
    assert follower.read() == b"0123456789abcdef"
    assert follower.read() == b""
    follower.close()


def test_an_output_that_is_joined_after_it_was_read_is_not_read_twice(tmp_path):
    path = str(tmp_path / "log")
    log, follower = BoundedLog(path, head_bytes=10, tail_bytes=1000), LogFollower(path)
    log.write(b"0123456789abc")
    assert follower.read() == b"0123456789abc"
    log.write(b"def")
    assert follower.read() == b"def"
    log.close(16)
    assert follower.read() == b""
    follower.close()


def test_there_may_be_no_log_yet(tmp_path):
    follower = LogFollower(str(tmp_path / "log"))
    assert follower.read() == b""
    (tmp_path / "log").write_bytes(b"now")
    assert follower.read() == b"now"
    follower.close()
