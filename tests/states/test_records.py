"""The records of the pure core are values."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Final

import msgspec
import pytest

import duly.states

RECORDS: Final = sorted(
    {
        record
        for found in pkgutil.iter_modules(duly.states.__path__, "duly.states.")
        for record in vars(import_module(found.name)).values()
        if isinstance(record, type) and issubclass(record, msgspec.Struct) and record.__module__ == found.name
    },
    key=lambda record: record.__name__,
)
SHORT: Final = {"Allowance", "Park", "Rate", "RetrySchedule", "Slice", "Tally", "Wait"}
"""Records whose few fields go without names."""


def test_the_records_are_found() -> None:
    assert len(RECORDS) > 20
    assert {record.__name__ for record in RECORDS} >= SHORT


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_record_never_changes_and_its_fields_are_given_by_name(record: type[msgspec.Struct]) -> None:
    assert record.__struct_config__.frozen
    kinds = {parameter.kind for parameter in inspect.signature(record).parameters.values()}
    by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD if record.__name__ in SHORT else inspect.Parameter.KEYWORD_ONLY
    assert kinds == {by_name}
