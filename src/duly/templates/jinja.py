"""Jinja2, as both keepers use it."""

from __future__ import annotations

from datetime import date
from typing import Final

import jinja2

from duly.errors import InvalidTemplate

_DATE_MARKS: Final = frozenset("dmYyHMS")


def one_line(subject: str) -> str:
    """*subject* on one line: every line break and control character would begin a new header of the mail."""
    spaced = "".join(" " if character < " " or "\x7f" <= character <= "\x9f" else character for character in subject)
    return " ".join(spaced.split())


def date_text(value: object, form: str = "%Y-%m-%d") -> str:
    """The filter ``date``: a date or time as text. *form* knows %d %m %Y %y %H %M %S, and nothing of the host's locale.

    Raises `InvalidTemplate`: C libraries take more, such as a width of a thousand million characters.
    """
    if not isinstance(value, date):
        raise InvalidTemplate("the filter date wants a date")
    pieces = form.split("%")
    if any(not piece or piece[0] not in _DATE_MARKS for piece in pieces[1:]):
        raise InvalidTemplate("the filter date knows %d %m %Y %y %H %M %S")
    return pieces[0] + "".join(value.strftime(f"%{piece[0]}") + piece[1:] for piece in pieces[1:])


def said_of(error: Exception) -> str:
    """What an error of a template says, without the values that it was given."""
    match error:
        case jinja2.TemplateSyntaxError():
            return f"line {error.lineno}: {error.message}"
        case jinja2.TemplateNotFound():
            return f"there is no {error.name!r}"
        case jinja2.UndefinedError() | InvalidTemplate():
            return str(error)
        case RecursionError():
            return "it is nested too deep"
        case _:
            # The text of any other error may quote what is personal.
            return type(error).__name__
