"""A target that is missed has a cause in the report."""

from __future__ import annotations

from benchmarks.cli import FOLDER
from benchmarks.report import missed, report
from benchmarks.results import read_records
from benchmarks.shortfalls import SHORTFALLS


def test_each_target_that_the_kept_results_miss_has_its_cause_in_the_report() -> None:
    records = read_records(FOLDER / "results.json")
    assert [key for key in missed(records) if key not in SHORTFALLS] == []


def test_the_report_names_what_stands_between() -> None:
    records = read_records(FOLDER / "results.json")
    text = report(records)
    assert all(f"- `{key}`: {SHORTFALLS[key]}" in text for key in missed(records))


def test_causes_are_given_of_benchmarks_that_exist() -> None:
    assert set(SHORTFALLS) <= set(read_records(FOLDER / "results.json"))
