"""Errors as JSON that says what happened, why, and what to do next."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from flyball.errors import Conflict, FlyballError, InputError, Unavailable


class NotThere(FlyballError):
    """What the address names is not there."""


def status_of(error: FlyballError) -> int:
    match error:
        case NotThere():
            return 404
        case InputError():
            return 400
        case Conflict():
            return 409
        case Unavailable():
            return 503
        case _:
            return 500


def problem_of(error: FlyballError) -> bytes:
    return problem_bytes(status_of(error), error.what, error.why, error.hint)


def problem_bytes(status: int, what: str, why: str = "", hint: str = "") -> bytes:
    """RFC 9457 with the members what, why and next."""
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "what": what,
            "why": why,
            "next": hint,
        }
    )
