"""What is kept of a run can be read by a program and by a person."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.chart import svg
from benchmarks.progress import Lines
from benchmarks.report import report
from benchmarks.results import Failed, NotRunHere, Records, Result, merged, read_records, write_records
from benchmarks.run import run_all
from tests.benchmarks.fakes import Fake


@pytest.fixture
def records() -> Records:
    return {
        **run_all([Fake(has_same_rows=True)], 5, Lines(), quick=True),
        "absent": NotRunHere(work="Something.", reason="there is no server"),
        "less": Failed(work="Something else.", error="ours wrote less"),
    }


def test_results_json_says_of_each_key_what_was_seen(records: Records, tmp_path: Path) -> None:
    write_records(tmp_path / "results.json", records)

    kept = json.loads((tmp_path / "results.json").read_text())

    assert list(kept) == ["fake", "absent", "less"]
    fake = kept["fake"]
    assert fake["state"] == "measured"
    assert (fake["ours"], fake["floor"], fake["ratio"]) == (50, 100, 0.5)
    assert (fake["unit"], fake["rounds"], fake["target"], fake["met"]) == ("things/s", 5, "≥ 0.4", True)
    assert fake["spread"] == {"min": 0.5, "max": 0.5, "q1": 0.5, "q3": 0.5, "iqr": 0}
    assert fake["more"] == "Nothing either."
    assert "cores" in fake["machine"]
    assert fake["rows"] == {"floor": {"rows": 100}, "ours": {"rows": 100}, "same rows": {"rows": 100}}
    assert [(other["name"], other["ratio"]) for other in fake["also"]] == [("same rows", 0.75)]
    assert kept["absent"] == {"state": "not run", "work": "Something.", "reason": "there is no server"}


def test_results_are_read_back_as_they_were_written(records: Records, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_records(path, records)

    again = read_records(path)

    assert list(again) == list(records)
    write_records(tmp_path / "again.json", again)
    assert path.read_bytes() == (tmp_path / "again.json").read_bytes()
    assert read_records(tmp_path / "none.json") == {}


def test_numbers_do_not_pretend_to_be_exact(records: Records, tmp_path: Path) -> None:
    result = records["fake"]
    assert isinstance(result, Result)
    write_records(tmp_path / "results.json", {"fake": msgspec.structs.replace(result, ours=1234.56789)})

    assert json.loads((tmp_path / "results.json").read_text())["fake"]["ours"] == 1234.6


def test_a_run_of_some_keys_keeps_the_others_and_drops_keys_that_are_gone(records: Records) -> None:
    now: Records = {"absent": Failed(work="Something.", error="new")}

    kept = merged(records, now, ["absent", "fake", "never run"])

    assert list(kept) == ["absent", "fake"]
    assert kept["absent"] == now["absent"]


def test_the_report_has_method_table_and_troubles(records: Records) -> None:
    text = report(records)

    assert "## Method" in text
    assert "| fake | 50 | 100 | things/s | 0.5 | 0.5–0.5 | 0 | ≥ 0.4 ✓ |" in text
    assert "| fake, same rows | 50 | 66.7 | things/s | 0.75 |" in text
    assert "- `absent` was not run: there is no server." in text
    assert "- `less` failed: ours wrote less" in text
    assert "Ours does more: Nothing either." in text


def test_the_chart_has_a_bar_for_each_comparison(records: Records) -> None:
    chart = ElementTree.fromstring(svg(records))

    labels = [text.text for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert "fake" in labels
    assert "fake, same rows" in labels
    assert len(list(chart.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 2
