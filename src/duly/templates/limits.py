"""What a tenant's template may use up, and the purse of one rendering."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from duly.errors import InvalidTemplate

TEMPLATE_CHARACTERS_MAX: Final = 50_000
"""Of one part as it is written: a subject, a text, an HTML form."""
TEMPLATE_NODES_MAX: Final = 2_000
"""Texts, names, operations and tags of one part."""
TEMPLATE_NESTING_MAX: Final = 30
"""How deep these lie in one another; a loop counts as four levels."""
TEMPLATE_STEPS_MAX: Final = 50_000
"""Nodes that are evaluated in one rendering, loops counted in full before they begin."""
OUTPUT_CHARACTERS_MAX: Final = 100_000
"""Of one rendered part."""
WORK_CHARACTERS_MAX: Final = 1_000_000
"""Characters that operations and filters go through in one rendering of one part."""
NUMBER_DIGITS_MAX: Final = 30
VALUES_MAX: Final = 10_000
"""Values handed to a template, those inside lists and dicts counted."""
VALUES_CHARACTERS_MAX: Final = 200_000
"""Of all texts among them."""

_NUMBER_END: Final = 10**NUMBER_DIGITS_MAX


class Purse:
    """What one rendering has left. Each method raises `InvalidTemplate` when that is too little."""

    def __init__(self) -> None:
        self._steps = TEMPLATE_STEPS_MAX
        self._characters = WORK_CHARACTERS_MAX
        self._output = OUTPUT_CHARACTERS_MAX

    def spend_steps(self, steps: int) -> None:
        """Before so many nodes are evaluated."""
        self._steps -= steps
        if self._steps < 0:
            raise InvalidTemplate(f"its loops take more than {TEMPLATE_STEPS_MAX:,} steps")

    def spend_characters(self, characters: int) -> None:
        """Before an operation goes through, or makes, so many characters."""
        self._characters -= characters
        if self._characters < 0:
            raise InvalidTemplate(f"its operations go through more than {WORK_CHARACTERS_MAX:,} characters")

    def spend_output(self, characters: int) -> None:
        """When so many characters come out."""
        self._output -= characters
        if self._output < 0:
            raise InvalidTemplate(f"it gives more than {OUTPUT_CHARACTERS_MAX:,} characters")


def checked_number(value: int | float | Decimal) -> int | float | Decimal:
    """*value* if it is finite and not too large. Raises `InvalidTemplate`."""
    is_finite = value.is_finite() if isinstance(value, Decimal) else value == value and abs(value) != float("inf")
    if not is_finite or not -_NUMBER_END < value < _NUMBER_END:
        raise InvalidTemplate(f"a number is not finite, or has more than {NUMBER_DIGITS_MAX} digits")
    return value
