"""Names for runs: short enough to type, in the order they started, never the same twice."""

from __future__ import annotations

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that reads as something else
_EPOCH_SECONDS = 1_767_225_600  # 2026-01-01; 8 characters of milliseconds last until 2060


def run_id_at(now_seconds: float, *, chance: int) -> str:
    """12 characters: 8 of the time in milliseconds, 4 of `chance` (a million to one within the same millisecond)."""
    milliseconds = max(0, round((now_seconds - _EPOCH_SECONDS) * 1000)) % 32**8
    return _base32(milliseconds, 8) + _base32(chance, 4)


def _base32(value: int, digits: int) -> str:
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(digits)))
