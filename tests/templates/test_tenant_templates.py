"""What a tenant may write: values, conditions, loops, a few filters; and whose text goes before whose."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from duly.errors import InvalidInput, InvalidTemplate
from duly.ports.templates import MailText
from duly.templates.folder import FolderTemplates
from duly.templates.tenant import MemoryTenantTexts, TenantTemplate, TenantTemplates
from tests.templates.rendering import VALUES, refusal, render


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {{ name }}!", "Hello Ann <ann@example.com>!"),
        ("{{ order.id }} {{ order['id'] }} {{ order.lines[0].article }}", "42 42 Tea"),
        ("{% for line in order.lines %}{{ loop.index }}. {{ line.count * line.price }}{% endfor %}", "1. 9.90"),
        ("{% for a in [1, 2, 3] %}{{ a }}{% if not loop.last %}, {% endif %}{% endfor %}", "1, 2, 3"),
        ("{% for key, n in order.lines[0]|items %}{{ key }}={{ n }} {% endfor %}", "article=Tea count=2 price=4.95 "),
        ("{% for a in many if a < 3 %}{{ a }}{% else %}none{% endfor %}", "012"),
        ("{% if count > 2 and name %}many{% elif count == 1 %}one{% else %}few{% endif %}", "many"),
        ("{{ 'x' if count in [1, 2] else 'y' }}{{ 'z' if 'Ann' in name }}", "yz"),
        ("{{ 1 < count <= 3 }} {{ count not in [3] }} {{ count is odd }}", "True False True"),
        ("{{ missing is defined }} {{ missing|default('–') }} {{ order.zip|default('none') }}", "False – none"),
        ("{{ order.id ~ '/' ~ count }} {{ 'a' + 'b' }} {{ count + 1 - 2 * 3 // 4 % 5 }}", "42/3 ab 3"),
        ("{% set total = count * 2 %}{{ total }} {{ -total }}", "6 -6"),
        ("{{ placed_on }} {{ placed_on|date('%d.%m.%Y') }}", "2026-05-04 04.05.2026"),
        ("{{ 'ann'|upper }} {{ 'ANN'|lower }} {{ 'ann b'|title }} {{ 'ann'|capitalize }}", "ANN ann Ann B Ann"),
        ("{{ 'abc'|first }}{{ 'abc'|last }}{{ 'abc'|length }}{{ ' a '|trim }}", "ac3a"),
        ("{{ 'a-b'|replace('-', '+') }} {{ 'abcdef'|truncate(4) }} {{ 'abcd'|truncate(4, '!') }}", "a+b abc… abcd"),
        ("{{ [1, 2]|join(', ') }} {{ 2.345|round(1) }} {{ order.lines[0].price|round(1) }}", "1, 2 2.3 5.0"),
        ("{# a note to myself #}{% raw %}{{ {% endraw %}", "{{ "),
        ("first\n  {% if count %}\nsecond\n  {% endif %}\nthird\n", "first\nsecond\nthird"),
    ],
)
async def test_a_tenants_template_says_what_it_is_written_for(text: str, expected: str) -> None:
    assert await render(text) == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ order.zip }}", "there is no 'zip' in it"),
        ("{{ missing|upper }}", "'missing' is undefined"),
        ("{% for a in missing %}{% endfor %}", "'missing' is undefined"),
        ("{{ missing > 1 }}", "'missing' is undefined"),
        ("{{ missing.deeper }}", "'missing' is undefined"),
        ("{{ missing + 1 }}", "'missing' is undefined"),
        ("{{ name", "line 1: unexpected end of template"),
        ("one\ntwo {{ name|shout }}", "line 2: No filter named 'shout'"),
        ("{{ order }}", "it prints a dict"),
        ("{{ order.id.upper }}", "there is no 'upper' in a str"),
        ("{{ name + count }}", r"\+ wants numbers, and is given a text"),
        ("{% for letter in name %}{% endfor %}", "it loops over a text"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ],
)
async def test_a_tenant_is_told_what_is_wrong_without_a_value_being_quoted(text: str, what: str) -> None:
    said = await refusal(text)
    assert re.search(what, said)
    assert "Ann" not in said
    assert said.startswith("'note' of tenant acme, text, cannot be rendered: ")


async def test_html_is_escaped_and_nothing_can_switch_that_off() -> None:
    templates = TenantTemplates(MemoryTenantTexts())
    markup = {"name": Markup("<script>"), "items": ["<b>"]}
    html = "{{ name }}{{ '<i>' }}{{ items|join }}{{ '<' ~ name }}{{ name|upper }}{{ items[0]|default('') }}"
    found = await templates.preview(TenantTemplate(text="{{ name }}", html=html), markup)
    assert (found.text, "<" in (found.html or "<")) == ("<script>", False)
    for attempt in ("{{ name|safe }}", "{% autoescape false %}{{ name }}{% endautoescape %}", "{{ name|escape }}"):
        with pytest.raises(InvalidTemplate):
            await templates.preview(TenantTemplate(text="x", html=attempt), markup)


async def test_values_are_copied_plain_so_that_nothing_else_is_within_reach() -> None:
    values: dict[str, Any] = {
        "colour": Colour.RED,
        "markup": Markup("<b>"),
        "at": datetime(2026, 5, 4, 3, 2),
        "tuple": (1,),
    }
    assert await render("{{ colour }} {{ markup }} {{ at }} {{ tuple[0] }}", values) == "red <b> 2026-05-04 03:02:00 1"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "is a object"),
        (print, "is a builtin_function_or_method"),
        (sys, "is a module"),
        ([{"deep": {1, 2}}], r"The value value\[0\]\.deep is a set"),
        (b"bytes", "is a bytes"),
        (float("nan"), "not finite"),
        (Decimal("Infinity"), "not finite"),
        (10**30, "more than 30 digits"),
        (Decimal("1E+999999"), "more than 30 digits"),
        ("x" * 200_001, "more than 200,000 characters"),
        ([0] * 10_001, "more than 10,000 values"),
    ],
)
async def test_a_value_that_is_not_plain_is_refused_by_its_name(value: object, what: str) -> None:
    with pytest.raises(InvalidTemplate, match=what):
        await render("x", {"value": value})


async def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "deeper than 10 levels" in await refusal("x", {"endless": endless})


@pytest.fixture
def shop(tmp_path: Path) -> FolderTemplates:
    (tmp_path / "order.txt").write_text("Thank you, {{ name }}.")
    (tmp_path / "order.html").write_text("<p>Thank you</p>")
    (tmp_path / "order.subject.txt").write_text("Order {{ order.id }}")
    (tmp_path / "de").mkdir()
    (tmp_path / "de/order.txt").write_text("Danke, {{ name }}.")
    (tmp_path / "de/order.html").write_text("<p>Danke</p>")
    (tmp_path / "de/order.subject.txt").write_text("Bestellung {{ order.id }}")
    return FolderTemplates(tmp_path)


async def test_a_tenant_without_a_text_of_its_own_gets_the_applications(shop: FolderTemplates) -> None:
    templates = TenantTemplates(MemoryTenantTexts(), fall_back=shop)
    found = await templates.mail("order", tenant="acme", locale="de-AT", values=VALUES)
    assert (found.subject, found.html) == ("Bestellung 42", "<p>Danke</p>")
    assert await templates.text("order", tenant="acme", locale=None, values=VALUES) == f"Thank you, {VALUES['name']}."


async def test_what_a_tenant_has_written_goes_before_and_concerns_no_other_tenant(shop: FolderTemplates) -> None:
    texts = MemoryTenantTexts()
    texts.put(
        "acme", "order", TenantTemplate(subject="Yours,\n{{ name }}", text="Hi {{ count }}", html="<b>{{ name }}</b>")
    )
    templates = TenantTemplates(texts, fall_back=shop)
    assert await templates.mail("order", tenant="acme", locale="de", values=VALUES) == MailText(
        subject="Yours, Ann <ann@example.com>", text="Hi 3", html="<b>Ann &lt;ann@example.com&gt;</b>"
    )
    assert (await templates.mail("order", tenant="globex", locale="de", values=VALUES)).subject == "Bestellung 42"


async def test_a_tenants_own_locales_fall_back_as_the_applications_do() -> None:
    texts = MemoryTenantTexts()
    texts.put("acme", "note", TenantTemplate(text="default"))
    texts.put("acme", "note", TenantTemplate(text="Deutsch"), locale="de")
    texts.put("acme", "note", TenantTemplate(text="Österreich"), locale="de_at")
    templates = TenantTemplates(texts)
    locales = ["de-AT", "de-CH", "fr", None]
    found = [await templates.text("note", tenant="acme", locale=locale, values={}) for locale in locales]
    assert found == ["Österreich", "Deutsch", "default", "default"]


async def test_a_tenants_text_without_html_is_not_sent_beside_html_of_the_application(shop: FolderTemplates) -> None:
    texts = MemoryTenantTexts()
    texts.put("acme", "order", TenantTemplate(text="Only this"))
    found = await TenantTemplates(texts, fall_back=shop).mail("order", tenant="acme", locale=None, values=VALUES)
    assert found == MailText(subject="Order 42", text="Only this", html=None)


async def test_without_anything_to_fall_back_on_a_missing_template_is_said() -> None:
    templates = TenantTemplates(MemoryTenantTexts())
    with pytest.raises(InvalidInput, match="no template 'order'"):
        await templates.mail("order", tenant="acme", locale=None, values={})


async def test_values_that_a_tenants_template_could_not_have_are_refused_before_any_tenant_edits(
    shop: FolderTemplates,
) -> None:
    with pytest.raises(InvalidTemplate, match="The value order is a object"):
        await TenantTemplates(MemoryTenantTexts(), fall_back=shop).text(
            "order", tenant="acme", locale=None, values={"name": "Ann", "order": object()}
        )


async def test_who_edits_a_template_sees_what_comes_of_it_or_why_nothing_does() -> None:
    templates = TenantTemplates(MemoryTenantTexts())
    found = await templates.preview(
        TenantTemplate(subject="{{ name }}", text="{{ on|date }}"), {"name": "Ann", "on": date(2026, 5, 4)}
    )
    assert found == MailText(subject="Ann", text="2026-05-04")
    with pytest.raises(InvalidTemplate, match="The template, HTML, cannot be rendered: line 3"):
        await templates.preview(TenantTemplate(text="x", html="1\n2\n{% if"), {})


@pytest.mark.parametrize("module", ["duly.templates.folder", "duly.templates.tenant"])
def test_without_jinja_the_error_names_the_extra_that_brings_it(module: str) -> None:
    code = f"import sys; sys.modules['jinja2'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "ConfigurationError" in done.stderr
    assert "pip install 'duly[templates]'" in done.stderr
