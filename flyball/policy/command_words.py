"""What kind of thing one word of a command is: part of what the job does, or only of this run."""

from __future__ import annotations

import enum
import re

from flyball.policy.patterns import pattern
from flyball.policy.redaction import HIDDEN


class Kind(enum.Enum):
    WORD = "word"  # says what is done: part of the job's identity
    CODE = "code"  # a program, script, configuration: part of the identity, by its place
    TEXT = "text"  # SQL, JSON, a one-liner: part of the identity, with dates and numbers taken out
    NUMBER = "number"
    VALUE = "value"  # dates, times, lists of numbers, amounts with a unit, hashes, paths, URLs: differ from run to run
    SECRET = "secret"  # noqa: S105 - its name, not one


_DATE = (
    r"(?:19|20)\d{2}(?P<sep>[-_/.]?)(?:0[1-9]|1[0-2])(?P=sep)(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T_ -]?(?:[01]\d|2[0-4])[:_-]?(?:[0-5]\d)?(?:[:_-]?[0-5]\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
)
_DATE_ALONE = pattern(
    rf"(?:{_DATE}|(?:19|20)\d{{2}}-(?:0[1-9]|1[0-2])|(?:19|20)\d{{2}}-?[WQ]\d{{1,2}}(?:-\d)?"
    r"|\d{1,2}[./-]\d{1,2}[./-](?:\d{2}|\d{4}))\Z"
)
_NUMBER = pattern(r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\Z")
_AMOUNT = pattern(
    r"[-+]?\d+(?:\.\d+)?\s*(?:[kKmMgGtTpP][iI]?[bB]?|%|ms|us|ns|s|sec|m|min|h|hr|d|w|cpus?|x)\Z"
)
_NUMBERS = pattern(r"[-+(\[]?\d[\d.,:;x/*()\[\]\s+-]*\Z")  # 1,2,3  0-99  3/8  12:30  640x480
_HEX = pattern(r"(?:0x|sha\d+:)?(?=[0-9a-f]*\d)(?=[0-9]*[a-f])[0-9a-f]{7,128}\Z", re.IGNORECASE)
_ID = pattern(
    r"(?:[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-7][0-9A-HJKMNP-TV-Z]{25})\Z", re.IGNORECASE
)
_RANDOM_FOLDER = pattern(r"(?:tmp[._-]?[A-Za-z0-9_]{4,}|.*[._-](?=[a-z0-9_]*\d)[a-z0-9_]{8})\Z")
_TEMPORARY = ("/tmp/", "/var/tmp/", "/var/folders/", "/private/", "/dev/shm/", "/scratch/", "/local_disk")  # noqa: S108
_URL = pattern(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ASSIGNED = pattern(r"([A-Za-z_+~@][\w.\-/@]*)=(.*)\Z", re.DOTALL)

_DATE_INSIDE = pattern(rf"(?<!\d){_DATE}(?!\d)")
_UUID_INSIDE = pattern(r"(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
_LONG_DIGITS = pattern(r"\d{6,}")
_NUMBER_ALONE_INSIDE = pattern(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])")
_HASH_INSIDE = pattern(r"(?<![\w.])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,64}(?!\w)")
_TEMPORARY_INSIDE = pattern(r"/(?:tmp|var/tmp|dev/shm)/[^\s'\";|&)]*")
_NUMBER_INSIDE = pattern(r"(?<![A-Za-z_])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

_CODE_SUFFIXES = frozenset(
    {"py", "pyz", "ipynb", "sh", "bash", "zsh", "r", "rmd", "qmd", "jl", "sql", "hql", "nf", "smk",
     "scala", "jar", "war", "class", "pl", "rb", "js", "mjs", "cjs", "ts", "lua", "php", "m", "do",
     "sas", "yaml", "yml", "toml", "ini", "cfg", "conf", "config", "properties", "hcl", "tf", "rs", "go",
     "cu", "cwl", "wdl", "mk"}
)  # fmt: skip
_DATA_SUFFIXES = frozenset(
    {"csv", "tsv", "parquet", "json", "jsonl", "ndjson", "avro", "orc", "arrow", "feather", "txt", "gz",
     "bz2", "xz", "zst", "zip", "tar", "tgz", "bam", "sam", "cram", "vcf", "fa", "fasta", "fastq", "fq",
     "bed", "h5", "hdf5", "nc", "npy", "npz", "pkl", "pickle", "pt", "pth", "ckpt", "safetensors",
     "onnx", "png", "jpg", "jpeg", "tif", "tiff", "mp4", "mp3", "wav", "log", "out", "xlsx", "xls",
     "xml", "html", "pdf", "db", "sqlite", "duckdb", "bin", "dat", "data", "md"}
)  # fmt: skip
_VARIES = frozenset(
    {"date", "day", "ds", "dt", "month", "year", "hour", "since", "until", "from-date", "to-date",
     "start-date", "end-date", "start-time", "end-time", "execution-date", "logical-date", "timestamp",
     "ts", "run-id", "run-date", "job-id", "task-id", "trace-id", "request-id", "execution-id",
     "session-id", "attempt-id"}
)  # fmt: skip


def kind_of(word: str) -> Kind:
    """What the word is by its form alone."""
    if HIDDEN in word and not _URL.match(word):
        return Kind.SECRET if word == HIDDEN else Kind.TEXT
    if _NUMBER.match(word) and not _DATE_ALONE.match(word):
        return Kind.NUMBER
    if not word or _varies_alone(word):
        return Kind.VALUE
    if not _URL.match(word) and (any(c.isspace() for c in word) or word[0] in "{["):
        return Kind.TEXT
    return _kind_of_name(word)


def _kind_of_name(word: str) -> Kind:
    suffix = _suffix(word)
    if suffix in _CODE_SUFFIXES:
        return Kind.CODE
    is_path = "/" in word or word[0] in "~." or suffix in _DATA_SUFFIXES
    return Kind.VALUE if is_path else Kind.WORD


def varies_by_name(flag: str) -> bool:
    """Whether a flag's value belongs to the single run whatever its form: --date yesterday, --run-id blue-fox."""
    return flag.lstrip("-").replace("_", "-").lower() in _VARIES


def number_of(word: str) -> float | None:
    """The word as a finite number, if it is one."""
    if not _NUMBER.match(word):
        return None
    value = float(word.replace("_", ""))
    return value if abs(value) < float("inf") else None


def split_assigned(word: str) -> tuple[str, str] | None:
    """Key and value of `key=value`, as in lr=0.1; None for other words."""
    match = _ASSIGNED.match(word)
    return (match[1], match[2]) if match and not _URL.match(word) else None


def without_dates(word: str) -> str:
    """The word with the dates and ids inside it as `*`: orders_2026-11-01 and orders_2026-11-02 are the same."""
    return _LONG_DIGITS.sub("*", _UUID_INSIDE.sub("*", _DATE_INSIDE.sub("*", word)))


def text_digest(text: str) -> str:
    """Eight letters that stand for a text: equal for texts that differ only in dates, numbers, ids and spacing."""
    forms = (
        _DATE_INSIDE,
        _UUID_INSIDE,
        _TEMPORARY_INSIDE,
        _NUMBER_ALONE_INSIDE,
        _HASH_INSIDE,
        _NUMBER_INSIDE,
    )
    for varying in forms:
        text = varying.sub("0", text)
    return digest(" ".join(text.split()))


def digest(text: str) -> str:
    import hashlib

    return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def stable_path(path: str) -> str:
    """The path with what changes from run to run as `*`: dated and random folders, /tmp/tmpk3x9q2ab."""
    temporary = path.startswith(_TEMPORARY)
    return "/".join(
        "*" if _changes(part, temporary=temporary) else without_dates(part) for part in path.split("/")
    )


def _changes(part: str, *, temporary: bool) -> bool:
    if not part:
        return False
    return (_varies_alone(part) and len(part) >= 6) or (temporary and _RANDOM_FOLDER.match(part) is not None)


def _varies_alone(word: str) -> bool:
    forms = (_DATE_ALONE, _AMOUNT, _NUMBERS, _HEX, _ID)
    return any(form.match(word) for form in forms)


def is_url(word: str) -> bool:
    return _URL.match(word) is not None


def is_program_path(word: str) -> bool:
    """Whether the word may name a program to start: a path that does not end like a data file."""
    return "/" in word and not is_url(word) and not _suffix(word)


def _suffix(word: str) -> str:
    name = word.rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return suffix.lower() if dot and stem and suffix.isalnum() else ""
