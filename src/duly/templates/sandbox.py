"""Renders templates that somebody else has written: restricted when parsed, sandboxed when compiled, limited when run.

Each of the three would hold most attacks alone. Nobody has to believe in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import jinja2
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from duly.errors import InvalidTemplate
from duly.templates.grammar import restricted
from duly.templates.jinja import said_of
from duly.templates.limits import TEMPLATE_CHARACTERS_MAX, Purse
from duly.templates.operations import FILTERS, INTERNAL, PURSE, TESTS, calculated, printed

COMPILED_TEMPLATES_MAX: Final = 256
"""How many parts of tenants' templates are kept compiled in one process."""

_OF_A_LOOP: Final = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})


class Sandbox:
    """Renders untrusted templates, and keeps the latest compiled."""

    def __init__(self) -> None:
        self._compiled = lru_cache(maxsize=COMPILED_TEMPLATES_MAX)(_compiled)

    def render(self, source: str, values: Mapping[str, object], *, html: bool) -> str:
        """*source* with plain *values*; with *html* they are escaped.

        Raises `InvalidTemplate`, whose text says what is wrong and quotes no value.
        """
        purse = Purse()
        pieces: list[str] = []
        try:
            for piece in self._compiled(source, html).generate({**values, PURSE: purse}):
                purse.spend_output(len(piece))
                pieces.append(piece)
        except InvalidTemplate:
            raise
        except Exception as error:
            raise InvalidTemplate(said_of(error)) from None
        return "".join(pieces)

    def check(self, source: str, *, html: bool) -> None:
        """Refuse what can never be rendered. Raises `InvalidTemplate`."""
        self._compiled(source, html)


class _Environment(ImmutableSandboxedEnvironment):
    """Knows dicts, lists and loops; no attribute of any object is within reach."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def getattr(self, obj: object, attribute: str) -> object:
        """``obj.attribute``: the item of a dict, or a number of a loop."""
        if isinstance(obj, LoopContext) and attribute in _OF_A_LOOP:
            value: object = getattr(obj, attribute)
            return value
        return self.getitem(obj, attribute)

    def getitem(self, obj: object, argument: object) -> object:
        """``obj[argument]``: of a dict, list or text."""
        if isinstance(obj, Undefined):
            str(obj)  # raises with the name of what is missing
        is_key = isinstance(obj, dict) and isinstance(argument, str | int)
        is_index = isinstance(obj, list | str | tuple) and isinstance(argument, int)
        if is_key or is_index:
            try:
                item: object = obj[argument]  # type: ignore[index]
            except LookupError:
                return self.undefined(f"there is no {argument!r:.60} in it", name=str(argument))
            return item
        return self.undefined(f"there is no {argument!r:.60} in a {type(obj).__name__}", name=str(argument))

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """None is."""
        return False

    def is_safe_callable(self, obj: object) -> bool:
        """None is."""
        return False

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """``left operator right``, limited."""
        return calculated(context, operator, left, right)

    def call(self, __context: Context, __obj: object, *args: object, **kwargs: object) -> object:
        """Never."""
        raise jinja2.exceptions.SecurityError("a template calls nothing")


def _compiled(source: str, html: bool) -> jinja2.Template:
    if len(source) > TEMPLATE_CHARACTERS_MAX:
        raise InvalidTemplate(f"it has {len(source):,} characters; the limit is {TEMPLATE_CHARACTERS_MAX:,}")
    environment = _environment(html)
    try:
        return environment.from_string(restricted(environment.parse(source)))
    except InvalidTemplate:
        raise
    except Exception as error:
        raise InvalidTemplate(said_of(error)) from None


@lru_cache(maxsize=2)
def _environment(html: bool) -> _Environment:
    # Not optimized: nothing of a template is evaluated while it is compiled.
    environment = _Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printed,
        optimized=False,
        cache_size=0,
    )
    environment.filters = {**FILTERS, **INTERNAL}
    environment.tests = dict(TESTS)
    environment.globals = {}
    return environment
