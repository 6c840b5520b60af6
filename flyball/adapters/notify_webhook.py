"""Alerts to a webhook: JSON that Slack and its likes show as it is, and that a program can read."""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from flyball.errors import Unavailable
from flyball.model.when import show_moment

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

    from flyball.model.facts import AlertRaised

_ANSWER_BYTES_MAX = 300
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # what Slack reads as markup in `text`


class WebhookChannel:
    """One POST an alert; any answer in 200-299 is taken for its delivery."""

    def __init__(
        self,
        name: str,
        *,
        url: str,
        token: str | None = None,
        kinds: frozenset[str] = frozenset(),
        timeout_seconds: float = 10.0,
        ca_file: str | None = None,
    ) -> None:
        """`timeout_seconds` is for connecting and for each part of the answer."""
        self.name = name
        self._url, self._token, self._kinds = url, token, kinds
        self._timeout_seconds, self._ca_file = timeout_seconds, ca_file
        self._host = urlsplit(url).hostname or ""  # all of the address that is ever shown
        self._opener: OpenerDirector | None = None

    def __repr__(self) -> str:
        return f"WebhookChannel({self.name!r}, host={self._host!r})"

    def wants(self, alert: AlertRaised) -> bool:
        return not self._kinds or alert.kind in self._kinds

    def send(self, alert: AlertRaised) -> None:
        """Raises: Unavailable."""
        import http.client
        import urllib.error
        import urllib.request

        headers = {
            "Content-Type": "application/json",
            "User-Agent": "flyball",
            # The same for the same alert: a receiver that keeps these sees a doubled one for what it is.
            "Idempotency-Key": hashlib.sha256(alert.key.encode()).hexdigest()[:32],
        }
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(  # noqa: S310 - http or https: checked when it was read
            self._url, data=payload(alert), headers=headers, method="POST"
        )
        try:
            with self._opened().open(request, timeout=self._timeout_seconds) as answer:
                answer.read(_ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(f"it answered {error.code} {_said(error)}".rstrip()) from None
        except urllib.error.URLError as error:
            raise self._refused(_reason(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._refused(_reason(error)) from None

    def _refused(self, why: str) -> Unavailable:
        return Unavailable(f"{self.name} at {self._host} did not take an alert", why=why)

    def _opened(self) -> OpenerDirector:
        if self._opener is None:
            import ssl
            import urllib.request

            class NoRedirect(urllib.request.HTTPRedirectHandler):
                """A redirected POST would arrive as a GET without its body, and look as if it had been delivered."""

                def redirect_request(self, *_: Any) -> None:
                    return None

            context = ssl.create_default_context(cafile=self._ca_file)
            self._opener = urllib.request.build_opener(
                NoRedirect, urllib.request.HTTPSHandler(context=context)
            )
        return self._opener


def payload(alert: AlertRaised) -> bytes:
    """`text` for people, the fact's own fields for programs."""
    text = "".join(_ESCAPES.get(ch, ch) for ch in alert.words)
    fields: dict[str, Any] = {
        "text": f"flyball: {text}",
        "kind": alert.kind,
        "words": alert.words,
        "job": alert.job,
        "run_id": alert.run_id,
        "key": alert.key,
        "at": show_moment(alert.at_seconds),
        "at_seconds": alert.at_seconds,
    }
    return msgspec.json.encode(fields)


def _said(answer: IO[bytes]) -> str:
    """The beginning of its answer, in one line."""
    try:
        text = answer.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())


def _reason(error: object) -> str:
    """In words, without the address, which some errors repeat."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
