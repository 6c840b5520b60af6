"""The HTTP API as a server in a thread of `flyball up`."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from flyball.errors import FlyballError, InputError

if TYPE_CHECKING:
    import uvicorn

    from flyball.web.commands import Commands

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
TOKEN_FILE = "api-token"  # noqa: S105 - its name
TOKEN_BYTES = 32
START_SECONDS, STOP_SECONDS = 20.0, 1.0
CONNECTIONS_MAX = 100
HEADER_BYTES_MAX = 16 * 1024


class Served(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    token_file: Path


@contextlib.contextmanager
def serving(
    commands: Commands, address: str, *, home: Path, anywhere: bool = False, host_names: Sequence[str] = ()
) -> Iterator[Served]:
    """Serves while the block runs. `host_names` are names, beside localhost and this machine's, that requests may use.

    Raises: InputError for an address that cannot be had, or that others can reach without `anywhere`.
    """
    host, port = parse_address(address)
    token_file = home / TOKEN_FILE
    token = token_of(token_file)
    with contextlib.closing(_listening(host, port, anywhere=anywhere)) as listening:
        names = frozenset(name.lower() for name in ("localhost", host, socket.gethostname(), *host_names))
        closing = threading.Event()
        server = _server(commands, closing, token, names)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}, name="flyball-api", daemon=True
        )
        thread.start()
        try:
            _wait_until_started(server, thread)
            shown = f"[{host}]" if ":" in host else host
            yield Served(url=f"http://{shown}:{listening.getsockname()[1]}", token_file=token_file)
        finally:
            closing.set()
            server.should_exit = True
            thread.join(STOP_SECONDS + 2)
            if thread.is_alive():
                server.force_exit = True
                thread.join(STOP_SECONDS)


def _server(
    commands: Commands, closing: threading.Event, token: str, names: frozenset[str]
) -> uvicorn.Server:
    try:
        import uvicorn

        from flyball.web.api import api
        from flyball.web.gate import Gate
    except ModuleNotFoundError as error:
        raise InputError(
            "the HTTP API is not installed", why=str(error), hint="pip install 'flyball[web]'"
        ) from None
    config = uvicorn.Config(
        Gate(api(commands, closing), token=token, host_names=names),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,  # errors go to stderr as logging does by itself
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
        timeout_graceful_shutdown=int(STOP_SECONDS),
    )
    return uvicorn.Server(config)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    until = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise FlyballError("the HTTP API did not start", hint="see the error above")
        time.sleep(0.005)


def parse_address(text: str) -> tuple[str, int]:
    """Of "HOST:PORT", "[::1]:8765", ":8765", "HOST" or "8765". Raises: InputError."""
    host, port = text, ""
    if text.isdigit():
        host, port = "", text
    elif text.endswith("]") or (text.count(":") > 1 and "]" not in text):
        host, port = text, ""
    elif ":" in text:
        host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if port and not (port.isdigit() and int(port) < 65536):
        raise InputError(f"{text!r} has no usable port", hint=f"{DEFAULT_HOST}:{DEFAULT_PORT}")
    return host or DEFAULT_HOST, int(port) if port else DEFAULT_PORT


def _listening(host: str, port: int, *, anywhere: bool) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InputError(
            f"{host} is no address of this machine",
            why=error.strerror or str(error),
            hint=f"{DEFAULT_HOST}:{port}",
        ) from None
    family, _, _, _, where = found[0]
    if not anywhere and not all(ip_address(str(at[0]).partition("%")[0]).is_loopback for *_, at in found):
        raise InputError(
            f"{host} can be reached by others",
            why="whoever has the token can run commands here, and it would go over the network as it is",
            hint="127.0.0.1 behind a tunnel (ssh -L) or a proxy with TLS; or --api-anywhere",
        )
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(CONNECTIONS_MAX)
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot serve at {host}:{port}",
            why=error.strerror or str(error),
            hint="another port: --api 127.0.0.1:0",
        ) from None
    return listening


def token_of(file: Path) -> str:
    """What is in the file, which is made with a new token when there is none; only its owner can read it.

    Raises: InputError for a file that others can read, or that holds no token.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        if not file.exists():
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as new:
                new.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
            with contextlib.suppress(FileExistsError):  # another process was faster: its token counts
                os.link(made, file)  # whole from the start, and never over another one
            made.unlink()
        mode, token = file.stat().st_mode, file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot use the token in {file}", why=str(error), hint="remove it; a new one is made"
        ) from None
    if mode & 0o077:
        raise InputError(f"others can read {file}", hint=f"chmod 600 {file}, or remove it: a new one is made")
    if len(token) < 16 or not token.isprintable() or " " in token:
        raise InputError(
            f"{file} holds no token", why="it is empty or too short", hint="remove it; a new one is made"
        )
    return token
