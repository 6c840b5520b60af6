"""Names for runs: short enough to type, in the order they started, never the same twice."""

from __future__ import annotations

import hashlib

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that reads as something else
_EPOCH_SECONDS = 1_767_225_600  # 2026-01-01; 8 characters of milliseconds last until 2060


def run_id_at(now_seconds: float, *, chance: int) -> str:
    """12 characters: 8 of the time in milliseconds, 4 of `chance` (a million to one within the same millisecond)."""
    milliseconds = max(0, round((now_seconds - _EPOCH_SECONDS) * 1000)) % 32**8
    return _base32(milliseconds, 8) + _base32(chance, 4)


def run_id_of(at_seconds: float, *what: str) -> str:
    """18 characters that are the same for the same `what`: nothing is submitted twice by two governors, or again after
    a crash. 50 bits of a digest: with 4,000 jobs at the same moment each day, two agree once in 100,000 years."""
    digest = hashlib.blake2b("\0".join(what).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return run_id_at(at_seconds, chance=0)[:8] + _base32(int.from_bytes(digest, "big"), 10)


def _base32(value: int, digits: int) -> str:
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(digits)))
