"""What a tenant's template can do with values: filters, operators, loops. Each spends before it works.

Architecture invariant: nothing here is handed, or gives, anything but text, numbers, dates, None, lists and dicts; and
nothing works longer than what it has spent.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeAlias

import jinja2
from jinja2.runtime import Context

from duly.errors import InvalidTemplate
from duly.templates.grammar import COMPARISON, CONCATENATION, LOOP
from duly.templates.jinja import date_text
from duly.templates.limits import Purse, checked_number

Number: TypeAlias = int | float | Decimal
Scalar: TypeAlias = str | Number | date | None

PURSE: Final = "the purse"
"""The purse's name in the context; no template can write a name with a space."""
PLACES_MAX: Final = 6
_NUMBER_CHARACTERS: Final = 60

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def purse_of(context: Context) -> Purse:
    """The purse of this rendering."""
    purse = context.parent[PURSE]
    assert isinstance(purse, Purse)
    return purse


@jinja2.pass_context
def printed(context: Context, value: object) -> object:
    """What ``{{ … }}`` puts out. Raises `InvalidTemplate` for lists, dicts and whatever else is no text."""
    purse_of(context).spend_characters(len(value) if isinstance(value, str) else _NUMBER_CHARACTERS)
    return _scalar(value, "prints")


def calculated(context: Context, symbol: str, left: object, right: object) -> object:
    """One of ``+ - * / // %``: of two numbers, or ``+`` of two texts. Raises `InvalidTemplate`."""
    if symbol == "+" and isinstance(left, str) and isinstance(right, str):
        purse_of(context).spend_characters(len(left) + len(right))
        return left + right
    work = {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "//": operator.floordiv,
        "%": operator.mod,
    }
    if symbol not in work:
        raise InvalidTemplate(f"{symbol} is not for tenants' templates")
    return checked_number(work[symbol](_number(left, symbol), _number(right, symbol)))


@jinja2.pass_context
def _loop(context: Context, value: object, nodes: int) -> list[object] | dict[object, object]:
    if not isinstance(value, list | dict):
        raise InvalidTemplate(f"it loops over a {_kind(value)}. Loop over a list")
    purse_of(context).spend_steps(nodes * len(value))
    return value


@jinja2.pass_context
def _concatenation(context: Context, *parts: object) -> str:
    texts = [str(_scalar(part, "joins")) for part in parts]
    purse_of(context).spend_characters(sum(map(len, texts)))
    return "".join(texts)


@jinja2.pass_context
def _comparison(context: Context, value: object, *compared: object) -> bool:
    """``value op other op other …``, where a list or a text may only be what something is in."""
    left = value
    for name, right in zip(compared[::2], compared[1::2], strict=True):
        _scalar(left, "compares")
        if name in ("in", "notin"):
            if not isinstance(right, str | list | dict):
                raise InvalidTemplate(f"it looks for something in a {_kind(right)}")
            # A text is searched again for each of its characters at the worst.
            purse_of(context).spend_characters(_size(right) + _size(left))
            holds = (left in right) is (name == "in")
        else:
            purse_of(context).spend_characters(min(_size(left), _size(right)))
            holds = _COMPARISONS[str(name)](left, _scalar(right, "compares"))
        if not holds:
            return False
        left = right
    return True


# Filters, by the names that templates write. Their signatures are what a template may hand over.


@jinja2.pass_context
def _upper(context: Context, value: object) -> str:
    return _text(context, value).upper()


@jinja2.pass_context
def _lower(context: Context, value: object) -> str:
    return _text(context, value).lower()


@jinja2.pass_context
def _capitalize(context: Context, value: object) -> str:
    return _text(context, value).capitalize()


@jinja2.pass_context
def _title(context: Context, value: object) -> str:
    return _text(context, value).title()


@jinja2.pass_context
def _trim(context: Context, value: object) -> str:
    return _text(context, value).strip()


@jinja2.pass_context
def _truncate(context: Context, value: object, length: object = 255, end: object = "…") -> str:
    text, tail = _text(context, value), _text(context, end)
    limit = max(0, _whole(length))
    return text if len(text) <= limit else text[: max(0, limit - len(tail))] + tail


@jinja2.pass_context
def _replace(context: Context, value: object, old: object, new: object) -> str:
    text, found, instead = _text(context, value), _text(context, old), _text(context, new)
    purse_of(context).spend_characters(text.count(found) * len(instead))
    return text.replace(found, instead)


@jinja2.pass_context
def _join(context: Context, value: object, separator: object = "") -> str:
    if not isinstance(value, list | dict):
        raise InvalidTemplate("the filter join wants a list")
    purse = purse_of(context)
    between = _text(context, separator)
    purse.spend_characters(len(value) * (len(between) + 1))
    texts = [_text(context, item) for item in value]
    return between.join(texts)


@jinja2.pass_context
def _items(context: Context, value: object) -> list[object]:
    if not isinstance(value, dict):
        raise InvalidTemplate("the filter items wants a dict")
    purse_of(context).spend_characters(len(value))
    return list(value.items())


def _default(value: object, instead: object = "", is_empty_too: object = False) -> object:
    return instead if isinstance(value, jinja2.Undefined) or (is_empty_too and not value) else value


def _first(value: object) -> object:
    return _at_end(value, 0)


def _last(value: object) -> object:
    return _at_end(value, -1)


def _length(value: object) -> int:
    if not isinstance(value, str | list | dict):
        raise InvalidTemplate("the filter length wants a text, a list or a dict")
    return len(value)


def _round(value: object, places: object = 0) -> Number:
    digits = _whole(places)
    if not 0 <= digits <= PLACES_MAX:
        raise InvalidTemplate(f"the filter round wants 0 to {PLACES_MAX} places")
    match _number(value, "round"):
        case Decimal() as number:
            return round(number, digits)
        case number:
            return round(number, digits)


@jinja2.pass_context
def _date(context: Context, value: object, form: object = "%Y-%m-%d") -> str:
    return date_text(value, _text(context, form))


FILTERS: Final[dict[str, Callable[..., object]]] = {
    "capitalize": _capitalize,
    "date": _date,
    "default": _default,
    "first": _first,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": _lower,
    "replace": _replace,
    "round": _round,
    "title": _title,
    "trim": _trim,
    "truncate": _truncate,
    "upper": _upper,
}
INTERNAL: Final[dict[str, Callable[..., object]]] = {
    LOOP: _loop,
    CONCATENATION: _concatenation,
    COMPARISON: _comparison,
}
TESTS: Final[dict[str, Callable[..., bool]]] = {
    "defined": lambda value: not isinstance(value, jinja2.Undefined),
    "undefined": lambda value: isinstance(value, jinja2.Undefined),
    "none": lambda value: value is None,
    "even": lambda value: _whole(value) % 2 == 0,
    "odd": lambda value: _whole(value) % 2 == 1,
}


def _scalar(value: object, verb: str) -> Scalar:
    known = _known(value)
    if known is None or isinstance(known, str | int | float | Decimal | date):
        return known
    raise InvalidTemplate(f"it {verb} a {_kind(value)}")


def _text(context: Context, value: object) -> str:
    """*value* as text, paid for three times: a few letters become three in upper case."""
    text = str(_scalar(value, "filters"))
    purse_of(context).spend_characters(3 * len(text))
    return text


def _number(value: object, symbol: str) -> Number:
    if isinstance(value, int | float | Decimal):
        return checked_number(value)
    raise InvalidTemplate(f"{symbol} wants numbers, and is given a {_kind(value)}")


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise InvalidTemplate(f"a whole number is wanted, and not a {_kind(value)}")
    return value


def _at_end(value: object, index: int) -> object:
    if not isinstance(value, str | list) or not value:
        raise InvalidTemplate("the filters first and last want a text or a list that is not empty")
    return value[index]


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | list | dict) else 1


def _known(value: object) -> object:
    """*value* unless it is undefined. Raises `jinja2.UndefinedError` with the name of what is missing."""
    if isinstance(value, jinja2.Undefined):
        str(value)
    return value


def _kind(value: object) -> str:
    _known(value)
    return "text" if isinstance(value, str) else type(value).__name__
