"""Whether outputs in object storage are there, hold something and are new: run by the wrapper after the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

CLOCK_SECONDS = 5.0  # stores keep whole seconds, by a clock of their own
OBJECTS_MAX = 100_000  # below one prefix; more are not looked at


def broken_output(urls: Sequence[str], started_at_seconds: float) -> str | None:
    """What is wrong with the first one that is not as it should be, in words; None when all are.

    s3://bucket/key is an object, or everything below key/ when it ends with a slash or there is no such object.
    """
    since = datetime.fromtimestamp(started_at_seconds - CLOCK_SECONDS, UTC)
    for url in urls:
        try:
            wrong = _wrong(url, since)
        except Exception as error:  # noqa: BLE001 - obstore's errors share no class with each other
            wrong = f"{url} cannot be looked at: {str(error).splitlines()[0]}"
        if wrong is not None:
            return wrong
    return None


def _wrong(url: str, since: datetime) -> str | None:
    import obstore
    from obstore.store import from_url

    bucket, _, key = url.partition("://")[2].partition("/")
    store = from_url(f"{url.partition('://')[0]}://{bucket}")
    found = None
    if key and not key.endswith("/"):
        try:
            found = [obstore.head(store, key)]
        except FileNotFoundError:
            found = None
    if found is None:
        found = []
        for page in obstore.list(store, prefix=key.rstrip("/") + "/" if key else None):
            found.extend(page)
            if len(found) >= OBJECTS_MAX:
                break
    if not found:
        return f"there is no {url}"
    new = [one for one in found if one["last_modified"] >= since]
    if not new:
        return f"{url} is from before this attempt"
    return None if any(one["size"] for one in new) else f"{url} is empty"


def main(words: Sequence[str]) -> NoReturn:
    """`STARTED_AT_SECONDS URL...`: ends with 1, and the reason on stdout, when one is not as it should be."""
    wrong = broken_output(words[1:], float(words[0]))
    if wrong is not None:
        sys.stdout.write(wrong + "\n")
    sys.exit(1 if wrong else 0)
