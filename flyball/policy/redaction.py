"""Commands, names and tags without the secrets in them. When in doubt it hides: a hidden word costs a detail, a
stored secret cannot be taken back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from flyball.model.job import RunSpec
from flyball.policy.patterns import pattern

HIDDEN = "***"
_KNOWN_SECRET_CHARS_MIN = 4  # shorter values of variables ("1", "eu") would blank out half of the command

_SECRET_WORDS = frozenset(
    {
        *(
            "password",
            "passwords",
            "passwd",
            "passphrase",
            "passcode",
            "passin",
            "passout",
            "pwd",
            "secret",
            "secrets",
        ),
        *(
            "token",
            "apikey",
            "apitoken",
            "authtoken",
            "accesstoken",
            "secretkey",
            "accesskey",
            "privatekey",
            "jwt",
        ),
        *(
            "credential",
            "credentials",
            "creds",
            "auth",
            "authorization",
            "bearer",
            "cookie",
            "signature",
            "dsn",
        ),
        *("connectionstring",),
    }
)
_SECRET_ENDINGS = ("password", "passwd", "passphrase", "secret", "token", "apikey")  # PGPASSWORD
_SECRET_LAST_WORDS = frozenset(
    {"pass", "pin", "pw", "sig", "pat", "otp", "sas"}
)  # not --pin-memory, --pass-through
_KEY_KINDS = frozenset(
    {
        *(
            "api",
            "access",
            "secret",
            "private",
            "signing",
            "encryption",
            "account",
            "storage",
            "shared",
            "master",
        ),
        *("auth", "sas", "ssh", "service", "license"),
    }
)
_COUNTS_TOKENS = frozenset({"max", "min", "num", "n", "pad", "eos", "bos", "unk", "mask"})  # --max-token 100
_SHORTEST = 8  # no secret has so few letters and digits and no name beside it
_SPLIT = pattern(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_ASSIGNMENT = pattern(r"([A-Za-z_][\w.\-]*)=(.*)\Z", re.DOTALL)

# Shapes of issued keys, from their issuers' documentation and GitHub's list of secret scanning patterns.
_SHAPES = pattern(
    r"""(?x)
      -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | \b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}
    | \b(?:gh[pousr]_|github_pat_|glpat-|gldt-|npm_|pypi-|hf_|dckr_pat_|dop_v1_|shpat_|sq0[a-z]{3}-|xox[abeoprs]-|xapp-
        |sk-|pk-|rk-|[spr]k_(?:live|test)_|whsec_|lin_api_|nvapi-|gsk_|r8_|tskey-|dapi|ATATT3x|AGE-SECRET-KEY-)[\w.\-]{8,}
    | \bAIza[\w\-]{30,} | \bya29\.[\w\-.]{10,} | \bSG\.[\w\-]{10,}\.[\w\-]{10,} | \bhvs\.[\w\-]{10,}
    | \beyJ[\w\-]{8,}\.[\w\-]{4,}(?:\.[\w\-]*)?
    """,
    re.DOTALL,
)
_AFTER_SCHEME = pattern(r"(?i)\b(bearer|basic|digest|apikey|token)(\s+)[^\s'\"]{6,}")
_USERINFO = pattern(r"([A-Za-z][A-Za-z0-9+.\-]*://)([^/\s'\"]*)@")
_NAMED = pattern(
    r"""(?x) (?P<name>[A-Za-z_][\w.\-]*) (?P<between>["']? \s* (?:=|:(?!//)) \s*)
             (?P<value>"(?:[^"\\]|\\.)*" | '[^']*' | [^\s,;&"'}\])]+)"""
)
_FLAG_IN_TEXT = pattern(
    r"""(?P<name>(?<!\S)--?[A-Za-z][\w.\-]*)(?P<between>\s+)(?P<value>"[^"]*"|'[^']*'|[^\s"']+)"""
)
_LONG_MIXED = pattern(r"(?<![\w/+=.\-])(?=[^\s]*[0-9])[A-Za-z0-9/+]{40}={0,2}(?![\w/+=.\-])")

# Short options that carry a password, by program; "attached" ones are written -pSECRET.
_SHORT_SECRETS: Mapping[str, str] = {
    "curl": "-u -U --user --proxy-user -b --cookie", "wget": "--header", "redis-cli": "-a", "sshpass": "-p",
    "docker": "-p", "podman": "-p", "ldapsearch": "-w", "ldapmodify": "-w", "sqlcmd": "-P", "bcp": "-P", "mongo": "-p",
    "mongosh": "-p", "mongodump": "-p", "beeline": "-p", "smbclient": "-U", "zip": "-P", "unzip": "-P", "helm": "-p",
    "az": "-p", "http": "-a", "https": "-a", "xh": "-a", "clickhouse-client": "-p", "oc": "-p", "snowsql": "-p",
}  # fmt: skip
_ATTACHED_SECRETS = frozenset(
    {"mysql", "mysqldump", "mariadb", "mariadb-dump", "mysqladmin", "7z", "7za", "sshpass"}
)
_PASSWORD_NEEDS_LOGIN = frozenset(
    {"docker", "podman", "helm", "az", "oc"}
)  # elsewhere their -p is a port or a project
_CONTAINERS = frozenset({"docker", "podman", "nerdctl", "flyball", "singularity", "apptainer", "kubectl"})
_ENV_FLAGS = frozenset({"-e", "--env"})  # of those: values of variables are never recorded


def redact(command: Sequence[str], *, known: Iterable[str] = ()) -> tuple[str, ...]:
    """The command with `***` for secrets; also for `known` ones: values of variables that flyball was given."""
    programs = {part.rsplit("/", 1)[-1] for part in command}
    shorts = {flag for program in programs & _SHORT_SECRETS.keys() for flag in _shorts(program, command)}
    attached = bool(programs & _ATTACHED_SECRETS)
    env_flags = _ENV_FLAGS if programs & _CONTAINERS else frozenset[str]()
    hidden_known = _usable(known)
    safe: list[str] = []
    in_env, before = True, ""
    for part in command:
        in_env = part.rsplit("/", 1)[-1] == "env" or (
            in_env
            and (before in {"-u", "--unset"} or part.startswith("-") or _ASSIGNMENT.match(part) is not None)
        )
        is_env = in_env or before in env_flags or part.partition("=")[0] in env_flags
        safe.append(_redact_part(part, before, shorts, attached=attached, is_env=is_env))
        before = part if part.startswith("-") and "=" not in part else ""
    return tuple(_without_known(part, hidden_known) for part in safe)


def redact_text(text: str, *, known: Iterable[str] = ()) -> str:
    """The text (a job's name, a URL, a one-liner) with `***` for what looks like a secret."""
    text = storable(text)
    if len(text) < _SHORTEST and text.isalnum():
        return _without_known(text, _usable(known))
    text = _SHAPES.sub(HIDDEN, text)
    text = _USERINFO.sub(lambda m: f"{m[1]}{_user(m[2])}@", text)
    text = _AFTER_SCHEME.sub(lambda m: f"{m[1]}{m[2]}{HIDDEN}", text)
    text = _NAMED.sub(_hidden_value, text)
    text = _FLAG_IN_TEXT.sub(_hidden_value, text)
    text = _LONG_MIXED.sub(lambda m: HIDDEN if _is_random(m[0]) else m[0], text)
    return _without_known(text, _usable(known))


def redact_map(pairs: Mapping[str, str], *, known: Iterable[str] = ()) -> dict[str, str]:
    """Tags or words: values under secret names are hidden, others looked through."""
    known = tuple(known)
    return {
        redact_text(key, known=known): HIDDEN if is_secret_name(key) else redact_text(value, known=known)
        for key, value in pairs.items()
    }


def redact_run(run: RunSpec, *, known: Iterable[str] = ()) -> RunSpec:
    """The same run with nothing secret anywhere in it: the last gate before it is recorded."""
    known = tuple(known)
    features = msgspec.structs.replace(run.features, words=redact_map(run.features.words, known=known))
    return msgspec.structs.replace(
        run,
        job=redact_text(run.job, known=known),
        command=redact(run.command, known=known),
        workdir=None if run.workdir is None else redact_text(run.workdir, known=known),
        inputs=tuple(redact_text(url, known=known) for url in run.inputs),
        tags=redact_map(run.tags, known=known),
        features=features,
    )


def is_secret_name(name: str) -> bool:
    """Whether what is called so is secret: password, api_key, --db-token, AWS_SECRET_ACCESS_KEY; not max-tokens."""
    words = [word.lower() for word in _SPLIT.split(name) if word]
    if any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words):
        return not (words[-1] == "token" and words[0] in _COUNTS_TOKENS)
    if words and words[-1] in _SECRET_LAST_WORDS:
        return True
    return any(kind in _KEY_KINDS and word in {"key", "keys"} for kind, word in itertools.pairwise(words))


def storable(text: str) -> str:
    """Text that UTF-8 can hold: file names that are not UTF-8 reach Python as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shorts(program: str, command: Sequence[str]) -> list[str]:
    if program in _PASSWORD_NEEDS_LOGIN and "login" not in command:
        return []
    return _SHORT_SECRETS[program].split()


def _redact_part(part: str, before: str, shorts: set[str], *, attached: bool, is_env: bool) -> str:
    if before and (before in shorts or is_secret_name(before)) and not part.startswith("--"):
        return HIDDEN
    if attached and part.startswith("-p") and len(part) > 2:
        return "-p" + HIDDEN
    for short in shorts:
        if not short.startswith("--") and part.startswith(short) and len(part) > len(short):
            return short + HIDDEN
    name, equals, value = part.partition("=")
    if equals and name.startswith("-") and " " not in name:
        # --env=X=secret hides X's value; --flag=value by the flag's name
        hide = is_secret_name(name) or name in shorts
        return f"{name}={HIDDEN}" if hide else f"{redact_text(name)}={_value(value, is_env=is_env)}"
    return _value(part, is_env=is_env)


def _value(text: str, *, is_env: bool) -> str:
    assigned = _ASSIGNMENT.match(text)
    if assigned and (is_env or is_secret_name(assigned[1])):
        return f"{redact_text(assigned[1])}={HIDDEN}"
    return redact_text(text)


def _hidden_value(match: re.Match[str]) -> str:
    if not is_secret_name(match["name"]) or match["value"].startswith("--"):
        return f"{match['name']}{match['between']}{_NAMED.sub(_hidden_value, match['value'])}"  # a=b?token=c
    quote = match["value"][0] if match["value"][0] in "\"'" else ""
    return f"{match['name']}{match['between']}{quote}{HIDDEN}{quote}"


def _user(userinfo: str) -> str:
    """`user:***` for user:password; `***` alone where there is no password: it may be a token."""
    user, colon, _ = userinfo.partition(":")
    return f"{user}:{HIDDEN}" if colon else HIDDEN


def _is_random(text: str) -> bool:
    """Whether 40 characters look like an AWS secret key, and not like a path or a git commit."""
    mixed = any(c.isupper() for c in text) and any(c.islower() for c in text)
    return mixed and text.count("/") <= 3


def _usable(known: Iterable[str]) -> list[str]:
    return sorted((k for k in known if len(k) >= _KNOWN_SECRET_CHARS_MIN), key=len, reverse=True)


def _without_known(text: str, known: Sequence[str]) -> str:
    for secret in known:
        text = text.replace(secret, HIDDEN)
    return text
