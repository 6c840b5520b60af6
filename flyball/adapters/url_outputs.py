"""Whether outputs in object storage are there, hold something and are new: run by the wrapper after the command."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from flyball.adapters.object_sizes import _WILDCARD, _pattern, open_bucket, split_url

if TYPE_CHECKING:
    from obstore import ObjectMeta

CLOCK_SECONDS = 5.0  # stores keep whole seconds, by a clock of their own
OBJECTS_MAX = 100_000  # below one prefix; more are not looked at
TIMEOUT_SECONDS = 30.0


def broken_output(urls: Sequence[str], started_at_seconds: float) -> str | None:
    """What is wrong with the first one that is not as it should be, in words; None when all are as they should be.

    s3://bucket/key is an object, or everything below key/ where there is no such object; with * or ? in the key it is
    all that match.
    """
    since = datetime.fromtimestamp(started_at_seconds - CLOCK_SECONDS, UTC)
    for url in urls:
        try:
            wrong = _wrong(url, _found(url), since)
        except Exception as error:  # noqa: BLE001 - obstore's and boto3's errors share no class
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            wrong = f"{url} cannot be looked at: {first_line}"
        if wrong is not None:
            return wrong
    return None


def _wrong(url: str, found: Sequence[ObjectMeta], since: datetime) -> str | None:
    if not found:
        return f"there is no {url}"
    new = [one for one in found if one["last_modified"] >= since]
    if not new:
        return f"{url} is from before this attempt"
    return None if any(one["size"] for one in new) else f"{url} is empty"


def _found(url: str) -> list[ObjectMeta]:
    root, key = split_url(url)
    store = open_bucket(root, TIMEOUT_SECONDS)
    wildcard = _WILDCARD.search(key)
    if key and not key.endswith("/") and not wildcard:
        try:
            return [store.head(key)]
        except FileNotFoundError:
            pass  # a folder, perhaps
    matches = re.compile(_pattern(key)).match if wildcard else None
    folder = key[: wildcard.start()].rpartition("/")[0] if wildcard else key.rstrip("/")
    found: list[ObjectMeta] = []
    for page in store.list(prefix=folder + "/" if folder else None):
        found.extend(one for one in page if matches is None or matches(one["path"]))
        if len(found) >= OBJECTS_MAX:
            break
    return found


def main(words: Sequence[str]) -> NoReturn:
    """`STARTED_AT_SECONDS URL...`: ends with 1, and the reason on stdout, when one is not as it should be."""
    wrong = broken_output(words[1:], float(words[0]))
    if wrong is not None:
        sys.stdout.write(wrong + "\n")
    sys.exit(1 if wrong else 0)
