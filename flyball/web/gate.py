"""What a request must pass before anything reads it: the right host, the token, a bounded body."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from starlette.exceptions import HTTPException

from flyball.web.problems import problem_bytes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_BYTES_MAX = 256 * 1024
BODY_SECONDS_MAX = 20.0  # between two pieces of a body
OPEN_PATHS = frozenset({"/healthz"})
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'"),
]


class Gate:
    """Around the app. A web page that was made to resolve to this machine (DNS rebinding) shows its own name in Host,
    and is turned away before the token is looked at."""

    def __init__(self, app: App, *, token: str, host_names: frozenset[str]) -> None:
        """Addresses are always right hosts; names only those in `host_names`."""
        self._app, self._token, self._names = app, token.encode(), host_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        body = _Body(receive)

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, body.receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str, str] | None:
        """Status, what, why, what next."""
        if not _is_our_host(headers.get(b"host", b"").decode("latin-1"), self._names):
            return (
                421,
                "this is not that host",
                "the Host header names another one",
                "use the address it serves",
            )
        if scope["path"] not in OPEN_PATHS:
            kind, _, given = headers.get(b"authorization", b"").partition(b" ")
            same = hmac.compare_digest(given.strip(), self._token)
            if kind.lower() != b"bearer" or not same:
                why = "the token is wrong" if given else "no token was given"
                return (
                    401,
                    "not allowed",
                    why,
                    "send Authorization: Bearer TOKEN, from the file api-token in flyball's home",
                )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            return 413, "the body is too large", f"at most {BODY_BYTES_MAX} bytes are read", "send less"
        return None


class _Body:
    """Counts what is received, and does not wait for ever."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes, self._is_whole = receive, 0, False

    async def receive(self) -> MutableMapping[str, Any]:
        if self._is_whole:
            return await self._receive()  # waits for the other side to go away
        try:
            message = await asyncio.wait_for(self._receive(), BODY_SECONDS_MAX)
        except TimeoutError:
            return {"type": "http.disconnect"}
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._bytes > BODY_BYTES_MAX:
            raise HTTPException(413, f"at most {BODY_BYTES_MAX} bytes are read")
        return message


def _is_our_host(host: str, names: frozenset[str]) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(send: Send, status: int, what: str, why: str, hint: str) -> None:
    body = problem_bytes(status, what, why, hint)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": body})
