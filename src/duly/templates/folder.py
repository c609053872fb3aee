"""The application's own templates: files below one folder, read and compiled when the application is put together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jinja2

from duly.errors import ConfigurationError, InvalidTemplate
from duly.ports.templates import MailText, fall_back_chain
from duly.templates.jinja import date_text, one_line, said_of

_TEXT: Final = ".txt"
_SUBJECT: Final = ".subject.txt"
_HTML: Final = ".html"


class FolderTemplates:
    """Templates in ``<folder>/<name>.txt``, ``.subject.txt`` and ``.html``; those of a locale in ``<folder>/de/…``.

    A file whose name begins with ``_`` is a part that others include or extend. Every value must be there that a
    template names. HTML is escaped, text is not.
    """

    def __init__(self, folder: str | Path) -> None:
        """Raises `ConfigurationError` with every file that is misplaced or malformed."""
        self._folder = Path(folder)
        sources, mistakes = _read(self._folder)
        self._environment = jinja2.Environment(
            loader=jinja2.DictLoader(sources),
            undefined=jinja2.StrictUndefined,
            autoescape=lambda name: name is not None and name.endswith(_HTML),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        self._environment.filters["date"] = date_text
        for path in sources:
            try:
                self._environment.get_template(path)
            except jinja2.TemplateSyntaxError as error:
                mistakes.append(f"{self._folder / path}: {said_of(error)}.")
        self._paths = frozenset(path for path in sources if not _is_part(path))
        mistakes += [f"{self._folder / path}: {what}" for path in sorted(self._paths) for what in self._lacks(path)]
        if mistakes:
            raise ConfigurationError(mistakes)

    async def text(self, name: str, *, tenant: str, locale: str | None, values: Mapping[str, object]) -> str:
        """The text *name*, the same for every tenant. Raises `InvalidTemplate`."""
        return self._render(self._find(name, _TEXT, locale), values)

    async def mail(self, name: str, *, tenant: str, locale: str | None, values: Mapping[str, object]) -> MailText:
        """The mail *name*. Text and HTML are of one locale. Raises `InvalidTemplate`."""
        text = self._find(name, _TEXT, locale)
        html = text.removesuffix(_TEXT) + _HTML
        return MailText(
            subject=one_line(self._render(self._find(name, _SUBJECT, locale), values)),
            text=self._render(text, values),
            html=self._render(html, values) if html in self._paths else None,
        )

    def _find(self, name: str, part: str, locale: str | None) -> str:
        looked_for = [_path(step, name, part) for step in fall_back_chain(locale)]
        for path in looked_for:
            if path in self._paths:
                return path
        raise InvalidTemplate(
            f"There is no template {name!r:.200} for locale {locale or 'default'}. Add one of these files in "
            f"{self._folder}: {', '.join(looked_for):.500}."
        )

    def _render(self, path: str, values: Mapping[str, object]) -> str:
        try:
            return self._environment.get_template(path).render(values)
        except Exception as error:
            raise InvalidTemplate(
                f"The template {self._folder / path} cannot be rendered: {said_of(error)}. Hand over every value that "
                "it names, or correct it."
            ) from error

    def _lacks(self, path: str) -> list[str]:
        """What a file needs beside it, so that no mail is a mixture of two languages."""
        locale, _, file = path.rpartition("/")
        found: list[str] = []
        if path.endswith(_HTML):
            text = path.removesuffix(_HTML) + _TEXT
            if text not in self._paths:
                found.append(f"the text form is missing. Add {text}.")
        elif not path.endswith(_SUBJECT) and path.removesuffix(_TEXT) + _HTML not in self._paths:
            html = file.removesuffix(_TEXT) + _HTML
            farther = [f"{step}/{html}" if step else html for step in fall_back_chain(locale or None)]
            if other := [each for each in farther if each in self._paths]:
                found.append(f"{other[0]} is the HTML form in another locale. Add {path.removesuffix(_TEXT)}{_HTML}.")
        return found


def _read(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The files of *folder* by their path in it, and what is wrong with them."""
    sources: dict[str, str] = {}
    mistakes: list[str] = []
    if not folder.is_dir():
        return sources, [f"{folder} is no folder. Make it, and put templates in it: order_placed.txt."]
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        path = file.relative_to(folder)
        if any(piece.startswith(".") for piece in path.parts):
            continue
        if not file.name.endswith((_TEXT, _HTML)):
            mistakes.append(f"{file} is no template. Name it *.txt, *.subject.txt or *.html, or move it elsewhere.")
        elif (locale := path.parent.as_posix()) != "." and not _is_locale(locale):
            mistakes.append(f'{file}: the folder {locale!r} is no locale in its usual form. Use "de" or "de-AT".')
        else:
            try:
                sources[path.as_posix()] = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                mistakes.append(f"{file} is not UTF-8. Save it as UTF-8.")
    return sources, mistakes


def _is_locale(folder: str) -> bool:
    try:
        return fall_back_chain(folder)[0] == folder
    except InvalidTemplate:
        return False


def _is_part(path: str) -> bool:
    return path.rpartition("/")[2].startswith("_")


def _path(locale: str, name: str, part: str) -> str:
    return f"{locale}/{name}{part}" if locale else f"{name}{part}"
