"""Words of people that are kept: who did something, and why."""

from __future__ import annotations

from typing import Final

from duly.errors import InvalidInput

WORDS_CHARACTERS_MAX: Final = 500


def checked_words(name: str, value: str, example: str) -> str:
    """*value* if it says something, in printable characters. Raises `InvalidInput` that shows the *example*."""
    # Callers without a type checker pass anything.
    is_text: bool = isinstance(value, str)
    if not is_text or not value.strip() or len(value) > WORDS_CHARACTERS_MAX or not value.isprintable():
        raise InvalidInput(
            f"{name} has 1 to {WORDS_CHARACTERS_MAX} printable characters; this one is {value!r:.100}. "
            f"For instance: {name}={example!r}."
        )
    return value
