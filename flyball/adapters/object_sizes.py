"""How large a run's input is: bytes and objects of a file, folder, pattern or URL, measured before the run."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flyball.errors import FlyballError, InputError, Unavailable
from flyball.policy.redaction import redact_text

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TIMEOUT_SECONDS = 10.0  # the user's command waits for this
_WILDCARD = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET_SCHEMES = frozenset({"s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss"})
_CREDENTIALS_HINT = "set the credentials that the command itself uses, or leave out --input"


class InputSize(msgspec.Struct, frozen=True, kw_only=True):
    size_bytes: int
    objects: int


def measure_input(url_or_path: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> InputSize:
    """Bytes and number of objects behind a path, folder, glob, s3://, gs://, az://, http:// or https:// URL.

    Raises: InputError when there is no such input or it may not be read, Unavailable when it does not answer in time.
    """
    scheme = match[1].lower() if (match := _SCHEME.match(url_or_path)) else "file"
    if scheme == "file":
        path = url_or_path.removeprefix("file://") if match else url_or_path
        return _local(path, deadline=time.monotonic() + timeout_seconds)
    if scheme in {"http", "https"}:
        return _in_time(lambda: _http(url_or_path, timeout_seconds), url_or_path, timeout_seconds)
    if scheme in _BUCKET_SCHEMES:
        return _in_time(lambda: _bucket(url_or_path, timeout_seconds), url_or_path, timeout_seconds)
    raise InputError(
        f"--input {redact_text(url_or_path)} cannot be measured",
        why=f"{scheme}:// is not known",
        hint="a path, a pattern in quotes, or a URL with s3://, gs://, az://, https://",
    )


def _local(path: str, *, deadline: float) -> InputSize:
    if not path:
        raise InputError("--input is empty", hint="a path, a pattern in quotes, or a URL")
    try:
        expanded = str(Path(path).expanduser())
        if Path(expanded).exists():
            return _total(_sizes_below(expanded, deadline, path))
        if _WILDCARD.search(path):
            found = glob.iglob(expanded, recursive=True)  # noqa: PTH207 - absolute patterns too
            sizes = [size for match in found for size in _sizes_below(match, deadline, path)]
            if sizes:
                return _total(sizes)
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # ValueError: a NUL in it; RuntimeError: no such ~user
        raise InputError(f"--input {path!r} cannot be read", why=str(error)) from error
    raise InputError(f"--input {path!r} is not there", hint="a path, a pattern in quotes, or a URL")


def _sizes_below(path: str, deadline: float, asked: str) -> Iterable[int]:
    if not Path(path).is_dir():
        yield Path(path).stat().st_size
        return
    for folder, _, names in os.walk(path, onerror=_raised):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"--input {asked!r} takes too long to measure", hint="a folder with fewer files"
            )
        for name in names:
            yield os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - 3 times faster on 100,000 files


def _raised(error: OSError) -> None:
    raise error


def _total(sizes: Iterable[int]) -> InputSize:
    total = objects = 0
    for size in sizes:
        total, objects = total + size, objects + 1
    return InputSize(size_bytes=total, objects=objects)


def _http(url: str, timeout_seconds: float) -> InputSize:
    """From the answer to HEAD, or to a GET of the first byte where HEAD says nothing."""
    import http.client
    import urllib.error
    import urllib.request

    refused: str | None = None
    for method, headers in (("HEAD", {"Accept-Encoding": "identity"}), ("GET", {"Range": "bytes=0-0"})):
        try:
            request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - http and https only
            with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:  # noqa: S310
                refused, size = (
                    None,
                    _stated_size(answer.headers.get("Content-Range"), answer.headers.get("Content-Length")),
                )
        except urllib.error.HTTPError as error:
            refused = f"the server answers {error.code} {error.reason}"
            error.close()
            if method == "GET" and error.code >= 500:
                raise Unavailable(f"--input {redact_text(url)} cannot be measured", why=refused) from error
            continue
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"--input {redact_text(url)} does not answer", why=_plainly(error)) from error
        if size is not None:
            return InputSize(size_bytes=size, objects=1)
    why = refused or "the server does not say how long it is"
    raise InputError(f"--input {redact_text(url)} cannot be measured", why=why)


def _stated_size(content_range: str | None, content_length: str | None) -> int | None:
    stated = content_range.rpartition("/")[2] if content_range else content_length
    return int(stated) if stated and stated.isdigit() else None


def _bucket(url: str, timeout_seconds: float) -> InputSize:
    """One object, all objects below a prefix, or all that match a pattern."""
    from obstore.exceptions import BaseError

    shown = f"--input {redact_text(url)}"
    try:
        found = _in_bucket(url, timeout_seconds)
    except (BaseError, ValueError, OSError) as error:
        said = f"{type(error).__name__} {error}"  # listings report every status as GenericError
        why = _plainly(error)
        if re.search(r"NotFound|NoSuchBucket|404 Not Found", said):
            raise InputError(f"{shown} is not there", why=why) from error
        if re.search(r"PermissionDenied|PermissionError|Unauthenticated|AccessDenied|40[13] ", said):
            raise InputError(f"{shown} may not be read", why=why, hint=_CREDENTIALS_HINT) from error
        raise Unavailable(f"{shown} cannot be measured", why=why, hint=_CREDENTIALS_HINT) from error
    if not found.objects:
        raise InputError(f"{shown} is not there", why="no object has that name or lies below it")
    return found


def _in_bucket(url: str, timeout_seconds: float) -> InputSize:
    root, key = split_url(url)
    store = open_bucket(root, timeout_seconds)
    wildcard = _WILDCARD.search(key)
    if wildcard:
        folder = key[: wildcard.start()].rpartition("/")[0]
        return _total(_listed(store, folder, re.compile(_pattern(key)).match))
    if key and not key.endswith("/"):
        with contextlib.suppress(FileNotFoundError):  # a folder, perhaps
            return InputSize(size_bytes=store.head(key)["size"], objects=1)
    return _total(_listed(store, key.rstrip("/")))


def split_url(url: str) -> tuple[str, str]:
    """The bucket's (or account's and container's) URL, and the key in it."""
    scheme, rest = url.split("://", 1)
    depth = 2 if scheme in {"az", "adl", "azure"} else 1
    parts = rest.split("/", depth)
    return f"{scheme}://" + "/".join(parts[:depth]), parts[depth] if len(parts) > depth else ""


def open_bucket(root: str, timeout_seconds: float) -> ObjectStore:
    """The bucket, with the endpoint and the credentials that the command line tools would use."""
    import obstore.store

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    options: dict[str, Any] = {
        "client_options": {"timeout": f"{timeout_seconds}s", "connect_timeout": "5s"},
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=timeout_seconds)},
    }
    if root.startswith(("s3:", "s3a:")):
        if endpoint.startswith("http://"):
            options["client_options"]["allow_http"] = True
        if endpoint:
            options["endpoint"] = endpoint
        options |= _aws_profile()
    return obstore.store.from_url(root, **options)


def _aws_profile() -> dict[str, Any]:
    """Credentials from ~/.aws through boto3, where the environment has none: obstore does not read that folder."""
    configured = any(
        Path("~/.aws").expanduser().joinpath(name).exists() for name in ("credentials", "config")
    )
    if "AWS_ACCESS_KEY_ID" in os.environ or not configured:
        return {}
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return {"credential_provider": Boto3CredentialProvider()}
    except (ImportError, ValueError):  # no boto3, or no credentials in there: the machine's own role is tried
        return {}


def _listed(store: ObjectStore, prefix: str, matches: Callable[[str], object] = bool) -> Iterable[int]:
    for chunk in store.list(prefix or None):
        for found in chunk:
            if matches(found["path"]):
                yield found["size"]


def _pattern(key: str) -> str:
    """As a shell reads it: `*` stays within one folder, `**` does not."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", key)
    return "".join(_pattern_part(part) for part in parts) + r"\Z"


def _pattern_part(part: str) -> str:
    known = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    if part.startswith("[") and part.endswith("]") and len(part) > 2:
        return fnmatch.translate(part)[4:-3]
    return known.get(part, re.escape(part))


def _in_time(measure: Callable[[], InputSize], url: str, timeout_seconds: float) -> InputSize:
    """What it measures, or Unavailable: some waits (credentials of a cloud that is not there) have no limit of their own."""
    answers: list[InputSize | BaseException] = []

    def work() -> None:
        try:
            answers.append(measure())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            answers.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(timeout_seconds)
    if not answers:
        raise Unavailable(
            f"--input {redact_text(url)} does not answer", why=f"no answer in {timeout_seconds:g} s"
        )
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return answers[0]


def _plainly(error: BaseException) -> str:
    """The first line of what it says, without secrets that a URL in it may hold."""
    if isinstance(error, FlyballError):
        return str(error)
    return redact_text((str(error).splitlines() or [type(error).__name__])[0][:300])
