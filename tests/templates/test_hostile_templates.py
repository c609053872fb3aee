"""Templates that want out, or want everything: each is refused, soon, and reaches nothing.

Escapes as they are collected for Jinja2 (HackTricks, PayloadsAllTheThings, the CVEs of its sandbox), and bombs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from duly.errors import InvalidTemplate
from duly.templates.limits import OUTPUT_CHARACTERS_MAX, TEMPLATE_CHARACTERS_MAX
from duly.templates.sandbox import Sandbox
from duly.templates.tenant import MemoryTenantTexts, TenantTemplate, TenantTemplates
from tests.templates.rendering import VALUES, refusal, render

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''['__cla' ~ 'ss__'] }}",
    "{{ '' | attr('__class__') }}",
    "{{ [] | map(attribute='__class__') | list }}",
    "{{ many | sort(attribute='__class__') }}",
    "{{ many | groupby('__class__') }}",
    "{{ name.__init__.__globals__.os.popen('id').read() }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__.__globals__.__builtins__ }}",
    "{{ self }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ config }}",
    "{{ request.application.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ dict(a=1) }}",
    "{{ namespace(a=1) }}",
    "{{ (lambda: 1)() }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ '{a.__class__}'.format_map({'a': name}) }}",
    "{{ ('%s'.__class__).format }}",
    "{{ '{0.__class__.__init__.__globals__}' | format(name) }}",
    "{{ '%(x)s' % {'x': name} }}",
    "{{ '%s' % name }}",
    "{{ ['{.__class__}'] | map('format', name) | list }}",
    "{{ 'x' | xmlattr }}",
    "{% set f = ''.format %}{{ f }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ varargs }}{% endmacro %}{{ m.__globals__ }}",
    "{% call(x) name() %}{% endcall %}",
    "{% block a %}{{ self.a() }}{% endblock %}",
    "{% include 'order.txt' %}",
    "{% include '/etc/passwd' %}",
    "{% extends 'order.txt' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% from 'os' import popen %}",
    "{% import name as n %}",
    "{% with a = name %}{{ a.__class__ }}{% endwith %}",
    "{% filter upper %}{{ name }}{% endfilter %}",
    "{% set a %}{{ name }}{% endset %}",
    "{% set order.id = 1 %}",
    "{% do many.append(1) %}",
    "{% for a in many recursive %}{{ loop(a) }}{% endfor %}",
    "{% for a in [1] %}{{ loop.__class__ }}{% endfor %}",
    "{% for a in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% for a in [1] %}{{ loop.cycle('a') }}{% endfor %}",
    "{% for a in [1] %}{{ loop }}{% endfor %}",
    "{% for a in [1] %}{{ loop['__class__'] }}{% endfor %}",
    "{{ name.upper }}",
    "{{ name.upper() }}",
    "{{ many.append(1) }}",
    "{{ order.clear() }}",
    "{{ order.items }}",
    "{{ placed_on.__reduce__ }}",
    "{{ placed_on.strftime('%d') }}",
    "{{ count.real.__class__ }}",
    "{{ count.to_bytes }}",
    "{{ _ }}",
    "{{ __import__('os') }}",
    "{{ __builtins__ }}",
    "{{ (order, many) }}",
    "{{ {'a': order} }}",
    "{{ many[0:2] }}",
    "{{ missing.__class__ }}",
    "{{ missing is sameas(name) }}",
    "{{ name | tojson }}",
    "{{ name | pprint }}",
    "{{ name | urlize }}",
    "{{ many | random }}",
    "{{ many | select('eq', 1) | list }}",
    "{{ name is callable }}",
    "{{ 'upper' is filter }}",
    "{{ name | a loop(1) }}",
    "{{ the purse }}",
    "{{ name | upper(*many) }}",
    "{{ name | upper(**order) }}",
    "{% autoescape false %}{{ name }}{% endautoescape %}",
    "{% debug %}",
    "{% trans %}x{% endtrans %}",
    "{% break %}",
]
BOMBS = [
    "{% for i in range(10 ** 9) %}{% endfor %}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10 ** 9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 1000000000 * 'a' }}",
    "{{ many * 1000000 }}",
    "{{ many + many }}",
    "{{ [0] * 1000000000 }}",
    "{{ count ** 1000000000 }}",
    "{{ 2 ** 2 ** 2 ** 2 ** 2 ** 2 }}",
    "{% set x = 9 %}" + "{% set x = x * x %}" * 200 + "{{ x }}",
    "{% set x = 1.5 %}" + "{% set x = x * x %}" * 200 + "{{ x }}",
    "{% set x = 'a' %}" + "{% set x = x ~ x %}" * 200 + "{{ x }}",
    "{% set x = 'a' %}" + "{% set x = x + x %}" * 200 + "{{ x }}",
    "{% set x = [1] %}" + "{% set x = [x, x] %}" * 200 + "{{ x }}",
    "{% set x = 'aa' %}" + "{% set x = x|replace('a', x) %}" * 50 + "{{ x }}",
    "{{ long | replace('', long) }}",
    "{{ many | join(long) }}",
    "{{ long }}" * 20,
    "{% for a in many %}{{ long }}{% endfor %}",
    "{% for a in many %}{{ long | upper | length }}{% endfor %}",
    "{% for a in many %}{% if a in many %}{% endif %}{% endfor %}",
    "{% for a in many %}{% if 'xxxxxy' in long %}{% endif %}{% endfor %}",
    "{% for a in many %}{% if long == long %}{% endif %}{% endfor %}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ name | center(1000000000) }}",
    "{{ name | indent(1000000000) }}",
    "{{ name.ljust(1000000000) }}",
    "{{ name | wordwrap(1) }}",
    "{{ many | batch(1, name) | list }}",
    "{{ many | slice(1000000000) | list }}",
    "{{ lipsum(n=1000000) }}",
    "{{ placed_on | date('%1000000000d') }}",
    "{{ placed_on | date('%-1000000000Y') }}",
    "{{ 1.5 | round(1000000000) }}",
    "{{ 1.5 | round(-1000000000) }}",
    "{{ " + "9" * 40_000 + " }}",
    "{{ 1e999 - 1e999 }}",
    "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "{{ " + "[" * 20_000,
    "{{ " + "{1:" * 10_000,
    "{{ " + "not " * 10_000 + "1 }}",
    "{{ " + "-" * 40_000 + "1 }}",
    "{{ " + "1+" * 20_000 + "1 }}",
    "{{ " + "1 if 1 else " * 3_000 + "1 }}",
    "{{ name" + "|upper" * 5_000 + " }}",
    "{{ " + ",".join(["name"] * 9_000) + " }}",
    "{% if 1 %}" * 4_000,
    "{% if 1 %}" + "{% elif 1 %}" * 3_000 + "{% endif %}",
    "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
    "{{ 1 }}" * 7_000,
    "{{" * 20_000,
    "{#" * 20_000,
    "{% raw %}" * 5_000,
    "{{ '" + "\\" * 49_000,
    "x" * (TEMPLATE_CHARACTERS_MAX + 1),
]


@pytest.fixture
def reached() -> Iterator[list[str]]:
    """What the interpreter was asked for meanwhile that a template has no business with."""
    import_module("jinja2.debug")  # jinja2 imports it at its first error, and the template would be blamed
    seen: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith(("os.", "subprocess.", "socket.", "ctypes.", "shutil.", "import", "open")):
            seen.append(f"{event} {arguments!r:.100}")

    # Python has no way to remove an audit hook: this one falls asleep.
    sys.addaudithook(watch)
    yield seen
    watching = False


@pytest.mark.timeout(20)
@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("template", [*ESCAPES, *BOMBS], ids=lambda template: repr(template[:60]))
def test_a_hostile_template_is_refused_soon_and_reaches_nothing(template: str, html: bool, reached: list[str]) -> None:
    sandbox = Sandbox()
    reached.clear()
    with pytest.raises(InvalidTemplate) as refused:
        sandbox.render(template, VALUES, html=html)
    assert reached == []
    assert "Ann" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "template",
    [
        "{% for a in many %}{{ a }}{% endfor %}",
        "{% for a in many %}{% if a is odd %}{{ a ~ a }}{% endif %}{% endfor %}",
        "{{ name }}" * 900,
        "{{ name|upper|lower|title|trim|truncate(10) }}" * 280,
    ],
)
async def test_the_most_that_is_allowed_is_done_soon_too(template: str) -> None:
    assert await render(template)


async def test_output_ends_at_its_limit_while_it_is_made() -> None:
    assert f"more than {OUTPUT_CHARACTERS_MAX:,} characters" in await refusal("{{ long }}{{ long }}")
    assert len(await render("{{ long }}")) == OUTPUT_CHARACTERS_MAX


async def test_no_rendering_inherits_what_another_has_spent() -> None:
    for _ in range(30):
        assert len(await render("{{ long }}")) == OUTPUT_CHARACTERS_MAX


async def test_no_template_changes_the_values_that_the_next_part_sees() -> None:
    template = TenantTemplate(subject="{% set count = 9 %}{{ count }}", text="{{ count }}", html="{{ count }}")
    found = await TenantTemplates(MemoryTenantTexts()).preview(template, VALUES)
    assert (found.subject, found.text, found.html) == ("9", "3", "3")
