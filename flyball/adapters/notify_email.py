"""Alerts by mail: one message each, in plain text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from flyball.errors import Unavailable
from flyball.model.when import show_moment

if TYPE_CHECKING:
    import smtplib
    from collections.abc import Sequence
    from email.message import EmailMessage

    from flyball.model.facts import AlertRaised

TLS = {"starttls": 587, "tls": 465, "none": 25}  # and the port that goes with each
_SUBJECT_CHARACTERS = 120


class Login(NamedTuple):
    user: str
    password: str

    def __repr__(self) -> str:
        return "Login(...)"


class EmailChannel:
    """Sent when the server has taken it for every recipient."""

    def __init__(
        self,
        name: str,
        *,
        host: str,
        port: int,
        tls: str,
        sender: str,
        to: Sequence[str],
        login: Login | None = None,
        kinds: frozenset[str] = frozenset(),
        timeout_seconds: float = 10.0,
        ca_file: str | None = None,
    ) -> None:
        """`timeout_seconds` is for each answer of the server."""
        self.name = name
        self._host, self._port, self._tls = host, port, tls
        self._sender, self._to, self._login, self._kinds = sender, tuple(to), login, kinds
        self._timeout_seconds, self._ca_file = timeout_seconds, ca_file

    def __repr__(self) -> str:
        return f"EmailChannel({self.name!r}, host={self._host!r})"

    def wants(self, alert: AlertRaised) -> bool:
        return not self._kinds or alert.kind in self._kinds

    def send(self, alert: AlertRaised) -> None:
        """Raises: Unavailable."""
        import smtplib

        try:
            with self._connected() as server:
                if self._login is not None:
                    server.login(self._login.user, self._login.password)
                refused = server.send_message(
                    message(alert, self._sender, self._to), from_addr=self._sender, to_addrs=self._to
                )
        except smtplib.SMTPAuthenticationError as error:
            raise self._refused(f"it does not take the login ({error.smtp_code})") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise self._refused(_recipients(error.recipients)) from None
        except smtplib.SMTPResponseException as error:
            raise self._refused(f"it answered {error.smtp_code} {_text(error.smtp_error)}") from None
        except smtplib.SMTPException as error:
            words = _text(str(error)) or type(error).__name__
            raise self._refused("it did not answer in time" if "timed out" in words else words) from None
        except TimeoutError:
            raise self._refused("it did not answer in time") from None
        except (OSError, ValueError) as error:
            raise self._refused(getattr(error, "strerror", None) or type(error).__name__) from None
        if refused:  # taken for some: they get it again with the next try, which is better than some never
            raise self._refused(_recipients(refused))

    def _connected(self) -> smtplib.SMTP:
        import smtplib
        import ssl

        if self._tls == "none":
            return smtplib.SMTP(self._host, self._port, timeout=self._timeout_seconds)
        context = ssl.create_default_context(cafile=self._ca_file)
        if self._tls == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_seconds, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_seconds)
        try:
            server.starttls(context=context)  # raises when the server has none: nothing goes out in the clear
        except BaseException:
            server.close()
            raise
        return server

    def _refused(self, why: str) -> Unavailable:
        return Unavailable(f"{self.name} at {self._host} did not take an alert", why=why)


def message(alert: AlertRaised, sender: str, to: Sequence[str]) -> EmailMessage:
    """The same alert always has the same Message-ID: mail programs show a doubled one once."""
    from email.message import EmailMessage
    from email.utils import format_datetime

    mail = EmailMessage()
    subject = " ".join(f"flyball: {alert.words}".split())
    cut = len(subject) > _SUBJECT_CHARACTERS
    mail["Subject"] = subject[: _SUBJECT_CHARACTERS - 1] + "…" if cut else subject
    mail["From"], mail["To"] = sender, ", ".join(to)
    from datetime import UTC, datetime

    mail["Date"] = format_datetime(datetime.fromtimestamp(alert.at_seconds, UTC))
    mail["Message-ID"] = (
        f"<{hashlib.sha256(alert.key.encode()).hexdigest()[:32]}@{sender.rpartition('@')[2]}>"
    )
    mail["Auto-Submitted"] = "auto-generated"  # no out-of-office answers
    about = {"job": alert.job, "run": alert.run_id, "kind": alert.kind, "at": show_moment(alert.at_seconds)}
    lines = [alert.words, "", *(f"{name + ':':6}{value}" for name, value in about.items() if value)]
    mail.set_content("\n".join(lines) + "\n")
    return mail


def _recipients(refused: dict[str, tuple[int, bytes]]) -> str:
    address, (code, text) = next(iter(refused.items()))
    return f"it refused {address}: {code} {_text(text)}"


def _text(said: bytes | str) -> str:
    """What a server said, in one short line."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())[:200]
