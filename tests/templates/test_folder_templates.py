"""The application's own templates: found by locale, complete, checked when the application is put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from duly.errors import ConfigurationError, InvalidInput, InvalidTemplate
from duly.ports.templates import MailText, fall_back_chain
from duly.templates.folder import FolderTemplates

MAIL = {
    "order_placed.subject.txt": "Your order {{ order_id }}",
    "order_placed.txt": "Hello {{ name }},\n{% if gift %}\nwith a gift\n{% endif %}\nthank you.\n",
    "order_placed.html": "<p>Hello {{ name }}</p>",
    "de/order_placed.subject.txt": "Ihre Bestellung {{ order_id }}",
    "de/order_placed.txt": "Guten Tag {{ name }}",
    "de/order_placed.html": "<p>Guten Tag {{ name }}</p>",
}
VALUES = {"order_id": "42", "name": "Ann & <Bob>", "gift": True}


def folder(path: Path, files: dict[str, str]) -> FolderTemplates:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return FolderTemplates(path)


async def mail(templates: FolderTemplates, locale: str | None, **changes: object) -> MailText:
    return await templates.mail("order_placed", tenant="acme", locale=locale, values={**VALUES, **changes})


async def test_a_mail_has_a_subject_a_text_and_an_html_form_of_which_only_html_is_escaped(tmp_path: Path) -> None:
    assert await mail(folder(tmp_path, MAIL), None) == MailText(
        subject="Your order 42",
        text="Hello Ann & <Bob>,\nwith a gift\nthank you.",
        html="<p>Hello Ann &amp; &lt;Bob&gt;</p>",
    )


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("de", "Ihre Bestellung 42"),
        ("de-AT", "Ihre Bestellung 42"),
        ("DE_at", "Ihre Bestellung 42"),
        ("de-Latn-AT", "Ihre Bestellung 42"),
        ("fr", "Your order 42"),
        (None, "Your order 42"),
    ],
)
async def test_a_locale_falls_back_to_its_language_and_then_to_the_default(
    tmp_path: Path, locale: str | None, subject: str
) -> None:
    assert (await mail(folder(tmp_path, MAIL), locale)).subject == subject


async def test_a_region_may_change_one_text_and_leave_the_subject_to_its_language(tmp_path: Path) -> None:
    austrian = {"de-AT/order_placed.txt": "Grüß Gott {{ name }}", "de-AT/order_placed.html": "<p>Grüß Gott</p>"}
    found = await mail(folder(tmp_path, {**MAIL, **austrian}), "de-AT")
    assert (found.subject, found.text, found.html) == (
        "Ihre Bestellung 42",
        "Grüß Gott Ann & <Bob>",
        "<p>Grüß Gott</p>",
    )


@pytest.mark.parametrize(
    ("locale", "chain"),
    [
        (None, ("",)),
        ("de", ("de", "")),
        ("DE_at", ("de-AT", "de", "")),
        ("ZH-hant-tw", ("zh-Hant-TW", "zh-Hant", "zh", "")),
        ("en-a-bbb-x-ccc", ("en-a-bbb-x-ccc", "en-a-bbb", "en", "")),
    ],
)
def test_a_locale_is_shortened_as_rfc_4647_looks_up(locale: str | None, chain: tuple[str, ...]) -> None:
    assert fall_back_chain(locale) == chain


@pytest.mark.parametrize("locale", ["", "d", "../de", "de/AT", "de-", "de AT", "de\n", "x" * 36, "de-123456789"])
async def test_a_locale_that_is_none_is_refused(tmp_path: Path, locale: str) -> None:
    with pytest.raises(InvalidTemplate, match="is no locale"):
        await mail(folder(tmp_path, MAIL), locale)


async def test_a_text_has_no_subject_and_needs_none(tmp_path: Path) -> None:
    templates = folder(tmp_path, {"order_placed.sms.txt": "We have your order {{ order_id }}."})
    text = await templates.text("order_placed.sms", tenant="acme", locale="de", values=VALUES)
    assert text == "We have your order 42."


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r", "\u2028", "\x0b", "\x85"])
async def test_a_subject_is_one_line_whatever_is_put_into_it(tmp_path: Path, break_: str) -> None:
    found = await mail(folder(tmp_path, MAIL), None, order_id=f"42{break_}Bcc: eve@example.com\x00")
    assert found.subject == "Your order 42 Bcc: eve@example.com"


async def test_a_missing_template_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"de-AT/lost\.txt, de/lost\.txt, lost\.txt"):
        await folder(tmp_path, MAIL).text("lost", tenant="acme", locale="de-AT", values={})


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "_layout", "de/order_placed", ""])
async def test_a_name_leads_out_of_no_folder_and_into_no_part(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    templates = folder(tmp_path / "templates", {**MAIL, "_layout.txt": "part"})
    if name == "de/order_placed":
        name = "fr/../de/order_placed"
    with pytest.raises(InvalidTemplate, match="There is no template"):
        await templates.text(name, tenant="acme", locale=None, values=VALUES)


async def test_a_missing_value_is_named_and_parks_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'name' is undefined"):
        await folder(tmp_path, MAIL).mail("order_placed", tenant="acme", locale=None, values={"order_id": "42"})


async def test_an_error_inside_a_template_quotes_no_value(tmp_path: Path) -> None:
    templates = folder(tmp_path, {"note.txt": "{{ (name ~ '!') | int(default=none) + 1 }}{{ name.nothing() }}"})
    with pytest.raises(InvalidTemplate) as refused:
        await templates.text("note", tenant="acme", locale=None, values=VALUES)
    assert "Ann" not in str(refused.value)


async def test_templates_share_a_layout_in_a_file_with_an_underscore(tmp_path: Path) -> None:
    files = {
        "_layout.html": "<body>{% block content %}{% endblock %}</body>",
        "de/_greeting.txt": "Guten Tag {{ name }}",
        "note.txt": "{% include 'de/_greeting.txt' %}!",
        "note.html": "{% extends '_layout.html' %}{% block content %}{{ name }}{% endblock %}",
        "note.subject.txt": "Note",
    }
    found = await folder(tmp_path, files).mail("note", tenant="acme", locale=None, values=VALUES)
    assert (found.text, found.html) == ("Guten Tag Ann & <Bob>!", "<body>Ann &amp; &lt;Bob&gt;</body>")


@pytest.mark.parametrize(
    ("files", "mistake"),
    [
        ({"note.txt": "{% if %}"}, "note.txt: line 1: Expected an expression"),
        ({"_part.txt": "{{ x"}, "_part.txt: line 1"),
        ({"note.htm": "x"}, "note.htm is no template"),
        ({"german/note.txt": "x", "DE/note.txt": "x"}, "the folder 'DE' is no locale in its usual form"),
        ({"de/mails/note.txt": "x"}, "the folder 'de/mails' is no locale"),
        ({"note.html": "x"}, "note.html: the text form is missing. Add note.txt"),
        (
            {"note.txt": "x", "note.html": "x", "de/note.txt": "x"},
            "note.html is the HTML form in another locale. Add de/note.html",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_the_start(
    tmp_path: Path, files: dict[str, str], mistake: str
) -> None:
    with pytest.raises(ConfigurationError, match=mistake):
        folder(tmp_path, files)


def test_all_mistakes_are_said_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        folder(tmp_path, {"a.txt": "{{", "b.htm": "x", "c.html": "x"})
    assert len(refused.value.mistakes) == 3


def test_a_folder_that_is_none_is_said_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no folder"):
        FolderTemplates(tmp_path / "nowhere")


def test_a_file_that_is_not_utf_8_is_said_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        FolderTemplates(tmp_path)
