"""The values that a tenant's template may be handed: copies that hold nothing but data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from duly.errors import InvalidTemplate
from duly.templates.limits import VALUES_CHARACTERS_MAX, VALUES_MAX, checked_number

_DEEP_MAX = 10


def plain_values(values: Mapping[str, object]) -> dict[str, object]:
    """A copy of *values* down to the last list: text, numbers, dates, None, lists and dicts.

    Subclasses become the plain type, so that no method of the application's is within reach.
    Raises `InvalidTemplate` naming the value of any other type, or the limit.
    """
    return {name: value for name, value in _Copy().of_dict(values, "", 0).items() if isinstance(name, str)}


class _Copy:
    """One copying, with what it has met so far."""

    def __init__(self) -> None:
        self._values = 0
        self._characters = 0

    def of(self, value: object, path: str, deep: int) -> object:
        self._values += 1
        if self._values > VALUES_MAX or deep > _DEEP_MAX:
            raise InvalidTemplate(
                f"A template is handed more than {VALUES_MAX:,} values, or some deeper than {_DEEP_MAX} levels, "
                f"at {path}. Hand over what it shows."
            )
        match value:
            case None | bool():
                return value
            case str():
                self._characters += len(value)
                if self._characters > VALUES_CHARACTERS_MAX:
                    raise InvalidTemplate(
                        f"A template is handed texts of more than {VALUES_CHARACTERS_MAX:,} characters, at {path}. "
                        "Hand over what it shows."
                    )
                return str.__str__(value)
            case int():
                return checked_number(int.__int__(value))
            case float():
                return checked_number(float.__float__(value))
            case Decimal():
                return checked_number(Decimal(value))
            case datetime():
                return datetime.fromisoformat(value.isoformat())
            case date():
                return date(value.year, value.month, value.day)
            case Mapping():
                return self.of_dict(value, path, deep)
            case list() | tuple():
                return [self.of(item, f"{path}[{index}]", deep + 1) for index, item in enumerate(value)]
            case _:
                raise InvalidTemplate(
                    f"The value {path} is a {type(value).__name__}, which templates of tenants are not handed. Hand "
                    "over text, numbers, dates, lists and dicts."
                )

    def of_dict(self, value: Mapping[str, object], path: str, deep: int) -> dict[object, object]:
        inside = f"{path}." if path else ""
        return {
            self.of(key, f"a key of {path}", deep + 1): self.of(item, f"{inside}{key}", deep + 1)
            for key, item in value.items()
        }
