"""A text that nobody may see: it is handed over once, to what signs or signs in with it, and shown nowhere."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

_SHOWN: Final = "Secret(…)"


class Secret:
    """Holds a secret text. Its repr, str and format show none of it; it can be neither pickled nor stored as JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Hand it straight on; never keep it, log it or put it into an error."""
        return self._text

    def __repr__(self) -> str:
        return _SHOWN

    def __format__(self, form: str) -> str:
        return format(_SHOWN, form)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret cannot be pickled: its text would lie there in the open. Read it anew instead.")
