"""Channels for alerts, from the [alerts] table of flyball.toml.

    [alerts.webhook]
    url_env = "ALERTS_WEBHOOK"                # or url_file: a webhook's address is a secret

    [alerts.email]
    host = "smtp.example.org"
    from = "flyball@example.org"
    to = ["data-team@example.org"]
    user_env = "SMTP_USER"
    password_file = "/run/secrets/smtp"       # or password_env

    [alerts.command]
    argv = ["notify-send", "flyball"]

Several of one kind: [[alerts.webhook]] with a `name` each. All take `kinds` (which alerts) and `timeout` ("10s").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from flyball.adapters.notify_command import CommandChannel
from flyball.adapters.notify_email import TLS, EmailChannel, Login
from flyball.adapters.notify_webhook import WebhookChannel
from flyball.errors import InputError
from flyball.model.units import parse_seconds
from flyball.ports.channel import Channel

KINDS = (
    "run_failed",
    "deadline_missed",
    "deadline_at_risk",
    "unusual",
    "held",
    "zombie",
    "budget",
    "catalog_stale",
    "launch",
    "quiet",
)
_HINT = "docs/alerts.md lists every key"
_Words = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class _Any(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str | None = None
    kinds: tuple[str, ...] = ()
    timeout: str = "10s"


class _Webhook(_Any, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url_env: str | None = None
    url_file: str | None = None
    token_env: str | None = None
    token_file: str | None = None
    ca_file: str | None = None


class _Email(_Any, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    host: str
    port: int | None = None
    sender: str
    to: _Words
    tls: str = "starttls"
    user_env: str | None = None
    user_file: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    ca_file: str | None = None


class _Command(_Any, frozen=True, kw_only=True, forbid_unknown_fields=True):
    argv: _Words


_SHAPES: Mapping[str, type[_Any]] = {"webhook": _Webhook, "email": _Email, "command": _Command}


def channels_of(table: Mapping[str, object], env: Mapping[str, str]) -> Sequence[Channel]:
    """The channels of an [alerts] table; secrets are read from `env` and files now. Raises: InputError."""
    channels: list[Channel] = []
    for kind, given in table.items():
        shape = _SHAPES.get(kind)
        if shape is None:
            raise InputError(
                f"[alerts] has no channel {kind!r}", why=f"there are {', '.join(_SHAPES)}", hint=_HINT
            )
        where = f"[alerts.{kind}]"
        tables = [_read(where, each, shape) for each in (given if isinstance(given, list) else [given])]
        channels.extend(_channel(where, kind, table, env) for table in tables)
    names = [channel.name for channel in channels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"[alerts] has {names.count(twice[0])} channels named {twice[0]!r}",
            why="an alert is sent once over each name",
            hint='give each a name = "..." of its own',
        )
    return channels


def _read(where: str, given: Any, shape: type[_Any]) -> _Any:
    if shape is _Webhook and isinstance(given, Mapping) and "url" in given:
        raise InputError(
            f"{where} has its url in the file",
            why="whoever knows a webhook's address can post to it",
            hint='url_env = "ALERTS_WEBHOOK", and the address in that environment variable',
        )
    if shape is _Email and isinstance(given, Mapping) and "password" in given:
        raise InputError(
            f"{where} has its password in the file", hint='password_env = "SMTP_PASSWORD", or password_file'
        )
    try:
        table = msgspec.convert(given, shape)
    except msgspec.ValidationError as error:
        raise InputError(f"{where} cannot be used", why=str(error), hint=_HINT) from None
    unknown = [kind for kind in table.kinds if kind not in KINDS]
    if unknown:
        raise InputError(
            f"{where} names a kind {unknown[0]!r}", why=f"there are {', '.join(KINDS)}", hint=_HINT
        )
    return table


def _channel(where: str, kind: str, table: _Any, env: Mapping[str, str]) -> Channel:
    name, kinds = table.name or kind, frozenset(table.kinds)
    try:
        timeout_seconds = parse_seconds(table.timeout)
    except InputError as error:
        raise InputError(f"{where} has a wrong timeout", why=str(error), hint='timeout = "10s"') from None
    match table:
        case _Webhook():
            url = _secret(where, "url", table.url_env, table.url_file, env)
            if url is None:
                raise InputError(f"{where} has no address", hint='url_env = "ALERTS_WEBHOOK", or url_file')
            token = _secret(where, "token", table.token_env, table.token_file, env)
            return WebhookChannel(
                name,
                url=_checked_url(where, url),
                token=token,
                kinds=kinds,
                timeout_seconds=timeout_seconds,
                ca_file=_file(where, table.ca_file),
            )
        case _Email():
            return _email(where, name, kinds, timeout_seconds, table, env)
        case _Command():
            return CommandChannel(name, table.argv, kinds=kinds, timeout_seconds=timeout_seconds, env=env)
    raise AssertionError(table)


def _email(  # noqa: PLR0917
    where: str,
    name: str,
    kinds: frozenset[str],
    timeout_seconds: float,
    table: _Email,
    env: Mapping[str, str],
) -> EmailChannel:
    if table.tls not in TLS:
        raise InputError(
            f"{where} has tls = {table.tls!r}", why=f"there are {', '.join(TLS)}", hint='tls = "starttls"'
        )
    user = _secret(where, "user", table.user_env, table.user_file, env)
    password = _secret(where, "password", table.password_env, table.password_file, env)
    if (user is None) != (password is None):
        raise InputError(f"{where} has half a login", hint="give user_env and password_env, or neither")
    if user is not None and table.tls == "none":
        raise InputError(
            f"{where} would send its password in the clear", hint='tls = "starttls", or no login'
        )
    for address in (table.sender, *table.to):
        if "@" not in address or any(ch in address for ch in "\r\n,;"):
            raise InputError(f"{where} has {address!r}", why="it is not one mail address")
    return EmailChannel(
        name,
        host=table.host,
        port=table.port or TLS[table.tls],
        tls=table.tls,
        sender=table.sender,
        to=table.to,
        login=Login(user, password) if user is not None and password is not None else None,
        kinds=kinds,
        timeout_seconds=timeout_seconds,
        ca_file=_file(where, table.ca_file),
    )


def _secret(
    where: str, what: str, env_name: str | None, file: str | None, env: Mapping[str, str]
) -> str | None:
    """Its value, without the white space around it; None when neither is given."""
    if env_name is not None and file is not None:
        raise InputError(f"{where} has both {what}_env and {what}_file", hint="keep one of them")
    if env_name is not None:
        value = env.get(env_name, "").strip()
        if not value:
            raise InputError(f"{where} needs {env_name}", why="it is not set", hint=f"export {env_name}=...")
        return value
    if file is None:
        return None
    try:
        value = Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"{where} cannot read its {what}_file {file}", why=why) from None
    if not value:
        raise InputError(f"{where} has an empty {what}_file {file}")
    return value


def _file(where: str, name: str | None) -> str | None:
    if name is None:
        return None
    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"{where} has ca_file = {name!r}", why="there is no such file")
    return str(path)


def _checked_url(where: str, url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(ch.isspace() for ch in url):  # not shown: it is a secret
        raise InputError(f"{where} has an address that is none", hint="https://HOST/PATH")
    return url
