"""A golden corpus: messages as they were stored by every version of the code so far, to be read by today's.

A folder holds ``envelopes/NAME.vVERSION.json``, one stored row each, never changed; and ``values/`` beside it: what
today's code reads in each. `write_corpus` adds what is missing, and `check_corpus` is one test::

    def test_every_message_that_was_ever_stored_can_be_read() -> None:
        check_corpus(Path("tests/golden"), MODULES, command="python -m tests.golden")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

import msgspec

from duly.errors import ConfigurationError, DulyError
from duly.messages.catalog import Catalog
from duly.messages.message import Message
from duly.testing.corpus_rows import Read, StoredRow, stored_row, stored_types
from duly.work.module import Module
from duly.work.upcasts import gather_upcasters

_COMMAND: Final = "duly.testing.golden.write_corpus"

Place: TypeAlias = tuple[str, int]
"""A stored name and a version."""


class CorpusBroken(AssertionError):
    """The corpus is not read as it was recorded, or lacks something; `mistakes` holds each with its cure."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes: tuple[str, ...] = tuple(mistakes)
        super().__init__("\n\n".join(self.mistakes))


def check_corpus(
    folder: Path, modules: Sequence[Module], *, also: Iterable[type[Message]] = (), command: str = _COMMAND
) -> int:
    """Read every envelope of the corpus with today's code, and compare; how many were read.

    Each type of command, domain event and public event that *modules* name, and those of *also*, must have an envelope
    of every version from 1 on. Envelopes of types that are gone must be readable, too, until nothing is stored of them.
    *command* is what the errors name to add what is missing. Raises `CorpusBroken` with everything that was found.
    """
    types = stored_types(modules, also)
    catalog = _catalog(modules, types)
    rows = _rows(folder)
    mistakes = [_lacking(place, types, command) for place in _missing(types, rows)]
    for path, row in rows.items():
        mistakes += _misread(path, row, catalog, command)
    if mistakes:
        raise CorpusBroken(mistakes)
    return len(rows)


def write_corpus(
    folder: Path, modules: Sequence[Module], samples: Iterable[Message], *, also: Iterable[type[Message]] = ()
) -> tuple[Path, ...]:
    """Add an envelope for every type's present version that has none, made of its sample; the files written.

    An envelope that is there is never changed. A recorded value is recorded anew only when the type or version that is
    read has moved on, so that a reader that has changed under the same version stays a mistake.
    Raises `CorpusBroken`: there is no sample of a type, an older version was never recorded, or a value differs.
    """
    types = stored_types(modules, also)
    catalog = _catalog(modules, types)
    by_type = {type(sample): sample for sample in samples}
    written: list[Path] = []
    mistakes: list[str] = []
    for name, version in _missing(types, _rows(folder)):
        cls = next(cls for cls in types if cls.__duly__.name == name)
        if version < cls.__duly__.version:
            mistakes.append(_lacking((name, version), types, _COMMAND))
        elif cls not in by_type:
            mistakes.append(f"There is no sample of {name}, version {version}. Add one to the samples.")
        else:
            path = folder / "envelopes" / f"{quote(name, safe=' ')}.v{version}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(_pretty(stored_row(catalog, by_type[cls])))
            written.append(path)
    for path, row in _rows(folder).items():
        value = _value_of(path)
        try:
            read = _read(catalog, row)
        except DulyError as error:
            mistakes.append(f"{path.name} cannot be read: {error}")
            continue
        if not value.exists() or _places(_recorded(value)) != _places(read):
            value.parent.mkdir(parents=True, exist_ok=True)
            value.write_text(_pretty(read), encoding="utf-8")
            written.append(value)
        else:
            mistakes += _differing(path, _recorded(value), read)
    if mistakes:
        raise CorpusBroken(mistakes)
    return tuple(written)


def _catalog(modules: Sequence[Module], types: Iterable[type[Message]]) -> Catalog:
    upcasters, mistakes = gather_upcasters(modules)
    if mistakes:
        raise ConfigurationError(mistakes)
    return Catalog({cls: upcasters.get(cls, {}) for cls in types})


def _rows(folder: Path) -> dict[Path, StoredRow]:
    return {
        path: msgspec.json.decode(path.read_bytes(), type=StoredRow)
        for path in sorted((folder / "envelopes").glob("*.json"))
    }


def _missing(types: Iterable[type[Message]], rows: dict[Path, StoredRow]) -> Iterator[Place]:
    there = {(row.name, row.version) for row in rows.values()}
    for cls in types:
        names = (cls.__duly__.name, *cls.__duly__.formerly)
        for version in range(1, cls.__duly__.version + 1):
            if there.isdisjoint((name, version) for name in names):
                yield cls.__duly__.name, version


def _lacking(place: Place, types: Iterable[type[Message]], command: str) -> str:
    name, version = place
    present = next(cls.__duly__.version for cls in types if cls.__duly__.name == name)
    if version < present:
        return (
            f"{name} has no envelope of version {version}, and this code writes version {present}. Only the code that "
            f"wrote version {version} can add it: check that one out, and run there: {command}"
        )
    return f"{name} has no envelope of version {version}. Add a sample of it, then run: {command}"


def _misread(path: Path, row: StoredRow, catalog: Catalog, command: str) -> Iterator[str]:
    try:
        read = _read(catalog, row)
    except DulyError as error:
        yield f"{path.name} cannot be read: {error}"
        return
    value = _value_of(path)
    if not value.exists():
        yield f"{path.name} has no value recorded. Run: {command}"
        return
    recorded = _recorded(value)
    if _places(recorded) == _places(read):
        yield from _differing(path, recorded, read)
    else:
        yield (
            f"{path.name} is {_listed(read)} today, and was recorded as {_listed(recorded)}. If it shall be, run: "
            f"{command}, and look at what it changes in {value.parent.name}/{value.name}."
        )


def _differing(path: Path, recorded: Sequence[Read], read: Sequence[Read]) -> Iterator[str]:
    """What was recorded and is another today. A field that has been added since, with its default, is none of it."""
    for before, today in zip(recorded, read, strict=True):
        for field, value in before.fields.items():
            if field not in today.fields or today.fields[field] != value:
                yield (
                    f"{path.name}: {field} of {before.type} is read as {today.fields.get(field)!r}, and was recorded "
                    f"as {value!r} under the same version. Raise the version of {before.type} and write an upcaster; "
                    f"if the recorded value was wrong, delete values/{path.name} and write it anew."
                )


def _read(catalog: Catalog, row: StoredRow) -> list[Read]:
    found: list[Read] = []
    for message in catalog.decode_all(row.envelope()):
        facts = type(message).__duly__
        fields = msgspec.json.decode(catalog.codec(type(message)).encode_whole(message), type=dict[str, object])
        found.append(Read(facts.name, facts.version, fields))
    return found


def _value_of(path: Path) -> Path:
    return path.parents[1] / "values" / path.name


def _recorded(path: Path) -> list[Read]:
    return msgspec.json.decode(path.read_bytes(), type=list[Read])


def _places(read: Iterable[Read]) -> list[Place]:
    return [(one.type, one.version) for one in read]


def _listed(read: Iterable[Read]) -> str:
    return ", ".join(f"{one.type} version {one.version}" for one in read) or "nothing"


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
